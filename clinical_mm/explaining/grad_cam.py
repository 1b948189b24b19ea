"""Layer Grad-CAM: places of the feature map whose channels speak for the target, weighed by their mean gradient.

The map says where; how much is the modality's exact share, which is shared out in the map's proportions. Of a share
that speaks against the target the places that speak against it are shown. Modalities without a feature map are told
by integrated gradients.
Source: Selvaraju et al., 2017 (arXiv:1610.02391), through Captum.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clinical_mm.explaining.base import Additive, Attributions
from clinical_mm.explaining.integrated_gradients import along_path
from clinical_mm.explaining.marginal import Marginal
from clinical_mm.explaining.sharing import in_proportion

if TYPE_CHECKING:
    from clinical_mm.predictor import Predictor


class GradCam(Additive):
    """Gradient-weighted class activation map; for models that look at pictures."""

    name = "grad_cam"
    display = "Grad-CAM (image)"

    def applies(self, predictor: Predictor) -> bool:
        """Whether an encoder has a feature map."""
        return any(predictor.network.encoder(name).feature_maps() for name in predictor.modalities)

    def attribute(self, marginal: Marginal) -> Attributions:
        """The share in proportion to the map."""
        layers = marginal.encoder.feature_maps()
        if not layers:
            return along_path(marginal, marginal.leaf())
        return Attributions(in_proportion(marginal.share, _map(marginal)))


def _map(marginal: Marginal) -> Tensor:
    """What speaks in the direction of the share, >= 0, in the shape of the inputs; a committee's mean."""
    from captum.attr import LayerGradCam

    layers, direction = marginal.encoder.feature_maps(), math.copysign(1.0, marginal.share)
    inputs = marginal.inputs.clone().requires_grad_()
    maps = [LayerGradCam(marginal.of_inputs, layer).attribute(inputs) for layer in layers]
    mean_I1G = torch.stack([torch.as_tensor(found).detach() for found in maps]).mean(0)
    present_I = marginal.batch["present"][0]
    signed = torch.where(present_I.view(-1, *[1] * (mean_I1G.ndim - 1)), direction * mean_I1G, 0).relu()
    return marginal.encoder.spread(signed.reshape(1, -1), marginal.batch)
