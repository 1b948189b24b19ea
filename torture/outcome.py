"""What an ordeal has to tell: a table for the reader, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """``table`` is markdown; an ordeal without ``faults`` is survived."""

    table: str
    faults: list[str] = field(default_factory=list)
