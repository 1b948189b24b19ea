"""The time, in one place; always UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, with its zone."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """A moment as RFC 3339 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
