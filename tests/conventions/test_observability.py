"""What the dashboard, the alert rules and the manual say of metrics is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from api.ground.meters import Meters
from api.observing.scraped import NAMES
from api.watching.gauges import OF_PROJECT

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy" / "observability"
FROM_DRIFT = {"clinical_mm_drift_psi", "clinical_mm_drifted"}
MENTIONED = re.compile(r"\bclinical_mm_[a-z_]+[a-z]\b")


def known() -> set[str]:
    return {*Meters().names(), *NAMES, *OF_PROJECT, *FROM_DRIFT}


def without_ending(name: str) -> str:
    """A histogram's name from that of one of its series."""
    return re.sub(r"_(bucket|sum|count)$", "", name)


def dashboard() -> dict[str, Any]:
    return dict(json.loads((DEPLOY / "grafana_dashboard.json").read_text(encoding="utf-8")))


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus_alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_metric_is_in_the_manual_and_every_one_in_the_manual_exists() -> None:
    told = set(MENTIONED.findall((REPOSITORY / "docs" / "observing.md").read_text(encoding="utf-8")))
    assert sorted(known() - told) == []
    assert sorted(told - known()) == []


def test_the_dashboard_shows_metrics_that_exist() -> None:
    expressions = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    named = {without_ending(name) for one in expressions for name in MENTIONED.findall(one)}
    assert len(named) > 15
    assert sorted(named - known()) == []
    for one in expressions:
        promql_parser.parse(one)


def test_no_two_panels_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_is_about_metrics_that_exist_and_says_what_to_do(rule: dict[str, Any]) -> None:
    named = {without_ending(name) for name in MENTIONED.findall(rule["expr"])}
    assert sorted(named - known()) == []
    assert named or rule["expr"].startswith("up{")
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["do"]
    promql_parser.parse(rule["expr"])


def test_states_of_jobs_that_are_asked_for_exist() -> None:
    from api.observing.scraped import STATES

    text = "\n".join(p.read_text(encoding="utf-8") for p in DEPLOY.iterdir())
    pairs = re.findall(r'kind=\\?"(\w+)\\?",state=\\?"(\w+)', text)
    assert pairs
    assert [pair for pair in pairs if pair[1] not in STATES[pair[0]]] == []
