"""A challenger that answers every live case in silence, and what it said."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "shadows",
        sa.Column("id", sa.String(length=40), primary_key=True),
        sa.Column("project_id", sa.String(length=40), sa.ForeignKey("projects.id"), nullable=False, index=True),
        sa.Column("model_id", sa.String(length=40), sa.ForeignKey("models.id"), nullable=False, index=True),
        sa.Column("promotion_id", sa.Integer(), sa.ForeignKey("promotions.id"), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=160), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fault", sa.String(), nullable=True),
        sa.Column("worker", sa.String(length=120), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_table(
        "shadow_predictions",
        sa.Column(
            "prediction_id",
            sa.String(length=40),
            sa.ForeignKey("predictions.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("model_id", sa.String(length=40), sa.ForeignKey("models.id"), primary_key=True, index=True),
        sa.Column("project_id", sa.String(length=40), sa.ForeignKey("projects.id"), nullable=False, index=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("error", sa.String(length=80), nullable=True),
    )
    op.create_index("ix_predictions_model_id_id", "predictions", ["model_id", "id"])  # a model's newest answers
    op.drop_index("ix_predictions_model_id", "predictions")


def downgrade() -> None:
    op.create_index("ix_predictions_model_id", "predictions", ["model_id"])
    op.drop_index("ix_predictions_model_id_id", "predictions")
    op.drop_table("shadow_predictions")
    op.drop_table("shadows")
