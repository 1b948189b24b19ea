"""Blobs, bundles and the whole flow in an object store: a real S3 server, spoken to over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
from obstore.exceptions import GenericError

from api.backups.making import make
from api.backups.restoring import restore
from api.cases import sweep
from api.cli.doctor import examine
from api.ground.blobs import Blobs, BlobsAway
from api.models.bundles import Bundles
from api.services import build
from api.settings import Settings
from clinical_mm.errors import DamagedFile, InvalidConfig
from tests.api.cases.test_submit import multipart
from tests.api.conftest import BareSettings, case_json, listening, png
from torture.objects import BUCKET, ObjectStore, credentials, object_store


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as found:
        yield found


@pytest.fixture(autouse=True)
def cloud(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables by which the cloud is found."""
    for name, value in credentials(store.port).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def blob_url(tmp_path: Path) -> str:
    """A prefix of the test's own."""
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def settings(database_url: str, tmp_path: Path, blob_url: str) -> Settings:
    return BareSettings(
        workspace=tmp_path / "workspace", database_url=database_url, blob_url=blob_url, embedded_worker=False
    )


@pytest.fixture
def blobs(blob_url: str, tmp_path: Path) -> Blobs:
    return Blobs(blob_url, tmp_path / "unused")


def test_blobs_are_put_got_listed_and_deleted(blobs: Blobs) -> None:
    digest = blobs.put(b"a picture")
    assert (blobs.get(digest), blobs.exists(digest), blobs.put(b"a picture")) == (b"a picture", True, digest)
    assert [name for name, _ in blobs.list()] == [hashlib.sha256(b"a picture").hexdigest()]
    blobs.delete(digest)
    blobs.delete(digest)
    assert (blobs.exists(digest), list(blobs.list())) == (False, [])
    with pytest.raises(DamagedFile):
        blobs.get(digest)


def test_a_large_blob_goes_through_whole(blobs: Blobs) -> None:
    data = bytes(range(256)) * 2**16
    digest = blobs.put(data)
    assert blobs.get(digest) == data
    pieces = list(blobs.pieces(digest))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) < len(data) / 2, "never whole in memory"
    with pytest.raises(DamagedFile):
        blobs.pieces("0" * 64)


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_bucket_that_is_not_there_is_told_by_doctor_and_at_the_start(settings: Settings, tmp_path: Path) -> None:
    wrong = settings.model_copy(update={"blob_url": "s3://no-such-bucket/blobs"})
    with pytest.raises(InvalidConfig, match=r"no-such-bucket.*CLINICAL_MM_BLOB_URL"):
        Blobs(wrong.blob_url, tmp_path).check()
    [finding] = [f for f in examine(wrong, 8000) if f.check == "blobs"]
    assert finding.state == "fail"
    assert "no-such-bucket" in finding.detail


def test_a_url_of_no_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="CLINICAL_MM_BLOB_URL"):
        Blobs("nonsense://there", tmp_path)


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_submit_predict_explain_and_erase_leave_nothing_behind(client: httpx.Client, services: Any, model: str) -> None:
    case = client.post("/cases", **multipart(case_json(), ("a.png", png()))).raise_for_status().json()["id"]
    assert client.get(f"/cases/{case}/files/0").content == png()
    said = client.post(f"/cases/{case}/predictions").raise_for_status().json()["id"]
    account = client.post(f"/predictions/{said}/explanations", json={}).raise_for_status().json()
    for image in account["images"]:
        picture = client.get(image["heatmap"].removeprefix("/v1"))
        assert picture.content.startswith(b"\x89PNG")
    assert len(list(services.ground.blobs.list())) == 1 + len(account["images"])
    client.delete(f"/cases/{case}").raise_for_status()
    assert list(services.ground.blobs.list()) == []


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_training_over_the_store_makes_a_model_that_another_machine_serves(
    services: Any, settings: Settings, phantom_cases: list[Any], tmp_path: Path, keys: dict[str, str]
) -> None:
    from api.app import create_app

    operator = services.access.operator()
    for n, case in enumerate(phantom_cases[:24]):
        from dataclasses import replace

        services.cases.submit_case(operator, replace(case, external_id=f"acc-{n}"))
    changes = {"training.epochs": 1, "training.judged_cases": 0}
    made = services.training.foreground(operator, "small", changes)
    elsewhere = settings.model_copy(
        update={"workspace": tmp_path / "elsewhere", "database_url": services.ground.database.url}
    )
    other = build(elsewhere)
    with listening(create_app(services=other)) as url:
        headers = {"Authorization": f"Bearer {keys['clinician']}"}
        with httpx.Client(base_url=f"{url}/v1", headers=headers, timeout=120) as client:
            case = client.get("/cases").json()["items"][0]["id"]
            assert client.post(f"/cases/{case}/predictions").raise_for_status().json()["model"] == made.id
    other.close()


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_bundle_that_was_changed_in_the_store_is_not_served(
    services: Any, settings: Settings, model: str, tmp_path: Path
) -> None:
    from clinical_mm.errors import InvalidBundle

    bundles = Bundles(tmp_path / "models", services.ground.blobs)
    services.ground.blobs.put_named(f"models/{model}/docs/card.json", b"{}")
    with pytest.raises(InvalidBundle, match=r"card\.json"):
        bundles.folder(model)
    assert not (tmp_path / "models" / model).exists()


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_the_sweep_takes_orphans_and_spares_the_young_since_they_may_be_coming_in(
    client: httpx.Client, services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = client.post("/cases", **multipart(case_json(), ("a.png", png()))).raise_for_status().json()["id"]
    orphan = services.ground.blobs.put(b"left by a crash")
    assert sweep.sweep_orphans(services.ground) == 0
    monkeypatch.setattr(sweep, "YOUNG", timedelta(0))
    assert sweep.sweep_orphans(services.ground) == 1
    assert not services.ground.blobs.exists(orphan)
    assert client.get(f"/cases/{case}/files/0").content == png()


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_backup_goes_from_a_store_into_a_folder_and_back(
    client: httpx.Client, services: Any, model: str, tmp_path: Path, blob_url: str
) -> None:
    case = client.post("/cases", **multipart(case_json(), ("a.png", png()))).raise_for_status().json()["id"]
    made = make(services.ground, tmp_path / "backup.tar")
    for name, url in (("folder", ""), ("store", f"{blob_url}-again")):
        target = BareSettings(workspace=tmp_path / name, blob_url=url, embedded_worker=False)
        restore(target, made.path)
        back = build(target)
        caller = back.access.operator()
        assert b"".join(back.files.content(caller, case, 0).pieces) == png()
        assert back.predictions.create(caller, case).model == model
        back.close()


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_store_that_says_nothing_is_503_within_two_seconds_and_back_by_itself(
    client: httpx.Client, services: Any, store: ObjectStore, server_url: str
) -> None:
    import time

    case = client.post("/cases", **multipart(case_json(), ("a.png", png()))).raise_for_status().json()["id"]
    services.ground.keep_watch()
    store.freeze()
    try:
        for _ in range(3):
            began = time.monotonic()
            answer = client.get(f"/cases/{case}/files/0")
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
            assert time.monotonic() - began < 2
        with pytest.raises(BlobsAway):
            services.ground.blobs.put(b"x")
        assert httpx.get(f"{server_url}/readyz").status_code == 503
    finally:
        store.thaw()
    deadline = time.monotonic() + 5
    while client.get(f"/cases/{case}/files/0").status_code != 200:
        assert time.monotonic() < deadline
    assert client.get(f"/cases/{case}/files/0").content == png()


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_a_store_that_goes_away_between_its_answer_and_the_first_byte_is_503(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = client.post("/cases", **multipart(case_json(), ("a.png", png()))).raise_for_status().json()["id"]

    class Broken:
        def stream(self, _: int) -> Iterator[bytes]:
            yield from ()
            raise GenericError("connection reset by peer")

    with monkeypatch.context() as away:
        away.setattr(obstore, "get", lambda *_: Broken())
        answer = client.get(f"/cases/{case}/files/0")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert client.get(f"/cases/{case}/files/0").content == png()
