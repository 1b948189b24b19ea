"""Secrets of an installation, readable by their owner alone: for sessions, for the audit trail, for pseudonyms."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from api.ground.algorithms import derived

TRAIL = "audit trail"
"""What that key is for."""


def session_secret(workspace: Path) -> str:
    """The secret that signs this workspace's sessions."""
    return _kept(workspace / "session.secret")


def pseudonym_secret(workspace: Path, said: str, project: str) -> bytes:
    """The secret that a project's pseudonyms are made with.

    ``said``: the operator's own, for several machines over one database; empty: the workspace's. Whoever loses it can
    link no new case to an old one's patient.
    """
    root = said or _kept(workspace / "deidentify.secret")
    return derived(root, f"project {project}")


def _kept(path: Path) -> str:
    """What the file holds; made at the first call, by whichever process is first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
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
    return derived(session_secret(workspace), TRAIL)


def known_trail_key(workspace: Path) -> bytes | None:
    """The same where the workspace has a secret; makes none."""
    path = workspace / "session.secret"
    return derived(path.read_text(encoding="ascii"), TRAIL) if path.exists() else None
