"""Who is at the browser: a signed cookie that names a key, never its secret; and the one-time link of the demo.

The key is looked up at each request, so that revoking it ends its sessions at once.
"""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

from flask import Request, Response
from itsdangerous import BadSignature, URLSafeTimedSerializer

from api.ground.ground import Ground
from api.problems import Forbidden

COOKIE = "clinical_mm_session"
SESSION_LIFE = timedelta(hours=12)
LINK_LIFE = timedelta(hours=1)
CSRF_FIELD, CSRF_HEADER = "csrf_token", "X-CSRF-Token"
_SECRET_BYTES = 32


@dataclass(frozen=True)
class Visit:
    """One browser's session; ``key_id`` is None before sign-in, ``nonce`` is what CSRF tokens hang on."""

    nonce: str
    key_id: str | None = None


class Sessions:
    """Signs and reads what browsers carry, with a secret that stays in the workspace."""

    def __init__(self, folder: Path) -> None:
        self._used = folder / "used_links"
        self._secret = _workspace_secret(folder / "pages.secret")
        self._cookies = URLSafeTimedSerializer(self._secret, salt="session")
        self._links = URLSafeTimedSerializer(self._secret, salt="sign-in link")

    def visit(self, request: Request) -> Visit:
        """The session of a request; a fresh, signed-out one where its cookie is absent, forged or too old."""
        try:
            carried = self._cookies.loads(request.cookies.get(COOKIE, ""), max_age=SESSION_LIFE.total_seconds())
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

    def link_token(self, key_id: str) -> str:
        """A token that signs in once, as this key, within the hour."""
        return self._links.dumps({"nonce": secrets.token_urlsafe(18), "key": key_id})

    def spend(self, token: str) -> str | None:
        """The key id of a link's token, which then opens nothing more; None where it is not valid or spent."""
        try:
            carried = self._links.loads(token, max_age=LINK_LIFE.total_seconds())
        except BadSignature:
            return None
        self._used.mkdir(parents=True, exist_ok=True)
        mark = self._used / sha256(carried["nonce"].encode()).hexdigest()
        try:
            mark.touch(exist_ok=False)  # the file system decides which of two requests was first
        except FileExistsError:
            return None
        return str(carried["key"])


def sign_in_link(ground: Ground, key_id: str, base_url: str) -> str:
    """An address that signs one browser in, once, as the holder of ``key_id``."""
    token = Sessions(ground.settings.workspace.resolve()).link_token(key_id)
    return f"{base_url.rstrip('/')}/sign-in?{urlencode({'token': token})}"


def _workspace_secret(path: Path) -> bytes:
    """The secret in ``path``; made on first use, readable by the owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(_SECRET_BYTES).encode())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # a whole file under its name, or none; whoever links first decides the secret
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_bytes()
