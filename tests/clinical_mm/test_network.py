"""Presence: what is absent has no influence, and any non-empty subset is served."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from clinical_mm.case import Case, Patient
from clinical_mm.catalogue import Catalogue
from clinical_mm.modalities import modalities_of
from clinical_mm.modalities.base import Tokens
from clinical_mm.network import MultimodalNetwork, build_network, collate
from tests.models import tiny_config

NAMES = ("imaging", "text", "vitals")
SUBSETS = [set(chosen) for size in (1, 2, 3) for chosen in combinations(NAMES, size)]


@pytest.fixture(scope="module")
def network(catalogue: Catalogue) -> MultimodalNetwork:
    torch.manual_seed(0)
    config = tiny_config()
    return build_network(config, modalities_of(config, catalogue), ("pneumonia", "copd")).eval()


def tokens_of(network: MultimodalNetwork, seed: int) -> dict[str, Tokens]:
    draw = torch.Generator().manual_seed(seed)
    return {
        name: Tokens(torch.randn(2, 5, network.encoder(name).width, generator=draw), torch.ones(2, 5, dtype=torch.bool))
        for name in network.names
    }


@pytest.mark.parametrize("there", SUBSETS, ids=lambda there: "+".join(sorted(there)))
def test_weights_sum_to_one_over_what_is_present_and_are_zero_elsewhere(
    network: MultimodalNetwork, there: set[str]
) -> None:
    present_BM = torch.tensor([[name in there for name in network.names]] * 2)
    with torch.no_grad():
        weights_BM = network.join(tokens_of(network, 0), present_BM).weights_BM
    assert torch.allclose(weights_BM.sum(1), torch.ones(2), atol=1e-5)
    assert torch.all(weights_BM[~present_BM] == 0)
    assert torch.all(weights_BM[present_BM] > 0)


@pytest.mark.parametrize("there", SUBSETS, ids=lambda there: "+".join(sorted(there)))
def test_logits_do_not_depend_on_the_padding_of_absent_modalities(network: MultimodalNetwork, there: set[str]) -> None:
    present_BM = torch.tensor([[name in there for name in network.names]] * 2)
    one, other = tokens_of(network, 0), tokens_of(network, 0)
    for name in set(network.names) - there:
        other[name] = Tokens(other[name].tokens_BND * 100 + 7, other[name].mask_BN)
    with torch.no_grad():
        assert torch.equal(network.join(one, present_BM).logits_BK, network.join(other, present_BM).logits_BK)


def test_logits_do_not_depend_on_masked_tokens(network: MultimodalNetwork) -> None:
    present_BM = torch.ones(2, 3, dtype=torch.bool)
    one = tokens_of(network, 0)
    mask_BN = torch.tensor([[True] * 3 + [False] * 2] * 2)
    one["text"] = Tokens(one["text"].tokens_BND, mask_BN)
    changed = one["text"].tokens_BND.clone()
    changed[:, 3:] = 1e3
    other = {**one, "text": Tokens(changed, mask_BN)}
    with torch.no_grad():
        assert torch.allclose(network.join(one, present_BM).logits_BK, network.join(other, present_BM).logits_BK)


def test_a_case_is_answered_the_same_alone_and_in_a_batch(network: MultimodalNetwork, catalogue: Catalogue) -> None:
    modalities = modalities_of(tiny_config(), catalogue)
    cases = [
        Case(Patient("a", "F", 60), note="Fever and cough. " * 40, vitals={"spo2": 88}),
        Case(Patient("b"), note="No dyspnoea."),
        Case(Patient("c", "M", 50), vitals={"heart_rate": 100}),
    ]
    samples = [{name: part.read(case) for name, part in modalities.items()} for case in cases]
    with torch.no_grad():
        together = network(*collate(modalities, samples)).logits_BK
        alone = torch.cat([network(*collate(modalities, [sample])).logits_BK for sample in samples])
    assert torch.allclose(together, alone, atol=1e-4)


def test_a_frozen_encoder_stays_in_evaluation_and_gets_no_gradient(network: MultimodalNetwork) -> None:
    network.train()
    try:
        assert not network.encoder("text").training
        assert network.encoder("vitals").training
        assert not any(p.requires_grad for p in network.encoder("text").parameters())
    finally:
        network.eval()
