"""What the viewer shows: files of one series as one stack of frames, with the addresses of pixels and heat maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from api.cases.schemas import FileOut

Address = Callable[[int, int], str]
Place = tuple[int, int]
"""A file's position in its case, and a frame of it."""


def stacks(files: Sequence[FileOut], raw: Address, heatmaps: Mapping[Place, str]) -> list[dict[str, Any]]:
    """The stacks of a case.

    Args:
        files: the case's files.
        raw: (file, frame) -> where its pixels are.
        heatmaps: (file, frame) -> where its heat map is, for those that have one, the strongest first.
            Its place in that order is the frame's ``rank``.
    """
    ranks = {place: rank for rank, place in enumerate(heatmaps)}
    return [_stack(together, raw, heatmaps, ranks) for together in _by_series(files)]


def _by_series(files: Sequence[FileOut]) -> list[list[FileOut]]:
    series: dict[str, list[FileOut]] = {}
    for file in files:
        series.setdefault(file.attributes.get("series_uid") or f"file {file.position}", []).append(file)
    found = []
    for together in series.values():
        alike = len({(f.rows, f.columns) for f in together}) == 1
        ordered = sorted(together, key=lambda f: (f.attributes.get("instance_number") or 0, f.position))
        found.extend([ordered] if alike else [[file] for file in together])
    return found


def _stack(
    files: Sequence[FileOut], raw: Address, heatmaps: Mapping[Place, str], ranks: Mapping[Place, int]
) -> dict[str, Any]:
    header = files[0].attributes
    center, width = header.get("default_window") or (127.5, 255)
    ranges = [f.attributes.get("value_range") or [0, 255] for f in files]
    return {
        "label": _label(files),
        "modality": header.get("modality") or "",
        "center": center,
        "width": width,
        "windows": header.get("windows") or [],
        "range": [min(r[0] for r in ranges), max(r[1] for r in ranges)],
        "frames": [
            {
                "raw": raw(f.position, frame),
                "heatmap": heatmaps.get((f.position, frame)),
                "rank": ranks.get((f.position, frame)),
            }
            for f in files
            for frame in range(f.frames)
        ],
    }


def _label(files: Sequence[FileOut]) -> str:
    header = files[0].attributes
    told = [header.get(name) for name in ("modality", "body_part", "view_position", "laterality")]
    words = " ".join(str(part) for part in told if part) or files[0].name
    frames = sum(f.frames for f in files)
    counted = f", {frames} frames" if frames > 1 else ""
    return f"{words}{counted}" + (" (colour, shown as grey)" if header.get("color") else "")
