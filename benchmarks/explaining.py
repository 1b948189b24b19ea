"""Every explainer against the phantom's truth (E1-E4), by its own model (E5), and beside plain Captum (S5)."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm import tqdm

from clinical_mm.answers import Explanation
from clinical_mm.config import ModelConfig
from clinical_mm.explaining import DEFAULT, EXPLAINERS, explainer
from clinical_mm.explaining.base import Additive, Explainer, contributions
from clinical_mm.explaining.faithfulness import gain, judge
from clinical_mm.explaining.marginal import Marginal, marginals, repeated
from clinical_mm.explaining.question import Question
from clinical_mm.explaining.truth import AgainstTruth, against_truth
from clinical_mm.importing.folder import write_folder
from clinical_mm.modalities.base import one_span_a_word
from clinical_mm.phantom import draw
from clinical_mm.phantom.draw import PhantomCase
from clinical_mm.predictor import Predictor, load_model
from clinical_mm.training.run import train

TITLE = "Explaining (E1-E5, S5)"
TRAINED_ON, CASES, JUDGED, SEED = 400, 40, 8, 9
HEAD = f"""The small model trained on {TRAINED_ON} synthetic cases; {CASES} others with image, note and vitals (seed
{SEED}), asked for their most probable diagnosis; means with 95 % intervals and over how many cases.
E1: the heat map's peak lies inside a causing finding. E2: of the k words of most weight, those of causing sentences.
E3: rank correlation with each vital's own log-likelihood ratio. E4: mean absolute error of the modalities' shares.
E5: removal and insertion in the account's order, less that of random orders, log-odds, over {JUDGED} cases.
S5: time beside Captum's integrated gradients of 50 steps over all inputs at once, the first row."""


def run() -> str:
    model = trained()
    drawn = [d for d in draw(4 * CASES, SEED) if len(d.truth.evidence.present) == 3][:CASES]
    ways: list[Explainer] = [PlainCaptum()]
    ways += [way for name in EXPLAINERS if isinstance(way := explainer(name), Additive) and way.applies(model)]
    found: dict[str, list[tuple[Explanation, float]]] = {way.name: [] for way in ways}
    for item in tqdm(drawn, "explaining", leave=False):
        for way in ways:  # alternating, so that all see the same noise of the machine
            found[way.name].append(timed(way, _question(model, item)))
    judged = drawn[:JUDGED]
    gains = {row.method: row.gain for row in judge(model, [item.case for item in judged])}
    gains["plain_captum"] = tuple(PlainCaptum().gain(_question(model, item)) for item in judged)
    plain = statistics.median(seconds for _, seconds in found["plain_captum"])
    rows = [_row(name, accounts, drawn, plain, gains[name]) for name, accounts in found.items()]
    return "\n".join(
        [
            HEAD,
            "",
            "| explainer | E1 (aim 0.95) | E2 (0.9) | E3 (0.8) | E4 (0.1) | E5 (> 0) | error, worst | ms | S5 (0.12) |",
            "|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"By chance: E1 {_chance(found, drawn, 'pointing_chance')}, "
            f"E2 {_chance(found, drawn, 'precision_chance')}.",
        ]
    )


def trained() -> Predictor:
    with tempfile.TemporaryDirectory() as folder:
        write_folder((d.case for d in draw(TRAINED_ON, seed=0)), Path(folder) / "snapshot")
        made = train(
            ModelConfig.load("small"),
            Path(folder) / "snapshot",
            Path(folder) / "out",
            device="cpu",
            progress=lambda _: None,
        )
        return load_model(made.folder, "cpu")


class PlainCaptum(Explainer):
    """Captum's integrated gradients as it comes: 50 steps over pixels, word embeddings and values together."""

    name = "plain_captum"
    display = "Captum, 50 steps"

    def explain(self, question: Question) -> Explanation:
        """The account of the whole case at once, its sums taken as shares."""
        parts, found, start = self.attributions(question)
        told = [
            part.modality.evidence(question.case, part.batch, values) for part, values in zip(parts, found, strict=True)
        ]
        shares = {part.name: float(values.sum()) for part, values in zip(parts, found, strict=True)}
        missed = question.value - start - sum(shares.values())
        return Explanation(
            target=question.target,
            method=self.name,
            baseline_value=start,
            value=question.value,
            completeness_error=abs(missed) / max(abs(question.value - start), 0.1),
            contributions=tuple(type(c)(c.name, shares.get(c.name, 0.0)) for c in contributions(question, {})),
            text=one_span_a_word(span for one in told for span in one.text),
            vitals=tuple(vital for one in told for vital in one.vitals),
            images=tuple(image for one in told for image in one.images),
        )

    def gain(self, question: Question) -> float:
        """E5's measure."""
        parts, found, _ = self.attributions(question)
        return gain(question, {part.name: values for part, values in zip(parts, found, strict=True)})

    def attributions(self, question: Question) -> tuple[list[Marginal], list[Tensor], float]:
        """Of each modality, in the shape of its encoder's inputs; and the log-odds of the baseline."""
        from captum.attr import IntegratedGradients

        parts = list(marginals(question))

        def log_odds(*inputs: Tensor) -> Tensor:
            tokens = {
                part.name: part.encoder.tokens(values, repeated(part.batch, len(values)))
                for part, values in zip(parts, inputs, strict=True)
            }
            return question.log_odds({**question.tokens, **tokens}, [frozenset(question.there)] * len(inputs[0]))

        found = IntegratedGradients(log_odds).attribute(
            tuple(part.inputs for part in parts),
            tuple(part.baseline for part in parts),
            n_steps=50,
            internal_batch_size=16,
        )
        start = float(log_odds(*(part.baseline for part in parts)).detach())
        return parts, [values.detach() for values in found], start


def _question(model: Predictor, item: PhantomCase) -> Question:
    """Of the most probable diagnosis."""
    return Question(model, item.case, model.predict([item.case])[0].diagnoses[0].code)


def timed(way: Explainer, question: Question) -> tuple[Explanation, float]:
    started = time.perf_counter()
    with question.predictor.lock:
        account = way.explain(question)
    return account, time.perf_counter() - started


def _row(
    name: str,
    accounts: Sequence[tuple[Explanation, float]],
    drawn: Sequence[PhantomCase],
    plain: float,
    gain: Sequence[float],
) -> str:
    truths = [against_truth(account, item) for (account, _), item in zip(accounts, drawn, strict=True)]
    measures = [_told(_known(truths, measure)) for measure in ("pointing", "precision", "ranks", "shares")]
    seconds = statistics.median(taken for _, taken in accounts)
    worst = max(account.completeness_error for account, _ in accounts)
    figures = [*measures, _told(gain), f"{worst:.1%}", f"{seconds * 1000:.0f}", f"{seconds / plain:.2f}"]
    return f"| {name.replace('_', ' ')} | {' | '.join(figures)} |"


def _chance(found: dict[str, list[tuple[Explanation, float]]], drawn: Sequence[PhantomCase], measure: str) -> str:
    accounts = [account for account, _ in found[DEFAULT]]
    return _told(_known([against_truth(a, d) for a, d in zip(accounts, drawn, strict=True)], measure))


def _known(truths: Sequence[AgainstTruth], measure: str) -> list[float]:
    return [value for truth in truths if (value := getattr(truth, measure)) is not None]


def _told(values: Sequence[float]) -> str:
    """Mean with its 95 % interval by the normal approximation, and over how many cases."""
    if not values:
        return "-"
    half = 1.96 * float(np.std(values)) / len(values) ** 0.5
    return f"{np.mean(values):.2f} ± {half:.2f} ({len(values)})"


if __name__ == "__main__":
    print(run())
