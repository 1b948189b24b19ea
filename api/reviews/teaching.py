"""The snapshot of a training: the cases as they teach, what the label policy left out, how the rest is checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from api.cases import worklist
from api.cases.schemas import CaseFilter
from api.cases.tables import CaseRow
from api.ground.ground import Ground
from api.predictions.tables import PredictionRow
from api.reviews.adjudication import Sent, chosen, naming, sendings, signed, words
from clinical_mm.case import Case
from clinical_mm.importing.folder import write_folder
from clinical_mm.training.label_policy import LabelPolicy
from clinical_mm.training.label_rules import Label, Teaching, sort_out
from clinical_mm.training.vetting import write_labels

CONTESTED = "contested"


def write_snapshot(
    ground: Ground, project_id: str, wanted: Mapping[str, Any], cases: Iterable[Case], rule: str, folder: Path
) -> dict[str, Any]:
    """Write the cases that teach or judge; gives what came of the label policy.

    Args:
        ground: where the policy and the reviews are.
        project_id: whose cases.
        wanted: a CaseFilter as JSON.
        cases: those that fit it.
        rule: which label teaches where reviewers disagree.
        folder: a plain folder; it is whole once it holds ``cases.jsonl``.

    Raises:
        InvalidConfig: the label policy cannot be used.
    """
    policy = LabelPolicy.load(ground.settings.label_policy)
    given = sendings(ground.database, project_id)
    teaching, contested = _sorted_out(ground, project_id, wanted, rule, policy, given)
    report = _with_contested(teaching.to_json(), len(contested))
    write_labels(folder, policy, report)
    write_folder(_as_they_teach(cases, teaching, contested, given), folder)
    return report


def _as_they_teach(
    cases: Iterable[Case], teaching: Teaching, contested: set[str], given: Mapping[str, Sent]
) -> Iterator[Case]:
    """Cases that came in since the policy was applied wait for the next snapshot."""
    known = {label.case: label for label in teaching.labels if label.case not in teaching.left_out}
    for case in cases:
        label = known.get(case.id)
        if case.diagnoses is None and label is None and case.id not in contested:
            yield case
        elif label is not None and label.golden:
            yield replace(case, diagnoses=label.diagnoses, golden=True)
        elif label is not None:
            yield signed(replace(case, diagnoses=label.diagnoses, golden=False), label.words, given.get(case.id))


def _sorted_out(
    ground: Ground,
    project_id: str,
    wanted: Mapping[str, Any],
    rule: str,
    policy: LabelPolicy,
    given: Mapping[str, Sent],
) -> tuple[Teaching, set[str]]:
    """What the policy says of each label, and the cases without one since reviewers disagree."""
    said = words(ground.database, project_id)
    answers = _answers(ground, project_id) if policy.second_reader.needed == "overrides" else {}
    query = worklist.fitting(project_id, CaseFilter.model_validate(wanted)).where(CaseRow.diagnoses.is_not(None))
    columns = query.with_only_columns(CaseRow.id, CaseRow.diagnoses, CaseRow.golden_at).order_by(CaseRow.id)
    labels: list[Label] = []
    contested: set[str] = set()
    with ground.database.reading() as session:
        for case_id, in_force, locked_at in session.execute(columns):
            theirs, sent = ([], None) if locked_at else (said.get(case_id, []), given.get(case_id))
            label = chosen(in_force or (), theirs, rule)
            if label is None:
                contested.add(case_id)
            else:
                named_by = naming(label, theirs, sent)
                first = None if sent is None or sent.by_hand else sent.diagnoses
                changed = sent is not None and sent.by_hand
                labels.append(
                    Label(case_id, label, named_by, first, changed, answers.get(case_id, {}), bool(locked_at))
                )
    return sort_out(labels, policy), contested


def _answers(ground: Ground, project_id: str) -> dict[str, dict[str, float]]:
    """Of each case the newest prediction's probabilities."""
    query = select(PredictionRow.case_id, PredictionRow.result).where(PredictionRow.project_id == project_id)
    with ground.database.reading() as session:
        return {
            case_id: {str(d["code"]): float(d["probability"]) for d in result["diagnoses"]}
            for case_id, result in session.execute(query.order_by(PredictionRow.id))
        }


def _with_contested(report: dict[str, Any], contested: int) -> dict[str, Any]:
    left_out = report["left_out"] | ({CONTESTED: contested} if contested else {})
    return {**report, "labels": report["labels"] + contested, "left_out": left_out}
