"""A value far outside what the training part has seen, although the catalogue lets it pass: often a unit or a slip.

Shapes: N values of one vital.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from clinical_mm.answers import Caution
from clinical_mm.cautions.base import Check, Seen

FEWEST = 30
"""Values that a range is learned from; with fewer nothing is said."""
MARGIN = 1.5
"""Robust standard deviations that a value may lie beyond the lowest and highest of the training cases."""
IQR_OF_A_NORMAL = 1.349


@dataclass(frozen=True)
class SeenRange:
    """Lowest, highest and robust spread of N values; of their logarithms where ``logarithmic``."""

    low: float
    high: float
    spread: float
    logarithmic: bool
    cases: int

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        """Of values[N]; laboratory values are skewed, so the scale on which they lie more evenly is taken."""
        logarithmic = bool(values.min() > 0 and abs(_skew(np.log(values))) < abs(_skew(values)))
        scaled = np.log(values) if logarithmic else values
        quarter, three_quarters = np.percentile(scaled, [25, 75])
        spread = float(three_quarters - quarter) / IQR_OF_A_NORMAL or float(scaled.std())
        return cls(float(values.min()), float(values.max()), spread, logarithmic, len(values))

    def side(self, value: float) -> str | None:
        """Beyond which of ``lowest`` and ``highest`` the value lies, margin included; None where beyond neither."""
        if self.logarithmic and value <= 0:
            return "lowest"
        at, low, high = (np.log(x) if self.logarithmic else x for x in (value, self.low, self.high))
        if at < low - MARGIN * self.spread:
            return "lowest"
        return "highest" if at > high + MARGIN * self.spread else None


class UnusualVitals(Check):
    """``unusual-vital``. Values outside the catalogue's plausible range never come here: they are refused."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._ranges: dict[str, SeenRange] = {}

    def fit(self, taught: Sequence[Seen]) -> None:
        """The range of each vital that enough training cases have."""
        for vital in self.catalogue.vitals:
            found = [seen.case.vitals[vital.name] for seen in taught if vital.name in seen.case.vitals]
            if len(found) >= FEWEST:
                self._ranges[vital.name] = SeenRange.of(np.array(found, dtype=float))

    def state(self) -> dict[str, Any]:
        """The ranges by name."""
        return {"ranges": {name: asdict(seen) for name, seen in self._ranges.items()}}

    def load(self, state: Mapping[str, Any], vectors: Mapping[str, np.ndarray]) -> None:
        """The ranges."""
        self._ranges = {name: SeenRange(**told) for name, told in state.get("ranges", {}).items()}

    def cautions(self, seen: Seen) -> Iterator[Caution]:
        """One for each value beyond its range."""
        if "vitals" not in self.modalities:
            return
        for vital in self.catalogue.vitals:
            known, value = self._ranges.get(vital.name), seen.case.vitals.get(vital.name)
            side = known.side(value) if known is not None and value is not None else None
            if known is not None and side is not None:
                bound = known.low if side == "lowest" else known.high
                detail = (
                    f"{vital.display} {value:g} {vital.unit}: the {side} of {known.cases} training cases was {bound:g}"
                )
                yield Caution("unusual-vital", detail)


def _skew(values: np.ndarray) -> float:
    spread = values.std()
    return float((((values - values.mean()) / spread) ** 3).mean()) if spread else 0.0
