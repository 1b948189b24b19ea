"""What a project does with identity, and with each case what was removed of it on the way in."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("projects", sa.Column("deidentify", sa.String(20), nullable=True))
    op.add_column("cases", sa.Column("deidentification", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("cases", "deidentification")
    op.drop_column("projects", "deidentify")
