"""Integrated gradients over pixels, word embeddings and vitals of the same prediction, jointly.

The path goes from a baseline that says nothing (mean image, masked words, median vitals) to the case; the attributions
sum to the difference of the target's calibrated log-odds, up to the quadrature's error. Steps are doubled until that
error is at most 1 % or there are 256 of them.
Source: Sundararajan et al., 2017 (arXiv:1703.01365), through Captum, with Gauss-Legendre quadrature.
Shapes: S steps of the path as a batch, K diagnoses, M modalities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from clinical_mm.answers import Contribution, Explanation
from clinical_mm.case import Case
from clinical_mm.modalities.base import Batch, Evidence, one_span_a_word

if TYPE_CHECKING:
    from clinical_mm.predictor import Predictor

T = TypeVar("T")

TOLERANCE = 0.01
FIRST_STEPS, MOST_STEPS = 16, 256
STEPS_AT_ONCE = 16
SMALLEST_DIFFERENCE = 0.1
"""Log-odds; the error is relative to at least this, so that a case that moves nothing has no infinite error."""


class IntegratedGradients:
    """The default explainer."""

    def explain(self, predictor: Predictor, case: Case, target: str) -> Explanation:
        """The additive account of one target."""
        batches, present_BM = predictor.batch([predictor.read(case)])
        there = [name for name, column in zip(predictor.modalities, present_BM[0], strict=True) if bool(column)]
        encoder = predictor.network.encoder
        with predictor.lock:
            with torch.no_grad():
                inputs = tuple(encoder(name).inputs(batches[name]).detach() for name in there)
                baselines = tuple(encoder(name).baseline(batches[name]).detach() for name in there)
            log_odds = _log_odds(predictor, batches, present_BM, there, target)
            with torch.no_grad():
                value, baseline_value = float(log_odds(*inputs)), float(log_odds(*baselines))
            attributions, error = _attribute(log_odds, inputs, baselines, value - baseline_value)
        found = dict(zip(there, attributions, strict=True))
        parts = [predictor.modalities[n].evidence(case, batches[n], found[n]) for n in there]
        return Explanation(
            target=target,
            method="integrated_gradients",
            baseline_value=baseline_value,
            value=value,
            completeness_error=error,
            contributions=tuple(
                Contribution(n, float(found[n].sum()) if n in found else 0.0) for n in predictor.modalities
            ),
            text=one_span_a_word(_joined(parts, lambda e: e.text)),
            vitals=_joined(parts, lambda e: e.vitals),
            images=_joined(parts, lambda e: e.images),
        )


def _log_odds(
    predictor: Predictor, batches: dict[str, Batch], present_BM: Tensor, there: list[str], target: str
) -> Callable[..., Tensor]:
    """(inputs of each modality present, leading dimension S) -> calibrated log-odds[S] of the target."""
    position = predictor.diagnoses.index(target)
    calibration, network = predictor.calibration, predictor.network

    def forward(*inputs: Tensor) -> Tensor:
        steps = len(inputs[0])
        # Absent modalities keep one token of padding, which their presence flag masks.
        repeated = {n: {k: v.expand(steps, *v.shape[1:]) for k, v in batches[n].items()} for n in batches}
        tokens = {n: network.encoder(n).tokens(x, repeated[n]) for n, x in zip(there, inputs, strict=True)}
        with torch.no_grad():
            tokens |= {n: network.encoder(n)(repeated[n]) for n in batches if n not in there}
        scaled_SK = network.join(tokens, present_BM.expand(steps, -1)).logits_BK / calibration.temperature
        if calibration.kind == "co-occurring":
            return scaled_SK[:, position]
        others = torch.cat([scaled_SK[:, :position], scaled_SK[:, position + 1 :]], dim=1)
        return scaled_SK[:, position] - others.logsumexp(1)

    return forward


def _attribute(
    log_odds: Callable[..., Tensor], inputs: tuple[Tensor, ...], baselines: tuple[Tensor, ...], moved: float
) -> tuple[tuple[Tensor, ...], float]:
    from captum.attr import IntegratedGradients as CaptumIntegratedGradients

    method = CaptumIntegratedGradients(log_odds)
    steps = FIRST_STEPS
    while True:
        found = method.attribute(
            inputs, baselines, n_steps=steps, method="gausslegendre", internal_batch_size=STEPS_AT_ONCE
        )
        total = sum(float(part.sum()) for part in found)
        error = abs(total - moved) / max(abs(moved), SMALLEST_DIFFERENCE)
        if error <= TOLERANCE or steps >= MOST_STEPS:
            return tuple(part.detach() for part in found), error
        steps *= 2


def _joined(parts: list[Evidence], take: Callable[[Evidence], tuple[T, ...]]) -> tuple[T, ...]:
    return tuple(item for part in parts for item in take(part))
