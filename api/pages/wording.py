"""Values in words: moments, people, names of modalities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from api.cases.schemas import CaseOut
from clinical_mm.catalogue import Catalogue

SEXES = {"F": "female", "M": "male", "O": "other", "U": "sex unknown"}
NO_BREAK = "\N{NO-BREAK SPACE}"
MODALITIES = {"imaging": "image", "text": "note", "vitals": "vitals", "words": "note's words"}


def moment(value: datetime | None) -> str:
    """A moment, to the minute, in UTC."""
    return "" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def person(case: CaseOut) -> str:
    """Sex and age."""
    age = case.patient.age_years
    parts = [SEXES.get(case.patient.sex or "", ""), "" if age is None else f"{age:g}{NO_BREAK}years"]
    return ", ".join(part for part in parts if part) or "sex and age unknown"


def name_of(actor: str) -> str:
    """``Dr. A`` of ``Dr. A (key_...)``: who did it, without the id of the key."""
    name, bracket, _ = actor.rpartition(" (")
    return name if bracket else actor


def has(case: CaseOut) -> str:
    """What the case brings."""
    files = len(case.files)
    image = "" if not files else ("image" if files == 1 else f"{files}{NO_BREAK}images")
    vitals = f"{len(case.vitals)}{NO_BREAK}vitals" if case.vitals else ""
    return ", ".join(part for part in (image, "note" if case.note else "", vitals) if part)


def named(catalogue: Catalogue, codes: Iterable[str] | None) -> str:
    """Diagnoses by their names; ``none`` for a label of none."""
    if codes is None:
        return ""
    names = {d.code: d.display for d in catalogue.diagnoses}
    return ", ".join(names.get(code, code) for code in codes) or "none of the catalogue"


def what_is_absent(present: Mapping[str, bool]) -> str:
    """``No image: the probabilities rest on note and vitals.``; empty where nothing is absent."""
    gone = [MODALITIES.get(name, name) for name, there in present.items() if not there]
    left = [MODALITIES.get(name, name) for name, there in present.items() if there]
    if not gone:
        return ""
    return f"No {_joined(gone, 'and no')}: the probabilities rest on {_joined(left, 'and')} alone."


def _joined(words: Sequence[str], last: str) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
