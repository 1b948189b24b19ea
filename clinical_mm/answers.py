"""What a model answers: a prediction, and why. Frozen, and ready to be shown as the contract's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clinical_mm.information import Information
from clinical_mm.modalities.base import HeatMap, Span, VitalAttribution
from clinical_mm.notes import Phrase

DIGITS = 6


@dataclass(frozen=True)
class DiagnosisProbability:
    """A diagnosis and its calibrated probability."""

    code: str
    display: str
    probability: float


@dataclass(frozen=True)
class ModalityShare:
    """A modality, whether the case has it, and its attention weight (0 where absent; all sum to 1).

    ``strangeness``: how far it lies from the training cases' (``cautions/region.py``): 0 = as far as half of the cases
    held back in training, 1 = a robust standard deviation further; None where that is not known.
    """

    name: str
    present: bool
    weight: float
    strangeness: float | None = None


@dataclass(frozen=True)
class Caution:
    """Something a reader must know before trusting the answer."""

    code: str
    detail: str


@dataclass(frozen=True)
class Prediction:
    """Calibrated probabilities, most probable first, and the diagnoses that cannot be ruled out at ``coverage``.

    ``abstained`` is True where an exclusive task rules nothing out: the model has no answer. ``information`` tells what
    a label of the case would teach the model; None where it is not kept where the cases lie that taught it.
    """

    diagnoses: tuple[DiagnosisProbability, ...]
    coverage: float
    prediction_set: tuple[str, ...]
    modalities: tuple[ModalityShare, ...]
    warnings: tuple[Caution, ...]
    abstained: bool
    information: Information | None = None

    def to_json(self) -> dict[str, Any]:
        """The contract's shape, without what the service adds (ids, time, model)."""
        return {
            "diagnoses": [
                {"code": d.code, "display": d.display, "probability": round(d.probability, DIGITS)}
                for d in self.diagnoses
            ],
            "prediction_set": {"coverage": self.coverage, "codes": list(self.prediction_set)},
            "modalities": [
                {
                    "name": m.name,
                    "present": m.present,
                    "weight": round(m.weight, DIGITS),
                    "strangeness": None if m.strangeness is None else round(m.strangeness, DIGITS),
                }
                for m in self.modalities
            ],
            "warnings": [{"code": w.code, "detail": w.detail} for w in self.warnings],
            "abstained": self.abstained,
            "information": None if self.information is None else self.information.to_json(),
        }


@dataclass(frozen=True)
class Contribution:
    """What a modality adds to the target's log-odds; 0 where it is absent.

    ``presence`` is the part of ``contribution`` that no pixel, word or value of it earns: that it is there at all.
    """

    name: str
    contribution: float
    presence: float = 0.0


@dataclass(frozen=True)
class Change:
    """One value of a case that would be another: ``to`` in the catalogue's unit, None = as if it was not there."""

    name: str
    value: float | None
    to: float | None
    unit: str = ""


@dataclass(frozen=True)
class Counterfactual:
    """What the target's probability would be after some changes."""

    changes: tuple[Change, ...]
    probability: float
    probability_after: float

    def to_json(self) -> dict[str, Any]:
        """The contract's shape."""
        return {
            "changes": [{"name": c.name, "value": c.value, "to": c.to, "unit": c.unit} for c in self.changes],
            "probability": round(self.probability, DIGITS),
            "probability_after": round(self.probability_after, DIGITS),
        }


@dataclass(frozen=True)
class Explanation:
    """An additive account of one target on the scale of calibrated log-odds.

    Attributes:
        baseline_value: log-odds of how often the training cases had the target: what is known without any modality.
        value: log-odds of the case.
        completeness_error: what attributions and presences leave of each modality's contribution, summed without
            sign, relative to value - baseline_value (which counts as at least 0.1).
        contributions: exact Shapley value of each modality; they sum to value - baseline_value.
        baselines: modality -> name of the inputs that stand for nothing.
        counterfactuals: smallest change first.
        phrases: the note as its reader reads it; they add up to what ``text`` does.
    """

    target: str
    method: str
    baseline_value: float
    value: float
    completeness_error: float
    contributions: tuple[Contribution, ...]
    text: tuple[Span, ...] = ()
    vitals: tuple[VitalAttribution, ...] = ()
    images: tuple[HeatMap, ...] = ()
    baselines: Mapping[str, str] = field(default_factory=dict)
    counterfactuals: tuple[Counterfactual, ...] = ()
    scale: str = "log-odds"
    phrases: tuple[Phrase, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The contract's shape, without what the service adds (ids, links to the heat maps' pictures)."""
        return {
            "target": self.target,
            "method": self.method,
            "scale": self.scale,
            "baseline_value": round(self.baseline_value, DIGITS),
            "value": round(self.value, DIGITS),
            "completeness_error": round(self.completeness_error, DIGITS),
            "modalities": [
                {"name": c.name, "contribution": round(c.contribution, DIGITS), "presence": round(c.presence, DIGITS)}
                for c in self.contributions
            ],
            "text": [
                {"start": s.start, "end": s.end, "text": s.text, "attribution": round(s.attribution, DIGITS)}
                for s in self.text
            ],
            "phrases": [phrase.to_json() for phrase in self.phrases],
            "vitals": [
                {"name": v.name, "value": v.value, "unit": v.unit, "attribution": round(v.attribution, DIGITS)}
                for v in self.vitals
            ],
            "images": [{"file": h.file, "frame": h.frame, "peak": list(h.peak)} for h in self.images],
            "baselines": dict(self.baselines),
            "counterfactuals": [c.to_json() for c in self.counterfactuals],
        }
