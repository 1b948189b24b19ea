"""clinical_mm: diagnosis support from images, notes and vitals.

    from clinical_mm import Case, load_model
    model = load_model("bundle-folder")
    model.predict([Case.from_files(note="Fever and cough.", vitals={"spo2": 88}, images=["a.dcm"])])

It supports a diagnosis; it never makes one. Names are loaded when used: importing the package imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinical_mm.case import Case
    from clinical_mm.catalogue import Catalogue
    from clinical_mm.predictor import load_model

__all__ = ["Case", "Catalogue", "load_model"]

_HOME = {"Case": "case", "Catalogue": "catalogue", "load_model": "predictor"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
