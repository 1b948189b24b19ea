"""What is watched of a stored case: what was sent of the patient, and what its images' pixels are like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from api.cases.intake import PIXELS
from api.cases.tables import CaseRow
from clinical_mm.catalogue import Catalogue
from clinical_mm.watching.drift import Value

Features = dict[str, list[Value]]
"""Feature -> its value in each case."""
OF_PIXELS = {
    "brightness": "image brightness",
    "contrast": "image contrast",
    "sharpness": "image sharpness",
    "dark": "dark pixels",
    "saturated": "saturated pixels",
}
"""Statistic of a file's pixels -> feature."""
SIZE = "image size"


def inputs_of(rows: Iterable[CaseRow], catalogue: Catalogue) -> Features:
    """Vitals, patient, note and kind of image of each case; nothing where there is no case."""
    return _columns([_input_of(row, catalogue) for row in rows])


def images_of(rows: Iterable[CaseRow]) -> Features:
    """Size and pixels of each case that has images, a mean over its files; how many have none, ``images`` tells."""
    with_images = [row for row in rows if row.files]
    measured = [[f.attributes[PIXELS] for f in row.files if PIXELS in f.attributes] for row in with_images]
    sizes: list[Value] = [fmean(max(f.rows, f.columns) for f in row.files) for row in with_images]
    pixels = _columns([_means(files) for files in measured if files])
    return {**({SIZE: sizes} if sizes else {}), **pixels}


def unmeasured(rows: Iterable[CaseRow]) -> int:
    """How many of the cases have an image that was stored before pixels were measured."""
    return sum(any(PIXELS not in f.attributes for f in row.files) for row in rows)


def _input_of(row: CaseRow, catalogue: Catalogue) -> dict[str, Value]:
    first = row.files[0].attributes if row.files else {}
    vitals = {vital.name: row.vitals.get(vital.name) for vital in catalogue.vitals}
    return {
        **{name: None if value is None else float(value) for name, value in vitals.items()},
        "age": row.age_years,
        "sex": row.sex,
        "words of the note": None if row.note is None else float(len(row.note.split())),
        "images": str(len(row.files)) if len(row.files) < 2 else "2 or more",
        "modality": first.get("modality"),
        "view": first.get("view_position"),
    }


def _means(files: Sequence[Mapping[str, float]]) -> dict[str, Value]:
    return {feature: fmean(file[name] for file in files) for name, feature in OF_PIXELS.items()}


def _columns(told: Sequence[Mapping[str, Value]]) -> Features:
    return {name: [one[name] for one in told] for name in told[0]} if told else {}
