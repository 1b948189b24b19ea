"""Accounts against the phantom's truth: do they point at what really speaks for the diagnosis?

Each measure is one number a case, None where the case has nothing to point at; means and intervals follow over cases.
Source: pointing game, Zhang et al., 2018 (doi:10.1007/s11263-017-1059-x).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from clinical_mm.answers import Explanation
from clinical_mm.phantom.draw import PhantomCase
from clinical_mm.phantom.posterior import lost_without, shares

CAUSING = 0.2
"""Log-odds; what adds less causes nothing."""
WORDS_AT_MOST, VITALS_AT_LEAST = 5, 4
_LETTER_OR_DIGIT = re.compile(r"\w")


@dataclass(frozen=True)
class AgainstTruth:
    """One account.

    Attributes:
        pointing: 1 = the heat map's peak lies in a finding that speaks for the target, 0 = it does not; over images.
        pointing_chance: the part of the picture that such findings take.
        precision: of the k words of most weight, those of sentences about a symptom that bears on the target; k = 5,
            or as many as there are.
        precision_chance: the same of all words.
        ranks: Spearman correlation of the vitals' attributions with their log-likelihood ratios.
        shares: mean absolute error of the modalities' parts of all evidence.
    """

    pointing: float | None = None
    pointing_chance: float | None = None
    precision: float | None = None
    precision_chance: float | None = None
    ranks: float | None = None
    shares: float | None = None


def against_truth(account: Explanation, drawn: PhantomCase) -> AgainstTruth:
    """How an account of a phantom case compares with what was drawn."""
    lost = lost_without(drawn.truth.evidence, account.target)
    return AgainstTruth(
        *_pointing(account, drawn, {name for name, gain in lost.items() if gain >= CAUSING}),
        *_precision(account, drawn, {name for name, gain in lost.items() if abs(gain) >= CAUSING}),
        ranks=_ranks(account, drawn),
        shares=_shares(account, drawn),
    )


def _pointing(account: Explanation, drawn: PhantomCase, causing: set[str]) -> tuple[float | None, float | None]:
    hits, chances = [], []
    for heat in account.images:
        masks = [mask for name, mask in drawn.truth.masks[heat.file].items() if name in causing]
        if masks:
            mask, (x, y) = np.any(masks, axis=0), heat.peak
            hits.append(bool(mask[y, x]))
            chances.append(float(mask.mean()))
    return (float(np.mean(hits)), float(np.mean(chances))) if hits else (None, None)


def _precision(account: Explanation, drawn: PhantomCase, causing: set[str]) -> tuple[float | None, float | None]:
    spans = [span for span in drawn.truth.spans if span.symptom in causing]
    words = [word for word in account.text if _LETTER_OR_DIGIT.search(word.text)]
    good = np.array(
        [any(s.sentence[0] <= word.start and word.end <= s.sentence[1] for s in spans) for word in words], bool
    )
    if not good.any():
        return None, None
    weight = np.abs([word.attribution for word in words])
    top = np.argsort(-weight, kind="stable")[: min(WORDS_AT_MOST, int(good.sum()))]
    return float(good[top].mean()), float(good.mean())


def _ranks(account: Explanation, drawn: PhantomCase) -> float | None:
    true = drawn.truth.vitals[account.target]
    pairs = [(vital.attribution, true[vital.name]) for vital in account.vitals if vital.name in true]
    if len(pairs) < VITALS_AT_LEAST:
        return None
    return float(np.nan_to_num(spearmanr(*zip(*pairs, strict=True)).statistic))


def _shares(account: Explanation, drawn: PhantomCase) -> float | None:
    true = shares(drawn.truth.evidence, account.target)
    if len(true) < 2:
        return None
    told = {c.name: abs(c.contribution) for c in account.contributions}
    ours = np.array([told[name] for name in true])
    theirs = np.abs(list(true.values()))
    return float(np.abs(ours / ours.sum() - theirs / theirs.sum()).mean())
