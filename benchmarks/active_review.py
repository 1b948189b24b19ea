"""How many labels the order of review saves: a pool of unlabelled phantom cases, labelled a round at a time.

Each round trains a fresh model on what is labelled so far, weighs what is not, and asks for the labels of the first
cases of the order. The learner is handed the labels that were asked for and no others: the rest are NaN.
Shapes: N cases, M modalities, K diagnoses, T test cases, R bootstrap samples, S seeds, L rounds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from api.predictions.doubt import uncertainty
from benchmarks.phantom_study import Study, trained
from clinical_mm.config import ModelConfig
from clinical_mm.evaluation.calibration import Calibration, fit_calibration
from clinical_mm.evaluation.metrics import Bootstrap, Estimate, auroc, macro
from clinical_mm.information import information
from clinical_mm.places import Places
from clinical_mm.training.data import TrainingData
from clinical_mm.training.fit import Fit
from clinical_mm.training.split import Split

TITLE = "Labels that the order of review saves"
KIND, COVERAGE = "co-occurring", 0.9
DRAWN = 1
"""The seed of the cases; how the parts of information are joined was chosen on those of seed 0."""
CHOOSES = 6
"""One in so many labelled cases chooses the epoch, as in training from stored cases; the others teach."""
RESAMPLES = 200
mean_auroc = macro(auroc)


@dataclass(frozen=True)
class Plan:
    """How much of it: cases drawn (two fifths of them judge), labels at the start, a round's, and in the end."""

    cases: int
    start: int
    step: int
    most: int
    seeds: int
    epochs: int

    @property
    def labels(self) -> list[int]:
        """How many labels there are in each round."""
        return list(range(self.start, self.most + 1, self.step))

    @property
    def config(self) -> ModelConfig:
        """The small configuration without its image and language model: note as words, and vitals, joined late."""
        modalities = {"words": {"width": 48, "run": 1, "dropout": 0.6}, "vitals": {"width": 48, "dropout": 0.3}}
        training = {"epochs": self.epochs, "patience": 6, "batch_size": 32, "token_dropout": 0.0, "weight_decay": 0.1}
        training |= {"modality_dropout": 0.3, "test_fraction": 0.4}
        fusion = {"name": "late", "options": {"width": 48, "dropout": 0.2}}
        told = {"modalities": modalities, "fusion": fusion, "alignment.epochs": 0}
        return ModelConfig.load("small", {**told, **{f"training.{name}": value for name, value in training.items()}})


FULL = Plan(cases=2750, start=100, step=100, most=800, seeds=8, epochs=20)
QUICK = Plan(cases=150, start=30, step=15, most=60, seeds=2, epochs=2)


@dataclass(frozen=True)
class Weighed:
    """What is known of each unlabelled case: ``p_NK``, ``alone_NMK`` of each modality, likeness to the labelled."""

    p_NK: np.ndarray
    alone_NMK: np.ndarray
    similarity_N: np.ndarray


def at_random(cases: Weighed, rng: np.random.Generator) -> np.ndarray:
    return rng.random(len(cases.p_NK))


def most_uncertain(cases: Weighed, _: np.random.Generator) -> np.ndarray:
    return np.array([uncertainty(p_K.tolist()) for p_K in cases.p_NK])


def most_to_learn_from(cases: Weighed, _: np.random.Generator) -> np.ndarray:
    return np.array([one.score for one in information(cases.p_NK, cases.alone_NMK, cases.similarity_N, KIND)])


ORDERS: dict[str, Callable[[Weighed, np.random.Generator], np.ndarray]] = {
    "random": at_random,
    "uncertainty": most_uncertain,
    "information": most_to_learn_from,
}
"""Name -> what is sorted by, the largest first; those but the first are orders of the worklist."""


@dataclass(frozen=True)
class Round:
    """Which rows had a label, which judged, and what the model taught by the labels says of those, ``[T, K]``."""

    labelled: tuple[int, ...]
    test: tuple[int, ...]
    p_TK: np.ndarray


@dataclass(frozen=True)
class Model:
    """A fit with its calibration."""

    fit: Fit
    calibration: Calibration

    def says(self, rows: Sequence[int], only: str | None = None) -> np.ndarray:
        """``p[N, K]`` of these cases, of one modality alone where named."""
        return self.calibration.probabilities(self.fit.logits(rows, None if only is None else (only,)))


def run(plan: Plan = FULL) -> str:
    study = Study.of(plan.config, plan.cases, DRAWN)
    runs = [followed(study, plan, seed) for seed in range(plan.seeds)]
    return told(study, plan, runs)


def followed(study: Study, plan: Plan, seed: int) -> dict[str, list[Round]]:
    """Every order from the same first labels on."""
    pool = study.with_something(study.prepared.parts)
    drawn = np.random.default_rng(seed).permutation([*pool.train, *pool.validation]).tolist()
    chooses = frozenset(drawn[::CHOOSES])
    test, first = pool.test, tuple(drawn[: plan.start])
    begun = taught(study, first, chooses, seed)
    found = {}
    for name, order in ORDERS.items():
        labelled, model, rng = first, begun, np.random.default_rng([seed, 1])
        rounds = [Round(labelled, test, model.says(test))]
        while len(labelled) < plan.most:
            left = [row for row in drawn if row not in set(labelled)]
            wanted = np.argsort(-order(weighed(model, left, labelled), rng), kind="stable")[: plan.step]
            labelled = (*labelled, *(left[i] for i in wanted))
            model = taught(study, labelled, chooses, seed)
            rounds.append(Round(labelled, test, model.says(test)))
        found[name] = rounds
        print(seed, name, [round(mean_auroc(targets_of(study, test), r.p_TK), 3) for r in rounds], flush=True)
    return found


def taught(study: Study, labelled: Sequence[int], chooses: frozenset[int], seed: int) -> Model:
    """A model that has learned from these cases alone."""
    data = with_labels_of(study, labelled)
    validation = tuple(row for row in labelled if row in chooses)
    parts = Split(tuple(row for row in labelled if row not in chooses), validation, ())
    fit = trained(replace(study, prepared=replace(study.prepared, data=data)), study.config, seed, parts)
    return Model(fit, fit_calibration(fit.logits(validation), data.targets[list(validation)], KIND, COVERAGE))


def with_labels_of(study: Study, rows: Sequence[int]) -> TrainingData:
    """The cases with the labels of these rows and NaN, which no training survives, in place of all others."""
    data = study.prepared.data
    targets = np.full_like(data.targets, np.nan)
    targets[list(rows)] = data.targets[list(rows)]
    return TrainingData(data.modalities, data.samples, targets)


def weighed(model: Model, rows: Sequence[int], labelled: Sequence[int]) -> Weighed:
    """What the model tells of cases without looking at a label of theirs."""
    there_NM = model.fit.data.present[list(rows)]
    alone = [model.says(rows, name) for name in model.fit.network.names]
    alone_NMK = np.where(there_NM[:, :, None], np.stack(alone, axis=1), np.nan)
    places = Places(tuple(map(str, labelled)), model.fit.places(labelled))
    similarity = places.similarity(model.fit.places(rows))
    assert similarity is not None
    return Weighed(model.says(rows), alone_NMK, similarity)


def targets_of(study: Study, rows: Sequence[int]) -> np.ndarray:
    return study.prepared.data.targets[list(rows)]


def told(study: Study, plan: Plan, runs: Sequence[Mapping[str, list[Round]]]) -> str:
    """The tables."""
    test = runs[0]["random"][0].test
    targets, labels = targets_of(study, test), plan.labels
    patients = [study.prepared.cases[row].patient.id for row in test]
    weights_RT = np.concatenate([np.ones((1, len(test))), Bootstrap(patients, RESAMPLES).weights_RN])
    curves = {name: [measured(targets, run[name], weights_RT) for run in runs] for name in ORDERS}
    best = mean_auroc(targets, study.bayes(test, ("text", "vitals")))
    pool = len(study.prepared.cases) - len(study.prepared.parts.test)
    lines = [
        f"{pool} phantom cases to choose from, {plan.start} at random with a label, then {plan.step} more a round; "
        f"{len(test)} other cases judge, the same for all. The small configuration on note (as words) and vitals "
        f"alone, joined late, trained anew each round; mean of {plan.seeds} seeds, which draw the first labels, the "
        f"weights and the random order. The Bayes posterior reaches {best:.3f}.",
        "",
        "| labels | " + " | ".join(f"{name}: AUROC, log loss" for name in ORDERS) + " |",
        "|---" * (1 + len(ORDERS)) + "|",
    ]
    for turn, count in enumerate(labels):
        cells = (np.mean([c[:, turn, 0] for c in curves[name]], axis=0) for name in ORDERS)
        lines.append(f"| {count} | " + " | ".join(f"{a:.4f}, {-b:.4f}" for a, b in cells) + " |")
    lines += ["", *compared(labels, {name: np.stack(found) for name, found in curves.items()})]
    return "\n".join(lines)


def measured(targets: np.ndarray, rounds: Sequence[Round], weights_RT: np.ndarray) -> np.ndarray:
    """``float[2, L, R]``: macro AUROC and log likelihood a label of each round; more is better of both."""
    found = []
    for one in rounds:
        p = np.clip(one.p_TK, 1e-6, 1 - 1e-6)
        likelihood_T = (targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean(1)
        found.append((mean_auroc.over(targets, p, weights_RT), weights_RT @ likelihood_T / weights_RT.sum(1)))
    return np.array(found).transpose(1, 0, 2)


def compared(labels: Sequence[int], curves: Mapping[str, np.ndarray]) -> list[str]:
    """Each order against random; curves ``[S, 2, L, R]``, whose first sample is the cases as they are."""
    seeds, samples = len(curves["random"]), curves["random"].shape[-1]
    chosen = np.random.default_rng(0).integers(seeds, size=(samples, seeds))
    chosen[0] = np.arange(seeds)
    means = {
        name: np.stack([curve[chosen[r], :, :, r].mean(0) for r in range(samples)]) for name, curve in curves.items()
    }
    lines = [
        "| order | by | labels for random's last score | labels saved, times | mean gain over the rounds |",
        "|---" * 5 + "|",
    ]
    for name in list(curves)[1:]:
        for m, by in enumerate(("AUROC", "log loss")):
            usual_RL, ours_RL = means["random"][:, m], means[name][:, m]
            ratio = [saved(labels, usual, ours) for usual, ours in zip(usual_RL, ours_RL, strict=True)]
            gain = (ours_RL - usual_RL)[:, 1:].mean(1)
            enough = needed(labels, ours_RL[0], usual_RL[0, -1])
            lines.append(
                f"| {name} | {by} | {'not reached' if enough is None else f'{enough:.0f}'} of {labels[-1]} | "
                f"{_interval(ratio, '.2f')} | {_interval(gain, '+.4f')} |"
            )
    return [
        *lines,
        "",
        "Labels saved: random's number over the order's, for the same score. More is better in both last columns (a "
        "gain in log loss is a fall). 95 % intervals: bootstrap over seeds and test cases, the same ones for both; "
        "labels are read off the mean curve, best score so far, log-linear between rounds. Where an order ends below "
        "random, both are read at the order's last score, and less than 1 is saved.",
    ]


def saved(labels: Sequence[int], usual: np.ndarray, ours: np.ndarray) -> float:
    """How many labels the usual order needs for one of ours, for the last score that both reach."""
    goal = min(usual[-1], ours[-1])
    there, here = needed(labels, usual, goal), needed(labels, ours, goal)
    assert there is not None
    assert here is not None
    return there / here


def needed(labels: Sequence[int], curve: np.ndarray, goal: float) -> float | None:
    """How many labels reach a score; None where the curve does not."""
    best = np.maximum.accumulate(curve)
    if best[-1] < goal:
        return None
    turn = int(np.argmax(best >= goal))
    if turn == 0:
        return float(labels[0])
    share = (goal - best[turn - 1]) / (best[turn] - best[turn - 1])
    low, high = np.log(labels[turn - 1]), np.log(labels[turn])
    return float(np.exp(low + share * (high - low)))


def _interval(drawn: Sequence[float] | np.ndarray, form: str) -> str:
    found = Estimate.of(float(drawn[0]), np.asarray(drawn[1:]))
    return f"{found.value:{form}} [{found.low:{form}} to {found.high:{form}}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.active_review", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few cases, two epochs: whether it runs, not what it tells"
    )
    print(run(QUICK if parser.parse_args().quick else FULL))
