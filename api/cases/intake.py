"""What a caller sent, checked whole before anything is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.cases.schemas import CaseIn, Upload
from api.problems import Invalid, PointedError, Unsupported
from clinical_mm.case import ImageFile
from clinical_mm.errors import UnreadableFile, UnsupportedFile

PIXELS = "pixels"
"""The attribute of a file that holds its pixels' statistics (clinical_mm/pictures/statistics.py)."""


@dataclass(frozen=True)
class CheckedFile:
    """A file that decodes, and what its header told."""

    name: str
    data: bytes
    sha256: str
    media_type: str
    frames: int
    rows: int
    columns: int
    attributes: dict[str, Any]


def check_files(uploads: Sequence[Upload], most: int) -> list[CheckedFile]:
    """Decode every file.

    Raises:
        Invalid: more files than ``most``.
        Unsupported: a file is none of DICOM, PNG and JPEG.
        Invalid: a file claims to be one and does not decode.
    """
    if len(uploads) > most:
        fault = PointedError(pointer="/files", detail=f"{len(uploads)} files; a case may have {most}")
        raise Invalid("too many files", errors=[fault])
    return [_check(position, upload) for position, upload in enumerate(uploads)]


def body_sha256(body: CaseIn, uploads: Sequence[Upload]) -> str:
    """What tells one request from another under the same Idempotency-Key."""
    digest = hashlib.sha256(body.model_dump_json().encode())
    for upload in uploads:
        digest.update(hashlib.sha256(upload.data).digest())
    return digest.hexdigest()


def as_image(file: CheckedFile) -> ImageFile:
    """The file as the learning core takes it."""
    return ImageFile(file.name, file.data)


def _check(position: int, upload: Upload) -> CheckedFile:
    from clinical_mm.pictures import pixel_statistics, read_picture

    where, pointer = f"file {position}", f"/files/{position}"
    try:
        picture = read_picture(upload.data)
    except UnsupportedFile as error:
        fault = PointedError(pointer=pointer, detail=str(error))
        raise Unsupported(f"{where}: {error}", errors=[fault]) from error
    except UnreadableFile as error:
        raise Invalid(f"{where}: {error}", errors=[PointedError(pointer=pointer, detail=str(error))]) from error
    windows = [{"name": w.name, "center": w.center, "width": w.width} for w in picture.windows]
    rows, columns = picture.size
    return CheckedFile(
        name=_printable(upload.name) or f"file-{position}",
        data=upload.data,
        sha256=hashlib.sha256(upload.data).hexdigest(),
        media_type=picture.media_type,
        frames=picture.frame_count,
        rows=rows,
        columns=columns,
        attributes={
            **_storable(picture.attributes),
            "series_uid": picture.series_uid,
            "windows": windows,
            "default_window": list(picture.default_window),
            "value_range": list(picture.value_range),
            "color": picture.rgb is not None,
            PIXELS: pixel_statistics(picture),
        },
    )


def _printable(name: str) -> str:
    return "".join(c for c in name.replace("\\", "/").rsplit("/", 1)[-1] if c.isprintable())[:255]


def _storable(value: Any) -> Any:
    """Header values as JSON that both databases can hold: PostgreSQL stores no NUL in text."""
    if isinstance(value, dict):
        return {str(k): _storable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(v) for v in value]
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    return value if value is None or isinstance(value, bool | int | float) else str(value)
