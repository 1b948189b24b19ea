"""Bulk runs and their lines."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, select
from sqlalchemy.orm import LoaderCriteriaOption, Mapped, mapped_column, with_loader_criteria

from api.ground.database import Base
from api.ground.fence import fenced_through
from api.ground.runs import RunRow


class BulkRunRow(RunRow):
    """An import of cases, or a run of predictions over stored ones."""

    __tablename__ = "bulk_runs"

    kind: Mapped[str] = mapped_column(String(12))
    wanted: Mapped[dict[str, Any]]
    """Of predictions: the filter, and the model that was chosen when it was asked for."""
    key_id: Mapped[str] = mapped_column(String(80))
    key_name: Mapped[str] = mapped_column(String(120))
    """Of whoever asked: what the job does, it does in that name."""
    total: Mapped[int | None]
    """Lines in all; NULL until they are known."""


class BulkItemRow(Base):
    """One line: what is to be done, and what came of it."""

    __tablename__ = "bulk_items"
    __table_args__ = (Index("ix_bulk_items_outcome", "run_id", "outcome", "line"),)

    run_id: Mapped[str] = mapped_column(ForeignKey("bulk_runs.id", ondelete="CASCADE"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[str | None] = mapped_column(Text)
    """The case as sent; it is taken away in the transaction that says what came of it."""
    case_id: Mapped[str | None] = mapped_column(String(40))
    prediction_id: Mapped[str | None] = mapped_column(String(40))
    outcome: Mapped[str | None] = mapped_column(String(12))
    """NULL until it was its turn."""
    reason: Mapped[str | None]
    errors: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))


_run = BulkRunRow.__table__.alias("run")


def _items_of(project_id: str) -> LoaderCriteriaOption:
    return with_loader_criteria(
        BulkItemRow,
        lambda cls: select(_run.c.id).where(_run.c.id == cls.run_id, _run.c.project_id == project_id).exists(),
        include_aliases=True,
        propagate_to_loaders=False,
    )


fenced_through(BulkItemRow, _items_of)
