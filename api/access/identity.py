"""Words of a sign-in by the provider. Its libraries, a quarter of a second, are loaded where a provider is set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.problems import NotReady

LEEWAY_S = 30
"""How far the provider's clock and ours may differ."""


@dataclass(frozen=True)
class Identity:
    """Someone whom the provider vouches for."""

    issuer: str
    subject: str
    claims: dict[str, Any]
    ends_at: datetime


@dataclass(frozen=True)
class Begun:
    """A sign-in under way: what the browser keeps until it comes back, and where it goes."""

    state: str
    nonce: str
    verifier: str
    address: str


@dataclass(frozen=True)
class SignedIn:
    """What the provider gave."""

    identity: Identity
    id_token: str
    proved_at: datetime | None
    """When they last proved to it who they are, as far as it says."""


class ProviderAway(NotReady):
    """The provider does not answer, or not as a provider does; API keys work all the same."""

    def __init__(self) -> None:
        super().__init__("the sign-in service does not answer; API keys open /v1 all the same", retry_after_s=5)


def looks_like_token(presented: str) -> bool:
    """Whether this is meant as a JWT rather than as one of our keys."""
    return presented.count(".") == 2 and not presented.startswith("cmm_")
