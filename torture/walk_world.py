"""Two hospitals with one of everything each, and whoever may come to the door: what the walk over all routes needs."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from api.access.own_sessions import NUMBER
from api.access.seat import Seat
from api.access.service import Caller, Role
from api.access.sessions import session_id
from api.app import create_app
from api.bulk.schemas import PredictionRunIn
from api.bulk.sent import sent_import
from api.erasures.schemas import ErasureIn
from api.ground.migrate import upgrade
from api.ground.scope import whole_process
from api.reviews.schemas import ReviewIn
from api.services import Services, build
from api.settings import Settings
from api.training.schemas import TrainingRunIn
from clinical_mm.case import Case, Patient
from clinical_mm.config import ModelConfig
from clinical_mm.importing.folder import write_folder
from clinical_mm.phantom import draw

NOBODY = ("no key", "a wrong key", "an expired key", "a revoked key")
LINE = b'{"patient": {"id": "p-9"}}'
CONFIG: dict[str, Any] = {
    "name": "walk",
    "description": "As small as a model can be that still has a picture to explain.",
    "modalities": {
        "imaging": {
            "size": [32, 32],
            "network": {"name": "DenseNet", "options": {"init_features": 8, "growth_rate": 4, "block_config": [2, 2]}},
        },
        "vitals": {"width": 16},
    },
    "fusion": {"name": "cross_attention", "options": {"width": 32, "queries": 2, "layers": 1, "heads": 2}},
    "training": {"epochs": 1, "batch_size": 16, "judged_cases": 0},
}


@dataclass
class Hospital:
    """A project with one object of each kind; ``canary`` is in every text of it."""

    services: Services
    admin: Caller
    canary: str
    ids: dict[str, str] = field(default_factory=dict)

    def fresh(self, kind: str, owner: Caller | None = None) -> str:
        """A new object of a kind, for a call that may end it; a review or a session is ``owner``'s, who alone may."""
        makers: dict[str, Callable[[], str]] = {
            "case": self._case,
            "review": lambda: self._review(self.ids["case"], owner or self.admin),
            "run": lambda: self.services.training.start(self.admin, TrainingRunIn(config="small")).id,
            "import": lambda: self.services.bulk.start_import(self.admin, sent_import(LINE, [], 1)).id,
            "prediction run": lambda: self.services.bulk.start_predictions(self.admin, PredictionRunIn()).id,
            "session": lambda: self._session(owner or self.services.access.caller_of(self.ids["key"])),
            "key": lambda: self.services.access.create_key(self.admin, Role.VIEWER, self.canary)[0].id,
        }
        return makers[kind]() if kind in makers else self.ids[kind]

    def furnish(self, bundle: Path) -> None:
        """One of each."""
        self.ids["model"] = self.services.models.register(self.admin, None, bundle, "walk").id
        self.ids["case"] = self._case()
        prediction = self.services.predictions.create(self.admin, self.ids["case"])
        self.ids["prediction"] = prediction.id
        self.ids["explanation"] = self.services.explanations.create(self.admin, prediction.id).id
        self.ids["review"] = self._review(self.ids["case"], self.admin)
        for kind in ("key", "run", "import", "prediction run", "session"):
            self.ids[kind] = self.fresh(kind)
        gone = self.services.cases.submit_case(self.admin, Case(Patient(f"p-{self.canary}"), note="Fever."))
        self.ids["erasure"] = self.services.erasures.erase(self.admin, ErasureIn(cases=[gone.id])).id
        self.services.training.cancel(self.admin, self.ids["run"])  # a run that has ended: its events end, too

    def _case(self) -> str:
        drawn = next(d.case for d in draw(60, 5) if d.case.images and d.case.vitals)
        name = f"{self.canary}-{secrets.token_hex(4)}"
        named = Case(patient=drawn.patient, note=f"Fever. {self.canary}.", vitals=drawn.vitals, images=drawn.images)
        named = Case(**{**vars(named), "external_id": name})
        return self.services.cases.submit_case(self.admin, named).id

    def _session(self, owner: Caller) -> str:
        secret = secrets.token_urlsafe(32)
        self.services.sessions.begin_by_key(secret, owner, Seat("192.0.2.7", self.canary))
        return session_id(secret)[:NUMBER]

    def _review(self, case_id: str, reviewer: Caller) -> str:
        said = ReviewIn(verdict="override", diagnoses=["pneumonia"], comment=self.canary)
        may = reviewer.role.includes(Role.CLINICIAN)
        return self.services.reviews.create(reviewer if may else self.admin, case_id, said).id


class World:
    """Both hospitals, the keys of everyone who comes, and the application they come to."""

    def __init__(self, folder: Path) -> None:
        whole_process("the walk furnishes both hospitals")
        settings = Settings(workspace=folder / "workspace", embedded_worker=False, _env_file=None)  # type: ignore[call-arg]
        upgrade(settings)
        self.services = build(settings.model_copy(update={"rate_limit": "", "rate_limit_failures": ""}))
        self.app = create_app(services=self.services)
        names = ("a hospital of ours", f"another {secrets.token_hex(8)}")
        self.ours, self.theirs = (
            Hospital(self.services, self.services.access.operator(name), f"canary{secrets.token_hex(8)}")
            for name in names
        )
        bundle = _trained(folder)
        for hospital in (self.ours, self.theirs):
            hospital.furnish(bundle)
        self.foreign_words = {self.theirs.canary, names[1], *self.theirs.ids.values(), self.theirs.admin.project_id}
        self._keys = {str(role): self._key(role) for role in Role}
        self._ended = {"an expired key": self._key(Role.ADMIN), "a revoked key": self._key(Role.ADMIN)}
        self._browsers = {name: self._signed_in(key) for name, (_, key) in (self._keys | self._ended).items()}
        self._end()

    def close(self) -> None:
        """Stop threads."""
        self.services.close()

    def headers(self, who: str) -> dict[str, str]:
        """What a caller of /v1 sends."""
        if who == "no key":
            return {}
        known = (self._keys | self._ended).get(who)
        return {"Authorization": f"Bearer {known[1] if known else 'cmm_' + 'a' * 20 + '_' + 'b' * 40}"}

    def browser(self, who: str) -> tuple[FlaskClient, str]:
        """A browser, signed in while its key was still good, and the CSRF token of its pages."""
        found = self._browsers.get(who)
        return found if found is not None else (self.app.test_client(), "0" * 64)

    def sign_in_again(self, who: str) -> None:
        """After a call that may have signed the browser out."""
        if who in self._keys:
            self._browsers[who] = self._signed_in(self._keys[who][1])

    def caller(self, who: str) -> Caller | None:
        """The caller of /v1, where the key is good."""
        return self.services.access.authenticate(self._keys[who][1]) if who in self._keys else None

    def _key(self, role: Role) -> tuple[str, str]:
        made, secret = self.services.access.create_key(self.ours.admin, role, f"walk {role}")
        return made.id, secret

    def _signed_in(self, secret: str) -> tuple[FlaskClient, str]:
        client = self.app.test_client()
        token = _csrf(client.get("/sign-in").text)
        shown = client.post("/sign-in", data={"key": secret, "csrf_token": token}, follow_redirects=True)
        return client, _csrf(shown.text)

    def _end(self) -> None:
        from sqlalchemy import update

        from api.access.tables import ApiKeyRow
        from api.ground.clock import now

        self.services.access.revoke(self.ours.admin, self._ended["a revoked key"][0])
        with self.services.ground.database.transaction() as session:
            ended = update(ApiKeyRow).where(ApiKeyRow.id == self._ended["an expired key"][0])
            session.execute(ended.values(expires_at=now()))


def _trained(folder: Path) -> Path:
    from clinical_mm.training.run import train

    snapshot = folder / "snapshot"
    write_folder((drawn.case for drawn in draw(40, 3)), snapshot)
    made = train(ModelConfig.parse(CONFIG), snapshot, folder / "out", device="cpu", progress=lambda _: None)
    shutil.rmtree(snapshot)
    return made.folder


def _csrf(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', page)
    if found is None:
        raise RuntimeError(f"no form on this page: {page[:400]}")
    return found[1]
