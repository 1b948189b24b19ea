"""One case as a check sees it, made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from clinical_mm.answers import Caution
from clinical_mm.case import Case, ImageFile, Patient
from clinical_mm.cautions import Check, Seen

SIDE = 32


def seen(**evidence: Any) -> Seen:
    """A case with these, each read as a modality without arrays."""
    case = Case(Patient("p"), **evidence)
    there = {"imaging": bool(case.images), "text": case.note is not None, "vitals": bool(case.vitals)}
    return Seen(case, {name: {} if found else None for name, found in there.items()})


def seen_images(*pixels: np.ndarray, kinds: list[tuple[str, str]] | None = None) -> Seen:
    """A case with these prepared pictures ``[32, 32]`` in 0..1, each of a file of its own."""
    case = Case(Patient("p"), images=tuple(ImageFile(str(i), b"") for i in range(len(pixels))))
    origin = np.array([[[i, 0, SIDE, SIDE]] for i in range(len(pixels))])
    kind = np.array(kinds or [("", "")] * len(pixels), dtype=np.str_)
    return Seen(case, {"imaging": {"pixels": np.stack(pixels).astype(np.float16), "origin": origin, "kind": kind}})


def told(check: Check, what: Seen) -> list[Caution]:
    return list(check.cautions(what))
