"""A folder of cases goes out in portions that one request can carry."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical_mm.client.folders import portions

LARGE = 5_000


@pytest.mark.parametrize("most", [1, LARGE])
def test_a_folder_falls_into_portions_by_what_its_files_weigh(tmp_path: Path, most: int) -> None:
    for n in range(3):
        (tmp_path / f"{n}.bin").write_bytes(bytes(2000))
    text = "\n".join(f'{{"files": ["{n}.bin"]}}' for n in (0, 0, 1, 2)) + "\nno json\n"
    (tmp_path / "cases.jsonl").write_text(text, encoding="utf-8")
    told = [(len(lines), sorted(files)) for lines, files in portions(tmp_path, most, 100)]
    alone = [(1, ["0.bin"]), (1, ["0.bin"]), (1, ["1.bin"]), (1, ["2.bin"]), (1, [])]
    together = [(3, ["0.bin", "1.bin"]), (2, ["2.bin"])]
    assert told == (alone if most == 1 else together)
