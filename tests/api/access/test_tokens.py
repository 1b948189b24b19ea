"""Access tokens of the provider on /v1, beside API keys: signed by it, for us, valid now, and granted something here."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

import api.access.provider
from tests.api.conftest import case_json
from tests.api.providing import Provider
from tests.provider import AUDIENCE, CLIENT_ID

Send = Callable[..., httpx.Response]
NOW = int(time.time())


def test_a_token_opens_the_project_and_the_role_that_its_claim_is_granted(provider: Provider, with_token: Send) -> None:
    clinician = provider.token("ada", groups=["radiology", "choir"])
    assert with_token(clinician, "POST", json=case_json()).status_code == 201
    assert with_token(clinician, "GET", "/project").json()["name"] == "default"
    assert with_token(clinician, "GET", "/keys").status_code == 403
    assert with_token(provider.token("bob", groups=["readers"]), "POST", json=case_json()).status_code == 403


def test_of_several_groups_the_highest_role_holds(provider: Provider, with_token: Send) -> None:
    assert with_token(provider.token("ada", groups=["readers", "admins"]), "GET", "/keys").status_code == 200


def test_whoever_is_granted_nothing_is_refused(provider: Provider, with_token: Send) -> None:
    for groups in ([], ["choir"], ..., "radiology-not", {"radiology": True}, [["radiology"]]):
        answer = with_token(provider.token("eve", groups=groups))
        assert (answer.status_code, "no project" in answer.json()["detail"]) == (403, True)


def test_a_person_with_several_projects_names_the_one_meant(provider: Provider, with_token: Send) -> None:
    token = provider.token("ada", groups=["radiology", "elsewhere"])

    def project(**headers: str) -> tuple[int, Any]:
        answer = with_token(token, "GET", "/project", headers=headers)
        return answer.status_code, answer.json().get("name")

    assert project() == (200, "default")
    assert project(**{"Clinical-MM-Project": "another hospital"}) == (200, "another hospital")
    assert project(**{"Clinical-MM-Project": "a third"})[0] == 403


def test_a_person_is_known_by_issuer_and_subject_and_shown_by_name(
    provider: Provider, with_token: Send, trusting: Any
) -> None:
    case = with_token(provider.token("ada", name="Dr. Ada L."), "POST", json=case_json()).json()["id"]
    with_token(provider.token("ada", name="Dr. Ada\x00 King"), "PATCH", f"/cases/{case}", json={"note": "Fever."})
    trail = with_token(provider.token("root", groups=["admins"]), "GET", "/audit").json()["items"]
    [person] = [p for p in trusting.people.list() if p.subject == "ada"]
    assert [e["actor"] for e in trail] == [f"Dr. Ada King ({person.id})", f"Dr. Ada L. ({person.id})"]


def test_whoever_is_blocked_here_is_out_at_the_next_request(
    provider: Provider, with_token: Send, trusting: Any
) -> None:
    token = provider.token("ada")
    assert with_token(token).status_code == 200
    [person] = [p for p in trusting.people.list() if p.subject == "ada"]
    operator = trusting.access.operator()
    trusting.people.block(operator, person.id, blocked=True)
    assert with_token(token).status_code == 401
    trusting.people.block(operator, person.id, blocked=False)
    assert with_token(token).status_code == 200


CLAIMS: dict[str, dict[str, Any]] = {
    "for another service": {"aud": "someone-else"},
    "for nobody": {"aud": ...},
    "for a list without us": {"aud": ["a", "b"]},
    "of another issuer": {"iss": "https://evil.example.org"},
    "of no issuer": {"iss": ...},
    "expired": {"exp": NOW - 120},
    "for ever": {"exp": ...},
    "with an end that is no number": {"exp": "tomorrow"},
    "not valid yet": {"nbf": NOW + 86_400},
    "issued in the future": {"iat": NOW + 86_400},
    "of nobody": {"sub": ...},
    "of a subject that is no text": {"sub": 7},
}


def test_a_token_with_a_wrong_claim_is_refused(provider: Provider, with_token: Send) -> None:
    answers = {name: with_token(provider.token(**changes)) for name, changes in CLAIMS.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(CLAIMS, 401)
    assert all(answer.headers["Content-Type"] == "application/problem+json" for answer in answers.values())
    assert all(answer.headers["WWW-Authenticate"].startswith("Bearer") for answer in answers.values())


def test_clocks_may_differ_a_little(provider: Provider, with_token: Send) -> None:
    moment = int(time.time())
    assert with_token(provider.token(exp=moment - 5, nbf=moment + 10)).status_code == 200


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def shared_secret(provider: Provider, form: str) -> str:
    """Signed by HMAC with what everybody can read: the public key."""
    key = public_key(provider)
    secret = key.as_pem(private=False) if form == "PEM" else key.as_der(private=False)
    text = f"{part({'alg': 'HS256', 'typ': 'at+jwt', 'kid': key.kid})}.{part(provider.claims())}"
    signature = hmac.new(secret, text.encode(), "sha256").digest()
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def public_key(provider: Provider) -> RSAKey:
    key = KeySet.import_key_set(httpx.get(f"{provider.url}/jwks").json()).keys[-1]
    assert isinstance(key, RSAKey)
    return key


def by_another(provider: Provider, **header: Any) -> str:
    """Signed by a key that is not the provider's."""
    other = RSAKey.generate_key(2048)
    brought = {"jwk": other.as_dict(private=False)} if "jwk" in header else header
    return jwt.encode({"alg": "RS256", "typ": "at+jwt", **brought}, provider.claims(), other)


def cut(provider: Provider, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A good token with another header or other claims, under its signature."""
    first, _, signature = provider.token().split(".")
    return f"{part(header) if header else first}.{part(provider.claims(**claims))}.{signature}"


FORGED: dict[str, Callable[[Provider], str]] = {
    "none": lambda p: cut(p, {"alg": "none", "typ": "at+jwt"}).rpartition(".")[0] + ".",
    "none, with a signature": lambda p: cut(p, {"alg": "None", "typ": "at+jwt"}),
    "the public key as a shared secret, PEM": lambda p: shared_secret(p, "PEM"),
    "the public key as a shared secret, DER": lambda p: shared_secret(p, "DER"),
    "another's key under the provider's id": lambda p: by_another(p, kid=public_key(p).kid),
    "another's key that it brings along": lambda p: by_another(p, jwk=True),
    "other claims": lambda p: cut(p, groups=["admins"]),
    "an extension that must be understood": lambda p: p.sign(p.claims(), crit=["exp2"], exp2=1),
    "an ID token": lambda p: p.sign(p.claims(aud=CLIENT_ID), typ="JWT"),
    "an ID token for both": lambda p: p.sign(p.claims(aud=[CLIENT_ID, AUDIENCE]), typ="JWT"),
    "an ID token for us": lambda p: p.sign(p.claims(nonce="n"), typ="JWT"),
    "a refresh token": lambda p: p.sign(p.claims(typ="Refresh"), typ="JWT"),
    "a logout token": lambda p: p.sign(p.claims(), typ="logout+jwt"),
    "garbage": lambda _: "a.b.c",
    "one part too many": lambda p: f"{p.token()}.x",
    "a deep header": lambda _: f"{base64.urlsafe_b64encode(b'[' * 11_000).decode()}.x.y",
    "a header that is a list": lambda p: f"W10.{part(p.claims())}.x",
}


def test_what_is_no_access_token_of_the_provider_opens_nothing(provider: Provider, with_token: Send) -> None:
    answers = {name: with_token(forge(provider)) for name, forge in FORGED.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(FORGED, 401)
    assert all(answer.headers["Content-Type"] == "application/problem+json" for answer in answers.values())


def test_an_access_token_that_is_only_marked_jwt_is_taken(provider: Provider, with_token: Send) -> None:
    assert with_token(provider.sign(provider.claims(typ="Bearer"), typ="JWT")).status_code == 200


def test_a_new_key_of_the_provider_is_known_without_a_restart(
    provider: Provider, with_token: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert with_token(provider.token()).status_code == 200
    provider.rotate()
    assert with_token(provider.token()).status_code == 401, "keys are not fetched at every unknown id"
    monkeypatch.setattr(api.access.provider, "AGAIN_S", 0.0)
    assert with_token(provider.token()).status_code == 200


def test_while_the_provider_is_slow_keys_work_and_nobody_hangs(
    provider: Provider, with_token: Send, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.access.provider, "DEADLINE_S", 2.0)
    token = provider.token()
    provider.set(slow_s=6.0)
    began = time.monotonic()
    answer = with_token(token)
    assert time.monotonic() - began < 5.0, "it is not waited for"
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    began = time.monotonic()
    assert with_token(token).status_code == 503
    assert time.monotonic() - began < 1.0, "the second does not wait for it again"
    assert with_token(keys["viewer"]).status_code == 200


def test_a_provider_that_calls_itself_otherwise_is_none(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    asked = api.access.provider.Provider(provider.url)
    assert asked.metadata().issuer == provider.url
    almost = api.access.provider.Provider(f"{provider.url}/")
    with pytest.raises(api.access.provider.ProviderAway):
        almost.metadata()
    assert "set CLINICAL_MM_OIDC_ISSUER to that" in caplog.text
    for one in (asked, almost):
        one.close()


def test_a_token_of_a_known_key_opens_while_the_provider_is_away(
    provider: Provider, with_token: Send, trusting: Any
) -> None:
    assert with_token(provider.token("ada")).status_code == 200
    trusting.oidc.provider._away_until = time.monotonic() + 60
    assert with_token(provider.token("ada")).status_code == 200


def test_without_an_audience_no_token_opens(provider: Provider, with_token: Send, trusting: Any) -> None:
    trusting.oidc._audience = ""
    assert with_token(provider.token()).status_code == 401


def test_without_a_provider_a_token_is_a_wrong_key(server_url: str, provider: Provider) -> None:
    answer = httpx.get(f"{server_url}/v1/cases", headers={"Authorization": f"Bearer {provider.token()}"})
    assert answer.status_code == 401
