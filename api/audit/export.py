"""A part of the trail as a file that can be verified by itself: a line of JSON an entry, and one that ends it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from api.audit.chain import Entry, canonical, is_signed, moment_text, sign
from api.audit.verify import Verdict, Walk, fields_of
from api.ground.clock import now

END = "end"


def export(entries: Iterable[Entry], file: Path, key: bytes) -> int:
    """Write entries and a signed last line; the file is there whole or not at all. Gives how many there are."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    told: dict[str, Any] = {"entries": 0, "first": None, "last": None, "hash": None}
    try:
        with fresh.open("wb") as out:
            for entry in entries:
                out.write(canonical(entry) + b"\n")
                first = entry["id"] if told["first"] is None else told["first"]
                told = {"entries": told["entries"] + 1, "first": first, "last": entry["id"], "hash": entry["hash"]}
            told["exported_at"] = moment_text(now())
            out.write(canonical({END: {**told, "signature": sign(key, told)}}) + b"\n")
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
    return int(told["entries"])


def verify_file(file: Path, key: bytes | None, progress: Callable[[int], object] = lambda _: None) -> Verdict:
    """Walk an exported file; its signature is held against ``key``, None where there is none to hold it against."""
    walk, end = Walk(start=None), None
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            told = _parsed(line)
            if end is not None:
                walk.found.tell(None, "inserted", f"line {number} stands after the end")
            elif isinstance(told, dict) and told.keys() == {END}:
                end = told[END]
            elif fields_of(told):
                walk.take(told)
            else:
                walk.found.tell(None, "edited", f"line {number} is no entry")
            progress(len(line))
    _check_end(walk.found, end, key)
    return walk.end()


def _check_end(found: Verdict, end: Any, key: bytes | None) -> None:
    if not isinstance(end, dict):
        found.tell(found.last + 1, "truncated", "the last line, which tells the end, is missing")
        return
    told = {name: value for name, value in end.items() if name != "signature"}
    if key is not None and not is_signed(key, told, str(end.get("signature"))):
        found.tell(None, "head", "the last line is not signed by this installation")
    if (end.get("entries"), end.get("last") or 0) != (found.entries, found.last):
        there = f"{found.entries} entries, the last {found.last}"
        said = f"{end.get('entries')} entries, the last {end.get('last')}"
        found.tell(found.last + 1, "truncated", f"the file holds {there}; its last line says {said}")
    elif found.entries and end.get("hash") != found.hash:
        found.tell(found.last, "head", "the last line has another hash than the last entry")


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
