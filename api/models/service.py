"""The registry: which models there are, which one serves, and the loaded ones."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.access.service import Caller, Role
from api.audit.service import Audit
from api.ground.clock import now
from api.ground.ground import Ground
from api.ground.ids import new_id
from api.ground.scope import everywhere
from api.idempotency.service import IdempotencyKeys, SentKey
from api.models.bundles import Bundles
from api.models.schemas import ModelOut, PromotionOut
from api.models.tables import ModelRow, PromotionRow
from api.problems import Conflict, NotFound, NotReady
from clinical_mm.bundle_layout import MANIFEST, REPORT, REPORT_PAGE, read_json, refuse_pickles, weights_sha256
from clinical_mm.errors import InvalidBundle
from clinical_mm.manifest import Manifest
from clinical_mm.model_card import ModelCard, model_card

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from clinical_mm.predictor import Predictor

LOADED = 3
"""Models kept in memory: the serving one, its predecessor, and one that is being compared."""


class Models:
    """Registers, promotes, rolls back, loads."""

    def __init__(self, ground: Ground, audit: Audit) -> None:
        self._ground = ground
        self._audit = audit
        self._bundles = Bundles(ground.settings.models_folder, ground.blobs)
        self._keys = IdempotencyKeys(ground)
        self._loaded: OrderedDict[str, Predictor] = OrderedDict()
        self._lock = threading.Lock()
        self.is_warming = False
        self.damaged: set[str] = set()
        """Models that could not be loaded when they were last asked for."""

    def register(self, caller: Caller, run_id: str | None, bundle: Path, config: str) -> ModelOut:
        """Take a bundle into the registry; a second call for the same run gives the model of the first.

        The project's first model serves at once; later ones are held for a person.
        """
        known = None if run_id is None else self._of_run(caller, run_id)
        if known is not None:
            return known
        refuse_pickles(bundle)
        model_id = new_id("model") if run_id is None else f"model_{run_id.partition('_')[2]}"
        folder = self._bundles.place(model_id, bundle)
        card = _card(folder)
        row = ModelRow(
            id=model_id,
            project_id=caller.project_id,
            run_id=run_id,
            config=config,
            created_at=now(),
            snapshot_sha256=card["data"]["snapshot_sha256"],
            weights_sha256=weights_sha256(folder),
            metrics=card["metrics"],
            card=card,
        )
        with self._ground.database.transaction() as session:
            serving = self._newest(session, caller.project_id)
            session.add(row)
            session.flush()
            self._audit.record(session, caller, "model.register", "model", model_id, config=config)
            if serving is None:
                self._promotion(session, caller, model_id, None, "first")
            return self._out(row, model_id if serving is None else serving.model_id)

    def list(self, caller: Caller) -> list[ModelOut]:
        """The project's models, newest first."""
        query = select(ModelRow).where(ModelRow.project_id == caller.project_id).order_by(ModelRow.id.desc())
        with self._ground.database.reading() as session:
            serving = self._serving_id(session, caller.project_id)
            return [self._out(row, serving) for row in session.scalars(query)]

    def get(self, caller: Caller, model_id: str) -> ModelOut:
        """One model; raises NotFound, for another project's too."""
        with self._ground.database.reading() as session:
            row = self._row(session, caller.project_id, model_id)
            return self._out(row, self._serving_id(session, caller.project_id))

    def of_run(self, caller: Caller, run_id: str) -> ModelOut:
        """The model that a run made; raises NotFound."""
        found = self._of_run(caller, run_id)
        if found is None:
            raise NotFound(f"run {run_id!r} has made no model")
        return found

    def serving(self, project_id: str) -> ModelOut | None:
        """The model that answers, looked up at each call: several processes agree, and a change needs no restart."""
        with self._ground.database.reading() as session:
            model_id = self._serving_id(session, project_id)
            return None if model_id is None else self._out(self._row(session, project_id, model_id), model_id)

    def serving_id(self, project_id: str) -> str:
        """The id of the model that answers; raises NotReady where none does."""
        with self._ground.database.reading() as session:
            model_id = self._serving_id(session, project_id)
        if model_id is None:
            raise NotReady("no model serves this project yet: train one with POST /v1/training-runs")
        return model_id

    def promote(self, caller: Caller, model_id: str, reason: str | None = None) -> ModelOut:
        """Let a model serve from now on; raises NotFound."""
        caller.require(Role.ADMIN)
        with self._ground.database.transaction() as session:
            row = self._row(session, caller.project_id, model_id)
            serving = self._serving_id(session, caller.project_id)
            if serving != model_id:
                self._promotion(session, caller, model_id, serving, "promote", reason)
            return self._out(row, model_id)

    def replace(self, session: Session, caller: Caller, model_id: str, champion: str, kind: str, reason: str) -> None:
        """Let a model serve in place of ``champion``, within a transaction; where another serves by now, nothing."""
        if self._serving_id(session, caller.project_id) == champion:
            self._promotion(session, caller, model_id, champion, kind, reason)

    def rollback(self, caller: Caller, key: SentKey | None = None) -> ModelOut:
        """Let the model serve that served before; again goes further back.

        Raises:
            Conflict: there is none.
            Invalid: the Idempotency-Key came with another request before.
        """
        caller.require(Role.ADMIN)
        return self._keys.once(caller, key, lambda: self._rollback(caller, key), lambda id_: self.get(caller, id_))

    def _rollback(self, caller: Caller, key: SentKey | None) -> ModelOut:
        with self._ground.database.transaction() as session:
            newest = self._newest(session, caller.project_id)
            before = None if newest is None else self._before(session, caller.project_id, newest.model_id)
            if newest is None or before is None:
                raise Conflict("there is no earlier model to go back to")
            self._keys.keep(session, caller, key, before)
            self._promotion(session, caller, before, newest.model_id, "rollback")
            return self._out(self._row(session, caller.project_id, before), before)

    def report(self, caller: Caller, model_id: str) -> dict[str, Any]:
        """The whole evaluation of a model on its test part; raises NotFound, where it had none too."""
        return read_json(self._report_file(caller, model_id, REPORT))

    def report_page(self, caller: Caller, model_id: str) -> str:
        """The same as one HTML document with pictures; raises NotFound."""
        return self._report_file(caller, model_id, REPORT_PAGE).read_text(encoding="utf-8")

    def manifest(self, model_id: str) -> Manifest | None:
        """The cases that made a model; None where it is older than manifests are. Raises InvalidBundle."""
        path = self.bundle_folder(model_id) / MANIFEST
        return Manifest.load(path) if path.exists() else None

    def promotions(self, caller: Caller, model_id: str) -> Sequence[PromotionOut]:
        """Each time a model came to serve, the newest first; raises NotFound."""
        self.get(caller, model_id)
        query = select(PromotionRow).where(PromotionRow.model_id == model_id).order_by(PromotionRow.id.desc())
        with self._ground.database.reading() as session:
            return [PromotionOut.model_validate(row) for row in session.scalars(query)]

    def model_card(self, caller: Caller, model_id: str) -> ModelCard:
        """The model card by the field's published sections; raises NotFound."""
        model = self.get(caller, model_id)
        path = self.bundle_folder(model_id) / REPORT
        return model_card(model.card, read_json(path) if path.exists() else None, model.weights_sha256)

    def card(self, model_id: str) -> dict[str, Any]:
        """The card of a model whose id is known to be of the caller's project; raises NotFound."""
        with self._ground.database.reading() as session:
            row = session.get(ModelRow, model_id)
            if row is None:
                raise NotFound(f"no model {model_id!r}")
            return row.card

    def bundle_folder(self, model_id: str) -> Path:
        """Where a model's bundle lies; an object store may have to give it first."""
        return self._bundles.folder(model_id)

    def predictor(self, model_id: str) -> Predictor:
        """The loaded model; the least recently used is let go. Raises NotReady where its bundle is damaged or gone."""
        from clinical_mm.predictor import load_model

        with self._lock:  # two requests must not load the same model twice
            if model_id not in self._loaded:
                try:
                    folder, device = self.bundle_folder(model_id), self._ground.settings.device
                    self._loaded[model_id] = load_model(folder, device, self._ground.features)
                    self.damaged.discard(model_id)
                except InvalidBundle as error:  # no fault of whoever asks for a prediction
                    log.exception("model %s cannot be loaded", model_id)
                    self.damaged.add(model_id)
                    raise NotReady(f"model {model_id} cannot be loaded: its bundle is damaged") from error
            self._loaded.move_to_end(model_id)
            while len(self._loaded) > LOADED:
                self._loaded.popitem(last=False)
            return self._loaded[model_id]

    def warm_up(self) -> None:
        """Load the models that serve, in a thread, so that no request waits for it; until then ``is_warming``."""

        def load() -> None:
            try:
                for model_id in self._serving_lately():
                    with suppress(NotReady):  # its reason is in the log; the other projects' models still serve
                        self.predictor(model_id)
            except SQLAlchemyError as error:  # then the first request loads it
                log.warning("the database does not answer: %s", type(error).__name__)
            finally:
                self.is_warming = False

        self.is_warming = True
        threading.Thread(target=load, name="warm up", daemon=True).start()

    @property
    def loaded(self) -> int:
        """How many models are kept in memory."""
        return len(self._loaded)

    def is_loaded(self, model_id: str) -> bool:
        """Whether a model is kept in memory."""
        with self._lock:
            return model_id in self._loaded

    def _report_file(self, caller: Caller, model_id: str, part: Path) -> Path:
        self.get(caller, model_id)
        path = self.bundle_folder(model_id) / part
        if not path.exists():
            raise NotFound(
                f"model {model_id} has no report: no case was left to judge it on, or it is older than reports are"
            )
        return path

    def _promotion(
        self,
        session: Session,
        caller: Caller,
        model_id: str,
        previous: str | None,
        kind: str,
        reason: str | None = None,
    ) -> None:
        session.add(
            PromotionRow(
                project_id=caller.project_id,
                model_id=model_id,
                previous_model_id=previous,
                kind=kind,
                actor=caller.signature,
                at=now(),
                reason=reason,
            )
        )
        self._audit.record(session, caller, f"model.{kind}", "model", model_id, previous=previous)

    def _serving_lately(self) -> Sequence[str]:
        """As many serving models as are kept in memory, of whatever projects; the newest comes last."""
        newest = select(func.max(PromotionRow.id)).group_by(PromotionRow.project_id)
        query = select(PromotionRow.model_id).where(PromotionRow.id.in_(newest)).order_by(PromotionRow.id.desc())
        with everywhere("models are warmed up for all"), self._ground.database.reading() as session:
            return list(session.scalars(query.limit(LOADED)))[::-1]

    def _before(self, session: Session, project_id: str, current: str) -> str | None:
        """What served before ``current`` came to serve by promotion: rolling back twice goes back two models."""
        query = (
            select(PromotionRow.previous_model_id)
            .where(PromotionRow.project_id == project_id, PromotionRow.model_id == current)
            .where(PromotionRow.kind != "rollback")
            .order_by(PromotionRow.id.desc())
            .limit(1)
        )
        found: str | None = session.scalar(query)
        return found

    def _newest(self, session: Session, project_id: str) -> PromotionRow | None:
        query = select(PromotionRow).where(PromotionRow.project_id == project_id).order_by(PromotionRow.id.desc())
        return session.scalars(query.limit(1)).first()

    def _serving_id(self, session: Session, project_id: str) -> str | None:
        newest = self._newest(session, project_id)
        return None if newest is None else newest.model_id

    def _row(self, session: Session, project_id: str, model_id: str) -> ModelRow:
        row = session.get(ModelRow, model_id)
        if row is None or row.project_id != project_id:
            raise NotFound("no such model in this project")
        return row

    def _of_run(self, caller: Caller, run_id: str) -> ModelOut | None:
        with self._ground.database.reading() as session:
            row = session.scalar(select(ModelRow).where(ModelRow.run_id == run_id))
            return None if row is None else self._out(row, self._serving_id(session, caller.project_id))

    @staticmethod
    def _out(row: ModelRow, serving: str | None) -> ModelOut:
        return ModelOut(
            id=row.id,
            config=row.config,
            serving=row.id == serving,
            headline=_headline(row.metrics),
            created_at=row.created_at,
            run_id=row.run_id,
            snapshot_sha256=row.snapshot_sha256,
            weights_sha256=row.weights_sha256,
            diagnoses=row.card.get("diagnoses", []),
            metrics=row.metrics,
            card=row.card,
        )


def _headline(metrics: dict[str, Any]) -> str:
    for part in ("test", "validation"):
        auroc = (metrics.get(part) or {}).get("macro_auroc") or {}
        if auroc.get("value") is not None:
            interval = "" if auroc.get("low") is None else f" [{auroc['low']:.3f}-{auroc['high']:.3f}]"
            return f"macro AUROC {auroc['value']:.3f}{interval} on {metrics[part]['cases']} {part} cases"
    return "not evaluated: too few cases"


def _card(folder: Path) -> dict[str, Any]:
    import json

    card: dict[str, Any] = json.loads((folder / "docs/card.json").read_text(encoding="utf-8"))
    return card
