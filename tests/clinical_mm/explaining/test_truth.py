"""The measures against the phantom's truth: an account that is the truth scores best, and its opposite worst."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clinical_mm.answers import Contribution, Explanation
from clinical_mm.explaining.truth import CAUSING, against_truth
from clinical_mm.modalities.base import HeatMap, VitalAttribution, word_spans
from clinical_mm.phantom import draw
from clinical_mm.phantom.draw import PhantomCase
from clinical_mm.phantom.posterior import lost_without, shares


@pytest.fixture(scope="module")
def drawn() -> PhantomCase:
    """A case with everything, whose image and note both speak for pneumonia."""
    return next(d for d in draw(200, seed=3) if len(d.truth.evidence.present) == 3 and bears(d) == {"image", "note"})


def bears(drawn: PhantomCase) -> set[str]:
    if drawn.case.diagnoses != ("pneumonia",):
        return set()
    lost = lost_without(drawn.truth.evidence, "pneumonia")
    shown = {name for masks in drawn.truth.masks for name in masks}
    told = {span.symptom for span in drawn.truth.spans}
    causing = {name for name, gain in lost.items() if gain >= CAUSING}
    return {word for word, names in (("image", shown), ("note", told)) if causing & names}


def truth_told(drawn: PhantomCase) -> Explanation:
    """The account that tells just what was drawn."""
    target, note = "pneumonia", drawn.case.note or ""
    lost = lost_without(drawn.truth.evidence, target)
    heat = [
        np.sum([mask * lost[name] for name, mask in masks.items() if name in lost], axis=0)
        for masks in drawn.truth.masks
    ]
    sentences = [(*span.sentence, lost[span.symptom]) for span in drawn.truth.spans if span.symptom in lost]
    return Explanation(
        target=target,
        method="truth",
        baseline_value=0.0,
        value=1.0,
        completeness_error=0.0,
        contributions=tuple(Contribution(*share) for share in shares(drawn.truth.evidence, target).items()),
        text=word_spans(note, sentences),
        vitals=tuple(
            VitalAttribution(name, drawn.case.vitals[name], "", ratio)
            for name, ratio in drawn.truth.vitals[target].items()
        ),
        images=tuple(pictured(file, values) for file, values in enumerate(heat)),
    )


def pictured(file: int, values: np.ndarray) -> HeatMap:
    y, x = np.unravel_index(values.argmax(), values.shape)
    return HeatMap(file, 0, values, (int(x), int(y)))


def test_the_truth_itself_scores_best(drawn: PhantomCase) -> None:
    found = against_truth(truth_told(drawn), drawn)
    assert found.pointing == 1
    assert found.ranks == pytest.approx(1)
    assert found.shares == pytest.approx(0, abs=1e-9)
    assert found.precision == 1
    assert found.precision_chance is not None
    assert found.precision_chance < 1


def test_its_opposite_scores_worst(drawn: PhantomCase) -> None:
    account = truth_told(drawn)
    told = {span.text for span in account.text if span.attribution}
    wrong = replace(
        account,
        text=tuple(replace(span, attribution=float(span.text not in told)) for span in account.text),
        vitals=tuple(replace(vital, attribution=-vital.attribution) for vital in account.vitals),
        images=tuple(pictured(heat.file, -heat.values) for heat in account.images),
    )
    found = against_truth(wrong, drawn)
    assert (found.pointing, found.precision) == (0, 0)
    assert found.ranks == pytest.approx(-1)
