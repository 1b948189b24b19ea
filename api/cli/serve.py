"""``clinical-mm serve`` and ``clinical-mm worker``."""

from __future__ import annotations

import click

from api.settings import settings_from_environment


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1, 256), help="Requests answered at once.")
@click.option(
    "--processes", type=click.IntRange(1, 64), help="Web processes, each with the models. [CLINICAL_MM_PROCESSES, 1]"
)
@click.option("--sign-in-as", metavar="KEY_ID", hidden=True, help="Print a link that signs one browser in.")
def serve(host: str, port: int, threads: int, processes: int | None, sign_in_as: str | None) -> None:
    """API, review pages and a job worker; migrates the database first. SIGTERM or Ctrl-C stops cleanly.

    SIGHUP replaces the web processes one after another, and no request fails meanwhile.

    \b
    Example:
      clinical-mm serve --port 8000
      CLINICAL_MM_DATABASE_URL=postgresql+psycopg://user@host/db clinical-mm serve --host 0.0.0.0
    """
    from api.serve import run

    settings = settings_from_environment()
    if processes is not None:
        settings = settings.model_copy(update={"processes": processes})
    run(settings, host=host, port=port, threads=threads, sign_in_as=sign_in_as)


@click.command()
@click.option("--with-parent", type=int, metavar="PID", hidden=True, help="End when that process, our parent, ends.")
def worker(with_parent: int | None) -> None:
    """A job worker alone; as many as there are GPUs. What one that died had begun another finishes.

    \b
    Example:
      CLINICAL_MM_DEVICE=cuda:1 CLINICAL_MM_DATABASE_URL=postgresql+psycopg://user@host/db clinical-mm worker
    """
    from api.services import build
    from api.training.worker import run_worker

    if with_parent is not None:
        from clinical_mm.training.parent import end_with_parent

        end_with_parent(with_parent)
    settings = settings_from_environment()
    built = build(settings)
    built.keeper.start()
    built.audit.reserve()
    built.anchors.start()
    built.forgetting.start()
    run_worker(settings, at_end=built.close)
