"""Which cases teach, which choose, which judge: by patient, and stable as cases are added.

A patient's part follows from a hash of the patient's id alone, so that a patient once in the test part stays there for
every later snapshot and every seed; the seed moves only the border between training and validation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from clinical_mm.digests import content_hash
from clinical_mm.errors import NotEnoughData

PARTS = ("train", "validation", "test")
LEFT_OUT, JUDGE = "left_out", "judge"
"""Beside the parts, of what is told: cases that are in none, and those that may be in the test part alone."""


@dataclass(frozen=True)
class Split:
    """Positions of the cases of each part."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """How many cases each part has."""
        return {"train": len(self.train), "validation": len(self.validation), "test": len(self.test)}


def split(patients: Sequence[str], seed: int, validation_fraction: float, test_fraction: float) -> Split:
    """Split cases by their patients' ids; training and validation are never empty while there are two patients."""
    for_test = {p: _uniform("test", p) for p in set(patients)}
    for_validation = {p: _uniform(f"validation {seed}", p) for p in set(patients)}
    rest = sorted((p for p, u in for_test.items() if u >= test_fraction), key=lambda p: (for_validation[p], p))
    if len(rest) < 2:  # a handful of patients, all in test: teaching comes first
        rest = sorted(for_test, key=lambda p: (for_validation[p], p))
    share = validation_fraction / (1 - test_fraction)
    count = min(max(1, round(len(rest) * share)), len(rest) - 1) if len(rest) > 1 else 0
    part = dict.fromkeys(for_test, "test") | dict.fromkeys(rest, "train") | dict.fromkeys(rest[:count], "validation")

    def positions(name: str) -> tuple[int, ...]:
        return tuple(i for i, p in enumerate(patients) if part[p] == name)

    return Split(positions("train"), positions("validation"), positions("test"))


def as_told(parts: Split, patients: Sequence[str], names: Sequence[str], told: Mapping[str, Collection[str]]) -> Split:
    """The same parts, but a patient of whom a case is told goes where that is: a split repeated though cases are gone.

    What is told to be left out is in no part.

    Args:
        parts: where each case would go.
        patients: of the cases, in their order.
        names: of the cases, in their order.
        told: ``train``, ``validation``, ``test``, ``left_out``: names, as a bundle's ``docs/split.json`` holds them.
    """
    part_of = {name: part for part in PARTS for name in told.get(part, ())}
    settled = {patient: part_of[name] for patient, name in zip(patients, names, strict=True) if name in part_of}
    out = set(told.get(LEFT_OUT, ()))
    where = {i: settled.get(patients[i], part) for part in PARTS for i in getattr(parts, part) if names[i] not in out}
    return Split(*(tuple(i for i in sorted(where) if where[i] == part) for part in PARTS))


def judging(parts: Split, patients: Sequence[str], golden: Sequence[bool], only_judge: Sequence[bool]) -> Split:
    """The same parts, but every case of a patient who has a golden one goes to the test part, whatever was told.

    Elsewhere than there, cases that may ``only_judge`` are left out.
    """
    locked = {patient for patient, is_golden in zip(patients, golden, strict=True) if is_golden}
    where = {i: "test" if patients[i] in locked else part for part in PARTS for i in getattr(parts, part)}
    there = [i for i in sorted(where) if where[i] == "test" or not only_judge[i]]
    return Split(*(tuple(i for i in there if where[i] == part) for part in PARTS))


def rotations(parts: Split, patients: Sequence[str], members: int, seed: int) -> list[Split]:
    """The parts of each member of a committee: every patient who is not in the test part validates one of them.

    Raises:
        NotEnoughData: fewer such patients than members.
    """
    if members == 1:
        return [parts]
    rows = sorted((*parts.train, *parts.validation))
    order = sorted({patients[i] for i in rows}, key=lambda p: (_uniform(f"validation {seed}", p), p))
    if len(order) < members:
        raise NotEnoughData(f"{len(order)} patients outside the test part for training.members = {members}; lower it")
    turn_of = {patient: place % members for place, patient in enumerate(order)}
    return [
        Split(
            tuple(i for i in rows if turn_of[patients[i]] != turn),
            tuple(i for i in rows if turn_of[patients[i]] == turn),
            parts.test,
        )
        for turn in range(members)
    ]


def _uniform(purpose: str, patient: str) -> float:
    digest = content_hash(f"clinical_mm {purpose} {patient}".encode()).digest()
    return float(int.from_bytes(digest[:8], "big") / 2**64)
