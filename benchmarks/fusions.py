"""Every fusion on the same frozen tokens, seeds and cases; each subset of modalities against Bayes."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from benchmarks.phantom_study import MODALITIES, SUBSETS, Study, freeze_images, mean_auroc, scores, trained
from clinical_mm.config import FusionConfig, ModelConfig
from clinical_mm.evaluation.calibration import fit_calibration
from clinical_mm.evaluation.metrics import expected_calibration_error
from clinical_mm.fusion import known_fusions
from clinical_mm.training.split import Split

TITLE = "Fusions against the Bayes posterior (A1-A4)"
CASES, SEEDS = 3000, 5
RESAMPLES = 1000


def run() -> str:
    config = ModelConfig.load("small", {"training.epochs": 20, "training.batch_size": 32})
    study = Study.of(config, CASES)
    rows = study.with_all(study.prepared.parts.test)
    targets = study.prepared.data.targets[rows]
    bayes = {subset: study.bayes(rows, subset) for subset in SUBSETS}
    found: dict[str, dict[tuple[str, ...], list[np.ndarray]]] = {}
    seconds: dict[str, list[float]] = {}
    sizes: dict[str, int] = {}
    errors, coverages = [], []
    peers: dict[str, list[np.ndarray]] = {}
    for seed in range(SEEDS):
        parts = study.split(seed)
        freeze_images(study, seed, parts)
        for name in known_fusions():
            options = {"width": 64, **({"queries": 4, "layers": 2, "heads": 4} if name == "cross_attention" else {})}
            chosen = config.model_copy(update={"fusion": FusionConfig(name=name, options=options)})
            started = time.perf_counter()
            fit = trained(study, chosen, seed, parts, freeze=("imaging",))
            seconds.setdefault(name, []).append(time.perf_counter() - started)
            sizes[name] = sum(p.numel() for p in fit.network.fusion.parameters())
            for subset in SUBSETS:
                found.setdefault(name, {}).setdefault(subset, []).append(scores(fit, rows, subset))
            if name == "cross_attention":
                error, coverage = _calibrated(fit, parts)
                errors.append(error)
                coverages.append(coverage)
        for name, answer in _peers(study, parts, rows).items():
            peers.setdefault(name, []).append(answer)
        print(f"seed {seed} done", flush=True)
    return _table(found, peers, bayes, targets, seconds, sizes, errors, coverages, len(study.split(0).train))


def _calibrated(fit: object, parts: Split) -> tuple[float, float]:
    """Expected calibration error and the coverage of 90 % sets on the test part."""
    from clinical_mm.training.fit import Fit

    assert isinstance(fit, Fit)
    validation, test = list(parts.validation), list(parts.test)
    calibration = fit_calibration(fit.logits(validation), fit.data.targets[validation], "co-occurring", 0.9)
    p, targets = calibration.probabilities(fit.logits(test)), fit.data.targets[test]
    held = [k in calibration.prediction_set(row) for row, t in zip(p, targets, strict=True) for k in np.nonzero(t)[0]]
    return expected_calibration_error(targets, p), float(np.mean(held))


def _peers(study: Study, parts: Split, rows: Sequence[int]) -> dict[str, np.ndarray]:
    """What others would do with the same frozen tokens: their means side by side, into boosting or a network."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, targets = _features(study), study.prepared.data.targets
    teach = [*parts.train, *parts.validation]
    makers = {
        "gradient boosting on frozen embeddings (as HAIM)": lambda: HistGradientBoostingClassifier(
            max_depth=3, learning_rate=0.05, max_iter=150
        ),
        "MLP on frozen embeddings side by side": lambda: make_pipeline(
            SimpleImputer(add_indicator=True), StandardScaler(), MLPClassifier((64,), alpha=1.0, early_stopping=True)
        ),
    }
    return {
        name: np.stack(
            [make().fit(features[teach], targets[teach, k]).predict_proba(features[rows])[:, 1] for k in range(5)], 1
        )
        for name, make in makers.items()
    }


def _features(study: Study) -> np.ndarray:
    """Mean token of image and note, and the vitals as they are; NaN where absent."""
    data = study.prepared.data
    columns = []
    for name in ("imaging", "text"):
        tokens = data.tokens[name]
        width = next(t[0].shape[1] for t in tokens if t is not None)
        columns.append(np.stack([np.full(width, np.nan) if t is None else t[0][t[1]].mean(0) for t in tokens]))
    vitals = [s["vitals"] for s in data.samples]
    width = next(len(s["values"]) for s in vitals if s is not None)
    empty = np.full(width, np.nan)
    columns.append(np.stack([empty if s is None else np.where(s["present"], s["values"], np.nan) for s in vitals]))
    joined = np.concatenate(columns, axis=1).astype(np.float64)
    return joined[:, ~np.isnan(joined).all(0)]


def _table(  # type: ignore[no-untyped-def]
    found, peers, bayes, targets, seconds, sizes, errors, coverages, taught
) -> str:
    best = {subset: mean_auroc(targets, bayes[subset]) for subset in SUBSETS}
    titles = ["+".join(s) if len(s) < len(MODALITIES) else "all" for s in SUBSETS]
    lines = [
        f"{taught} training cases, {len(targets)} test cases with all modalities, {SEEDS} seeds. Image encoder taught "
        "on images alone, then frozen; MiniLM frozen: each fusion has the same tokens. AUROC as a share of the Bayes "
        "posterior's (for images an upper bound), mean over seeds.",
        "",
        f"| fusion | {' | '.join(titles)} | parameters | s |",
        f"|---|{'---|' * (len(SUBSETS) + 2)}",
        f"| *Bayes AUROC* | {' | '.join(f'{best[s]:.3f}' for s in SUBSETS)} | | |",
    ]
    for name, by_subset in found.items():
        shares = [np.mean([mean_auroc(targets, x) for x in by_subset[s]]) / best[s] for s in SUBSETS]
        cells = " | ".join(f"{share:.3f}" for share in shares)
        lines.append(f"| {name} | {cells} | {sizes[name]:,} | {np.mean(seconds[name]):.0f} |")
    whole = SUBSETS[0]
    for name, answers in peers.items():
        share = np.mean([mean_auroc(targets, x) for x in answers]) / best[whole]
        lines.append(f"| {name} | {share:.3f} | {' | '.join([''] * (len(SUBSETS) - 1))} | | |")
    lines += [
        "",
        "Cross-attention minus the other, AUROC with everything present, 95 % paired bootstrap over patients:",
        "",
    ]
    lines += ["| other | difference |", "|---|---|"]
    ours = found["cross_attention"][whole]
    others = {n: f[whole] for n, f in found.items() if n != "cross_attention"} | peers
    singles = {s[0]: found["cross_attention"][s] for s in SUBSETS if len(s) == 1}
    single = max(singles, key=lambda n: np.mean([mean_auroc(targets, x) for x in singles[n]]))
    others[f"best single modality ({single})"] = singles[single]
    lines += [f"| {name} | {_difference(ours, other, targets)} |" for name, other in others.items()]
    lines += [
        "",
        f"Calibration (A4), cross-attention, all test cases: expected calibration error {np.mean(errors):.3f} "
        f"(target <= 0.03), coverage of the 90 % sets {np.mean(coverages):.3f} (target 0.88-0.92).",
    ]
    return "\n".join(lines)


def _difference(ours: Sequence[np.ndarray], other: Sequence[np.ndarray], targets: np.ndarray) -> str:
    """Mean over seeds, resampled over patients and seeds together."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        rows, seed = rng.integers(len(targets), size=len(targets)), int(rng.integers(len(ours)))
        drawn.append(mean_auroc(targets[rows], ours[seed][rows]) - mean_auroc(targets[rows], other[seed][rows]))
    value = np.mean([mean_auroc(targets, a) - mean_auroc(targets, b) for a, b in zip(ours, other, strict=True)])
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{value:+.4f} [{low:+.4f} to {high:+.4f}]"


if __name__ == "__main__":
    print(run())
