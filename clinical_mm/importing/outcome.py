"""What an importer says of each thing it meets: a case, or why not."""

from __future__ import annotations

from dataclasses import dataclass

from clinical_mm.case import Case


@dataclass(frozen=True)
class Refused:
    """Something that is not imported: where it is (file, line, row) and why."""

    where: str
    reason: str


Imported = Case | Refused
