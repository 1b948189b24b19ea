"""How strong a sign-in at the provider must have been: which context, which methods, how long ago.

What a token does not tell counts as too weak. Only what the provider has signed is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from api.access.identity import LEEWAY_S
from api.ground.clock import now
from api.problems import Unauthenticated
from api.settings import Settings
from clinical_mm.errors import InvalidConfig

LEEWAY = timedelta(seconds=LEEWAY_S)


@dataclass(frozen=True)
class Strength:
    """What is demanded of every sign-in; empty: nothing is."""

    acr: tuple[str, ...] = ()
    """Accepted contexts, one of which the sign-in must be of (OpenID Connect Core 1.0, 2)."""
    amr: tuple[str, ...] = ()
    """Methods, one of which it must have used (RFC 8176)."""
    max_age: timedelta | None = None

    @classmethod
    def of(cls, settings: Settings) -> Strength:
        """What the settings demand.

        Raises:
            InvalidConfig: it is demanded where nobody signs in at a provider, or where nobody need sign in at all.
        """
        minutes = settings.oidc_max_age_minutes
        found = cls(_several(settings.oidc_acr), _several(settings.oidc_amr), timedelta(minutes=minutes) or None)
        if found.demanded and not settings.oidc_issuer:
            raise InvalidConfig("a strength of sign-ins (CLINICAL_MM_OIDC_ACR, _AMR, _MAX_AGE_MINUTES) needs an issuer")
        if found.demanded and settings.auth == "off":
            raise InvalidConfig(
                "CLINICAL_MM_AUTH=off lets everyone in: no strength of sign-ins can be demanded beside it"
            )
        return found

    @property
    def demanded(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.acr or self.amr or self.max_age)

    @property
    def asked(self) -> dict[str, str]:
        """What an authorization request says of it, and a challenge too (Core 1.0, 3.1.2.1; RFC 9470, 3)."""
        told = {"acr_values": " ".join(self.acr)} if self.acr else {}
        return told if self.max_age is None else {**told, "max_age": str(int(self.max_age.total_seconds()))}

    def check(self, claims: Mapping[str, Any]) -> None:
        """Refuse a sign-in, or an access token that came of one, that is too weak; raises Unauthenticated."""
        if self.acr and claims.get("acr") not in self.acr:
            raise self._refusal(f"its strength (acr) must be {' or '.join(self.acr)}")
        if self.amr and not any(method in self.amr for method in _listed(claims.get("amr"))):
            raise self._refusal(f"its methods (amr) must hold {' or '.join(self.amr)}")
        if self.max_age is not None:
            at = signed_in_at(claims)
            if at is None or at + self.max_age + LEEWAY <= now():
                minutes = int(self.max_age.total_seconds()) // 60
                raise self._refusal(f"it must tell its time (auth_time), and be {minutes} minutes old at most")

    def _refusal(self, needed: str) -> Unauthenticated:
        asked = (f'{name}="{value}"' for name, value in self.asked.items())
        challenge = ", ".join(('error="insufficient_user_authentication"', *asked))  # RFC 9470, 3
        return Unauthenticated(f"the sign-in is not strong enough for this service: {needed}", challenge=challenge)


def keys_open_pages(settings: Settings) -> bool:
    """Whether keys and sign-in links do: one factor, which no strength that is demanded of people allows.

    Raises:
        InvalidConfig: neither they nor a provider would.
    """
    if not settings.pages_by_key and not settings.oidc_issuer:
        raise InvalidConfig("CLINICAL_MM_PAGES_BY_KEY=false needs CLINICAL_MM_OIDC_ISSUER: nobody could open the pages")
    return settings.pages_by_key and not Strength.of(settings).demanded


def signed_in_at(claims: Mapping[str, Any]) -> datetime | None:
    """When someone last proved to the provider who they are (``auth_time``); None where it does not say so."""
    told = claims.get("auth_time")
    if isinstance(told, bool) or not isinstance(told, int | float):
        return None
    if not 0 <= told <= (now() + LEEWAY).timestamp():  # neither what is no number nor what is yet to come
        return None
    return datetime.fromtimestamp(told, UTC)


def _several(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
