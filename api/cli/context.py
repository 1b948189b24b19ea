"""What commands stand on: the services of this environment, and the operator who calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from api.settings import Settings, settings_from_environment

if TYPE_CHECKING:
    from api.access.service import Caller
    from api.services import Services

F = TypeVar("F", bound=Callable[..., Any])


def project_option(command: F) -> F:
    """``--project``: the tenant the command works in."""
    return click.option("--project", default="default", show_default=True, help="The tenant to work in.")(command)


@contextmanager
def services(settings: Settings | None = None) -> Iterator[Services]:
    """The services over a migrated database; closed at the end."""
    from api.ground.migrate import upgrade
    from api.services import build

    settings = settings or settings_from_environment()
    upgrade(settings)
    built = build(settings)
    try:
        yield built
    finally:
        built.close()


def operator(built: Services, project: str) -> Caller:
    """Whoever runs commands on the machine itself: admin of the project, named so in the audit trail."""
    return built.access.operator(project)
