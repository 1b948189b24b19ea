"""The report as one HTML file with its pictures inside: it needs no network, no script, and can be kept or printed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_mm.catalogue import Catalogue
from clinical_mm.evaluation import drawings
from clinical_mm.evaluation.metrics import Estimate
from clinical_mm.evaluation.report import Report, signed

if TYPE_CHECKING:
    from jinja2 import Template


def report_html(report: Report, card: Mapping[str, Any], catalogue: Catalogue) -> str:
    """The page of one model's evaluation; ``card`` is the model's."""
    display = {d.code: d.display for d in catalogue.diagnoses}

    def name(code: str) -> str:
        return display.get(code, code)

    pictures = {
        "reliability": drawings.reliability(report),
        "risk_coverage": drawings.risk_coverage(report),
        "diagnoses": drawings.diagnoses(report, name),
        "subsets": drawings.subsets(report),
        "groups": drawings.groups(report) if report.groups else "",
        "confounders": drawings.confounders(report) if report.confounders else "",
    }
    return _template().render(report=report, card=card, name=name, pictures=pictures)


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percent"] = _percent
    environment.filters["signed"] = signed
    environment.filters["two_lines"] = _two_lines
    return environment.from_string((Path(__file__).parent / "report.html.jinja").read_text(encoding="utf-8"))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _two_lines(estimate: Estimate) -> str:
    """An estimate for a narrow column: its interval below its value, in one piece."""
    from markupsafe import Markup

    value, _, interval = str(estimate).partition(" ")
    return Markup("{} <span class='interval'>{}</span>").format(value, interval)
