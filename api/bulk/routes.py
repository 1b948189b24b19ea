"""/v1/case-imports and /v1/prediction-runs: many cases in one request, as durable jobs."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_openapi import APIBlueprint, Tag
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import UnsupportedMediaType

from api.access.guard import caller, needs
from api.access.service import Role
from api.bulk.schemas import (
    BulkRunOut,
    BulkRunPath,
    CaseImportList,
    PredictionRunIn,
    PredictionRunList,
    PredictionRunOut,
    ResultPage,
    ResultQuery,
)
from api.bulk.sent import A_CASE, SentFile, SentImport, sent_import
from api.bulk.service import Bulk
from api.ground.bodies import OTHER_PARTS
from api.ground.spool import SpoolFile
from api.ground.wire import SECURITY, Answer, answer, refusals, told
from api.idempotency.header import IDEMPOTENT, idempotency_key, sent_key
from api.idempotency.service import SentKey
from api.problems import Invalid, PointedError
from api.settings import Settings

TAG = Tag(name="bulk", description="Many cases in one request, line by line, as durable jobs.")
EXAMPLE = """\
{"external_id": "acc-90", "patient": {"id": "p-90"}, "note": "Fever.", "vitals": {"spo2": 91}, "files": []}
{"external_id": "acc-91", "patient": {"id": "p-91"}, "note": "Cough.", "diagnoses": ["pneumonia"]}
"""
IMPORT_BODY: dict[str, Any] = {
    "description": "Part `cases`: a case a line, as `POST /v1/cases` takes it, plus `files`: the names of its files. "
    "Parts `files`: the files themselves; the filename of each is the name that lines call it by.",
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["cases"],
                "properties": {
                    "cases": {"type": "string", "contentMediaType": "application/x-ndjson", "pattern": A_CASE},
                    "files": {"type": "array", "items": {"type": "string", "contentMediaType": "application/dicom"}},
                },
                "additionalProperties": False,
            },
            "example": {"cases": EXAMPLE},
            "encoding": {"cases": {"contentType": "application/x-ndjson"}},
        },
    },
}


def blueprint(bulk: Bulk, settings: Settings) -> APIBlueprint:  # noqa: C901 - a list of small routes
    """The routes over the bulk runs."""
    api = APIBlueprint("bulk", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.post(
        "/case-imports",
        responses={202: BulkRunOut, **refusals(400, 413, 415)},
        openapi_extensions=told(takes=IDEMPOTENT, gives=["Location"], body="import"),
    )
    @needs(Role.CLINICIAN)
    def start_import() -> Answer:
        """Keep many cases and store them one by one; what is wrong with one keeps no other from being stored."""
        sent = _sent(settings)
        value = idempotency_key()
        key = None if value is None else SentKey.of(value, "import", sent.digest())
        run = bulk.start_import(caller(), sent, key)
        return answer(run, 202, {"Location": f"/v1/case-imports/{run.id}"})

    @api.get("/case-imports", responses={200: CaseImportList})
    @needs(Role.VIEWER)
    def list_imports() -> Answer:
        """The newest imports."""
        return answer(CaseImportList(items=bulk.list(caller(), "import")))

    @api.get("/case-imports/<id>", responses={200: BulkRunOut})
    @needs(Role.VIEWER)
    def get_import(path: BulkRunPath) -> Answer:
        """One import: its state and how far it is."""
        return answer(bulk.get(caller(), "import", path.id))

    @api.get("/case-imports/<id>/results", responses={200: ResultPage})
    @needs(Role.VIEWER)
    def list_import_results(path: BulkRunPath, query: ResultQuery) -> Answer:
        """What came of each line, and why."""
        return answer(bulk.results(caller(), "import", path.id, query))

    @api.post("/case-imports/<id>/cancel", responses={202: BulkRunOut, **refusals(409)})
    @needs(Role.CLINICIAN)
    def cancel_import(path: BulkRunPath) -> Answer:
        """Stop after the lines at hand; cases that are stored stay."""
        return answer(bulk.cancel(caller(), "import", path.id), 202)

    @api.post(
        "/prediction-runs",
        responses={202: PredictionRunOut, **refusals(404)},
        openapi_extensions=told(takes=IDEMPOTENT, gives=["Location"]),
    )
    @needs(Role.CLINICIAN)
    def start_predictions(body: PredictionRunIn) -> Answer:
        """Predict every stored case that `filter` chooses, with the model that serves now or `model`."""
        run = bulk.start_predictions(caller(), body, sent_key(body))
        return answer(run, 202, {"Location": f"/v1/prediction-runs/{run.id}"})

    @api.get("/prediction-runs", responses={200: PredictionRunList})
    @needs(Role.VIEWER)
    def list_prediction_runs() -> Answer:
        """The newest runs."""
        return answer(PredictionRunList(items=bulk.list(caller(), "predictions")))

    @api.get("/prediction-runs/<id>", responses={200: PredictionRunOut})
    @needs(Role.VIEWER)
    def get_prediction_run(path: BulkRunPath) -> Answer:
        """One run: its state and how far it is."""
        return answer(bulk.get(caller(), "predictions", path.id))

    @api.get("/prediction-runs/<id>/results", responses={200: ResultPage})
    @needs(Role.VIEWER)
    def list_prediction_results(path: BulkRunPath, query: ResultQuery) -> Answer:
        """The prediction of each case, or why there is none."""
        return answer(bulk.results(caller(), "predictions", path.id, query))

    @api.post("/prediction-runs/<id>/cancel", responses={202: PredictionRunOut, **refusals(409)})
    @needs(Role.CLINICIAN)
    def cancel_prediction_run(path: BulkRunPath) -> Answer:
        """Stop after the cases at hand; predictions that are made stay."""
        return answer(bulk.cancel(caller(), "predictions", path.id), 202)

    return api


def _sent(settings: Settings) -> SentImport:
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("send multipart/form-data with parts `cases` and `files`")
    request.max_form_parts = settings.max_files_per_import + OTHER_PARTS
    if "files" in request.form:
        raise Invalid("a part `files` needs a filename", errors=[_fault("/files", "came without a filename")])
    unknown = sorted((set(request.form) - {"cases"}) | (set(request.files) - {"cases", "files"}))
    if unknown:
        raise Invalid("unknown parts", errors=[_fault(f"/{name}", "no such part") for name in unknown])
    sent = [text.encode() for text in request.form.getlist("cases")]
    sent += [part.read() for part in request.files.getlist("cases")]
    if len(sent) != 1:
        raise Invalid("send one part `cases`", errors=[_fault("/cases", f"required once; it came {len(sent)} times")])
    files = [_file(part) for part in request.files.getlist("files")]
    return sent_import(sent[0], files, settings.max_cases_per_import)


def _fault(pointer: str, detail: str) -> PointedError:
    return PointedError(pointer=pointer, detail=detail)


def _file(part: FileStorage) -> SentFile:
    file = part.stream
    assert isinstance(file, SpoolFile)  # noqa: S101 - StrictRequest gives no other
    return SentFile(part.filename or "", file.path, file.sha256)
