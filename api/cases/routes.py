"""/v1/cases: submit, list, read, change, erase; files and previews."""

from __future__ import annotations

from typing import Any

from flask import current_app, request
from flask_openapi import APIBlueprint, Tag
from pydantic import ValidationError
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from api.access.guard import caller, needs
from api.access.service import Role
from api.audit.call import shows
from api.cases.files import Files
from api.cases.schemas import (
    CaseChange,
    CaseConditions,
    CaseCounts,
    CaseFilter,
    CaseIn,
    CaseOut,
    CasePage,
    CasePath,
    ConditionsQuery,
    FilePath,
    FilterQuery,
    PreviewQuery,
    RawQuery,
    SentConditions,
    SentFilter,
    Upload,
)
from api.cases.service import Cases
from api.ground.spool import SpoolFile
from api.ground.strict import parse_json
from api.ground.wire import SECURITY, Answer, answer, binary, media, nothing, refusals, told
from api.idempotency.header import IDEMPOTENT, idempotency_key
from api.problems import Invalid, PointedError, pointed

TAG = Tag(name="cases", description="What one patient brings: images, note, vitals.")
CASE_BODY: dict[str, Any] = {
    "description": "A case: JSON alone, or multipart with part `case` (the same JSON) and any number of parts `files`.",
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/CaseDocument"}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["case"],
                "properties": {
                    "case": {"$ref": "#/components/schemas/CaseDocument"},
                    "files": {"type": "array", "items": {"type": "string", "contentMediaType": "application/dicom"}},
                },
                "additionalProperties": False,
            },
            "example": {"case": CaseIn.model_config["json_schema_extra"]["example"]},  # type: ignore[index]
            "encoding": {"case": {"contentType": "application/json"}},
        },
    },
}
IMMUTABLE = {"Cache-Control": "private, max-age=86400"}


def blueprint(cases: Cases, files: Files) -> APIBlueprint:  # noqa: C901, PLR0915 - a list of small routes
    """The routes over the case services."""
    api = APIBlueprint("cases", __name__, url_prefix="/v1", abp_tags=[TAG], abp_security=SECURITY)

    @api.post(
        "/cases",
        responses={201: CaseOut, **refusals(400, 409, 413, 415)},
        openapi_extensions=told(takes=IDEMPOTENT, gives=["Location", "ETag"], body="case"),
    )
    @needs(Role.CLINICIAN)
    def submit_case() -> Answer:
        """Store a case, whole or not at all. `Idempotency-Key` makes a repeated call answer the same."""
        body, uploads = _sent_case()
        stored = cases.submit(caller(), body, uploads, idempotency_key())
        headers = {"Location": f"/v1/cases/{stored.case.id}", "ETag": f'"{stored.case.version}"'}
        return answer(cases.shown(stored.case), 201, headers)

    @api.get("/cases", responses={200: CasePage})
    @needs(Role.VIEWER)
    def list_cases(query: FilterQuery) -> Answer:
        """Cases, newest first or in the order of the worklist."""
        return _page(cases, CaseFilter.model_validate(query, from_attributes=True))

    @api.post("/cases/search", responses={200: CasePage})
    @needs(Role.VIEWER)
    def search_cases(body: SentFilter) -> Answer:
        """The same by words as well, which stand in the body: they may be a patient's."""
        return _page(cases, body)

    @api.get("/cases/counts", responses={200: CaseCounts})
    @needs(Role.VIEWER)
    def count_cases(query: ConditionsQuery) -> Answer:
        """How many cases wait for a review, under the same conditions as the list."""
        return answer(cases.counts(caller(), CaseConditions.model_validate(query, from_attributes=True)))

    @api.post("/cases/counts", responses={200: CaseCounts})
    @needs(Role.VIEWER)
    def count_found(body: SentConditions) -> Answer:
        """The same of what a search by words finds."""
        return answer(cases.counts(caller(), body))

    @api.get(
        "/cases/<id>",
        responses={200: CaseOut, 304: None},
        openapi_extensions=told(takes=["If-None-Match"], gives=["ETag"]),
    )
    @needs(Role.VIEWER)
    def get_case(path: CasePath) -> Answer:
        """One case."""
        found = cases.get(caller(), path.id)
        return answer(cases.shown(found), headers={"ETag": f'"{found.version}"'}).make_conditional(request)

    @api.patch(
        "/cases/<id>",
        responses={200: CaseOut, **refusals(412)},
        openapi_extensions=told(takes=["If-Match"], gives=["ETag"]),
    )
    @needs(Role.CLINICIAN)
    def change_case(path: CasePath, body: CaseChange) -> Answer:
        """Change note, vitals, diagnoses or acquired_at; null removes, absent stays. `If-Match` guards."""
        changed = cases.change(caller(), path.id, body, _if_match())
        return answer(cases.shown(changed), headers={"ETag": f'"{changed.version}"'})

    @api.delete("/cases/<id>", responses={204: None, **refusals(412)}, openapi_extensions=told(takes=["If-Match"]))
    @needs(Role.ADMIN)
    def erase_case(path: CasePath) -> Answer:
        """Erase row, predictions, reviews and blobs for good; the audit trail says so."""
        cases.erase(caller(), path.id, _if_match())
        return nothing()

    @api.get(
        "/cases/<id>/files/<n>",
        responses={200: media("application/dicom", "image/png", "image/jpeg"), 304: None},
        openapi_extensions=told(takes=["If-None-Match"], gives=["ETag", "Content-Disposition"]),
    )
    @needs(Role.VIEWER)
    def get_file(path: FilePath) -> Answer:
        """The stored object, as it was sent."""
        file = files.content(caller(), path.id, path.n)
        safe = file.name.encode("ascii", "replace").decode().replace('"', "_")
        headers = {
            "Content-Disposition": f'attachment; filename="{safe}"',
            "Content-Length": str(file.size),
            "ETag": f'"{file.sha256}"',
        }
        return binary(file.pieces, file.media_type, headers).make_conditional(request)

    @api.get("/cases/<id>/files/<n>/preview.png", responses={200: media("image/png")})
    @needs(Role.VIEWER)
    def get_preview(path: FilePath, query: PreviewQuery) -> Answer:
        """A picture of one frame."""
        window = query.center_width()
        png = files.preview(caller(), path.id, path.n, window=window, frame=query.frame, size=query.size)
        return binary(png, "image/png", IMMUTABLE)

    @api.get(
        "/cases/<id>/files/<n>/raw",
        responses={200: media("application/octet-stream")},
        openapi_extensions=told(gives=["X-Rows", "X-Columns", "X-Slope", "X-Intercept"]),
    )
    @needs(Role.VIEWER)
    def get_raw(path: FilePath, query: RawQuery) -> Answer:
        """One frame as 16-bit little-endian values; headers tell rows, columns, slope and intercept."""
        raw = files.raw(caller(), path.id, path.n, query.frame)
        headers = {
            "X-Rows": str(raw.rows),
            "X-Columns": str(raw.columns),
            "X-Slope": repr(raw.slope),
            "X-Intercept": repr(raw.intercept),
        }
        return binary(raw.data, "application/octet-stream", headers | IMMUTABLE)

    return api


def _page(cases: Cases, wanted: CaseFilter) -> Answer:
    page = cases.list(caller(), wanted)
    shows(case.id for case in page.items)
    return answer(page.model_copy(update={"items": [cases.shown(case) for case in page.items]}))


def _sent_case() -> tuple[CaseIn, list[Upload]]:
    if request.mimetype == "application/json":
        return _parse(request.get_data(cache=False)), []
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("send application/json, or multipart/form-data with parts `case` and `files`")
    if "files" in request.form:
        fault = PointedError(pointer="/files", detail="came without a filename")
        raise Invalid("a part `files` needs a filename", errors=[fault])
    unknown = sorted((set(request.form) - {"case"}) | (set(request.files) - {"case", "files"}))
    if unknown:
        raise Invalid("unknown parts", errors=[PointedError(pointer=f"/{n}", detail="no such part") for n in unknown])
    sent = [text.encode() for text in request.form.getlist("case")]
    sent += [_text(part) for part in request.files.getlist("case")]
    if len(sent) != 1:
        fault = PointedError(pointer="/case", detail=f"required once; it came {len(sent)} times")
        raise Invalid("send one part `case`", errors=[fault])
    return _parse(sent[0]), [_upload(part) for part in request.files.getlist("files")]


def _text(part: FileStorage) -> bytes:
    """A part ``case`` that came as a file, as short as a body of JSON."""
    most: int = current_app.config["MAX_JSON_LENGTH"]
    text = part.stream.read(most + 1)
    if len(text) > most:
        raise RequestEntityTooLarge
    return text


def _upload(part: FileStorage) -> Upload:
    file = part.stream
    assert isinstance(file, SpoolFile)  # noqa: S101 - StrictRequest gives no other
    return Upload(part.filename or "", file.path, file.sha256, file.size)


def _parse(text: bytes) -> CaseIn:
    try:
        return CaseIn.model_validate(parse_json(text))
    except ValidationError as error:
        raise Invalid("the case does not fit its schema", errors=pointed(error)) from error


def _if_match() -> frozenset[str] | None:
    """The versions that the caller has seen; None where the caller does not say, or says any."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    return frozenset(request.if_match.as_set(include_weak=True))
