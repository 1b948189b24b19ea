"""An explanation in few digits that is still additive: its parts sum to what they did, to the last digit shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.ground.rounding import rounded_to_sum

OF_NOTE = ("text", "words")
"""Modalities whose contribution the words of the note share in."""


def shown(result: Mapping[str, Any], digits: int) -> dict[str, Any]:
    """A stored explanation with ``digits`` digits.

    Contributions sum to value minus baseline_value. Phrases sum to what the text does. Presence takes what rounding
    leaves, so that each contribution stays the sum of its parts, up to the completeness error as it was.
    """
    baseline, value = round(result["baseline_value"], digits), round(result["value"], digits)
    apart = _sum(c["contribution"] for c in result["modalities"])
    of_all = value - baseline if abs(apart - (result["value"] - result["baseline_value"])) < 10**-digits else apart
    contributions = rounded_to_sum([c["contribution"] for c in result["modalities"]], of_all, digits)
    parts = {key: _parts(result.get(key, ()), digits) for key in ("text", "phrases", "vitals")}
    modalities = [
        {**one, "contribution": told, "presence": _presence(one, told, result, parts, digits)}
        for one, told in zip(result["modalities"], contributions, strict=True)
    ]
    return {
        **result,
        "baseline_value": baseline,
        "value": value,
        "modalities": modalities,
        **parts,
        "counterfactuals": [_counterfactual(one, digits) for one in result.get("counterfactuals", ())],
    }


def _parts(parts: Sequence[Mapping[str, Any]], digits: int) -> list[dict[str, Any]]:
    values = [part["attribution"] for part in parts]
    told = rounded_to_sum(values, _sum(values), digits)
    return [{**part, "attribution": number} for part, number in zip(parts, told, strict=True)]


def _presence(
    one: Mapping[str, Any],
    contribution: float,
    result: Mapping[str, Any],
    parts: Mapping[str, Sequence[Mapping[str, Any]]],
    digits: int,
) -> float:
    """What is left of a contribution whose parts are told; its own value where they are a picture or another's too."""
    presence = float(one.get("presence", 0.0))
    key = _told_by(one["name"], [c["name"] for c in result["modalities"]])
    if key is None or not parts[key]:
        return round(presence, digits)
    before = _sum(part["attribution"] for part in result[key])
    gap = round(one["contribution"] - presence - before, digits)
    left: float = contribution - gap - _sum(part["attribution"] for part in parts[key])
    return round(left, digits)


def _told_by(name: str, names: Sequence[str]) -> str | None:
    """Which list of attributions is this modality's alone."""
    if name == "vitals":
        return "vitals"
    return "text" if name in OF_NOTE and sum(other in OF_NOTE for other in names) == 1 else None


def _counterfactual(one: Mapping[str, Any], digits: int) -> dict[str, Any]:
    return {**one, **{key: round(one[key], digits) for key in ("probability", "probability_after")}}


def _sum(values: Any) -> float:
    return float(sum(values))
