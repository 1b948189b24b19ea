"""Idempotency-Keys for whatever a request makes, not for cases alone; they go with the case that they are about.

The table is rebuilt in batch mode: nothing refers to it, so on SQLite nothing is dropped along.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0009"

KEYS = sa.table("idempotency_keys", *map(sa.column, ("case_id", "object_id")))
CASES = sa.table("cases", sa.column("id"))
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


def downgrade() -> None:
    op.drop_index("ix_idempotency_keys_created_at", "idempotency_keys")
    op.drop_index("ix_idempotency_keys_case_id", "idempotency_keys")
    op.execute(KEYS.delete().where(sa.or_(KEYS.c.case_id.is_(None), KEYS.c.case_id != KEYS.c.object_id)))
    with op.batch_alter_table("idempotency_keys") as keys:
        keys.drop_constraint(CASE, type_="foreignkey")
        keys.alter_column("case_id", nullable=False, existing_type=sa.String(length=40))
        keys.drop_column("object_id")
        keys.alter_column("request_sha256", new_column_name="body_sha256", existing_type=sa.String(length=64))
