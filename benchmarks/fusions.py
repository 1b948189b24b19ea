"""Every fusion on the same frozen tokens, seeds and cases, beside its peers; each subset of modalities against Bayes.

Shapes: N test cases, K diagnoses.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.phantom_peers import answers_of_peers
from benchmarks.phantom_study import MODALITIES, SUBSETS, Study, freeze_images, mean_auroc, scores, trained
from clinical_mm.config import FusionConfig, ModelConfig
from clinical_mm.evaluation.calibration import fit_calibration
from clinical_mm.evaluation.metrics import expected_calibration_error
from clinical_mm.fusion import known_fusions
from clinical_mm.training.fit import Fit
from clinical_mm.training.split import Split

TITLE = "Fusions against the Bayes posterior (A1-A4)"
CASES, SEEDS = 3000, 5
RESAMPLES = 1000
OURS = "cross_attention"
SIMPLE = {"width": 64, "dropout": 0.2}
Subset = tuple[str, ...]


@dataclass
class Found:
    """Logits or scores ``[N, K]`` of every side, one a seed; ``bayes`` is the posterior of each subset."""

    targets: np.ndarray
    bayes: dict[Subset, np.ndarray]
    fusions: dict[str, dict[Subset, list[np.ndarray]]] = field(default_factory=dict)
    peers: dict[str, list[np.ndarray]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    calibration: list[Calibrated] = field(default_factory=list)

    def share(self, answers: Sequence[np.ndarray], subset: Subset = SUBSETS[0]) -> float:
        """Mean over seeds of the AUROC as a share of Bayes'."""
        best = mean_auroc(self.targets, self.bayes[subset])
        return float(np.mean([mean_auroc(self.targets, x) / best for x in answers]))


@dataclass(frozen=True)
class Calibrated:
    """Calibration error without and with the temperature; coverage of the 90 % sets, whole and by class."""

    raw_error: float
    error: float
    coverage: float
    by_class: np.ndarray


def run() -> str:
    config = ModelConfig.load("small", {"training.epochs": 20, "training.batch_size": 32, "alignment.epochs": 0})
    study = Study.of(config, CASES)
    parts = study.split()
    freeze_images(study, parts)
    rows = study.with_all(parts.test)
    found = Found(study.prepared.data.targets[rows], {subset: study.bayes(rows, subset) for subset in SUBSETS})
    for seed in range(SEEDS):
        for name in known_fusions():
            options = config.fusion.options if name == config.fusion.name else SIMPLE
            chosen = config.model_copy(update={"fusion": FusionConfig(name=name, options=options)})
            started = time.perf_counter()
            fit = trained(study, chosen, seed, parts)
            found.seconds.setdefault(name, []).append(time.perf_counter() - started)
            found.sizes[name] = sum(p.numel() for p in fit.network.fusion.parameters())
            for subset in SUBSETS:
                found.fusions.setdefault(name, {}).setdefault(subset, []).append(scores(fit, rows, subset))
            if name == OURS:
                found.calibration.append(_calibrated(fit, parts))
        for name, answer in answers_of_peers(study, parts, rows, seed).items():
            found.peers.setdefault(name, []).append(answer)
        print(f"seed {seed} done", flush=True)
    return table(found, len(parts.train))


def _calibrated(fit: Fit, parts: Split) -> Calibrated:
    """On the whole test part, with whatever modalities each case has."""
    validation, test = list(parts.validation), list(parts.test)
    calibration = fit_calibration(fit.logits(validation), fit.data.targets[validation], "co-occurring", 0.9)
    logits, targets = fit.logits(test), fit.data.targets[test]
    p = calibration.probabilities(logits)
    held = np.array([[k in calibration.prediction_set(row) for k in range(p.shape[1])] for row in p])
    return Calibrated(
        raw_error=expected_calibration_error(targets, 1 / (1 + np.exp(-logits))),
        error=expected_calibration_error(targets, p),
        coverage=float(held[targets > 0].mean()),
        by_class=np.array([held[targets[:, k] > 0, k].mean() for k in range(p.shape[1])]),
    )


def table(found: Found, taught: int) -> str:
    """Markdown of everything found."""
    titles = ["+".join(s) if len(s) < len(MODALITIES) else "all" for s in SUBSETS]
    best = [f"{mean_auroc(found.targets, found.bayes[s]):.3f}" for s in SUBSETS]
    lines = [
        f"{taught} training cases, {len(found.targets)} test cases with all modalities, one split, {SEEDS} seeds of "
        "the fusion. Image encoder taught on images alone, then frozen; three frozen layers of MiniLM; vitals learned: "
        "each side has the same tokens. AUROC, mean over diagnoses and seeds, as a share of the Bayes posterior's (for "
        "images an upper bound). A modality outside the subset is masked, the model is the same one.",
        "",
        f"| fusion | {' | '.join(titles)} | parameters | s |",
        f"|---|{'---|' * (len(SUBSETS) + 2)}",
        f"| *Bayes AUROC* | {' | '.join(best)} | | |",
    ]
    for name, by_subset in found.fusions.items():
        cells = " | ".join(f"{found.share(by_subset[s], s):.3f}" for s in SUBSETS)
        lines.append(f"| {name} | {cells} | {found.sizes[name]:,} | {np.mean(found.seconds[name]):.0f} |")
    lines += ["", "| peer, trained by itself | share of Bayes with everything |", "|---|---|"]
    lines += [f"| {name} | {found.share(answers):.3f} |" for name, answers in found.peers.items()]
    return "\n".join([*lines, *_differences(found), *_calibration(found.calibration)])


def _differences(found: Found) -> list[str]:
    whole = SUBSETS[0]
    ours = found.fusions[OURS][whole]
    others = {name: f[whole] for name, f in found.fusions.items() if name != OURS} | found.peers
    lines = [
        "",
        f"{OURS} minus the other, AUROC, everything present; 95 % bootstrap over patients and seeds, paired:",
        "",
    ]
    lines += ["| other | difference | so |", "|---|---|---|"]
    for name, other in others.items():
        value, low, high = _difference(ours, other, found.targets)
        so = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
        lines.append(f"| {name} | {value:+.4f} [{low:+.4f} to {high:+.4f}] | {so} |")
    return lines


def _calibration(each: Sequence[Calibrated]) -> list[str]:
    by_class = np.mean([c.by_class for c in each], axis=0)
    return [
        "",
        f"Calibration (A4), {OURS}, the whole test part with a tenth of each modality missing, mean over seeds: "
        f"expected calibration error {np.mean([c.error for c in each]):.3f} (target <= 0.03; before the temperature "
        f"{np.mean([c.raw_error for c in each]):.3f}), coverage of the 90 % sets "
        f"{np.mean([c.coverage for c in each]):.3f} (target 0.88-0.92), by diagnosis "
        f"{', '.join(f'{share:.3f}' for share in by_class)}.",
    ]


def _difference(
    ours: Sequence[np.ndarray], other: Sequence[np.ndarray], targets: np.ndarray
) -> tuple[float, float, float]:
    """Mean over seeds and its interval, resampled over patients and seeds together."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        rows, seed = rng.integers(len(targets), size=len(targets)), int(rng.integers(len(ours)))
        drawn.append(mean_auroc(targets[rows], ours[seed][rows]) - mean_auroc(targets[rows], other[seed][rows]))
    value = np.mean([mean_auroc(targets, a) - mean_auroc(targets, b) for a, b in zip(ours, other, strict=True)])
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(value), float(low), float(high)


if __name__ == "__main__":
    print(run())
