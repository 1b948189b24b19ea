"""How many labelled cases alignment on unlabelled ones saves: AUROC as a share of Bayes over the number of labels."""

from __future__ import annotations

import numpy as np

from benchmarks.phantom_study import SUBSETS, Study, mean_auroc, scores, trained
from clinical_mm.config import ModelConfig

TITLE = "Labelled cases that alignment saves"
CASES, SEEDS, LABELLED = 3000, 2, (50, 100, 200, 500, 1000, 2000)
EPOCHS_OF_ALIGNMENT = 12


def run() -> str:
    config = ModelConfig.load("small", {"training.epochs": 20, "training.batch_size": 16})
    aligned = config.model_copy(
        update={"alignment": config.alignment.model_copy(update={"epochs": EPOCHS_OF_ALIGNMENT})}
    )
    study = Study.of(config, CASES)
    rows = list(study.prepared.parts.test)
    targets = study.prepared.data.targets[rows]
    best = mean_auroc(targets, study.bayes(rows, SUBSETS[0]))
    lines = [
        f"{len(study.split(0).train)} cases outside validation and test, of which so many keep their label; all are "
        f"aligned on. {len(rows)} test cases as they are (a tenth of each modality missing), {SEEDS} seeds. AUROC "
        f"as a share of the Bayes posterior's {best:.3f}.",
        "",
        "| labelled | without alignment | with alignment |",
        "|---|---|---|",
    ]
    for count in LABELLED:
        cells = []
        for chosen in (config, aligned):
            shares = []
            for seed in range(SEEDS):
                fit = trained(study, chosen, seed, study.split(seed, count))
                shares.append(mean_auroc(targets, scores(fit, rows, SUBSETS[0])) / best)
            cells.append(f"{np.mean(shares):.3f} ({', '.join(f'{s:.3f}' for s in shares)})")
        lines.append(f"| {count} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    print(run())
