"""Every fusion keeps the protocol: cross_attention, concat, weighted, gated, bilinear, late - and one added here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import clinical_mm.fusion
from clinical_mm.errors import InvalidConfig
from clinical_mm.fusion import fusion, known_fusions
from clinical_mm.modalities.base import Tokens
from clinical_mm.phantom import draw
from clinical_mm.predictor import load_model
from clinical_mm.training.run import train
from tests.models import phantom_folder, tiny_config

WIDTHS = {"imaging": 6, "text": 10, "vitals": 4}


def some_tokens(scale: float = 1.0) -> dict[str, Tokens]:
    draw = torch.Generator().manual_seed(0)
    return {
        name: Tokens(scale * torch.randn(3, n, width, generator=draw), torch.ones(3, n, dtype=torch.bool))
        for n, (name, width) in enumerate(WIDTHS.items(), start=2)
    }


PRESENT = torch.tensor([[True, True, True], [True, False, False], [False, True, True]])


@pytest.mark.parametrize("name", known_fusions())
def test_absent_modalities_have_no_weight_and_no_influence(name: str) -> None:
    torch.manual_seed(0)
    join = fusion(name, WIDTHS, {"width": 16}).eval()
    one, other = join(some_tokens(), PRESENT), some_tokens()
    for column, modality in enumerate(WIDTHS):
        absent = ~PRESENT[:, column]
        other[modality].tokens_BND[absent] += 50
    with torch.no_grad():
        again = join(other, PRESENT)
    assert torch.allclose(one.weights_BM.sum(1), torch.ones(3), atol=1e-5)
    assert torch.all(one.weights_BM[~PRESENT] == 0)
    assert torch.allclose(one.pooled_BD, again.pooled_BD, atol=1e-6)
    assert one.pooled_BD.shape == (3, join.width)


@pytest.mark.parametrize("name", known_fusions())
def test_every_modality_that_is_present_can_be_learned_from(name: str) -> None:
    torch.manual_seed(0)
    tokens = some_tokens()
    for part in tokens.values():
        part.tokens_BND.requires_grad_()
    fusion(name, WIDTHS, {"width": 16}).eval()(
        tokens, torch.ones(3, 3, dtype=torch.bool)
    ).pooled_BD.square().sum().backward()
    assert all(float(part.tokens_BND.grad.abs().sum()) > 0 for part in tokens.values())


def test_before_training_cross_attention_hears_each_modality_alike_however_many_tokens_it_has() -> None:
    torch.manual_seed(0)
    join = fusion("cross_attention", {"a": 8, "b": 8}, {"width": 16}).eval()
    long, short = torch.randn(1, 500, 8), torch.randn(1, 5, 8)
    tokens = {
        "a": Tokens(long, torch.ones(1, 500, dtype=torch.bool)),
        "b": Tokens(short, torch.ones(1, 5, dtype=torch.bool)),
    }
    with torch.no_grad():
        weights_BM = join(tokens, torch.ones(1, 2, dtype=torch.bool)).weights_BM
    assert 0.3 < float(weights_BM[0, 0]) < 0.7


def test_an_unknown_fusion_or_option_is_refused_by_name() -> None:
    with pytest.raises(InvalidConfig, match="known: bilinear, concat"):
        fusion("tensor", WIDTHS, {})
    with pytest.raises(InvalidConfig, match="widht"):
        fusion("gated", WIDTHS, {"widht": 3})


LOUDEST = """
import torch
from clinical_mm.fusion.base import Fused, Fusion, FusionOptions, Pooling


class Loudest(Fusion):
    def __init__(self, widths, options):
        super().__init__(widths, options)
        self.width = FusionOptions.model_validate(options).width
        self.pool = Pooling(widths, self.width, dropout=0.0)

    def forward(self, tokens, present_BM):
        pooled_BMD = self.pool(tokens, present_BM)
        loudness_BM = pooled_BMD.norm(dim=2).masked_fill(~present_BM, -1.0)
        weights_BM = torch.nn.functional.one_hot(loudness_BM.argmax(1), len(self.names)).to(pooled_BMD.dtype)
        return Fused((weights_BM.unsqueeze(-1) * pooled_BMD).sum(1), weights_BM)
"""
"""The modality whose mean state is longest speaks alone: a fusion as somebody else would add it."""


def test_a_new_fusion_is_one_file_and_its_name_in_the_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loudest.py").write_text(LOUDEST, encoding="utf-8")
    monkeypatch.setattr(clinical_mm.fusion, "__path__", [*clinical_mm.fusion.__path__, str(tmp_path)])
    config = tiny_config(fusion={"name": "loudest", "options": {"width": 16}})
    snapshot = phantom_folder(tmp_path / "snapshot")
    made = train(config, snapshot, tmp_path / "out", device="cpu", progress=lambda _: None)
    [answer] = load_model(made.folder).predict([next(d.case for d in draw(9, seed=5) if len(d.case.vitals) > 3)])
    assert sorted(share.weight for share in answer.modalities)[-1] == 1.0


def additive_in_modalities(name: str) -> bool:
    """Whether the state is a sum with one term a modality: f(a, b) - f(a, -) is the same whatever a is."""
    torch.manual_seed(0)
    join = fusion(name, WIDTHS, {"width": 16, "dropout": 0.0}).eval()
    everything, without_vitals = torch.tensor([[True, True, True]]), torch.tensor([[True, True, False]])
    one, other = some_tokens(), some_tokens()
    other["text"] = Tokens(-3 * one["text"].tokens_BND, one["text"].mask_BN)
    with torch.no_grad():
        gains = [
            join(_first(tokens), everything).pooled_BD - join(_first(tokens), without_vitals).pooled_BD
            for tokens in (one, other)
        ]
    return bool(torch.allclose(*gains, atol=1e-5))


def _first(tokens: dict[str, Tokens]) -> dict[str, Tokens]:
    return {name: Tokens(part.tokens_BND[:1], part.mask_BN[:1]) for name, part in tokens.items()}


def test_late_fusion_alone_cannot_tell_an_interaction() -> None:
    assert [name for name in known_fusions() if additive_in_modalities(name)] == ["late"]
