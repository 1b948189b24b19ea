"""Explain a stored prediction with the model that made it, and keep the account."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.access.service import Caller, Role
from api.audit.service import Audit
from api.cases.service import Cases
from api.cases.tables import BlobUseRow
from api.explanations.rounding import shown
from api.explanations.schemas import ExplanationIn, ExplanationOut, MethodOut
from api.explanations.tables import ExplanationRow
from api.ground import tracing
from api.ground.clock import now
from api.ground.ground import Ground
from api.ground.ids import new_id
from api.idempotency.service import IdempotencyKeys, SentKey
from api.models.service import Models
from api.predictions.service import Predictions
from api.problems import Conflict, NotFound
from clinical_mm.errors import InvalidConfig
from clinical_mm.explaining.offer import offered
from clinical_mm.notes import phrases

if TYPE_CHECKING:
    from clinical_mm.answers import Explanation
    from clinical_mm.case import Case

LONGEST_SIDE = 1024
WHATEVER = ExplanationIn()


class Explanations:
    """Explanations of each project."""

    def __init__(self, ground: Ground, audit: Audit, cases: Cases, models: Models, predictions: Predictions) -> None:
        self._ground, self._audit, self._cases = ground, audit, cases
        self._models, self._predictions = models, predictions
        self._keys = IdempotencyKeys(ground)
        # A model explains one case at a time anyway. In a thread of its own, what that takes (hundreds of MiB) is taken
        # again by the next one; in the threads that answer, glibc keeps it once for each of them.
        self._explaining = ThreadPoolExecutor(1, thread_name_prefix="explain")

    def create(
        self,
        caller: Caller,
        prediction_id: str,
        asked: ExplanationIn = WHATEVER,
        key: SentKey | None = None,
    ) -> ExplanationOut:
        """Explain one target of a prediction; the same question again gives the stored answer.

        Raises:
            NotFound: no such prediction in the project.
            Conflict: the case has changed since the prediction.
            UnknownCode, InvalidConfig: the model has no such diagnosis or baseline, or does not offer such a method.
            Invalid: the Idempotency-Key came with another request before.
        """
        caller.require(Role.CLINICIAN)
        return self._keys.once(
            caller, key, lambda: self._create(caller, prediction_id, asked, key), lambda id_: self.get(caller, id_)
        )

    def _create(self, caller: Caller, prediction_id: str, asked: ExplanationIn, key: SentKey | None) -> ExplanationOut:
        with self._ground.database.reading() as session:
            prediction = self._predictions.row(session, caller.project_id, prediction_id)
            row = self._cases.row(session, caller.project_id, prediction.case_id)
            case, changed = self._cases.core(row), prediction.case_version != row.version
        target = asked.target or str(prediction.result["diagnoses"][0]["code"])
        method = self._method(prediction.model_id, asked.methods)
        known = self._known(prediction_id, target, method, asked.baselines or {})
        if known is not None:
            return known
        if changed:
            raise Conflict("the case has changed since this prediction: predict again, then explain that")
        predictor = self._models.predictor(prediction.model_id)
        with self._ground.meters.explained.labels(method).time(), tracing.span("explanation", method=method):
            context = copy_context()
            answer = self._explaining.submit(
                context.run, predictor.explain, case, target, method, asked.baselines
            ).result()
        read = phrases(case.note or "", answer.text, self._ground.wording)
        return self._store(caller, prediction_id, case, replace(answer, phrases=read), (asked.baselines or {}, key))

    def methods(self, model_id: str) -> list[MethodOut]:
        """The ways to explain that are offered for a model, the default first."""
        return [MethodOut(name=row["method"], display=row["display"]) for row in offered(self._models.card(model_id))]

    def get(self, caller: Caller, explanation_id: str) -> ExplanationOut:
        """One explanation; raises NotFound."""
        with self._ground.database.reading() as session:
            return self._out(self._row(session, caller, explanation_id))

    def of_prediction(self, caller: Caller, prediction_id: str) -> list[ExplanationOut]:
        """A prediction's explanations, newest first; raises NotFound."""
        query = select(ExplanationRow).where(ExplanationRow.prediction_id == prediction_id)
        with self._ground.database.reading() as session:
            self._predictions.row(session, caller.project_id, prediction_id)
            return [self._out(row) for row in session.scalars(query.order_by(ExplanationRow.id.desc()))]

    def image(self, caller: Caller, explanation_id: str, position: int, *, overlay_only: bool) -> bytes:
        """The PNG of a heat map: over the preview of its frame, or alone with transparency. Raises NotFound."""
        with self._ground.database.reading() as session:
            row = self._row(session, caller, explanation_id)
            if not 0 <= position < len(row.image_blobs):
                raise NotFound(f"explanation {explanation_id} has {len(row.image_blobs)} pictures, no {position}")
            case = self._cases.core(self._cases.row(session, caller.project_id, row.case_id))
        overlay = self._ground.blobs.get(row.image_blobs[position])
        if overlay_only:
            return overlay
        where = row.result["images"][position]
        return _composed(case.images[where["file"]].read(), where["frame"], overlay)

    def _store(
        self,
        caller: Caller,
        prediction_id: str,
        case: Case,
        answer: Explanation,
        asked: tuple[dict[str, str], SentKey | None],
    ) -> ExplanationOut:
        baselines, key = asked
        pictures = [_overlay(case, heat.file, heat.values) for heat in answer.images]
        with self._ground.blobs.writing():
            digests = [self._ground.blobs.put(png) for png in pictures]
            row = ExplanationRow(
                id=new_id("explanation"),
                project_id=caller.project_id,
                prediction_id=prediction_id,
                case_id=case.id,
                target=answer.target,
                method=answer.method,
                created_at=now(),
                created_by=caller.signature,
                result={**answer.to_json(), "asked": baselines},
                image_blobs=digests,
            )
            with self._ground.database.transaction() as session:
                self._cases.row(session, caller.project_id, case.id)  # erased meanwhile: 404, nothing stored
                session.add(row)
                self._keys.keep(session, caller, key, row.id, case_id=case.id)
                for digest in set(digests):
                    session.merge(BlobUseRow(case_id=case.id, sha256=digest))
                self._audit.record(
                    session, caller, "explanation.create", "explanation", row.id, prediction=prediction_id
                )
        return self._out(row)

    def _out(self, row: ExplanationRow) -> ExplanationOut:
        return _out(row, self._ground.settings.score_digits)

    def _method(self, model_id: str, methods: list[str] | None) -> str:
        """The method asked for, or the model's default; raises InvalidConfig where it is not offered."""
        names = [one.name for one in self.methods(model_id)]
        method = methods[0] if methods else names[0]
        if method not in names:
            raise InvalidConfig(f"this model does not offer the method {method!r}; it offers: {', '.join(names)}")
        return method

    def _known(self, prediction_id: str, target: str, method: str, baselines: dict[str, str]) -> ExplanationOut | None:
        """The stored answer to the same question."""
        query = select(ExplanationRow).where(
            ExplanationRow.prediction_id == prediction_id,
            ExplanationRow.target == target,
            ExplanationRow.method == method,
        )
        with self._ground.database.reading() as session:
            same = (row for row in session.scalars(query) if row.result.get("asked", {}) == baselines)
            return next(map(self._out, same), None)

    def _row(self, session: Session, caller: Caller, explanation_id: str) -> ExplanationRow:
        row = session.get(ExplanationRow, explanation_id)
        if row is None or row.project_id != caller.project_id:
            raise NotFound("no such explanation in this project")
        return row


def _out(row: ExplanationRow, digits: int) -> ExplanationOut:
    images = [
        {**image, "heatmap": f"/v1/explanations/{row.id}/images/{n}.png"}
        for n, image in enumerate(row.result["images"])
    ]
    return ExplanationOut.model_validate(
        {
            **shown(row.result, digits),
            "id": row.id,
            "prediction_id": row.prediction_id,
            "case_id": row.case_id,
            "images": images,
            "created_at": row.created_at,
        }
    )


def _overlay(case: Case, file: int, values: object) -> bytes:
    import numpy as np

    from clinical_mm.pictures import heatmap_png, read_picture

    rows, columns = read_picture(case.images[file].read()).size
    shrink = min(1.0, LONGEST_SIDE / max(rows, columns))
    size = {"width": max(1, round(columns * shrink)), "height": max(1, round(rows * shrink))}
    return heatmap_png(np.asarray(values), **size)


def _composed(file: bytes, frame: int, overlay: bytes) -> bytes:
    from PIL import Image

    from clinical_mm.pictures import preview_png, read_picture

    heat = Image.open(BytesIO(overlay)).convert("RGBA")
    below = Image.open(BytesIO(preview_png(read_picture(file), frame=frame, size=max(heat.size))))
    combined = Image.alpha_composite(below.convert("RGBA").resize(heat.size), heat)
    out = BytesIO()
    combined.convert("RGB").save(out, "PNG")
    return out.getvalue()
