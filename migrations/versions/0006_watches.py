"""What a worker saw when it last looked whether a project's cases, answers and agreement have moved."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "watches",
        sa.Column("project_id", sa.String(length=40), sa.ForeignKey("projects.id"), primary_key=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("look", sa.JSON(), nullable=True),
    )


def downgrade() -> None:
    op.drop_table("watches")
