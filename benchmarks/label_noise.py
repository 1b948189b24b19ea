"""What a check of labels finds: phantom cases labelled by five keys, one of which turns verdicts round.

Found are verdicts (whether one diagnosis holds) of labels. Precision and recall of what is called suspicious; average
precision of the order by how unlikely a verdict is, beside a random order and the confidence of a plain model: the same
regressions where they have learned from every label, the one that they are asked about too. And whether the key is
named, or another, and whether anybody is where nobody lies.
Shapes: N cases, K diagnoses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clinical_mm.case import Case
from clinical_mm.evaluation.metrics import Estimate, average_precision
from clinical_mm.phantom import DIAGNOSES, draw
from clinical_mm.training.label_features import described
from clinical_mm.training.label_noise import STRENGTH, check_labels, confident, out_of_sample
from clinical_mm.training.label_policy import Noise
from clinical_mm.watching.rule import Agreement

TITLE = "Labels turned round by one reviewer, found before a training"
CASES, SEEDS, KEYS, LIAR = 1000, 10, 5, 0
DRAWN = 400
"""Seed of the cases; features and strength were chosen on those of seed 90."""
RESAMPLES = 500
Lie = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def nobody(truth: np.ndarray, _: np.ndarray, __: np.random.Generator) -> np.ndarray:
    return truth.copy()


def verdicts(share: float) -> Lie:
    """So many of the liar's verdicts are turned round."""

    def lie(truth: np.ndarray, liar_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return truth ^ (liar_N[:, None] & (rng.random(truth.shape) < share))

    return lie


def one_a_case(truth: np.ndarray, liar_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    said = truth.copy()
    rows = np.flatnonzero(liar_N & (rng.random(len(truth)) < 0.25))
    said[rows, rng.integers(truth.shape[1], size=len(rows))] ^= True
    return said


def never_pneumonia(truth: np.ndarray, liar_N: np.ndarray, _: np.random.Generator) -> np.ndarray:
    said = truth.copy()
    said[liar_N, DIAGNOSES.index("pneumonia")] = False
    return said


LIES: dict[str, tuple[float, Lie]] = {
    "nobody lies": (0.2, nobody),
    "5 % of verdicts": (0.2, verdicts(0.25)),
    "30 % of verdicts": (0.4, verdicts(0.75)),
    "one verdict in 5 % of cases": (0.2, one_a_case),
    "pneumonia never named": (0.2, never_pneumonia),
}
"""Name -> the liar's share of all cases, and what it does there."""


@dataclass(frozen=True)
class Found:
    """Of one seed: ``turned`` and ``suspicious`` ``bool[N, K]``, unlikeliness by each order, and who was named."""

    turned: np.ndarray
    suspicious: np.ndarray
    orders: dict[str, np.ndarray]
    named: tuple[str, ...]


def run(cases: int = CASES, seeds: int = SEEDS) -> str:
    drawn = [replace(one.case, id=f"case-{n}") for n, one in enumerate(draw(cases, DRAWN))]
    features = described(drawn)
    found = {name: [looked(drawn, features, name, seed) for seed in range(seeds)] for name in LIES}
    return told(cases, seeds, found)


def looked(cases: Sequence[Case], features: Any, name: str, seed: int) -> Found:
    share, lie = LIES[name]
    rng = np.random.default_rng([seed, 7])
    truth = np.array([[code in (case.diagnoses or ()) for code in DIAGNOSES] for case in cases])
    others = (1 - share) / (KEYS - 1)
    who = rng.choice(KEYS, len(cases), p=[share, *[others] * (KEYS - 1)])
    said = lie(truth, who == LIAR, rng)
    labelled = [
        replace(
            case, label_by=(f"key_{key}",), diagnoses=tuple(c for c, there in zip(DIAGNOSES, row, strict=True) if there)
        )
        for case, key, row in zip(cases, who, said, strict=True)
    ]
    noise = check_labels(labelled, [case.id for case in labelled], Noise(), features=features)
    place = {case.id: n for n, case in enumerate(cases)}
    suspicious = np.zeros(truth.shape, bool)
    for one in noise.suspects:
        suspicious[place[one.case], DIAGNOSES.index(one.diagnosis)] = True
    targets, patients = said.astype(float), [case.patient.id for case in cases]
    named = tuple(one.reviewer for one in noise.named)
    everyone, trusted = np.ones(len(cases), bool), np.array([f"key_{key}" not in named for key in who])
    orders = {
        "random": rng.random(truth.shape),
        "a plain model that learned the label": 1 - confidence(features, targets),
        "cross-validated": 1 - confident(targets, out_of_sample(features, targets, patients, everyone))[0],
        "the check": 1 - confident(targets, out_of_sample(features, targets, patients, trusted))[0],
    }
    return Found(said != truth, suspicious, orders, named)


def confidence(features: Any, targets: np.ndarray) -> np.ndarray:
    """How likely each verdict is to a regression that has learned from it."""
    from sklearn.linear_model import LogisticRegression

    fitted = [LogisticRegression(C=STRENGTH, max_iter=1000).fit(features, column) for column in targets.T]
    p = np.stack([model.predict_proba(features)[:, 1] for model in fitted], axis=1)
    return np.where(targets > 0, p, 1 - p)


def told(cases: int, seeds: int, found: dict[str, list[Found]]) -> str:
    orders = list(found["nobody lies"][0].orders)
    lines = [
        f"{cases} phantom cases with films, notes and vitals, {len(DIAGNOSES)} verdicts each, labelled by {KEYS} keys; "
        f"{seeds} seeds share them out and draw the lies. 5 % of verdicts: a quarter of those of a key with a fifth of "
        "the cases; 30 %: three quarters of those of a key with two fifths.",
        "",
        "| who lies | precision | recall | key named | another named |",
        "|---|---|---|---|---|",
    ]
    for name, some in found.items():
        lies = name != "nobody lies"
        liar, other = sum("key_0" in one.named for one in some), sum(bool(set(one.named) - {"key_0"}) for one in some)
        called = _over([_share(one.suspicious, np.ones_like(one.suspicious)) for one in some])
        precision = _over([_share(one.turned, one.suspicious) for one in some]) if lies else f"({called} called so)"
        recall = _over([_share(one.suspicious, one.turned) for one in some]) if lies else "-"
        anybody = sum(bool(one.named) for one in some)
        cells = (precision, recall, _of(liar, seeds) if lies else "-", _of(other if lies else anybody, seeds))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| average precision | " + " | ".join(orders) + " |", "|---" * (1 + len(orders)) + "|"]
    for name, some in found.items():
        if name != "nobody lies":
            cells = [_over([_average(one.turned, one.orders[order]) for one in some]) for order in orders]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(
        [
            *lines,
            "",
            "Precision, recall and average precision: mean over seeds, bootstrap over seeds (95 %); named: Wilson. The "
            "check: cross-validated, and what a named key has said teaches no regression.",
        ]
    )


def _share(of: np.ndarray, where: np.ndarray) -> float:
    return float(of[where].mean()) if where.any() else float("nan")


def _average(turned: np.ndarray, unlikely: np.ndarray) -> float:
    return average_precision(turned.ravel().astype(float), unlikely.ravel())


def _over(values: Sequence[float]) -> str:
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values))).mean(1)
    one = Estimate.of(float(np.mean(values)), drawn)
    return f"{one.value:.2f} [{one.low:.2f} to {one.high:.2f}]"


def _of(count: int, of: int) -> str:
    interval = Agreement.of(count, of)
    return f"{count} of {of} [{interval.low:.0%} to {interval.high:.0%}]"


if __name__ == "__main__":
    print(run())
