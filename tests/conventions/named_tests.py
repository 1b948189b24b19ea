"""Tests and ordeals that a document names, and whether they exist."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
NAMED = re.compile(r"`((?:tests|torture)/[\w/]+\.py)(?:::(\w+))?`")


def named(cell: str) -> list[tuple[str, str]]:
    """What a table's cell names: file and test; an ordeal is a file alone."""
    return NAMED.findall(cell)


def missing(cell: str) -> list[str]:
    """Names that lead nowhere."""
    return [f"{file}::{test}" for file, test in named(cell) if not _exists(file, test)]


def _exists(file: str, test: str) -> bool:
    path = REPOSITORY / file
    return path.is_file() and (
        not test or re.search(rf"^\s*(async )?def {test}\(", path.read_text(encoding="utf-8"), re.M) is not None
    )


def table_rows(document: Path, columns: int) -> list[list[str]]:
    """The cells of every table row of so many columns, without heads and rules."""
    lines = document.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in rows if len(row) == columns and not set(row[0]) <= {"-", "#"}]
