"""What came of comparing a new model with the one that served, and why a promotion was made."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(length=40), primary_key=True),
        sa.Column("project_id", sa.String(length=40), sa.ForeignKey("projects.id"), nullable=False, index=True),
        sa.Column("model_id", sa.String(length=40), sa.ForeignKey("models.id"), nullable=False, index=True),
        sa.Column("champion_id", sa.String(length=40), sa.ForeignKey("models.id"), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=True, unique=True),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=160), nullable=False),
    )
    op.add_column("promotions", sa.Column("reason", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("promotions", "reason")
    op.drop_table("decisions")
