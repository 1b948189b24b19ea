"""Indexes for pages of cases that walked through all of them.

PostgreSQL looks up words by ``pg_trgm`` (its documentation, appendix F), where the server has it and lets us: it comes
with the server's package or image, and since version 13 a database's owner may create it. Without it words are looked
for case by case; ``clinical-mm doctor`` says so, and how to add it later.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import ProgrammingError

revision = "0018"
down_revision = "0017"

BY_ID = "ix_cases_project_id_id"
INDEXES = {
    "ix_cases_review_state_disagreement": ["project_id", "review_state", "disagreement", "id"],
    "ix_cases_review_state_information": ["project_id", "review_state", "information", "id"],
}
GOLDEN, WORDS = "ix_cases_golden", "ix_cases_words"
SEARCHED = ("external_id", "patient_id", "note")


def upgrade() -> None:
    # said to be unique, as it is: else SQLite, without statistics, goes through a project's cases for a label's
    op.drop_index(BY_ID, "cases")
    op.create_index(BY_ID, "cases", ["project_id", "id"], unique=True)
    for name, columns in INDEXES.items():
        op.create_index(name, "cases", columns)
    locked = sa.text("golden_at IS NOT NULL")
    op.create_index(GOLDEN, "cases", ["project_id", "id"], sqlite_where=locked, postgresql_where=locked)
    if op.get_bind().dialect.name == "postgresql":
        _index_words(op.get_bind())


def downgrade() -> None:
    op.execute(f"DROP INDEX IF EXISTS {WORDS}")
    op.drop_index(GOLDEN, "cases")
    for name in INDEXES:
        op.drop_index(name, "cases")
    op.drop_index(BY_ID, "cases")
    op.create_index(BY_ID, "cases", ["project_id", "id"])


def _index_words(bind: sa.Connection) -> None:
    if not bind.scalar(sa.text("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'")):
        return
    try:
        with bind.begin_nested():
            bind.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            columns = ", ".join(f"{column} gin_trgm_ops" for column in SEARCHED)
            bind.execute(sa.text(f"CREATE INDEX {WORDS} ON cases USING gin ({columns})"))
    except ProgrammingError:
        return  # not ours to create, or in a schema that is not searched: doctor tells
