"""A service that trusts a provider, which really runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import api.access.oidc
import api.access.provider
from api.app import create_app
from api.services import build
from api.settings import Settings
from tests.api.conftest import listening
from tests.api.providing import Provider, running_provider


@pytest.fixture(scope="session")
def one_provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture
def provider(one_provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    for module in (api.access.provider, api.access.oidc):
        monkeypatch.setattr(module, "DEADLINE_S", 20.0)  # beside other tests it may be slow; a test of that says so
    yield one_provider
    one_provider.set(slow_s=0.0, userinfo_alone=[])


@pytest.fixture
def trusting(settings: Settings, provider: Provider, tmp_path: Path) -> Iterator[Any]:
    """The services of a server that trusts the provider."""
    built = build(provider.settings(settings, tmp_path))
    yield built
    built.close()


@pytest.fixture
def trusting_url(trusting: Any) -> Iterator[str]:
    with listening(create_app(services=trusting)) as url:
        yield url


@pytest.fixture
def with_token(trusting_url: str) -> Iterator[Callable[..., httpx.Response]]:
    """Sends a request with a token; a path below /v1."""
    with httpx.Client(base_url=f"{trusting_url}/v1", timeout=30) as client:

        def send(token: str, method: str = "GET", path: str = "/cases", **options: Any) -> httpx.Response:
            headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
            return client.request(method, path, headers=headers, **options)

        yield send
