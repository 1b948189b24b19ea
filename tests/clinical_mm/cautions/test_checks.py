"""All checks of a model together: learned in training, kept in its bundle, asked at prediction."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.cautions import CHECKS, Checks, Seen
from clinical_mm.errors import InvalidBundle
from clinical_mm.predictor import Predictor, load_model
from tests.clinical_mm.cautions.seeing import told
from tests.clinical_mm.cautions.test_language import GERMAN

STATES = {name: np.random.default_rng(7).normal(size=(120, 8)).astype(np.float32) for name in ("text", "vitals")}


def codes(predictor: Predictor, case: Case) -> set[str]:
    return {warning.code for warning in predictor.predict([case])[0].warnings}


@pytest.fixture
def with_regions(bundle_copy: Path, catalogue: Catalogue) -> Path:
    """The tiny model's bundle, whose training was too small for regions, with regions that no case of its lies in."""
    model = json.loads((bundle_copy / "configs/model.json").read_text(encoding="utf-8"))
    network = load_model(bundle_copy, device="cpu").network
    checks = Checks(tuple(model["modalities"]), catalogue)
    checks.load(model["cautions"], bundle_copy / "models/cautions.safetensors")
    rng = np.random.default_rng(0)
    widths = {name: network.encoder(name).width for name in network.names}
    taught, held_back = (
        {name: rng.normal(50, 1, (100, width)).astype(np.float32) for name, width in widths.items()} for _ in range(2)
    )
    checks.fit_states(taught, held_back)
    checks.save_vectors(bundle_copy / "models/cautions.safetensors")
    model["cautions"] = checks.state()
    (bundle_copy / "configs/model.json").write_text(json.dumps(model), encoding="utf-8")
    return bundle_copy


def test_the_phantoms_own_cases_raise_no_warning_but_on_what_is_missing(
    predictor: Predictor, drawn: list[Case]
) -> None:
    answers = predictor.predict(drawn)
    assert {w.code for answer in answers for w in answer.warnings} <= {
        "image-missing",
        "note-missing",
        "vitals-missing",
    }


def test_what_training_learned_is_there_at_prediction(predictor: Predictor, case: Case) -> None:
    assert codes(predictor, replace(case, note=GERMAN)) == {"other-language"}
    spoilt = {**case.vitals, "sodium": 85.0, "systolic_bp": 60.0, "diastolic_bp": 90.0}
    assert codes(predictor, replace(case, vitals=spoilt)) >= {"unusual-vital", "impossible-vitals"}


def test_a_model_taught_by_too_few_cases_says_nothing_of_likeness(predictor: Predictor, case: Case) -> None:
    recipe = replace(case, note="Preheat the oven and mix the flour with sugar, butter and two eggs.")
    assert codes(predictor, recipe) == set()


def test_regions_come_back_from_a_bundle_and_judge_the_tokens_of_the_case(with_regions: Path, case: Case) -> None:
    again = load_model(with_regions, device="cpu")
    expected = {f"{name}-unlike-training" for name in ("image", "note", "vitals")}
    assert codes(again, case) == expected
    assert codes(again, replace(case, images=())) == (expected - {"image-unlike-training"}) | {"image-missing"}


def test_every_check_gives_the_same_after_a_round_trip(catalogue: Catalogue, tmp_path: Path, drawn: list[Case]) -> None:
    checks, again = (Checks(("text", "vitals"), catalogue) for _ in range(2))
    checks.fit([Seen(c, {"text": {} if c.note else None, "vitals": {} if c.vitals else None}) for c in drawn])
    checks.fit_states(STATES, STATES)
    checks.save_vectors(tmp_path / "vectors.safetensors")
    again.load(json.loads(json.dumps(checks.state())), tmp_path / "vectors.safetensors")
    assert again.state() == checks.state()
    far = {name: np.full(8, 3.0, np.float32) for name in STATES}
    strange = Seen(replace(drawn[0], note=GERMAN, vitals={"sodium": 85.0}), {"text": {}, "vitals": {}}, far)
    assert again.cautions(strange) == checks.cautions(strange)
    assert {"other-language", "unusual-vital", "note-unlike-training"} <= {c.code for c in again.cautions(strange)}


def test_a_bundle_from_before_the_checks_loads_and_says_nothing_that_is_learned(bundle_copy: Path, case: Case) -> None:
    path = bundle_copy / "configs/model.json"
    model = json.loads(path.read_text(encoding="utf-8"))
    del model["cautions"]
    path.write_text(json.dumps(model), encoding="utf-8")
    (bundle_copy / "models/cautions.safetensors").unlink()
    old = load_model(bundle_copy, device="cpu")
    assert codes(old, replace(case, note=GERMAN, vitals={"sodium": 85.0})) == set()


def test_a_bundle_whose_regions_are_gone_is_refused(with_regions: Path) -> None:
    (with_regions / "models/cautions.safetensors").unlink()
    with pytest.raises(InvalidBundle, match="cautions not readable"):
        load_model(with_regions)


def test_a_bundle_keeps_no_name_note_or_picture_of_a_training_case(with_regions: Path) -> None:
    state = json.loads((with_regions / "configs/model.json").read_text(encoding="utf-8"))["cautions"]
    assert set(state) == {"body_part", "language", "unusual_vitals", "unlike_training"}
    assert state["body_part"]["kinds"][0][:2] == ["CHEST", "DX"]
    arrays = load_file(with_regions / "models/cautions.safetensors")
    assert {key.split(".")[2] for key in arrays} == {"references", "center", "whitening", "scale", "held_back"}


def test_each_check_answers_to_a_case_without_anything_learned(catalogue: Catalogue, case: Case) -> None:
    for check in CHECKS.values():
        assert told(check(("text",), catalogue), Seen(replace(case, images=(), vitals={}), {"text": {}})) == []
