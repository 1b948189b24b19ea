"""Values that are each plausible and cannot be true together: a swap, a unit, or a value of another moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from clinical_mm.answers import Caution
from clinical_mm.cautions.base import Check, Seen

WATER_VAPOUR_MMHG, SEA_LEVEL_MMHG = 47.0, 760.0
ROUNDING = 1.05
"""Counts and gases are rounded and come from different tubes: a twentieth more than possible is no contradiction."""

Values = Mapping[str, float]


@dataclass(frozen=True)
class Relation:
    """What holds for every patient; ``units`` are those that it is stated in, by catalogue name.

    ``broken`` gives the fault in words, with the values, or None.
    """

    units: Mapping[str, str]
    broken: Callable[[Values], str | None]


class ImpossibleVitals(Check):
    """``impossible-vitals``: only relations that physiology or the definition of the measure does not let break."""

    def cautions(self, seen: Seen) -> Iterator[Caution]:
        """One for each relation that is broken; one whose values are not all there, in its units, says nothing."""
        units = {v.name: v.unit for v in self.catalogue.vitals}
        for relation in RELATIONS:
            applies = all(units.get(name) == unit for name, unit in relation.units.items())
            if applies and relation.units.keys() <= seen.case.vitals.keys():
                fault = relation.broken(seen.case.vitals)
                if fault is not None:
                    yield Caution("impossible-vitals", f"{fault}: check for a swap, the unit and the time")


def _pressures(v: Values) -> str | None:
    """Diastolic pressure is the lowest of a beat, systolic the highest."""
    if v["diastolic_bp"] < v["systolic_bp"]:
        return None
    return f"diastolic pressure {v['diastolic_bp']:g} is not below systolic {v['systolic_bp']:g} mmHg"


def _white_cells(v: Values) -> str | None:
    """Neutrophils and lymphocytes are parts of the leukocytes."""
    parts = v["neutrophils"] + v["lymphocytes"]
    if parts <= v["wbc"] * ROUNDING + 0.1:
        return None
    return f"neutrophils and lymphocytes ({parts:g}) are more than all leukocytes ({v['wbc']:g} x10⁹/L)"


def _oxygen(v: Values) -> str | None:
    """Arterial oxygen cannot exceed that of the alveoli: PAO2 <= FiO2 (760 - 47) - PaCO2 (respiratory quotient 1).

    Source: alveolar gas equation, Fenn, Rahn and Otis, 1946. The quotient of 1 makes the bound generous.
    """
    most = v["fio2"] / 100 * (SEA_LEVEL_MMHG - WATER_VAPOUR_MMHG) - v["paco2"]
    if v["pao2"] <= max(most, 0.0) * ROUNDING + 5:
        return None
    return f"PaO2 {v['pao2']:g} mmHg cannot come from {v['fio2']:g} % oxygen with PaCO2 {v['paco2']:g} mmHg"


def _bicarbonate(v: Values) -> str | None:
    """PH and PaCO2 imply bicarbonate = 0.0307 PaCO2 10^(pH - 6.1), and no patient has less than 1 or more than 90.

    Source: Henderson-Hasselbalch equation, pK 6.1, solubility 0.0307 mmol/L/mmHg.
    """
    implied = 0.0307 * v["paco2"] * 10 ** (v["arterial_ph"] - 6.1)
    if 1 <= implied <= 90:
        return None
    return f"pH {v['arterial_ph']:g} with PaCO2 {v['paco2']:g} mmHg would need {implied:.2g} mmol/L of bicarbonate"


def _coma_score(v: Values) -> str | None:
    """The Glasgow coma score is a sum of three whole numbers (Teasdale and Jennett, 1974)."""
    return None if float(v["gcs"]).is_integer() else f"a Glasgow coma score of {v['gcs']:g} does not exist"


_PRESSURE, _CELLS = "mm[Hg]", "10*9/L"
RELATIONS = (
    Relation({"systolic_bp": _PRESSURE, "diastolic_bp": _PRESSURE}, _pressures),
    Relation({"wbc": _CELLS, "neutrophils": _CELLS, "lymphocytes": _CELLS}, _white_cells),
    Relation({"fio2": "%", "pao2": _PRESSURE, "paco2": _PRESSURE}, _oxygen),
    Relation({"arterial_ph": "[pH]", "paco2": _PRESSURE}, _bicarbonate),
    Relation({"gcs": "{score}"}, _coma_score),
)
