"""The evaluation report of one model on one set of cases: for people as text and as a page, for programs as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_mm.case import Case
from clinical_mm.errors import NotEnoughData
from clinical_mm.evaluation.abstention import RiskCoverage, risk_coverage
from clinical_mm.evaluation.confounders import Confounder, confounders
from clinical_mm.evaluation.judged import Judged
from clinical_mm.evaluation.metrics import Estimate
from clinical_mm.evaluation.reliability import Reliability, reliability
from clinical_mm.evaluation.slices import GroupReport, SubsetReport, by_group, by_subset
from clinical_mm.evaluation.summary import Summary, summary_of

if TYPE_CHECKING:
    from clinical_mm.predictor import Predictor

SETS = "{:<26}{:>5}  {:<22}{:<22}{:<22}{:<22}{:<22}"
PARTS = "{:<40}{:>5}  {:<22}{}"


@dataclass(frozen=True)
class Report:
    """Everything that is told of a model.

    Attributes:
        subsets: by the modalities let in; groups: by who the patients are and how their images were made.
        confounders: what circumstances tell by themselves.
        explanations: a row for each explainer, with its scores (``explaining.offer``).
    """

    summary: Summary
    reliability: Reliability
    risk_coverage: RiskCoverage
    subsets: tuple[SubsetReport, ...]
    groups: tuple[GroupReport, ...]
    confounders: tuple[Confounder, ...]
    explanations: Sequence[Mapping[str, Any]] = ()

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            **self.summary.to_json(),
            "prediction_set": {"promised": self.summary.promised, "coverage": self.summary.coverage.to_json()},
            "calibration": self.reliability.to_json(),
            "risk_coverage": self.risk_coverage.to_json(),
            "subsets": [s.to_json() for s in self.subsets],
            "groups": [g.to_json() for g in self.groups],
            "confounders": [c.to_json() for c in self.confounders],
            "explanations": [dict(row) for row in self.explanations],
        }

    def to_text(self) -> str:
        """Tables for a terminal."""
        all_ = self.summary
        lines = [
            f"{all_.cases} cases of {all_.patients} patients; intervals: 95 %, bootstrap by patient",
            f"macro AUROC {all_.macro_auroc}, macro AUPRC {all_.macro_auprc}, Brier {all_.brier}",
            f"calibration error {all_.calibration_error} (without calibration {self.reliability.uncalibrated:.3f})",
            f"prediction sets: coverage {all_.coverage}, promised {all_.promised:.2f}, mean size {all_.set_size:.1f}",
            "",
            SETS.format("diagnosis", "n", "AUROC", "AUPRC", "sens. at 90 % spec.", "F1", "set coverage"),
        ]
        for d in all_.diagnoses:
            told = (d.auroc, d.auprc, d.sensitivity_at_90_specificity, d.f1, d.coverage)
            lines.append(SETS.format(d.code, d.positives, *map(str, told)))
        lines += ["", PARTS.format("macro AUROC of", "n", "", "")]
        lines += [PARTS.format(" + ".join(s.modalities), s.cases, str(s.macro_auroc), "") for s in self.subsets]
        lines += [
            PARTS.format(f"{g.by}: {g.group}", g.cases, str(g.macro_auroc), f"gap {signed(g.gap)}") for g in self.groups
        ]
        lines += [
            PARTS.format(f"confounder alone: {c.name}", c.cases, str(c.macro_auroc), "") for c in self.confounders
        ]
        lines += [
            PARTS.format(f"explainer: {row['display']}", row["cases"], *_explainer(row)) for row in self.explanations
        ]
        return "\n".join(line.rstrip() for line in lines)


def evaluate(predictor: Predictor, cases: Iterable[Case]) -> Report:
    """Score a model on labelled cases.

    Raises:
        NotEnoughData: none of the cases has a label.
    """
    labelled = [case for case in cases if case.diagnoses is not None]
    if not labelled:
        raise NotEnoughData("no labelled case to evaluate on")
    return report_of(Judged.by(predictor, labelled))


def report_of(judged: Judged, chose: Judged | None = None, taught: Judged | None = None) -> Report:
    """The report on at least one case; the parts that the model was calibrated on and learned from, if at hand."""
    return Report(
        summary=summary_of(judged),
        reliability=reliability(judged, chose),
        risk_coverage=risk_coverage(judged),
        subsets=tuple(by_subset(judged)),
        groups=tuple(by_group(judged)),
        confounders=tuple(confounders(judged, taught)),
    )


def _explainer(row: Mapping[str, Any]) -> tuple[str, str]:
    if not row["cases"]:
        return "not judged", ""
    told = (
        f"gain {row['gain']:+.2f}",
        f"error {row['completeness_error']:.1%}, shuffled weights {row['randomised']:.2f}",
    )
    return told if row["offered"] else (told[0], f"{told[1]}: not offered")


def signed(estimate: Estimate) -> str:
    """A difference with its interval; ``n/a`` where it is not defined."""
    if np.isnan(estimate.value):
        return "n/a"
    return f"{estimate.value:+.3f} [{estimate.low:+.3f} to {estimate.high:+.3f}]"
