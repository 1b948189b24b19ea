"""What a word of a note is."""

from __future__ import annotations

import re

WORD = re.compile(r"\w+(?:[-'’.]\w+)*|[^\w\s]")
"""A word with its inner hyphens, apostrophes and points (``64-year-old``, ``38.6``), or one mark."""
