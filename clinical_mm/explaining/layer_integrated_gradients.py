"""Layer integrated gradients: the path runs at what the encoders give to the fusion, a picture's feature map above all.

Coarser than the pixels' own, and quicker: every encoder runs once for the case and once for the baseline.
Source: Sundararajan et al., 2017 (arXiv:1703.01365), at a layer as Captum's ``LayerIntegratedGradients``.
"""

from __future__ import annotations

from clinical_mm.explaining.base import Additive, Attributions
from clinical_mm.explaining.integrated_gradients import along_path
from clinical_mm.explaining.marginal import Marginal


class LayerIntegratedGradients(Additive):
    """Path integral of gradients at the encoders' tokens."""

    name = "layer_integrated_gradients"
    display = "Layer integrated gradients (feature map)"

    def attribute(self, marginal: Marginal) -> Attributions:
        """Attributions of the tokens, spread over what they stand for."""
        return along_path(marginal, marginal.at_tokens())
