"""R8's first half: every route is called, good and bad, over REST and the pages; each call has exactly one entry.

Calls are told apart by their request id. The routes are those that the application itself knows, so a new one is
called without anybody adding it here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.routing import Rule

from api.access.own_sessions import NUMBER
from api.access.service import Caller, Role
from api.access.tables import SessionRow
from api.app import create_app
from api.audit.chain import EVENTS
from api.audit.gate import is_told
from api.audit.stored import verify_stored
from api.bulk.schemas import PredictionRunIn
from api.bulk.sent import sent_import
from api.cases.tables import CaseRow
from api.erasures.schemas import ErasureIn
from api.ground.ids import new_id
from api.ground.migrate import upgrade
from api.ground.scope import everywhere
from api.ground.secret import trail_key
from api.services import Services, build
from clinical_mm.case import Case, Patient
from clinical_mm.phantom import draw
from torture.databases import databases
from torture.outcome import Outcome

TITLE = "Calls and their entries in the audit trail (R8)"
LAST = ("cases.erase_case", "erasures.erase", "keys.revoke_key")
"""What takes away that which other calls need."""
SESSIONS = ("pages.check_key", "pages.sign_out", "pages.end_other_sessions")
"""What ends or changes the session that the other calls need."""
REFUSED_WHEN_GOOD = {
    "models.rollback_model", "pages.roll_back",  # only one model has ever served when it is their turn
    "promotion.get_comparison", "models.get_report", "pages.report",  # nothing was compared or evaluated
    "training.read_log", "pages.training_run_log", "training.cancel_training",  # not begun; ended by the page
    "shadows.get_shadow", "shadows.end_shadow",  # no shadow was begun, or has been ended
    "reviews.withdraw_review", "pages.withdraw",  # one of the two comes too late
    "promotion.compare_model", "pages.compare", "shadows.begin_shadow", "pages.shadow",  # too few cases; it serves
}  # fmt: skip
"""Routes that need more than this ordeal's handful of objects; all others must succeed when called well."""
OPEN = ("session.form", "session.sign", "session.provider")
"""What whoever is not signed in may do on the pages: sign in, and out."""
DONE = {"changed", "answered", "unchanged"}
BODIES: dict[str, Any] = {
    "cases.submit_case": {"patient": {"id": "p-2"}, "note": "Fever."},
    "cases.change_case": {"note": "Fever and cough."},
    "reviews.create_review": {"verdict": "unsure"},
    "keys.create_key": {"role": "viewer", "name": "another"},
    "project.change_project": {"read_first": False},
    "training.start_training": {"config": "small"},
    "erasures.erase": {"patient": "p-2"},
}
MULTIPART = {"bulk.start_import": {"cases": json.dumps({"patient": {"id": "p-3"}, "note": "Cough."})}}
FORMS = {
    "pages.review": {"verdict": "unsure"},
    "pages.start_training": {"config": "small"},
    "pages.change": {"deidentify": "keep"},
}


@dataclass
class House:
    """An installation with one object of each kind, and who may call."""

    services: Services
    admin: Caller
    secrets: dict[str, str]
    parts: dict[str, str] = field(default_factory=dict)
    """Which id stands for which part of a path."""


@dataclass(frozen=True)
class Kind:
    """A way to call a route: by whom, and how badly."""

    name: str
    who: str
    real: bool = True
    query: str = ""
    spoilt: bool = False


GOOD = Kind("good", "admin")
KINDS = (
    Kind("without a key", "nobody"),
    Kind("of an object that is not there", "admin", real=False),
    GOOD,
    Kind("by a viewer", "viewer"),
    Kind("by another project", "stranger"),
    Kind("with a wrong query", "admin", query="?limit=x&nonsense=1"),
    Kind("with a wrong body", "admin", spoilt=True),
)


def run(short: bool) -> Outcome:
    counts: Counter[tuple[str, str]] = Counter()
    faults: list[str] = []
    for name, place in databases(postgresql=not short):
        with place as settings:
            upgrade(settings)
            services = build(settings)
            try:
                house = _furnish(services)
                _call_all(house, KINDS[:3] if short else KINDS, name, counts, faults)
                _fail_a_commit(house, name, faults)
                verdict = verify_stored(services.ground.database, settings.anchors_file, trail_key(settings.workspace))
                faults += [f"{name}: {fault}" for fault in verdict.faults]
            finally:
                services.close()
    lines = [f"| {kind} | {status} | {count} |" for (kind, status), count in sorted(counts.items())]
    total = f"| **all** | | **{sum(counts.values())}** |"
    told = "Calls with exactly one entry; `/healthz`, documentation and style sheets have none."
    return Outcome("\n".join([told, "", "| call | answers | calls |", "|---|---|---|", *lines, total]), faults)


def _call_all(
    house: House, kinds: tuple[Kind, ...], name: str, counts: Counter[tuple[str, str]], faults: list[str]
) -> None:
    app = create_app(services=house.services)
    callers = {who: _caller(app, secret) for who, secret in house.secrets.items()}
    for kind in kinds:
        for rule, method in _routes(app):
            request_id = str(uuid4())
            if rule.endpoint == "pages.end_session":
                _caller(app, house.secrets["admin"])
                house.parts["number"] = _newest_session(house)
            status = _call(*callers[kind.who], rule, method, kind, house, request_id)
            if rule.endpoint in SESSIONS:
                callers[kind.who] = _caller(app, house.secrets[kind.who])
            entries = _entries(house, request_id)
            where = f"{name}: {method} {rule.rule} {kind.name} ({status})"
            if len(entries) != int(is_told(rule.endpoint)):
                faults.append(f"{where} has {len(entries)} entries")
            elif entries and not _fits(entries[0], status):
                faults.append(f"{where} is told as {entries[0]['result']}")
            if kind is GOOD and status >= 400 and is_told(rule.endpoint) and rule.endpoint not in REFUSED_WHEN_GOOD:
                faults.append(f"{where} was to succeed")
            counts[f"{name}, {kind.name}", f"{status // 100}xx"] += 1


def _call(client: FlaskClient, token: str, rule: Rule, method: str, kind: Kind, house: House, request_id: str) -> int:
    headers = {"X-Request-Id": request_id}
    options: dict[str, Any] = {}
    if rule.rule.startswith("/v1"):
        if house.secrets[kind.who]:
            headers["Authorization"] = f"Bearer {house.secrets[kind.who]}"
        if method in {"POST", "PATCH", "PUT"}:
            body = ["spoilt"] if kind.spoilt else BODIES.get(rule.endpoint, {})
            options = {"data": json.dumps(body), "content_type": "application/json"}
            if rule.endpoint in MULTIPART and not kind.spoilt:
                options = {"data": MULTIPART[rule.endpoint], "content_type": "multipart/form-data"}
    elif method == "POST":
        options = {"data": {"verdict": "spoilt", "config": "/"} if kind.spoilt else FORMS.get(rule.endpoint, {})}
        if rule.endpoint == "pages.check_key" and not kind.spoilt:
            options["data"] = {"key": house.secrets[kind.who]}
        headers["X-CSRF-Token"] = token
    path = re.sub(r"<(?:\w+:)?(\w+)>", lambda m: _part(rule, m[1], house if kind.real else None), rule.rule)
    answer = client.open(path + kind.query, method=method, headers=headers, **options)
    answer.close()  # a stream of events would have no end
    return answer.status_code


def _part(rule: Rule, name: str, house: House | None) -> str:
    """What stands in a path for one of its parts."""
    if name in {"n", "filename"}:
        return "0" if name == "n" else "pages.css"
    if house is None:
        return "case_00000000000000000000"
    if name != "id":
        return house.parts[name.removesuffix("_id")]
    what = rule.rule.split("/")[2].removesuffix("s")
    return house.parts["spare key" if what == "key" else "run" if what == "training-run" else what]


def _routes(app: Any) -> list[tuple[Rule, str]]:
    """Every route and method, what reads first, what takes away last."""
    found = [(rule, method) for rule in app.url_map.iter_rules() for method in sorted(rule.methods - {"OPTIONS"})]
    return sorted(found, key=lambda one: (one[0].endpoint in LAST, one[1] not in {"GET", "HEAD"}, one[0].rule))


def _caller(app: Any, secret: str) -> tuple[FlaskClient, str]:
    """A browser that is signed in, and the token that its forms carry."""
    client = app.test_client()
    token = _token(client.get("/sign-in").text)
    if secret:
        client.post("/sign-in", data={"csrf_token": token, "key": secret})
        token = _token(client.get("/").text)
    return client, token


def _newest_session(house: House) -> str:
    with everywhere("sessions belong to no project"), house.services.ground.database.reading() as session:
        newest = session.scalars(select(SessionRow.id).order_by(SessionRow.created_at.desc()).limit(1))
        return newest.one()[:NUMBER]


def _token(page: str) -> str:
    found = re.search(r'name="csrf_token" value="(\w+)"', page)
    return found[1] if found else ""


def _entries(house: House, request_id: str) -> list[dict[str, Any]]:
    with house.services.ground.database.reading() as session:
        found = session.connection().execute(select(EVENTS).where(EVENTS.c.request_id == request_id)).mappings()
        return [dict(row) for row in found]


def _fits(entry: dict[str, Any], status: int) -> bool:
    """Whether the entry tells what the caller was answered; a page sends whoever is not signed in to the form."""
    if status >= 400:
        return bool(entry["result"] == str(status))
    sent_away = entry["actor"] == "not signed in" and not entry["action"].startswith(OPEN)
    return entry["result"] in ({"401"} if sent_away else DONE)


def _fail_a_commit(house: House, name: str, faults: list[str]) -> None:
    """A transaction that fails after its entry was written takes the entry along; the failure has one of its own."""
    database, app = house.services.ground.database, create_app(services=house.services)
    failed: list[str] = []

    def fail(session: Any) -> None:
        if not failed and any(isinstance(row, CaseRow) for row in session.identity_map.values()):
            failed.append("once")
            raise RuntimeError("the commit fails")

    def stored() -> int:
        with database.reading() as session:
            return session.scalar(select(func.count()).select_from(CaseRow)) or 0

    database.at_commit(fail, lambda _: None, lambda _: None)
    before, request_id = stored(), str(uuid4())
    headers = {"Authorization": f"Bearer {house.secrets['admin']}", "X-Request-Id": request_id}
    answer = app.test_client().post("/v1/cases", json=BODIES["cases.submit_case"], headers=headers)
    results = [entry["result"] for entry in _entries(house, request_id)]
    if (answer.status_code, results, stored(), failed) != (500, ["500"], before, ["once"]):
        faults.append(f"{name}: a commit that fails leaves {results}, and {stored() - before} cases more")


def _furnish(services: Services) -> House:
    """One object of each kind; a model that is really trained."""
    from tests.models import train_tiny

    admin, other = services.access.operator("default"), services.access.operator("another hospital")
    secrets = {"nobody": ""}
    keys = (("admin", admin, Role.ADMIN), ("viewer", admin, Role.VIEWER), ("stranger", other, Role.ADMIN))
    for who, caller, role in keys:
        secrets[who] = services.access.create_key(caller, role, who)[1]
    house = House(services, admin, secrets)
    folder = services.ground.settings.workspace / "trained"
    model = services.models.register(admin, new_id("run"), train_tiny(folder), "tiny").id
    case = next(d.case for d in draw(60, 5) if d.case.images and d.case.note and d.case.vitals)
    case_id = services.cases.submit_case(admin, replace(case, diagnoses=("pneumonia",))).id
    prediction = services.predictions.create(admin, case_id).id
    gone = services.cases.submit_case(admin, Case(Patient("p-5"), note="Fever."))
    house.parts = {
        "case": case_id,
        "model": model,
        "prediction": prediction,
        "explanation": services.explanations.create(admin, prediction).id,
        "review": _review(services, admin, case_id),
        "run": _run(services, admin),
        **_bulk_runs(services, admin),
        "erasure": services.erasures.erase(admin, ErasureIn(patient=gone.patient.id)).id,
        "spare key": services.access.create_key(admin, Role.VIEWER, "to be revoked")[0].id,
    }
    return house


def _bulk_runs(services: Services, admin: Caller) -> dict[str, str]:
    """Queued, so that they can be cancelled: an import of one line, and predictions of every case."""
    lines = json.dumps({"patient": {"id": "p-4"}}).encode()
    sent = sent_import(lines, [], services.ground.settings.max_cases_per_import)
    predictions = services.bulk.start_predictions(admin, PredictionRunIn())
    return {"case-import": services.bulk.start_import(admin, sent).id, "prediction-run": predictions.id}


def _review(services: Services, admin: Caller, case_id: str) -> str:
    from api.reviews.schemas import ReviewIn

    return services.reviews.create(admin, case_id, ReviewIn(verdict="unsure")).id


def _run(services: Services, admin: Caller) -> str:
    from api.training.schemas import TrainingRunIn

    return services.training.start(admin, TrainingRunIn(config="small")).id
