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
        _tell(built)
    finally:
        built.close()


def operator(built: Services, project: str) -> Caller:
    """Whoever runs commands on the machine itself: admin of the project, named so in the audit trail."""
    from api.audit.call import Call, begin, this_machine

    caller = built.access.operator(project)
    _, _, name = click.get_current_context().command_path.partition(" ")
    action, route = f"command.{name.replace(' ', '-')}", f"clinical-mm {name}"
    begin(Call(action, "command", "", this_machine(), route, caller=caller))
    return caller


def _tell(built: Services) -> None:
    """The entry of a command that has recorded no act of its own, and an anchor, since no server may be there to."""
    from api.audit.call import current, end
    from api.audit.service import ANSWERED

    call = current()
    if call is None:
        return
    if not call.entered:
        built.audit.tell(call, ANSWERED)
    end()
    built.anchors.write()
