"""The worklist's sort keys on each case, reviews that can be withdrawn, projects that read first.

Columns are added one by one and never in batch mode: on SQLite that would rebuild `cases`, and dropping the old table
would take predictions and reviews along.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SUBMITTED, REVIEWED, UNSURE, UNREVIEWED = range(4)
NOT_KNOWN = -1.0
LABEL = sa.JSON(none_as_null=True)
CASES = sa.table(
    "cases",
    *map(sa.column, ("id", "version", "labelled_by", "labelled_at", "given_by", "given_at")),
    *map(sa.column, ("review_state", "uncertainty", "disagreement", "contested")),
    sa.column("diagnoses", LABEL),
    sa.column("given_diagnoses", LABEL),
)
REVIEWS = sa.table(
    "reviews",
    *map(sa.column, ("id", "case_id", "prediction_id", "verdict", "reviewer", "case_version")),
    sa.column("diagnoses", LABEL),
)
PREDICTIONS = sa.table(
    "predictions", *map(sa.column, ("id", "case_id", "case_version", "model_id")), sa.column("result", sa.JSON())
)
INDEXES = {
    "ix_cases_worklist": ["project_id", "review_state", "uncertainty", "id"],
    "ix_cases_uncertainty": ["project_id", "uncertainty", "id"],
    "ix_cases_disagreement": ["project_id", "disagreement", "id"],
}
NEW = {
    "cases": [
        ("review_state", sa.Integer(), str(UNREVIEWED)),
        ("uncertainty", sa.Double(), str(NOT_KNOWN)),
        ("disagreement", sa.Double(), str(NOT_KNOWN)),
        ("contested", sa.Boolean(), sa.false()),
        ("given_diagnoses", LABEL, None),
        ("given_by", sa.String(length=160), None),
        ("given_at", sa.DateTime(timezone=True), None),
    ],
    "reviews": [
        ("case_version", sa.Integer(), "1"),
        ("before_model", sa.Boolean(), sa.false()),
        ("withdrawn_at", sa.DateTime(timezone=True), None),
        ("withdrawn_by", sa.String(length=160), None),
    ],
    "projects": [("read_first", sa.Boolean(), sa.false())],
}
"""Columns of each table: name, type, and what those rows get that are there already; None = NULL."""


def upgrade() -> None:
    for table, columns in NEW.items():
        for name, kind, default in columns:
            op.add_column(table, sa.Column(name, kind, nullable=default is None, server_default=default))
    connection = op.get_bind()
    _date_reviews(connection)
    _keep_given_labels(connection)
    _sort(connection)
    for name, columns in INDEXES.items():
        op.create_index(name, "cases", columns)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "cases")
    for table, columns in NEW.items():
        for name, _, _ in columns:
            op.drop_column(table, name)


def _date_reviews(connection: sa.Connection) -> None:
    """Which version of the case a review spoke of: that of its prediction, or else the one in force."""
    seen = sa.select(PREDICTIONS.c.case_version).where(PREDICTIONS.c.id == REVIEWS.c.prediction_id).scalar_subquery()
    in_force = sa.select(CASES.c.version).where(CASES.c.id == REVIEWS.c.case_id).scalar_subquery()
    connection.execute(REVIEWS.update().values(case_version=sa.func.coalesce(seen, in_force)))


def _keep_given_labels(connection: sa.Connection) -> None:
    """The label that came with a case; where a review has replaced it, it is known no more (see ``_sort``)."""
    named = sa.select(REVIEWS.c.case_id).where(REVIEWS.c.verdict != "unsure")
    connection.execute(
        CASES.update()
        .where(CASES.c.id.not_in(named))
        .values(given_diagnoses=CASES.c.diagnoses, given_by=CASES.c.labelled_by, given_at=CASES.c.labelled_at)
    )
    labelled = CASES.c.labelled_at.is_not(None)
    connection.execute(CASES.update().where(labelled).values(review_state=SUBMITTED))


def _sort(connection: sa.Connection) -> None:
    """Fill the sort keys from what is stored."""
    reviews = {case: list(rows) for case, rows in _by_case(connection, REVIEWS)}
    keys = {case: _doubt(list(rows)) for case, rows in _by_case(connection, PREDICTIONS)}
    update = CASES.update().where(CASES.c.id == sa.bindparam("case"))
    for case in connection.execute(sa.select(CASES)).mappings().all():
        said, (uncertain, now, before) = reviews.get(case["id"], []), keys.get(case["id"], (NOT_KNOWN, {}, {}))
        if not said and not now:
            continue
        contested = len({tuple(r["diagnoses"]) for r in _newest_of_each(said)}) > 1
        label = case["diagnoses"]
        values: dict[str, Any] = {"contested": contested, "uncertainty": uncertain}
        values["disagreement"] = _disagreement(label, now, before, contested=contested)
        if said:
            values["review_state"] = UNSURE if said[-1]["verdict"] == "unsure" else REVIEWED
            named = [r["diagnoses"] for r in said if r["diagnoses"] is not None]
            if named and label != named[-1]:  # changed by a person since: what was given is what is in force
                values |= {"given_diagnoses": label, "given_by": case["labelled_by"], "given_at": case["labelled_at"]}
        connection.execute(update.values(values), {"case": case["id"]})


def _by_case(connection: sa.Connection, table: sa.TableClause) -> Iterator[tuple[str, Iterator[Mapping[str, Any]]]]:
    rows = connection.execute(sa.select(table).order_by(table.c.case_id, table.c.id)).mappings()
    yield from groupby(rows, lambda row: str(row["case_id"]))


def _newest_of_each(reviews: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return list({r["reviewer"]: r for r in reviews if r["diagnoses"] is not None}.values())


def _doubt(rows: list[Mapping[str, Any]]) -> tuple[float, dict[str, float], dict[str, float]]:
    newest = rows[-1]
    earlier = [r for r in rows if r["model_id"] != newest["model_id"] and r["case_version"] == newest["case_version"]]
    now = _probabilities(newest)
    return _uncertainty(list(now.values())), now, _probabilities(earlier[-1]) if earlier else {}


def _probabilities(row: Mapping[str, Any]) -> dict[str, float]:
    return {d["code"]: float(d["probability"]) for d in row["result"]["diagnoses"]}


def _uncertainty(p: list[float]) -> float:
    def bits(q: float) -> float:
        return -q * math.log2(q) if q > 0 else 0.0

    if len(p) > 1 and abs(sum(p) - 1) <= len(p) * 1e-6:
        return round(sum(map(bits, p)) / math.log2(len(p)), 6)
    return round(max((bits(q) + bits(1 - q) for q in p), default=NOT_KNOWN), 6)


def _disagreement(
    label: list[str] | None, now: dict[str, float], before: dict[str, float], *, contested: bool
) -> float:
    if contested:
        return 1.0
    if label is not None:
        gaps = [abs((code in label) - p) for code, p in now.items()]
    else:
        gaps = [abs(now[code] - before[code]) for code in now.keys() & before.keys()]
    return round(max(gaps, default=NOT_KNOWN), 6)
