"""Text in the pixels: what the header tells of it, and where marks stand in a row as letters do.

The eye looks for strokes that stand out from what is around them (a top-hat), keeps marks of a letter's size and of
even brightness, and calls four or more of them in a line text. It reads nothing: bones and catheters can deceive it,
faint letters escape it (docs/deidentification.md tells how often).
Source: DICOM PS3.15 E.3.1 (Clean Pixel Data), PS3.3 C.7.6.1.1.7 (Burned In Annotation), C.8.6 (Secondary Capture).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from scipy import ndimage

from clinical_mm.deidentify.report import Box
from clinical_mm.pictures import header

LONG_SIDE = 1024
"""Pictures are looked at no larger than this."""
_FRAMES = 5
_STROKE = 11
"""Pixels of the eye's picture: wider strokes are no letters."""
_CONTRAST, _FAINT, _BRIGHTEST = 0.35, 0.12, 0.97
"""Of the range of the picture."""
_EVEN = 0.16
_LOW, _HIGH, _WIDE = 6, 48, 4.0
_LETTERS = 4
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_ULTRASOUND = frozenset({"US", "IVUS"})


@dataclass(frozen=True)
class _Mark:
    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top


def header_reasons(ds: Dataset) -> tuple[str, ...]:
    """Why the header makes text in the pixels likely."""
    kind = header.text(ds, "SOPClassUID") or ""
    image_type = (header.text(ds, "ImageType") or "").upper()
    reasons = {
        "BurnedInAnnotation says YES": (header.text(ds, "BurnedInAnnotation") or "").upper() == "YES",
        "a secondary capture": kind.startswith(_SECONDARY_CAPTURE) or bool(header.text(ds, "ConversionType")),
        "a screen shot": "SCREEN" in image_type or "SCREEN" in (header.text(ds, "SeriesDescription") or "").upper(),
        "ultrasound": (header.text(ds, "Modality") or "").upper() in _ULTRASOUND,
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


def text_boxes(frames: np.ndarray) -> tuple[Box, ...]:
    """Where text seems to stand in ``frames[F, H, W]``; of many frames five are looked at."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(_FRAMES, len(frames))).astype(int))
    found = [box for n in chosen for box in _boxes(np.asarray(frames[n], dtype=np.float32))]
    return tuple(_joined(found))


def _boxes(frame: np.ndarray) -> Iterator[Box]:
    factor = max(1, -(-max(frame.shape) // LONG_SIDE))
    small = _reduced(frame, factor)
    low, high = np.percentile(small, (0.1, 99.9))
    if not high > low:
        return
    small = np.clip((small - low) / (high - low), 0, 1)
    rows, columns = frame.shape
    bright, dark = small - ndimage.grey_opening(small, _STROKE), ndimage.grey_closing(small, _STROKE) - small
    for strokes in (*_strokes(bright, small), *_strokes(dark, 1 - small)):
        for line in _lines(_marks(small, strokes)):
            left, top, right, bottom = (side * factor for side in _whole(line, strokes))
            yield max(0, left), max(0, top), min(columns, right), min(rows, bottom)


def _strokes(hats: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What stands out clearly; the same and what does a little, as bright as anything, for so devices write."""
    clear = np.asarray(hats > _CONTRAST)
    return clear, np.asarray(clear | ((hats > _FAINT) & (values > _BRIGHTEST)))


def _whole(line: list[_Mark], strokes: np.ndarray) -> Box:
    """The box of a line, with what else is written on it: letters that touch each other or are cut are no marks."""
    tall = max(m.height for m in line)
    top, bottom = min(m.top for m in line) - tall // 3 - 1, max(m.bottom for m in line) + tall // 3 + 1
    written = np.asarray(strokes[max(0, top) : bottom].any(axis=0))
    left, right, reach = min(m.left for m in line), max(m.right for m in line), round(1.5 * tall)
    while len(more := np.flatnonzero(written[max(0, left - reach) : left])):
        left = max(0, left - reach) + int(more[0])
    while len(more := np.flatnonzero(written[right : right + reach])):
        right += int(more[-1]) + 1
    return left - tall // 3 - 1, top, right + tall // 3 + 1, bottom


def _reduced(frame: np.ndarray, factor: int) -> np.ndarray:
    if factor == 1:
        return frame
    rows, columns = (side // factor * factor for side in frame.shape)
    blocks = frame[:rows, :columns].reshape(rows // factor, factor, columns // factor, factor)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def _marks(values: np.ndarray, strokes: np.ndarray) -> list[_Mark]:
    """Connected strokes of a letter's size whose brightness is even."""
    labels, _ = ndimage.label(strokes, structure=np.ones((3, 3)))
    marks = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if not (_LOW <= height <= _HIGH and width <= _WIDE * height and width <= 2 * _HIGH):
            continue
        inside = values[rows, columns][labels[rows, columns] == number]
        if inside.std() <= _EVEN and inside.size >= 0.12 * height * width:
            marks.append(_Mark(rows.start, rows.stop, columns.start, columns.stop))
    return marks


def _lines(marks: list[_Mark]) -> Iterator[list[_Mark]]:
    """Marks of one height that follow each other on one line as letters do."""
    waiting = sorted(marks, key=lambda mark: mark.left)
    while waiting:
        line = [waiting.pop(0)]
        for mark in list(waiting):
            if _follows(line[-1], mark):
                line.append(mark)
                waiting.remove(mark)
        if len(line) >= _LETTERS and _is_even(line):
            yield line


def _follows(last: _Mark, mark: _Mark) -> bool:
    tall, low = max(last.height, mark.height), min(last.height, mark.height)
    return (
        mark.left - last.right <= 1.3 * tall
        and mark.left >= last.left
        and tall <= 1.8 * low
        and abs(mark.bottom - last.bottom) <= 0.3 * tall
    )


def _is_even(line: list[_Mark]) -> bool:
    heights = np.array([m.height for m in line], dtype=float)
    bottoms = np.array([m.bottom for m in line], dtype=float)
    trend = np.polyval(np.polyfit(np.arange(len(line)), bottoms, 1), np.arange(len(line)))
    return bool(heights.std() <= 0.3 * heights.mean() and (bottoms - trend).std() <= 0.15 * heights.mean())


def _joined(boxes: list[Box]) -> list[Box]:
    """Boxes that touch become one."""
    joined: list[Box] = []
    for box in sorted(boxes):
        for other in [o for o in joined if o[0] <= box[2] and box[0] <= o[2] and o[1] <= box[3] and box[1] <= o[3]]:
            joined.remove(other)
            box = (min(box[0], other[0]), min(box[1], other[1]), max(box[2], other[2]), max(box[3], other[3]))  # noqa: PLW2901
        joined.append(box)
    return joined
