"""Scores are stored once, whatever breaks; what breaks harms nobody and is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from api.ground.clock import now
from api.models.service import Models
from api.shadows.__main__ import follow
from api.shadows.keeper import FIRST_REST_S, Keeper
from api.shadows.scoring import AT_ONCE, Scoring
from api.shadows.tables import ShadowPredictionRow, ShadowRow
from clinical_mm.bundle_layout import WEIGHTS
from clinical_mm.case import Case
from clinical_mm.errors import InvalidCase
from tests.api.shadows.conftest import Whisperer
from tests.api.shadows.test_shadows import Answered, Score, report, told


@pytest.fixture
def period(services: Any, shadow: str) -> str:
    """The id of the shadow's row."""
    with services.ground.database.reading() as session:
        return str(session.scalars(select(ShadowRow.id).where(ShadowRow.model_id == shadow)).one())


def test_a_case_that_it_cannot_read_is_counted_and_the_others_of_its_batch_are_scored(
    client: httpx.Client, shadow: str, whispers: Whisperer, answered: Answered, score: Score
) -> None:
    made = [answered() for _ in range(4)]

    def word(case: Case) -> float:
        if case.id == made[1]["case_id"]:
            raise InvalidCase("the case has nothing that this model reads")
        return 0.5

    whispers.word = word
    score()
    assert told(client, shadow) == (3, 0, 1, 0)
    assert report(client, shadow)["failures"] == {"InvalidCase": 1}
    assert score() == 0, "a failure is not tried again for ever"


def test_a_shadow_whose_code_is_broken_harms_no_answer(
    client: httpx.Client, shadow: str, whispers: Whisperer, answered: Answered, score: Score
) -> None:
    def broken(_: Case) -> float:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    whispers.word = broken
    made = answered()
    score()
    assert client.get(f"/predictions/{made['id']}").json() == made
    assert answered()["diagnoses"] == made["diagnoses"]
    assert told(client, shadow) == (0, 1, 1, 0)
    assert report(client, shadow)["failures"] == {"RuntimeError": 1}


def test_a_bundle_damaged_meanwhile_is_told_and_all_is_caught_up_with_once_it_is_whole(
    client: httpx.Client, services: Any, shadow: str, period: str, answered: Answered
) -> None:
    answered()
    weights = services.models.bundle_folder(shadow) / WEIGHTS
    aside = weights.rename(weights.with_suffix(".aside"))
    scoring = Scoring(services.ground, services.cases, Models(services.ground, services.audit))
    assert follow(scoring, period, idle_s=0) == 1
    assert report(client, shadow)["fault"] == f"model {shadow} cannot be loaded: its bundle is damaged"
    assert told(client, shadow) == (0, 1, 0, 0)
    aside.rename(weights)
    assert follow(scoring, period, idle_s=0) == 0
    assert told(client, shadow) == (1, 0, 0, 0)
    assert report(client, shadow)["fault"] is None


@pytest.mark.parametrize("error", [OSError("/srv/blobs: input/output error"), MemoryError()])
def test_what_is_wrong_with_the_machine_is_no_failure_of_a_case(
    client: httpx.Client,
    shadow: str,
    period: str,
    whispers: Whisperer,
    answered: Answered,
    scoring: Scoring,
    error: Exception,
) -> None:
    def away(_: Case) -> float:
        raise error

    answered()
    whispers.word = away
    assert follow(scoring, period, idle_s=0) == 1
    assert told(client, shadow) == (0, 1, 0, 0)
    assert report(client, shadow)["fault"] == f"{type(error).__name__}: the worker's log has more"


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_while_the_database_is_away_it_ends_without_a_word(
    shadow: str, period: str, scoring: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: str) -> int:
        raise OperationalError("SELECT", {}, RuntimeError("server closed the connection"))

    monkeypatch.setattr(scoring, "batch", away)
    assert follow(scoring, period, idle_s=0) == 1


def test_two_that_score_at_once_store_once(
    client: httpx.Client,
    services: Any,
    shadow: str,
    period: str,
    whispers: Whisperer,
    answered: Answered,
    scoring: Scoring,
) -> None:
    made = answered()

    def overtaken(_: Case) -> float:
        whispers.word = lambda _: 0.25
        scoring.batch(period)  # another worker is quicker
        return 0.75

    whispers.word = overtaken
    assert scoring.batch(period) == 1
    with services.ground.database.reading() as session:
        [row] = session.scalars(select(ShadowPredictionRow))
    assert (row.prediction_id, row.result["diagnoses"][0]["probability"]) == (made["id"], 0.25)
    assert told(client, shadow) == (1, 0, 0, 0)


def test_a_shadow_ended_while_it_scores_stores_nothing(
    client: httpx.Client, shadow: str, period: str, whispers: Whisperer, answered: Answered, scoring: Scoring
) -> None:
    def ended(_: Case) -> float:
        client.delete(f"/models/{shadow}/shadow").raise_for_status()
        return 0.5

    answered()
    whispers.word = ended
    assert scoring.batch(period) == 1
    assert told(client, shadow) == (0, 0, 0, 1)
    assert scoring.batch(period) is None


def test_one_worker_keeps_a_shadow_and_another_takes_over_once_it_is_silent(
    services: Any, settings: Any, period: str, scoring: Scoring, whispers: Whisperer, answered: Answered
) -> None:
    answered()
    elsewhere = replace(services.ground, settings=settings.model_copy(update={"worker_id": "gpu-2"}))
    other = Scoring(elsewhere, services.cases, services.models)
    assert scoring.claim(period)
    assert scoring.claim(period), "the same worker, after a crash"
    assert not other.claim(period)
    assert (scoring.due(), other.due()) == ([period], [])
    assert other.batch(period) is None
    assert whispers.asked == []
    with services.ground.database.transaction() as session:
        session.execute(update(ShadowRow).values(claimed_until=now() - timedelta(seconds=1)))
    assert other.due() == [period]
    assert other.batch(period) == 1
    assert not scoring.claim(period)


def test_its_turn_ends_where_another_project_s_shadow_waits(
    shadow: str, period: str, scoring: Scoring, whispers: Whisperer, answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [answered() for _ in range(AT_ONCE + 1)]
    monkeypatch.setattr(scoring, "due", lambda: [period, "shadow_of_another"])
    assert follow(scoring, period, turn_s=0) == 0
    assert len(whispers.asked) == AT_ONCE
    monkeypatch.setattr(scoring, "due", lambda: [period])
    assert follow(scoring, period, turn_s=0, idle_s=0) == 0
    assert len(whispers.asked) == len(made)


class Work:
    """What a keeper asks of the scoring."""

    worker_id = "one"

    def __init__(self, *due: str) -> None:
        self.waits, self.notes, self.taken = list(due), [], set()

    def due(self) -> list[str]:
        return self.waits

    def claim(self, shadow: str) -> bool:
        return shadow not in self.taken

    def note(self, shadow: str, fault: str) -> None:
        self.notes.append((shadow, fault))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time that passes when a test says so."""
    moment = [1000.0]
    monkeypatch.setattr("api.shadows.keeper.time.monotonic", lambda: moment[0])

    def passes(seconds: float) -> None:
        moment[0] += seconds

    return passes


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The processes that a keeper has started; ``returncode`` None while one runs."""
    processes: list[Any] = []

    class Process:
        def __init__(self, command: list[str], **_: Any) -> None:
            self.shadow, self.returncode = command[command.index("--shadow") + 1], None
            processes.append(self)

        def poll(self) -> int | None:
            return self.returncode

    monkeypatch.setattr("api.shadows.keeper.subprocess.Popen", Process)
    return processes


def test_one_process_runs_at_a_time_and_shadows_take_turns(clock: Any, started: list[Any]) -> None:
    keeper = Keeper(Work("shadow_a", "shadow_b"))  # type: ignore[arg-type]
    for _ in range(3):
        clock(10)
        keeper.tick()
    assert [one.shadow for one in started] == ["shadow_a"]
    for _ in range(3):
        started[-1].returncode = 0
        clock(10)
        keeper.tick()
    assert [one.shadow for one in started] == ["shadow_a", "shadow_b", "shadow_a", "shadow_b"]


def test_one_that_another_worker_has_taken_keeps_no_turn(clock: Any, started: list[Any]) -> None:
    work = Work("shadow_a", "shadow_b")
    work.taken = {"shadow_a"}
    keeper = Keeper(work)  # type: ignore[arg-type]
    for _ in range(2):
        clock(10)
        keeper.tick()
    assert [one.shadow for one in started] == ["shadow_b"]


def test_without_anything_that_waits_no_process_runs(clock: Any, started: list[Any]) -> None:
    keeper = Keeper(Work())  # type: ignore[arg-type]
    clock(10)
    keeper.tick()
    assert started == []


def test_one_that_crashes_rests_longer_each_time_lets_others_go_on_and_says_why(clock: Any, started: list[Any]) -> None:
    work = Work("shadow_a")
    keeper = Keeper(work)  # type: ignore[arg-type]
    clock(10)
    keeper.tick()
    for rest in (FIRST_REST_S, 2 * FIRST_REST_S, 4 * FIRST_REST_S):
        count = len(started)
        started[-1].returncode = -9
        clock(2)
        keeper.tick()
        clock(rest - 0.5)
        keeper.tick()
        assert len(started) == count
        clock(2)
        keeper.tick()
        assert len(started) == count + 1
    assert work.notes[0] == ("shadow_a", "its process was ended by signal 9 (out of memory?)")
    started[-1].returncode = -9
    work.waits = ["shadow_a", "shadow_b"]
    clock(2)
    keeper.tick()
    assert started[-1].shadow == "shadow_b"


def test_one_that_was_stopped_with_its_worker_has_not_failed(clock: Any, started: list[Any]) -> None:
    work = Work("shadow_a")
    keeper = Keeper(work)  # type: ignore[arg-type]
    for status in (-15, 143):
        clock(10)
        keeper.tick()
        started[-1].returncode = status
    clock(10)
    keeper.tick()
    assert (len(started), work.notes) == (3, [])


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_the_scoring_process_claims_in_its_workers_name(services: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers name themselves where no setting does: two without a name would both take the same shadow."""
    started: list[dict[str, str]] = []
    monkeypatch.setattr("api.shadows.keeper.subprocess.Popen", lambda _, env: started.append(env))
    scoring = Scoring(services.ground, services.cases, services.models, "machine-1")
    monkeypatch.setattr(scoring, "due", lambda: ["shadow_1"])
    monkeypatch.setattr(scoring, "claim", lambda _: True)
    Keeper(scoring).tick()
    assert [env["CLINICAL_MM_WORKER_ID"] for env in started] == ["machine-1"]
