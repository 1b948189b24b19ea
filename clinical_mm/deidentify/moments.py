"""Dates moved by whole days; times of the day stay.

Source: DICOM PS3.5 6.2 (DA, DT); the two old forms of a date that files still have, ``1999.12.31`` and ``1999-12-31``.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

_DATE = re.compile(r"^(\d{4})([.\-]?)(\d{2})\2(\d{2})$")
_DATETIME = re.compile(r"^(\d{4})(\d{2})?(\d{2})?(.*)$", re.DOTALL)
MID_MONTH = 15
"""The day that a month without one is moved by."""


def shifted_da(text: str, days: int) -> str | None:
    """A DICOM date; None where it is none."""
    found = _DATE.match(text.strip())
    moved = None if found is None else moved_day(int(found[1]), int(found[3]), int(found[4]), days)
    return None if moved is None else f"{moved:%Y%m%d}"


def shifted_dt(text: str, days: int) -> str | None:
    """A DICOM date and time, cut at whatever precision it came with; None where it is none."""
    found = _DATETIME.match(text.strip())
    if found is None:
        return None
    year, month, day, rest = found.groups()
    if month is None or (day is None and rest and not rest.startswith(("+", "-"))):
        return text.strip() if month is None and not rest else None
    moved = moved_day(int(year), int(month), int(day or MID_MONTH), days)
    if moved is None:
        return None
    return f"{moved:%Y%m%d}{rest}" if day else f"{moved:%Y%m}{rest}"


def shifted_moment(moment: datetime, days: int) -> datetime:
    """A moment with its zone."""
    return moment + timedelta(days=days)


def moved_day(year: int, month: int, day: int, days: int) -> date | None:
    """A day of the calendar, moved; None where there is no such day."""
    try:
        return date(year, month, day) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
