"""The main job on real chest X-ray cases, over HTTP, against a running server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.cxr_cases import masked_case_folder
from tests.whole.server import Server, clinical_mm, create_key, wait_for_run

pytestmark = pytest.mark.slow

QUICK = {
    "training.epochs": 3,
    "training.members": 2,
    "training.judged_cases": 0,
    "task.kind": "exclusive",
    "task.diagnoses": ["covid-19", "pneumonia"],
}
"""The job is what is tested here; how good the model can get is measured by ``benchmarks/cxr_cases.py``."""


@pytest.fixture(scope="module")
def workspace(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real cases, masked, imported through the command line."""
    folder = tmp_path_factory.mktemp("real")
    masked_case_folder(shared_data / "cxr_cases", folder / "plain")
    workspace = folder / "workspace"
    answer = clinical_mm("cases", "import", str(folder / "plain"), "--format", "folder", "--json", workspace=workspace)
    outcomes = json.loads(answer.stdout)
    refused = [o for o in outcomes if o["outcome"] == "refused"]
    assert len(outcomes) - len(refused) >= 95, refused
    return workspace


def test_import_train_predict_explain_override_retrain_promote(workspace: Path) -> None:
    trainer, admin = create_key(workspace, "trainer"), create_key(workspace, "admin")
    with Server(workspace) as server, server.client(trainer) as client, server.client(admin) as chief:
        first = trained(client)
        assert serving(client) == first

        case = held_out_case(client)
        prediction = client.post(f"/cases/{case['id']}/predictions").raise_for_status().json()
        assert prediction["model"] == first
        assert sum(d["probability"] for d in prediction["diagnoses"]) == pytest.approx(1, abs=1e-4)
        assert sum(m["weight"] for m in prediction["modalities"]) == pytest.approx(1, abs=1e-4)

        explanation = explained(client, prediction)
        assert {"imaging", "text", "vitals", "words"} == {m["name"] for m in explanation["modalities"]}
        assert client.get(explanation["images"][0]["heatmap"].removeprefix("/v1")).content.startswith(b"\x89PNG")

        overridden(client, case, prediction)
        second = trained(client)
        assert serving(client) == first, "a later model is held for a person"
        chief.post(f"/models/{second}/promote").raise_for_status()
        answer = client.post(f"/cases/{case['id']}/predictions").raise_for_status().json()
        assert answer["model"] == second == serving(client)


def trained(client: httpx.Client) -> str:
    started = client.post("/training-runs", json={"config": "few_cases", "set": QUICK}).raise_for_status()
    assert started.status_code == 202
    run = wait_for_run(client, started.headers["Location"])
    assert run["state"] == "succeeded", run
    return str(run["model"])


def serving(client: httpx.Client) -> str:
    models = client.get("/models").raise_for_status().json()["items"]
    return str(next(m["id"] for m in models if m["serving"]))


def held_out_case(client: httpx.Client) -> dict[str, Any]:
    """An unlabelled patient with a picture and a note: no model has seen a label of it."""
    page = client.get("/cases", params={"labelled": False, "limit": 100}).raise_for_status().json()
    cases: list[dict[str, Any]] = page["items"]
    return next(c for c in cases if c["note"] and c["files"])


def explained(client: httpx.Client, prediction: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(f"/predictions/{prediction['id']}/explanations", json={}).raise_for_status().json()
    total = sum(m["contribution"] for m in answer["modalities"])
    moved = answer["value"] - answer["baseline_value"]
    assert total == pytest.approx(moved, abs=max(0.02, 0.05 * abs(moved)))
    assert answer["completeness_error"] <= 0.05
    assert all(0 <= t["start"] < t["end"] for t in answer["text"])
    return dict(answer)


def overridden(client: httpx.Client, case: dict[str, Any], prediction: dict[str, Any]) -> None:
    body = {"prediction": prediction["id"], "verdict": "override", "diagnoses": ["covid-19"], "comment": "PCR seen"}
    client.post(f"/cases/{case['id']}/reviews", json=body).raise_for_status()
    assert client.get(f"/cases/{case['id']}").json()["diagnoses"] == ["covid-19"]
    history = client.get(f"/cases/{case['id']}/reviews").raise_for_status().json()["items"]
    assert [r["verdict"] for r in history] == ["override"]
