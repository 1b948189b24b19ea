"""Groups of patients that a model must serve alike, and circumstances that must not stand in for evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clinical_mm.case import Case
from clinical_mm.pictures.acquisition import acquisition

AGE_BANDS = ((18, "under 18"), (40, "18 to 39"), (60, "40 to 59"), (80, "60 to 79"))
OLDEST, UNKNOWN = "80 and over", "not told"

Groups = Mapping[str, Sequence[str]]
"""What is told apart -> the group of each case, in the cases' order."""


def age_band(age_years: float | None) -> str:
    """Which band an age in years falls into."""
    if age_years is None:
        return UNKNOWN
    return next((name for end, name in AGE_BANDS if age_years < end), OLDEST)


def groups_of(cases: Sequence[Case]) -> Groups:
    """Sex, age band, and of the first image the site, the device and the view, as its header tells."""
    made = [acquisition(case.images[0].read()) if case.images else None for case in cases]
    return {
        "sex": [case.patient.sex or UNKNOWN for case in cases],
        "age": [age_band(case.patient.age_years) for case in cases],
        "site": [(a and a.site) or UNKNOWN for a in made],
        "device": [(a and a.device) or UNKNOWN for a in made],
        "view": [(a and a.view) or UNKNOWN for a in made],
    }
