"""A reviewer's word: kept for good, and the label follows."""

from __future__ import annotations

from typing import Any

import httpx
import pytest


def review(client: httpx.Client, case_id: str, **said: Any) -> httpx.Response:
    return client.post(f"/cases/{case_id}/reviews", json=said)


def test_an_override_sets_the_label_with_who_and_when(
    client: httpx.Client, predicted: dict[str, Any], case_id: str
) -> None:
    answer = review(
        client, case_id, prediction=predicted["id"], verdict="override", diagnoses=["heart-failure"], comment="oedema"
    )
    assert answer.status_code == 201
    case = client.get(f"/cases/{case_id}").json()
    assert case["diagnoses"] == ["heart-failure"]
    assert case["labelled_by"].startswith("test admin (key_")
    assert case["labelled_at"] >= case["created_at"]


def test_a_confirmation_confirms_what_the_model_holds_probable(
    client: httpx.Client, predicted: dict[str, Any], case_id: str
) -> None:
    review(client, case_id, prediction=predicted["id"], verdict="confirm").raise_for_status()
    probable = sorted(d["code"] for d in predicted["diagnoses"] if d["probability"] >= 0.5)
    assert client.get(f"/cases/{case_id}").json()["diagnoses"] == probable


def test_unsure_sets_no_label(client: httpx.Client, predicted: dict[str, Any], case_id: str) -> None:
    review(client, case_id, prediction=predicted["id"], verdict="unsure").raise_for_status()
    assert client.get(f"/cases/{case_id}").json()["diagnoses"] is None


def test_nothing_is_overwritten_and_the_newest_word_is_the_label(
    client: httpx.Client, predicted: dict[str, Any], case_id: str
) -> None:
    for code in ("pneumonia", "copd"):
        review(client, case_id, prediction=predicted["id"], verdict="override", diagnoses=[code]).raise_for_status()
    history = client.get(f"/cases/{case_id}/reviews").json()["items"]
    assert [r["diagnoses"] for r in history] == [["copd"], ["pneumonia"]]
    assert client.get(f"/cases/{case_id}").json()["diagnoses"] == ["copd"]


def test_a_review_does_not_make_the_prediction_stale(
    client: httpx.Client, predicted: dict[str, Any], case_id: str
) -> None:
    review(client, case_id, prediction=predicted["id"], verdict="override", diagnoses=[]).raise_for_status()
    assert client.post(f"/predictions/{predicted['id']}/explanations").status_code == 201


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"verdict": "maybe"}, "/verdict"),
        ({"verdict": "override"}, "/diagnoses"),
        ({"verdict": "override", "diagnoses": ["gout"]}, "/diagnoses/0"),
        ({"verdict": "unsure", "diagnoses": ["copd"]}, "/diagnoses"),
        ({"verdict": "confirm"}, "/prediction"),
        ({"verdict": "override", "diagnoses": [], "reason": "x"}, "/reason"),
    ],
)
def test_a_verdict_that_does_not_fit_is_pointed_at_and_stores_nothing(
    client: httpx.Client, case_id: str, said: dict[str, Any], pointer: str
) -> None:
    answer = review(client, case_id, **said)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert client.get(f"/cases/{case_id}/reviews").json()["items"] == []


def test_a_prediction_of_another_case_is_refused(client: httpx.Client, predicted: dict[str, Any]) -> None:
    other = client.post("/cases", json={"patient": {"id": "p-2"}, "note": "Fever."}).json()["id"]
    answer = review(client, other, prediction=predicted["id"], verdict="confirm")
    assert answer.json()["errors"][0]["pointer"] == "/prediction"


def test_every_review_is_in_the_audit_trail_without_the_patients_text(
    client: httpx.Client, predicted: dict[str, Any], case_id: str
) -> None:
    review(client, case_id, verdict="override", diagnoses=["copd"], comment="a secret remark").raise_for_status()
    trail = client.get("/audit", params={"action": "review.create"})
    assert [e["detail"] for e in trail.json()["items"]] == [{"case": case_id, "verdict": "override"}]
    assert "secret remark" not in trail.text
