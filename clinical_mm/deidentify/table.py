"""Table E.1-1: what the standard has done to an attribute, under the options in force.

Source: DICOM PS3.15 Annex E. Where the table leaves a choice to the type that an attribute has in its object (X/Z/D),
the choice that every object allows is taken: a dummy rather than nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, RootModel

from clinical_mm.configs import config_folder, load_yaml
from clinical_mm.deidentify.policy import Option

EDITION = "2026c"
_TAG = re.compile(r"^\(([0-9A-F]{4}),([0-9A-F]{4})\)$")


class Action(Enum):
    """What is done to an attribute."""

    KEEP = "kept"
    REMOVE = "removed"
    EMPTY = "emptied"
    DUMMY = "replaced"
    UID = "another UID"
    CLEAN = "cleaned"
    SHIFT = "shifted"


_BASIC = {
    "X": Action.REMOVE,
    "Z": Action.EMPTY,
    "X/Z": Action.EMPTY,
    "D": Action.DUMMY,
    "Z/D": Action.DUMMY,
    "X/D": Action.DUMMY,
    "X/Z/D": Action.DUMMY,
    "U": Action.UID,
    "X/Z/U*": Action.UID,
}


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    basic: Literal["X", "Z", "X/Z", "D", "Z/D", "X/D", "X/Z/D", "U", "X/Z/U*"]
    uids: Literal["K"] | None = None
    device: Literal["K", "C"] | None = None
    institution: Literal["K"] | None = None
    patient: Literal["K", "C"] | None = None
    full_dates: Literal["K"] | None = None
    modified_dates: Literal["C"] | None = None
    descriptors: Literal["C"] | None = None
    structure: Literal["C"] | None = None
    graphics: Literal["C"] | None = None


class _Rows(RootModel[dict[str, _Row]]):
    pass


@dataclass(frozen=True)
class Table:
    """The rows by tag, ``group << 16 | element``; curves (50xx) and overlays (60xx) go whole, by their groups."""

    rows: Mapping[int, _Row]

    def action(self, tag: int, options: frozenset[Option]) -> Action | None:
        """What is done to an attribute; None where the table does not name it."""
        row = self.rows.get(tag)
        if row is None:
            return None
        said = {option: code for option in options if (code := getattr(row, option)) is not None}
        if "K" in said.values():
            return Action.KEEP
        if "modified_dates" in said:
            return Action.SHIFT
        return Action.CLEAN if said else _BASIC[row.basic]

    def basic(self, tag: int) -> Action | None:
        """What the Basic Profile alone does."""
        return self.action(tag, frozenset())


@cache
def table() -> Table:
    """The table that comes along."""
    rows = load_yaml(_Rows, config_folder() / "deidentify" / "table_e_1_1.yaml").root
    found = ((_TAG.match(name), row) for name, row in rows.items())
    return Table({int(tag[1] + tag[2], 16): row for tag, row in found if tag is not None})
