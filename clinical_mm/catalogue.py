"""The vitals and diagnoses in force: names, codes, units, ranges, and conversion between units."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clinical_mm.configs import config_folder
from clinical_mm.errors import ImplausibleValue, InvalidConfig, UnitMismatch, UnknownCode

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]


class Range(BaseModel):
    """A closed interval in the vital's unit; an open side is None."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    low: float | None = None
    high: float | None = None

    def __contains__(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        low = "" if self.low is None else f"{self.low:g}"
        high = "" if self.high is None else f"{self.high:g}"
        return f"{low}–{high}"


class Vital(BaseModel):
    """A vital sign or laboratory value: LOINC code, UCUM unit, plausible and normal (adult) range."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: Name
    display: str
    loinc: Annotated[str, Field(pattern=r"^\d{1,7}-\d$")]
    unit: str
    plausible: Range
    normal: Range
    molar_mass_g_per_mol: float | None = None
    group: str = "vital"


class Diagnosis(BaseModel):
    """A diagnosis a model may answer with: SNOMED CT and ICD-10 codes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    code: Name
    display: str
    snomed: Annotated[str, Field(pattern=r"^\d{6,18}$")]
    icd10: str


class Catalogue(BaseModel):
    """The vitals and diagnoses in force, in their stated order."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    vitals: tuple[Vital, ...]
    diagnoses: tuple[Diagnosis, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for kind, names in (("vital", [v.name for v in self.vitals]), ("diagnosis", [d.code for d in self.diagnoses])):
            twice = {n for n in names if names.count(n) > 1}
            if twice:
                raise ValueError(f"{kind} listed twice: {', '.join(sorted(twice))}")
        return self

    @classmethod
    def load(cls, path: Path | None = None) -> Catalogue:
        """The catalogue of a YAML file, or the one that comes with the package.

        Raises:
            InvalidConfig: the file is not a catalogue; the message names the entry.
        """
        path = path or config_folder() / "catalogue.yaml"
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (ValidationError, yaml.YAMLError) as error:
            raise InvalidConfig(f"{path}: {error}") from error

    def vital(self, name: str, pointer: str = "") -> Vital:
        """The vital of that name; raises UnknownCode."""
        found = _by_name(self)[0].get(name)
        if found is None:
            known = ", ".join(v.name for v in self.vitals)
            raise UnknownCode(f"unknown vital{_named(name, pointer)}; known: {known}", pointer)
        return found

    def diagnosis(self, code: str, pointer: str = "") -> Diagnosis:
        """The diagnosis of that code; raises UnknownCode."""
        found = _by_name(self)[1].get(code)
        if found is None:
            known = ", ".join(d.code for d in self.diagnoses)
            raise UnknownCode(f"unknown diagnosis{_named(code, pointer)}; known: {known}", pointer)
        return found

    def measure(self, name: str, value: float, unit: str | None = None, pointer: str = "") -> float:
        """A measurement in the catalogue's unit, checked for plausibility.

        Raises:
            UnknownCode: no such vital.
            UnitMismatch: ``unit`` is not UCUM or does not convert.
            ImplausibleValue: outside the plausible range, or not a finite number.
        """
        vital = self.vital(name, pointer)
        converted = value if unit in (None, vital.unit) else convert(value, str(unit), vital, pointer)
        if not math.isfinite(converted) or converted not in vital.plausible:
            raise ImplausibleValue(
                f"{name} = {converted:g} {vital.unit} is not plausible; it must lie in {vital.plausible}", pointer
            )
        return converted


_ONE_AT_A_TIME = threading.Lock()
# Two threads that make the registry at once redefine each other's units.
_LONE_ANNOTATION = re.compile(r"(^|[/.(])\{[^{}]*\}")
_LONG_NUMBER = re.compile(r"\d{4}")


def convert(value: float, unit: str, vital: Vital, pointer: str = "") -> float:
    """``value`` in UCUM ``unit`` expressed in the vital's unit; mass to molar concentration where a mass is known.

    Raises:
        UnitMismatch: the unit is not UCUM, or of another dimension.
    Source: UCUM 2.2, through ucumvert and pint.
    """
    import lark
    import pint

    try:
        with _ONE_AT_A_TIME:
            one, target = _unit(unit), _unit(vital.unit)
            quantity = _units().Quantity(value * one.magnitude, one.units)
            return float(_by_mass(quantity, target, vital.molar_mass_g_per_mol).to(target.units).magnitude)
    except (pint.PintError, lark.exceptions.LarkError, ArithmeticError, ValueError) as error:
        told = f"{vital.name}: the unit{_named(unit, pointer)} does not convert into {vital.unit!r}"
        raise UnitMismatch(told, pointer) from error


def _named(word: str, pointer: str) -> str:
    """The word that is wrong, unless a pointer finds it: what a caller sends is not said back, it may be a name."""
    return "" if pointer else f" {word!r}"


def _by_mass(quantity: Any, target: Any, grams_a_mole: float | None) -> Any:
    """Moles for grams or grams for moles, where only that stands between a quantity and its target."""
    if grams_a_mole is None or quantity.is_compatible_with(target):
        return quantity
    mass = grams_a_mole * _units().Unit("g/mol")
    return next((q for q in (quantity * mass, quantity / mass) if q.is_compatible_with(target)), quantity)


@lru_cache(maxsize=512)
def _unit(text: str) -> Any:
    """One of a UCUM unit, as a pint quantity; an annotation that stands alone is the number 1 (UCUM 2.2, section 6)."""
    if _LONG_NUMBER.search(text):  # 10*999999999 would be written out in full
        raise ValueError(text)
    return _units().from_ucum(_LONE_ANNOTATION.sub(r"\g<1>1", text))


@cache
def _units() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()


@lru_cache(maxsize=8)
def _by_name(catalogue: Catalogue) -> tuple[Mapping[str, Vital], Mapping[str, Diagnosis]]:
    return {v.name: v for v in catalogue.vitals}, {d.code: d for d in catalogue.diagnoses}
