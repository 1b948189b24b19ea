"""Tests and ordeals that a document names, and whether they exist."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
NAMED = re.compile(r"`((?:tests|torture)/[\w/]+\.py)(?:::(\w+))?`")


def named(cell: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Of a table's cell: what it names as being there, and after ``later:`` as being built; file and test."""
    now, _, later = cell.partition("later:")
    return NAMED.findall(now), NAMED.findall(later)


def missing(cell: str) -> list[str]:
    """Names that lead nowhere; those that come later are demanded once their file is there."""
    now, later = named(cell)
    demanded = [*now, *((file, test) for file, test in later if (REPOSITORY / file).exists())]
    return [f"{file}::{test}" for file, test in demanded if not _exists(file, test)]


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
