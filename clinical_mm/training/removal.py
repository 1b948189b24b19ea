"""Parts of the evidence taken away in training: whole modalities, and tokens of those that stay.

So that what remains of a case is judged for what it says: explanations remove parts to see what they did, and a network
that has never seen a part of a note says nothing sensible of one.
Source: Covert et al., 2021 (arXiv:2011.14878), training for removal.
Shapes: B cases, N tokens, D width, M modalities.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clinical_mm.modalities.base import Tokens
from clinical_mm.network import MultimodalNetwork


def drop_modalities(present_BM: Tensor, probability: float, draw: torch.Generator) -> Tensor:
    """Each present modality dropped with a probability; a case that would lose all keeps what it had."""
    keep_BM = torch.rand(present_BM.shape, generator=draw) >= probability
    kept_BM = present_BM & keep_BM.to(present_BM.device)
    return torch.where(kept_BM.any(1, keepdim=True), kept_BM, present_BM)


def drop_tokens(
    tokens: dict[str, Tokens], network: MultimodalNetwork, probability: float, draw: torch.Generator
) -> dict[str, Tokens]:
    """Of each modality, in a share of the cases, some tokens dropped: between none and nearly all.

    Where an encoder has a silent state, half of these cases have that in place of what is dropped, up to all of it.
    """
    if not probability:
        return tokens
    return {name: _some_of(part, network, name, probability, draw) for name, part in tokens.items()}


def _some_of(
    tokens: Tokens, network: MultimodalNetwork, name: str, probability: float, draw: torch.Generator
) -> Tokens:
    states_BND, mask_BN = tokens.tokens_BND, tokens.mask_BN
    cases = (len(mask_BN), 1)
    chosen_B1 = torch.rand(cases, generator=draw) < probability
    share_B1 = torch.where(chosen_B1, 1.2 * torch.rand(cases, generator=draw), 0)
    lost_BN = (torch.rand(mask_BN.shape, generator=draw) < share_B1).to(mask_BN.device)
    silent_B1 = (torch.rand(cases, generator=draw) < 0.5).to(mask_BN.device)
    with torch.no_grad():
        silence_D = network.encoder(name).silence()
    if silence_D is not None:
        states_BND = torch.where((lost_BN & silent_B1).unsqueeze(-1), silence_D.to(states_BND), states_BND)
        lost_BN = lost_BN & ~silent_B1
    kept_BN = mask_BN & ~lost_BN
    return Tokens(states_BND, torch.where(kept_BN.any(1, keepdim=True), kept_BN, mask_BN))
