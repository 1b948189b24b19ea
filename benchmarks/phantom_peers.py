"""What others would do with the phantom's cases and the same frozen tokens.

Late fusion of gradient boosting on frozen embeddings is how HAIM does it: Soenksen et al., 2022 (npj Digit. Med. 5).
Shapes: N cases, D features, K diagnoses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.phantom_study import MODALITIES, Study, trained
from clinical_mm.training.split import Split


def answers_of_peers(study: Study, parts: Split, rows: Sequence[int], seed: int) -> dict[str, np.ndarray]:
    """What others would do: one modality alone; the same frozen tokens' means side by side, into boosting or an MLP."""
    alone = {name: study.only(name) for name in MODALITIES}
    singles = {
        f"{name} alone": trained(one, one.config, seed, one.with_something(parts)).logits(rows)
        for name, one in alone.items()
    }
    return singles | _shallow_peers(study, parts, rows, seed)


def _shallow_peers(study: Study, parts: Split, rows: Sequence[int], seed: int) -> dict[str, np.ndarray]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, targets = _features(study), study.prepared.data.targets
    teach = [*parts.train, *parts.validation]

    def boosting() -> HistGradientBoostingClassifier:
        return HistGradientBoostingClassifier(max_depth=3, learning_rate=0.05, max_iter=150, random_state=seed)

    def perceptron() -> Any:
        network = MLPClassifier((64,), alpha=1.0, early_stopping=True, random_state=seed)
        return make_pipeline(SimpleImputer(add_indicator=True), StandardScaler(), network)

    def answers(make: Callable[[], Any], x: np.ndarray) -> np.ndarray:
        each = [make().fit(x[teach], targets[teach, k]).predict_proba(x[rows])[:, 1] for k in range(targets.shape[1])]
        return np.stack(each, 1)

    side_by_side = np.concatenate(list(features.values()), axis=1)
    return {
        "gradient boosting on frozen embeddings side by side (HAIM)": answers(boosting, side_by_side),
        "late fusion: a gradient boosting a modality, log-odds averaged": np.mean(
            [_log_odds(answers(boosting, features[name])) for name in MODALITIES], axis=0
        ),
        "concatenation MLP on frozen embeddings": answers(perceptron, side_by_side),
    }


def _features(study: Study) -> dict[str, np.ndarray]:
    """``float[N, D]`` of each modality: mean token of image and note, the vitals as they are; NaN where absent."""
    data, found = study.prepared.data, {}
    for name in ("imaging", "text"):
        tokens = data.tokens[name]
        empty = np.full(data.widths[name], np.nan)
        found[name] = np.stack([empty if t is None else t.states[t.mask].mean(0, dtype=np.float64) for t in tokens])
    vitals = [s["vitals"] for s in data.samples]
    empty = np.full(next(len(s["values"]) for s in vitals if s is not None), np.nan)
    rows = np.stack([empty if s is None else np.where(s["present"], s["values"], np.nan) for s in vitals])
    found["vitals"] = rows[:, ~np.isnan(rows).all(0)]
    return found


def _log_odds(p: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(p / (1 - p)))
