"""Numbers in few digits whose sums stay sums."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.explanations.rounding import shown
from api.ground.rounding import rounded_to_sum

numbers = st.lists(st.floats(-5, 5).map(lambda x: round(x, 6)), max_size=60)


@example([1.73175], 4)
@given(numbers, st.integers(1, 6))
def test_parts_sum_to_the_rounded_total_and_none_moves_by_more_than_a_digit(parts: list[float], digits: int) -> None:
    told = rounded_to_sum(parts, sum(parts), digits)
    assert sum(told) == pytest.approx(round(sum(parts), digits), abs=1e-9)
    assert all(abs(a - b) <= 1.0001 * 10**-digits for a, b in zip(parts, told, strict=True))
    assert all(told[i] == 0 for i, part in enumerate(parts) if part == 0)


def explanation(
    text: list[float], vitals: list[float], presence: float, gap: float, imaging: float
) -> dict[str, object]:
    of_text, of_vitals = sum(text) + presence + gap, sum(vitals) - presence
    names = {"imaging": (imaging, 0.1), "text": (of_text, presence), "vitals": (of_vitals, -presence)}
    modalities = [{"name": n, "contribution": round(c, 6), "presence": round(p, 6)} for n, (c, p) in names.items()]
    value = -0.7 + sum(one["contribution"] for one in modalities)  # type: ignore[misc]
    spans = [{"start": i, "end": i + 1, "text": "x", "attribution": a} for i, a in enumerate(text)]
    return {
        "baseline_value": -0.7,
        "value": round(value, 6),
        "modalities": modalities,
        "text": spans,
        "phrases": [{**span, "context": "affirmed"} for span in spans],
        "vitals": [{"name": f"v{i}", "value": 1.0, "unit": "", "attribution": a} for i, a in enumerate(vitals)],
        "counterfactuals": [{"changes": [], "probability": 0.123456, "probability_after": 0.654321}],
    }


@given(numbers, numbers, st.floats(-1, 1), st.floats(-0.01, 0.01), st.floats(-3, 3), st.integers(1, 6))
def test_an_explanation_in_few_digits_is_as_additive_as_it_was(
    text: list[float], vitals: list[float], presence: float, gap: float, imaging: float, digits: int
) -> None:
    stored = explanation(text, vitals, presence, gap, imaging)
    told = shown(stored, digits)
    contributions = {one["name"]: one for one in told["modalities"]}
    apart = told["value"] - told["baseline_value"]
    assert sum(one["contribution"] for one in contributions.values()) == pytest.approx(apart, abs=1e-9)
    for name, parts in (("text", told["text"]), ("vitals", told["vitals"])):
        left = contributions[name]["contribution"] - contributions[name]["presence"]
        left -= sum(part["attribution"] for part in parts)
        before = next(one for one in stored["modalities"] if one["name"] == name)  # type: ignore[attr-defined]
        was = before["contribution"] - before["presence"] - sum(part["attribution"] for part in stored[name])  # type: ignore[attr-defined]
        if parts:
            assert left == pytest.approx(round(was, digits), abs=1e-9)
    sums = [sum(part["attribution"] for part in told[key]) for key in ("text", "phrases")]
    assert sums[0] == pytest.approx(sums[1], abs=1e-9)
    assert told["counterfactuals"][0]["probability"] == round(0.123456, digits)
