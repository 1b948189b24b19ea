"""What stands beside the probabilities: the ways to explain, and what would change the answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from api.explanations.schemas import ChangeOut, CounterfactualOut, ExplanationOut, MethodOut
from api.pages.measures import UNITS
from api.pages.wording import MODALITIES
from clinical_mm.catalogue import Catalogue

COUNTERFACTUALS = "counterfactuals"
"""The method whose answer is a list of changes, not an account of what there is."""
LEAST_PRESENCE = 0.05
"""Below it, what a modality adds by being there at all is not worth a word."""


@dataclass(frozen=True)
class MethodChoice:
    """A way to explain; ``stored``: its answer for the target is there already."""

    name: str
    display: str
    stored: bool
    shown: bool


@dataclass(frozen=True)
class WhatIf:
    """``with SpO₂ 96 instead of 88 %``, and the probability before and after."""

    change: str
    probability: float
    after: float


def accounts(explanations: Iterable[ExplanationOut]) -> list[ExplanationOut]:
    """The explanations that say what each part adds."""
    return [e for e in explanations if e.method != COUNTERFACTUALS]


def method_choices(
    offered: Sequence[MethodOut], explanations: Iterable[ExplanationOut], target: str | None, shown: str | None
) -> list[MethodChoice]:
    """The methods to choose from, those used for this target marked; one no longer offered stays while stored."""
    stored = [e.method for e in accounts(explanations) if e.target == target]
    named = {m.name: m.display for m in offered if m.name != COUNTERFACTUALS}
    named.update({name: name.replace("_", " ").capitalize() for name in stored if name not in named})
    return [MethodChoice(name, display, name in stored, name == shown) for name, display in named.items()]


def offers_changes(offered: Iterable[MethodOut]) -> bool:
    """Whether what would change the answer can be asked for."""
    return any(m.name == COUNTERFACTUALS for m in offered)


def what_would_change(
    catalogue: Catalogue, explanations: Iterable[ExplanationOut], target: str | None
) -> list[WhatIf] | None:
    """The counterfactuals stored for a target, smallest change first; None where nobody has asked for them."""
    asked = [e for e in explanations if e.target == target]
    found = next((e.counterfactuals for e in asked if e.method == COUNTERFACTUALS), None)
    return None if found is None else [what_if(catalogue, c) for c in found]


def what_if(catalogue: Catalogue, counterfactual: CounterfactualOut) -> WhatIf:
    """One counterfactual in words."""
    names = {vital.name: vital.display for vital in catalogue.vitals}
    told = " and ".join(_change({**MODALITIES, **names}, change) for change in counterfactual.changes)
    return WhatIf(f"with {told}", counterfactual.probability, counterfactual.probability_after)


def _change(names: dict[str, str], change: ChangeOut) -> str:
    display = names.get(change.name, change.name)
    unit = UNITS.get(change.unit, change.unit)
    if change.to is None:
        return f"no {display}"
    before = "none" if change.value is None else _figure(change.value)
    return f"{display} {_figure(change.to)} instead of {before} {unit}".rstrip()


def _figure(value: float) -> str:
    return f"{value:.4g}"


def worth_telling(presence: float) -> float | None:
    """What is added by being there at all, None where it is next to nothing."""
    return presence if abs(presence) >= LEAST_PRESENCE else None
