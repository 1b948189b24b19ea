"""Which labels of a snapshot may teach by the policy: a second reader first, then the quotas of each reviewer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from clinical_mm.training.label_policy import LabelPolicy, Quota, SecondReader

SECOND_READER, PER_DAY, SHARE = "second reader", "quota a day", "quota of a share"


@dataclass(frozen=True)
class Word:
    """A key's newest word that stands: which review ("" = it changed the label by hand), by which key, when."""

    review: str
    reviewer: str
    at: datetime


@dataclass(frozen=True)
class Label:
    """The label that a case would teach.

    Attributes:
        words: those that name it, the oldest first; none = it is as it was sent.
        sent: what the case came with; None = nothing, or that is not known any more.
        by_hand: somebody has changed what was sent.
        said: the newest prediction's probabilities by diagnosis.
        golden: it is locked, so that no rule is about it.
    """

    case: str
    diagnoses: tuple[str, ...]
    words: tuple[Word, ...] = ()
    sent: tuple[str, ...] | None = None
    by_hand: bool = False
    said: Mapping[str, float] = field(default_factory=dict)
    golden: bool = False

    @property
    def reviewers(self) -> tuple[str, ...]:
        """The keys whose word it is."""
        return tuple(dict.fromkeys(word.reviewer for word in self.words))

    @property
    def rests_on(self) -> Word | None:
        """The one reviewer's word that it stands on alone."""
        return self.words[-1] if len(self.reviewers) == 1 and not self.golden else None


@dataclass(frozen=True)
class Teaching:
    """What came of the policy: ``left_out``, case -> rule; the others teach, or judge."""

    labels: Sequence[Label]
    left_out: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """How many labels teach, and how many of whom were left out by which rule."""
        out = Counter(self.left_out.values())
        reviewed = [label for label in self.labels if label.words and not label.golden]
        return {
            "labels": len(self.labels),
            "golden": sum(label.golden for label in self.labels),
            "as_sent": sum(not label.words and not label.golden for label in self.labels),
            "reviewed": len(reviewed),
            "left_out": dict(sorted(out.items())),
            "reviewers": [self._of(key, reviewed) for key in sorted({r for one in reviewed for r in one.reviewers})],
        }

    def _of(self, reviewer: str, reviewed: Sequence[Label]) -> dict[str, Any]:
        theirs = [label for label in reviewed if reviewer in label.reviewers]
        rules = Counter(self.left_out[label.case] for label in theirs if label.case in self.left_out)
        return {"reviewer": reviewer, "labels": len(theirs), "left_out": dict(sorted(rules.items()))}


def sort_out(labels: Sequence[Label], policy: LabelPolicy) -> Teaching:
    """Apply the rules, each to what the ones before have left."""
    left_out: dict[str, str] = {}
    for rule, found in (
        (SECOND_READER, _without_second(labels, policy.second_reader)),
        (PER_DAY, _beyond_a_day(labels, policy.quota, left_out)),
        (SHARE, _beyond_share(labels, policy.quota, left_out)),
    ):
        left_out |= dict.fromkeys(found, rule)
    return Teaching(labels, left_out)


def _without_second(labels: Sequence[Label], policy: SecondReader) -> Iterator[str]:
    if policy.needed == "never":
        return
    for label in labels:
        alone = label.rests_on is not None
        if alone and (policy.needed == "always" or _contradicts(label, policy.confident)):
            yield label.case


def _contradicts(label: Label, confident: float) -> bool:
    """Whether a label says another thing than was sent, or than a model was sure of."""
    if label.by_hand or (label.sent is not None and set(label.sent) != set(label.diagnoses)):
        return True
    held = ((p if code in label.diagnoses else 1 - p) for code, p in label.said.items())
    return any(likely <= 1 - confident for likely in held)


def _beyond_a_day(labels: Sequence[Label], quota: Quota, left_out: Mapping[str, str]) -> Iterator[str]:
    if quota.per_day is None:
        return
    days: dict[tuple[str, date], list[Label]] = defaultdict(list)
    for label, word in _alone(labels, left_out):
        days[word.reviewer, word.at.astimezone(UTC).date()].append(label)
    for some in days.values():
        yield from (label.case for label in some[quota.per_day :])


def _beyond_share(labels: Sequence[Label], quota: Quota, left_out: Mapping[str, str]) -> Iterator[str]:
    """What a reviewer may teach follows from what the others have said: more words of one's own earn no more."""
    kept = [label for label in labels if label.words and not label.golden and label.case not in left_out]
    if quota.share is None or len({key for label in kept for key in label.reviewers}) < quota.share_from_reviewers:
        return
    theirs: dict[str, list[Label]] = defaultdict(list)
    for label, word in _alone(labels, left_out):
        theirs[word.reviewer].append(label)
    for some in theirs.values():
        most = int(quota.share / (1 - quota.share) * (len(kept) - len(some)) + 1e-9)
        yield from (label.case for label in some[most:])


def _alone(labels: Sequence[Label], left_out: Mapping[str, str]) -> list[tuple[Label, Word]]:
    """The labels that still teach and rest on one reviewer's word, the oldest word first."""
    found = [(label, label.rests_on) for label in labels if label.case not in left_out]
    known = [(label, word) for label, word in found if word is not None]
    return sorted(known, key=lambda pair: (pair[1].at, pair[1].review))
