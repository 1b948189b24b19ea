"""Alembic's entry: runs on the connection that the caller opened."""

from alembic import context

import api.access.tables
import api.audit.tables
import api.backups.tables
import api.bulk.tables
import api.cases.tables
import api.erasures.tables
import api.explanations.tables
import api.idempotency.tables
import api.models.tables
import api.predictions.tables
import api.promotion.tables
import api.reviews.tables
import api.shadows.tables
import api.training.tables
import api.watching.tables  # noqa: F401 - each import adds its tables to the metadata
from api.ground.database import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
