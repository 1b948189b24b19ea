"""What a run's page tells of the labels that taught: what the policy left out, and whose labels are suspicious."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST_SUSPECTS = 20
WORDS = {
    "second reader": "waits for a second reader",
    "quota a day": "beyond what one reviewer may teach of a day",
    "quota of a share": "beyond what one reviewer may teach of a snapshot",
    "contested": "reviewers disagree",
}


def labels_told(report: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The run's report as the page shows it; None where the run is older, or has not got that far."""
    if report is None:
        return None
    counts, noise = report.get("report", {}), report.get("noise", {})
    shares = {one["reviewer"]: one for one in noise.get("reviewers", ())}
    reviewed = {one["reviewer"]: one for one in counts.get("reviewers", ())}
    return {
        "counts": counts,
        "left_out": [(WORDS.get(rule, rule), count) for rule, count in counts.get("left_out", {}).items()],
        "checked": noise.get("checked", 0),
        "suspicious": noise.get("suspicious", 0),
        "named": [one["said"] for one in shares.values() if one["said"]],
        "holds": bool(report.get("holds")),
        "reviewers": [
            {
                "reviewer": key,
                "labels": reviewed.get(key, shares.get(key, {})).get("labels", 0),
                "left_out": sum(reviewed.get(key, {}).get("left_out", {}).values()),
                "share": shares.get(key),
            }
            for key in sorted({*reviewed, *shares})
        ],
        "suspects": noise.get("suspects", [])[:MOST_SUSPECTS],
    }
