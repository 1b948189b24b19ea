"""Before a training: the labels of a snapshot are checked, and what the label policy makes of what is found.

A snapshot may hold ``teaching.json`` beside its cases: the policy, and what it has left out of the snapshot already.
Without it nothing is checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clinical_mm.case import Case
from clinical_mm.errors import NotEnoughData, SuspectLabels
from clinical_mm.training.label_noise import LabelNoise, check_labels
from clinical_mm.training.label_policy import LabelPolicy
from clinical_mm.training.split import JUDGE, LEFT_OUT

TEACHING, FOUND = "teaching.json", "label_noise.json"


@dataclass(frozen=True)
class Vetted:
    """What came of it.

    Attributes:
        account: for the run and the model's card: what the policy left out, what the check found, what it ``holds``.
        judges: names of cases that may judge and not teach.
        left_out: names of cases that do neither.
    """

    account: Mapping[str, Any] | None = None
    judges: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()

    @property
    def on_card(self) -> dict[str, Any]:
        """What a model's card holds of it; nothing where nothing was checked."""
        return {} if self.account is None else {"labels": dict(self.account)}

    def told(self, parts: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
        """Parts that are settled, with these."""
        out = {*parts.get(LEFT_OUT, ()), *self.left_out}
        known = {**parts, JUDGE: sorted(self.judges), LEFT_OUT: sorted(out)}
        return {part: names for part, names in known.items() if names}


def write_labels(snapshot: Path, policy: LabelPolicy, report: Mapping[str, Any]) -> None:
    """Lay the policy and what it left out beside a snapshot's cases."""
    snapshot.mkdir(parents=True, exist_ok=True)
    told = {"policy": policy.model_dump(mode="json"), "report": report}
    (snapshot / TEACHING).write_text(json.dumps(told, indent=1), encoding="utf-8")


def vetted(snapshot: Path, cases: Sequence[Case], names: Sequence[str], out: Path, *, images: bool) -> Vetted:
    """Check the labels of a snapshot; what is found goes to ``out/label_noise.json``, whatever follows.

    Raises:
        NotEnoughData: ``teaching.json`` is damaged.
        SuspectLabels: a reviewer is named, and the policy ends the training then.
    """
    if not (snapshot / TEACHING).exists():
        return Vetted()
    policy, report = _read(snapshot / TEACHING)
    noise = check_labels(cases, names, policy.noise, images=images) if policy.noise.check != "off" else LabelNoise(0)
    named = [one.said for one in noise.named]
    account = {
        "policy": policy.model_dump(mode="json"),
        "report": report,
        "noise": noise.to_json(),
        "holds": named if policy.noise.named == "hold" else [],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / FOUND).write_text(json.dumps(account, indent=1), encoding="utf-8")
    if named and policy.noise.named == "end":
        raise SuspectLabels(f"{'; '.join(named)}. Look at those labels, or change noise.named of the label policy")
    if policy.noise.check != "leave-out":
        return Vetted(account)
    theirs = {one.reviewer for one in noise.named}
    of_named = {name for case, name in zip(cases, names, strict=True) if _rests_on(case, theirs)}
    return Vetted(account, frozenset(noise.suspicious - of_named), frozenset(of_named))


def _rests_on(case: Case, reviewers: set[str]) -> bool:
    """Whether a label is the word of these reviewers alone."""
    return not case.golden and bool(case.label_by) and set(case.label_by) <= reviewers


def _read(path: Path) -> tuple[LabelPolicy, Mapping[str, Any]]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return LabelPolicy.model_validate(told["policy"]), told["report"]
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise NotEnoughData(f"the snapshot is damaged: {path.name}: {error}") from error
