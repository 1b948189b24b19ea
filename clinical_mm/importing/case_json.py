"""The contract's JSON <-> Case: what a caller sends, checked field by field, and what an export writes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from clinical_mm.case import Case, ImageFile, Patient, Sex
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import InvalidCase, UnitMismatch


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("must not contain lone surrogates")
    return text


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _written(moment: Any) -> Any:
    # by itself pydantic takes 1740000000 for seconds since 1970, as a number and as a text
    if not isinstance(moment, datetime) and not (isinstance(moment, str) and _RFC_3339.fullmatch(moment)):
        raise ValueError("must be a text such as 2026-03-01T10:00:00Z (RFC 3339)")
    return moment


def _in_range(moment: datetime) -> datetime:
    if not 1900 <= moment.year <= 2200:  # also keeps a conversion between zones from leaving the calendar
        raise ValueError("must lie between the years 1900 and 2200")
    return moment


Moment = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_in_range)]
"""A moment with its zone, as RFC 3339 writes it."""
Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable)]
Note = Annotated[str, Field(max_length=1_000_000), AfterValidator(_storable)]


class PatientDocument(BaseModel):
    """Who the case belongs to; ``id`` is the caller's own, and keeps a patient's cases together."""

    model_config = ConfigDict(extra="forbid")
    id: Line
    sex: Sex | None = None
    age_years: Annotated[float | None, Field(ge=0, le=130, strict=True)] = None


def _or_number(schema: dict[str, Any]) -> None:
    whole = dict(schema)
    schema.clear()
    schema.update(description=whole.pop("description"), anyOf=[{"type": "number"}, whole])


_LARGEST = 10**300  # beyond it an integer is no float any more


class Measurement(BaseModel):
    """A value and its UCUM unit; a bare number is in the catalogue's unit."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_or_number)
    value: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    unit: Annotated[str, Field(max_length=40)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _number(cls, data: Any) -> Any:
        if isinstance(data, bool) or not isinstance(data, int | float | Mapping | Measurement):
            # a ValueError, not a TypeError: pydantic points at those
            raise ValueError('must be a number, or {"value": number, "unit": UCUM}')  # noqa: TRY004
        if isinstance(data, int | float):
            if (isinstance(data, int) and abs(data) > _LARGEST) or not math.isfinite(data):
                raise ValueError("must be a finite number")
            return {"value": data}
        return data


class CaseDocument(BaseModel):
    """A case as sent: ``patient`` and at least one of note, vitals or a file."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "external_id": "acc-1",
                "patient": {"id": "p-1", "sex": "F", "age_years": 64},
                "note": "64-year-old with fever and productive cough.",
                "vitals": {"heart_rate": 112, "spo2": 88, "temperature": {"value": 101.5, "unit": "[degF]"}},
                "diagnoses": ["pneumonia"],
                "acquired_at": "2026-03-01T10:00:00Z",
            }
        },
    )
    external_id: Line | None = None
    patient: PatientDocument
    note: Note | None = None
    vitals: dict[str, Measurement] = Field(default_factory=dict, max_length=500)
    diagnoses: Annotated[list[str], Field(max_length=100)] | None = None
    acquired_at: Moment | None = None

    def to_case(self, catalogue: Catalogue, images: Sequence[ImageFile] = (), case_id: str = "") -> Case:
        """The case with every vital in the catalogue's unit.

        Raises:
            InvalidCase: with every fault of vitals and diagnoses and where it is.
        """
        faults: list[tuple[str, str]] = []
        vitals: dict[str, float] = {}
        for name, sent in self.vitals.items():
            where = f"/vitals/{name.replace('~', '~0').replace('/', '~1')}"
            try:
                vitals[name] = catalogue.measure(name, sent.value, sent.unit, where)
            except UnitMismatch as error:
                faults.append((f"{where}/unit", error.detail))
            except InvalidCase as error:
                faults.extend(error.faults)
        for position, code in enumerate(self.diagnoses or ()):
            try:
                catalogue.diagnosis(code, f"/diagnoses/{position}")
            except InvalidCase as error:
                faults.extend(error.faults)
        if faults:
            raise InvalidCase("; ".join(detail for _, detail in faults), faults[0][0], faults)
        return Case(
            id=case_id,
            external_id=self.external_id,
            patient=Patient(self.patient.id, self.patient.sex, self.patient.age_years),
            note=self.note,
            vitals=vitals,
            images=tuple(images),
            diagnoses=None if self.diagnoses is None else tuple(dict.fromkeys(self.diagnoses)),
            acquired_at=self.acquired_at,
        )


def case_from_json(data: Any, catalogue: Catalogue, images: Sequence[ImageFile] = (), case_id: str = "") -> Case:
    """A case from the contract's JSON.

    Raises:
        InvalidCase: a field is missing, of the wrong type, unknown, or impossible; every fault with its pointer.
    """
    try:
        document = CaseDocument.model_validate(data)
    except ValidationError as error:
        faults = [("".join(f"/{part}" for part in e["loc"]), e["msg"]) for e in error.errors(include_url=False)]
        message = "; ".join(f"{where or 'case'}: {what}" for where, what in faults)
        raise InvalidCase(message, faults[0][0], faults) from error
    return document.to_case(catalogue, images, case_id)


def case_to_json(case: Case) -> dict[str, Any]:
    """The contract's JSON of a case, without its files; what is not there is left out."""
    patient = {"id": case.patient.id, "sex": case.patient.sex, "age_years": case.patient.age_years}
    acquired = None if case.acquired_at is None else case.acquired_at.astimezone(UTC)
    document: dict[str, Any] = {
        "external_id": case.external_id,
        "patient": {key: value for key, value in patient.items() if value is not None},
        "note": case.note,
        "vitals": dict(sorted(case.vitals.items())) or None,
        "diagnoses": None if case.diagnoses is None else list(case.diagnoses),
        "acquired_at": None if acquired is None else _rfc3339(acquired),
    }
    return {key: value for key, value in document.items() if value is not None}


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
