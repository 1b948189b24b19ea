"""Which label teaches where reviewers disagree is said with a training run."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("training_runs", sa.Column("labels", sa.String(length=12), nullable=False, server_default="newest"))


def downgrade() -> None:
    op.drop_column("training_runs", "labels")
