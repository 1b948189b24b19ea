"""Gradient SHAP: gradients at random points between the case, with a little noise, and one of several baselines.

An estimate of expected gradients: its error falls with the root of the draws and is told, not hidden.
Source: Lundberg and Lee, 2017 (arXiv:1705.07874); Erion et al., 2021 (arXiv:1906.10670), through Captum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clinical_mm.explaining.base import Additive, Attributions
from clinical_mm.explaining.marginal import Leaf, Marginal
from clinical_mm.explaining.seeded import seeded

DRAWS, NOISE = 64, 0.05
"""``NOISE``: in standard deviations of the case's own inputs."""


class GradientShap(Additive):
    """Expected gradients, by sampling."""

    name = "gradient_shap"
    display = "Gradient SHAP"

    def attribute(self, marginal: Marginal) -> Attributions:
        """Mean over draws; the presence is the mean worth of the baselines."""
        leaf = marginal.leaf()
        with torch.no_grad():
            start = float(leaf.forward(leaf.baseline))
        return Attributions(leaf.spread(_sampled(leaf)), start - marginal.without)


def _sampled(leaf: Leaf) -> Tensor:
    from captum.attr import GradientShap as CaptumGradientShap

    method, total = CaptumGradientShap(leaf.forward), torch.zeros_like(leaf.case)
    noise = NOISE * float(leaf.case.std(correction=0))
    with seeded(0):
        for start in range(0, DRAWS, leaf.rows):
            draws = min(leaf.rows, DRAWS - start)
            found: Tensor = method.attribute(leaf.case, leaf.baseline, n_samples=draws, stdevs=noise)
            total += draws / DRAWS * found.detach()
    return total
