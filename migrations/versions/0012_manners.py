"""Idempotency-Keys for whatever a request makes, not for cases alone; bulk runs; the labels of cases as rows.

A key goes with the case that it is about.
The table is rebuilt in batch mode: nothing refers to it, so on SQLite nothing is dropped along.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

KEYS = sa.table("idempotency_keys", *map(sa.column, ("case_id", "object_id")))
CASES = sa.table("cases", *map(sa.column, ("id", "project_id")), sa.column("diagnoses", sa.JSON(none_as_null=True)))
LABELS = sa.table("case_labels", *map(sa.column, ("project_id", "code", "case_id")))
PAGE = 5000
CASE = "fk_idempotency_keys_case_id_cases"


def upgrade() -> None:
    op.execute(KEYS.delete().where(KEYS.c.case_id.not_in(sa.select(CASES.c.id))))
    with op.batch_alter_table("idempotency_keys") as keys:
        keys.alter_column("body_sha256", new_column_name="request_sha256", existing_type=sa.String(length=64))
        keys.add_column(sa.Column("object_id", sa.String(length=40), nullable=True))
        keys.alter_column("case_id", nullable=True, existing_type=sa.String(length=40))
        keys.create_foreign_key(CASE, "cases", ["case_id"], ["id"], ondelete="CASCADE")
    op.execute(KEYS.update().values(object_id=KEYS.c.case_id))
    with op.batch_alter_table("idempotency_keys") as keys:
        keys.alter_column("object_id", nullable=False, existing_type=sa.String(length=40))
    op.create_index("ix_idempotency_keys_case_id", "idempotency_keys", ["case_id"])
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    _make_bulk_runs()
    op.create_index("ix_cases_review_state", "cases", ["project_id", "review_state", "id"])
    _make_labels()


def _make_labels() -> None:
    op.create_table(
        "case_labels",
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_case_labels_project_id_projects"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_case_labels_case_id_cases", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "code", "case_id", name="pk_case_labels"),
    )
    op.create_index("ix_case_labels_case_id", "case_labels", ["case_id"])
    connection, last = op.get_bind(), ""
    page = sa.select(CASES).order_by(CASES.c.id).limit(PAGE)
    while rows := connection.execute(page.where(CASES.c.id > last)).mappings().all():
        last = rows[-1]["id"]
        labels = [
            {"project_id": row["project_id"], "code": code, "case_id": row["id"]}
            for row in rows
            for code in row["diagnoses"] or ()
        ]
        if labels:
            connection.execute(LABELS.insert(), labels)


def _make_bulk_runs() -> None:
    op.create_table(
        "bulk_runs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("progress", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("worker", sa.String(length=40), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=160), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("wanted", sa.JSON(), nullable=False),
        sa.Column("key_id", sa.String(length=80), nullable=False),
        sa.Column("key_name", sa.String(length=120), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_bulk_runs_project_id_projects"),
        sa.PrimaryKeyConstraint("id", name="pk_bulk_runs"),
    )
    op.create_index("ix_bulk_runs_project_id", "bulk_runs", ["project_id"])
    op.create_index("ix_bulk_runs_state", "bulk_runs", ["state"])
    op.create_table(
        "bulk_items",
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", sa.Text(), nullable=True),
        sa.Column("case_id", sa.String(length=40), nullable=True),
        sa.Column("prediction_id", sa.String(length=40), nullable=True),
        sa.Column("outcome", sa.String(length=12), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("errors", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["bulk_runs.id"], name="fk_bulk_items_run_id_bulk_runs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "line", name="pk_bulk_items"),
    )
    op.create_index("ix_bulk_items_outcome", "bulk_items", ["run_id", "outcome", "line"])
    op.create_table(
        "staged_files",
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["bulk_runs.id"], name="fk_staged_files_run_id_bulk_runs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "name", name="pk_staged_files"),
    )
    op.create_index("ix_staged_files_sha256", "staged_files", ["sha256"])


def downgrade() -> None:
    op.drop_index("ix_cases_review_state", "cases")
    for table in ("case_labels", "staged_files", "bulk_items", "bulk_runs"):
        op.drop_table(table)
    op.drop_index("ix_idempotency_keys_created_at", "idempotency_keys")
    op.drop_index("ix_idempotency_keys_case_id", "idempotency_keys")
    op.execute(KEYS.delete().where(sa.or_(KEYS.c.case_id.is_(None), KEYS.c.case_id != KEYS.c.object_id)))
    with op.batch_alter_table("idempotency_keys") as keys:
        keys.drop_constraint(CASE, type_="foreignkey")
        keys.alter_column("case_id", nullable=False, existing_type=sa.String(length=40))
        keys.drop_column("object_id")
        keys.alter_column("request_sha256", new_column_name="body_sha256", existing_type=sa.String(length=64))
