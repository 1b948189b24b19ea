"""Who is at the browser: a signed cookie that names a session of the server's, never a key; and one-time links.

The session is looked up at each request (access/sessions.py), so that signing out, revoking a key or blocking a person
ends it at once. Its name changes whenever somebody signs in or out, so that no name from before leads in.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask import Request, Response, g, request
from itsdangerous import BadSignature

from api.access.service import Caller
from api.ground import algorithms
from api.ground.ground import Ground
from api.ground.secret import session_secret
from api.problems import Forbidden
from api.services import Services
from clinical_mm.digests import content_hash

COOKIE, UNDER_WAY = "clinical_mm_session", "clinical_mm_sign_in"
LINK_LIFE = timedelta(hours=1)
UNDER_WAY_LIFE = timedelta(minutes=10)
WORDS_IN_ADDRESSES = "words in addresses"
"""What that key is for."""
CSRF_FIELD, CSRF_HEADER = "csrf_token", "X-CSRF-Token"


@dataclass(frozen=True)
class Visit:
    """One browser's visit; ``nonce`` is what CSRF tokens hang on, and once somebody is signed in the session's name."""

    nonce: str
    signed_in: bool = False


class Sessions:
    """Signs and reads what browsers carry, with a secret that stays in the workspace."""

    def __init__(self, workspace: Path) -> None:
        self._used = workspace / "used_links"
        self._said = session_secret(workspace)
        self._secret = self._said.encode()
        self._cookies = algorithms.signer(self._secret, "session")
        self._links = algorithms.signer(self._secret, "sign-in link")
        self._under_way = algorithms.signer(self._secret, "sign-in under way")

    def visit(self, request: Request) -> Visit:
        """The visit of a request; a fresh, signed-out one where its cookie is absent or forged."""
        try:
            carried = self._cookies.loads(request.cookies.get(_named(COOKIE, secure=request.is_secure), ""))
            return Visit(carried["nonce"], carried["in"] is True)
        except (BadSignature, KeyError, TypeError):
            return Visit(secrets.token_urlsafe(32))

    def remember(self, response: Response, visit: Visit, *, life: timedelta, secure: bool) -> None:
        """Let the browser carry this visit."""
        value = self._cookies.dumps({"nonce": visit.nonce, "in": visit.signed_in})
        _set(response, COOKIE, value, life, secure=secure)

    def keep_under_way(self, response: Response, begun: dict[str, Any], *, secure: bool) -> None:
        """Let the browser carry what must come back from the provider with it."""
        _set(response, UNDER_WAY, self._under_way.dumps(begun), UNDER_WAY_LIFE, secure=secure)

    def take_under_way(self, request: Request) -> dict[str, Any] | None:
        """What ``keep_under_way`` gave to this browser; None where that is too long ago, or was another's."""
        carried = request.cookies.get(_named(UNDER_WAY, secure=request.is_secure), "")
        try:
            begun: dict[str, Any] = self._under_way.loads(carried, max_age=int(UNDER_WAY_LIFE.total_seconds()))
        except BadSignature:
            return None
        return begun

    def csrf_token(self, visit: Visit) -> str:
        """What a form of this session must send back."""
        return algorithms.signature(self._secret, _form_of(visit))

    def check_csrf(self, request: Request, visit: Visit) -> None:
        """Refuse a change that did not come from one of this session's own pages; raises Forbidden."""
        sent = request.headers.get(CSRF_HEADER) or request.form.get(CSRF_FIELD, "")
        if not algorithms.is_signature(self._secret, _form_of(visit), sent):
            raise Forbidden("this form is not from a page of your session; reload the page and try again")

    def sealed(self, words: str) -> str:
        """Words as they may stand in an address, which browsers, proxies and logs keep.

        The same words are sealed otherwise each time: an address that is to stay takes on the seal that it came with.
        """
        return algorithms.sealed(self._said, WORDS_IN_ADDRESSES, words)

    def unsealed(self, token: str) -> str | None:
        """The words; None where this workspace has not sealed them."""
        return algorithms.unsealed(self._said, WORDS_IN_ADDRESSES, token)

    def link_token(self, key_id: str) -> str:
        """A token that signs in once, as this key, within the hour."""
        return self._links.dumps({"nonce": secrets.token_urlsafe(18), "key": key_id})

    def spend(self, token: str) -> str | None:
        """The key id of a link's token, which then opens nothing more; None where it is not valid or spent."""
        try:
            carried = self._links.loads(token, max_age=int(LINK_LIFE.total_seconds()))
        except BadSignature:
            return None
        self._used.mkdir(parents=True, exist_ok=True)
        mark = self._used / content_hash(carried["nonce"].encode()).hexdigest()
        try:
            mark.touch(exist_ok=False)  # the file system decides which of two requests was first
        except FileExistsError:
            return None
        return str(carried["key"])


@cache
def sessions_of(workspace: Path) -> Sessions:
    """The sessions of a workspace; its secret is read once a process."""
    return Sessions(workspace)


def session_of_pages() -> Sessions:
    """The sessions of the pages that this request is for."""
    found: Sessions = g.sessions
    return found


def visit_of_request(sessions: Sessions) -> Visit:
    """This request's session, read once."""
    if "visit" not in g:
        g.visit = sessions.visit(request)
    visit: Visit = g.visit
    return visit


def signed_in(services: Services) -> Caller | None:
    """Who the browser's session belongs to; raises Unauthenticated where it has ended."""
    visit = visit_of_request(sessions_of(services.ground.settings.workspace.resolve()))
    return services.sessions.caller(visit.nonce) if visit.signed_in else None


def sign_in_link(ground: Ground, key_id: str, base_url: str) -> str:
    """An address that signs one browser in, once, as the holder of ``key_id``.

    Its token stands behind the #, which browsers send to nobody: the page posts it (static/js/sign_link.js).
    """
    token = sessions_of(ground.settings.workspace.resolve()).link_token(key_id)
    return f"{base_url.rstrip('/')}/sign-in#{urlencode({'token': token})}"


def forget_under_way(response: Response) -> None:
    """A sign-in that is over is not begun again by its cookie."""
    response.delete_cookie(_named(UNDER_WAY, secure=request.is_secure), secure=request.is_secure, httponly=True)


def _form_of(visit: Visit) -> bytes:
    return f"csrf {visit.nonce}".encode()


def _named(cookie: str, *, secure: bool) -> str:
    """With https a name that no other host and no plain connection can set (RFC 6265bis, 4.1.3.2)."""
    return f"__Host-{cookie}" if secure else cookie


def _set(response: Response, cookie: str, value: str, life: timedelta, *, secure: bool) -> None:
    name, seconds = _named(cookie, secure=secure), int(life.total_seconds())
    # Lax, not Strict: the provider sends the browser back from another site.
    response.set_cookie(name, value, max_age=seconds, path="/", httponly=True, samesite="Lax", secure=secure)
