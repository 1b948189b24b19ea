"""The manifest tells which cases and labels made a model, and holds nothing of any patient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from clinical_mm.case import Case
from clinical_mm.errors import InvalidBundle
from clinical_mm.manifest import Manifest, content_sha256
from clinical_mm.phantom import draw


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [replace(d.case, id=f"case-{n}") for n, d in enumerate(draw(12, 4))]


def of(cases: list[Case]) -> Manifest:
    names = [case.id for case in cases]
    return Manifest.of(cases, names, {"train": names[:8], "validation": names[8:10], "test": names[10:]})


def test_what_is_written_is_read_back(cases: list[Case], tmp_path: Path) -> None:
    manifest = of(
        [
            replace(cases[0], diagnoses=None),
            replace(cases[1], label_from=("review_1",), label_by=("key_1",), golden=True),
            *cases[2:],
        ]
    )
    manifest.save(tmp_path / "manifest.parquet")
    assert Manifest.load(tmp_path / "manifest.parquet") == manifest
    assert manifest.cases[0].diagnoses is None
    assert manifest.cases[10].part == "test"


def test_any_reader_of_parquet_reads_it(cases: list[Case], tmp_path: Path) -> None:
    from pyarrow import parquet

    of(cases).save(tmp_path / "manifest.parquet")
    table = parquet.read_table(tmp_path / "manifest.parquet")
    label = ["label_from", "label_by", "golden"]
    assert table.column_names == ["case", "part", "diagnoses", "patient", "content_sha256", "images", *label]
    assert table.num_rows == 12


def test_the_hash_changes_with_a_label_a_part_or_a_word_and_with_nothing_else(cases: list[Case]) -> None:
    same, first = of(cases), cases[0]
    assert of(list(cases)).sha256 == same.sha256
    assert of([replace(first, diagnoses=("sepsis",)), *cases[1:]]).sha256 != same.sha256
    assert of([replace(first, note="another word"), *cases[1:]]).sha256 != same.sha256
    assert of([replace(first, label_from=("review_1",)), *cases[1:]]).sha256 != same.sha256
    assert of([*cases[1:], first]).sha256 != same.sha256
    assert content_sha256(replace(first, diagnoses=None)) == content_sha256(first), "the label is not shown to a model"


def test_no_word_and_no_number_of_a_patient_is_in_it(cases: list[Case], tmp_path: Path) -> None:
    of(cases).save(tmp_path / "manifest.parquet")
    written = (tmp_path / "manifest.parquet").read_bytes()
    for case in cases:
        assert case.patient.id.encode() not in written
        assert case.note is None or case.note[:20].encode() not in written


def test_cases_of_one_patient_share_a_number(cases: list[Case]) -> None:
    twin = replace(cases[1], patient=cases[0].patient)
    numbers = [used.patient for used in of([cases[0], twin, *cases[2:]]).cases]
    assert numbers[0] == numbers[1]
    assert len(set(numbers)) == 11


def test_a_damaged_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InvalidBundle, match="not a readable manifest"):
        Manifest.load(tmp_path / "manifest.parquet")
