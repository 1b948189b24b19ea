"""The secret that signs sessions and the audit trail: made once, kept in the workspace, readable by its owner alone."""

from __future__ import annotations

import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path


def session_secret(workspace: Path) -> str:
    """The secret of this workspace; made at the first call, by whichever process is first."""
    path = workspace / "session.secret"
    workspace.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"session.secret.{os.getpid()}")
    if not path.exists():
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(fresh, path)  # fails where another process was first: then its secret holds
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text(encoding="ascii")


def trail_key(workspace: Path) -> bytes:
    """The key that signs the audit trail, 32 bytes derived from the secret; it stands in no database."""
    return _derived(session_secret(workspace))


def known_trail_key(workspace: Path) -> bytes | None:
    """The same where the workspace has a secret; makes none."""
    path = workspace / "session.secret"
    return _derived(path.read_text(encoding="ascii")) if path.exists() else None


def _derived(secret: str) -> bytes:
    return hmac.new(secret.encode(), b"audit trail", sha256).digest()
