"""An import as it came: lines of cases, and the files that they name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from api.ground.strict import storable
from api.problems import Invalid, PointedError
from clinical_mm.digests import content_hash

NAME = 500
A_CASE = "[!-~]"
"""What text holds that is not blank, and that no JSON is without; as a regular expression of JSON Schema."""


@dataclass(frozen=True)
class SentFile:
    """A file: the name by which lines call it, and where its bytes lie until the request is over."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class SentImport:
    """Lines with their numbers, as they stand; and files."""

    lines: Sequence[tuple[int, str]]
    files: Sequence[SentFile]

    def digest(self) -> str:
        """What tells one import from another under the same Idempotency-Key."""
        whole = content_hash()
        for number, line in self.lines:
            whole.update(f"{number} {line}\n".encode())
        for file in sorted(self.files, key=lambda f: f.name):
            whole.update(f"{file.name} {file.sha256}\n".encode())
        return whole.hexdigest()


def sent_import(cases: bytes, files: Sequence[SentFile], most_lines: int) -> SentImport:
    """An import whose lines are there, if not yet right.

    Raises:
        Invalid: the lines are no text, none or too many; a file has no usable name, or two have the same.
    """
    try:
        text = cases.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _fault("/cases", "must be UTF-8, a case a line") from error
    if not storable(text):
        raise _fault("/cases", "must not hold NUL")
    # not splitlines: a JSON text may hold U+2028 and its like as they are
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not re.search(A_CASE, text):
        raise _fault("/cases", "holds no line")
    if len(lines) > most_lines:
        raise _fault("/cases", f"{len(lines)} lines; one import may have {most_lines}")
    for name, times in Counter(file.name for file in files).items():
        if times > 1:
            raise _fault("/files", f"{times} files are named {name!r}")
        if not (0 < len(name) <= NAME and name.isprintable()):
            raise _fault("/files", f"a file's name must have 1 to {NAME} printable characters")
    return SentImport(lines, files)


def _fault(pointer: str, detail: str) -> Invalid:
    return Invalid(f"{pointer[1:]}: {detail}", errors=[PointedError(pointer=pointer, detail=detail)])
