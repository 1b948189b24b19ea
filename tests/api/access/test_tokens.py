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
    "not valid yet": {"nbf": NOW + 600},
    "issued in the future": {"iat": NOW + 600},
    "of nobody": {"sub": ...},
    "of a subject that is no text": {"sub": 7},
}


@pytest.mark.parametrize("changes", CLAIMS.values(), ids=CLAIMS.keys())
def test_a_token_with_a_wrong_claim_is_refused(provider: Provider, with_token: Send, changes: dict[str, Any]) -> None:
    answer = with_token(provider.token(**changes))
    assert (answer.status_code, answer.headers["Content-Type"]) == (401, "application/problem+json")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_clocks_may_differ_a_little(provider: Provider, with_token: Send) -> None:
    moment = int(time.time())
    assert with_token(provider.token(exp=moment - 5, nbf=moment + 10)).status_code == 200


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def shared(secret: bytes, text: str) -> str:
    signature = hmac.new(secret, text.encode(), "sha256").digest()
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def forged(kind: str, provider: Provider) -> str:
    """A token that the provider did not sign, or did not mean for this."""
    claims, keys = provider.claims(), httpx.get(f"{provider.url}/jwks").json()
    public = KeySet.import_key_set(keys).keys[-1]
    assert isinstance(public, RSAKey)
    good = provider.sign(claims)
    header, payload, signature = good.split(".")
    match kind:
        case "none":
            return f"{part({'alg': 'none', 'typ': 'at+jwt'})}.{payload}."
        case "None with its signature":
            return f"{part({'alg': 'None', 'typ': 'at+jwt', 'kid': public.kid})}.{payload}.{signature}"
        case "shared secret of the public key, PEM":
            return shared(public.as_pem(private=False), f"{part({'alg': 'HS256', 'kid': public.kid})}.{payload}")
        case "shared secret of the public key, DER":
            return shared(public.as_der(private=False), f"{part({'alg': 'HS256', 'kid': public.kid})}.{payload}")
        case "another's key under the same id":
            other = RSAKey.generate_key(2048, {"kid": str(public.kid)})
            return jwt.encode({"alg": "RS256", "typ": "at+jwt", "kid": public.kid}, claims, other)
        case "another's key that it brings along":
            other = RSAKey.generate_key(2048)
            return jwt.encode({"alg": "RS256", "typ": "at+jwt", "jwk": other.as_dict(private=False)}, claims, other)
        case "other claims under its signature":
            return f"{header}.{part({**claims, 'groups': ['admins']})}.{signature}"
        case "an extension that must be understood":
            return provider.sign(claims, crit=["exp2"], exp2=1)
        case "an ID token":
            return provider.sign({**claims, "aud": CLIENT_ID}, typ="JWT")
        case "an ID token for both":
            return provider.sign({**claims, "aud": [CLIENT_ID, AUDIENCE]}, typ="JWT")
        case "an ID token with our audience":
            return provider.sign({**claims, "nonce": "n"}, typ="JWT")
        case "a refresh token":
            return provider.sign({**claims, "typ": "Refresh"}, typ="JWT")
        case "a logout token":
            return provider.sign(claims, typ="logout+jwt")
        case "garbage":
            return "a.b.c"
        case "three dots too many":
            return f"{good}.x"
        case "deep":
            return f"{part({'alg': 'RS256'})}.{base64.urlsafe_b64encode(b'[' * 11_000).decode()}.x"
        case "a header that is a list":
            return f"{base64.urlsafe_b64encode(b'[1]').decode().rstrip('=')}.{payload}.{signature}"
    raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    [
        "none",
        "None with its signature",
        "shared secret of the public key, PEM",
        "shared secret of the public key, DER",
        "another's key under the same id",
        "another's key that it brings along",
        "other claims under its signature",
        "an extension that must be understood",
        "an ID token",
        "an ID token for both",
        "an ID token with our audience",
        "a refresh token",
        "a logout token",
        "garbage",
        "three dots too many",
        "deep",
        "a header that is a list",
    ],
)
def test_what_is_no_access_token_of_the_provider_opens_nothing(provider: Provider, with_token: Send, kind: str) -> None:
    answer = with_token(forged(kind, provider))
    assert (answer.status_code, answer.headers["Content-Type"]) == (401, "application/problem+json")


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
    provider: Provider, with_token: Send, keys: dict[str, str]
) -> None:
    token = provider.token()
    provider.set(slow_s=6.0)
    began = time.monotonic()
    answer = with_token(token)
    assert time.monotonic() - began < 3.0
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    began = time.monotonic()
    assert with_token(token).status_code == 503
    assert time.monotonic() - began < 1.0, "the second does not wait for it again"
    assert with_token(keys["viewer"]).status_code == 200


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
