"""What browsers are told around every answer: headers, cookies, other origins, proxies in front."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.services import build
from api.settings import Settings
from clinical_mm.errors import InvalidConfig
from tests.api.conftest import case_json, listening
from tests.api.pages.test_sign_in import csrf_token


@contextmanager
def serving(settings: Settings, **changes: Any) -> Iterator[httpx.Client]:
    services = build(settings.model_copy(update=changes))
    with listening(create_app(services=services)) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client
    services.close()


def bearer(keys: dict[str, str], role: str = "viewer") -> dict[str, str]:
    return {"Authorization": f"Bearer {keys[role]}"}


BEHIND_TLS = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "cmm.example.org", "X-Forwarded-For": "192.0.2.7"}


def test_behind_a_proxy_cookies_are_for_https_and_this_host_alone(settings: Settings, keys: dict[str, str]) -> None:
    with serving(settings, proxies=1) as client:
        page = client.get("/sign-in", headers=BEHIND_TLS)
        cookie = page.headers["Set-Cookie"]
        assert cookie.startswith("__Host-clinical_mm_session=")
        assert all(flag in cookie for flag in ("; Secure", "; HttpOnly", "; Path=/", "; SameSite=Lax"))
        assert "Domain" not in cookie
        name, _, value = cookie.split(";")[0].partition("=")
        form = {"key": keys["viewer"], "csrf_token": csrf_token(page.text)}
        headers = {**BEHIND_TLS, "Cookie": f"{name}={value}"}
        entered = client.post("/sign-in", data=form, headers=headers)
        assert entered.status_code == 303
        plain = entered.headers["Set-Cookie"].split(";")[0].replace("__Host-", "")
        assert client.get("/", headers={**BEHIND_TLS, "Cookie": plain}).status_code == 303, "a name any host can set"


def test_without_a_proxy_nobody_believes_what_a_client_forwards(settings: Settings) -> None:
    with serving(settings) as client:
        answer = client.get("/sign-in", headers=BEHIND_TLS)
    assert answer.headers["Set-Cookie"].startswith("clinical_mm_session=")
    assert "Strict-Transport-Security" not in answer.headers


def test_https_is_asked_for_again_where_it_is_there(settings: Settings, keys: dict[str, str]) -> None:
    with serving(settings, proxies=1) as client:
        for path in ("/sign-in", "/healthz", "/v1/catalogue"):
            answer = client.get(path, headers={**BEHIND_TLS, **bearer(keys)})
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains", path


def test_every_answer_closes_what_browsers_leave_open(server_url: str, keys: dict[str, str]) -> None:
    for path in (
        "/v1/cases",
        "/v1/cases/none",
        "/v1/nowhere",
        "/healthz",
        "/openapi.json",
        "/docs/swagger",
        "/sign-in",
        "/static/icon.svg",
    ):
        headers = httpx.get(f"{server_url}{path}", headers=bearer(keys)).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["X-Frame-Options"] == "DENY", path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert "unsafe" not in headers["Content-Security-Policy"], path
        assert headers["Referrer-Policy"] in {"no-referrer", "same-origin"}, path


def test_pages_are_apart_from_other_windows_and_sites(server_url: str) -> None:
    headers = httpx.get(f"{server_url}/sign-in").headers
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]


def test_no_other_origin_may_call_unless_it_is_named(settings: Settings, keys: dict[str, str]) -> None:
    asks = {
        "Origin": "https://viewer.example.org",
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization",
    }
    with serving(settings) as client:
        assert "Access-Control-Allow-Origin" not in client.options("/v1/cases/x", headers=asks).headers
        answer = client.get("/v1/cases", headers={**bearer(keys), "Origin": asks["Origin"]})
        assert "Access-Control-Allow-Origin" not in answer.headers
    with serving(settings, cors_origins="https://viewer.example.org, http://localhost:3000") as client:
        told = client.options("/v1/cases/x", headers=asks).headers
        assert told["Access-Control-Allow-Origin"] == asks["Origin"]
        assert "PATCH" in told["Access-Control-Allow-Methods"]
        assert "authorization" in told["Access-Control-Allow-Headers"].lower()
        assert "Access-Control-Allow-Credentials" not in told
        answer = client.get("/v1/cases", headers={**bearer(keys), "Origin": asks["Origin"]})
        assert answer.headers["Access-Control-Allow-Origin"] == asks["Origin"]
        stranger = client.options("/v1/cases/x", headers={**asks, "Origin": "https://evil.example.org"})
        assert "Access-Control-Allow-Origin" not in stranger.headers
        assert "Access-Control-Allow-Origin" not in client.get("/sign-in", headers={"Origin": asks["Origin"]}).headers
        assert client.get("/v1/cases", headers={"Origin": asks["Origin"]}).status_code == 401


@pytest.mark.parametrize("origin", ["*", "viewer.example.org", "https://viewer.example.org/", "https://*.example.org"])
def test_what_is_no_origin_is_told_at_the_start(settings: Settings, origin: str) -> None:
    services = build(settings.model_copy(update={"cors_origins": origin}))
    with pytest.raises(InvalidConfig, match="CORS_ORIGINS"):
        create_app(services=services)
    services.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Origin": "https://evil.example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example.org"}, 403),
    ],
)
def test_where_nobody_needs_a_key_another_sites_page_cannot_call(
    settings: Settings, headers: dict[str, str], status: int
) -> None:
    with serving(settings, auth="off") as client:
        assert client.post("/v1/cases", json=case_json(), headers=headers).status_code == status


def test_signing_out_by_key_ends_the_session_on_the_server(server_url: str, keys: dict[str, str]) -> None:
    with httpx.Client(base_url=server_url, follow_redirects=True, timeout=60) as client:
        token = csrf_token(client.get("/sign-in").text)
        shown = client.post("/sign-in", data={"key": keys["viewer"], "csrf_token": token})
        kept = client.cookies["clinical_mm_session"]
        client.post("/sign-out", data={"csrf_token": csrf_token(shown.text)})
    for name in (kept, kept[:-1], ""):
        assert httpx.get(f"{server_url}/", cookies={"clinical_mm_session": name}).status_code == 303


def test_every_form_of_a_page_carries_its_token_and_every_change_asks_for_it(
    settings: Settings, keys: dict[str, str]
) -> None:
    """Whatever the pages offer: a POST without the token changes nothing, whichever route it is."""
    services = build(settings)
    app = create_app(services=services)
    changing = [
        re.sub(r"<[^>]+>", "1", rule.rule)
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("pages.") and (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}
    ]
    client = app.test_client()
    token = csrf_token(client.get("/sign-in").text)
    client.post("/sign-in", data={"key": keys["admin"], "csrf_token": token})
    answers = {path: client.post(path, headers={"Sec-Fetch-Site": "same-origin"}).status_code for path in changing}
    services.close()
    assert len(changing) > 10
    assert set(answers.values()) == {403}, answers


def test_a_key_that_ends_soon_says_so(server_url: str, client_as: Callable[[str], httpx.Client], services: Any) -> None:
    from datetime import timedelta

    from api.access.service import Role
    from api.ground.clock import now

    for days, told in ((7, True), (60, False)):
        ends = now() + timedelta(days=days)
        _, secret = services.access.create_key(services.access.operator(), Role.VIEWER, "trial", ends)
        answer = httpx.get(f"{server_url}/v1/catalogue", headers={"Authorization": f"Bearer {secret}"})
        assert ("X-Key-Expires-At" in answer.headers) == told
    with httpx.Client(base_url=server_url, follow_redirects=True, timeout=60) as browser:
        ends = now() + timedelta(days=3)
        _, secret = services.access.create_key(services.access.operator(), Role.VIEWER, "trial", ends)
        token = csrf_token(browser.get("/sign-in").text)
        assert "key ends" in browser.post("/sign-in", data={"key": secret, "csrf_token": token}).text


def test_when_a_key_was_used_is_kept_and_written_now_and_then(
    client_as: Callable[[str], httpx.Client], services: Any
) -> None:
    from sqlalchemy import select

    from api.access.tables import ApiKeyRow

    def written() -> set[str]:
        with services.ground.database.reading() as session:
            return set(session.scalars(select(ApiKeyRow.name).where(ApiKeyRow.last_used_at.is_not(None))))

    client_as("viewer").get("/catalogue").raise_for_status()
    assert written() == set(), "no request waits for a writer to say that it happened"
    listed = {k["name"]: k["last_used_at"] for k in client_as("admin").get("/keys").json()["items"]}
    assert listed["test viewer"] is not None
    assert listed["test trainer"] is None
    services.access.uses.write()
    assert {"test viewer", "test admin"} <= written()
