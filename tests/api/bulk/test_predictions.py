"""Many stored cases predicted in one request, each once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from api.bulk.carrying_out import BulkJob
from clinical_mm.case import Case
from tests.api.conftest import case_json


@pytest.fixture
def cases(services: Any, phantom_cases: list[Case]) -> list[str]:
    """Seven stored cases, newest last; the first two have a label."""
    caller = services.access.operator("default")
    drawn = [replace(c, diagnoses=c.diagnoses if n < 2 else None) for n, c in enumerate(phantom_cases[:7])]
    return [services.cases.submit_case(caller, c).id for c in drawn]


def results(client: httpx.Client, run: str, **params: Any) -> list[dict[str, Any]]:
    return list(client.get(f"/prediction-runs/{run}/results", params=params).raise_for_status().json()["items"])


@pytest.mark.slow
def test_every_case_that_fits_is_predicted(client: httpx.Client, cases: list[str], model: str, work: Any) -> None:
    made = client.post("/prediction-runs", json={"filter": {"labelled": False}})
    assert made.status_code == 202, made.text
    run = made.json()
    assert made.headers["Location"] == f"/v1/prediction-runs/{run['id']}"
    assert (run["model"], run["filter"]["labelled"], run["state"]) == (model, False, "queued")
    work(run["id"])
    after = client.get(f"/prediction-runs/{run['id']}").json()
    assert (after["state"], after["progress"]["counts"]) == ("succeeded", {"predicted": 5})
    told = results(client, run["id"])
    assert [one["case_id"] for one in told] == cases[:1:-1], "newest first"
    for one in told:
        prediction = client.get(f"/predictions/{one['prediction_id']}").json()
        assert (prediction["case_id"], prediction["model"]) == (one["case_id"], model)
        assert prediction["created_by"] == run["created_by"]
    assert client.get(f"/cases/{cases[0]}/predictions").json()["items"] == []


def test_a_run_that_is_killed_goes_on_and_predicts_no_case_twice(
    client: httpx.Client, cases: list[str], model: str, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = client.post("/prediction-runs", json={}).json()["id"]
    finish, killed = BulkJob._finish, []

    def die(
        self: BulkJob, item: Any, done: Any
    ) -> None:  # predictions are made, what came of this line is not told yet
        if item.line == 4 and not killed:
            killed.append(item.line)
            raise KeyboardInterrupt
        finish(self, item, done)

    monkeypatch.setattr(BulkJob, "_finish", die)
    with pytest.raises(KeyboardInterrupt):
        work(run)
    work(run)
    assert [len(client.get(f"/cases/{case}/predictions").json()["items"]) for case in cases] == [1] * 7
    assert {one["outcome"] for one in results(client, run)} == {"predicted"}


def test_a_case_that_is_erased_meanwhile_is_told_and_spoils_nothing(
    client: httpx.Client, cases: list[str], model: str, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = BulkJob._choose

    def erase_one(self: BulkJob, run: Any) -> None:
        choose(self, run)
        client.delete(f"/cases/{cases[0]}").raise_for_status()

    monkeypatch.setattr(BulkJob, "_choose", erase_one)
    run = client.post("/prediction-runs", json={}).json()["id"]
    work(run)
    (failed,) = results(client, run, outcome="failed")
    assert (failed["case_id"], failed["reason"]) == (cases[0], "the case was erased meanwhile")
    assert client.get(f"/prediction-runs/{run}").json()["progress"]["counts"] == {"predicted": 6, "failed": 1}


def test_a_named_model_is_asked_and_another_projects_is_not_known(
    client: httpx.Client, cases: list[str], new_model: Any, work: Any
) -> None:
    first, second = new_model(), new_model()
    run = client.post("/prediction-runs", json={"model": second}).json()
    work(run["id"])
    assert client.get(f"/cases/{cases[0]}/predictions").json()["items"][0]["model"] == second != first
    other = new_model("another hospital")
    assert client.post("/prediction-runs", json={"model": other}).status_code == 404


def test_without_a_model_there_is_nothing_to_run(client: httpx.Client) -> None:
    client.post("/cases", json=case_json()).raise_for_status()
    assert client.post("/prediction-runs", json={}).status_code == 503
    assert client.get("/prediction-runs").json() == {"items": []}


@pytest.mark.parametrize(
    "body", [{"filter": {"colour": 1}}, {"filter": {"limit": 5}}, {"model": 7}, {"filter": {"review": "never"}}]
)
def test_a_filter_that_is_none_is_422(client: httpx.Client, body: dict[str, Any]) -> None:
    assert client.post("/prediction-runs", json=body).status_code == 422
