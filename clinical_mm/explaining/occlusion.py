"""Occlusion: one word, one vital, one square of a picture removed at a time; what is lost is what it added.

A vital is removed as if it was not measured, a word by masking it at the fusion, a square by the baseline's pixels.
Parts that say the same hide each other, so that the sum misses what they add together: the error tells how much.
Source: Zeiler and Fergus, 2014 (arXiv:1311.2901), as Captum's ``FeatureAblation``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clinical_mm.explaining.base import Additive, Attributions
from clinical_mm.explaining.marginal import Marginal


class Occlusion(Additive):
    """What is lost by removing one part."""

    name = "occlusion"
    display = "Occlusion"

    def attribute(self, marginal: Marginal) -> Attributions:
        """Of each unit what the marginal loses without it."""
        from captum.attr import FeatureAblation

        everything = torch.ones(1, marginal.count, device=marginal.inputs.device)
        method = FeatureAblation(lambda keep: marginal.of_kept(keep > 0))
        found: Tensor = method.attribute(everything, 0.0, perturbations_per_eval=marginal.rows_removed)
        return Attributions(marginal.per_unit(found[0]), presence_of_nothing(marginal))


def presence_of_nothing(marginal: Marginal) -> float:
    """What a modality adds of which every unit is removed."""
    nothing = torch.zeros(1, marginal.count, dtype=torch.bool, device=marginal.inputs.device)
    return float(marginal.of_kept(nothing)) - marginal.without
