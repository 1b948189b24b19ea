"""The model card says what the field's published sections ask for, every figure as it was measured, gaps as gaps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate

from clinical_mm.bundle_layout import CARD, REPORT, read_json
from clinical_mm.model_card import ModelCard, card_html, card_schema, model_card


@pytest.fixture(scope="module")
def kept(trained_bundle: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return read_json(trained_bundle / CARD), read_json(trained_bundle / REPORT)


@pytest.fixture(scope="module")
def card(kept: tuple[dict[str, Any], dict[str, Any]]) -> ModelCard:
    return model_card(*kept, "ab" * 32)


def test_it_follows_its_schema_and_has_every_published_section(card: ModelCard) -> None:
    document = json.loads(card.model_dump_json())
    validate(document, card_schema())
    assert list(document) == [
        "model_details",
        "intended_use",
        "factors",
        "metrics",
        "evaluation_data",
        "training_data",
        "quantitative_analyses",
        "explanations",
        "ethical_considerations",
        "caveats_and_recommendations",
    ]


def test_its_figures_are_those_of_the_report(card: ModelCard, kept: tuple[dict[str, Any], dict[str, Any]]) -> None:
    stored, report = kept
    assert card.quantitative_analyses is not None
    assert card.evaluation_data is not None
    assert card.quantitative_analyses.macro_auroc.model_dump() == report["macro_auroc"]
    assert [d.code for d in card.quantitative_analyses.diagnoses] == list(report["diagnoses"])
    assert card.evaluation_data.cases == report["cases"]
    assert card.training_data.manifest_sha256 == stored["data"]["manifest_sha256"]
    assert sum(card.training_data.by_age.values()) == card.training_data.cases
    assert re.fullmatch(r"\d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d", card.training_data.acquired)


def test_what_was_not_measured_is_said_so(kept: tuple[dict[str, Any], dict[str, Any]]) -> None:
    stored = {**kept[0], "explanations": [], "data": {**kept[0]["data"], "acquired": None}}
    alone = model_card(stored, None)
    page = card_html(alone, {})
    assert alone.quantitative_analyses is None
    assert "No case was left to judge it on" in " ".join(alone.caveats_and_recommendations)
    assert alone.factors.not_evaluated == ["sex", "age", "site", "device", "view"]
    assert alone.training_data.acquired == "not told"
    assert "None: no case was left to judge on." in page


def test_the_page_stands_alone_and_shows_names_and_intervals(card: ModelCard) -> None:
    page = card_html(card, {"pneumonia": "Pneumonia <of the lung>"})
    assert "Pneumonia &lt;of the lung&gt;" in page
    assert "SYNTHETIC" in page
    assert not re.search(r"<script|https?://|<link|<img", page)
    assert card.quantitative_analyses is not None
    assert f"{card.quantitative_analyses.macro_auroc.value:.3f}" in page
    assert "shuffled weights" in page


def test_a_model_from_before_these_fields_still_has_a_card(kept: tuple[dict[str, Any], dict[str, Any]]) -> None:
    old = {key: value for key, value in kept[0].items() if key not in {"explanations", "parameters"}}
    old["data"] = {k: v for k, v in old["data"].items() if k not in {"by_age", "acquired", "manifest_sha256"}}
    assert "not told" in card_html(model_card(old, kept[1]), {})


def test_it_tells_where_the_labels_come_from_and_whose_are_unlikely(
    kept: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    counts = {"as_sent": 40, "reviewed": 12, "golden": 3, "left_out": {"second reader": 5}, "labels": 60}
    said = "labels by key_1 are suspicious in 60% of 10, those by others in 5% of 40"
    share = {"value": 0.6, "low": 0.3, "high": 0.8}
    of_key = {"reviewer": "key_1", "labels": 10, "suspicious": 6, "share": share, "others": 0.05, "said": said}
    noise = {"checked": 50, "suspicious": 8, "reviewers": [of_key]}
    card = model_card({**kept[0], "labels": {"report": counts, "noise": noise}}, kept[1])
    told = json.loads(card.model_dump_json())
    validate(told, card_schema())
    assert told["training_data"]["labels"]["left_out"] == {"second reader": 5}
    assert told["training_data"]["labels"]["reviewers"][0] == {
        "reviewer": "key_1",
        "labels": 10,
        "suspicious": share,
        "named": True,
    }
    assert f"Of the labels that taught: {said}." in told["caveats_and_recommendations"]
    assert "40 as they were sent, 12 by review, 3 golden; left out, second reader: 5" in card_html(card, {})
