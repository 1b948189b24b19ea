"""A serving model and a shadow beside it; what both say is what a test wants to hear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from api.shadows.scoring import Scoring
from clinical_mm.answers import DiagnosisProbability, Prediction
from clinical_mm.case import Case
from tests.api.conftest import case_json


@dataclass
class Whisperer:
    """A shadow without a network; ``word`` is its probability of pneumonia for a case, or raises."""

    word: Callable[[Case], float] = lambda _: 0.3
    asked: list[str] = field(default_factory=list)

    def predict(self, cases: Sequence[Case]) -> list[Prediction]:
        answers = []
        for case in cases:
            self.asked.append(case.id)
            p = self.word(case)
            said = {"pneumonia": p, "heart-failure": 1 - p}
            diagnoses = tuple(DiagnosisProbability(code, code, probability) for code, probability in said.items())
            answers.append(Prediction(diagnoses, 0.9, (), (), (), abstained=False))
        return answers


@pytest.fixture
def whispers(services: Any, monkeypatch: pytest.MonkeyPatch) -> Whisperer:
    """Stands in for whatever model is loaded to score."""
    whisperer = Whisperer()
    monkeypatch.setattr(services.models, "predictor", lambda _: whisperer)
    return whisperer


@pytest.fixture
def scoring(services: Any) -> Scoring:
    """What the scoring process does, in this process."""
    return Scoring(services.ground, services.cases, services.models)


@pytest.fixture
def score(scoring: Scoring) -> Callable[[], int]:
    """Scores all that waits; gives how many predictions were looked at."""

    def everything() -> int:
        done = 0
        for shadow in scoring.due():
            while found := scoring.batch(shadow):
                done += found
        return done

    return everything


@pytest.fixture
def shadow(client: httpx.Client, model: str, new_model: Callable[..., str]) -> str:
    """The id of a model that is the shadow of the one that serves."""
    challenger = new_model()
    client.put(f"/models/{challenger}/shadow").raise_for_status()
    return challenger


@pytest.fixture
def answered(client: httpx.Client, says: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A fresh case without a label, and what the serving model says of it: its probability of pneumonia."""
    count = iter(range(1000))

    def ask(pneumonia: float = 0.8, **changes: Any) -> dict[str, Any]:
        number = next(count)
        sent: Mapping[str, Any] = {
            "external_id": f"acc-{number}",
            "patient": {"id": f"p-{number}"},
            "diagnoses": ...,
            **changes,
        }
        case = client.post("/cases", json=case_json(**sent)).raise_for_status().json()["id"]
        return says(case, {"pneumonia": pneumonia, "heart-failure": 1 - pneumonia})

    return ask
