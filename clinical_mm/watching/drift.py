"""Drift of one feature after another: population stability index, a two-sample test, and both read together.

PSI = sum over bins of (now - then) ln(now / then), bins by tenths of the reference, what is missing a bin of its own.
Customary readings: below 0.1 stable, above 0.25 a shift. It grows by chance where cases are few (its mean is about
(bins - 1)(1/n + 1/m)), so a shift is only told where the two-sample test says so too: Kolmogorov-Smirnov for numbers,
chi-square for categories and for what is missing, corrected over all features (Benjamini and Hochberg, 1995).
Source of PSI: Siddiqi, Credit Risk Scorecards, 2006; of its chance level: Yurdakul and Naranjo, 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

Verdict = Literal["stable", "watch", "drifted", "too few cases"]
Value = float | str | None
"""A number, a category, or nothing where it was not measured."""
BINS, FEWEST = 10, 30
WATCH, DRIFTED, FALSE_DISCOVERIES = 0.1, 0.25, 0.01


@dataclass(frozen=True)
class Bin:
    """A part of a feature's values, and the share of cases in it then and now."""

    name: str
    then: float
    now: float


@dataclass(frozen=True)
class Drift:
    """What became of one feature.

    Attributes:
        then, now: how many cases stand behind it.
        p: of the two-sample test, corrected over all features; 1 where there was nothing to test.
        mean_then, mean_now: of numbers; None of categories.
    """

    feature: str
    then: int
    now: int
    psi: float
    p: float
    verdict: Verdict
    bins: tuple[Bin, ...]
    mean_then: float | None = None
    mean_now: float | None = None


def drifts(then: Mapping[str, Sequence[Value]], now: Mapping[str, Sequence[Value]]) -> list[Drift]:
    """Every feature of the reference beside the same now, the most shifted first; what nobody measures is left out."""
    from scipy.stats import false_discovery_control

    pairs = {name: (values, now.get(name, ())) for name, values in then.items()}
    found = [
        _drift(name, *sides) for name, sides in pairs.items() if any(v is not None for side in sides for v in side)
    ]
    if found:
        corrected = false_discovery_control([one.p for one in found])
        found = [_judged(replace(one, p=float(p))) for one, p in zip(found, corrected, strict=True)]
    return sorted(found, key=lambda one: -one.psi)


def _drift(feature: str, then: Sequence[Value], now: Sequence[Value]) -> Drift:
    numbers = [v for v in then if isinstance(v, float)]
    if numbers:
        return _of_numbers(feature, then, now)
    names = sorted({v for v in (*then, *now) if isinstance(v, str)})
    counts = [[sum(v == name for v in side) for name in names] for side in (then, now)]
    missing = [[sum(v is None for v in side)] for side in (then, now)]
    table = np.array([[*a, *b] for a, b in zip(counts, missing, strict=True)], float)
    bins = _bins([*names, "not told"], table)
    return Drift(feature, len(then), len(now), _psi(bins, len(then), len(now)), _chi_square(table), "stable", bins)


def _of_numbers(feature: str, then: Sequence[Value], now: Sequence[Value]) -> Drift:
    from scipy.stats import ks_2samp

    told = [np.array([v for v in side if isinstance(v, float)]) for side in (then, now)]
    edges = _edges(told[0])
    table = np.array(
        [
            [*np.bincount(np.searchsorted(edges, values, "right"), minlength=len(edges) + 1), len(side) - len(values)]
            for values, side in zip(told, (then, now), strict=True)
        ],
        float,
    )
    present = np.array([[len(values), len(side) - len(values)] for values, side in zip(told, (then, now), strict=True)])
    p = [_chi_square(present.astype(float))]
    if len(told[1]):
        p.append(float(ks_2samp(*told).pvalue))
    bins = _bins([*_names(edges), "not told"], table)
    means = [float(values.mean()) if len(values) else None for values in told]
    return Drift(
        feature, len(then), len(now), _psi(bins, len(then), len(now)), min(1.0, len(p) * min(p)), "stable", bins, *means
    )


def _edges(then: np.ndarray) -> np.ndarray:
    """Tenths; where the largest value fills a tenth or more, one edge just above it, or nothing could lie beyond."""
    edges = np.unique(np.quantile(then, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.append(edges, np.nextafter(edges[-1], np.inf)) if edges[-1] == then.max() else edges


def _judged(one: Drift) -> Drift:
    if min(one.then, one.now) < FEWEST:
        return replace(one, verdict="too few cases")
    sure = one.p < FALSE_DISCOVERIES
    if one.psi > DRIFTED and sure:
        return replace(one, verdict="drifted")
    return replace(one, verdict="watch" if one.psi > WATCH and sure else "stable")


def _bins(names: Sequence[str], table: np.ndarray) -> tuple[Bin, ...]:
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    return tuple(Bin(name, float(a), float(b)) for name, a, b in zip(names, *shares, strict=True) if a or b)


def _psi(bins: Sequence[Bin], then: int, now: int) -> float:
    """An empty bin counts as half a case: with none at all the logarithm would make chance look like a shift."""
    least_then, least_now = 0.5 / max(then, 1), 0.5 / max(now, 1)
    pairs = [(max(b.then, least_then), max(b.now, least_now)) for b in bins]
    return float(sum((b - a) * np.log(b / a) for a, b in pairs))


def _chi_square(table: np.ndarray) -> float:
    from scipy.stats import chi2_contingency

    used = table[:, table.sum(0) > 0]
    if used.shape[1] < 2 or not used.sum(1).all():
        return 1.0
    return float(chi2_contingency(used).pvalue)


def _names(edges: np.ndarray) -> list[str]:
    shown = [f"{edge:.4g}" for edge in edges]
    between = [a if a == b else f"{a} to {b}" for a, b in pairwise(shown)]
    return [f"below {shown[0]}", *between, f"{'above' if shown[-1] in shown[:-1] else 'from'} {shown[-1]}"]
