"""Bytes that a disk has lost or changed are never taken for what was stored: not shown, not judged, and told whose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from api.cli import context
from api.cli.cases import cases
from api.ground.logs import TextFormatter
from api.settings import Settings
from tests.api.cases.test_submit import multipart
from tests.api.conftest import case_json
from tests.clinical_mm.pictures.dicoms import dicom, ramp

Damage = Callable[[Path], object]
FILM = dicom(ramp())


def last_pixel(path: Path) -> None:
    """Changes it by one; no decoder notices."""
    data = path.read_bytes()
    path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])


DAMAGES = [pytest.param(last_pixel, id="changed"), pytest.param(Path.unlink, id="gone")]


@pytest.fixture
def case(client: httpx.Client) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/cases", **multipart(case_json(), ("a.dcm", FILM))).json()
    return answer


@pytest.fixture
def verify(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr(context, "settings_from_environment", lambda: settings)
    return lambda *options: CliRunner().invoke(cases, ["verify", *options])


def damaged(services: Any, case: dict[str, Any], damage: Damage) -> str:
    digest = str(case["files"][0]["sha256"])
    damage(services.ground.blobs.path(digest))
    return digest


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_neither_shown_nor_judged(
    client: httpx.Client,
    services: Any,
    case: dict[str, Any],
    model: str,
    damage: Damage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    digest, where = damaged(services, case, damage), f"/cases/{case['id']}"
    asked = [
        client.get(f"{where}/files/0"),
        client.get(f"{where}/files/0/preview.png"),
        client.get(f"{where}/files/0/raw"),
        client.post(f"{where}/predictions"),
    ]
    for answer in asked:
        assert answer.status_code == 500
        assert digest in answer.json()["detail"]
        assert "clinical-mm cases verify" in answer.json()["detail"]
    told = [TextFormatter().format(r) for r in caplog.records if r.name == "api.problems"]
    assert len(told) == len(asked)
    assert all(digest in line for line in told), "its log names it too"
    assert client.get(f"{where}/predictions").json()["items"] == []
    assert client.get(where).json() == case, "what is known of it stays"


@pytest.mark.parametrize("damage", DAMAGES)
def test_verify_names_the_damaged_file_and_its_cases_until_it_is_sent_again(
    client: httpx.Client, services: Any, case: dict[str, Any], verify: Callable[..., Result], damage: Damage
) -> None:
    assert "all 1 files are what was stored" in verify().stdout
    digest = damaged(services, case, damage)
    answer = verify("--json")
    assert answer.exit_code == 1
    how = "changed" if damage is last_pixel else "gone"
    assert json.loads(answer.stdout) == [{"sha256": digest, "how": how, "cases": [case["id"]]}]
    assert "sending it again" in answer.stderr
    assert f"{case['id']}\n" in verify().stdout, "as a table too"
    again = client.post("/cases", **multipart(case_json(external_id="again"), ("a.dcm", FILM)))
    assert again.status_code == 201
    assert client.get(f"/cases/{case['id']}/files/0").content == FILM
    assert verify().exit_code == 0


def test_what_was_erased_meanwhile_is_not_missed(services: Any, client: httpx.Client, case: dict[str, Any]) -> None:
    from api.cases.verifying import look_at

    client.delete(f"/cases/{case['id']}")
    assert look_at(services.ground, case["files"][0]["sha256"]) is None
