"""A folder of cases, as ``cases export`` writes it, in portions that one request can carry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

CASES = "cases.jsonl"


def portions(folder: Path, most_bytes: int, most_lines: int) -> Iterator[tuple[list[str], dict[str, Path]]]:
    """Lines, and the files that they name, in turn; a line whose files alone are more comes by itself.

    A line that is no JSON, or names a file that is not there, goes along as it is: the service tells what is wrong.

    Raises:
        FileNotFoundError: there is no ``cases.jsonl``.
    """
    root = folder.resolve()
    lines: list[str] = []
    files: dict[str, Path] = {}
    size = 0
    with (root / CASES).open(encoding="utf-8", newline="\n") as all_lines:
        for line in filter(str.strip, all_lines):
            named = {name: path for name, path in _named(line, root) if name not in files}
            more = len(line.encode()) + sum(path.stat().st_size for path in named.values())
            if lines and (size + more > most_bytes or len(lines) == most_lines):
                yield lines, files
                lines, files, size = [], {}, 0
                named = dict(_named(line, root))
            lines.append(line.rstrip("\n"))
            files |= named
            size += more
    if lines:
        yield lines, files


def _named(line: str, root: Path) -> Iterator[tuple[str, Path]]:
    try:
        names = json.loads(line).get("files", [])
    except (ValueError, AttributeError):
        return
    for name in names if isinstance(names, list) else ():
        path = (root / str(name)).resolve()
        if path.is_relative_to(root) and path.is_file():
            yield str(name), path
