"""Vitals as a reader sees them: value, unit, where it lies against the normal range, what it adds to the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clinical_mm.catalogue import Catalogue, Vital

UNITS = {
    "Cel": "°C",
    "mm[Hg]": "mmHg",
    "[pH]": "",
    "{score}": "",
    "10*9/L": "×10⁹/L",
    "10*12/L": "×10¹²/L",
    "ug/L": "µg/L",
    "umol/L": "µmol/L",
}
"""UCUM as people write it; a unit that is not here is shown as it is."""
MARGIN = 1.0
"""How far a bar reaches beyond the normal range on either side, in widths of that range."""


@dataclass(frozen=True)
class MeasureRow:
    """One vital that is present. ``at``, ``normal_from`` and ``normal_to`` are percent of the bar's length."""

    name: str
    display: str
    value: str
    unit: str
    normal: str
    state: str
    at: float
    normal_from: float
    normal_to: float
    attribution: float | None = None
    share: float = 0.0
    """|attribution| in percent of the strongest one shown."""


def measure_rows(
    catalogue: Catalogue, values: Mapping[str, float], attributions: Mapping[str, float]
) -> list[MeasureRow]:
    """The vitals of a case, those that say most first; in the catalogue's order where nothing is explained."""
    strongest = max((abs(a) for name, a in attributions.items() if name in values), default=0.0)
    rows = [
        _row(vital, values[vital.name], attributions.get(vital.name), strongest)
        for vital in catalogue.vitals
        if vital.name in values
    ]
    return sorted(rows, key=lambda row: -row.share)


def absent_measures(catalogue: Catalogue, values: Mapping[str, float]) -> list[str]:
    """What the catalogue lists and this case does not have."""
    return [vital.display for vital in catalogue.vitals if vital.name not in values]


def _row(vital: Vital, value: float, attribution: float | None, strongest: float) -> MeasureRow:
    low = vital.normal.low if vital.normal.low is not None else vital.plausible.low
    high = vital.normal.high if vital.normal.high is not None else vital.plausible.high
    low, high = (min(0.0, value) if low is None else low), (max(value, 1.0) if high is None else high)
    reach = max((high - low) * MARGIN, abs(high) * 0.1, 1e-9)
    start, end = low - reach, high + reach
    if vital.plausible.low is not None:
        start = max(start, vital.plausible.low)
    if vital.plausible.high is not None:
        end = min(end, vital.plausible.high)
    return MeasureRow(
        name=vital.name,
        display=vital.display,
        value=f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}",
        unit=UNITS.get(vital.unit, vital.unit),
        normal=str(vital.normal),
        state=_state(vital, value),
        at=_percent(value, start, end),
        normal_from=_percent(low, start, end),
        normal_to=_percent(high, start, end),
        attribution=attribution,
        share=0.0 if attribution is None or not strongest else 100 * abs(attribution) / strongest,
    )


def _state(vital: Vital, value: float) -> str:
    if value in vital.normal:
        return "normal"
    return "low" if vital.normal.low is not None and value < vital.normal.low else "high"


def _percent(value: float, start: float, end: float) -> float:
    return round(100 * min(max((value - start) / max(end - start, 1e-9), 0.0), 1.0), 2)
