"""The phantom: byte for byte the same for a seed, its truth where it says, and synthetic wherever it shows."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pydicom
import pytest

from clinical_mm.catalogue import Catalogue
from clinical_mm.phantom import DIAGNOSES, PhantomCase, draw
from clinical_mm.pictures import read_picture


@pytest.fixture(scope="module")
def drawn() -> list[PhantomCase]:
    return list(draw(150, seed=0))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(drawn: list[PhantomCase]) -> None:
    again, other = list(draw(5, seed=0)), list(draw(5, seed=1))
    assert [a.case for a in again] == [d.case for d in drawn[:5]]
    assert [a.case.note for a in other] != [d.case.note for d in drawn[:5]]


def test_every_vital_is_plausible(drawn: list[PhantomCase], catalogue: Catalogue) -> None:
    for item in drawn:
        for name, value in item.case.vitals.items():
            catalogue.measure(name, value)


def test_every_image_is_a_real_dicom_marked_synthetic(drawn: list[PhantomCase]) -> None:
    data = next(d.case.images[0].read() for d in drawn if d.case.images)
    dataset = pydicom.dcmread(BytesIO(data))
    assert (dataset.Modality, dataset.BodyPartExamined, dataset.BitsStored) == ("DX", "CHEST", 12)
    assert dataset.InstitutionName == "SYNTHETIC"
    assert "SYNTHETIC" in str(dataset.PatientName)
    assert read_picture(data).size == (256, 256)


def test_every_note_says_that_it_is_synthetic(drawn: list[PhantomCase]) -> None:
    assert all(d.case.note is None or d.case.note.startswith("SYNTHETIC CASE.") for d in drawn)
    assert all((d.case.external_id or "").startswith("synthetic-") for d in drawn)


def test_a_finding_changes_the_pixels_inside_its_mask(drawn: list[PhantomCase]) -> None:
    with_pneumonia = [d for d in drawn if set(d.truth.masks) == {"pneumonia"}]
    healthy = [d for d in drawn if d.case.images and d.case.diagnoses == ()]
    normal = np.mean([read_picture(d.case.images[0].read()).frames[0] for d in healthy], axis=0)
    brighter = [
        float((read_picture(d.case.images[0].read()).frames[0] - normal)[d.truth.masks["pneumonia"]].mean())
        for d in with_pneumonia
    ]
    assert len(brighter) > 5
    assert np.mean(brighter) > 200


def test_spans_point_at_the_words_that_tell(drawn: list[PhantomCase]) -> None:
    told = [
        (d.case.note or "")[start:end].lower()
        for d in drawn
        for start, end in d.truth.spans.get("heart-failure", ())
        if "heart-failure" in (d.case.diagnoses or ())
    ]
    assert told
    assert all(any(w in text for w in ("ankle", "oedema", "orthopnoea", "pillows", "heart sound")) for text in told)


def test_prevalence_and_missingness_are_as_stated() -> None:
    many = [d.case for d in draw(600, seed=4)]
    share = {code: np.mean([code in (c.diagnoses or ()) for c in many]) for code in DIAGNOSES}
    assert share["pneumonia"] == pytest.approx(0.35, abs=0.06)
    assert share["heart-failure"] == pytest.approx(0.25, abs=0.05)
    assert np.mean([not c.images for c in many]) == pytest.approx(0.1, abs=0.04)


def test_a_vital_speaks_for_a_diagnosis_that_shifts_it(drawn: list[PhantomCase]) -> None:
    sick = [
        d.truth.vitals["pneumonia"]["crp"]
        for d in drawn
        if d.case.diagnoses == ("pneumonia",) and "crp" in d.case.vitals
    ]
    well = [d.truth.vitals["pneumonia"]["crp"] for d in drawn if d.case.diagnoses == () and "crp" in d.case.vitals]
    assert np.mean(sick) > 0 > np.mean(well)
