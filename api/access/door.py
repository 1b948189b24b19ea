"""Who stands at the door of /v1: an API key or an access token of the provider, and how often they may come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.access.identity import looks_like_token
from api.access.limits import Limits, Standing
from api.access.people import People
from api.access.roles import Caller
from api.access.service import Access
from api.problems import Unauthenticated

if TYPE_CHECKING:
    from api.access.oidc import OpenIdConnect


class Door:
    """Tells callers by what they present."""

    def __init__(
        self, access: Access, people: People, oidc: OpenIdConnect | None, limits: Limits, *, keys_open_pages: bool
    ) -> None:
        self._access, self._people, self._oidc, self.limits = access, people, oidc, limits
        self._keys_open_pages = keys_open_pages

    def open(self, presented: str, address: str, project: str | None, *, page: bool) -> Caller:
        """The caller; ``project`` is the one that a person wants to enter, ``page``: it is a page that is asked for.

        Raises:
            Unauthenticated: nobody whom we know, not signed in strongly enough, or a key where keys open no page.
            Forbidden: a person to whom nothing, or not this project, is open; a token for something else.
            RateLimited: too many from this address failed lately.
            ProviderAway: a token came, and the provider's keys are not known and cannot be had.
        """
        if self._oidc is None or not looks_like_token(presented):
            if page and not self._keys_open_pages:
                raise Unauthenticated("keys open no pages here: sign in with your organisation's account")
            return self._access.authenticate(presented, address)
        self.limits.refuse_guessing(address)
        try:
            identity = self._oidc.identify(presented)
        except Unauthenticated:
            self.limits.count_failure(address)
            raise
        return self._people.caller(self._people.person(identity), project)

    def pass_through(self, caller: Caller) -> Standing | None:
        """Count a request; raises RateLimited."""
        return self.limits.spend(caller.key_id)
