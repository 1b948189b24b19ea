"""What a caller sent, checked whole before anything is stored."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.cases.schemas import CaseIn, Upload
from api.ground.spool import Spool, printable
from api.problems import Invalid, NotReady, PointedError, Unsupported
from api.settings import Settings
from clinical_mm.case import ImageFile
from clinical_mm.digests import content_hash
from clinical_mm.errors import DecoderUnavailable, UnreadableFile, UnsupportedFile

if TYPE_CHECKING:
    from clinical_mm.pictures.decoders import Decoders
    from clinical_mm.pictures.inspection import Findings

PIXELS = "pixels"
"""The attribute of a file that holds its pixels' statistics (clinical_mm/pictures/statistics.py)."""
RETRY_AFTER_S = 5


@dataclass(frozen=True)
class CheckedFile:
    """A file that decodes, and what was found in it."""

    name: str
    upload: Upload
    found: Findings


def check_files(uploads: Sequence[Upload], settings: Settings) -> list[CheckedFile]:
    """Decode every file, in a process that may crash.

    Raises:
        Invalid: more files than a case may have.
        Unsupported: a file is none of DICOM, PNG and JPEG.
        Invalid: a file claims to be one and does not decode, or asks for more than the limits.
        NotReady: no decoder is free.
    """
    from clinical_mm.pictures.decoders import decoders_of

    most = settings.max_files_per_case
    if len(uploads) > most:
        fault = PointedError(pointer="/files", detail=f"{len(uploads)} files; a case may have {most}")
        raise Invalid("too many files", errors=[fault])
    decoders = decoders_of(settings.limits, settings.decoders)
    return [_check(position, upload, decoders) for position, upload in enumerate(uploads)]


def body_sha256(body: CaseIn, uploads: Sequence[Upload]) -> str:
    """What tells one request from another under the same Idempotency-Key."""
    digest = content_hash(body.model_dump_json().encode())
    for upload in uploads:
        digest.update(bytes.fromhex(upload.sha256))
    return digest.hexdigest()


def as_image(file: CheckedFile) -> ImageFile:
    """The file as the learning core takes it."""
    return ImageFile(file.name, file.upload.path, file.upload.sha256)


def _check(position: int, upload: Upload, decoders: Decoders) -> CheckedFile:
    where, pointer = f"file {position}", f"/files/{position}"
    try:
        found = decoders.inspect(upload.path)
    except UnsupportedFile as error:
        fault = PointedError(pointer=pointer, detail=str(error))
        raise Unsupported(f"{where}: {error}", errors=[fault]) from error
    except UnreadableFile as error:
        raise Invalid(f"{where}: {error}", errors=[PointedError(pointer=pointer, detail=str(error))]) from error
    except DecoderUnavailable as error:
        raise NotReady(f"{where}: {error}", retry_after_s=RETRY_AFTER_S) from error
    return CheckedFile(name=printable(upload.name) or f"file-{position}", upload=upload, found=found)


def spool(folder: Spool, name: str, data: bytes, until: ExitStack) -> Upload:
    """A file that comes from no request, as one that does; it is gone when ``until`` ends."""
    file = folder.file(name)
    until.callback(file.discard)
    file.write(data)
    return Upload(name, file.path, file.sha256, file.size)
