"""What a label is held against: note, vitals, age, sex and a coarse view of the image, as one table of numbers.

No network is trained or asked, so that a check of labels costs seconds, whatever the configuration.
Shapes: N cases, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clinical_mm.case import Case
from clinical_mm.pictures import read_picture
from clinical_mm.pictures.windows import percentile_window

LEAST_SHARE = 0.02
"""A vital that fewer cases have, or a run of words that fewer notes have, is left out."""
SIDE = 16
"""The image is seen as so many averages in height and width."""
IMAGE_FEATURES, TERMS = 24, 4000
NOTE_WEIGHT = 8.0
"""Rows of TF-IDF have length 1, those of the vitals several: without it the note would hardly be heard."""


def described(cases: Sequence[Case], *, images: bool = True) -> Any:
    """``[N, F]``, sparse. ``images``: whether the first image of each case is decoded too.

    Raises:
        UnreadableFile: an image does not decode.
    """
    from scipy.sparse import csr_matrix, hstack

    parts = [_persons(cases), _vitals(cases)]
    if images and any(case.images for case in cases):
        parts.append(_images(cases))
    dense = np.concatenate(parts, axis=1)
    notes = _notes(cases)
    return csr_matrix(dense) if notes is None else csr_matrix(hstack([csr_matrix(dense), notes]))


def _persons(cases: Sequence[Case]) -> np.ndarray:
    ages = np.array([np.nan if case.patient.age_years is None else case.patient.age_years for case in cases])
    return np.stack([np.nan_to_num((ages - 50) / 25), *([c.patient.sex == s for c in cases] for s in ("F", "M"))], 1)


def _vitals(cases: Sequence[Case]) -> np.ndarray:
    """Each vital as a normal score of its rank, since laboratory values are skewed, and whether it was measured."""
    from sklearn.preprocessing import quantile_transform

    names = sorted({name for case in cases for name in case.vitals})
    values = np.array([[case.vitals.get(name, np.nan) for name in names] for case in cases]).reshape(len(cases), -1)
    values = values[:, (~np.isnan(values)).mean(0) >= LEAST_SHARE]
    if not values.shape[1]:
        return np.zeros((len(cases), 0))
    there = ~np.isnan(values)
    scores = quantile_transform(values, n_quantiles=min(200, len(cases)), output_distribution="normal", copy=True)
    return np.concatenate([np.clip(np.nan_to_num(scores), -3, 3), there.astype(float)], axis=1)


def _notes(cases: Sequence[Case]) -> Any:
    """TF-IDF of words and runs of words, which tell ``no fever`` from ``fever``; None where notes share nothing."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    least = max(2, round(LEAST_SHARE * len(cases) / 2))
    vectors = TfidfVectorizer(ngram_range=(1, 3), min_df=least, max_features=TERMS, sublinear_tf=True)
    try:
        return vectors.fit_transform([case.note or "" for case in cases]) * NOTE_WEIGHT
    except ValueError:  # no note, or none that shares a word with another
        return None


def _images(cases: Sequence[Case]) -> np.ndarray:
    """The first image in its percentile window as a coarse grid, in its main directions; zeros where there is none."""
    from sklearn.decomposition import PCA

    rows = [i for i, case in enumerate(cases) if case.images]
    grids = np.stack([_grid(cases[i]) for i in rows])
    found = np.zeros((len(cases), min(IMAGE_FEATURES, *grids.shape) + 1))
    found[rows, :-1] = PCA(found.shape[1] - 1, whiten=True, random_state=0).fit_transform(grids)
    found[rows, -1] = 1
    return found


def _grid(case: Case) -> np.ndarray:
    picture = read_picture(case.images[0].read())
    frame = picture.frames[picture.frame_count // 2]
    center, width = percentile_window(frame)
    shown = np.clip((frame - (center - width / 2)) / max(width, 1e-6), 0, 1)
    rows, columns = (np.linspace(0, length, SIDE + 1).astype(int)[:-1] for length in shown.shape)
    sums = np.add.reduceat(np.add.reduceat(shown, rows, axis=0), columns, axis=1)
    sizes = np.outer(np.diff([*rows, shown.shape[0]]), np.diff([*columns, shown.shape[1]]))
    return np.asarray(sums / sizes).ravel()
