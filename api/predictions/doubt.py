"""How unsure a model is of a case, how far others are from what it says, what it would learn: the worklist's sort keys.

Uncertainty, of the newest prediction, 0..1: where diagnoses may co-occur the largest binary entropy among them, where
exactly one holds the entropy over all, divided by its largest value. Disagreement, 0..1: 1 where two reviewers name
different diagnoses; else the largest |label - p| where the case has a label; else the largest |p - p'|, with p' what
the model before said of the same version of the case. Information, 0..1: what the newest prediction says that a label
would teach (clinical_mm/information.py); 0 where the case has a label.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.cases.tables import NOT_KNOWN, CaseRow
from api.predictions.schemas import DiagnosisOut, PredictionOut
from api.predictions.tables import PredictionRow

DIGITS = 6
Probabilities = Mapping[str, float]


def weigh(session: Session, case: CaseRow) -> None:
    """Set a case's sort keys from what is stored of it; to be called in the transaction of whatever changes them."""
    of_case = select(PredictionRow).where(PredictionRow.case_id == case.id).order_by(PredictionRow.id.desc()).limit(1)
    newest = session.scalar(of_case)
    now = {} if newest is None else _probabilities(newest)
    case.uncertainty = uncertainty(list(now.values()))
    case.information = _information(newest, case)
    if case.contested:
        case.disagreement = 1.0
    elif newest is None or case.diagnoses is not None:
        case.disagreement = from_label(now, case.diagnoses or ())
    else:
        other, same = PredictionRow.model_id != newest.model_id, PredictionRow.case_version == newest.case_version
        before = session.scalar(of_case.where(other, same))
        case.disagreement = NOT_KNOWN if before is None else from_model(now, _probabilities(before))


def uncertainty(probabilities: Sequence[float]) -> float:
    """Entropy of a prediction, 0 (sure) to 1; probabilities that sum to 1 are those of an exclusive task."""
    if len(probabilities) > 1 and abs(sum(probabilities) - 1) <= len(probabilities) * 10**-DIGITS:
        return round(sum(map(_bits, probabilities)) / math.log2(len(probabilities)), DIGITS)
    return round(max((_bits(p) + _bits(1 - p) for p in probabilities), default=NOT_KNOWN), DIGITS)


def unsurest(prediction: PredictionOut) -> DiagnosisOut:
    """The diagnosis that a prediction is least sure of: the one nearest to a half."""
    return min(prediction.diagnoses, key=lambda d: abs(d.probability - 0.5))


def from_label(now: Probabilities, label: Collection[str]) -> float:
    """How far a label is from a prediction; diagnoses that the model does not know count for nothing."""
    return _largest([abs((code in label) - p) for code, p in now.items()])


def from_model(now: Probabilities, before: Probabilities) -> float:
    """How far two models are apart, on the diagnoses that both know."""
    return _largest([abs(now[code] - before[code]) for code in now.keys() & before.keys()])


def said_before(predictions: Sequence[PredictionOut]) -> PredictionOut | None:
    """What the model before the newest one said of the same version of the case; ``predictions`` newest first."""
    for earlier in predictions[1:]:
        newest = predictions[0]
        if earlier.model != newest.model and earlier.case_version == newest.case_version:
            return earlier
    return None


def _information(newest: PredictionRow | None, case: CaseRow) -> float:
    told = None if newest is None else newest.result.get("information")
    if told is None:
        return NOT_KNOWN
    return 0.0 if case.diagnoses is not None else float(told["score"])


def _probabilities(row: PredictionRow) -> dict[str, float]:
    return {str(d["code"]): float(d["probability"]) for d in row.result["diagnoses"]}


def _bits(p: float) -> float:
    return -p * math.log2(p) if p > 0 else 0.0


def _largest(gaps: Sequence[float]) -> float:
    return round(max(gaps, default=NOT_KNOWN), DIGITS)
