"""Explaining (target S5): our adaptive joint account beside Captum integrated gradients of 50 steps, and its error."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from torch import Tensor

from clinical_mm.case import Case
from clinical_mm.config import ModelConfig
from clinical_mm.explaining.marginal import marginals, repeated
from clinical_mm.explaining.question import Question
from clinical_mm.importing.folder import write_folder
from clinical_mm.phantom import draw
from clinical_mm.predictor import Predictor, load_model
from clinical_mm.training.run import train

TITLE = "Explaining (S5)"
CASES = 20


def run() -> str:
    with tempfile.TemporaryDirectory() as folder:
        write_folder((d.case for d in draw(120, seed=0)), Path(folder) / "snapshot")
        config = ModelConfig.load("small", {"training.epochs": 8})
        made = train(config, Path(folder) / "snapshot", Path(folder) / "out", device="cpu", progress=lambda _: None)
        model = load_model(made.folder, "cpu")
    drawn = [d.case for d in draw(200, seed=1) if d.case.images and d.case.note and d.case.vitals][:CASES]
    errors = [model.explain(case).completeness_error for case in drawn]
    ours = statistics.median(timed(model, case) for case in drawn)
    plain = statistics.median(fixed_steps(model, case) for case in drawn)
    return "\n".join(
        [
            f"Small model, {CASES} synthetic cases with image, note and vitals; medians.",
            "",
            "| what | figure |",
            "|---|---|",
            f"| adaptive steps, completeness error <= 1 %, ms | {ours * 1000:.0f} |",
            f"| Captum, 50 steps, ms | {plain * 1000:.0f} |",
            f"| ratio (target <= 0.12) | {ours / plain:.2f} |",
            f"| completeness error, median / worst | {statistics.median(errors):.2%} / {max(errors):.2%} |",
            f"| cases within 1 % | {sum(e <= 0.01 for e in errors)} of {len(errors)} |",
        ]
    )


def timed(model: Predictor, case: Case) -> float:
    started = time.perf_counter()
    model.explain(case)
    return time.perf_counter() - started


def fixed_steps(model: Predictor, case: Case) -> float:
    """Captum's integrated gradients as it comes: 50 steps over pixels, word embeddings and values together."""
    from captum.attr import IntegratedGradients

    started = time.perf_counter()
    question = Question(model, case, model.predict([case])[0].diagnoses[0].code)
    parts = list(marginals(question))

    def log_odds(*inputs: Tensor) -> Tensor:
        tokens = {
            part.name: part.encoder.tokens(values, repeated(part.batch, len(values)))
            for part, values in zip(parts, inputs, strict=True)
        }
        return question.log_odds({**question.tokens, **tokens}, [frozenset(question.there)] * len(inputs[0]))

    with model.lock:
        IntegratedGradients(log_odds).attribute(
            tuple(part.inputs for part in parts),
            tuple(part.baseline for part in parts),
            n_steps=50,
            internal_batch_size=16,
        )
    return time.perf_counter() - started


if __name__ == "__main__":
    print(run())
