"""Shapley values of words, vitals and squares of a picture within their modality, by random orders.

Each order adds the units one by one and gives each what the log-odds gain by it; the mean over orders sums to the
modality's share exactly, however few the orders are. Removed is the same as in ``occlusion``.
Source: Castro et al., 2009 (doi:10.1016/j.cor.2008.04.004); Shapley values within a coalition's share: Owen, 1977;
through Captum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clinical_mm.explaining.base import Additive, Attributions
from clinical_mm.explaining.marginal import Marginal
from clinical_mm.explaining.occlusion import presence_of_nothing
from clinical_mm.explaining.seeded import seeded

ORDERS = 6


class ShapleySampling(Additive):
    """Mean gain over random orders."""

    name = "shapley_sampling"
    display = "Shapley values by sampling"

    def attribute(self, marginal: Marginal) -> Attributions:
        """Of each unit the mean of what it adds."""
        from captum.attr import ShapleyValueSampling

        everything = torch.ones(1, marginal.count, device=marginal.inputs.device)
        method = ShapleyValueSampling(lambda keep: marginal.of_kept(keep > 0))
        with seeded(0):
            found: Tensor = method.attribute(
                everything, 0.0, n_samples=ORDERS, perturbations_per_eval=marginal.rows_removed
            )
        return Attributions(marginal.per_unit(found[0]), presence_of_nothing(marginal))
