"""What orchestrators and monitoring ask, without a key."""

from __future__ import annotations

import httpx

from tests.api.conftest import case_json


def test_alive_and_ready(server_url: str) -> None:
    assert httpx.get(f"{server_url}/healthz").status_code == 200
    answer = httpx.get(f"{server_url}/readyz")
    assert answer.status_code == 200, answer.text


def test_metrics_count_by_route_and_never_by_identifier(server_url: str, client: httpx.Client) -> None:
    case = client.post("/cases", json=case_json()).json()["id"]
    client.get(f"/cases/{case}")
    text = httpx.get(f"{server_url}/metrics").text
    assert 'route="/v1/cases/<id>"' in text
    assert case not in text
    assert "acc-1" not in text
