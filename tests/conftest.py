"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG

from api.ground.scope import whole_process

REPOSITORY = Path(__file__).parent.parent

# Many small tensors on few cores: threads that spin for each other only slow the suite down.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Beside a training an answer may take longer than the five seconds that httpx waits; how long is no test's question.
DEFAULT_TIMEOUT_CONFIG.read = DEFAULT_TIMEOUT_CONFIG.connect = 30.0

whole_process("tests look into every project; a request of the server they start stands in its caller's alone")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real public cases beside the checkout; never part of the project."""
    folder = Path(os.environ.get("CLINICAL_MM_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        if os.environ.get("CLINICAL_MM_TEST_REQUIRE_SHARED_DATA"):
            pytest.fail(f"real cases are required here, and {folder} is absent")
        pytest.skip(f"real cases are absent: {folder}")
    return folder


@pytest.fixture(scope="session")
def trained_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, really trained on a few synthetic cases; read-only for the tests."""
    from tests.models import train_tiny

    return train_tiny(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def bundle_copy(trained_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may spoil."""
    return Path(shutil.copytree(trained_bundle, tmp_path / "bundle"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--record-examples`` writes the examples of the OpenAPI document anew (tests/api/examples.py)."""
    parser.addoption("--record-examples", action="store_true", help="write api/examples.json anew")
