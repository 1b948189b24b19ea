"""What the model would read and is not there, and what is there and it does not read."""

from __future__ import annotations

from clinical_mm.catalogue import Catalogue
from clinical_mm.cautions.absent import Absent
from clinical_mm.cautions.not_used import NotUsed
from tests.clinical_mm.cautions.seeing import seen, told


def test_what_is_missing_is_told_with_what_the_answer_rests_on(catalogue: Catalogue) -> None:
    [caution] = told(Absent(("imaging", "text", "vitals"), catalogue), seen(note="Cough.", vitals={"spo2": 90}))
    assert (caution.code, caution.detail) == (
        "image-missing",
        "no image: the probability rests on note and vitals alone",
    )


def test_what_the_model_does_not_read_is_told(catalogue: Catalogue) -> None:
    found = told(NotUsed(("vitals",), catalogue), seen(note="Cough.", vitals={"spo2": 90, "iron": 3.0}))
    assert [(c.code, c.detail) for c in found] == [
        ("note-not-used", "this model does not read note"),
        ("vital-not-used", "this model does not know iron"),
    ]
