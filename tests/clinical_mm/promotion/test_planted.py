"""Models really trained on what an unlucky hospital may collect: the gate lets through only the one that is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.importing.folder import write_folder
from clinical_mm.phantom import DIAGNOSES, draw
from clinical_mm.promotion.compare import compare
from clinical_mm.promotion.decision import Decision
from clinical_mm.promotion.policy import Outcomes, Policy
from clinical_mm.training.run import train
from clinical_mm.training.split import split
from tests.models import tiny_config

TRAINING = {"epochs": 20, "batch_size": 32, "learning_rate": 0.005, "judged_cases": 0, "test_fraction": 0.4}
pytestmark = pytest.mark.slow
POLICY = Policy(outcomes=Outcomes(better="promote"))


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Labelled synthetic cases, of vitals alone so that a training takes seconds."""
    drawn = [(n, d.case) for n, d in enumerate(draw(1000, seed=3)) if len(d.case.vitals) > 3][:500]
    return [replace(case, images=(), note=None, id=f"case-{n}") for n, case in drawn]


@pytest.fixture(scope="module")
def teaches(cases: list[Case]) -> list[bool]:
    """Whether a case lies outside the test part."""
    judges = set(split([case.patient.id for case in cases], 0, 0.15, 0.4).test)
    return [n not in judges for n in range(len(cases))]


@pytest.fixture(scope="module")
def champion(cases: list[Case], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught(cases, tmp_path_factory.mktemp("champion"))


def taught(cases: Sequence[Case], folder: Path) -> Path:
    """The bundle of a model that learned from these cases."""
    write_folder(cases, folder / "snapshot")
    config = tiny_config(modalities={"vitals": {"width": 16}}, training=TRAINING)
    return train(config, folder / "snapshot", folder / "out", device="cpu", progress=lambda _: None).folder


def judged(champion: Path, challenger: Path) -> Decision:
    """On the challenger's own snapshot, as after a training."""
    snapshot = challenger.parent.parent / "snapshot"
    return compare(champion, challenger, snapshot, POLICY, Catalogue.load(), "cpu")


def test_a_batch_in_which_a_third_of_the_labels_is_wrong_makes_a_model_that_is_rejected(
    cases: list[Case], champion: Path, tmp_path: Path
) -> None:
    draw_ = np.random.default_rng(0)

    def spoiled(case: Case) -> Case:
        wrong = draw_.random(len(DIAGNOSES)) < 0.3
        held = [code in (case.diagnoses or ()) for code in DIAGNOSES]
        kept = tuple(code for code, has, off in zip(DIAGNOSES, held, wrong, strict=True) if has != off)
        return replace(case, diagnoses=kept)

    decision = judged(champion, taught([spoiled(case) for case in cases], tmp_path))
    assert decision.outcome == "reject", "though the labels that judge are as wrong as those that teach"
    assert any(reason.startswith("the sensitivity for") for reason in decision.reasons)


def test_labels_turned_round_for_one_sex_make_a_model_that_is_rejected_for_that_sex(
    cases: list[Case], champion: Path, teaches: list[bool], tmp_path: Path
) -> None:
    def turned(case: Case) -> Case:
        return replace(case, diagnoses=tuple(code for code in DIAGNOSES if code not in (case.diagnoses or ())))

    planted = [turned(c) if c.patient.sex == "F" and t else c for c, t in zip(cases, teaches, strict=True)]
    decision = judged(champion, taught(planted, tmp_path))
    assert decision.outcome == "reject"
    assert any(reason.startswith("sex F loses") for reason in decision.reasons)


def test_four_times_as_many_cases_make_a_model_that_is_promoted(
    cases: list[Case], champion: Path, teaches: list[bool], tmp_path: Path
) -> None:
    fewer = [case for n, (case, t) in enumerate(zip(cases, teaches, strict=True)) if n % 4 == 0 or not t]
    decision = judged(taught(fewer, tmp_path), champion)
    assert decision.outcome == "promote", decision.reasons
    assert decision.gain is not None
    assert decision.gain.difference.low > 0


def test_what_either_model_has_learned_from_judges_neither(champion: Path, cases: list[Case], tmp_path: Path) -> None:
    write_folder(cases, tmp_path / "cases")
    decision = compare(champion, champion, tmp_path / "cases", POLICY, Catalogue.load(), "cpu")
    assert 150 < decision.cases < 250
    (tmp_path / "strangers").mkdir()
    write_folder([replace(case, id=f"other-{case.id}") for case in cases], tmp_path / "strangers")
    unknown = compare(champion, champion, tmp_path / "strangers", POLICY, Catalogue.load(), "cpu")
    assert (unknown.outcome, unknown.cases) == ("hold", 0)
    assert "no labelled case is left" in unknown.reasons[0]
