"""A procedural chest radiograph: soft tissue, two lungs, ribs, heart, then findings, then the film's own faults.

Values are 0 (air, dark) to 1 (bone, bright); x grows to the reader's right, so the patient's left lung is on the right.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SIZE = 256
VISIBLE = 0.85
"""Share of present diagnoses whose finding can be seen on the film."""

Field = np.ndarray
_Y, _X = np.mgrid[0:SIZE, 0:SIZE] / SIZE


def draw_chest(rng: np.random.Generator, present: tuple[str, ...]) -> tuple[Field, dict[str, Field]]:
    """``uint16[H, W]`` of 12 bits, and the ``bool[H, W]`` mask of each finding that was drawn."""
    lungs = (_ellipse(0.31, 0.47, 0.155, 0.31), _ellipse(0.69, 0.47, 0.155, 0.31))
    picture = _body(rng, lungs)
    masks: dict[str, Field] = {}
    for code in present:
        if rng.random() >= VISIBLE:
            continue
        picture, masks[code] = FINDINGS[code](rng, lungs, picture)
    return _film(rng, picture), masks


def _body(rng: np.random.Generator, lungs: tuple[Field, Field]) -> Field:
    shoulders = 1 - ((_X - 0.5) / 0.49) ** 6 - np.clip((0.42 - _Y) / 0.5, 0, 1) ** 2
    torso = _soft(np.clip(np.maximum(shoulders, _ellipse(0.5, 0.0, 0.13, 0.4)), 0, 1), 0.01)
    picture = 0.06 + 0.48 * torso
    for lung in lungs:
        picture -= 0.33 * _soft(lung, 0.012)
    heart = _soft(_ellipse(0.55, 0.63, 0.115 + 0.01 * rng.normal(), 0.14), 0.012)
    spine = np.exp(-(((_X - 0.5) / 0.035) ** 2)) * torso
    picture = np.maximum(picture + 0.1 * spine, 0.66 * heart)
    phase = rng.uniform(0, 0.03)
    for rib in range(8):
        arc = 0.16 + 0.085 * rib + phase + 0.5 * (_X - 0.5) ** 2
        picture += 0.055 * np.exp(-(((_Y - arc) / 0.009) ** 2)) * torso
    return np.asarray(picture)


def _pneumonia(rng: np.random.Generator, lungs: tuple[Field, Field], picture: Field) -> tuple[Field, Field]:
    """A patchy opacity anywhere within one lung."""
    lung = lungs[rng.integers(2)]
    rows, columns = np.nonzero(lung > 0.35)
    spot = rng.integers(rows.size)
    radius = rng.uniform(0.045, 0.085)
    distance = np.hypot(_X - columns[spot] / SIZE, _Y - rows[spot] / SIZE) / radius
    opacity = np.exp(-(distance**2)) * (0.75 + 0.25 * _cloud(rng, 12)) * _soft(lung, 0.01)
    return picture + rng.uniform(0.22, 0.38) * opacity, (distance < 1.2) & (lung > 0)


def _effusion(rng: np.random.Generator, lungs: tuple[Field, Field], picture: Field) -> tuple[Field, Field]:
    """Fluid at the base of one lung, its upper edge a meniscus."""
    side = int(rng.integers(2))
    lung, center = lungs[side], (0.31, 0.69)[side]
    level = rng.uniform(0.6, 0.7)
    edge = level - 0.9 * (_X - center) ** 2 / 0.155
    fluid = 1 / (1 + np.exp(-(_Y - edge) / 0.012)) * _soft(lung, 0.01)
    return picture + rng.uniform(0.26, 0.36) * fluid, (edge < _Y) & (lung > 0)


def _heart_failure(rng: np.random.Generator, lungs: tuple[Field, Field], picture: Field) -> tuple[Field, Field]:
    """A large heart and haze around both hila."""
    width = rng.uniform(0.17, 0.21)
    heart = _soft(_ellipse(0.56, 0.64, width, 0.165), 0.015)
    haze = sum(np.exp(-(((_X - x) / 0.09) ** 2) - ((_Y - 0.45) / 0.13) ** 2) for x in (0.38, 0.62))
    hazy = picture + rng.uniform(0.07, 0.13) * haze
    return np.maximum(hazy, 0.66 * heart), (heart > 0.5) | (haze > 0.6)


def _pneumothorax(rng: np.random.Generator, lungs: tuple[Field, Field], picture: Field) -> tuple[Field, Field]:
    """Air above a lung's collapsed edge: darker, without markings, bounded by a fine line."""
    side = int(rng.integers(2))
    lung, center = lungs[side], (0.31, 0.69)[side]
    line = rng.uniform(0.27, 0.36) + 1.2 * (_X - center) ** 2 / 0.155
    air = (line > _Y) & (lung > 0)
    edge = np.exp(-(((_Y - line) / 0.006) ** 2)) * (lung > 0)
    return picture + 0.2 * edge - rng.uniform(0.1, 0.16) * _soft(air.astype(float), 0.008), air


Finding = Callable[[np.random.Generator, tuple[Field, Field], Field], tuple[Field, Field]]
FINDINGS: dict[str, Finding] = {
    "pneumonia": _pneumonia,
    "pleural-effusion": _effusion,
    "heart-failure": _heart_failure,
    "pneumothorax": _pneumothorax,
}


def _film(rng: np.random.Generator, picture: Field) -> Field:
    """Exposure, grain and quantisation to 12 bits."""
    exposed = np.clip(picture + 0.03 * (_cloud(rng, 6) - 0.5), 0, 1.2) ** rng.uniform(0.9, 1.1)
    grainy = exposed * rng.uniform(0.85, 1.0) + rng.normal(0, 0.018, exposed.shape)
    return np.clip(grainy * 3400 + 200, 0, 4095).astype(np.uint16)


def _ellipse(x: float, y: float, half_width: float, half_height: float) -> Field:
    """1 at the centre falling to 0 at the rim, 0 outside."""
    return np.asarray(np.clip(1 - ((_X - x) / half_width) ** 2 - ((_Y - y) / half_height) ** 2, 0, 1))


def _soft(field: Field, edge: float) -> Field:
    """A shape with a rim of that softness."""
    return np.asarray(1 - np.exp(-field / (edge * 8)))


def _cloud(rng: np.random.Generator, cells: int) -> Field:
    """Smooth noise, 0 to 1, of that many cells a side."""
    coarse = rng.random((cells + 1, cells + 1))
    position = np.linspace(0, cells - 1e-6, SIZE)
    low, share = position.astype(int), position % 1
    rows = coarse[low] * (1 - share[:, None]) + coarse[low + 1] * share[:, None]
    return np.asarray(rows[:, low] * (1 - share) + rows[:, low + 1] * share)
