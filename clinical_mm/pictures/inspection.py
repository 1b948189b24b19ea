"""What a file must tell before it is stored: that it decodes, and the few things that are kept of what it shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from clinical_mm.errors import UnreadableFile
from clinical_mm.limits import WIDEST, Limits
from clinical_mm.pictures.dicom import read_dicom
from clinical_mm.pictures.polyglots import refuse_polyglot
from clinical_mm.pictures.raster import read_raster
from clinical_mm.pictures.sniff import media_type
from clinical_mm.pictures.statistics import pixel_statistics


@dataclass(frozen=True)
class Findings:
    """What is kept of a file that decodes; plain values, so that it can cross from process to process as JSON."""

    media_type: str
    frames: int
    rows: int
    columns: int
    attributes: dict[str, Any]
    statistics: dict[str, float]


def inspect(data: bytes, limits: Limits = WIDEST) -> Findings:
    """Decode a file and tell of it.

    Raises:
        UnsupportedFile: it is none of DICOM, PNG and JPEG.
        UnreadableFile: it claims to be one and does not decode, asks for more than the limits, or is more than that.
    """
    kind = media_type(data)
    refuse_polyglot(data, kind)
    picture = read_dicom(data, limits) if kind == "application/dicom" else read_raster(data, kind, limits)
    rows, columns = picture.size
    windows = [{"name": w.name, "center": w.center, "width": w.width} for w in picture.windows]
    statistics = pixel_statistics(picture)
    if not all(map(math.isfinite, statistics.values())):
        raise UnreadableFile("the pixel data holds values too large to be shown")
    return Findings(
        media_type=kind,
        frames=picture.frame_count,
        rows=rows,
        columns=columns,
        attributes={
            **_storable(picture.attributes),
            "series_uid": picture.series_uid,
            "windows": _storable(windows),
            "default_window": list(picture.default_window),
            "value_range": list(picture.value_range),
            "color": picture.rgb is not None,
        },
        statistics=statistics,
    )


def _storable(value: Any) -> Any:
    """Header values as JSON that both databases can hold: PostgreSQL stores no NUL in text."""
    if isinstance(value, dict):
        return {str(k): _storable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(v) for v in value]
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    return value if value is None or isinstance(value, bool | int | float) else str(value)
