"""How strong a sign-in must be: told to the provider, looked at in its tokens, on the pages and on /v1; keys stay for /v1."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api.ground.clock import now
from api.pages.session import sign_in_link
from api.services import build
from api.settings import Settings
from clinical_mm.errors import InvalidConfig
from tests.api.access.test_browser import serving
from tests.api.pages.test_sign_in import csrf_token
from tests.api.providing import Provider

DEMANDED = {"oidc_acr": "gold, platinum", "oidc_amr": "mfa,hwk", "oidc_max_age_minutes": 60}
NEEDED = 'error="insufficient_user_authentication", acr_values="gold platinum", max_age="3600"'

Serve = Callable[..., Any]


@pytest.fixture
def demanding(settings: Settings, provider: Provider, tmp_path: Path) -> Iterator[Serve]:
    """Serves with settings of a test's own, over a provider whose ada has signed in as strongly as is demanded."""
    provider.tell("ada", groups=["radiology"], **strong())

    @contextmanager
    def serve(**changes: Any) -> Iterator[httpx.Client]:
        with serving(provider.settings(settings, tmp_path), **changes) as client:
            yield client

    yield serve
    provider.tell("ada", groups=["radiology"])


def strong(**changes: Any) -> dict[str, Any]:
    """What a token says of a sign-in that is strong enough; a change to ``...`` leaves the claim out."""
    good = {"acr": "gold", "amr": ["pwd", "mfa"], "auth_time": int(time.time()) - 60}
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def sign_in(client: httpx.Client, path: str = "") -> httpx.Response:
    """There, in as ada, and back: our answer."""
    there = client.get(f"/sign-in/provider{path}")
    back = client.post(there.headers["Location"], data={"name": "ada"})
    return client.get(back.headers["Location"])


def called(client: httpx.Client, token: str, path: str = "/v1/cases") -> httpx.Response:
    return client.get(path, headers={"Authorization": f"Bearer {token}"})


WEAK: dict[str, dict[str, Any]] = {
    "another context": {"acr": "silver"},
    "no context": {"acr": ...},
    "a context that is no text": {"acr": ["gold"]},
    "a context in other letters": {"acr": "Gold"},
    "other methods": {"amr": ["pwd", "otp"]},
    "no methods": {"amr": ...},
    "methods that are no list": {"amr": {"mfa": True}},
    "long ago": {"auth_time": int(time.time()) - 3700},
    "at no time": {"auth_time": ...},
    "at a time that is no number": {"auth_time": "now"},
    "in a moment to come": {"auth_time": int(time.time()) + 3600},
    "at a time beyond all calendars": {"auth_time": 1e300},
}


def test_a_token_of_a_strong_sign_in_opens_and_a_weaker_one_is_told_what_is_needed(
    provider: Provider, demanding: Serve
) -> None:
    with demanding(**DEMANDED, rate_limit_failures="") as client:
        assert called(client, provider.token(**strong())).status_code == 200
        assert called(client, provider.token(**strong(acr="platinum", amr=["hwk"]))).status_code == 200
        answers = {name: called(client, provider.token(**strong(**changes))) for name, changes in WEAK.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(WEAK, 401)
    told = {answer.headers["WWW-Authenticate"] for answer in answers.values()}
    assert told == {f'Bearer realm="clinical_mm", {NEEDED}'}
    assert "(acr) must be gold or platinum" in answers["another context"].json()["detail"]
    assert "(amr) must hold mfa or hwk" in answers["other methods"].json()["detail"]
    assert "60 minutes old at most" in answers["long ago"].json()["detail"]


def test_the_provider_is_asked_for_the_strength_that_is_demanded(demanding: Serve) -> None:
    with demanding(**DEMANDED) as client:
        asked = parse_qs(urlsplit(client.get("/sign-in/provider").headers["Location"]).query)
    assert (asked["acr_values"], asked["max_age"]) == (["gold platinum"], ["3600"])
    with demanding() as client:
        asked = parse_qs(urlsplit(client.get("/sign-in/provider").headers["Location"]).query)
    assert {"acr_values", "max_age", "prompt"} & asked.keys() == set()


def test_a_strong_sign_in_opens_the_pages_and_a_weaker_one_is_told_what_is_needed(
    provider: Provider, demanding: Serve
) -> None:
    with demanding(**DEMANDED) as client:
        assert sign_in(client).status_code == 303
        assert "Ada" in client.get("/").text
    for changes, told in (({"acr": "silver"}, "(acr) must be gold or platinum"), ({"amr": ["pwd"]}, "(amr) must hold")):
        provider.tell("ada", groups=["radiology"], **strong(**changes))
        with demanding(**DEMANDED) as client:
            refused = sign_in(client)
            assert (refused.status_code, told in refused.text) == (401, True)
            assert client.get("/").status_code == 303


def test_what_the_provider_has_not_signed_makes_no_sign_in_stronger(provider: Provider, demanding: Serve) -> None:
    provider.set(userinfo_alone=["groups", "acr"])
    with demanding() as client:
        assert sign_in(client).status_code == 303, "groups may come from userinfo"
    with demanding(oidc_acr="gold") as client:
        assert sign_in(client).status_code == 401


def test_whoever_signed_in_too_long_ago_is_asked_again_and_their_session_ends_with_the_sign_in(
    provider: Provider, demanding: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.tell("ada", groups=["radiology"], auth_time=int(time.time()) - 3700)
    with demanding(oidc_max_age_minutes=60) as client:
        assert sign_in(client).status_code == 401
    provider.tell("ada", groups=["radiology"], auth_time=int(time.time()) - 3000)
    with demanding(oidc_max_age_minutes=60) as client:
        assert sign_in(client).status_code == 303
        assert client.get("/").status_code == 200
        monkeypatch.setattr("api.access.sessions.now", lambda: now() + timedelta(seconds=700))
        assert client.get("/").status_code == 303


@pytest.mark.parametrize("setting", [{"oidc_acr": "gold"}, {"oidc_amr": "mfa"}, {"pages_by_key": False}])
def test_where_people_sign_in_at_the_provider_alone_keys_open_v1_and_no_page(
    demanding: Serve, keys: dict[str, str], setting: dict[str, Any]
) -> None:
    with demanding(**setting) as client:
        assert called(client, keys["admin"]).status_code == 200
        assert called(client, keys["admin"], "/models").status_code == 303, "not as a header of a page, either"
        form = client.get("/sign-in").text
        assert ("Key" in form, "organisation's account" in form) == (False, True)
        pasted = client.post("/sign-in", data={"key": keys["admin"], "csrf_token": page_token(client)})
        assert (pasted.status_code, "keys and links open no pages here" in pasted.text) == (403, True)
        assert client.get("/").status_code == 303
        assert sign_in(client).status_code == 303
        assert client.get("/").status_code == 200


def page_token(client: httpx.Client) -> str:
    """The token that a script of the page would send: the sign-in page has no form then."""
    found = re.search(r'"X-CSRF-Token": "([0-9a-f]{64})"', client.get("/sign-in").text)
    assert found is not None
    return found[1]


def test_a_link_and_a_session_of_a_key_from_before_open_no_page_once_strength_is_demanded(
    settings: Settings, provider: Provider, keys: dict[str, str], tmp_path: Path
) -> None:
    before = provider.settings(settings, tmp_path)
    with serving(before) as client:
        form = {"key": keys["admin"], "csrf_token": csrf_token(client.get("/sign-in").text)}
        client.post("/sign-in", data=form)
        assert client.get("/").status_code == 200
        kept = dict(client.cookies)
    services = build(before)
    _, _, token = sign_in_link(services.ground, f"key_{keys['admin'].split('_')[1]}", "").partition("#token=")
    services.close()
    with serving(before, oidc_acr="gold") as client:
        refused = client.post("/sign-in", data={"token": token, "csrf_token": page_token(client)})
        assert (refused.status_code, "keys and links open no pages here" in refused.text) == (403, True)
        client.cookies.update(kept)
        assert client.get("/").status_code == 303


def test_an_access_token_must_carry_the_scope_that_is_set(provider: Provider, demanding: Serve) -> None:
    def answer(client: httpx.Client, **claims: Any) -> httpx.Response:
        return called(client, provider.token(**claims))

    with demanding(oidc_token_scope="clinical-mm") as client:
        for claims in ({"scope": "openid clinical-mm"}, {"scp": "clinical-mm"}, {"scp": ["a", "clinical-mm"]}):
            assert answer(client, **claims).status_code == 200, claims
        for claims in (
            {},
            {"scope": "openid"},
            {"scope": "clinical-mm-more"},
            {"scope": 7},
            {"scope": "", "scp": "clinical-mm"},
        ):
            refused = answer(client, **claims)
            assert refused.status_code == 403, claims
            told = 'Bearer realm="clinical_mm", error="insufficient_scope", scope="clinical-mm"'
            assert refused.headers["WWW-Authenticate"] == told
            assert "lacks the scope clinical-mm" in refused.json()["detail"]
    with demanding() as client:
        assert answer(client).status_code == 200, "none is asked for where none is set"


def test_a_token_that_is_narrowed_in_a_way_that_is_not_understood_is_refused(
    provider: Provider, demanding: Serve
) -> None:
    with demanding() as client:
        refused = called(client, provider.token(authorization_details=[{"type": "case", "actions": ["read"]}]))
        assert (refused.status_code, "authorization_details" in refused.json()["detail"]) == (403, True)
        assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"oidc_acr": "gold"}, "needs an issuer"),
        ({"oidc_max_age_minutes": 5}, "needs an issuer"),
        (
            {"oidc_issuer": "https://login.example.org", "oidc_client_id": "c", "oidc_amr": "mfa", "auth": "off"},
            "lets everyone in",
        ),
        ({"pages_by_key": False}, "nobody could open the pages"),
    ],
)
def test_settings_that_cannot_hold_together_are_told_at_the_start(
    settings: Settings, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidConfig, match=told):
        build(settings.model_copy(update=changes))
