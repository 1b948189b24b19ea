"""The pages in a real Chromium, over a listening server with a really trained model and synthetic cases."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from math import sin
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from api.access.schemas import ProjectChange
from api.access.service import Caller, Role
from api.ground.migrate import upgrade
from api.pages.session import sessions_of
from clinical_mm.answers import Contribution, Explanation
from clinical_mm.case import Case, Patient
from clinical_mm.modalities.base import word_spans
from clinical_mm.notes import phrases
from clinical_mm.phantom import draw
from tests.api.conftest import BareSettings, listening

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Ward:
    """A server with a model that serves; each test puts its own cases in."""

    url: str
    services: Any
    admin: Caller
    numbers: Iterator[int] = field(default_factory=count)

    def key(self, role: Role) -> tuple[str, str]:
        key, secret = self.services.access.create_key(self.admin, role, f"Dr. {role}")
        return key.id, secret

    def submit(self, case: Case) -> str:
        """Store a case as synthetic and unlabelled; its id."""
        case = replace(case, external_id=f"synthetic-browser-{next(self.numbers)}", diagnoses=None)
        return str(self.services.cases.submit_case(self.admin, case, synthetic=True).id)

    def list_of(self, words: str, **filters: str) -> str:
        """The address of the list that the form leads to."""
        sealed = sessions_of(self.services.ground.settings.workspace.resolve()).sealed(words)
        return f"{self.url}/?{urlencode({'s': sealed, **filters})}"

    def whole_case(self) -> str:
        """A case with image, note and vitals."""
        return self.submit(next(d.case for d in draw(60, 5) if d.case.images and d.case.note and d.case.vitals))

    def explained_case(self) -> str:
        case_id = self.whole_case()
        prediction = self.services.predictions.create(self.admin, case_id)
        self.services.explanations.create(self.admin, prediction.id)
        return case_id

    def explained_in_words(self, note: str) -> str:
        """A case with image, vitals and this note, explained by its words alone: quick, however long the note is."""
        whole = next(d.case for d in draw(60, 5) if d.case.images and d.case.vitals)
        case_id = self.submit(replace(whole, note=note))
        prediction = self.services.predictions.create(self.admin, case_id)
        spans = word_spans(note, [(at, at + 1, sin(at) / 50) for at in range(len(note))])
        told = sum(span.attribution for span in spans)
        answer = Explanation(
            target=prediction.diagnoses[0].code,
            method="integrated_gradients",
            baseline_value=0.0,
            value=told,
            completeness_error=0.0,
            contributions=(Contribution("text", told),),
            text=spans,
            phrases=phrases(note, spans),
        )
        self.services.explanations._store(self.admin, prediction.id, replace(whole, id=case_id), answer, ({}, None))
        return case_id

    def note_only(self, note: str, patient: str = "p-1") -> str:
        return self.submit(Case(patient=Patient(patient), note=note))


@pytest.fixture(scope="session")
def ward(trained_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """One server for all browser tests."""
    from api.app import create_app
    from api.services import build

    settings = BareSettings(workspace=tmp_path_factory.mktemp("ward"), embedded_worker=False)
    upgrade(settings)
    services = build(settings)
    admin = services.access.operator("default")
    services.models.register(admin, None, trained_bundle, "tiny")
    with listening(create_app(settings, services)) as url:
        yield Ward(url, services, admin)
    services.close()


@pytest.fixture(scope="session")
def reading_ward(ward: Ward, trained_bundle: Path) -> Ward:
    """The same server's project of another hospital, which reads first."""
    admin = ward.services.access.operator("reads first")
    ward.services.projects.change(admin, ProjectChange(read_first=True))
    ward.services.models.register(admin, None, trained_bundle, "tiny")
    return Ward(ward.url, ward.services, admin)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no `chromium` on PATH: browser tests need one")
    expect.set_options(timeout=30_000)  # an explanation on a busy machine takes its time
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    made.set_default_timeout(30_000)
    yield made
    made.close()


@pytest.fixture
def faults() -> list[str]:
    """What the browser complained of: refused by the content security policy, or an error in a script."""
    return []


@pytest.fixture
def sign_in(ward: Ward, context: BrowserContext, faults: list[str]) -> Callable[[Role], Page]:
    """A page signed in by pasting a key, as its user does."""
    return lambda role: entered(ward, context, faults, role)


def entered(ward: Ward, context: BrowserContext, faults: list[str], role: Role) -> Page:
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda told: faults.append(told.text) if "Content Security Policy" in told.text else None)
    page.goto(f"{ward.url}/sign-in")
    page.get_by_label("Key").fill(ward.key(role)[1])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{ward.url}/")
    return page


@pytest.fixture
def reader(reading_ward: Ward, context: BrowserContext, faults: list[str]) -> Iterator[Page]:
    """A clinician's page in the project that reads first."""
    yield entered(reading_ward, context, faults, Role.CLINICIAN)
    assert faults == []


@pytest.fixture
def clinician(sign_in: Callable[[Role], Page], faults: list[str]) -> Iterator[Page]:
    """A signed-in clinician's page; no script error and no policy violation may come up."""
    yield sign_in(Role.CLINICIAN)
    assert faults == []
