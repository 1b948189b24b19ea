"""Frozen encoders' tokens are computed once for a content, whichever training or prediction asks for them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from clinical_mm.case import Case
from clinical_mm.config import ModelConfig
from clinical_mm.features import MB, FeatureCache
from clinical_mm.frozen import FrozenEncoder
from clinical_mm.importing.folder import write_folder
from clinical_mm.modalities.imaging import Imaging
from clinical_mm.phantom import draw
from clinical_mm.predictor import load_model
from clinical_mm.training.run import TrainedModel, train
from tests.models import tiny_config

CASES = 60


def frozen() -> ModelConfig:
    """Every encoder stays as it is; pictures are read on a scale that does not follow the training part."""
    parts = tiny_config().modalities
    return tiny_config(
        modalities={
            "imaging": {**parts["imaging"], "learns": "nothing", "intensities": [-1, 1]},
            "text": parts["text"],
            "vitals": {**parts["vitals"], "learns": "nothing"},
        },
        training={"epochs": 2, "batch_size": 16},
    )


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [replace(drawn.case, id=f"case-{i}") for i, drawn in enumerate(draw(CASES + 1, seed=0))]


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "features.db", 64 * MB)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many cases of each modality were put through its frozen encoder."""
    counted: Counter[str] = Counter()
    compute = FrozenEncoder._computed

    def counting(self: FrozenEncoder, samples: Any) -> Any:
        counted[self._modality.name] += len(samples)
        return compute(self, samples)

    monkeypatch.setattr(FrozenEncoder, "_computed", counting)
    return counted


def trained(cases: list[Case], out: Path, cache: FeatureCache | None, **options: Any) -> TrainedModel:
    write_folder(cases, out / "snapshot")
    config = options.pop("config", None) or frozen()
    return train(config, out / "snapshot", out, device="cpu", progress=lambda _: None, features=cache, **options)


def with_a(cases: list[Case], part: str) -> int:
    return sum(bool(getattr(case, part)) for case in cases)


def test_a_second_training_computes_nothing_and_gives_the_same_bytes_and_metrics(
    cases: list[Case], cache: FeatureCache, computed: Counter[str], tmp_path: Path
) -> None:
    first = trained(cases[:CASES], tmp_path / "first", cache)
    assert computed["imaging"] == with_a(cases[:CASES], "images")
    assert computed["text"] == with_a(cases[:CASES], "note")
    computed.clear()
    again = trained(cases[:CASES], tmp_path / "again", cache)
    assert computed.total() == 0
    assert again.metrics == first.metrics
    assert again.card["data"] == first.card["data"]
    one, other = (load_file(model.folder / "models/model.safetensors") for model in (first, again))
    assert all(bool((one[name] == other[name]).all()) for name in one)


def test_what_checks_need_of_a_picture_is_there_although_none_was_decoded(
    cases: list[Case], cache: FeatureCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = trained(cases[:CASES], tmp_path / "first", cache)
    read = Counter[str]()
    whole = Imaging.read
    monkeypatch.setattr(Imaging, "read", lambda self, case: read.update([case.id]) or whole(self, case))
    again = trained(cases[:CASES], tmp_path / "again", cache)
    assert max(read.values()) == 1, "at most once, for the mean picture"
    states = [load_model(model.folder, "cpu").bundle.checks.state() for model in (first, again)]
    assert states[0] == states[1]
    assert states[0]["body_part"]["kinds"]


def test_of_one_more_case_that_one_alone_is_computed(
    cases: list[Case], cache: FeatureCache, computed: Counter[str], tmp_path: Path
) -> None:
    trained(cases[:CASES], tmp_path / "first", cache)
    computed.clear()
    trained(cases, tmp_path / "more", cache)
    new = cases[CASES]
    assert computed["imaging"] == bool(new.images)
    assert computed["text"] == bool(new.note)


def test_other_weights_share_nothing(
    cases: list[Case], cache: FeatureCache, computed: Counter[str], tmp_path: Path
) -> None:
    trained(cases[:CASES], tmp_path / "first", cache)
    computed.clear()
    seeded = frozen().with_values({"training.seed": 1})
    trained(cases[:CASES], tmp_path / "other", cache, config=seeded)
    assert computed["imaging"] == with_a(cases[:CASES], "images"), "its image encoder began from another seed"
    assert computed["text"] == 0, "the text encoder is the same"


@pytest.mark.slow
def test_a_training_that_starts_from_a_model_reads_with_its_frozen_encoders_as_it_did(
    cases: list[Case], cache: FeatureCache, computed: Counter[str], tmp_path: Path
) -> None:
    """Mean and spread of pictures and vitals too: with those of the new cases all tokens would be others."""
    learned = tiny_config(training={"epochs": 1, "batch_size": 16})
    start = trained(cases[:CASES], tmp_path / "start", cache, config=learned).folder
    parts = {f"modalities.{name}.learns": "nothing" for name in ("imaging", "vitals")}
    fusion_alone = learned.with_values(parts)
    trained(cases[:CASES], tmp_path / "first", cache, config=fusion_alone, start=start)
    computed.clear()
    again = trained(cases, tmp_path / "again", cache, config=fusion_alone, start=start)
    new = cases[CASES]
    assert computed == Counter(imaging=bool(new.images), vitals=bool(new.vitals), text=bool(new.note))
    old, now = load_model(start, "cpu"), load_model(again.folder, "cpu")
    for name in ("imaging", "vitals"):
        assert old.modalities[name].reading() == now.modalities[name].reading()


def test_predictions_and_trainings_compute_for_each_other(
    cases: list[Case], cache: FeatureCache, computed: Counter[str], tmp_path: Path
) -> None:
    model = load_model(trained(cases[:CASES], tmp_path / "first", cache).folder, "cpu", cache)
    computed.clear()
    model.predict(cases[:CASES])
    assert computed.total() == 0
    fresh = cases[CASES]
    first = model.predict([fresh])[0].to_json()
    assert computed.total() == bool(fresh.images) + bool(fresh.note) + bool(fresh.vitals)
    computed.clear()
    assert model.predict([fresh])[0].to_json() == first
    model.similar(fresh)
    trained(cases, tmp_path / "more", cache)
    assert computed["imaging"] == computed["text"] == 0


def test_answers_are_the_same_with_and_without_a_cache(cases: list[Case], cache: FeatureCache, tmp_path: Path) -> None:
    folder = trained(cases[:CASES], tmp_path / "first", cache).folder
    plain, keeping = load_model(folder, "cpu"), load_model(folder, "cpu", cache)
    for a, b in zip(plain.predict(cases[:8]), keeping.predict(cases[:8]), strict=True):
        assert [d.code for d in a.diagnoses] == [d.code for d in b.diagnoses]
        assert [d.probability for d in a.diagnoses] == pytest.approx([d.probability for d in b.diagnoses], abs=1e-4)


def test_the_order_of_vitals_and_a_new_label_make_no_new_content(cases: list[Case]) -> None:
    from clinical_mm.modalities import contents_of

    case = next(case for case in cases if len(case.vitals) > 1)
    turned = replace(case, vitals=dict(reversed(case.vitals.items())), diagnoses=("asthma",))
    assert contents_of(turned) == contents_of(case)
    assert contents_of(replace(case, note="Another note.")) != contents_of(case)
