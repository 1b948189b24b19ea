"""Erasing a patient takes everything of theirs, nothing of another's, and leaves a certificate that names neither."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from api.backups.making import make
from api.backups.restoring import restore
from api.cases.forgetting import Forgetting
from api.ground.blobs import Blobs, BlobsAway
from api.settings import Settings
from clinical_mm.importing.folder import write_folder
from tests.api.bulk.conftest import work
from tests.api.bulk.test_imports import lines, sent
from tests.api.cases.test_submit import multipart
from tests.api.conftest import BareSettings, case_json, png
from tests.api.stored import Stored, state_of

__all__ = ["work"]

CANARY = "zq7canary"


def of_canary(external_id: str, *files: tuple[str, bytes]) -> dict[str, Any]:
    """A case whose every text names the patient."""
    body = case_json(
        external_id=f"{CANARY}-{external_id}",
        patient={"id": f"{CANARY}-patient", "sex": "F", "age_years": 64},
        note=f"{CANARY} has had fever and a productive cough for three days.",
    )
    return multipart(body, *files)


@pytest.fixture
def erase(client: httpx.Client) -> Callable[..., dict[str, Any]]:
    def call(**body: Any) -> dict[str, Any]:
        answer = client.post("/erasures", json=body or {"patient": f"{CANARY}-patient"})
        assert answer.status_code == 201, answer.text
        again = client.get(answer.headers["Location"].removeprefix("/v1")).raise_for_status().json()
        assert again == answer.json()
        return dict(again)

    return call


@pytest.fixture
def canary(client: httpx.Client, model: str) -> list[str]:
    """Two cases of one patient, with everything that can come of a case."""
    film = f"{CANARY}.png"
    ids = []
    for n in (1, 2):
        sent = client.post(
            "/cases", headers={"Idempotency-Key": f"{CANARY}-{n}"}, **of_canary(str(n), (film, png(n)), ("x", png(7)))
        )
        ids.append(sent.raise_for_status().json()["id"])
    said = client.post(f"/cases/{ids[0]}/predictions").raise_for_status().json()["id"]
    client.post(f"/predictions/{said}/explanations", json={}).raise_for_status()
    verdict = {"prediction": said, "verdict": "unsure", "comment": f"{CANARY} again"}
    client.post(f"/cases/{ids[0]}/reviews", json=verdict).raise_for_status()
    return ids


def test_lines_of_an_import_that_waits_go_too_and_those_of_others_stay(
    client: httpx.Client, erase: Callable[..., dict[str, Any]], work: Any, settings: Settings, services: Any
) -> None:
    theirs = {**case_json(external_id="t", patient={"id": f"{CANARY}-patient"}), "files": ["own.png", "both.png"]}
    other = {**case_json(external_id="o"), "files": ["both.png"]}
    parts = {"own.png": png(1), "both.png": png(2)}
    run = client.post("/case-imports", **sent(lines(theirs, "{no json", other), **parts)).json()["id"]
    told = erase()
    assert (told["rows"]["cases"], told["rows"]["import_lines"], told["complete"]) == (0, 1, True)
    assert [one["sha256"] for one in told["objects"]] == [hashlib.sha256(png(1)).hexdigest()]
    assert not services.ground.blobs.exists(told["objects"][0]["sha256"])
    work(run)
    found = client.get(f"/case-imports/{run}/results").json()["items"]
    assert [one["outcome"] for one in found] == ["refused", "refused", "accepted"]
    assert found[0]["reason"] == "its patient was erased"
    assert places_of(f"{CANARY}-patient".encode(), settings) == []


def test_a_line_that_is_stored_while_its_patient_is_erased_is_taken_back(
    client: httpx.Client,
    erase: Callable[..., dict[str, Any]],
    work: Any,
    services: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = case_json(external_id="t", patient={"id": f"{CANARY}-patient"})
    run = client.post("/case-imports", **sent(lines(body))).json()["id"]
    submit = services.cases.submit

    def erased_before(*asked: Any, **named: Any) -> Any:
        erase()
        return submit(*asked, **named)

    monkeypatch.setattr(services.cases, "submit", erased_before)
    work(run)
    assert client.get("/cases").json()["items"] == []
    assert client.get(f"/case-imports/{run}/results").json()["items"][0]["reason"] == "its patient was erased"


def places_of(canary: bytes, settings: Settings) -> list[str]:
    """Files of the workspace that hold these bytes, or are named so."""
    return [
        str(path.relative_to(settings.workspace))
        for path in settings.workspace.rglob("*")
        if path.is_file() and (canary in path.read_bytes() or canary.decode() in path.name)
    ]


def test_no_byte_of_the_patient_is_left_in_the_workspace_or_the_database(
    client: httpx.Client, services: Any, settings: Settings, stored: Stored, canary: list[str], erase: Any
) -> None:
    other = client.post("/cases", **multipart(case_json(), ("a.png", png(7)))).raise_for_status().json()["id"]
    before = str(state_of(stored).rows)
    assert CANARY in before
    certificate = erase()
    assert certificate["cases"] == sorted(canary)
    assert certificate["rows"]["cases"] == 2
    assert certificate["rows"]["files"] == 4
    assert (
        certificate["rows"]["predictions"] == certificate["rows"]["explanations"] == certificate["rows"]["reviews"] == 1
    )
    assert {o["kind"] for o in certificate["objects"]} >= {"file"}
    assert len(certificate["shared"]) == 1, "another patient's case holds the same picture"
    assert certificate["complete"]
    assert CANARY not in json.dumps(certificate)
    assert CANARY not in str(state_of(stored).rows)
    assert places_of(CANARY.encode(), settings) == []
    assert sampled(services, CANARY) == []
    for erased in certificate["objects"]:
        assert not services.ground.blobs.exists(erased["sha256"])
    assert client.get(f"/cases/{other}/files/0").content == png(7)
    assert client.get(f"/cases/{canary[0]}").status_code == 404
    assert CANARY not in client.get("/audit").text


def sampled(services: Any, word: str) -> list[str]:
    """Columns of whose contents PostgreSQL's planner keeps samples with that word."""
    if services.ground.database.engine.dialect.name == "sqlite":
        return []
    with services.ground.database.reading() as session:
        query = text("SELECT tablename || '.' || attname FROM pg_stats WHERE most_common_vals::text LIKE :word")
        return list(session.scalars(query, {"word": f"%{word}%"}))


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_canary_that_is_not_erased_is_found(settings: Settings, canary: list[str]) -> None:
    assert places_of(CANARY.encode(), settings) != []


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_patient_of_whom_nothing_is_stored_is_told_and_needs_an_admin(client_as: Any) -> None:
    body = {"patient": "nobody"}
    assert client_as("admin").post("/erasures", json=body).status_code == 404
    assert client_as("trainer").post("/erasures", json=body).status_code == 403
    assert client_as("trainer").get("/erasures").status_code == 403
    assert client_as("admin").post("/erasures", json={}).status_code == 422
    assert client_as("admin").post("/erasures", json={**body, "cases": ["case_1"]}).status_code == 422


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_another_project_neither_erases_nor_sees(client_as: Any, canary: list[str], erase: Any) -> None:
    stranger = client_as("stranger")
    assert stranger.post("/erasures", json={"patient": f"{CANARY}-patient"}).status_code == 404
    assert stranger.post("/erasures", json={"cases": canary}).status_code == 404
    made = erase()
    assert stranger.get(f"/erasures/{made['id']}").status_code == 404
    assert stranger.get("/erasures").json()["items"] == []
    assert [c["id"] for c in client_as("admin").get("/erasures").json()["items"]] == [made["id"]]


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_models_that_learned_from_the_patient_are_named(
    services: Any, client: httpx.Client, canary: list[str], erase: Any, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.models, "manifest", lambda _: None)
    split = {"train": [canary[1]], "validation": ["case_x"], "test": [], "seed": 3}
    path = services.models.bundle_folder(model) / "docs/split.json"
    path.unlink()  # a hard link of the bundle that all tests share
    path.write_text(json.dumps(split), encoding="utf-8")
    assert erase()["models"] == [{"id": model, "serving": True, "cases": {canary[1]: "train"}}]


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_backup_that_may_hold_the_patient_is_named_until_it_is_discarded(
    services: Any, canary: list[str], erase: Any, tmp_path: Path, client: httpx.Client
) -> None:
    from api.backups.known import discard

    make(services.ground, tmp_path / "old.tar")
    kept = services.ground.database
    client.post("/cases", **of_canary("3", ("c.png", png(30)))).raise_for_status()
    made = make(services.ground, tmp_path / "new.tar")
    certificate = erase()
    assert [b["name"] for b in certificate["backups"]] == ["old.tar", "new.tar"]
    discard(kept, certificate["backups"][0]["id"])
    target = BareSettings(workspace=tmp_path / "restored")
    restore(target, made.path)
    from api.services import build

    back = build(target)
    caller = back.access.operator()
    assert len(back.cases.ids(caller)) == 3
    from api.erasures.schemas import ErasureIn

    again = back.erasures.erase(caller, ErasureIn(cases=certificate["cases"]))
    back.close()
    assert again.rows["cases"] == 3
    assert places_of(CANARY.encode(), target) == []


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_training_that_has_a_copy_is_told_to_end_and_the_certificate_waits_for_it(
    services: Any, client: httpx.Client, canary: list[str], erase: Any
) -> None:
    from api.training.job import TrainingJob

    runs = [client.post("/training-runs", json={"config": "small"}).raise_for_status().json()["id"] for _ in range(2)]
    job = TrainingJob(services.ground, services.cases, services.models, services.promotions, runs[0])
    assert job.record.begin()
    job.freeze()
    assert CANARY in (job.folder / "snapshot" / "cases.jsonl").read_text(encoding="utf-8")
    left_behind = services.ground.settings.runs_folder / "run_killed_long_ago"
    write_folder(services.cases.select(services.access.operator().project_id, {}), left_behind / "snapshot")
    certificate = erase()
    assert certificate["stopped_runs"] == [runs[0]], "the other one has not copied anything yet"
    assert (certificate["complete"], certificate["waiting_for"]) == (False, [runs[0]])
    assert not (left_behind / "snapshot").exists()
    assert client.get(f"/training-runs/{runs[0]}").json()["error"] is not None
    job.record.cancelled()
    job.tidy()
    assert client.get(f"/erasures/{certificate['id']}").json()["complete"]
    assert places_of(CANARY.encode(), services.ground.settings) == []


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_what_is_erased_leaves_the_caches_of_other_machines_too(
    services: Any, client: httpx.Client, canary: list[str], erase: Any, tmp_path: Path
) -> None:
    import shutil
    from dataclasses import replace

    from clinical_mm.features import FeatureCache

    services.ground.features.close()
    shutil.copytree(services.ground.settings.workspace, tmp_path / "elsewhere")
    elsewhere = FeatureCache(tmp_path / "elsewhere" / "features.db", 2**30)
    assert elsewhere.bytes_kept() > 0
    forgetting = Forgetting(replace(services.ground, features=elsewhere))
    assert forgetting.look() == 0
    erase()
    assert forgetting.look() > 0
    assert forgetting.look() == 0
    assert elsewhere.bytes_kept() == 0
    elsewhere.close()


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_an_object_that_the_store_could_not_remove_is_removed_when_the_certificate_is_read(
    client: httpx.Client, canary: list[str], services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise BlobsAway

    with monkeypatch.context() as patched:
        patched.setattr(Blobs, "delete", away)
        certificate = client.post("/erasures", json={"patient": f"{CANARY}-patient"}).raise_for_status().json()
    assert not certificate["complete"]
    assert services.ground.blobs.exists(certificate["objects"][0]["sha256"])
    assert client.get(f"/erasures/{certificate['id']}").json()["complete"]
    assert not services.ground.blobs.exists(certificate["objects"][0]["sha256"])


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_an_object_that_came_again_with_an_import_stays(
    client: httpx.Client, services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise BlobsAway

    client.post("/cases", **multipart(case_json(), ("1.png", png(1)))).raise_for_status()
    with monkeypatch.context() as patched:
        patched.setattr(Blobs, "delete", away)
        certificate = client.post("/erasures", json={"patient": "p-1"}).raise_for_status().json()
    line = json.dumps({**case_json(external_id="other", patient={"id": "p-2"}), "files": ["1.png"]}).encode()
    sent = [("cases", ("cases.jsonl", line, "text/plain")), ("files", ("1.png", png(1), "image/png"))]
    client.post("/case-imports", files=sent).raise_for_status()
    assert client.get(f"/erasures/{certificate['id']}").json()["complete"]
    assert services.ground.blobs.exists(certificate["objects"][0]["sha256"])
