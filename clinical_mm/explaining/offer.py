"""Which explainers a model offers, the default first: those that were judged well, and those that were not judged.

What the card of a model keeps under ``explanations``: a row for each explainer that applies to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clinical_mm.explaining import DEFAULT, EXPLAINERS, explainer

if TYPE_CHECKING:
    from clinical_mm.case import Case
    from clinical_mm.predictor import Predictor

Row = Mapping[str, Any]


def judged(predictor: Predictor, cases: Sequence[Case], tell: Callable[[int, int], None]) -> list[dict[str, Any]]:
    """A row for each explainer that applies to a model; with its scores where there are cases to judge on."""
    from clinical_mm.explaining.faithfulness import judge

    scores = {one.method: one.to_json() for one in judge(predictor, cases, tell=tell)} if cases else {}
    return [
        scores.get(name, {"method": name, "display": way.display, "offered": True, "cases": 0})
        for name in EXPLAINERS
        if (way := explainer(name)).applies(predictor)
    ]


def offered(card: Mapping[str, Any]) -> list[Row]:
    """The explainers that may be shown of a model, the default first: the usual one, or what removal bears out best.

    Of a model that is older than such rows, the usual one.
    """
    rows: list[Row] = card.get("explanations") or [
        {"method": DEFAULT, "display": "Integrated gradients", "offered": True, "cases": 0}
    ]
    fine = [row for row in rows if row["offered"]]
    return sorted(fine, key=lambda row: (row["method"] != DEFAULT, -row.get("gain", -1e9)))
