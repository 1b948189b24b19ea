"""How many labelled cases alignment on unlabelled ones saves: AUROC as a share of Bayes over the number of labels."""

from __future__ import annotations

import numpy as np

from benchmarks.phantom_study import SUBSETS, Study, aligned, mean_auroc, scores, trained
from clinical_mm.config import ModelConfig

TITLE = "Labelled cases that alignment saves"
CASES, SEEDS, LABELLED = 3000, 2, (50, 100, 200, 500, 1000, 2000)
EPOCHS_OF_ALIGNMENT = 12


def run() -> str:
    config = ModelConfig.load("small", {"training.epochs": 20, "training.batch_size": 16, "alignment.epochs": 0})
    with_alignment = config.model_copy(
        update={"alignment": config.alignment.model_copy(update={"epochs": EPOCHS_OF_ALIGNMENT})}
    )
    study = Study.of(config, CASES)
    rows = list(study.prepared.parts.test)
    targets = study.prepared.data.targets[rows]
    best = mean_auroc(targets, study.bayes(rows, SUBSETS[0]))
    starts = {seed: aligned(study, with_alignment, seed) for seed in range(SEEDS)}
    lines = [
        f"{len(study.split().train)} cases outside validation and test, of which so many keep their label (a sixth of "
        f"them chooses, the others teach); all are aligned on. {len(rows)} test cases as they are, a tenth of each "
        f"modality missing. AUROC as a share of the Bayes posterior's {best:.3f}; mean of {SEEDS} seeds (each).",
        "",
        "| labelled | without alignment | with alignment | difference |",
        "|---|---|---|---|",
    ]
    curve: list[tuple[float, float]] = []
    for count in LABELLED:
        plain, helped = [], []
        for seed, start in starts.items():
            parts = study.split(count, seed)
            for shares, chosen, weights in ((plain, config, None), (helped, with_alignment, start)):
                fit = trained(study, chosen, seed, parts, weights)
                shares.append(mean_auroc(targets, scores(fit, rows, SUBSETS[0])) / best)
        lines.append(f"| {count} | {_told(plain)} | {_told(helped)} | {np.mean(helped) - np.mean(plain):+.3f} |")
        print(lines[-1], flush=True)
        curve.append((float(np.mean(plain)), float(np.mean(helped))))
    return "\n".join([*lines, "", *_saved(curve)])


def _saved(curve: list[tuple[float, float]]) -> list[str]:
    """How many labels would give without alignment what fewer give with it, read off the curve between its points."""
    plain = np.maximum.accumulate([without for without, _ in curve])
    told = []
    for count, (_, share) in zip(LABELLED, curve, strict=True):
        labels = np.exp(np.interp(share, plain, np.log(LABELLED)))
        beyond = "more than " if share > plain[-1] else ""
        told.append(f"{count} labels do what {beyond}{labels:.0f} do without it")
    return [f"With alignment {'; '.join(told)} (log-linear between the points, means of {SEEDS} seeds, no interval)."]


def _told(shares: list[float]) -> str:
    return f"{np.mean(shares):.3f} ({', '.join(f'{s:.3f}' for s in shares)})"


if __name__ == "__main__":
    print(run())
