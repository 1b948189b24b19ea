"""Which cases can teach a task, and which of its diagnoses they can teach.

Shapes: N cases, K diagnoses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.config import TaskConfig, TrainingConfig
from clinical_mm.errors import NotEnoughData
from clinical_mm.evaluation.calibration import targets_of
from clinical_mm.modalities.base import Sample
from clinical_mm.training.split import Split, split

FEWEST_CASES = 12
FEWEST_OF_A_DIAGNOSIS = 2


def select_cases(cases: Sequence[Case], task: TaskConfig, catalogue: Catalogue) -> tuple[list[Case], tuple[str, ...]]:
    """The cases that can teach this task, and its diagnoses in the catalogue's order.

    Raises:
        NotEnoughData: fewer than 12 labelled cases, or nothing to tell apart.
        UnknownCode: the task names a diagnosis that the catalogue does not hold.
    """
    labelled = [case for case in cases if case.diagnoses is not None]
    found = {code for case in labelled for code in case.diagnoses or ()}
    wanted = task.diagnoses or tuple(d.code for d in catalogue.diagnoses if d.code in found)
    for code in wanted:
        catalogue.diagnosis(code)
    if task.kind == "exclusive":
        labelled = _with_exactly_one(labelled, wanted)
    if len(labelled) < FEWEST_CASES:
        raise NotEnoughData(
            f"{len(labelled)} labelled cases that fit the task; it takes at least {FEWEST_CASES}. "
            "Review more cases, or import labelled ones"
        )
    taught = _told_apart(_targets(labelled, wanted), wanted, task.kind, FEWEST_OF_A_DIAGNOSIS)
    if len(taught) < _fewest_diagnoses(task.kind):
        raise NotEnoughData(
            f"nothing to tell apart: of {', '.join(wanted) or 'no diagnosis'} only {', '.join(taught) or 'none'} "
            f"has at least {FEWEST_OF_A_DIAGNOSIS} labelled cases"
        )
    return (_with_exactly_one(labelled, taught) if task.kind == "exclusive" else labelled), taught


def without_label(
    everything: Sequence[Case], labelled: Sequence[Case], parts: Split, config: TrainingConfig
) -> list[Case]:
    """Cases that teach alignment alone: no label, and no patient of the validation or the test part, now or later."""
    judged = {labelled[i].patient.id for i in (*parts.validation, *parts.test)}
    free = [case for case in everything if case.diagnoses is None and case.patient.id not in judged]
    patients = [case.patient.id for case in free]
    for_test = set(split(patients, config.seed, config.validation_fraction, config.test_fraction).test)
    return [case for i, case in enumerate(free) if i not in for_test]


def readable(parts: Split, samples: Sequence[Mapping[str, Sample | None]]) -> Split:
    """Only cases that have something of what this model reads: an image alone teaches nothing to a model of notes."""
    return _kept(parts, [any(found is not None for found in sample.values()) for sample in samples])


def teachable(
    parts: Split, cases: Sequence[Case], diagnoses: Sequence[str], kind: str
) -> tuple[Split, tuple[str, ...]]:
    """The diagnoses that the training part alone can teach, and the parts without cases that know only others.

    A diagnosis whose few cases all fell to the validation or the test part would be answered by a guess.

    Raises:
        NotEnoughData: nothing to tell apart in the training part, or nothing to validate on.
    """
    taught = _told_apart(_targets([cases[i] for i in parts.train], diagnoses), diagnoses, kind, 1)
    if len(taught) < _fewest_diagnoses(kind):
        raise NotEnoughData(
            f"nothing to tell apart among the {len(parts.train)} training cases that have any of the modalities that "
            "the configuration names"
        )
    kept = parts
    if kind == "exclusive":
        kept = _kept(parts, [bool(set(case.diagnoses or ()) & set(taught)) for case in cases])
    if len(kept.train) < 2 or not kept.validation:
        raise NotEnoughData(
            f"only {len(kept.train)} training and {len(kept.validation)} validation cases fit the task and have any of "
            "the modalities that the configuration names"
        )
    return kept, taught


def _told_apart(targets: np.ndarray, diagnoses: Sequence[str], kind: str, fewest: int) -> tuple[str, ...]:
    """Those that at least ``fewest`` cases have and, where several may be true at once, that some case has not."""
    most = len(targets) - (kind == "co-occurring")
    return tuple(c for c, count in zip(diagnoses, targets.sum(0), strict=True) if fewest <= count <= most)


def _fewest_diagnoses(kind: str) -> int:
    return 2 if kind == "exclusive" else 1


def _with_exactly_one(cases: Sequence[Case], codes: Sequence[str]) -> list[Case]:
    return [case for case in cases if len(set(case.diagnoses or ()) & set(codes)) == 1]


def _targets(cases: Sequence[Case], codes: Sequence[str]) -> np.ndarray:
    return targets_of([case.diagnoses or () for case in cases], codes)


def _kept(parts: Split, wanted: Sequence[bool]) -> Split:
    train, validation, test = (
        tuple(i for i in part if wanted[i]) for part in (parts.train, parts.validation, parts.test)
    )
    return Split(train, validation, test)
