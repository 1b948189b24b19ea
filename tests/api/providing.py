"""A provider that runs beside the tests, and how a test speaks to it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from api.settings import Settings
from tests.provider import AUDIENCE, CLIENT_ID, CLIENT_SECRET
from tests.whole.server import free_port

GRANTS = """
claim: groups
grants:
- {value: readers, project: default, role: viewer}
- {value: radiology, project: default, role: clinician}
- {value: admins, project: default, role: admin}
- {value: elsewhere, project: another hospital, role: trainer}
"""


@dataclass(frozen=True)
class Provider:
    """The process's address."""

    url: str

    def tell(self, subject: str, **claims: Any) -> None:
        """What is said of someone from now on."""
        httpx.put(f"{self.url}/people/{subject}", json=claims).raise_for_status()

    def set(self, **settings: Any) -> None:
        httpx.post(f"{self.url}/settings", json=settings).raise_for_status()

    def rotate(self) -> None:
        httpx.post(f"{self.url}/rotate").raise_for_status()

    def claims(self, subject: str = "ada", **changes: Any) -> dict[str, Any]:
        """Of a good access token; a change to ``...`` leaves the claim out."""
        moment = int(time.time())
        good = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": subject,
            "name": subject.title(),
            "iat": moment,
            "exp": moment + 300,
        }
        return {k: v for k, v in {**good, "groups": ["radiology"], **changes}.items() if v is not ...}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        return httpx.post(f"{self.url}/sign", json={"claims": claims, "header": header}).raise_for_status().text

    def token(self, subject: str = "ada", **changes: Any) -> str:
        return self.sign(self.claims(subject, **changes))

    def settings(self, settings: Settings, folder: Path) -> Settings:
        """Those of a service that trusts this provider."""
        (folder / "grants.yaml").write_text(GRANTS, encoding="utf-8")
        return settings.model_copy(
            update={
                "oidc_issuer": self.url,
                "oidc_client_id": CLIENT_ID,
                "oidc_client_secret": SecretStr(CLIENT_SECRET),
                "oidc_audience": AUDIENCE,
                "oidc_grants": folder / "grants.yaml",
            }
        )


@contextmanager
def running_provider() -> Iterator[Provider]:
    """The provider in a process of its own, until the end."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.provider", str(port)], stderr=subprocess.DEVNULL)
    provider = Provider(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{provider.url}/jwks").raise_for_status()
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline, "the provider did not start"
                assert process.poll() is None, "the provider ended"
                time.sleep(0.1)
        yield provider
    finally:
        process.kill()
        process.wait()
