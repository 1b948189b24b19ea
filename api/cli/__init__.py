"""The command line, over the same services as the REST API; one file a group, loaded when it is asked for."""

from __future__ import annotations

import importlib
import os
import sys

import click

from api.ground.scope import whole_process
from clinical_mm.errors import ClinicalMMError

COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("api.cli.serve:serve", "API, review pages and a job worker in one process tree."),
    "worker": ("api.cli.serve:worker", "A job worker alone, for several machines against one PostgreSQL."),
    "demo": ("api.cli.demo:demo", "Synthetic cases, a model trained on them, pages to review."),
    "keys": ("api.cli.keys:keys", "API keys: create, list, revoke."),
    "people": ("api.cli.people:people", "People of the OpenID Connect provider: list, block, unblock."),
    "projects": ("api.cli.projects:projects", "Projects: list, set how cases are read and what is done with identity."),
    "cases": ("api.cli.cases:cases", "Cases: import, list, export, delete, the golden set, erasing a patient."),
    "deidentify": ("api.cli.deidentify:deidentify", "A folder of files or cases without who they are about."),
    "train": ("api.cli.train:train", "Retrain from the stored cases, in the foreground."),
    "predict": ("api.cli.ask:predict", "Print the prediction for a stored case."),
    "explain": ("api.cli.ask:explain", "Print why the model says so."),
    "evaluate": ("api.cli.ask:evaluate", "The evaluation report of a model."),
    "models": ("api.cli.models:models", "The registry: list, show, card, compare, shadow, promote, rollback, export."),
    "audit": ("api.cli.audit:audit", "The audit trail: verify, export, anchor."),
    "backup": ("api.cli.backup:backup", "Back up everything; verify a backup; list those that were made."),
    "restore": ("api.cli.backup:restore", "Put a backup back into an empty place."),
    "db": ("api.cli.db:db", "The database: upgrade, current."),
    "doctor": ("api.cli.doctor:doctor", "Check the environment; say what to do about each fault."),
}
"""Name -> where it is, and its line in ``--help``; a table so that help loads none of them."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they run: ``--help`` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing what it names."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="clinical-mm")
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Multimodal diagnosis support: it supports a diagnosis, it never makes one.

    \b
    Example:
      clinical-mm demo
      clinical-mm keys create --role clinician
      clinical-mm serve --port 8000
    """
    ctx.obj = debug
    whole_process("the command line is the operator's")


OTHERS = 0o007
"""What those who are neither owner nor group may do with a file that is made here: nothing."""


def main() -> None:
    """Entry point: exit 0, 1 (it failed, one clear line on stderr) or 2 (usage)."""
    os.umask(os.umask(OTHERS) | OTHERS)
    try:
        sys.exit(cli.main(standalone_mode=False))  # None, or the code that a command exits with
    except click.Abort:
        _fail("stopped")
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (ClinicalMMError, OSError) as error:
        _fail(str(error), error)
    except KeyboardInterrupt:
        _fail("stopped")
    except Exception as error:  # noqa: BLE001 - the last place before the user: one line, never a traceback unasked
        _fail(f"{type(error).__name__}: {error} (run again with --debug for the traceback)", error)


def _fail(line: str, error: Exception | None = None) -> None:
    if error is not None and "--debug" in sys.argv[1:]:
        raise error
    click.echo(f"clinical-mm: {' '.join(line.split())}", err=True)
    sys.exit(1)
