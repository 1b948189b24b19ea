"""Golden cases, whose label no review changes; and what came of the label policy is kept with each training run."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("cases", sa.Column("golden_by", sa.String(length=160), nullable=True))
    op.add_column("cases", sa.Column("golden_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("training_runs", sa.Column("label_report", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("training_runs", "label_report")
    op.drop_column("cases", "golden_at")
    op.drop_column("cases", "golden_by")
