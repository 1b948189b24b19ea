"""Why a training failed, in one line that says what to do."""

from __future__ import annotations

import errno

from clinical_mm.errors import ClinicalMMError

_FULL = ("No space left on device", "os error 28", "Disk quota exceeded", "database or disk is full")
"""As libraries that write by themselves say it: safetensors, SQLite."""
_MEMORY = ("out of memory", "can't allocate memory", "Cannot allocate memory")


def reason(error: BaseException) -> str:
    """One line; of a full disk or memory what to do about it."""
    said = str(error)
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    if full or any(words in said for words in _FULL):
        return "the disk is full: free some space, then start the training again"
    if isinstance(error, MemoryError) or any(words in said for words in _MEMORY):
        return "out of memory: lower training.batch_size or the image size, then start the training again"
    plain = said if isinstance(error, ClinicalMMError | OSError) else f"{type(error).__name__}: {said}"
    return " ".join(plain.split())
