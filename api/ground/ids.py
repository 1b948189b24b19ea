"""Identifiers: opaque, unguessable enough for a URL, and sortable by the time they were made."""

from __future__ import annotations

import secrets
import threading
import time
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
FORM = r"[a-z]{2,20}_[0-9a-hjkmnp-tv-z]{20}"
"""What every identifier looks like, as a regular expression."""
_lock = threading.Lock()
_last_ms = 0


def new_id(prefix: str) -> str:
    """``prefix_`` + 9 characters of milliseconds + 11 random ones; ids of one process never go back in time."""
    global _last_ms  # noqa: PLW0603 - the one clock of this process
    with _lock:
        _last_ms = max(_last_ms + 1, int(time.time() * 1000))
        moment = _last_ms
    return f"{prefix}_{_encode(moment, 9)}{_encode(secrets.randbits(55), 11)}"


def first_id(prefix: str, moment: datetime) -> str:
    """No id that was made at this moment or later sorts before it: what an index of ids makes of a time."""
    return f"{prefix}_{_encode(max(0, int(moment.timestamp() * 1000)), 9)}"


def _encode(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
