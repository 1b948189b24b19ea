"""The audit trail tells reads and refusals too, is chained by hashes, and can only grow.

Entries that are there already keep their numbers and are chained as they stand. On SQLite the table is made anew, since
its foreign key goes: nothing refers to it, so nothing goes along with the old one.
"""

import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "0010"
down_revision = "0009"

GENESIS = "0" * 64
PAGE = 1000
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAMES = ("id", "project_id", "at", "actor", "role", "action", "object_type", "object_id", "request_id")
EVENTS = sa.table(
    "audit_events",
    *map(sa.column, (*NAMES, "source", "route", "result", "previous", "hash")),
    sa.column("at", sa.DateTime(timezone=True)),
    sa.column("detail", sa.JSON()),
)
HEAD = sa.table("audit_head", *map(sa.column, ("id", "sequence", "hash", "anchored", "signature")))
NEW = {
    "source": (80, "not recorded"),
    "route": (120, ""),
    "result": (20, "changed"),
    "previous": (64, ""),
    "hash": (64, ""),
}
"""New columns of text: their length, and what those entries get that are there already."""
ACTS = ("update", "delete")
REFUSED = "the audit trail is append-only"


def upgrade() -> None:
    connection = op.get_bind()
    with op.batch_alter_table("audit_events") as table:
        table.drop_constraint("fk_audit_events_project_id_projects", type_="foreignkey")
        table.alter_column("id", existing_type=sa.Integer(), type_=NUMBER, existing_nullable=False)
        table.alter_column("project_id", existing_type=sa.String(length=40), nullable=True)
        for name, (length, default) in NEW.items():
            table.add_column(sa.Column(name, sa.String(length=length), nullable=False, server_default=default))
    with op.batch_alter_table("audit_events") as table:
        for name, (length, _) in NEW.items():
            table.alter_column(name, existing_type=sa.String(length=length), server_default=None)
    op.create_index("ix_audit_events_action", "audit_events", ["project_id", "action", "id"])
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sequence", NUMBER, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("anchored", NUMBER, nullable=False),
        sa.Column("signature", sa.String(length=64), nullable=False),
    )
    told = {"anchored": 0, **_chain(connection)}
    key: bytes = context.config.attributes["trail_key"]
    signature = hmac.new(key, _canonical(told), sha256).hexdigest()
    connection.execute(HEAD.insert().values(id=1, **told, signature=signature))
    for statement in _refuse(connection.dialect.name):
        op.execute(statement)


def downgrade() -> None:
    connection = op.get_bind()
    for statement in _allow(connection.dialect.name):
        op.execute(statement)
    # What nobody signed in did belongs to no project, and has no place in the table of before.
    connection.execute(EVENTS.delete().where(EVENTS.c.project_id.is_(None)))
    op.drop_index("ix_audit_events_action", "audit_events")
    with op.batch_alter_table("audit_events") as table:
        for name in NEW:
            table.drop_column(name)
        table.alter_column("id", existing_type=NUMBER, type_=sa.Integer(), existing_nullable=False)
        table.alter_column("project_id", existing_type=sa.String(length=40), nullable=False)
        table.create_foreign_key("fk_audit_events_project_id_projects", "projects", ["project_id"], ["id"])
    op.drop_table("audit_head")


def _chain(connection: sa.Connection) -> dict[str, Any]:
    """Hash every entry that is there; the sequence and hash of the last."""
    last, previous = 0, GENESIS
    page = sa.select(EVENTS).order_by(EVENTS.c.id).limit(PAGE)
    change = EVENTS.update().where(EVENTS.c.id == sa.bindparam("of"))
    while rows := connection.execute(page.where(EVENTS.c.id > last)).mappings().all():
        changes = []
        for row in rows:
            entry = {**row, "previous": previous}
            previous = sha256(_canonical(_hashed(entry))).hexdigest()
            changes.append({"of": row["id"], "previous": entry["previous"], "hash": previous})
        connection.execute(change, changes)
        last = rows[-1]["id"]
    return {"sequence": last, "hash": previous}


def _hashed(entry: Mapping[str, Any]) -> dict[str, Any]:
    at: datetime = entry["at"]
    utc = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    text = utc.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {**{name: value for name, value in entry.items() if name != "hash"}, "at": text}


def _canonical(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _refuse(dialect: str) -> list[str]:
    if dialect == "sqlite":
        body = f"BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
        return [f"CREATE TRIGGER audit_events_no_{act} BEFORE {act} ON audit_events {body}" for act in ACTS]
    function = f"""
        CREATE FUNCTION audit_events_refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '{REFUSED}'; END $$
    """
    trigger = """
        CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
        FOR EACH STATEMENT EXECUTE FUNCTION audit_events_refuse()
    """
    return [function, trigger]


def _allow(dialect: str) -> list[str]:
    if dialect == "sqlite":
        return [f"DROP TRIGGER audit_events_no_{act}" for act in ACTS]
    return ["DROP TRIGGER audit_events_append_only ON audit_events", "DROP FUNCTION audit_events_refuse()"]
