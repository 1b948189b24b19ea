"""From where a session was begun, and when its owner last proved who they are."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("address", sa.String(length=80), nullable=True))
    op.add_column("sessions", sa.Column("browser", sa.String(length=60), nullable=True))
    op.add_column("sessions", sa.Column("proved_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("sessions", "proved_at")
    op.drop_column("sessions", "browser")
    op.drop_column("sessions", "address")
