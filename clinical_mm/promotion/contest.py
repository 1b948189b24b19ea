"""Two models' word on the same labelled cases.

Shapes: N cases, K diagnoses that both models know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clinical_mm.bundle_layout import SPLIT, read_json
from clinical_mm.case import Case
from clinical_mm.evaluation.groups import Groups
from clinical_mm.evaluation.judged import Judged
from clinical_mm.evaluation.metrics import Bootstrap
from clinical_mm.training.label_noise import suspicions

if TYPE_CHECKING:
    from clinical_mm.predictor import Predictor

RESAMPLES, SEED = 2000, 0


@dataclass(frozen=True)
class Side:
    """One model's ``float[N, K]`` calibrated probabilities, and 0/1 verdicts."""

    probabilities: np.ndarray
    decided: np.ndarray


@dataclass(frozen=True)
class Contest:
    """Champion and challenger on the same cases.

    Attributes:
        targets: ``float[N, K]`` in 0/1.
        groups: what is told apart -> the group of each case.
        bootstrap: samples of whole patients, the same for both, so that differences are paired.
        forgotten, learned: diagnoses that the champion alone and the challenger alone knows.
        explainers: the challenger's, as its card holds them.
        golden: which of the cases have a locked label; empty = none.
        suspicions: what speaks against the labels that taught the challenger, in sentences, as its card holds them.
    """

    diagnoses: tuple[str, ...]
    targets: np.ndarray
    champion: Side
    challenger: Side
    groups: Groups
    bootstrap: Bootstrap
    patients: int
    forgotten: tuple[str, ...] = ()
    learned: tuple[str, ...] = ()
    explainers: Sequence[Mapping[str, object]] = ()
    golden: Sequence[bool] = ()
    suspicions: Sequence[str] = ()

    @property
    def cases(self) -> int:
        """N."""
        return len(self.targets)

    @property
    def is_golden(self) -> np.ndarray:
        """``bool[N]``."""
        return np.asarray(self.golden, bool) if len(self.golden) else np.zeros(self.cases, bool)


def contest_of(champion: Predictor, challenger: Predictor, cases: Sequence[Case]) -> Contest:
    """Ask both models about labelled cases; at least one."""
    old, new = Judged.by(champion, cases), Judged.by(challenger, cases)
    shared = tuple(code for code in new.diagnoses if code in old.diagnoses)
    return Contest(
        diagnoses=shared,
        targets=_columns(new.targets, new.diagnoses, shared),
        champion=_side(old, shared),
        challenger=_side(new, shared),
        groups={**new.groups, "modalities": _brought(new)},
        bootstrap=Bootstrap(new.patients, RESAMPLES, SEED),
        patients=len(set(new.patients)),
        forgotten=tuple(code for code in old.diagnoses if code not in shared),
        learned=tuple(code for code in new.diagnoses if code not in shared),
        explainers=challenger.card.get("explanations", ()),
        golden=[case.golden for case in cases],
        suspicions=suspicions(challenger.card),
    )


def untouched(champion: Path, challenger: Path) -> set[str]:
    """Names of the cases of the challenger's test part that neither bundle has learned from or chosen by.

    A patient's part follows from the patient's id alone, so the test part of one model is untouched by the other unless
    their configurations share the cases out otherwise.
    """
    return set(read_json(challenger / SPLIT)["test"]) - learned(champion)


def learned(*bundles: Path) -> set[str]:
    """Names of the cases that any of the bundles has learned from or chosen by."""
    parts = [read_json(bundle / SPLIT) for bundle in bundles]
    return {name for part in parts for name in (*part["train"], *part["validation"])}


def _side(judged: Judged, shared: Sequence[str]) -> Side:
    parts = (judged.probabilities, judged.decided)
    return Side(*(_columns(part, judged.diagnoses, shared) for part in parts))


def _columns(table: np.ndarray, diagnoses: Sequence[str], shared: Sequence[str]) -> np.ndarray:
    return table[:, [list(diagnoses).index(code) for code in shared]]


def _brought(judged: Judged) -> list[str]:
    names = np.asarray(judged.modalities)
    return [" + ".join(names[row]) or "nothing" for row in judged.present]
