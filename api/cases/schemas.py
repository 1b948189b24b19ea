"""Cases as they go over the wire."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from clinical_mm.importing.case_json import CaseDocument, Measurement, Moment, Note

CaseIn = CaseDocument

Review = Literal["unreviewed", "unsure", "reviewed", "submitted"]
"""``submitted``: labelled by whoever sent the case, reviewed by nobody."""
Order = Literal["newest", "worklist", "uncertainty", "disagreement", "information"]
"""``worklist``: unreviewed, unsure, reviewed, submitted, each by uncertainty. Not predicted yet = last."""


@dataclass(frozen=True)
class Upload:
    """A file as it came: its name, and where its bytes lie until the request is over."""

    name: str
    path: Path
    sha256: str
    size: int


class PatientOut(BaseModel):
    """Who the case belongs to."""

    id: str
    sex: str | None
    age_years: float | None


class FileOut(BaseModel):
    """A stored object of a case and what its header told."""

    position: int
    name: str
    media_type: str
    size: int
    sha256: str
    frames: int
    rows: int
    columns: int
    attributes: dict[str, Any]
    content: str
    preview: str


class CaseOut(BaseModel):
    """A case as stored; vitals are in the catalogue's units."""

    id: str
    external_id: str | None
    patient: PatientOut
    note: str | None
    vitals: dict[str, float]
    diagnoses: list[str] | None
    labelled_by: str | None
    labelled_at: datetime | None
    golden_by: str | None
    golden_at: datetime | None
    review: Review
    uncertainty: float | None
    disagreement: float | None
    information: float | None
    synthetic: bool
    deidentification: dict[str, Any] | None
    """What was removed on the way in, by name and count; null = the case is as it was sent."""
    acquired_at: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int
    files: list[FileOut]


class CasePage(BaseModel):
    """Cases in the order asked for."""

    items: list[CaseOut]
    next_cursor: str | None


class PlainConditions(BaseModel):
    """Which cases, by what tells nothing of a patient; all conditions hold at once."""

    model_config = ConfigDict(extra="forbid")
    diagnosis: Annotated[str | None, Field(max_length=64, description="a code among the case's labels")] = None
    labelled: bool | None = None
    golden: Annotated[bool | None, Field(description="its label is locked, and it judges models")] = None
    since: Moment | None = Field(None, description="stored at or after this moment")


class PlainFilter(PlainConditions):
    """Which cases, in which order, from where on."""

    review: Annotated[Review | None, Field(description="how far its review is")] = None
    order: Annotated[Order, Field(description="always the largest first; newest first among equals")] = "newest"
    cursor: Annotated[str | None, Field(max_length=120, description="`next_cursor` of the page before")] = None
    limit: int = Field(50, ge=1, le=200)


class CaseConditions(PlainConditions):
    """The same, and words, which may be a patient's name or number."""

    q: Annotated[
        str | None, Field(max_length=200, description="words in external id, patient id, note; a case's id")
    ] = None


class CaseFilter(PlainFilter, CaseConditions):
    """Which cases, by words too, in which order, from where on."""


class Address(BaseModel):
    """What comes in an address, which browsers, proxies and logs keep: no words (OWASP ASVS 5.0, V14.2.1)."""

    @model_validator(mode="before")
    @classmethod
    def _no_words(cls, sent: Any) -> Any:
        if "q" in sent:
            where = "search by POST /v1/cases/search, count by POST /v1/cases/counts, with `q` in the body"
            told = PydanticCustomError("words_in_address", f"words have no place in an address: {where}")
            raise ValidationError.from_exception_data(cls.__name__, [InitErrorDetails(type=told, loc=("q",), input="")])
        return sent


class ConditionsQuery(Address, PlainConditions):
    """The conditions that an address may name."""


class FilterQuery(Address, PlainFilter):
    """Which cases, in which order, from where on, as an address may say it."""


class SentConditions(CaseConditions):
    """The conditions in a body of JSON, where ``"yes"`` is no truth and ``"5"`` no number."""

    labelled: StrictBool | None = None
    golden: Annotated[StrictBool | None, Field(description="its label is locked, and it judges models")] = None


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: ``57.0`` is a whole one (JSON Schema 2020-12, 6.1.1)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class SentFilter(CaseFilter):
    """Which cases, in which order, from where on, in such a body."""

    labelled: StrictBool | None = None
    golden: Annotated[StrictBool | None, Field(description="its label is locked, and it judges models")] = None
    limit: Annotated[StrictInt, Field(ge=1, le=200), BeforeValidator(_whole)] = 50


class CaseCounts(BaseModel):
    """How many cases there are of each state of review, under the same conditions."""

    unreviewed: int
    unsure: int
    reviewed: int
    submitted: int
    all: int


class CaseChange(BaseModel):
    """What may be changed; a field that is absent stays, one that is null is removed."""

    model_config = ConfigDict(extra="forbid")
    note: Note | None = None
    vitals: Annotated[dict[str, Measurement] | None, Field(max_length=500)] = None
    diagnoses: Annotated[list[str] | None, Field(max_length=100)] = None
    acquired_at: Moment | None = None


class CasePath(BaseModel):
    """Which case."""

    id: Annotated[str, Field(max_length=80)]


class FilePath(CasePath):
    """Which file of which case."""

    n: Annotated[int, Field(ge=0)]


class PreviewQuery(BaseModel):
    """How the picture is shown."""

    model_config = ConfigDict(extra="forbid")
    window: Annotated[
        str | None,
        Field(pattern=r"^-?\d{1,9}(\.\d{1,9})?,\d{1,9}(\.\d{1,9})?$", description="center,width in stored units"),
    ] = None
    frame: Annotated[int, Field(ge=0)] = 0
    size: Annotated[int, Field(ge=16, le=4096, description="longest side in pixels")] = 512

    def center_width(self) -> tuple[float, float] | None:
        """The window as numbers."""
        if self.window is None:
            return None
        center, width = self.window.split(",")
        return float(center), max(float(width), 1.0)


class RawQuery(BaseModel):
    """Which frame."""

    model_config = ConfigDict(extra="forbid")
    frame: Annotated[int, Field(ge=0)] = 0
