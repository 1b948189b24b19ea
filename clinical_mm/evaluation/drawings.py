"""The report's pictures as SVG text, the same bytes for the same report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any

from clinical_mm.evaluation.metrics import Estimate
from clinical_mm.evaluation.report import Report

INK, QUIET, ACCENT, ALARM = "#1b2733", "#8a97a5", "#1769aa", "#b3261e"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the page's font
    "svg.hashsalt": "clinical_mm",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
Row = tuple[str, Estimate, bool]
"""What a line of a dot plot is called, its estimate, and whether to point at it."""


def reliability(report: Report) -> str:
    """Observed shares over claimed probabilities, with how many verdicts stand behind each."""

    def draw(axes: Any) -> None:
        bins = report.reliability.bins
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle="--")
        _points(axes, [b.claimed for b in bins], [b.observed for b in bins])
        most = max((b.count for b in bins), default=1)
        for b in bins:
            axes.bar(b.claimed, 0.12 * b.count / most, width=0.06, color=QUIET, alpha=0.35)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability that the model gave", ylabel="share that came true")

    return _svg((3.6, 3.4), draw)


def risk_coverage(report: Report) -> str:
    """Share of wrong verdicts where only the surest cases are answered."""

    def draw(axes: Any) -> None:
        curve = report.risk_coverage
        axes.plot(curve.coverages, curve.risks, color=ACCENT, marker="o", markersize=3)
        axes.set_ylim(0, max(0.05, 1.15 * max(curve.risks)))
        axes.set(xlim=(0, 1.02), xlabel="share of cases answered, the surest first", ylabel="share of wrong verdicts")

    return _svg((3.6, 3.4), draw)


def diagnoses(report: Report, names: Callable[[str], str]) -> str:
    """AUROC of each diagnosis."""
    return _dots([(names(d.code), d.auroc, False) for d in report.summary.diagnoses], "AUROC", middle=0.5)


def subsets(report: Report) -> str:
    """Macro AUROC with each choice of modalities let in."""
    return _dots([(" + ".join(s.modalities), s.macro_auroc, False) for s in report.subsets], "macro AUROC", middle=0.5)


def groups(report: Report) -> str:
    """How far each group's macro AUROC lies from everyone else's; red where the interval leaves 0 out."""
    return _dots([(f"{g.by}: {g.group}", g.gap, g.is_unequal) for g in report.groups], "gap to everyone else", middle=0)


def confounders(report: Report) -> str:
    """What circumstances alone reach, beside the model."""
    rows = [("the model", report.summary.macro_auroc, False)]
    rows += [(c.name, c.macro_auroc, c.macro_auroc.low > 0.5) for c in report.confounders]
    return _dots(rows, "macro AUROC", middle=0.5)


def _dots(rows: Sequence[Row], label: str, middle: float) -> str:
    """One line an estimate, its interval as a bar, the first on top."""

    def draw(axes: Any) -> None:
        axes.axvline(middle, color=QUIET, linewidth=1, linestyle="--")
        for place, (_, estimate, pointed_at) in enumerate(reversed(rows)):
            colour = ALARM if pointed_at else ACCENT
            axes.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=2)
            axes.plot(estimate.value, place, color=colour, marker="o", markersize=5)
        axes.set_yticks(range(len(rows)), [name for name, *_ in reversed(rows)])
        axes.set(xlabel=label, ylim=(-0.6, len(rows) - 0.4))

    return _svg((6.6, 0.7 + 0.27 * max(len(rows), 1)), draw)


def _points(axes: Any, xs: Sequence[float], estimates: Sequence[Estimate]) -> None:
    for x, estimate in zip(xs, estimates, strict=True):
        axes.plot([x, x], [estimate.low, estimate.high], color=ACCENT, linewidth=1.5)
        axes.plot(x, estimate.value, color=ACCENT, marker="o", markersize=4)


def _svg(size: tuple[float, float], draw: Callable[[Any], None]) -> str:
    """``size`` in inches. No state of pyplot: two reports may be drawn at once."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        written = StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    return text[text.index("<svg") :]
