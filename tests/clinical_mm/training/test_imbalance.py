"""Rare diagnoses and loud modalities: drawn more often, weighed, focused on, held back - and probabilities stay honest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clinical_mm.modalities.base import Tokens
from clinical_mm.network import MultimodalNetwork
from clinical_mm.training.balance import GradientBalance
from clinical_mm.training.losses import make_loss
from clinical_mm.training.sampling import case_weights, draw_order, log_odds_shift

CPU = torch.device("cpu")
RARE = np.array([[1, 0]] * 5 + [[0, 1]] * 45 + [[0, 0]] * 50, dtype=np.float32)
LOGITS = torch.tensor([[4.0, -3.0], [0.1, 0.2], [-2.0, 1.0]])
BINARY, EXCLUSIVE = (
    torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
    torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
)


def test_balanced_sampling_shows_a_rare_diagnosis_as_often_as_a_common_one() -> None:
    order = draw_order(60_000, None, torch.Generator())
    assert sorted(order) == list(range(60_000))  # each once
    weights = np.tile(case_weights(RARE), 600)
    seen = np.tile(RARE, (600, 1))[draw_order(60_000, weights, torch.Generator().manual_seed(0))].mean(0)
    assert seen == pytest.approx([1 / 3, 1 / 3], abs=0.01)


def test_what_sampling_moved_is_known_so_that_the_head_can_give_it_back() -> None:
    rare, common = log_odds_shift(RARE, case_weights(RARE), "co-occurring")
    assert rare == pytest.approx(np.log(0.5) - np.log(0.05 / 0.95), abs=0.01)
    assert common == pytest.approx(np.log(0.5) - np.log(0.45 / 0.55), abs=0.01)
    assert log_odds_shift(RARE, None, "co-occurring") == pytest.approx([0, 0])


@pytest.mark.parametrize(("kind", "wanted"), [("co-occurring", BINARY), ("exclusive", EXCLUSIVE)])
def test_the_focal_loss_without_focus_is_cross_entropy_and_with_it_forgives_what_is_right(
    kind: str, wanted: torch.Tensor
) -> None:
    weights = np.ones(2, np.float32)
    plain, focused = make_loss(kind, weights, CPU), make_loss(kind, weights, CPU, focus=2.0)
    easy, hard = LOGITS[:1], -LOGITS[:1]
    assert float(focused(easy, wanted[:1]) / plain(easy, wanted[:1])) < 0.02
    assert float(focused(hard, wanted[:1]) / plain(hard, wanted[:1])) > 0.9
    tiny = make_loss(kind, weights, CPU, focus=1e-7)
    assert float(tiny(LOGITS, wanted)) == pytest.approx(float(plain(LOGITS, wanted)), rel=1e-4)


def test_class_weights_count_in_the_focal_loss_too() -> None:
    heavy = make_loss("co-occurring", np.array([5.0, 1.0], np.float32), CPU, focus=2.0)
    light = make_loss("co-occurring", np.ones(2, np.float32), CPU, focus=2.0)
    missed = torch.tensor([[-3.0, -3.0]])
    assert float(heavy(missed, torch.tensor([[1.0, 0.0]]))) > 4 * float(light(missed, torch.tensor([[1.0, 0.0]])))


class _Echo(torch.nn.Module):
    """A stand-in for a trained network: each modality's one token is its logit."""

    names = ("loud", "quiet")

    def __init__(self) -> None:
        super().__init__()
        self.encoders = torch.nn.ModuleDict({name: torch.nn.Linear(1, 1) for name in self.names})

    def join(self, tokens: dict[str, Tokens], present_BM: torch.Tensor) -> object:
        from types import SimpleNamespace

        logits = sum(t.tokens_BND[:, 0] * present_BM[:, m, None] for m, t in enumerate(tokens.values()))
        return SimpleNamespace(logits_BK=logits)


def listening(alpha: float, steps: int = 30) -> tuple[GradientBalance, MultimodalNetwork]:
    network: MultimodalNetwork = _Echo()  # type: ignore[assignment]
    wanted = torch.tensor([[1.0], [0.0]] * 8)
    loud, quiet = (wanted * 2 - 1) * 3, torch.randn(16, 1, generator=torch.Generator().manual_seed(0)) * 0.1
    tokens = {
        name: Tokens(values.unsqueeze(1), torch.ones(16, 1, dtype=torch.bool))
        for name, values in (("loud", loud), ("quiet", quiet))
    }
    balance = GradientBalance(alpha, network.names, knowing_nothing=float(np.log(2)))
    for _ in range(steps):
        balance.listen(
            network,
            tokens,
            torch.ones(16, 2, dtype=torch.bool),
            wanted,
            F.binary_cross_entropy_with_logits,
        )
    return balance, network


def test_a_modality_that_tells_more_than_the_others_has_its_gradient_held_back() -> None:
    balance, network = listening(alpha=0.5)
    for encoder in network.encoders.values():
        encoder(torch.ones(1, 1)).sum().backward()
    balance.scale(network)
    loud, quiet = (float(network.encoders[name].weight.grad) for name in network.names)
    assert 0 <= loud < 0.2
    assert quiet == 1.0


def test_modalities_that_tell_alike_keep_their_gradients() -> None:
    balance, _ = listening(alpha=0.5)
    balance.told = {"loud": 0.3, "quiet": 0.3}
    assert balance.factors() == {"loud": 1.0, "quiet": 1.0}
