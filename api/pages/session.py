"""Who is at the browser: a signed cookie that names a key, never its secret; and the one-time link of the demo.

The key is looked up at each request, so that revoking it ends its sessions at once.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from hashlib import sha256, sha512
from pathlib import Path
from urllib.parse import urlencode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from flask import Request, Response, g, request
from itsdangerous import BadSignature, URLSafeTimedSerializer

from api.access.service import Caller
from api.ground.ground import Ground
from api.ground.secret import session_secret
from api.problems import Forbidden
from api.services import Services

COOKIE = "clinical_mm_session"
SESSION_LIFE = timedelta(hours=12)
LINK_LIFE = timedelta(hours=1)
CSRF_FIELD, CSRF_HEADER = "csrf_token", "X-CSRF-Token"


@dataclass(frozen=True)
class Visit:
    """One browser's session; ``key_id`` is None before sign-in, ``nonce`` is what CSRF tokens hang on."""

    nonce: str
    key_id: str | None = None


class Sessions:
    """Signs and reads what browsers carry, with a secret that stays in the workspace."""

    def __init__(self, workspace: Path) -> None:
        self._used = workspace / "used_links"
        self._secret = session_secret(workspace).encode()
        self._cookies = URLSafeTimedSerializer(self._secret, salt="session")
        self._links = URLSafeTimedSerializer(self._secret, salt="sign-in link")
        self._seal = AESSIV(sha512(b"words in addresses " + self._secret).digest())

    def visit(self, request: Request) -> Visit:
        """The session of a request; a fresh, signed-out one where its cookie is absent, forged or too old."""
        try:
            carried = self._cookies.loads(request.cookies.get(COOKIE, ""), max_age=int(SESSION_LIFE.total_seconds()))
            return Visit(carried["nonce"], carried["key"])
        except (BadSignature, KeyError, TypeError):
            return Visit(secrets.token_urlsafe(18))

    def remember(self, response: Response, visit: Visit, *, secure: bool) -> None:
        """Let the browser carry this session."""
        value = self._cookies.dumps({"nonce": visit.nonce, "key": visit.key_id})
        life = int(SESSION_LIFE.total_seconds())
        response.set_cookie(COOKIE, value, max_age=life, httponly=True, samesite="Lax", secure=secure)

    def csrf_token(self, visit: Visit) -> str:
        """What a form of this session must send back."""
        return hmac.new(self._secret, f"csrf {visit.nonce}".encode(), sha256).hexdigest()

    def check_csrf(self, request: Request, visit: Visit) -> None:
        """Refuse a change that did not come from one of this session's own pages; raises Forbidden."""
        sent = request.headers.get(CSRF_HEADER) or request.form.get(CSRF_FIELD, "")
        if not hmac.compare_digest(sent.encode(), self.csrf_token(visit).encode()):
            raise Forbidden("this form is not from a page of your session; reload the page and try again")

    def sealed(self, words: str) -> str:
        """Words as they may stand in an address, which browsers, proxies and logs keep; the same words, the same seal.

        Source: AES-SIV, RFC 5297.
        """
        return base64.urlsafe_b64encode(self._seal.encrypt(words.encode(), None)).decode().rstrip("=")

    def unsealed(self, token: str) -> str | None:
        """The words; None where this workspace has not sealed them."""
        try:
            return self._seal.decrypt(base64.urlsafe_b64decode(token + "==="), None).decode()
        except (InvalidTag, ValueError):
            return None

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
        mark = self._used / sha256(carried["nonce"].encode()).hexdigest()
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
    """Who the browser's session belongs to; raises Unauthenticated where its key has ended since."""
    key_id = visit_of_request(sessions_of(services.ground.settings.workspace.resolve())).key_id
    return None if key_id is None else services.access.caller_of(key_id)


def sign_in_link(ground: Ground, key_id: str, base_url: str) -> str:
    """An address that signs one browser in, once, as the holder of ``key_id``."""
    token = sessions_of(ground.settings.workspace.resolve()).link_token(key_id)
    return f"{base_url.rstrip('/')}/sign-in?{urlencode({'token': token})}"
