"""The report as one HTML file with its pictures inside: it needs no network, no script, and can be kept or printed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_mm.catalogue import Catalogue
from clinical_mm.evaluation import drawings
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
    environment.filters |= {"percent": lambda share: f"{100 * share:.0f} %", "signed": signed}
    return environment.from_string((Path(__file__).parent / "report.html.jinja").read_text(encoding="utf-8"))
