"""The command line lets a model shadow the serving one, and tells how it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from api.settings import Settings
from tests.api.shadows.conftest import Whisperer

pytestmark = pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)


@pytest.fixture
def run(settings: Settings) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``clinical-mm models shadow`` in the test's workspace."""
    environment = {**os.environ, "CLINICAL_MM_WORKSPACE": str(settings.workspace)}

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        whole = [sys.executable, "-m", "api.cli", "models", "shadow", *arguments]
        return subprocess.run(whole, env=environment, capture_output=True, text=True, timeout=120, check=False)

    return command


@pytest.mark.slow
def test_it_begins_tells_and_ends(
    run: Any, model: str, new_model: Callable[..., str], whispers: Whisperer, answered: Any, score: Any
) -> None:
    challenger = new_model()
    begun = run(challenger)
    assert begun.returncode == 0, begun.stderr
    assert begun.stdout.startswith(f"in shadow: {challenger} beside {model}, since ")
    assert "0 scored, 0 waiting" in begun.stdout
    answered(0.8)
    whispers.word = lambda _: 0.6
    score()
    told = run(challenger)
    assert "  1 scored, 0 waiting, 0 failed, 0 missed\n" in told.stdout
    assert "  the same diagnosis most probable in 100% [21% to 100%] of 1 cases\n" in told.stdout
    ended = run(challenger, "--off", "--json")
    assert (json.loads(ended.stdout)["in_force"], json.loads(ended.stdout)["scored"]) == (False, 1)
    assert run(challenger, "--off").returncode == 1


def test_the_serving_model_is_refused_in_one_line(run: Any, model: str) -> None:
    answer = run(model)
    assert answer.returncode == 1
    assert answer.stderr == "clinical-mm: this model serves: a shadow is another one beside it\n"
