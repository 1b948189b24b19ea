"""A training run may start from the weights of a model."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NAME = "fk_training_runs_start_from_models"


def upgrade() -> None:
    with op.batch_alter_table("training_runs") as table:
        table.add_column(sa.Column("start_from", sa.String(length=40), nullable=True))
        table.create_foreign_key(NAME, "models", ["start_from"], ["id"])


def downgrade() -> None:
    with op.batch_alter_table("training_runs") as table:
        table.drop_constraint(NAME, type_="foreignkey")
        table.drop_column("start_from")
