"""One run's page in the browser: how far it is as it goes on, what was asked for, and what came of it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from api.access.service import Role
from api.app import create_app
from api.training.job import TrainingJob
from api.training.record import RunRecord
from api.training.schemas import TrainingRunIn
from api.training.watching import WATCHERS
from clinical_mm.phantom import draw
from clinical_mm.training.progress import Progress
from tests.api.conftest import listening
from tests.api.pages.conftest import Ward, entered
from tests.api.pages.test_accessibility import violations

pytestmark = pytest.mark.browser

SMALLEST = {
    "training.epochs": 5,
    "training.judged_cases": 0,
    "modalities": {"vitals": {"width": 16}},
    "fusion": {"name": "concat", "options": {"width": 16}},
}
LOSSES = [(0.693, 0.69), (0.5, 0.55), (0.41, 0.47), (0.37, 0.48)]


def asked(ward: Ward, **wanted: Any) -> str:
    return str(ward.services.training.start(ward.admin, TrainingRunIn(config="small", **wanted)).id)


def told(ward: Ward, run: str, losses: list[tuple[float, float]], **progress: Any) -> None:
    """As a worker and its training tell it."""
    record = RunRecord(ward.services.ground, run)
    record.begin()
    out = ward.services.ground.settings.runs_folder / run / "out"
    out.mkdir(parents=True, exist_ok=True)
    lines = [{"step": n, "train_loss": a, "validation_loss": b} for n, (a, b) in enumerate(losses, start=1)]
    (out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    record.progress(Progress("training", 0.5, len(losses), 8, **progress).to_json())


@pytest.fixture
def trainer(sign_in: Callable[[Role], Page], faults: list[str]) -> Any:
    yield sign_in(Role.TRAINER)
    assert faults == []


@pytest.mark.slow
def test_a_training_is_watched_from_its_queue_to_its_model_without_a_reload(
    ward: Ward, context: BrowserContext, faults: list[str]
) -> None:
    admin = ward.services.access.operator("trains here")
    here = Ward(ward.url, ward.services, admin)
    for number, drawn in enumerate(draw(60, 3)):
        ward.services.cases.submit_case(admin, replace(drawn.case, external_id=f"synthetic-{number}"))
    run = asked(here, set=SMALLEST)
    page = entered(here, context, faults, Role.TRAINER)
    page.get_by_role("link", name="Training").click()
    page.get_by_role("link", name=run).click()
    expect(page.locator("#run .state")).to_have_text("queued")
    page.evaluate("window.sameVisit = true")

    services = ward.services
    job = TrainingJob(services.ground, services.cases, services.models, services.promotions, run)
    steps = (job.record.begin, job.freeze, job.train, job.register, job.compare, job.tidy)
    worker = threading.Thread(target=lambda: [step() for step in steps], daemon=True)
    worker.start()
    expect(page.locator("#run .state")).to_have_text("running")
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.locator(".curve .validation")).to_have_count(1, timeout=60_000)
    expect(page.locator("#run .state")).to_have_text("succeeded", timeout=60_000)
    expect(page.locator("#run-said")).to_have_text("succeeded")
    assert page.evaluate("window.sameVisit")
    drawn_losses = page.locator(".curve svg").get_attribute("aria-label") or ""
    history = services.models.list(admin)[0].metrics["history"]
    assert f"validation {history[-1]['validation_loss']:.3f}" in drawn_losses
    assert f"training {history[-1]['train_loss']:.3f}" in drawn_losses
    page.get_by_role("link", name="The model it made").click()
    expect(page.locator("h1")).to_contain_text("small")
    worker.join(timeout=10)
    assert faults == []


def test_the_page_tells_what_was_asked_for_and_how_the_losses_went(trainer: Page, ward: Ward) -> None:
    wanted = {"set": {"training.epochs": 8, "training.learning_rate": 0.002}, "filter": {"q": "cough"}}
    run = asked(ward, **wanted, labels="majority")
    told(ward, run, LOSSES, metrics={"train_loss": 0.37, "validation_loss": 0.48}, eta_s=130.0)
    trainer.goto(f"{ward.url}/training/{run}")
    expect(trainer.locator("#run")).to_contain_text(
        "epoch 4 of 8, train loss 0.370, validation loss 0.480, about 2 min"
    )
    expect(trainer.locator("#run")).to_contain_text("Lowest validation loss 0.470, in epoch 3")
    main = trainer.locator("main")
    for words in ("training.learning_rate", "0.002", "what more than half of the reviewers name", "cough"):
        expect(main).to_contain_text(words)
    path = trainer.locator(".curve .validation").get_attribute("d") or ""
    places = [float(number) for number in path.rpartition("L")[2].split()]
    assert places[::2] == pytest.approx([0, 100 / 7, 200 / 7, 300 / 7, 300 / 7], abs=0.01), "as wide as eight epochs"
    assert places[5] == max(places[1::2]), "lower is lower on the page"
    RunRecord(ward.services.ground, run).cancelled()
    expect(trainer.locator("#run .state")).to_have_text("cancelled")
    ends_at_the_edge = re.compile(r" 100\.00 [\d.]+$")
    expect(trainer.locator(".curve .validation")).to_have_attribute("d", ends_at_the_edge)  # no more epochs come


def test_a_failed_run_shows_why_and_the_end_of_its_log_as_it_was_written(
    trainer: Page, ward: Ward, sign_in: Callable[[Role], Page]
) -> None:
    run = asked(ward)
    told(ward, run, [])
    trainer.goto(f"{ward.url}/training/{run}")
    log = ward.services.ground.settings.runs_folder / run / "out" / "training.log"
    log.write_text("".join(f"line {n}\n" for n in range(100)) + "<b>the disk is full</b>\n", encoding="utf-8")
    RunRecord(ward.services.ground, run).fail("the disk is full: free some space")
    expect(trainer.locator("#run .problem")).to_have_text("the disk is full: free some space")
    expect(trainer.locator("#log")).to_contain_text("<b>the disk is full</b>")
    expect(trainer.locator("#log b")).to_have_count(0)
    expect(trainer.locator("#log")).not_to_contain_text("line 60\n")
    viewer = sign_in(Role.VIEWER)
    viewer.goto(f"{ward.url}/training/{run}")
    expect(viewer.locator("#run .problem")).to_be_visible()
    expect(viewer.locator("#log")).to_have_count(0)


def test_a_trainer_cancels_a_run_and_a_viewer_cannot(trainer: Page, ward: Ward, browser: Browser) -> None:
    run = asked(ward)
    elsewhere = browser.new_context()
    viewer = entered(ward, elsewhere, [], Role.VIEWER)
    viewer.goto(f"{ward.url}/training/{run}")
    expect(viewer.locator("main").get_by_role("button")).to_have_count(0)
    trainer.goto(f"{ward.url}/training/{run}")
    trainer.get_by_role("button", name="Cancel").click()
    expect(trainer.locator("#run .state")).to_have_text("cancelled")
    expect(trainer.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(viewer.locator("#run .state")).to_have_text("cancelled")
    elsewhere.close()


def test_without_script_the_page_shows_the_same_and_reloads_itself(browser: Browser, ward: Ward) -> None:
    run = asked(ward)
    told(ward, run, LOSSES)
    context = browser.new_context(java_script_enabled=False)
    page = entered(ward, context, [], Role.TRAINER)
    page.goto(f"{ward.url}/training/{run}")
    expect(page.locator(".curve .training")).to_have_count(1)
    expect(page.locator("meta[http-equiv=refresh]")).to_have_count(1)
    RunRecord(ward.services.ground, run).fail("no cases")
    expect(page.locator("#run .state")).to_have_text("failed")  # by its own reload
    expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0)
    context.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_screen(trainer: Page, ward: Ward, width: int) -> None:
    run = asked(ward, set={"modalities.text": {"model": "minilm", "max_tokens": 64, "stride": 16, "frozen": True}})
    told(ward, run, LOSSES)
    trainer.set_viewport_size({"width": width, "height": 844})
    trainer.goto(f"{ward.url}/training/{run}")
    expect(trainer.locator("#run-said")).to_have_text("running, training")
    assert violations(trainer) == []
    assert trainer.evaluate("document.documentElement.scrollWidth") <= width
    RunRecord(ward.services.ground, run).cancelled()


def test_many_pages_that_watch_are_all_told_and_leave_threads_for_the_others(ward: Ward) -> None:
    run = asked(ward)
    headers = {"Authorization": f"Bearer {ward.key(Role.VIEWER)[1]}"}
    with listening(create_app(services=ward.services)) as url, httpx.Client(headers=headers) as client:
        events = f"{url}/training/{run}/events"
        watching = [client.send(client.build_request("GET", events), stream=True) for _ in range(WATCHERS + 2)]
        assert [answer.status_code for answer in watching] == [200] * (WATCHERS + 2)
        RunRecord(ward.services.ground, run).cancelled()
        ends = [answer.read().decode() for answer in watching]
        assert sum(told.startswith("retry:") for told in ends) >= 2  # they come back for the end
        assert all("retry:" in told or '"cancelled"' in told for told in ends)
        assert '"cancelled"' in client.get(events).text
        assert client.get(f"{url}/training/run_none/events").status_code == 404
