"""Procedural chest radiographs, frontal and lateral: the body, its findings, device marks, then the film's own faults.

Values are 0 (air, dark) to 1 (bone, bright). Frontal: x grows to the reader's right, so the patient's left lung is on
the right. Lateral: x grows to the patient's back. Each film is turned, moved, exposed and grained at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import affine_transform

SIZE = 256
TURN_DEGREES, SHIFT = 5.0, 0.03
DEVICE_MARKS = 0.25
"""Probability of leads, a port or a pacemaker on the film: they mean nothing."""

Field = np.ndarray
"""``float32[SIZE, SIZE]``."""
_Y, _X = (np.mgrid[0:SIZE, 0:SIZE] / SIZE).astype(np.float32)


def _ellipse(x: float, y: float, half_width: float, half_height: float) -> Field:
    """1 at the centre falling to 0 at the rim, 0 outside."""
    return np.asarray(np.clip(1 - ((_X - x) / half_width) ** 2 - ((_Y - y) / half_height) ** 2, 0, 1))


def _soft(field: Field, edge: float) -> Field:
    """A shape with a rim of that softness."""
    return np.asarray(1 - np.exp(-field / np.float32(edge * 8)))


@dataclass(frozen=True)
class View:
    """What all films of one view share: the body without heart and ribs, and the lungs."""

    position: str
    torso: Field
    body: Field
    lungs: tuple[Field, ...]
    heart: tuple[float, float]


@lru_cache
def frontal() -> View:
    """The PA film."""
    shoulders = 1 - ((_X - 0.5) / 0.49) ** 6 - np.clip((0.42 - _Y) / 0.5, 0, 1) ** 2
    torso = _soft(np.clip(np.maximum(shoulders, _ellipse(0.5, 0.0, 0.13, 0.4)), 0, 1), 0.01)
    return _view("PA", torso, (_ellipse(0.31, 0.47, 0.155, 0.31), _ellipse(0.69, 0.47, 0.155, 0.31)), (0.55, 0.63), 0.5)


@lru_cache
def lateral() -> View:
    """The left lateral film."""
    torso = _soft(np.maximum(_ellipse(0.5, 0.55, 0.4, 0.62), _ellipse(0.45, 0.0, 0.14, 0.3)), 0.01)
    return _view("LL", torso, (_ellipse(0.52, 0.45, 0.27, 0.34),), (0.42, 0.62), 0.82)


def _view(position: str, torso: Field, lungs: tuple[Field, ...], heart: tuple[float, float], spine_x: float) -> View:
    picture = 0.06 + 0.48 * torso
    for lung in lungs:
        picture = picture - 0.33 * _soft(lung, 0.012)
    spine = np.exp(-(((_X - spine_x) / 0.035) ** 2)) * torso
    return View(position, torso, picture + 0.1 * spine, lungs, heart)


def draw_film(
    rng: np.random.Generator, view: View, findings: tuple[str, ...]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """``uint16[SIZE, SIZE]`` of 12 bits, and the ``bool[SIZE, SIZE]`` mask of each of these findings."""
    x, y = view.heart
    heart = _soft(_ellipse(x, y, 0.115 + 0.01 * rng.normal(), 0.14), 0.012)
    picture = np.maximum(view.body, 0.66 * heart) + _ribs(rng) * view.torso
    masks: dict[str, np.ndarray] = {}
    for name in findings:
        picture, masks[name] = PAINTERS[name](rng, view, picture)
    if rng.random() < DEVICE_MARKS:
        picture = _device_marks(rng, picture)
    matrix, offset = _pose(rng)
    picture = affine_transform(picture, matrix, offset, order=1, mode="nearest")
    moved = {
        name: affine_transform(mask.astype(np.uint8), matrix, offset, order=0).astype(bool)
        for name, mask in masks.items()
    }
    return _film(rng, picture), moved


def _opacity(rng: np.random.Generator, view: View, picture: Field) -> tuple[Field, Field]:
    """A patchy opacity anywhere within one lung; its looks do not tell what caused it."""
    lung = view.lungs[rng.integers(len(view.lungs))]
    rows, columns = np.nonzero(lung > 0.35)
    spot = rng.integers(rows.size)
    radius = rng.uniform(0.075, 0.13)
    distance = np.hypot(_X - columns[spot] / SIZE, _Y - rows[spot] / SIZE) / np.float32(radius)
    opacity = np.exp(-(distance**2)) * (0.75 + 0.25 * _cloud(rng, 12)) * _soft(lung, 0.01)
    return picture + np.float32(rng.uniform(0.28, 0.42)) * opacity, (distance < 1.2) & (lung > 0)


def _fluid(rng: np.random.Generator, view: View, picture: Field) -> tuple[Field, Field]:
    """Fluid at the base of one lung, its upper edge a meniscus that climbs at the sides."""
    lung = view.lungs[rng.integers(len(view.lungs))]
    center = np.float32(_X[lung > 0].mean())
    level = rng.uniform(0.58, 0.7) - (0.04 if view.position == "LL" else 0)
    edge = np.float32(level) - 0.9 * (_X - center) ** 2 / (0.155 if view.position == "PA" else 0.3)
    fluid = _soft(np.clip((_Y - edge) * 8, 0, 1), 0.01) * _soft(lung, 0.01)
    return picture + np.float32(rng.uniform(0.26, 0.36)) * fluid, (edge < _Y) & (lung > 0)


def _large_heart(rng: np.random.Generator, view: View, picture: Field) -> tuple[Field, Field]:
    """A large heart and haze around the hila."""
    x, y = view.heart
    heart = _soft(_ellipse(x, y, rng.uniform(0.175, 0.215), 0.17), 0.015)
    hila = (0.38, 0.62) if view.position == "PA" else (0.55,)
    haze = np.sum([np.exp(-(((_X - h) / 0.09) ** 2) - ((_Y - 0.45) / 0.13) ** 2) for h in hila], axis=0)
    hazy = picture + np.float32(rng.uniform(0.07, 0.13)) * haze
    return np.maximum(hazy, 0.66 * heart), (heart > 0.5) | (haze > 0.6)


def _air(rng: np.random.Generator, view: View, picture: Field) -> tuple[Field, Field]:
    """Air above a lung's collapsed edge: darker, without markings, bounded by a fine line."""
    lung = view.lungs[rng.integers(len(view.lungs))]
    center = np.float32(_X[lung > 0].mean())
    line = np.float32(rng.uniform(0.28, 0.37)) + 1.2 * (_X - center) ** 2 / (0.155 if view.position == "PA" else 0.35)
    air = (line > _Y) & (lung > 0)
    edge = np.exp(-(((_Y - line) / 0.007) ** 2)) * (lung > 0)
    return picture + 0.22 * edge - np.float32(rng.uniform(0.12, 0.17)) * air, air


Painter = Callable[[np.random.Generator, View, Field], tuple[Field, Field]]
PAINTERS: dict[str, Painter] = {"opacity": _opacity, "fluid": _fluid, "large-heart": _large_heart, "air": _air}


def _ribs(rng: np.random.Generator) -> Field:
    """Eight arcs, one below the other."""
    phase = _Y - 0.16 - np.float32(rng.uniform(0, 0.03)) - 0.5 * (_X - 0.5) ** 2
    rib = np.exp(-(((np.mod(phase + 0.0425, 0.085) - 0.0425) / 0.009) ** 2))
    return np.asarray(0.055 * rib * ((phase > -0.04) & (phase < 0.64)))


def _device_marks(rng: np.random.Generator, picture: Field) -> Field:
    if rng.random() < 0.5:
        x, y = rng.uniform(0.18, 0.3), rng.uniform(0.14, 0.22)
        box = (np.abs(_X - x) < 0.04) & (np.abs(_Y - y) < 0.03)
        lead = np.abs(_X - x - 0.7 * (_Y - y) * (0.5 - x)) < 0.004
        return np.where(box | (lead & (y < _Y) & (_Y < 0.6)), np.float32(0.95), picture)
    slope, start = rng.uniform(-0.4, 0.4), rng.uniform(0.2, 0.8)
    lead = np.abs(_X - start - slope * (_Y - 0.5)) < 0.004
    return np.where(lead, np.float32(0.85), picture)


def _pose(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and offset that turn and move about the film's centre."""
    angle = np.deg2rad(rng.uniform(-TURN_DEGREES, TURN_DEGREES))
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = np.full(2, (SIZE - 1) / 2)
    return matrix, center - matrix @ center + rng.uniform(-SHIFT, SHIFT, 2) * SIZE


def _film(rng: np.random.Generator, picture: Field) -> np.ndarray:
    """Exposure, grain and quantisation to 12 bits."""
    uneven = picture + 0.03 * (_cloud(rng, 6) - 0.5)
    exposed = np.clip(uneven, 0, 1.2) ** np.float32(rng.uniform(0.85, 1.15)) * np.float32(rng.uniform(0.8, 1.0))
    grainy = exposed + np.float32(0.018) * rng.standard_normal(exposed.shape, dtype=np.float32)
    return np.asarray(np.clip(grainy * 3400 + 200, 0, 4095), dtype=np.uint16)


def _cloud(rng: np.random.Generator, cells: int) -> Field:
    """Smooth noise, 0 to 1, of that many cells a side."""
    coarse = rng.random((cells + 1, cells + 1), dtype=np.float32)
    position = np.linspace(0, cells - 1e-3, SIZE, dtype=np.float32)
    low, share = position.astype(int), position % 1
    rows = coarse[low] * (1 - share[:, None]) + coarse[low + 1] * share[:, None]
    return np.asarray(rows[:, low] * (1 - share) + rows[:, low + 1] * share)
