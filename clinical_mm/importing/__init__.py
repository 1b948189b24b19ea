"""Public data sets and folders -> Case, one file a format. A new one: its file, and one line in ``FORMATS``."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import InvalidConfig
from clinical_mm.importing.outcome import Imported, Refused

__all__ = ["FORMATS", "Imported", "Refused", "import_cases"]

FORMATS: dict[str, str] = {
    "folder": "clinical_mm.importing.folder:read_folder",
    "covid-chestxray": "clinical_mm.importing.covid_chestxray:read_covid_chestxray",
    "fhir": "clinical_mm.importing.fhir:read_fhir",
}
"""Name -> a function (path, catalogue) -> iterator of cases and refusals."""


def import_cases(path: Path, format_: str, catalogue: Catalogue) -> Iterator[Imported]:
    """Cases of a layout, one by one.

    Raises:
        InvalidConfig: no such format.
        FileNotFoundError: the path is not of that layout.
    """
    if format_ not in FORMATS:
        raise InvalidConfig(f"unknown format {format_!r}; known: {', '.join(FORMATS)}")
    module, _, attribute = FORMATS[format_].partition(":")
    found: Iterator[Imported] = getattr(importlib.import_module(module), attribute)(path, catalogue)
    return found
