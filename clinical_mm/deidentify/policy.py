"""What is kept, cleaned and masked: a YAML file, ``configs/deidentify/policy.yaml`` where none is named."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from clinical_mm.configs import config_folder, load_yaml

Option = Literal["uids", "device", "institution", "patient", "full_dates", "modified_dates", "descriptors"]
"""A column of Table E.1-1 (``configs/deidentify/table_e_1_1.yaml``)."""
Share = Annotated[float, Field(ge=0, le=1)]
Hex4 = Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{4}$")]
Hex2 = Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{2}$")]


class SafePrivate(BaseModel):
    """One private attribute that names nobody, as Table E.3.10-1 lists them: ``(group,xx element)`` of its creator."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    creator: str
    group: Hex4
    element: Hex2


class MaskRegion(BaseModel):
    """A box that is always black, as shares of width and height: left, top, right, bottom."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    modality: str | None = None
    box: tuple[Share, Share, Share, Share]


class Policy(BaseModel):
    """How what comes in is de-identified."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    retain: frozenset[Literal["uids", "device", "institution", "patient", "full_dates", "modified_dates"]]
    clean: frozenset[Literal["descriptors"]] = frozenset()
    shift_days: Annotated[int, Field(ge=1, le=3650)] = 365
    oldest_age: Annotated[int, Field(ge=1, le=130)] = 89
    safe_private: tuple[SafePrivate, ...] = ()
    burned_in: Literal["tell", "mask", "refuse"] = "tell"
    mask_regions: tuple[MaskRegion, ...] = ()
    date_order: Literal["mdy", "dmy"] = "mdy"
    names: Annotated[str, Field(pattern=r"^((transformers|spacy):.+)?$")] = ""

    @model_validator(mode="after")
    def _one_way_with_dates(self) -> Self:
        if {"full_dates", "modified_dates"} <= self.retain:
            raise ValueError("retain full_dates or modified_dates, not both")
        return self

    @classmethod
    def load(cls, path: Path | None = None) -> Policy:
        """The policy of a file, or the one that comes along; raises InvalidConfig."""
        return load_yaml(cls, path or config_folder() / "deidentify" / "policy.yaml")

    @property
    def options(self) -> frozenset[Option]:
        """Every option in force."""
        return self.retain | self.clean

    @property
    def shifts(self) -> bool:
        """Whether dates stay, moved."""
        return "modified_dates" in self.retain
