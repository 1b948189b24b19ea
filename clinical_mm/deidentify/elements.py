"""The elements of a DICOM data set, each treated as the table says, in sequences of any depth.

Source: DICOM PS3.15 E.2 (Basic Profile) and E.3 (options).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydicom.datadict import dictionary_has_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from clinical_mm.deidentify.keyed import Pseudonyms
from clinical_mm.deidentify.known import PLACE, Known
from clinical_mm.deidentify.moments import shifted_da, shifted_dt
from clinical_mm.deidentify.policy import Policy
from clinical_mm.deidentify.report import Report
from clinical_mm.deidentify.table import Action, Table, table
from clinical_mm.deidentify.values import TEXT, text_values, values_of, vr_of

PATIENT_ID, PATIENT_AGE = 0x00100020, 0x00101010
_GROUPS_REMOVED = frozenset({0x50, 0x60})
"""Curves and overlays, by the first byte of their group."""
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_LONGEST = {"AE": 16, "CS": 16, "LO": 64, "PN": 64, "SH": 16, "DS": 16, "IS": 12}
_DUMMIES: dict[str, Any] = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), "REMOVED"),
    **dict.fromkeys(("DS", "IS"), "0"),
    **dict.fromkeys(("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"), 0),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), b"\0" * 8),
    "AS": "000Y",
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "UR": "about:blank",
}


@dataclass(frozen=True)
class Rules:
    """What the elements of one patient's files are treated by.

    Attributes:
        days: by how many days dates move.
        clean: a text without names, ids and dates.
    """

    policy: Policy
    pseudonyms: Pseudonyms
    known: Known
    days: int
    clean: Callable[[str], str]
    table: Table = field(default_factory=table)


def clean_elements(ds: Dataset, rules: Rules, report: Report) -> None:
    """Treat every element of ``ds``, in place. What the standard does not know is removed with what is private."""
    for key in list(ds.keys()):
        tag = int(key)
        if tag & 0xFFFF == 0:  # a group's length, retired, and wrong from now on
            del ds[key]
        elif key.is_private:
            _clean_private(ds, tag, rules, report)
        elif tag >> 24 in _GROUPS_REMOVED and (tag >> 16) % 2 == 0:
            del ds[key]
            report.counts["overlays"] += 1
        elif not dictionary_has_tag(tag):
            del ds[key]
            report.counts["unknown"] += 1
        else:
            _act(ds, tag, rules.table.action(tag, rules.policy.options), rules, report)


def _act(ds: Dataset, tag: int, action: Action | None, rules: Rules, report: Report) -> None:
    vr = vr_of(ds, tag)
    if action is Action.CLEAN and vr not in TEXT:
        action = rules.table.basic(tag)
    if action is Action.REMOVE:
        del ds[tag]
        report.tell(action.value, tag)
    elif action in {None, Action.KEEP}:
        _keep(ds, tag, vr, rules, report)
    elif vr == "SQ" and action is Action.UID:
        _descend(ds, tag, rules, report)
    elif not ds.get_item(tag).value:
        return
    else:
        _replace(ds, tag, vr, action, rules, report)


def _replace(ds: Dataset, tag: int, vr: str, action: Action | None, rules: Rules, report: Report) -> None:
    if tag == PATIENT_ID:
        code = rules.pseudonyms.code("p", "\\".join(text_values(ds, tag)))
        _set(ds, tag, vr, code, report, Action.DUMMY)
    elif action is Action.UID or vr == "UI":
        _another_uid(ds, tag, rules, report)
    elif action is Action.SHIFT:
        _shift(ds, tag, vr, rules, report)
    elif action is Action.CLEAN:
        cleaned = [rules.clean(text)[: _LONGEST.get(vr)] for text in text_values(ds, tag)]
        _set(ds, tag, vr, cleaned, report, Action.CLEAN)
    elif action is Action.EMPTY:
        _set(ds, tag, vr, Sequence() if vr == "SQ" else None, report, Action.EMPTY)
    else:
        _set(ds, tag, vr, Sequence([Dataset()]) if vr == "SQ" else _DUMMIES[vr], report, Action.DUMMY)


def _another_uid(ds: Dataset, tag: int, rules: Rules, report: Report) -> None:
    before = text_values(ds, tag)
    after = [rules.pseudonyms.uid(uid) for uid in before]
    if after != before:
        report.counts["uids"] += 1
        ds[tag] = DataElement(tag, "UI", after)


def _set(ds: Dataset, tag: int, vr: str, value: Any, report: Report, action: Action) -> None:
    """Another value; told where it is another one, so that what was de-identified before tells nothing anew."""
    fresh = DataElement(tag, vr, value)
    if (ds[tag].value != value) if vr == "SQ" else (text_values(ds, tag) != values_of(fresh)):
        report.tell(action.value, tag)
        ds[tag] = fresh


def _shift(ds: Dataset, tag: int, vr: str, rules: Rules, report: Report) -> None:
    if vr not in {"DA", "DT"}:  # times stay, and so does the zone they are in
        return
    move = shifted_da if vr == "DA" else shifted_dt
    moved = [move(text, rules.days) for text in text_values(ds, tag)]
    if any(one is None for one in moved):  # no date: it might be anything
        _set(ds, tag, vr, None, report, Action.EMPTY)
        return
    if rules.days:
        report.counts["dates"] += len(moved)
        ds[tag] = DataElement(tag, vr, moved)


def _keep(ds: Dataset, tag: int, vr: str, rules: Rules, report: Report) -> None:
    """Keep an element, but for the names and ids that the header gives elsewhere."""
    if tag in _PIXELS:
        return
    if vr == "SQ":
        _descend(ds, tag, rules, report)
    elif tag == PATIENT_AGE:
        _cap_age(ds, rules, report)
    elif vr in TEXT and (texts := text_values(ds, tag)):
        masked = [_without(text, rules.known)[: _LONGEST.get(vr)] for text in texts]
        if masked != texts:
            _set(ds, tag, vr, None if vr in {"DS", "IS"} else masked, report, Action.CLEAN)


def _without(text: str, known: Known) -> str:
    for start, end, kind in sorted(known.spans(text), reverse=True):
        if kind == PLACE:  # makers of machines are called as hospitals are
            continue
        text = f"{text[:start]}REMOVED{text[end:]}"
    return text


def _cap_age(ds: Dataset, rules: Rules, report: Report) -> None:
    said = text_values(ds, PATIENT_AGE)
    found = re.fullmatch(r"(\d{1,3})Y", said[0].strip()) if len(said) == 1 else None
    if found is not None and int(found[1]) > rules.policy.oldest_age:
        _set(ds, PATIENT_AGE, "AS", f"{rules.policy.oldest_age + 1:03d}Y", report, Action.DUMMY)


def _descend(ds: Dataset, tag: int, rules: Rules, report: Report) -> None:
    for item in ds[tag].value or ():
        clean_elements(item, rules, report)


def _clean_private(ds: Dataset, tag: int, rules: Rules, report: Report) -> None:
    """Remove a private element; one that the policy calls safe stays with its creator's."""
    if not _is_safe(ds, tag, rules.policy):
        del ds[Tag(tag)]
        report.counts["private"] += 1


def _is_safe(ds: Dataset, tag: int, policy: Policy) -> bool:
    if not policy.safe_private:
        return False
    group, element = tag >> 16, tag & 0xFFFF
    is_creator = 0x10 <= element <= 0xFF
    creator_tag = Tag(tag if is_creator else group << 16 | element >> 8)
    if creator_tag not in ds:
        return False
    creator = "".join(text_values(ds, int(creator_tag))).strip()
    safe = [s for s in policy.safe_private if s.creator == creator and int(s.group, 16) == group]
    if is_creator:
        return bool(safe)
    return vr_of(ds, tag) != "SQ" and any(int(s.element, 16) == element & 0xFF for s in safe)
