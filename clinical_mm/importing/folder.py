"""The plain folder: ``cases.jsonl``, a case a line in the contract's JSON plus ``id``, ``golden`` and ``files``.

It is what ``cases export`` writes, what ``cases import --format folder`` reads, and what a training snapshot is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from clinical_mm.case import Case, ImageFile
from clinical_mm.catalogue import Catalogue
from clinical_mm.digests import content_hash
from clinical_mm.errors import ClinicalMMError, InvalidCase, NotEnoughData
from clinical_mm.importing.case_json import case_from_json, case_to_json
from clinical_mm.importing.outcome import Imported, Refused

CASES = "cases.jsonl"


def write_folder(cases: Iterable[Case], folder: Path) -> int:
    """Write cases and their files; files on the same disk are hard links, not copies. Gives how many.

    ``cases.jsonl`` appears only when all is written, so a folder that holds it is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{CASES}.unfinished"
    count = 0
    with unfinished.open("w", encoding="utf-8") as lines:
        for case in cases:
            files = [_write_file(image, folder) for image in case.images]
            identity = {"id": case.id} if case.id else {}
            document = {**identity, **case_to_json(case), **_of_its_label(case), "files": files}
            lines.write(json.dumps(document, ensure_ascii=False) + "\n")
            count += 1
        lines.flush()
        os.fsync(lines.fileno())
    unfinished.rename(folder / CASES)
    return count


def read_folder(folder: Path, catalogue: Catalogue) -> Iterator[Imported]:
    """Cases of a folder; a line that is wrong is refused with its number, the others are read.

    Raises:
        FileNotFoundError: there is no ``cases.jsonl``.
    """
    root = folder.resolve()
    with (root / CASES).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield _read_line(line, root, catalogue)
            except (ClinicalMMError, ValueError, OSError) as error:
                yield Refused(f"{CASES} line {number}", str(error))


def whole_folder(folder: Path, catalogue: Catalogue) -> list[Case]:
    """Every case of a folder that is to hold no faulty line; raises NotEnoughData where one is, FileNotFoundError."""
    cases: list[Case] = []
    for item in read_folder(folder, catalogue):
        if isinstance(item, Refused):
            raise NotEnoughData(f"the snapshot is damaged: {item.where}: {item.reason}")
        cases.append(item)
    return cases


def folder_sha256(folder: Path, cases: Iterable[Case]) -> str:
    """SHA-256 over ``cases.jsonl`` and the content of every file that it names, in its order.

    ``cases``: what ``whole_folder`` gave of it, whose files are hashed once whoever asks.
    """
    whole, read = content_hash(), iter(cases)
    with (folder / CASES).open("rb") as lines:
        for line in lines:
            whole.update(line)
            for image in next(read).images if line.strip() else ():
                whole.update(bytes.fromhex(image.sha256))
    return whole.hexdigest()


def _read_line(line: str, root: Path, catalogue: Catalogue) -> Case:
    data: Any = json.loads(line)
    if not isinstance(data, dict):
        raise InvalidCase("a line must hold a JSON object")
    names, case_id = data.pop("files", []), str(data.pop("id", ""))
    label_from, label_by = (tuple(map(str, data.pop(key, []))) for key in ("label_from", "label_by"))
    golden = bool(data.pop("golden", False))
    images = []
    for position, name in enumerate(names):
        path = (root / str(name)).resolve()
        if not path.is_relative_to(root):
            raise InvalidCase(f"file {name!r} lies outside the folder", f"/files/{position}")
        if not path.is_file():
            raise InvalidCase(f"file {name!r} is not there", f"/files/{position}")
        images.append(ImageFile(path.name, path))
    read = case_from_json(data, catalogue, images, case_id)
    return replace(read, label_from=label_from, label_by=label_by, golden=golden)


def _of_its_label(case: Case) -> dict[str, Any]:
    """Where a label comes from, and whether it is locked; what is not so is left out."""
    told = {"label_from": case.label_from, "label_by": case.label_by, "golden": case.golden}
    return {key: value for key, value in told.items() if value}


def _write_file(image: ImageFile, folder: Path) -> str:
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", image.name).lstrip(".")[-100:] or "file"
    relative = f"files/{image.sha256}/{safe}"
    target = folder / relative
    if target.exists():
        return relative
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if isinstance(image.source, Path):
            os.link(image.source, target)
            return relative
    except OSError:  # another disk, or a file system without hard links: copy below
        pass
    target.write_bytes(image.read())
    return relative
