"""The OpenID Connect provider: what it says of itself (Discovery 1.0), its keys, and nothing that waits for ever.

Answers are kept an hour; while it is away, up to a day. After a failure nobody else waits for it for a few seconds.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import httpx2
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from api.access.identity import ProviderAway
from clinical_mm.errors import InvalidConfig

log = logging.getLogger(__name__)
DEADLINE_S = 2.0
"""For everything that one request of ours asks of the provider, name resolution included."""
FRESH_S, STALE_S, AWAY_S = 3600.0, 86_400.0, 5.0
AGAIN_S = 10.0
"""An unknown key id lets the keys be fetched anew, but not more often than this."""
T = TypeVar("T")


@dataclass(frozen=True)
class Held(Generic[T]):
    """A value, and when it was fetched."""

    value: T
    since: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """In seconds."""
        return time.monotonic() - self.since


@dataclass(frozen=True)
class Metadata:
    """What its discovery document says, as far as it is used here."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None


class Provider:
    """One provider, asked within a deadline."""

    def __init__(self, issuer: str) -> None:
        """Raises InvalidConfig: the issuer is neither https nor this machine."""
        self.issuer = issuer
        if not _is_safe(issuer):
            raise InvalidConfig(f"CLINICAL_MM_OIDC_ISSUER: {issuer!r} must be reached by https")
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="provider")
        self._metadata: Held[Metadata] | None = None
        self._keys: Held[KeySet] | None = None
        self._away_until = 0.0

    def metadata(self) -> Metadata:
        """Raises ProviderAway."""
        held = self._metadata
        if held is not None and held.age < FRESH_S:
            return held.value
        try:
            return self.ask(lambda line: line.metadata())
        except ProviderAway:
            if held is not None and held.age < STALE_S:
                return held.value
            raise

    def keys(self, key_id: str | None = None) -> KeySet:
        """Its public signing keys, fetched anew where ``key_id`` is not among them; raises ProviderAway."""
        held = self._keys
        if held is not None and held.age < (FRESH_S if _has(held.value, key_id) else AGAIN_S):
            return held.value
        try:
            return self.ask(lambda line: line.keys(key_id))
        except ProviderAway:
            if held is not None and held.age < STALE_S:
                return held.value
            raise

    def ask(self, question: Callable[[Line], T]) -> T:
        """The answer to a question, in time; raises ProviderAway."""
        if time.monotonic() < self._away_until:
            raise ProviderAway
        try:
            return self._pool.submit(self._asked, question).result(timeout=DEADLINE_S)
        except (httpx2.HTTPError, httpx2.InvalidURL, TooLate, ValueError, KeyError, TypeError, JoseError) as error:
            self._away_until = time.monotonic() + AWAY_S
            log.warning("the provider does not answer as one: %s: %s", type(error).__name__, error)
            raise ProviderAway from error

    def close(self) -> None:
        """Wait for nobody."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _asked(self, question: Callable[[Line], T]) -> T:
        with httpx2.Client(timeout=DEADLINE_S, follow_redirects=False) as client:
            return question(Line(self, client))

    def discover(self, client: httpx2.Client) -> Metadata:
        """What it says of itself, from memory where that is fresh."""
        if self._metadata is None or self._metadata.age >= FRESH_S:
            address = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
            self._metadata = Held(_metadata(_json(client.get(address)), self.issuer))
        return self._metadata.value

    def fetch_keys(self, client: httpx2.Client, key_id: str | None) -> KeySet:
        """Its keys, from memory where these are fresh and hold the one wanted."""
        held = self._keys
        if held is None or held.age >= (FRESH_S if _has(held.value, key_id) else AGAIN_S):
            held = self._keys = Held(_key_set(_json(client.get(self.discover(client).jwks_uri))))
        return held.value


class Line:
    """An open line to the provider, for one question."""

    def __init__(self, provider: Provider, client: httpx2.Client) -> None:
        self._provider, self.client = provider, client

    def metadata(self) -> Metadata:
        """What it says of itself."""
        return self._provider.discover(self.client)

    def keys(self, key_id: str | None) -> KeySet:
        """Its keys, fetched anew where the one wanted is not among them."""
        return self._provider.fetch_keys(self.client, key_id)

    def userinfo(self, access_token: str) -> dict[str, Any]:
        """What it tells of whoever the token is of (Core 1.0, 5.3); nothing where it tells nothing."""
        address = self.metadata().userinfo_endpoint
        if address is None:
            return {}
        told = _json(self.client.get(address, headers={"Authorization": f"Bearer {access_token}"}))
        return told if isinstance(told, dict) else {}


def _metadata(told: dict[str, Any], issuer: str) -> Metadata:
    if told["issuer"] != issuer:  # to the letter (OpenID Connect Discovery 1.0, 4.3)
        raise ValueError(f"it calls itself {told['issuer']!r}, not {issuer!r}: set CLINICAL_MM_OIDC_ISSUER to that")
    found = Metadata(
        issuer=told["issuer"],
        authorization_endpoint=told["authorization_endpoint"],
        token_endpoint=told["token_endpoint"],
        jwks_uri=told["jwks_uri"],
        userinfo_endpoint=told.get("userinfo_endpoint"),
        end_session_endpoint=told.get("end_session_endpoint"),
    )
    for url in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri, found.userinfo_endpoint):
        if url is not None and not _is_safe(url):
            raise ValueError(f"it names an address without https: {url!r}")
    return found


def _json(response: httpx2.Response) -> Any:
    return response.raise_for_status().json()


def _key_set(document: dict[str, Any]) -> KeySet:
    """Public keys for signatures alone: with a shared secret anyone who knows it could sign (RFC 8725, 3.1)."""
    keys = KeySet.import_key_set({"keys": [key for key in document["keys"] if key.get("use", "sig") == "sig"]})
    return KeySet([key for key in keys if isinstance(key, RSAKey | ECKey | OKPKey)])


def _has(keys: KeySet, key_id: str | None) -> bool:
    return key_id is None or any(key.kid == key_id for key in keys)


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(parts.hostname or ""))


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
