"""Sign-in by the provider: code with PKCE, state and nonce (OpenID Connect Core 1.0, RFC 7636, RFC 9700)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client

from api.access.grants import Grants
from api.access.identity import Begun, Identity, SignedIn
from api.access.provider import DEADLINE_S, Line, Provider
from api.access.strength import Strength, signed_in_at
from api.access.tokens import access_token, check_scope, id_token
from api.problems import Unauthenticated
from api.settings import Settings
from clinical_mm.errors import InvalidConfig


class OpenIdConnect:
    """This service as the provider's client, and as the audience of its access tokens."""

    def __init__(self, settings: Settings, grants: Grants) -> None:
        """Raises InvalidConfig: the issuer is not reached by https, or the client's name is missing."""
        if not settings.oidc_client_id:
            raise InvalidConfig("CLINICAL_MM_OIDC_ISSUER needs CLINICAL_MM_OIDC_CLIENT_ID beside it")
        self.provider = Provider(settings.oidc_issuer)
        self._client_id = settings.oidc_client_id
        self._secret = settings.oidc_client_secret.get_secret_value() or None
        self._scopes, self._audience, self._grants = settings.oidc_scopes, settings.oidc_audience, grants
        self._token_scope, self._strength = settings.oidc_token_scope, Strength.of(settings)

    @property
    def origin(self) -> str:
        """Scheme and host of the provider: where a form of ours may lead at sign-out."""
        parts = urlsplit(self.provider.issuer)
        return f"{parts.scheme}://{parts.netloc}"

    def begin(self, redirect_uri: str, *, anew: bool = False) -> Begun:
        """Where to send a browser; ``anew``: to prove there once more who one is. Raises ProviderAway."""
        metadata = self.provider.metadata()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        asked = self._strength.asked | ({"prompt": "login", "max_age": "0"} if anew else {})  # Core 1.0, 3.1.2.1
        with self._client(redirect_uri) as client:
            address, _ = client.create_authorization_url(
                metadata.authorization_endpoint, state=state, code_verifier=verifier, nonce=nonce, **asked
            )
        return Begun(state, nonce, verifier, str(address))

    def finish(self, told: Mapping[str, str], begun: Begun, redirect_uri: str) -> SignedIn:
        """Who came back with the provider's answer.

        Raises:
            Unauthenticated: the sign-in was not begun in this browser, the provider refused, its token is not valid, or
                the sign-in is not as strong as is demanded.
            ProviderAway: it does not answer.
        """
        if not secrets.compare_digest(told.get("state", "").encode(), begun.state.encode()):
            raise Unauthenticated("this sign-in was not begun in this browser: try again")
        if told.get("iss", self.provider.issuer).rstrip("/") != self.provider.issuer.rstrip("/"):  # RFC 9207
            raise Unauthenticated("the answer is another provider's")
        if "code" not in told:
            raise Unauthenticated(f"the sign-in service refused: {_printable(told.get('error', 'no code came'))}")
        return self.provider.ask(lambda line: self._exchange(line, told["code"], begun, redirect_uri))

    def identify(self, presented: str) -> Identity:
        """Whoever an access token on /v1 speaks for.

        Raises:
            Unauthenticated: it is none of this provider for this service, or of too weak a sign-in.
            Forbidden: it was not made for calling this service.
            ProviderAway: the provider's keys are not known and cannot be had.
        """
        if not self._audience:
            raise Unauthenticated("access tokens are not taken here (CLINICAL_MM_OIDC_AUDIENCE): send an API key")
        issuer = self.provider.metadata().issuer
        identity = access_token(presented, self.provider.keys, issuer, self._audience, self._client_id)
        self._strength.check(identity.claims)
        check_scope(identity.claims, self._token_scope)
        return identity

    def sign_out_address(self, token: str, back: str) -> str | None:
        """Where to send a browser that signs out (RP-Initiated Logout 1.0); None: there is no such place."""
        endpoint = self.provider.metadata().end_session_endpoint
        if endpoint is None or not endpoint.startswith(f"{self.origin}/"):
            return None
        told = {"id_token_hint": token, "client_id": self._client_id, "post_logout_redirect_uri": back}
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(told)}"

    def close(self) -> None:
        """Let the provider be."""
        self.provider.close()

    def _client(self, redirect_uri: str) -> Any:
        return OAuth2Client(
            client_id=self._client_id,
            client_secret=self._secret,
            token_endpoint_auth_method="client_secret_basic" if self._secret else "none",
            scope=self._scopes,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            timeout=DEADLINE_S,
        )

    def _exchange(self, line: Line, code: str, begun: Begun, redirect_uri: str) -> SignedIn:
        with self._client(redirect_uri) as client:
            try:
                token = client.fetch_token(line.metadata().token_endpoint, code=code, code_verifier=begun.verifier)
            except AuthlibBaseError as error:
                raise Unauthenticated(f"the sign-in service refused: {_printable(str(error.error))}") from error
        presented, access = str(token.get("id_token", "")), token.get("access_token")
        identity = id_token(presented, line.keys, line.metadata().issuer, self._client_id, begun.nonce, access)
        self._strength.check(identity.claims)  # before userinfo, which is not signed, can add to them
        proved_at = signed_in_at(identity.claims)
        if access is not None and not self._grants.values(identity.claims):  # some providers tell groups here alone
            more = line.userinfo(access)
            if more.get("sub") == identity.subject:  # Core 1.0, 5.3.2
                identity = replace(identity, claims={**more, **identity.claims})
        return SignedIn(identity, presented, proved_at)


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:200]
