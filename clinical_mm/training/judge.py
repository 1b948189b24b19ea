"""A trained network judged on its own parts: the chief metrics of both, the whole report of the test part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clinical_mm.evaluation.calibration import Calibration
from clinical_mm.evaluation.judged import Judged, Subset
from clinical_mm.evaluation.report import Report, report_of
from clinical_mm.evaluation.summary import summary_of
from clinical_mm.training.learn import Learned
from clinical_mm.training.prepared import Prepared


def evaluate_parts(
    learned: Learned, prepared: Prepared, calibration: Calibration
) -> tuple[dict[str, Any], Report | None]:
    """Metrics under ``validation`` and ``test``, and the report of the test part; None where nothing is in it."""
    fit, parts = learned.fit, prepared.parts

    def judged(rows: Sequence[int], logits_with: Callable[[Subset], np.ndarray]) -> Judged:
        return Judged(
            cases=[prepared.cases[i] for i in rows],
            diagnoses=prepared.diagnoses,
            modalities=tuple(prepared.modalities),
            targets=prepared.data.targets[list(rows)],
            present=prepared.data.present[list(rows)],
            calibration=calibration,
            logits_with=logits_with,
        )

    chose = judged(learned.validated, learned.validation_logits)
    judges = judged(parts.test, lambda subset: fit.logits(parts.test, subset))
    taught = judged(parts.train, lambda subset: fit.logits(parts.train, subset))
    report = report_of(judges, chose, taught) if judges.cases else None
    return {"validation": summary_of(chose).to_json(), "test": report and report.summary.to_json()}, report
