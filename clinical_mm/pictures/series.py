"""Files of one case as images: instances of one series become a volume sorted along the normal of its slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinical_mm.pictures.decoded import Picture


@dataclass(frozen=True)
class Volume:
    """One image of a case: a single picture, a multi-frame object, or a whole series.

    Attributes:
        frames: ``float32[F, H, W]``.
        sources: (file, frame) that each of ``frames`` comes from; files count from 0 in the order given.
        picture: the picture that carries the window and the attributes: the first along the normal.
        spacing_z_mm: median distance of neighbouring slices, where their positions are known.
    """

    frames: np.ndarray
    sources: tuple[tuple[int, int], ...]
    picture: Picture
    spacing_z_mm: float | None = None


def group(pictures: Sequence[Picture]) -> list[Volume]:
    """Images in the order of their first file; instances of one series join where size and plane positions let them."""
    members: dict[object, list[int]] = {}
    for file, picture in enumerate(pictures):
        members.setdefault(_series_key(picture, file), []).append(file)
    return [_volume(pictures, files) for files in members.values()]


def _series_key(picture: Picture, file: int) -> object:
    single = picture.frame_count == 1 and picture.position_mm is not None and picture.series_uid
    return (picture.series_uid, picture.size) if single else file


def _volume(pictures: Sequence[Picture], files: list[int]) -> Volume:
    if len(files) == 1:
        return _alone(pictures[files[0]], files[0])
    ordered = sorted(files, key=lambda f: (pictures[f].position_mm or 0.0, pictures[f].instance_number or 0, f))
    positions = [pictures[f].position_mm or 0.0 for f in ordered]
    frames = np.concatenate([pictures[f].frames for f in ordered])
    return Volume(frames, tuple((f, 0) for f in ordered), pictures[ordered[0]], _spacing(positions))


def _alone(picture: Picture, file: int) -> Volume:
    """One object; frames that tell their positions are sorted by them."""
    order = list(range(picture.frame_count))
    positions = picture.frame_positions_mm
    if len(positions) == picture.frame_count > 1:
        order.sort(key=positions.__getitem__)
        frames = picture.frames[order]
        return Volume(frames, tuple((file, f) for f in order), picture, _spacing(sorted(positions)))
    return Volume(picture.frames, tuple((file, f) for f in order), picture)


def _spacing(positions: Sequence[float]) -> float | None:
    steps = np.diff(positions)
    steps = steps[steps > 0]
    return float(np.median(steps)) if steps.size else None
