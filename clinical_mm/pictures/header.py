"""What of a DICOM header is kept: acquisition, geometry and windows. Never who the patient is.

Source: DICOM PS3.3 C.7.6.2 (image plane), C.11.2 (VOI), C.7.6.16 (functional groups of enhanced multi-frame objects).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import UID

from clinical_mm.pictures.decoded import VoiFunction, Window

_TEXTS = {
    "Modality": "modality",
    "BodyPartExamined": "body_part",
    "ViewPosition": "view_position",
    "Laterality": "laterality",
    "ImageLaterality": "image_laterality",
    "PatientOrientation": "patient_orientation",
    "Manufacturer": "manufacturer",
    "ManufacturerModelName": "manufacturer_model",
    "PhotometricInterpretation": "photometric",
    "PresentationIntentType": "presentation_intent",
    "BurnedInAnnotation": "burned_in_annotation",
    "LossyImageCompression": "lossy_compression",
}
_MALFORMED = (ValueError, TypeError, AttributeError, LookupError, OverflowError)
_LONGEST_TEXT = 64  # a code string has 16 characters, a long string 64 (PS3.5 6.2)


def numbers(ds: Dataset, keyword: str) -> tuple[float, ...]:
    """All finite values of a numeric element; empty where it is absent or malformed."""
    try:
        value = ds.get(keyword)
        values = value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else [value]
        found = tuple(float(v) for v in values if v is not None and v != "")
    except _MALFORMED:
        return ()
    return found if all(math.isfinite(v) for v in found) else ()


def text(ds: Dataset, keyword: str) -> str | None:
    """A short printable value of an element; None where it is absent, empty or malformed."""
    try:
        value = ds.get(keyword)
    except _MALFORMED:
        return None
    if value is None or value == "":
        return None
    joined = (
        value if isinstance(value, str) else "\\".join(map(str, value)) if isinstance(value, Sequence) else str(value)
    )
    cleaned = "".join(c for c in joined if c.isprintable()).strip()[:_LONGEST_TEXT]
    return cleaned or None


def uid_name(uid: str | None) -> str:
    """The standard's name of a UID, ``unknown`` where it has none: what stands in its place can be anything."""
    known = UID(uid or "", validation_mode=config.IGNORE)
    return str(known.name) if known.is_valid and not known.is_private and known.name != uid else "unknown"


def attributes(ds: Dataset, transfer_syntax: str) -> dict[str, Any]:
    """The header as plain values, by names that a reader knows."""
    found: dict[str, Any] = {name: text(ds, keyword) for keyword, name in _TEXTS.items()}
    found["transfer_syntax"] = transfer_syntax
    found["transfer_syntax_name"] = uid_name(transfer_syntax)
    found["sop_class"] = uid_name(text(ds, "SOPClassUID"))
    stored = numbers(ds, "BitsStored")
    found["bits_stored"] = int(stored[0]) if stored else None
    return {name: value for name, value in found.items() if value is not None}


def groups(ds: Dataset) -> list[Dataset]:
    """For each frame the data set that a functional group macro is looked up in; empty for classic objects."""
    per_frame = ds.get("PerFrameFunctionalGroupsSequence")
    return list(per_frame) if isinstance(per_frame, Sequence) else []


def macro(ds: Dataset, sequence: str, frame: Dataset | None = None) -> Dataset:
    """The item that holds a functional group's elements: the frame's own, else the shared one, else the data set."""
    shared = ds.get("SharedFunctionalGroupsSequence") or []
    for place in (*([] if frame is None else [frame]), *shared[:1]):
        items = place.get(sequence)
        if items:
            item: Dataset = items[0]
            return item
    return ds


def windows(ds: Dataset) -> tuple[Window, ...]:
    """The window presets in the order stored; those without a usable width are left out."""
    frames = groups(ds)
    item = macro(ds, "FrameVOILUTSequence", frames[0] if frames else None)
    centers, widths = numbers(item, "WindowCenter"), numbers(item, "WindowWidth")
    names = item.get("WindowCenterWidthExplanation") or []
    names = [names] if isinstance(names, str) else list(names)
    pairs = zip(centers, widths, strict=False)
    return tuple(
        Window(str(names[i])[:_LONGEST_TEXT] if i < len(names) else f"preset {i + 1}", center, width)
        for i, (center, width) in enumerate(pairs)
        if width > 0
    )


def voi_function(ds: Dataset) -> VoiFunction:
    """How windows map to brightness; LINEAR where nothing or something unknown is said."""
    frames = groups(ds)
    said = text(macro(ds, "FrameVOILUTSequence", frames[0] if frames else None), "VOILUTFunction")
    known: dict[str | None, VoiFunction] = {"LINEAR_EXACT": "LINEAR_EXACT", "SIGMOID": "SIGMOID"}
    return known.get(said, "LINEAR")


def spacing_mm(ds: Dataset) -> tuple[float, float] | None:
    """Millimetres between rows and between columns; at the detector where the patient's are not told."""
    measures = macro(ds, "PixelMeasuresSequence")
    for item, keyword in ((measures, "PixelSpacing"), (ds, "ImagerPixelSpacing")):
        found = numbers(item, keyword)
        if len(found) == 2 and min(found) > 0:
            return found[0], found[1]
    return None


def position_mm(ds: Dataset, frame: Dataset | None = None) -> float | None:
    """Place of a plane along its own normal: the dot product of position and the cross product of its directions."""
    orientation = numbers(macro(ds, "PlaneOrientationSequence", frame), "ImageOrientationPatient")
    position = numbers(macro(ds, "PlanePositionSequence", frame), "ImagePositionPatient")
    if len(orientation) != 6 or len(position) != 3:
        return None
    normal = np.cross(orientation[:3], orientation[3:])
    return float(np.dot(normal, position))


def frame_positions_mm(ds: Dataset) -> tuple[float, ...]:
    """``position_mm`` of each frame of an enhanced object; empty where any is missing."""
    found = [position_mm(ds, frame) for frame in groups(ds)]
    return tuple(p for p in found if p is not None) if all(p is not None for p in found) else ()
