"""The card of a trained model: what it is for, what it saw, how good it is, where its limits are."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from clinical_mm.case import Case
from clinical_mm.config import ModelConfig
from clinical_mm.evaluation.groups import age_band

INTENDED_USE = (
    "Decision support for clinicians who review each answer. It supports a diagnosis, it never makes one. "
    "Not a medical device; not for use without review."
)
LIMITS = (
    "Knows only the diagnoses listed, and only as its training cases show them.",
    "A modality that is absent leaves its share of the evidence unseen; the answer says which.",
    "Probabilities are calibrated on cases like the training cases; elsewhere they may mislead.",
)
LIBRARIES = ("clinical-mm", "torch", "monai", "transformers", "captum", "accelerate", "peft", "numpy", "safetensors")


def make_card(
    config: ModelConfig,
    diagnoses: Sequence[str],
    cases: Sequence[Case],
    sizes: Mapping[str, int],
    snapshot_sha256: str,
    metrics: dict[str, Any],
) -> dict[str, Any]:
    """The card as JSON; the bundle shows the same as Markdown.

    ``sizes``: how many cases taught (``train``), chose (``validation``) and judged (``test``).
    """
    labels = Counter(code for case in cases for code in case.diagnoses or ())
    sexes = Counter(case.patient.sex or "unknown" for case in cases)
    bands = Counter(age_band(case.patient.age_years) for case in cases)
    taken = sorted(case.acquired_at.date().isoformat() for case in cases if case.acquired_at is not None)
    ages = sorted(case.patient.age_years for case in cases if case.patient.age_years is not None)
    return {
        "name": config.name,
        "description": config.description,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "intended_use": INTENDED_USE,
        "limits": list(LIMITS),
        "diagnoses": list(diagnoses),
        "modalities": list(config.modalities),
        "data": {
            "snapshot_sha256": snapshot_sha256,
            "labelled_cases": len(cases),
            "patients": len({case.patient.id for case in cases}),
            **sizes,
            "by_diagnosis": {code: labels[code] for code in diagnoses},
            "not_taught": {code: count for code, count in sorted(labels.items()) if code not in diagnoses},
            "by_sex": dict(sexes),
            "by_age": dict(sorted(bands.items())),
            "acquired": [taken[0], taken[-1]] if taken else None,
            "median_age_years": ages[len(ages) // 2] if ages else None,
            "with": {
                "imaging": sum(bool(case.images) for case in cases),
                "text": sum(case.note is not None for case in cases),
                "vitals": sum(bool(case.vitals) for case in cases),
            },
            "synthetic": all((case.external_id or "").startswith("synthetic-") for case in cases),
        },
        "metrics": metrics,
        "training": config.training.model_dump(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    }


def card_markdown(card: dict[str, Any]) -> str:
    """The card for people."""
    data, test = card["data"], card["metrics"].get("test") or {}
    auroc = test.get("macro_auroc") or {}
    rows = [f"| {code} | {count} |" for code, count in data["by_diagnosis"].items()]
    synthetic = (
        "\n**Trained on synthetic cases: a demonstration, no claim about patients.**\n" if data["synthetic"] else ""
    )
    return "\n".join(
        [
            f"# {card['name']}",
            "",
            card["description"],
            synthetic,
            f"**Intended use.** {card['intended_use']}",
            "",
            f"**Data.** {data['labelled_cases']} labelled cases of {data['patients']} patients "
            f"({data['train']} training, {data['validation']} validation, {data['test']} test); "
            f"snapshot `{data['snapshot_sha256']}`.",
            "",
            "| diagnosis | cases |",
            "|---|---|",
            *rows,
            "",
            f"**Test part.** macro AUROC {auroc.get('value')} [{auroc.get('low')}-{auroc.get('high')}], "
            f"set coverage {test.get('prediction_set_coverage')}, "
            f"calibration error {test.get('expected_calibration_error')}.",
            "",
            *_searched(card.get("search")),
            "**Limits.**",
            "",
            *(f"- {limit}" for limit in card["limits"]),
            "",
        ]
    )


def _searched(account: dict[str, Any] | None) -> list[str]:
    """A paragraph on the search that chose the configuration's values, where there was one."""
    if account is None:
        return []
    best = account["best"]
    values = ", ".join(f"`{n}` {f'{v:.4g}' if isinstance(v, float) else v}" for n, v in best["values"].items())
    return [
        f"**Search.** {values}: best {account['metric']} {best['score']} of {sum(account['trials'].values())} trials, "
        "on the validation part that chose it.",
        "",
    ]
