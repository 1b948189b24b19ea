"""Dates of a note, read and moved like those of its patient's files. A year alone names nobody and stays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from clinical_mm.deidentify.moments import MID_MONTH, moved_day

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            *("jan january januar", "feb february februar", "mar march mrz märz", "apr april", "may mai"),
            *("jun june juni", "jul july juli", "aug august", "sep sept september", "oct october okt oktober"),
            *("nov november", "dec december dez dezember"),
        ),
        start=1,
    )
    for name in names.split()
}
_MONTH = "|".join(sorted((name.capitalize() for name in _MONTHS), key=len, reverse=True))
_MONTH = rf"(?P<month>{_MONTH}|{_MONTH.upper()})\.?"
_DAY = r"(?P<day>0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_FORMS = (
    re.compile(rf"(?<![\w./-]){_YEAR}[-/.](?P<m>0?[1-9]|1[0-2])[-/.]{_DAY}(?![\w/-]|\.\d)"),
    re.compile(rf"(?<![\w.-]){_YEAR}(?P<m>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])(?![\w-])"),
    re.compile(r"(?<![\w./-])(?P<a>\d{1,2})(?P<mark>[/.-])(?P<b>\d{1,2})(?P=mark)(?P<year>\d{4}|\d{2})(?![\w/-]|\.\d)"),
    re.compile(rf"\b{_MONTH}[ \t]+{_DAY}(?:st|nd|rd|th)?(?:,?[ \t]+{_YEAR})?(?![\w/%]|[ \t]*(?:mg|ml|cm|mm)\b)"),
    re.compile(rf"(?<![\w./-]){_DAY}(?:st|nd|rd|th|\.)?(?:[ \t]+of)?[ \t-]+{_MONTH}(?:,?[ \t-]+{_YEAR})?(?!\w)"),
    re.compile(rf"\b{_MONTH}(?:,|[ \t]+of)?[ \t-]+{_YEAR}(?!\w)"),
    re.compile(r"(?<![\w./-])(?P<m>0?[1-9]|1[0-2])/(?P<year>(?:19|20)\d\d)(?![\w/])"),
    re.compile(r"(?i:\b(?:on|since|until|dated|from|of|by)\s+)(?P<short>\d{1,2}/\d{1,2})(?![\w/%]|\.\d)"),
)
_PIVOT = 30
"""Two-digit years up to here are of this century."""


def date_spans(note: str, days: int | None, order: Literal["mdy", "dmy"]) -> Iterator[tuple[int, int, str]]:
    """(start, end, what stands there instead) of each date.

    Args:
        note: the text.
        days: by how many days dates move; None = only that a date stood there is told.
        order: how 03/04/2026 is read where neither number can be a month alone.
    """
    for form in _FORMS:
        for found in form.finditer(note):
            start, end = found.span("short") if "short" in form.groupindex else found.span()
            yield start, end, "[DATE]" if days is None else _moved(found.groupdict(), days, order)


def _moved(parts: dict[str, str | None], days: int, order: str) -> str:
    said_year, said_day = parts.get("year"), parts.get("day")
    if said_year is None:
        return "[DATE]"
    year = int(said_year) if len(said_year) == 4 else int(said_year) + (2000 if int(said_year) <= _PIVOT else 1900)
    if (first := parts.get("a")) is not None:
        month, day = _ordered(int(first), int(parts["b"] or 0), "dmy" if parts["mark"] == "." else order)
    else:
        month = int(parts.get("m") or _MONTHS[(parts["month"] or "").lower()])
        day = int(said_day or MID_MONTH)
    moved = moved_day(year, month, day, days)
    if moved is None:
        return "[DATE]"
    return f"[DATE {moved:%Y-%m-%d}]" if said_day or first is not None else f"[DATE {moved:%Y-%m}]"


def _ordered(first: int, second: int, order: str) -> tuple[int, int]:
    """The month and the day."""
    if first > 12 or (second <= 12 and order == "dmy"):
        return second, first
    return first, second
