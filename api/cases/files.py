"""The stored objects of a case: the bytes, a picture of them, and the 16-bit values that a viewer windows by itself."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.access.service import Caller
from api.cases.service import Cases
from api.cases.tables import CaseFileRow
from api.ground.ground import Ground
from api.problems import NotFound

if TYPE_CHECKING:
    from clinical_mm.pictures import Picture

MOST_DECODED_BYTES = 64 * 2**20
"""Pixel values kept decoded between requests."""


@dataclass(frozen=True)
class StoredFile:
    """A file's bytes as sent, a piece at a time."""

    pieces: Iterator[bytes]
    size: int
    media_type: str
    name: str
    sha256: str


@dataclass(frozen=True)
class RawFrame:
    """One frame as ``uint16[rows, columns]`` little endian; value = stored * slope + intercept."""

    data: bytes
    rows: int
    columns: int
    slope: float
    intercept: float


class Files:
    """Reads the files of cases."""

    def __init__(self, ground: Ground, cases: Cases) -> None:
        self._ground = ground
        self._cases = cases
        self._decoded: OrderedDict[str, Picture] = OrderedDict()
        self._lock = threading.Lock()

    def content(self, caller: Caller, case_id: str, position: int) -> StoredFile:
        """The object as it was sent; raises NotFound."""
        row = self._row(caller, case_id, position)
        return StoredFile(self._ground.blobs.pieces(row.sha256), row.size, row.media_type, row.name, row.sha256)

    def preview(
        self, caller: Caller, case_id: str, position: int, *, window: tuple[float, float] | None, frame: int, size: int
    ) -> bytes:
        """A PNG of one frame; raises NotFound for a frame that is not there."""
        from clinical_mm.pictures import preview_png

        picture = self._picture(caller, case_id, position, frame)
        return preview_png(picture, window=window, frame=frame, size=size)

    def raw(self, caller: Caller, case_id: str, position: int, frame: int) -> RawFrame:
        """One frame for a viewer; raises NotFound for a frame that is not there."""
        from clinical_mm.pictures import frame_raw

        return RawFrame(*frame_raw(self._picture(caller, case_id, position, frame), frame))

    def _picture(self, caller: Caller, case_id: str, position: int, frame: int) -> Picture:
        row = self._row(caller, case_id, position)
        if not 0 <= frame < row.frames:
            raise NotFound(f"file {position} of case {case_id} has {row.frames} frames, no frame {frame}")
        return self._decode(row.sha256)

    def _decode(self, digest: str) -> Picture:
        """A reader looks at one file many times in a row (window, frames): the last few stay decoded."""
        from clinical_mm.pictures import read_picture

        with self._lock:
            known = self._decoded.get(digest)
            if known is not None:
                self._decoded.move_to_end(digest)
                return known
        picture = read_picture(self._ground.blobs.get(digest))
        with self._lock:
            self._decoded[digest] = picture
            while sum(p.nbytes for p in self._decoded.values()) > MOST_DECODED_BYTES:
                self._decoded.popitem(last=False)
        return picture

    def _row(self, caller: Caller, case_id: str, position: int) -> CaseFileRow:
        with self._ground.database.reading() as session:
            files = self._cases.row(session, caller.project_id, case_id).files
        if not 0 <= position < len(files):
            raise NotFound(f"case {case_id} has {len(files)} files, no file {position}")
        return files[position]
