"""Kinds of evidence, one file each. A new one: its file, and one line in ``MODALITIES``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clinical_mm.errors import InvalidConfig

if TYPE_CHECKING:
    from clinical_mm.case import Case
    from clinical_mm.catalogue import Catalogue
    from clinical_mm.config import ModelConfig
    from clinical_mm.modalities.base import Modality

MODALITIES: dict[str, str] = {
    "imaging": "clinical_mm.modalities.imaging:Imaging",
    "text": "clinical_mm.modalities.text:Text",
    "vitals": "clinical_mm.modalities.vitals:Vitals",
    "words": "clinical_mm.modalities.words:Words",
}
"""Name in YAML -> where its class is; imported when used, since each brings heavy libraries."""


def modality(name: str, config: Mapping[str, Any], catalogue: Catalogue) -> Modality:
    """The modality of that name, configured; raises InvalidConfig for an unknown name or a wrong option."""
    if name not in MODALITIES:
        raise InvalidConfig(f"unknown modality {name!r}; known: {', '.join(MODALITIES)}")
    return _class(name)(config, catalogue)


def modalities_of(config: ModelConfig, catalogue: Catalogue) -> dict[str, Modality]:
    """Every modality of a model configuration, in its order."""
    return {name: modality(name, config.options(name), catalogue) for name in config.modalities}


def contents_of(case: Case) -> set[str]:
    """Under what features of a case are kept, whatever models made them."""
    return {_class(name).content(case) for name in MODALITIES}


def _class(name: str) -> type[Modality]:
    module, _, attribute = MODALITIES[name].partition(":")
    found: type[Modality] = getattr(importlib.import_module(module), attribute)
    return found
