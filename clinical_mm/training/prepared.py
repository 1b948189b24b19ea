"""What a training stands on once its cases are read: who teaches, who judges, what can be taught."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_mm.bundle import Bundle
from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.cautions import Checks, Seen
from clinical_mm.config import ModelConfig
from clinical_mm.evaluation.calibration import targets_of
from clinical_mm.modalities import modalities_of
from clinical_mm.modalities.base import Modality
from clinical_mm.training.data import TrainingData, read_samples
from clinical_mm.training.progress import Reporter
from clinical_mm.training.selection import readable, select_cases, teachable, without_label
from clinical_mm.training.split import JUDGE, PARTS, Split, as_told, judging, split


@dataclass(frozen=True)
class Prepared:
    """Cases, read.

    Attributes:
        cases: the labelled ones; ``data`` holds their samples first, then those of cases without a label.
        parts: positions in ``cases``.
        diagnoses: those that the training part can teach, in output order.
    """

    cases: Sequence[Case]
    parts: Split
    diagnoses: tuple[str, ...]
    modalities: Mapping[str, Modality]
    data: TrainingData

    def checks(self, catalogue: Catalogue) -> Checks:
        """Of a prediction's evidence, with what they learn from the training part's cases once all are read."""
        checks = Checks(tuple(self.modalities), catalogue)
        checks.fit([Seen(self.cases[i], self.data.samples[i]) for i in self.parts.train])
        return checks

    @property
    def used(self) -> tuple[int, ...]:
        """Positions of the cases that teach, choose or judge."""
        return (*self.parts.train, *self.parts.validation, *self.parts.test)

    @property
    def for_alignment(self) -> tuple[int, ...]:
        """Positions of the cases that teach alignment: the training part, and those without a label."""
        return (*self.parts.train, *range(len(self.cases), len(self.data.samples)))

    @property
    def names(self) -> list[str]:
        """What each case is called in the bundle."""
        return [name_of(case) for case in self.cases]

    @property
    def used_names(self) -> tuple[str, ...]:
        """What the cases that are used are called, in the order of ``used``."""
        names = self.names
        return tuple(names[i] for i in self.used)

    def split_names(self, everything: Sequence[Case]) -> dict[str, list[str]]:
        """Which cases were in which part, and which of the whole snapshot in none."""
        names = self.names
        told = {part: [names[i] for i in getattr(self.parts, part)] for part in PARTS}
        used = {name for part in told.values() for name in part}
        return {**told, "left_out": [name for case in everything if (name := name_of(case)) not in used]}


class Preparations:
    """What several trainings on the same cases share: those that read alike stand on the same samples and tokens.

    The two used last are kept. Seed, split and task, and whether there is alignment, are to be the same for all.
    """

    KEPT = 2

    def __init__(
        self,
        everything: Sequence[Case],
        catalogue: Catalogue,
        told: Mapping[str, Collection[str]] | None = None,
        start: Bundle | None = None,
    ) -> None:
        self.everything, self.catalogue, self._told, self._start = everything, catalogue, told, start
        self._made: OrderedDict[str, Prepared] = OrderedDict()

    def of(self, config: ModelConfig, reporter: Reporter) -> Prepared:
        """As ``prepare``; anew only where what is read differs from what was read last."""
        read = json.dumps(config.modalities, sort_keys=True)
        if read not in self._made:
            while len(self._made) >= self.KEPT:
                self._made.popitem(last=False)
            self._made[read] = prepare(self.everything, config, self.catalogue, reporter, self._told, self._start)
        self._made.move_to_end(read)
        return self._made[read]


def name_of(case: Case) -> str:
    """What a case is called in a bundle: its id where it has one."""
    return case.id or case.external_id or case.patient.id


def prepare(
    everything: Sequence[Case],
    config: ModelConfig,
    catalogue: Catalogue,
    reporter: Reporter,
    told: Mapping[str, Collection[str]] | None = None,
    start: Bundle | None = None,
) -> Prepared:
    """Choose, split and read the cases of a training, but not yet what frozen encoders read.

    ``told``: names of cases whose part is settled, that are left out, or that may only judge.
    ``start``: the model whose weights the training starts from.

    Raises:
        NotEnoughData: too few labelled cases, or no diagnosis that some have and others have not.
        UnreadableFile: as said by what is at fault.
    """
    chosen = config.training
    cases, wanted = select_cases(everything, config.task, catalogue)
    patients = [case.patient.id for case in cases]
    parts = split(patients, chosen.seed, chosen.validation_fraction, chosen.test_fraction)
    names, told = [name_of(case) for case in cases], told or {}
    only_judge = set(told.get(JUDGE, ()))
    parts = as_told(parts, patients, names, told)
    parts = judging(parts, patients, [case.golden for case in cases], [name in only_judge for name in names])
    modalities = modalities_of(config, catalogue)
    reporter.step("reading", 0, 1)
    # Of a committee every case teaches some member; what is learned here looks at no label.
    teachers = [cases[i] for i in (parts.train if chosen.members == 1 else (*parts.train, *parts.validation))]
    settled = _settled(config, start)
    for name, modality in modalities.items():
        if name in settled:
            modality.load_state(settled[name])
        else:
            modality.fit(teachers)
    unlabelled = without_label(everything, cases, parts, chosen) if config.alignment.epochs else []
    read = [*cases, *unlabelled]
    frozen = [name for name in modalities if config.learning(name).frozen]
    samples = read_samples(modalities, read, lambda done, total: reporter.step("reading", done, total), frozen)
    parts, diagnoses = teachable(readable(parts, samples), cases, wanted, config.task.kind)
    data = TrainingData(modalities, samples, targets_of([c.diagnoses or () for c in read], diagnoses), cases=read)
    return Prepared(cases, parts, diagnoses, modalities, data)


def _settled(config: ModelConfig, start: Bundle | None) -> dict[str, dict[str, Any]]:
    """State of the modalities whose frozen encoders come from ``start``: they read on as they learned to read."""
    if start is None:
        return {}
    same = [n for n in config.modalities if n in start.modalities and config.options(n) == start.config.options(n)]
    return {name: start.modalities[name].state() for name in same if config.learning(name).frozen}
