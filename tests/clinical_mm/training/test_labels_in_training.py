"""A whole training over labels of which some were turned round: who teaches, who judges, and what its card tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clinical_mm.bundle_layout import MANIFEST, SPLIT, read_json
from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.importing.folder import write_folder
from clinical_mm.manifest import Manifest
from clinical_mm.promotion.compare import compare
from clinical_mm.promotion.policy import Outcomes, Policy
from clinical_mm.training.label_policy import LabelPolicy, Noise
from clinical_mm.training.run import TrainedModel, train
from clinical_mm.training.split import split
from clinical_mm.training.vetting import write_labels
from tests.clinical_mm.training.test_label_noise import cases, turned
from tests.models import tiny_config

__all__ = ["cases"]
GOLDEN = {f"case_{n}" for n in range(0, 400, 4) if n % 3 == 0}
REPORT = {"labels": 400, "golden": len(GOLDEN), "as_sent": 0, "reviewed": 366, "left_out": {}, "reviewers": []}


@pytest.fixture(scope="module")
def planted(cases: list[Case]) -> list[Case]:
    """``key_2`` turns every second label; some cases of another key are golden."""
    wrong = {f"case_{n}" for n in range(2, 400, 8)}
    told = [turned(case) if case.id in wrong else case for case in cases]
    return [replace(case, golden=case.id in GOLDEN) for case in told]


def taught(cases: Sequence[Case], folder: Path, **noise: Any) -> TrainedModel:
    write_folder(cases, folder / "snapshot")
    write_labels(folder / "snapshot", LabelPolicy(noise=Noise(**noise)), REPORT)
    config = tiny_config(modalities={"vitals": {"width": 8}}, training={"epochs": 2, "batch_size": 64})
    return train(config, folder / "snapshot", folder / "out", device="cpu", progress=lambda _: None)


def parts(model: TrainedModel) -> dict[str, set[str]]:
    return {name: set(held) for name, held in read_json(model.folder / SPLIT).items()}


def test_golden_cases_judge_and_a_reviewer_who_is_named_holds_the_model(planted: list[Case], tmp_path: Path) -> None:
    model = taught(planted, tmp_path)
    held = parts(model)
    assert held["test"] >= GOLDEN
    usual = {f"case_{n}" for n in split([c.patient.id for c in planted], 0, 0.15, 0.2).test}
    assert held["test"] == usual | GOLDEN
    assert model.card["labels"]["report"] == REPORT
    [said] = model.card["labels"]["holds"]
    assert said.startswith("labels by key_2 are suspicious")
    used = {case.case: case for case in Manifest.load(model.folder / MANIFEST).cases}
    assert (used["case_2"].label_by, used["case_2"].golden, used["case_0"].golden) == (("key_2",), False, True)

    policy = Policy(gain=0.0, outcomes=Outcomes(better="promote"))
    decision = compare(model.folder, model.folder, tmp_path / "snapshot", policy, Catalogue.load(), "cpu")
    assert decision.golden == len(GOLDEN) < policy.guardrails.golden.minimum_cases
    assert f"{len(GOLDEN)} golden cases, 50 asked for: labels that follow from reviews judged" in decision.reasons
    assert said in decision.reasons
    assert decision.outcome != "promote"


def test_where_they_are_left_out_a_named_key_s_words_neither_teach_nor_judge(
    planted: list[Case], tmp_path: Path
) -> None:
    model = taught(planted, tmp_path, check="leave-out")
    held = parts(model)
    of_key_2 = {f"case_{n}" for n in range(2, 400, 4)}
    assert of_key_2 <= held["left_out"]
    suspicious = {one["case"] for one in model.card["labels"]["noise"]["suspects"]}
    assert not suspicious & (held["train"] | held["validation"])
    assert json.loads((tmp_path / "out" / "label_noise.json").read_text()) == model.card["labels"]
