"""Judging explainers by the model itself: which of them may be shown, and which best.

- gain: units (words, vitals, squares) are removed from the case, and put into an empty one, in the order of their
  attribution; the area between the two curves, less that of random orders, in log-odds. Above 0 = better than chance.
- sensitivity: how much the account changes, relative to its size, when the inputs change by noise too small to matter.
- randomised: how like the account is to that of the same network with its weights shuffled. An account that hardly
  changes does not tell of the model; such an explainer is not offered.
- agreement: rank correlation with the other explainers' accounts.

Source: deletion and insertion, Petsiuk et al., 2018 (arXiv:1806.07421); max-sensitivity, Yeh et al., 2019
(arXiv:1901.09392); randomised weights, Adebayo et al., 2018 (arXiv:1810.03292).
Shapes: U units of one modality, of all modalities one after the other where joined.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from clinical_mm.explaining import EXPLAINERS, explainer
from clinical_mm.explaining.base import Additive, missing, scale
from clinical_mm.explaining.marginal import Marginal, marginals
from clinical_mm.explaining.question import Question
from clinical_mm.modalities.base import Tokens

if TYPE_CHECKING:
    from clinical_mm.case import Case
    from clinical_mm.predictor import Predictor

MOST_ALIKE = 0.5
"""Mean rank correlation with the account of shuffled weights from which on an explainer is not offered."""
STEPS, RANDOM_ORDERS, NOISE, NOISY_DRAWS = 10, 4, 0.02, 2
FEWEST_UNITS = 3

Accounts = Mapping[str, Tensor]
"""Modality -> attributions of its units ``[U]``."""


@dataclass(frozen=True)
class Faithfulness:
    """One explainer over some cases: means, and of ``gain`` each case's, for intervals.

    Attributes:
        gain: in log-odds; sensitivity, completeness_error: relative; randomised, agreement: rank correlations.
    """

    method: str
    gain: tuple[float, ...]
    sensitivity: float
    randomised: float
    agreement: float
    completeness_error: float

    @property
    def offered(self) -> bool:
        """Whether its accounts follow the model's weights."""
        return self.randomised < MOST_ALIKE

    def to_json(self) -> dict[str, Any]:
        """Plain data for the model's report."""
        return {
            "method": self.method,
            "display": explainer(self.method).display,
            "offered": self.offered,
            "cases": len(self.gain),
            "gain": round(float(np.mean(self.gain)), 4),
            "sensitivity": round(self.sensitivity, 4),
            "randomised": round(self.randomised, 4),
            "agreement": round(self.agreement, 4),
            "completeness_error": round(self.completeness_error, 4),
        }


def judge(
    predictor: Predictor,
    cases: Sequence[Case],
    methods: Sequence[str] | None = None,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> list[Faithfulness]:
    """Every additive explainer that applies to the model, judged on some cases by their most probable diagnosis."""
    ways = {
        name: way
        for name in methods or EXPLAINERS
        if isinstance(way := explainer(name), Additive) and way.applies(predictor)
    }
    shuffled = with_shuffled_weights(predictor)
    rows: dict[str, list[_Row]] = {name: [] for name in ways}
    for done, case in enumerate(cases):
        with predictor.lock:
            target = predictor.diagnoses[int(predictor.logits([case])[0].argmax())]
            found = _judged(Question(predictor, case, target), Question(shuffled, case, target), ways)
        for name, row in found.items():
            rows[name].append(row)
        tell(done + 1, len(cases))
    return [_summary(name, of_one) for name, of_one in rows.items() if of_one]


def gain(question: Question, attributions: Mapping[str, Tensor]) -> float:
    """The same gain of any attributions, modality -> shape of ``Encoder.inputs``: of methods that are not ours."""
    whole = [marginal for marginal in marginals(question) if marginal.count >= FEWEST_UNITS]
    return float(np.mean([_area(m, m.of_units(attributions[m.name])) - _chance(m) for m in whole]))


def with_shuffled_weights(predictor: Predictor, seed: int = 0) -> Predictor:
    """The same model with the numbers of each weight in another order: as large as before, and knowing nothing."""
    network = copy.deepcopy(predictor.network)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            order = torch.randperm(parameter.numel(), generator=draw).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view(parameter.shape))
    return type(predictor)(replace(predictor.bundle, network=network), str(predictor.device))


@dataclass(frozen=True)
class _Row:
    """One explainer and one case."""

    gain: float
    sensitivity: float
    randomised: float
    agreement: float
    completeness_error: float


def _judged(question: Question, shuffled: Question, ways: Mapping[str, Additive]) -> dict[str, _Row]:
    whole = {m.name: m for m in marginals(question) if m.count >= FEWEST_UNITS}
    if not whole:
        return {}
    noisy = [_noisy(question, seed) for seed in range(NOISY_DRAWS)]
    found = {name: _account(way, question, whole) for name, way in ways.items()}
    chance = {name: _chance(marginal) for name, marginal in whole.items()}
    rows = {}
    for name, way in ways.items():
        mine, error = found[name]
        changed = [_account(way, other, whole)[0] for other in noisy]
        random, _ = _account(way, shuffled, whole)
        others = [_alike(mine, account) for other, (account, _) in found.items() if other != name]
        rows[name] = _Row(
            gain=float(np.mean([_area(whole[m], account) - chance[m] for m, account in mine.items()])),
            sensitivity=max(_distance(mine, account) for account in changed),
            randomised=_alike(mine, random, signed=False),
            agreement=float(np.mean(others)) if others else 1.0,
            completeness_error=error,
        )
    return rows


def _account(way: Additive, question: Question, whole: Mapping[str, Marginal]) -> tuple[Accounts, float]:
    """Attributions of the units of the case as it is, and the completeness error."""
    units, missed = {}, 0.0
    for marginal in marginals(question):
        attributions = way.attribute(marginal)
        missed += abs(missing(marginal, attributions))
        if marginal.name in whole:
            units[marginal.name] = whole[marginal.name].of_units(attributions.values.detach())
    return units, missed / scale(question)


def _area(marginal: Marginal, account_U: Tensor) -> float:
    """Area between the curves of keeping the most and of keeping the least attributed units."""
    order = account_U.argsort(descending=True)
    return _between(marginal, order)


def _chance(marginal: Marginal) -> float:
    draw = torch.Generator().manual_seed(0)
    orders = [torch.randperm(marginal.count, generator=draw) for _ in range(RANDOM_ORDERS)]
    return float(np.mean([_between(marginal, order.to(marginal.inputs.device)) for order in orders]))


def _between(marginal: Marginal, order_U: Tensor) -> float:
    count = marginal.count
    ranks_U = torch.empty_like(order_U)
    ranks_U[order_U] = torch.arange(count, device=order_U.device)
    kept_S1 = torch.linspace(0, count, STEPS + 1, device=order_U.device).round().unsqueeze(1)
    inserted_SU, deleted_SU = ranks_U < kept_S1, ranks_U >= count - kept_S1
    worth = marginal.of_kept(torch.cat([inserted_SU, deleted_SU]))
    return float((worth[: STEPS + 1] - worth[STEPS + 1 :]).mean())


def _noisy(question: Question, seed: int) -> Question:
    """The question with noise on every number that the encoders read, and on tokens where they read none."""
    draw = torch.Generator().manual_seed(seed)

    def noisy(values: Tensor) -> Tensor:
        spread = float(values.std(correction=0))
        return values + NOISE * spread * torch.randn(values.shape, generator=draw).to(values)

    other = Question(question.predictor, question.case, question.target, question.baselines)
    numbers = {n: {k: v.is_floating_point() for k, v in batch.items()} for n, batch in question.batches.items()}
    batches = {n: {k: noisy(v) if numbers[n][k] else v for k, v in b.items()} for n, b in question.batches.items()}
    vars(other).update(_read=(batches, question.present))
    silent = {n: t for n, t in question.tokens.items() if not any(numbers[n].values())}
    vars(other).update(
        tokens={**other.tokens, **{n: Tokens(noisy(t.tokens_BND), t.mask_BN) for n, t in silent.items()}}
    )
    return other


def _alike(one: Accounts, other: Accounts, *, signed: bool = True) -> float:
    """Mean rank correlation over modalities; without sign where only the pattern counts."""
    found = [_correlation(one[name], other[name]) for name in one]
    return float(np.mean(found if signed else np.abs(found)))


def _correlation(one: Tensor, other: Tensor) -> float:
    a, b = rankdata(one.cpu().numpy().round(9)), rankdata(other.cpu().numpy().round(9))
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else 0.0


def _distance(one: Accounts, other: Accounts) -> float:
    mine, theirs = (torch.cat([account[name] for name in one]) for account in (one, other))
    return float((mine - theirs).norm() / mine.norm().clamp(min=1e-9))


def _summary(method: str, rows: Sequence[_Row]) -> Faithfulness:
    def mean(take: Callable[[_Row], float]) -> float:
        return float(np.mean([take(row) for row in rows]))

    return Faithfulness(
        method=method,
        gain=tuple(row.gain for row in rows),
        sensitivity=mean(lambda r: r.sensitivity),
        randomised=mean(lambda r: r.randomised),
        agreement=mean(lambda r: r.agreement),
        completeness_error=mean(lambda r: r.completeness_error),
    )
