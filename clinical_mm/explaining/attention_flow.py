"""Attention flow: how much of each token reaches the answer through the layers of the cross-attention.

Each layer adds what its queries attend to, so that half of a layer's state is its own and half is what was before. The
flow says where the model looks, not what it makes of it; it shares out the modality's exact share.
Source: attention rollout, Abnar and Zuidema, 2020 (arXiv:2005.00928).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from clinical_mm.explaining.base import Additive, Attributions
from clinical_mm.explaining.marginal import Marginal
from clinical_mm.explaining.sharing import in_proportion

if TYPE_CHECKING:
    from clinical_mm.predictor import Predictor


class AttentionFlow(Additive):
    """Where attention lies; for models whose fusion attends to tokens."""

    name = "attention_flow"
    display = "Attention flow"

    def applies(self, predictor: Predictor) -> bool:
        """Whether the fusion attends."""
        return predictor.network.fusion.attends

    def attribute(self, marginal: Marginal) -> Attributions:
        """The share in proportion to the flow."""
        question = marginal.question
        with torch.no_grad():
            flow_BN = question.predictor.network.fusion.flow(question.tokens, question.present)[marginal.name]
            weights = marginal.encoder.spread(flow_BN, marginal.batch)
        return Attributions(in_proportion(marginal.share, weights))
