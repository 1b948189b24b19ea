"""The phantom: byte for byte the same for a seed, its truth where it says, and synthetic wherever it shows."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest

from clinical_mm.catalogue import Catalogue
from clinical_mm.importing.folder import read_folder
from clinical_mm.phantom import DIAGNOSES, FINDINGS, PhantomCase, draw
from clinical_mm.pictures import read_picture


def frames(item: PhantomCase, view: str) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
    pairs = zip(item.case.images, item.truth.masks, strict=True)
    return [(read_picture(i.read()).frames[0].astype(float), dict(m)) for i, m in pairs if f"-{view}." in i.name]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(drawn: list[PhantomCase]) -> None:
    again, other = list(draw(5, seed=0)), list(draw(5, seed=1))
    assert [a.case for a in again] == [d.case for d in drawn[:5]]
    assert [a.case.note for a in other] != [d.case.note for d in drawn[:5]]


def test_every_vital_is_plausible(drawn: list[PhantomCase], catalogue: Catalogue) -> None:
    for item in drawn:
        for name, value in item.case.vitals.items():
            catalogue.measure(name, value)


def test_every_image_is_a_real_dicom_marked_synthetic(drawn: list[PhantomCase]) -> None:
    both = next(d.case for d in drawn if len(d.case.images) == 2)
    frontal, lateral = (pydicom.dcmread(BytesIO(image.read())) for image in both.images)
    assert (frontal.Modality, frontal.BodyPartExamined, frontal.BitsStored) == ("DX", "CHEST", 12)
    assert (frontal.ViewPosition, lateral.ViewPosition) == ("PA", "LL")
    assert frontal.StudyInstanceUID == lateral.StudyInstanceUID
    assert frontal.SeriesInstanceUID != lateral.SeriesInstanceUID  # two pictures, not a volume of two
    assert frontal.InstitutionName.startswith("SYNTHETIC")
    assert "SYNTHETIC" in str(frontal.PatientName)
    assert read_picture(both.images[0].read()).size == (256, 256)


def test_every_note_says_that_it_is_synthetic(drawn: list[PhantomCase]) -> None:
    assert all(d.case.note is None or d.case.note.startswith("SYNTHETIC CASE.") for d in drawn)
    assert all((d.case.external_id or "").startswith("synthetic-") for d in drawn)


@pytest.mark.parametrize("view", ["PA", "LL"])
@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_changes_the_pixels_inside_its_mask(drawn: list[PhantomCase], finding: str, view: str) -> None:
    many = [pair for item in drawn for pair in frames(item, view)]
    normal = np.mean([f / f.mean() for f, masks in many if not masks], axis=0)
    shown = [float((f / f.mean() - normal)[m[finding]].mean()) for f, m in many if set(m) == {finding}]
    assert len(shown) >= 3
    assert (np.mean(shown) < -0.1) if finding == "air" else (np.mean(shown) > 0.1)


def test_spans_point_at_the_words_that_tell(drawn: list[PhantomCase]) -> None:
    told = [
        (d.case.note or "")[span.start : span.end].lower()
        for d in drawn
        for span in d.truth.spans
        if (span.symptom, span.way) == ("urinary", "affirmed")
    ]
    assert len(told) > 20
    exact = [any(word in text for word in ("urine", "dysuria")) for text in told]
    assert np.mean(exact) > 0.9  # the rest has a slip of the pen in just that word


def test_a_span_knows_the_sentence_it_stands_in(drawn: list[PhantomCase]) -> None:
    for item in drawn:
        for span in item.truth.spans:
            start, end = span.sentence
            assert start <= span.start < span.end <= end
            assert (item.case.note or "")[start - 1] == " "
            assert (item.case.note or "")[end - 1] == "."


def test_what_is_told_of_others_is_no_evidence(drawn: list[PhantomCase]) -> None:
    of_others = [d for d in drawn if "Brother once had sudden chest pain" in (d.case.note or "")]
    assert of_others
    for item in of_others:
        start = (item.case.note or "").index("Brother")
        assert not any(span.start <= start + 20 < span.end for span in item.truth.spans)


def test_prevalence_and_missingness_are_as_stated(drawn: list[PhantomCase]) -> None:
    many = [d.case for d in drawn]
    share = {code: np.mean([code in (c.diagnoses or ()) for c in many]) for code in DIAGNOSES}
    assert share["atelectasis"] == pytest.approx(0.24, abs=0.05)
    assert share["pneumonia"] == pytest.approx(0.32, abs=0.05)
    assert np.mean([not c.images for c in many]) == pytest.approx(0.1, abs=0.035)
    failing = [("heart-failure" in (c.diagnoses or ()), "nt_probnp" in c.vitals) for c in many if c.vitals]
    asked = [np.mean([measured for sick, measured in failing if sick is there]) for there in (True, False)]
    assert asked == pytest.approx([0.8, 0.6], abs=0.09)  # missing, but not at random


def test_it_is_written_as_files_with_its_truth(tmp_path: Path, catalogue: Catalogue) -> None:
    out = tmp_path / "phantom"
    command = [sys.executable, "-m", "clinical_mm.phantom", str(out), "--cases", "5", "--seed", "3"]
    subprocess.run(command, check=True, capture_output=True)
    written = list(read_folder(out, catalogue))
    assert [c.note for c in written] == [d.case.note for d in draw(5, 3)]  # type: ignore[union-attr]
    truth = [json.loads(line) for line in (out / "truth.jsonl").read_text().splitlines()]
    assert [set(t["posterior"]) for t in truth] == [set(DIAGNOSES)] * 5
    assert len(list((out / "masks").glob("*.npz"))) == sum(len(d.case.images) for d in draw(5, 3))
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "not empty" in again.stderr
