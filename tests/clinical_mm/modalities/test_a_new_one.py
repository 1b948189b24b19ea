"""The manual's example, run: a modality of one's own is trained, served with the others, and explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.modalities import MODALITIES
from clinical_mm.modalities.base import Batch, Encoder, Evidence, Modality, Sample, Span, Tokens
from clinical_mm.phantom import draw
from clinical_mm.predictor import load_model
from clinical_mm.training.run import train
from tests.models import phantom_folder, tiny_config


class WordEncoder(Encoder):
    """counts[B, N] -> tokens[B, N, 8]."""

    baselines = ("nothing",)

    def __init__(self, count: int) -> None:
        super().__init__()
        self.width = 8
        self.words = nn.Parameter(torch.randn(count, self.width))

    def inputs(self, batch: Batch) -> Tensor:
        return batch["counts"]

    def baseline(self, batch: Batch, name: str | None = None) -> Tensor:
        return torch.zeros_like(batch["counts"])

    def tokens(self, inputs: Tensor, batch: Batch) -> Tokens:
        return Tokens(inputs.unsqueeze(-1) * self.words, torch.ones_like(inputs, dtype=torch.bool))


class WordCount(Modality):
    """How often the note holds each of a list of words."""

    name = "symptoms"

    def __init__(self, config: Mapping[str, Any], catalogue: Catalogue) -> None:
        self.words = tuple(config["words"])

    def read(self, case: Case) -> Sample | None:
        if case.note is None:
            return None
        return {"counts": np.array([case.note.lower().count(word) for word in self.words], np.float32)}

    def collate(self, samples: Sequence[Sample | None]) -> Batch:
        empty = np.zeros(len(self.words), np.float32)
        return {"counts": torch.from_numpy(np.stack([empty if s is None else s["counts"] for s in samples]))}

    def encoder(self) -> Encoder:
        return WordEncoder(len(self.words))

    def units(self, case: Case, batch: Batch) -> Tensor:
        return torch.arange(next(iter(batch.values())).shape[1]).unsqueeze(0)

    def evidence(self, case: Case, batch: Batch, attributions: Tensor) -> Evidence:
        shares = zip(self.words, attributions[0].tolist(), strict=True)
        return Evidence(text=tuple(Span(0, 0, word, share) for word, share in shares))


def test_a_new_modality_is_one_class_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODALITIES, "symptoms", f"{__name__}:WordCount")
    modalities = {"symptoms": {"words": ["fever", "cough", "oedema"]}, "vitals": {"width": 16}}
    config = tiny_config(modalities=modalities, training={"epochs": 2})
    made = train(config, phantom_folder(tmp_path / "snapshot"), tmp_path / "out", device="cpu", progress=lambda _: None)

    model = load_model(made.folder, device="cpu")
    case = next(d.case for d in draw(20, seed=9) if d.case.note and d.case.vitals)
    answer = model.predict([case])[0]
    assert [m.name for m in answer.modalities] == ["symptoms", "vitals"]
    account = model.explain(case, "pneumonia")
    assert {c.name: c.contribution - c.presence for c in account.contributions}["symptoms"] == pytest.approx(
        sum(s.attribution for s in account.text), abs=0.02
    )
