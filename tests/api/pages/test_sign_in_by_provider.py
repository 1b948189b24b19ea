"""The whole sign-in by an OpenID Connect provider that really runs: in a browser, and by hand where one must cheat."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import BrowserContext, expect

from api.app import create_app
from api.ground.clock import now
from api.ground.migrate import upgrade
from api.services import build
from tests.api.conftest import BareSettings, listening
from tests.api.pages.test_sign_in import csrf_token
from tests.api.providing import Provider, running_provider

pytestmark = pytest.mark.browser


@dataclass
class Clinic:
    """A server, the provider that it trusts, and its services."""

    url: str
    provider: Provider
    services: Any


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    folder = tmp_path_factory.mktemp("clinic")
    with running_provider() as provider:
        settings = provider.settings(BareSettings(workspace=folder / "workspace", embedded_worker=False), folder)
        upgrade(settings)
        services = build(settings)
        with listening(create_app(services=services)) as url:
            yield Clinic(url.replace("127.0.0.1", "localhost"), provider, services)
        services.close()


@pytest.fixture(autouse=True)
def ada_is_a_clinician(clinic: Clinic) -> Iterator[None]:
    clinic.provider.tell("ada", groups=["radiology", "elsewhere"])
    yield
    clinic.provider.set(slow_s=0.0, userinfo_alone=[])
    clinic.services.oidc.provider._away_until = 0.0


def begun(clinic: Clinic, path: str = "") -> tuple[httpx.Client, str]:
    """A browser that was sent to the provider, signed in there, and the address that leads it back."""
    client = httpx.Client(timeout=30)
    there = client.get(f"{clinic.url}/sign-in/provider{path}")
    assert there.status_code == 303, there.text
    back = client.post(there.headers["Location"], data={"name": "ada"})
    assert back.status_code == 302, back.text
    return client, back.headers["Location"]


def signed_in(clinic: Clinic) -> httpx.Client:
    client, back = begun(clinic)
    assert client.get(back).status_code == 303
    return client


def test_a_person_signs_in_works_and_signs_out_everywhere(clinic: Clinic, context: BrowserContext) -> None:
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda told: faults.append(told.text) if "Content Security Policy" in told.text else None)
    page.goto(f"{clinic.url}/models")
    page.get_by_role("link", name="Sign in with your organisation's account").click()
    page.get_by_label("Name").fill("ada")
    page.get_by_role("button", name="Let me in").click()
    page.wait_for_url(f"{clinic.url}/models")
    expect(page.locator(".who")).to_contain_text("Ada")
    expect(page.locator(".who")).to_contain_text("clinician")

    page.get_by_label("Project").select_option("another hospital")
    page.get_by_role("button", name="Enter").click()
    page.wait_for_url(f"{clinic.url}/")
    expect(page.locator(".who .role")).to_have_text("trainer")

    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{clinic.url}/sign-in")
    page.get_by_role("link", name="Sign in with your organisation's account").click()
    expect(page.get_by_label("Name")).to_be_visible()  # signed out there, too
    assert faults == []


def test_the_provider_is_asked_with_pkce_state_and_nonce(clinic: Clinic) -> None:
    asked = [httpx.get(f"{clinic.url}/sign-in/provider").headers["Location"] for _ in range(2)]
    one, other = (parse_qs(urlsplit(address).query) for address in asked)
    assert one["code_challenge_method"] == ["S256"]
    assert one["response_type"] == ["code"]
    assert all(len(one[name][0]) >= 43 and one[name] != other[name] for name in ("state", "nonce", "code_challenge"))


def test_an_answer_opens_nothing_in_another_browser(clinic: Clinic) -> None:
    _, back = begun(clinic)
    stranger = httpx.Client()
    assert stranger.get(back).status_code == 401
    stranger.get(f"{clinic.url}/sign-in/provider")
    assert stranger.get(back).status_code == 401
    assert stranger.get(f"{clinic.url}/").status_code == 303


def test_an_answer_opens_once(clinic: Clinic) -> None:
    client, back = begun(clinic)
    kept = dict(client.cookies)
    assert client.get(back).status_code == 303
    again = httpx.Client(cookies=kept)
    assert again.get(back).status_code == 401


@pytest.mark.parametrize("change", ["state", "a foreign state", "code", "error", "iss"])
def test_a_changed_answer_is_refused(clinic: Clinic, change: str) -> None:
    client, back = begun(clinic)
    changed = {
        "state": re.sub(r"state=[^&]+", "state=x", back),
        "a foreign state": re.sub(r"state=[^&]+", "state=%C3%A9", back),
        "code": re.sub(r"code=[^&]+", "code=x", back),
        "error": re.sub(r"code=[^&]+", "error=access_denied", back),
        "iss": f"{back}&iss=https://evil.example.org",
    }[change]
    assert client.get(changed).status_code == 401
    assert client.get(f"{clinic.url}/").status_code == 303


def test_an_id_token_of_another_sign_in_is_refused(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    client, back = begun(clinic)
    finish = clinic.services.oidc.finish

    def with_another_nonce(told: Any, carried: Any, uri: str) -> Any:
        return finish(told, type(carried)(carried.state, "another", carried.verifier, carried.address), uri)

    monkeypatch.setattr(clinic.services.oidc, "finish", with_another_nonce)
    answer = client.get(back)
    assert (answer.status_code, "nonce" in answer.text) == (401, True)


def test_a_code_without_its_verifier_is_refused_by_the_provider(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, back = begun(clinic)
    finish = clinic.services.oidc.finish
    monkeypatch.setattr(
        clinic.services.oidc,
        "finish",
        lambda told, carried, uri: finish(told, type(carried)(carried.state, carried.nonce, "v" * 43, ""), uri),
    )
    assert client.get(back).status_code == 401


def test_whoever_is_granted_nothing_is_told_so(clinic: Clinic) -> None:
    clinic.provider.tell("ada", groups=["choir"])
    client, back = begun(clinic)
    answer = client.get(back)
    assert (answer.status_code, "no project here is open to you" in answer.text) == (403, True)
    assert client.get(f"{clinic.url}/").status_code == 303


def test_groups_may_be_told_by_userinfo_alone(clinic: Clinic) -> None:
    clinic.provider.set(userinfo_alone=["groups"])
    assert "clinician" in signed_in(clinic).get(f"{clinic.url}/").text


@pytest.mark.parametrize("elsewhere", ["https://example.org/", "//example.org", "/\\example.org", "/%0d%0aX: y"])
def test_the_way_back_leads_to_no_other_site(clinic: Clinic, elsewhere: str) -> None:
    client, back = begun(clinic, f"?next={elsewhere}")
    assert client.get(back).headers["Location"] in {"/", "/%0d%0aX: y", "/%250d%250aX:%20y"}


def test_signing_in_gives_the_session_a_new_name_and_ends_the_old_one(clinic: Clinic) -> None:
    client, back = begun(clinic)
    client.get(f"{clinic.url}/sign-in")
    planted = client.cookies["clinical_mm_session"]
    client.get(back)
    first = client.cookies["clinical_mm_session"]
    client.get(client.get(f"{clinic.url}/sign-in/provider").headers["Location"])
    client.get(client.get(client.get(f"{clinic.url}/sign-in/provider").headers["Location"]).headers["Location"])
    second = client.cookies["clinical_mm_session"]
    assert len({planted, first, second}) == 3

    def status(name: str) -> int:
        return httpx.get(f"{clinic.url}/", cookies={"clinical_mm_session": name}).status_code

    assert [status(name) for name in (planted, first, second)] == [303, 303, 200]


def test_signing_out_ends_the_session_on_the_server(clinic: Clinic) -> None:
    client = signed_in(clinic)
    kept = client.cookies["clinical_mm_session"]
    token = csrf_token(client.get(f"{clinic.url}/").text)
    out = client.post(f"{clinic.url}/sign-out", data={"csrf_token": token})
    assert out.headers["Location"].startswith(f"{clinic.provider.url}/end?id_token_hint=")
    assert "post_logout_redirect_uri=http%3A%2F%2Flocalhost" in out.headers["Location"]
    assert httpx.get(f"{clinic.url}/", cookies={"clinical_mm_session": kept}).status_code == 303


def test_a_person_who_is_blocked_is_out_at_the_next_click(clinic: Clinic) -> None:
    client = signed_in(clinic)
    [person] = [p for p in clinic.services.people.list() if p.subject == "ada"]
    clinic.services.people.block(clinic.services.access.operator(), person.id, blocked=True)
    try:
        assert client.get(f"{clinic.url}/").status_code == 303
        other, back = begun(clinic)
        assert other.get(back).status_code == 401
    finally:
        clinic.services.people.block(clinic.services.access.operator(), person.id, blocked=False)
    assert client.get(f"{clinic.url}/").status_code == 303, "let in again, they sign in again"


@pytest.mark.parametrize("limit", ["idle", "absolute", "token"])
def test_a_session_ends_by_itself(clinic: Clinic, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lives = clinic.services.sessions.lives
    if limit == "token":
        monkeypatch.setattr(clinic.services.sessions, "lives", type(lives)(lives.absolute, lives.idle, True))
    client = signed_in(clinic)
    later = {"idle": lives.idle, "absolute": lives.absolute, "token": timedelta(minutes=11)}[limit]
    if limit == "absolute":
        monkeypatch.setattr(clinic.services.sessions, "lives", type(lives)(lives.absolute, timedelta(days=9), False))
    assert client.get(f"{clinic.url}/").status_code == 200
    monkeypatch.setattr("api.access.sessions.now", lambda: now() + later + timedelta(seconds=1))
    assert client.get(f"{clinic.url}/").status_code == 303


def test_while_the_provider_is_away_the_page_says_so_and_keys_work(clinic: Clinic) -> None:
    clinic.services.oidc.provider._metadata = None
    clinic.provider.set(slow_s=5.0)
    client = httpx.Client(timeout=30)
    answer = client.get(f"{clinic.url}/sign-in/provider")
    assert answer.elapsed < timedelta(seconds=3)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "does not answer; API keys open /v1 all the same" in answer.text
    from api.access.service import Role

    _, secret = clinic.services.access.create_key(clinic.services.access.operator(), Role.VIEWER, "spare")
    form = {"key": secret, "csrf_token": csrf_token(client.get(f"{clinic.url}/sign-in").text)}
    assert client.post(f"{clinic.url}/sign-in", data=form).status_code == 303
    assert client.get(f"{clinic.url}/").status_code == 200
