"""Workers say that they live, and a run says whose it is."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=120), nullable=False),
        sa.Column("token", sa.String(length=40), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
        sa.UniqueConstraint("token", name=op.f("uq_workers_token")),
    )
    op.add_column("training_runs", sa.Column("worker", sa.String(length=40)))


def downgrade() -> None:
    op.drop_column("training_runs", "worker")
    op.drop_table("workers")
