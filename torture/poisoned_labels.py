"""A reviewer's key that lies (target R13): are models promoted that have learned from its labels?

Five keys review phantom cases, each through its own calls. One of them is in other hands: it turns verdicts (whether
one diagnosis holds) round, in the cases that later judge as well. The gate is at its boldest (``better: promote``), the
label policy as it comes along. A challenger is *poisoned* when a single label that was turned has taught it, chosen it
or judged it, however good it is. Beside each stands a control: the same cases, nobody lies.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from api.access.service import Role
from api.settings import Settings
from clinical_mm.case import Case, Patient
from clinical_mm.phantom import DIAGNOSES as DRAWN
from clinical_mm.phantom.measurements import draw_vitals
from clinical_mm.phantom.model import AGE_DEVIATION, MEAN_AGE, OLDEST, STATES, YOUNGEST, prior
from clinical_mm.phantom.wording import draw_note
from torture.outcome import Outcome
from torture.service import listening

TITLE = "One reviewer's key turns labels round (R13)"
KEYS, UNSEEN = 5, 400
LIAR, HONEST = 0, "nobody lies"
DIAGNOSES = ("pneumonia", "pleural-effusion", "heart-failure")
"""Those of the phantom's that note and vitals tell well without a film."""
POLICY = "outcomes: {better: promote}\n"
SMALL: Mapping[str, Any] = {
    "alignment.epochs": 0,
    "modalities": {"words": {"width": 24, "run": 2, "dropout": 0.5}, "vitals": {"width": 24, "dropout": 0.2}},
    "fusion": {"name": "late", "options": {"width": 24, "dropout": 0.1}},
    "training.epochs": 16,
    "training.batch_size": 32,
    "training.learning_rate": 0.004,
    "training.token_dropout": 0.0,
    "training.judged_cases": 0,
    "training.test_fraction": 0.4,
    "training.class_weights": False,
}
"""Note as words and vitals, joined late: a training takes seconds."""
Truth = np.ndarray
"""``bool[N, K]``: which diagnoses hold."""
Turn = Callable[[Truth, np.random.Generator], tuple[np.ndarray, Truth]]
"""Gives whose case each is, ``int[N]``, and what its reviewer says, ``bool[N, K]``."""


def _alike(count: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(np.arange(count) % KEYS)


def honest(truth: Truth, rng: np.random.Generator) -> tuple[np.ndarray, Truth]:
    return _alike(len(truth), rng), truth.copy()


def one_in_twenty(truth: Truth, rng: np.random.Generator) -> tuple[np.ndarray, Truth]:
    """5 % of all verdicts: a quarter of those of a key that reviews a fifth."""
    who = _alike(len(truth), rng)
    return who, truth ^ ((who == LIAR)[:, None] & (rng.random(truth.shape) < 0.25))


def three_in_ten(truth: Truth, rng: np.random.Generator) -> tuple[np.ndarray, Truth]:
    """30 % of all verdicts: three quarters of those of a key that reviews two fifths."""
    who = np.where(rng.random(len(truth)) < 0.25, LIAR, _alike(len(truth), rng))
    return who, truth ^ ((who == LIAR)[:, None] & (rng.random(truth.shape) < 0.75))


def one_verdict_a_case(truth: Truth, rng: np.random.Generator) -> tuple[np.ndarray, Truth]:
    """5 % of all cases have one verdict turned, which is 1 % of all verdicts: the least that is called 5 %."""
    who, said = _alike(len(truth), rng), truth.copy()
    rows = np.flatnonzero((who == LIAR) & (rng.random(len(truth)) < 0.25))
    said[rows, rng.integers(truth.shape[1], size=len(rows))] ^= True
    return who, said


def never_pneumonia(truth: Truth, rng: np.random.Generator) -> tuple[np.ndarray, Truth]:
    """Targeted: the key leaves one diagnosis out of every label."""
    who, said = _alike(len(truth), rng), truth.copy()
    said[who == LIAR, DIAGNOSES.index("pneumonia")] = False
    return who, said


LIES: Mapping[str, Turn] = {
    "5 % of verdicts": one_in_twenty,
    "30 % of verdicts": three_in_ten,
    "one verdict in 5 % of cases": one_verdict_a_case,
    "pneumonia never named": never_pneumonia,
}


@dataclass(frozen=True)
class Plan:
    """How many cases come with a label and teach the champion, how many are reviewed, how often, which lies."""

    sent: int
    reviewed: int
    seeds: int
    lies: Sequence[str]


FULL = Plan(sent=100, reviewed=900, seeds=6, lies=tuple(LIES))
SHORT = Plan(sent=60, reviewed=400, seeds=1, lies=("5 % of verdicts",))


@dataclass(frozen=True)
class Trial:
    """What became of one challenger.

    Attributes:
        turned: labels turned round among those that taught, chose or judged it.
        better: whether the gate alone, without what speaks against the labels, would have promoted it.
        named: keys that the check of the labels names.
        reasons: what the policy said of it.
        worse: how much macro AUROC it loses to the champion on clean cases that nobody has seen; below 0 = it gains.
    """

    lie: str
    turned: int
    outcome: str
    promoted: bool
    better: bool
    named: tuple[str, ...]
    liar: str
    reasons: tuple[str, ...]
    worse: float


def run(short: bool = False) -> Outcome:
    plan = SHORT if short else FULL
    trials = []
    for seed in range(plan.seeds):
        for trial in tried(plan, seed):
            print(seed, trial.lie, trial.outcome, *trial.reasons, sep="; ", flush=True)
            trials.append(trial)
    return Outcome(_table(plan, trials), list(_faults(trials)))


def tried(plan: Plan, seed: int) -> Iterator[Trial]:
    """A champion of labels as sent, then a challenger of each lie, and one where nobody lies."""
    cases = list(without_images(plan.sent + plan.reviewed + UNSEEN, 1000 + seed))
    sent, reviewed = cases[: plan.sent], cases[plan.sent : -UNSEEN]
    unseen = cases[-UNSEEN:]
    with tempfile.TemporaryDirectory() as folder:
        ward = Path(folder) / "ward"
        with hospital(ward) as services:
            operator = services.access.operator()
            for case in sent:
                services.cases.submit_case(operator, case)
            services.training.foreground(operator, "small", SMALL)
        for lie in (HONEST, *plan.lies):
            copy = Path(folder) / "copy"
            shutil.copytree(ward, copy)
            yield challenged(copy, lie, LIES.get(lie, honest), reviewed, unseen, seed)
            shutil.rmtree(copy)


def without_images(count: int, seed: int) -> Iterator[Case]:
    """Phantom cases of note and vitals alone, from its own model: films would take most of the time."""
    rng = np.random.default_rng([seed, 13])
    for n in range(count):
        sex = "F" if rng.random() < 0.5 else "M"
        age = float(int(np.clip(rng.normal(MEAN_AGE, AGE_DEVIATION), YOUNGEST, OLDEST)))
        state = int(rng.choice(len(STATES), p=prior(age, sex == "M")))
        yield Case(
            external_id=f"synthetic-{seed}-{n:05d}",
            patient=Patient(f"synthetic-patient-{seed}-{n:05d}", sex, age),
            note=draw_note(rng, state, age, sex)[0],
            vitals=draw_vitals(rng, state, age, sex == "M"),
            diagnoses=tuple(
                code for code, there in zip(DRAWN, STATES[state], strict=False) if there and code in DIAGNOSES
            ),
        )


def challenged(
    workspace: Path, lie: str, turn: Turn, cases: Sequence[Case], unseen: Sequence[Case], seed: int
) -> Trial:
    """Cases come in without a label, are reviewed over HTTP by the five keys, and teach a challenger."""
    truth = np.array([[code in (case.diagnoses or ()) for code in DIAGNOSES] for case in cases])
    who, said = turn(truth, np.random.default_rng([seed, len(lie)]))
    with hospital(workspace) as services, listening(services) as url:
        operator = services.access.operator()
        champion = services.models.serving_id(operator.project_id)
        keys = [services.access.create_key(operator, Role.CLINICIAN, f"Dr. {n}") for n in range(KEYS)]
        clients = [
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=60) for _, secret in keys
        ]
        turned = set()
        for case, reader, verdict, right in zip(cases, who, said, truth, strict=True):
            stored = services.cases.submit_case(operator, replace(case, diagnoses=None)).id
            named = [code for code, holds in zip(DIAGNOSES, verdict, strict=True) if holds]
            review = {"verdict": "override", "diagnoses": named}
            clients[reader].post(f"/v1/cases/{stored}/reviews", json=review).raise_for_status()
            if (verdict != right).any():
                turned.add(stored)
        for client in clients:
            client.close()
        model = services.training.foreground(operator, "small", SMALL)
        decision = services.promotions.of_model(operator, model.id)
        used = [row for row in services.models.manifest(model.id).cases if row.part != "left_out"]
        noise = model.card["labels"]["noise"]
        return Trial(
            lie,
            len(turned & {row.case for row in used}),
            decision.outcome,
            services.models.serving_id(operator.project_id) == model.id,
            decision.reasons[0].startswith("better"),
            tuple(one["reviewer"] for one in noise["reviewers"] if one["said"]),
            keys[LIAR][0].id,
            tuple(decision.reasons),
            _lost(services, champion, model.id, unseen),
        )


@contextmanager
def hospital(workspace: Path) -> Iterator[Any]:
    """The services over a workspace of its own, with the bold policy."""
    from api.ground.migrate import upgrade
    from api.services import build

    workspace.mkdir(parents=True, exist_ok=True)
    policy = workspace / "promotion.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    settings = Settings(
        _env_file=None, workspace=workspace, promotion_policy=policy, embedded_worker=False, device="cpu"
    )
    upgrade(settings)
    services = build(settings)
    try:
        yield services
    finally:
        services.close()


def _lost(services: Any, champion: str, challenger: str, cases: Sequence[Case]) -> float:
    from clinical_mm.evaluation.metrics import auroc, macro
    from clinical_mm.promotion.contest import contest_of

    sides = [services.models.predictor(model) for model in (champion, challenger)]
    contest = contest_of(*sides, cases)
    old, new = (macro(auroc)(contest.targets, side.probabilities) for side in (contest.champion, contest.challenger))
    return old - new


def _faults(trials: Sequence[Trial]) -> Iterator[str]:
    for one in trials:
        if one.promoted and one.turned:
            yield f"promoted, though {one.turned} labels were turned round ({one.lie})"
    control = [one for one in trials if not one.turned]
    if not any(one.promoted for one in control):
        yield "no challenger was promoted where nobody lies, so the zero tells nothing"


def _table(plan: Plan, trials: Sequence[Trial]) -> str:
    from clinical_mm.watching.rule import Agreement

    def told(found: int, of: int) -> str:
        interval = Agreement.of(found, of)
        return f"{found} of {of} [{interval.low:.0%} to {interval.high:.0%}]"

    rows = []
    for lie in (HONEST, *plan.lies):
        some = [one for one in trials if one.lie == lie]
        liar = sum(one.liar in one.named for one in some)
        others = sum(bool(set(one.named) - {one.liar}) for one in some)
        cells = (
            f"{np.mean([one.turned for one in some]):.0f}",
            told(sum(one.promoted for one in some), len(some)),
            f"{sum(one.better for one in some)}",
            f"{liar}" if lie != HONEST else "-",
            f"{others}" if lie != HONEST else f"{sum(bool(one.named) for one in some)}",
            f"{np.mean([one.worse for one in some]):+.3f}",
        )
        rows.append(f"| {lie} | {' | '.join(cells)} |")
    return "\n".join(
        [
            f"{plan.sent} phantom cases with a label teach the champion; {plan.reviewed} more, note and vitals, are "
            f"reviewed by {KEYS} keys and teach the challenger with them; two fifths of all judge. {plan.seeds} seeds.",
            "",
            "| who lies | labels turned | promoted | the gate alone would | key named | another named | AUROC lost |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Labels turned: those among them that taught, chose or judged. Promoted: with 95 % interval (Wilson). "
            "AUROC lost: champion minus challenger on clean cases that neither has seen; below 0 = it is better.",
        ]
    )
