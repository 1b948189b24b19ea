"""How much a case's label would teach is kept with the case, so that a list can be ordered by it.

Predictions made before do not hold what it is weighed from: -1, not known, until the case is predicted again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

INDEX = "ix_cases_information"


def upgrade() -> None:
    op.add_column("cases", sa.Column("information", sa.Double(), nullable=False, server_default="-1.0"))
    op.create_index(INDEX, "cases", ["project_id", "information", "id"])


def downgrade() -> None:
    op.drop_index(INDEX, "cases")
    op.drop_column("cases", "information")
