"""Labels that are unlikely given the rest of their case, and reviewers who write more of them than the others do.

Probabilities come from logistic regressions on ``label_features``, each for patients that it has not learned from;
which labels are then suspicious says cleanlab's confident learning, a diagnosis at a time. A reviewer is named where
one of several exact tests (Fisher) of their share against all others' is significant, however many tests there are
(Holm), and the difference is larger than a margin: of all labels, of those without one diagnosis, of those with one.
Labels of a reviewer who is named then teach no regression, and the others are looked at anew.
Source: Northcutt, Jiang & Chuang, Confident Learning, 2021 (arXiv:1911.00068); Holm, 1979.
Shapes: N cases, K diagnoses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clinical_mm.case import Case
from clinical_mm.evaluation.calibration import targets_of
from clinical_mm.evaluation.metrics import Estimate
from clinical_mm.training.label_features import described
from clinical_mm.training.label_policy import Noise

FOLDS, STRENGTH = 5, 0.1
FEWEST = 10
"""A diagnosis that fewer cases have, or have not, is not looked at."""
FEWEST_PATIENTS = 60
"""Whose labels teach the regressions; with fewer nothing is said."""
SURE = 1e-6


@dataclass(frozen=True)
class Suspect:
    """One verdict of a label: whether it names the ``diagnosis``, and how likely that is, 0 to 1."""

    case: str
    diagnosis: str
    named: bool
    score: float


@dataclass(frozen=True)
class ReviewerShare:
    """How many of a reviewer's labels are suspicious.

    Attributes:
        share: with Wilson's 95 % interval.
        others: the share of all labels that are not this reviewer's.
        said: why the reviewer is named, in a sentence; empty where not.
    """

    reviewer: str
    labels: int
    suspicious: int
    share: Estimate
    others: float
    said: str = ""


@dataclass(frozen=True)
class LabelNoise:
    """What a check found.

    Attributes:
        checked: how many labels were looked at; 0 where there are too few.
        suspects: the least likely first.
    """

    checked: int
    diagnoses: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    reviewers: tuple[ReviewerShare, ...] = ()

    @property
    def suspicious(self) -> set[str]:
        """Names of the cases whose label is suspicious."""
        return {one.case for one in self.suspects}

    @property
    def named(self) -> tuple[ReviewerShare, ...]:
        """The reviewers who are named."""
        return tuple(one for one in self.reviewers if one.said)

    def to_json(self, most: int = 30) -> dict[str, Any]:
        """Plain data, with the ``most`` least likely verdicts."""
        return {
            "checked": self.checked,
            "diagnoses": list(self.diagnoses),
            "suspicious": len(self.suspicious),
            "suspects": [asdict(one) for one in self.suspects[:most]],
            "reviewers": [{**asdict(one), "share": one.share.to_json()} for one in self.reviewers],
        }


def suspicions(card: Mapping[str, Any]) -> tuple[str, ...]:
    """What speaks against the labels that taught a model, as its card holds it: a policy then promotes nothing."""
    return tuple(card.get("labels", {}).get("holds", ()))


def check_labels(
    cases: Sequence[Case], names: Sequence[str], policy: Noise, *, images: bool = True, features: Any = None
) -> LabelNoise:
    """Look at the labelled ones of the cases; whose word a label is tells ``Case.label_by``.

    Args:
        cases: them, golden ones too, which no reviewer answers for.
        names: what each is called.
        policy: what it takes to be named.
        images: whether an image is looked at too.
        features: ``[N, F]`` of the labelled ones where they are known already.

    Raises:
        UnreadableFile: an image does not decode.
    """
    rows = [i for i, case in enumerate(cases) if case.diagnoses is not None]
    labelled, called = [cases[i] for i in rows], [names[i] for i in rows]
    diagnoses, targets = _looked_at(labelled)
    patients = [case.patient.id for case in labelled]
    if len(set(patients)) < FEWEST_PATIENTS or not diagnoses:
        return LabelNoise(0)
    label_by = [() if case.golden else case.label_by for case in labelled]
    features = described(labelled, images=images) if features is None else features
    named: dict[str, ReviewerShare] = {}
    while True:
        theirs = np.array([any(key in named for key in keys) for keys in label_by])
        scores, suspicious = _suspicious(features, targets, patients, theirs)
        shares = list(_shares(label_by, diagnoses, targets, suspicious, policy, named))
        new = {one.reviewer: one for one in shares if one.said and one.reviewer not in named}
        named |= new
        left = {p for p, keys in zip(patients, label_by, strict=True) if not any(key in named for key in keys)}
        if not new or len(left) < FEWEST_PATIENTS:
            break
    suspects = [
        Suspect(called[i], diagnoses[k], bool(targets[i, k]), round(float(scores[i, k]), 4))
        for i, k in sorted(zip(*np.nonzero(suspicious), strict=True), key=lambda place: scores[place])
    ]
    told = [named.get(one.reviewer, one) for one in shares]
    return LabelNoise(len(labelled), diagnoses, tuple(suspects), tuple(told))


def _suspicious(
    features: Any, targets: np.ndarray, patients: Sequence[str], distrusted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scores ``[N, K]`` and which verdicts are suspicious; ``bool[N]`` distrusted labels say nothing about others'."""
    likely = out_of_sample(features, targets, patients, ~distrusted)
    scores, suspicious = confident(targets, likely)
    if distrusted.any():
        suspicious[~distrusted] = confident(targets[~distrusted], likely[~distrusted])[1]
    return scores, suspicious


def out_of_sample(features: Any, targets: np.ndarray, patients: Sequence[str], teaches: np.ndarray) -> np.ndarray:
    """``p[N, K]`` by regressions that may learn from ``bool[N]``, and have learned from no case of the same patient."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    likely = np.tile(targets[teaches].mean(0), (len(targets), 1))
    folds = GroupKFold(FOLDS, shuffle=True, random_state=0)
    for other, ask in folds.split(targets, groups=np.asarray(patients)):
        teach = other[teaches[other]]
        for k in range(targets.shape[1]):
            if 0 < targets[teach, k].sum() < len(teach):
                model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(features[teach], targets[teach, k])
                likely[ask, k] = model.predict_proba(features[ask])[:, 1]
    return np.asarray(np.clip(likely, SURE, 1 - SURE))


def confident(targets: np.ndarray, likely: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How likely each verdict is, ``float[N, K]``, and which are suspicious, ``bool[N, K]``."""
    from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class
    from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class

    held = [np.flatnonzero(row).tolist() for row in targets]
    found = find_multilabel_issues_per_class(held, likely, filter_by="confident_learning", n_jobs=1)
    return np.asarray(get_label_quality_scores_per_class(held, likely)), np.asarray(found, bool)


def _looked_at(cases: Sequence[Case]) -> tuple[tuple[str, ...], np.ndarray]:
    known = sorted({code for case in cases for code in case.diagnoses or ()})
    targets = targets_of([case.diagnoses or () for case in cases], known)
    kept = [k for k in range(len(known)) if FEWEST <= targets[:, k].sum() <= len(cases) - FEWEST]
    return tuple(known[k] for k in kept), targets[:, kept]


@dataclass(frozen=True)
class _Test:
    """Of ``labels`` so many ``suspicious``, and the same of the others: one question about one reviewer."""

    reviewer: str
    about: str
    labels: int
    suspicious: int
    other_labels: int
    other_suspicious: int

    @property
    def share(self) -> float:
        return self.suspicious / max(1, self.labels)

    @property
    def others(self) -> float:
        return self.other_suspicious / max(1, self.other_labels)

    @property
    def p(self) -> float:
        """One-sided: more often than the others."""
        from scipy.stats import fisher_exact

        table = [
            [self.suspicious, self.labels - self.suspicious],
            [self.other_suspicious, self.other_labels - self.other_suspicious],
        ]
        return float(fisher_exact(table, alternative="greater").pvalue)

    @property
    def counts(self) -> str:
        """Both shares in words."""
        share, others = f"{self.share:.0%} of {self.labels}", f"{self.others:.0%} of {self.other_labels}"
        return f"in {share}, those by others in {others}"


def _shares(
    label_by: Sequence[Sequence[str]],
    diagnoses: Sequence[str],
    targets: np.ndarray,
    suspicious: np.ndarray,
    policy: Noise,
    named: Collection[str] = (),
) -> Iterator[ReviewerShare]:
    """Each reviewer's share; those ``named`` already are not among the others."""
    any_N = np.asarray(suspicious.any(1))
    others = np.array([not any(key in named for key in keys) for keys in label_by])
    tests: dict[str, list[_Test]] = {}
    for reviewer in sorted({key for keys in label_by for key in keys}):
        mine = np.array([reviewer in keys for keys in label_by])
        there = mine | others
        tests[reviewer] = [_test(reviewer, "", mine, there, any_N)]
        if mine.sum() >= policy.minimum_labels:
            for k, code in enumerate(diagnoses):
                for has, told in ((False, "left out"), (True, "named")):
                    asked = there & np.asarray((targets[:, k] > 0) == has)
                    tests[reviewer].append(_test(reviewer, f"{code} {told}", mine, asked, suspicious[:, k]))
    shown = _significant([t for of in tests.values() for t in of if _says_something(t, policy)], policy)
    for reviewer, (whole, *_) in tests.items():
        said = _said(whole, [t for t in shown if t.reviewer == reviewer])
        yield ReviewerShare(
            reviewer,
            whole.labels,
            whole.suspicious,
            _wilson(whole.suspicious, whole.labels),
            round(whole.others, 4),
            said,
        )


def _said(whole: _Test, shown: Sequence[_Test]) -> str:
    """Why a reviewer is named, with the diagnosis that it shows in most; empty where nothing is shown."""
    if not shown:
        return ""
    most = max((t for t in shown if t.about), key=lambda t: t.share - t.others, default=None)
    closer = f"; most of all {most.about}: {most.counts}" if most else ""
    return f"labels by {whole.reviewer} are suspicious {whole.counts}{closer}"


def _test(reviewer: str, about: str, mine: np.ndarray, asked: np.ndarray, found: np.ndarray) -> _Test:
    counts = [int(n) for who in (mine, ~mine) for n in ((who & asked).sum(), (who & asked & found).sum())]
    return _Test(reviewer, about, *counts)


def _says_something(test: _Test, policy: Noise) -> bool:
    return test.labels >= policy.minimum_labels and test.other_labels >= policy.minimum_labels


def _significant(tests: Sequence[_Test], policy: Noise) -> list[_Test]:
    """The tests that hold though there are so many, the clearest first."""
    ordered = sorted((test.p, n) for n, test in enumerate(tests))
    held: list[_Test] = []
    for turn, (p, n) in enumerate(ordered):
        if p * (len(ordered) - turn) > policy.error:
            break
        held.append(tests[n])
    return [test for test in held if test.share - test.others > policy.margin]


def _wilson(found: int, of: int) -> Estimate:
    from scipy.stats import binomtest

    interval = binomtest(found, of).proportion_ci(method="wilson")
    return Estimate(found / of, float(interval.low), float(interval.high))
