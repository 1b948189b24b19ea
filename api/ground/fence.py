"""One project's rows alone in every session of a project: what a service forgot to filter is filtered here.

Queries, joins, aliases, subqueries, ``session.get``, relationship loads and bulk UPDATE and DELETE are narrowed
(SQLAlchemy's ``with_loader_criteria``); rows of another project are not flushed; what cannot be narrowed - a raw Core
statement over such a table, SQL as text, a bulk INSERT - is refused. Not seen: a bare ``Table`` inside a query over
mapped classes, and a connection of one's own; tests/conventions finds both in the source.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sqlalchemy import TextClause, event, inspect
from sqlalchemy.orm import LoaderCriteriaOption, Mapped, ORMExecuteState, Session, mapped_column, with_loader_criteria
from sqlalchemy.orm.attributes import get_history
from sqlalchemy.sql.util import find_tables

from api.ground.scope import Everywhere


class AnotherProject(RuntimeError):
    """A session of one project was to touch another's rows, or how many it would touch cannot be told."""


class OfProject:
    """Parent of every table with a ``project_id``; the column itself stands in the table."""

    project_id: Mapped[str] = mapped_column()


_FENCED: set[str] = set()
_THROUGH: list[tuple[type, Callable[[str], LoaderCriteriaOption]]] = []


def fence(cls: type) -> None:
    """Look at a table as it is declared; raises TypeError where it has a project and is not fenced."""
    table = getattr(cls, "__table__", None)
    if table is None:
        return
    if issubclass(cls, OfProject):
        _FENCED.add(table.name)
    elif "project_id" in table.c:
        raise TypeError(f"{cls.__name__} has a project_id: let it inherit from OfProject (api/ground/fence.py)")


def fenced_through(cls: type, criteria: Callable[[str], LoaderCriteriaOption]) -> None:
    """Fence a table whose rows belong to a project through another row; ``criteria`` of a project's id."""
    _FENCED.add(cls.__dict__["__tablename__"])
    _THROUGH.append((cls, criteria))


def fenced_tables() -> frozenset[str]:
    """The names of all tables that are fenced."""
    return frozenset(_FENCED)


@lru_cache(maxsize=1024)
def _criteria(project_id: str) -> tuple[LoaderCriteriaOption, ...]:
    own = with_loader_criteria(
        OfProject, lambda cls: cls.project_id == project_id, include_aliases=True, propagate_to_loaders=False
    )
    return (own, *(through(project_id) for _, through in _THROUGH))


def install(session_class: type[Session]) -> None:
    """Fence every session of this class; each carries its scope in ``info``."""
    event.listen(session_class, "do_orm_execute", _narrow)
    event.listen(session_class, "before_flush", _check_flush)


def _narrow(state: ORMExecuteState) -> None:
    scope = state.session.info["scope"]
    if isinstance(scope, Everywhere):
        return
    if not state.is_orm_statement:
        _refuse_raw(state)
    elif state.is_insert:
        raise AnotherProject("a bulk INSERT cannot be narrowed to a project: add objects to the session")
    else:
        if state.is_update:
            _refuse_moving(state)
        state.statement = state.statement.options(*_criteria(scope))


def _refuse_raw(state: ORMExecuteState) -> None:
    statement: Any = state.statement
    if isinstance(statement, TextClause):
        raise AnotherProject("SQL as text cannot be narrowed to a project: say it with mapped classes, or `everywhere`")
    tables = find_tables(statement, check_columns=True, include_crud=True)
    touched = {str(getattr(table, "name", "")) for table in tables} & _FENCED
    if touched:
        raise AnotherProject(f"a raw statement over {', '.join(sorted(touched))}: use the mapped classes")


def _refuse_moving(state: ORMExecuteState) -> None:
    values: Any = getattr(state.statement, "_values", None) or {}
    sent = state.parameters if isinstance(state.parameters, dict) else {}
    names = {getattr(column, "key", column) for column in values} | set(sent)
    if "project_id" in names or isinstance(state.parameters, list):
        raise AnotherProject("an UPDATE must not move rows to another project, nor name rows by their keys")


def _check_flush(session: Session, _context: Any, _instances: Any) -> None:
    scope = session.info["scope"]
    if isinstance(scope, Everywhere):
        return
    for row in (*session.new, *session.dirty, *session.deleted):
        if isinstance(row, OfProject):
            synonyms = inspect(row).mapper.synonyms
            history = get_history(row, synonyms["project_id"].name if synonyms else "project_id")
            if {*history.added, *history.unchanged, *history.deleted} != {scope}:
                raise AnotherProject(f"{type(row).__name__} of another project: nothing was written")
