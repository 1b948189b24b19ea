"""Every row of one database into another, of the same kind or not.

JSON goes over as the text that is stored: read and written anew, a number or an escape might come out otherwise, and
whatever was hashed over it would not fit any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    MetaData,
    Table,
    Text,
    cast,
    delete,
    func,
    insert,
    inspect,
    select,
    text,
    type_coerce,
)
from sqlalchemy.types import UserDefinedType

from api.ground.database import Base

AT_ONCE = 500


class JsonText(UserDefinedType[str]):
    """PostgreSQL's JSON as its text, there and back."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The type's name in SQL."""
        return "JSON"

    def column_expression(self, column: Any) -> Any:
        """Out."""
        return cast(column, Text)

    def bind_expression(self, bindvalue: Any) -> Any:
        """In."""
        return cast(type_coerce(bindvalue, Text), JSON)


def copy_rows(source: Connection, target: Connection, tell: Callable[[int], object] = lambda _: None) -> dict[str, int]:
    """Copy every table in the order of its references; gives how many rows each has. Both are at this version's tables.

    ``tell``: called with the number of rows whenever some were copied.

    Raises:
        RuntimeError: there is a table that no room of this process has told of.
    """
    strange = set(inspect(source).get_table_names()) - set(Base.metadata.tables) - {"alembic_version"}
    if strange:
        raise RuntimeError(f"tables that this process does not know: {', '.join(sorted(strange))}")
    counts = {}
    for table in Base.metadata.sorted_tables:
        out, into = _verbatim(table, source), _verbatim(table, target)
        query = select(out).order_by(*out.primary_key).execution_options(yield_per=AT_ONCE)
        counts[table.name] = 0
        if target.scalar(select(func.count()).select_from(into)):  # what a migration puts there gives way
            target.execute(delete(into))
        for some in source.execute(query).mappings().partitions():
            target.execute(insert(into), [dict(row) for row in some])
            counts[table.name] += len(some)
            tell(len(some))
        _go_on_counting(into, target)
    return counts


def count_rows(connection: Connection) -> dict[str, int]:
    """How many rows each table has."""
    counted = {table: select(func.count()).select_from(table) for table in Base.metadata.sorted_tables}
    return {table.name: int(connection.scalar(query) or 0) for table, query in counted.items()}


def see_every_row(connection: Connection) -> None:
    """Fail rather than leave out rows that a policy hides from this role."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL row_security = off"))


def _verbatim(table: Table, connection: Connection) -> Table:
    same = table.to_metadata(MetaData())
    for column in same.columns:
        if isinstance(column.type, JSON):
            column.type = JsonText() if connection.dialect.name == "postgresql" else Text()
    return same


def _go_on_counting(table: Table, connection: Connection) -> None:
    """PostgreSQL's sequences know nothing of ids that were given to them."""
    column = table.autoincrement_column
    if column is None or connection.dialect.name != "postgresql":
        return
    sequence = connection.scalar(select(func.pg_get_serial_sequence(table.name, column.name)))
    newest = connection.scalar(select(func.max(column)))
    if sequence is not None and newest is not None:
        connection.execute(select(func.setval(sequence, newest)))
