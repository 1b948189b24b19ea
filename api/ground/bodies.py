"""How large a request may be, and how it is told that it is larger."""

from __future__ import annotations

from http import HTTPStatus

from flask import Flask, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from api.problems import problem
from api.settings import Settings
from clinical_mm.limits import MB

OTHER_PARTS = 10
"""Parts of a multipart body that are no files: ``case``, and what is refused by name."""
FORM_MB = 2
"""All parts without a filename, and the head of a part: Werkzeug takes 0.2 s to read each MB of a head."""


def limit(app: Flask, settings: Settings) -> None:
    """Bound every body; Werkzeug's own defaults bound none."""
    app.config["MAX_CONTENT_LENGTH"] = settings.max_upload_mb * MB
    app.config["MAX_JSON_LENGTH"] = min(settings.max_json_mb, settings.max_upload_mb) * MB
    app.config["MAX_FORM_MEMORY_SIZE"] = min(FORM_MB * MB, app.config["MAX_JSON_LENGTH"])
    app.config["MAX_FORM_PARTS"] = settings.max_files_per_case + OTHER_PARTS

    def bound() -> None:
        if request.mimetype != "multipart/form-data":  # files go to the disk, everything else into memory
            request.max_content_length = app.config["MAX_JSON_LENGTH"]

    def too_large(_error: RequestEntityTooLarge) -> Response:
        most_files = (request.max_form_parts or OTHER_PARTS) - OTHER_PARTS
        detail = (
            f"the body is larger than {settings.max_upload_mb} MB, holds more than {most_files} "
            f"files, or more than {app.config['MAX_JSON_LENGTH'] // MB} MB that are no files (of a multipart body "
            f"{app.config['MAX_FORM_MEMORY_SIZE'] // MB} MB: a part with a filename may be larger)"
        )
        return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)

    app.before_request(bound)
    app.register_error_handler(RequestEntityTooLarge, too_large)
