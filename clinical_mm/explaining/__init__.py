"""Why the model said it, one file an explainer. A new one: its file, and one line in ``EXPLAINERS``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from clinical_mm.errors import InvalidConfig

if TYPE_CHECKING:
    from clinical_mm.explaining.base import Explainer

EXPLAINERS: dict[str, str] = {
    "integrated_gradients": "clinical_mm.explaining.integrated_gradients:IntegratedGradients",
    "gradient_shap": "clinical_mm.explaining.gradient_shap:GradientShap",
    "layer_integrated_gradients": "clinical_mm.explaining.layer_integrated_gradients:LayerIntegratedGradients",
    "grad_cam": "clinical_mm.explaining.grad_cam:GradCam",
    "occlusion": "clinical_mm.explaining.occlusion:Occlusion",
    "shapley_sampling": "clinical_mm.explaining.shapley_sampling:ShapleySampling",
    "attention_flow": "clinical_mm.explaining.attention_flow:AttentionFlow",
    "counterfactuals": "clinical_mm.explaining.counterfactuals:Counterfactuals",
}
"""Name in the REST ``methods`` -> where its class is; imported when used."""

DEFAULT = "integrated_gradients"
"""The explainer that is used where none is asked for: see the table of explainers in docs/benchmarks.md."""


def explainer(name: str) -> Explainer:
    """The explainer of that name; raises InvalidConfig for an unknown one."""
    if name not in EXPLAINERS:
        raise InvalidConfig(f"unknown method {name!r}; known: {', '.join(EXPLAINERS)}")
    module, _, attribute = EXPLAINERS[name].partition(":")
    built: Explainer = getattr(importlib.import_module(module), attribute)()
    return built
