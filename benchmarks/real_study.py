"""What comparisons on real cases share: the same folds by patient for our model and its peers, intervals, differences.

Every score is of a case that the model at hand has not seen. Whatever learns from the cases - vocabularies, medians,
principal components - learns it from the other folds.
Shapes: N cases, F features.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.errors import NotEnoughData
from clinical_mm.evaluation.metrics import Estimate, auroc, with_interval
from clinical_mm.importing.folder import write_folder
from clinical_mm.modalities import modality

FOLDS, SEED, RESAMPLES = 5, 0, 2000
PIXELS, COMPONENTS = 32, 16
"""Of the pictures that peers read: so many pixels a side, then so many principal components."""


@dataclass(frozen=True)
class Ours:
    """Our model's side: ``scores[N]`` out-of-fold, and how well each fold's training judged itself (AUROC).

    That is of the committee's own validation: each case by a member that had not learned from it, and no case of the
    fold that is judged. So it may choose between models.
    """

    scores: np.ndarray
    inner: np.ndarray


@dataclass(frozen=True)
class Study:
    """Cases, one a patient, that have a diagnosis or have it not; scores are out-of-fold, one a case."""

    cases: Sequence[Case]
    positive: str

    @cached_property
    def targets(self) -> np.ndarray:
        """``float[N]``: 1 where the case has the diagnosis."""
        return np.array([float(self.positive in (case.diagnoses or ())) for case in self.cases])

    @cached_property
    def folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Who teaches and who is judged, each case judged once; stratified."""
        from sklearn.model_selection import StratifiedKFold

        parts = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
        return list(parts.split(np.zeros(len(self.cases)), self.targets))

    @property
    def brought(self) -> str:
        """How many cases have what."""
        notes, images = sum(c.note is not None for c in self.cases), sum(bool(c.images) for c in self.cases)
        vitals = sum(bool(c.vitals) for c in self.cases)
        return f"{notes} have a note, {images} images, {vitals} vitals; where a side lacks too many, it says the share."

    def ours(self, config: ModelConfig, modalities: Sequence[str]) -> Ours:
        """Probability by our model, trained as a user does; the training share where a case has none of these."""
        chosen = {name: options for name, options in config.modalities.items() if name in modalities}
        config = config.model_copy(update={"modalities": chosen})
        scores, inner = np.zeros(len(self.cases)), np.zeros(FOLDS)
        for number, (teach, judge) in enumerate(self.folds):
            scores[judge] = self.targets[teach].mean()
            asked = [i for i in judge if _has(self.cases[i], modalities)]
            taught = [self.cases[i] for i in teach if _has(self.cases[i], modalities)]
            try:
                scores[asked], inner[number] = self._answers(config, taught, [self.cases[i] for i in asked])
            except NotEnoughData as error:  # too few cases have it: then the share is all that can be said
                print(f"{'+'.join(modalities)}, fold {number}: {error}", file=sys.stderr)
        return Ours(scores, inner)

    def chosen(self, sides: Sequence[Ours]) -> np.ndarray:
        """Each fold by the side whose training judged itself best, without a look at the fold."""
        scores = np.zeros(len(self.cases))
        for number, (_, judge) in enumerate(self.folds):
            best = max(sides, key=lambda side: side.inner[number])
            scores[judge] = best.scores[judge]
        return scores

    def peer(self, make: Callable[[], Any], rows: Any) -> np.ndarray:
        """Probability by a scikit-learn classifier over ``rows``: features[N, F] or a list of notes."""
        scores = np.zeros(len(self.cases))
        for teach, judge in self.folds:
            model = make().fit([rows[i] for i in teach], self.targets[teach])
            scores[judge] = model.predict_proba([rows[i] for i in judge])[:, 1]
        return scores

    def one_hot(self, values: Sequence[str]) -> np.ndarray:
        """Probability by a linear model of a single word a case, such as its source."""
        names = sorted(set(values))
        return self.peer(linear, np.array([[float(v == n) for n in names] for v in values]))

    def table(self, sides: Mapping[str, np.ndarray], ours: str) -> str:
        """Markdown: each side's AUROC and how far ours lies above it, with 95 % intervals."""
        lines = ["| side | AUROC | ours minus it |", "|---|---|---|"]
        for name, scores in sides.items():
            difference = "" if name == ours else signed(self._difference(sides[ours], scores))
            lines.append(f"| {name} | {self.auroc(scores)} | {difference} |")
        return "\n".join([*lines, "", "Where the interval of a difference holds 0, no difference is claimed."])

    def auroc(self, scores: np.ndarray) -> Estimate:
        """With its interval by patient."""
        patients = [case.patient.id for case in self.cases]
        return with_interval(auroc, self.targets, scores, patients, resamples=RESAMPLES, seed=SEED)

    def _difference(self, ours: np.ndarray, other: np.ndarray) -> Estimate:
        """On the same samples of patients, each of whom has one case."""
        rng = np.random.default_rng(SEED)
        samples = [np.arange(len(ours)), *(rng.integers(len(ours), size=len(ours)) for _ in range(RESAMPLES))]
        found = np.array([auroc(self.targets[s], ours[s]) - auroc(self.targets[s], other[s]) for s in samples])
        low, high = np.nanpercentile(found[1:], [2.5, 97.5])
        return Estimate(float(found[0]), float(low), float(high))

    def _answers(self, config: ModelConfig, taught: Sequence[Case], asked: Sequence[Case]) -> tuple[list[float], float]:
        """Probabilities of the cases asked, and the training's own validation AUROC."""
        from clinical_mm.predictor import load_model
        from clinical_mm.training.run import train

        with tempfile.TemporaryDirectory() as folder:
            write_folder(taught, Path(folder) / "snapshot")
            made = train(config, Path(folder) / "snapshot", Path(folder) / "out", progress=lambda _: None)
            answers = load_model(made.folder).predict([replace(case, diagnoses=None) for case in asked])
        scores = [next(d.probability for d in answer.diagnoses if d.code == self.positive) for answer in answers]
        return scores, made.metrics["validation"]["macro_auroc"]["value"] or 0.0


def _has(case: Case, modalities: Sequence[str]) -> bool:
    note = case.note is not None
    there = {"text": note, "words": note, "imaging": bool(case.images), "vitals": bool(case.vitals)}
    return any(there[name] for name in modalities)


def linear() -> Any:
    """Logistic regression; an absent value is the mean, and a flag says so."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(class_weight="balanced", max_iter=2000)
    return make_pipeline(SimpleImputer(add_indicator=True), StandardScaler(), regression)


def strongly_regularised() -> Any:
    """Logistic regression for hundreds of features of a few dozen cases."""
    return linear().set_params(logisticregression__C=0.01)


def tf_idf() -> Any:
    """Words and word pairs into logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    return make_pipeline(vectors, LogisticRegression(C=10, class_weight="balanced", max_iter=2000))


def boosting() -> Any:
    """Gradient boosting of small trees; an absent value goes its own way at each split."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.feature_selection import VarianceThreshold
    from sklearn.pipeline import make_pipeline

    trees = HistGradientBoostingClassifier(
        max_depth=3, max_iter=100, min_samples_leaf=4, class_weight="balanced", random_state=SEED
    )
    return make_pipeline(VarianceThreshold(), trees)  # a column that no teaching case fills has no thresholds


@dataclass(frozen=True)
class Features:
    """What peers read of each case, ``float[N, F]`` each, NaN where absent: no label is needed to make them."""

    note: np.ndarray
    picture: np.ndarray
    vitals: np.ndarray

    @classmethod
    def of(cls, cases: Sequence[Case], config: ModelConfig) -> Features:
        """Mean state of the frozen language model, grey values of the first picture, vitals with age and sex."""
        return cls(_note_means(cases, config.options("text")), _grey_values(cases), measurements(cases))

    @property
    def joined(self) -> np.ndarray:
        """All of them side by side."""
        return np.concatenate([self.note, self.picture, self.vitals], axis=1)

    def side_by_side(self, model: Any) -> Any:
        """A classifier over ``joined`` that reads the picture's principal components, learned from who teaches."""
        from sklearn.compose import make_column_transformer
        from sklearn.decomposition import PCA
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline

        start = self.note.shape[1]
        pixels = slice(start, start + self.picture.shape[1])
        components = make_pipeline(SimpleImputer(), PCA(COMPONENTS, random_state=SEED))
        return make_pipeline(make_column_transformer((components, pixels), remainder="passthrough"), model)


def network_of_two_layers() -> Any:
    """A small network over features side by side; an absent value is the mean, and a flag says so."""
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    layers = MLPClassifier((32,), alpha=1.0, max_iter=300, random_state=SEED)
    return make_pipeline(SimpleImputer(add_indicator=True), StandardScaler(), layers)


def measurements(cases: Sequence[Case]) -> np.ndarray:
    """Vitals that any case has, age and sex: ``float[N, F]``, NaN where absent."""
    names = sorted({name for case in cases for name in case.vitals})
    sexes = {"F": 1.0, "M": 0.0}
    rows = [
        [*(c.vitals.get(n, np.nan) for n in names), c.patient.age_years, sexes.get(c.patient.sex or "")] for c in cases
    ]
    return np.array(rows, dtype=float)


def missing(cases: Sequence[Case]) -> np.ndarray:
    """Nothing but which fields are absent: ``float[N, F]``."""
    flags = np.isnan(measurements(cases)).astype(float)
    brings = [[case.note is None, len(case.images)] for case in cases]
    return np.concatenate([flags, np.array(brings, dtype=float)], axis=1)


def _note_means(cases: Sequence[Case], options: Mapping[str, Any]) -> np.ndarray:
    part = modality("text", options, Catalogue.load())
    encoder = part.encoder().eval()
    rows: list[np.ndarray] = []
    for case in cases:
        sample = part.read(case)
        if sample is None:
            rows.append(np.full(encoder.width, np.nan))
            continue
        with torch.no_grad():
            tokens = encoder(part.collate([sample]))
        rows.append(tokens.tokens_BND[0][tokens.mask_BN[0]].mean(0).numpy())
    return np.stack(rows)


def _grey_values(cases: Sequence[Case]) -> np.ndarray:
    part = modality("imaging", {"size": [PIXELS, PIXELS], "max_images": 1}, Catalogue.load())
    samples = [part.read(case) for case in cases]
    empty = np.full(PIXELS * PIXELS, np.nan)
    return np.stack([empty if s is None else s["pixels"][0].astype(float).ravel() for s in samples])


def signed(estimate: Estimate) -> str:
    """``+0.012 [-0.030 to +0.054]``."""
    return f"{estimate.value:+.3f} [{estimate.low:+.3f} to {estimate.high:+.3f}]"
