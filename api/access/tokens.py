"""Tokens of the provider: ID tokens at sign-in (OpenID Connect Core 1.0, 3.1.3.7), access tokens on /v1 (RFC 9068).

Signed with a public key of the provider and nothing else: no ``none``, no shared secret (RFC 8725).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from api.access.identity import LEEWAY_S, Identity
from api.problems import Forbidden, Unauthenticated

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
LONGEST = 16_384
_ACCESS_TYPES = frozenset({"at+jwt", "application/at+jwt"})
KeysOf = Callable[[str | None], KeySet]


def access_token(presented: str, keys: KeysOf, issuer: str, audience: str, client_id: str) -> Identity:
    """Whoever an access token speaks for.

    Providers of today still mark access tokens ``JWT`` instead of ``at+jwt``. Such a one is taken where nothing says
    that it is an ID token: neither its audience - this service's own name is that of ID tokens - nor a nonce.

    Raises:
        Unauthenticated: it is no token of this provider for this service, or not valid now.
        ProviderAway: its keys are not known and cannot be had.
    """
    token = _verified(presented, keys)
    claims = token.claims
    essential: dict[str, Any] = {
        "iss": {"essential": True, "value": issuer},
        "aud": {"essential": True, "value": audience},
        "sub": {"essential": True},
        "exp": {"essential": True},
    }
    try:
        jwt.JWTClaimsRegistry(leeway=LEEWAY_S, **essential).validate(claims)
    except JoseError as error:
        raise Unauthenticated(f"the access token is not valid: {error}") from error
    if str(token.header.get("typ", "JWT")).lower() not in _ACCESS_TYPES:
        _refuse_other_kinds(str(token.header.get("typ", "JWT")), claims, client_id)
    return _identity(claims)


def id_token(presented: str, keys: KeysOf, issuer: str, client_id: str, nonce: str, access: str | None) -> Identity:
    """Whoever has signed in; raises Unauthenticated, ProviderAway."""
    token = _verified(presented, keys)
    options = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": client_id}}
    params = {"nonce": nonce, "client_id": client_id, "access_token": access}
    try:
        CodeIDToken(token.claims, token.header, options, params).validate(leeway=LEEWAY_S)
    except JoseError as error:
        raise Unauthenticated(f"the provider's ID token is not valid: {error}") from error
    return _identity(token.claims)


def check_scope(claims: dict[str, Any], needed: str) -> None:
    """Refuse an access token that was not made for calling this service.

    Raises:
        Forbidden: it lacks the scope (RFC 6750, 3.1), or its ``authorization_details`` (RFC 9396) narrow it in a way
            that is not understood here.
    """
    told = claims.get("scope", claims.get("scp"))  # RFC 9068, 2.2.3; Entra and Okta call it scp
    held = told.split() if isinstance(told, str) else told if isinstance(told, list) else []
    if needed and needed not in held:
        challenge = f'error="insufficient_scope", scope="{needed}"'
        raise Forbidden(f"the access token lacks the scope {needed}", challenge=challenge)
    if claims.get("authorization_details"):
        challenge = 'error="insufficient_scope"'
        raise Forbidden("authorization_details of access tokens are not understood here", challenge=challenge)


def _verified(presented: str, keys: KeysOf) -> jwt.Token:
    if len(presented) > LONGEST:
        raise Unauthenticated("the token is too long")
    try:
        return jwt.decode(
            presented, keys(_key_id(presented)), registry=JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        )
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unauthenticated("the token is not signed by the provider") from error


def _key_id(presented: str) -> str | None:
    """What the header says; it is not trusted, only looked up. A header without one gives None."""
    try:
        head = presented.split(".", 1)[0]
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise Unauthenticated("this is no token") from error
    key_id = header.get("kid") if isinstance(header, dict) else None
    return key_id if isinstance(key_id, str) else None


def _refuse_other_kinds(kind: str, claims: dict[str, Any], client_id: str) -> None:
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    other = kind.upper() != "JWT" or claims.get("typ", "Bearer") != "Bearer"  # Keycloak says it among the claims
    if other or client_id in audiences or "nonce" in claims:
        raise Unauthenticated("this is no access token: an ID token, a refresh token or a logout token opens nothing")


def _identity(claims: dict[str, Any]) -> Identity:
    subject = claims["sub"]
    if not subject or len(subject) > 255 or not subject.isprintable():
        raise Unauthenticated("the token names nobody")
    return Identity(claims["iss"], subject, claims, datetime.fromtimestamp(claims["exp"], UTC))
