"""Cases and their files."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint, select, text
from sqlalchemy.orm import LoaderCriteriaOption, Mapped, mapped_column, relationship, with_loader_criteria

from api.ground.database import Base
from api.ground.fence import OfProject, fenced_through

NOT_KNOWN = -1.0
"""Sorts last on every database, where NULL would sort first on one and last on the other."""

LOCKED = text("golden_at IS NOT NULL")


class ReviewState(IntEnum):
    """How far a case is; what waits most sorts first."""

    SUBMITTED = 0
    """Its label came with it; nobody has reviewed it."""
    REVIEWED = 1
    UNSURE = 2
    UNREVIEWED = 3


class CaseRow(OfProject, Base):
    """A case as accepted; ``version`` is its ETag and grows with every change."""

    __tablename__ = "cases"
    __table_args__ = (
        UniqueConstraint("project_id", "external_id"),
        Index("ix_cases_project_id_id", "project_id", "id", unique=True),
        Index("ix_cases_review_state", "project_id", "review_state", "id"),
        Index("ix_cases_worklist", "project_id", "review_state", "uncertainty", "id"),
        Index("ix_cases_uncertainty", "project_id", "uncertainty", "id"),
        Index("ix_cases_disagreement", "project_id", "disagreement", "id"),
        Index("ix_cases_information", "project_id", "information", "id"),
        Index("ix_cases_review_state_disagreement", "project_id", "review_state", "disagreement", "id"),
        Index("ix_cases_review_state_information", "project_id", "review_state", "information", "id"),
        Index("ix_cases_golden", "project_id", "id", sqlite_where=LOCKED, postgresql_where=LOCKED),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    external_id: Mapped[str | None] = mapped_column(String(200))
    patient_id: Mapped[str] = mapped_column(String(200), index=True)
    sex: Mapped[str | None] = mapped_column(String(1))
    age_years: Mapped[float | None]
    note: Mapped[str | None]
    vitals: Mapped[dict[str, Any]]
    """name -> value in the catalogue's unit."""
    diagnoses: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    """The label in force: sent with the case or set by the newest confirm / override. NULL = unlabelled."""
    labelled_by: Mapped[str | None] = mapped_column(String(160))
    labelled_at: Mapped[datetime | None]
    given_diagnoses: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    """The label that was sent, with the case or in a change of it: what holds again once reviews are withdrawn."""
    given_by: Mapped[str | None] = mapped_column(String(160))
    given_at: Mapped[datetime | None]
    review_state: Mapped[int] = mapped_column(default=ReviewState.UNREVIEWED)
    golden_by: Mapped[str | None] = mapped_column(String(160))
    golden_at: Mapped[datetime | None]
    """Who locked the label, and when; NULL = it follows from the reviews. A golden case judges and never teaches."""
    contested: Mapped[bool] = mapped_column(default=False)
    """Two reviewers name different diagnoses."""
    uncertainty: Mapped[float] = mapped_column(default=NOT_KNOWN)
    disagreement: Mapped[float] = mapped_column(default=NOT_KNOWN)
    information: Mapped[float] = mapped_column(default=NOT_KNOWN)
    """All 0..1 of the newest prediction (predictions/doubt.py); kept here so that an index can sort by them."""
    synthetic: Mapped[bool] = mapped_column(default=False)
    deidentification: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """What was removed on the way in, by name and count, never by value. NULL = the case is as it was sent."""
    acquired_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(default=1)
    labels: Mapped[list[CaseLabelRow]] = relationship(cascade="all, delete-orphan", passive_deletes=True)
    files: Mapped[list[CaseFileRow]] = relationship(
        order_by="CaseFileRow.position", cascade="all, delete-orphan", passive_deletes=True, lazy="selectin"
    )


class CaseLabelRow(OfProject, Base):
    """One diagnosis of a case's label in force once more: what finds the cases of a rare one among a million."""

    __tablename__ = "case_labels"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    code: Mapped[str] = mapped_column(String(64), primary_key=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True, index=True)


class CaseFileRow(Base):
    """One stored object of a case: its blob and what decoding it told."""

    __tablename__ = "case_files"

    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(255))
    media_type: Mapped[str] = mapped_column(String(80))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    size: Mapped[int]
    frames: Mapped[int]
    rows: Mapped[int]
    columns: Mapped[int]
    attributes: Mapped[dict[str, Any]]
    """What others need of it: modality, body_part, view_position, series_uid, window presets, pixel statistics."""


class StagedFileRow(Base):
    """A file that was sent with many cases at once and waits for the case that names it; its blob is no orphan."""

    __tablename__ = "staged_files"

    run_id: Mapped[str] = mapped_column(ForeignKey("bulk_runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(500), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), index=True)


class BlobUseRow(Base):
    """Which case a blob belongs to: its files and the heat maps of its explanations. A blob of no case is an orphan."""

    __tablename__ = "blob_uses"

    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)


_owner = CaseRow.__table__.alias("owner")


def _files_of(project_id: str) -> LoaderCriteriaOption:
    return with_loader_criteria(
        CaseFileRow,
        lambda cls: select(_owner.c.id).where(_owner.c.id == cls.case_id, _owner.c.project_id == project_id).exists(),
        include_aliases=True,
        propagate_to_loaders=False,
    )


fenced_through(CaseFileRow, _files_of)


class ErasedContentRow(Base):
    """Under what features of an erased case may be kept, on whatever machine: forgetting.py."""

    __tablename__ = "erased_contents"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    content: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime]
