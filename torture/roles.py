"""Every route x every caller x an object of their own project, of another, and one that is not there (target R5).

The routes of /v1 are read from the OpenAPI document, those of the pages from the URL map, so that a new route is walked
without being named here; the role that each needs is the one it declares. Another project's object must answer
exactly as one that does not exist, and no answer may hold a word of the other project.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.access.guard import needed_role
from api.access.service import Role
from torture.outcome import Outcome
from torture.walk_world import NOBODY, World

TITLE = "Every route, every role, own and other project (R5)"
SHORT_SHARE, SEED = 0.12, 7
OBJECTS = ("own", "other", "missing")
CALLERS = (*NOBODY, *(str(role) for role in Role))
OF_ROOM = {
    "cases": "case",
    "predictions": "prediction",
    "explanations": "explanation",
    "reviews": "review",
    "training-runs": "run",
    "training": "run",
    "models": "model",
    "keys": "key",
    "case-imports": "import",
    "prediction-runs": "prediction run",
    "erasures": "erasure",
    "sessions": "session",
}
"""What a path's ``/room/{id}`` names."""
ENDS = {
    ("DELETE", "case"),
    ("DELETE", "key"),
    *(("POST", kind) for kind in ("review", "run", "import", "prediction run", "session")),
}
BODIES: dict[str, Any] = {
    "POST /v1/cases": {"patient": {"id": "p-1"}, "note": "Fever."},
    "POST /v1/cases/{id}/reviews": {"verdict": "unsure"},
    "POST /v1/keys": {"role": "viewer", "name": "made on the walk"},
    "POST /v1/training-runs": {"config": "small"},
    "POST /models/{}/promote": {"reason": "the walk"},
    "POST /cases/{}/review": {"verdict": "unsure"},
}
REFERENCES = {
    "POST /v1/cases/{id}/predictions": ("model", "model"),
    "POST /v1/cases/{id}/reviews": ("prediction", "prediction"),
    "POST /v1/training-runs": ("start_from", "model"),
}
"""Bodies that name an object: field, and its kind."""
ABSENT_THOUGH_OWN = re.compile(r"/(comparison|shadow|log)$")
"""What an object of one's own may lack: a 404 then tells nothing of others."""


@dataclass(frozen=True)
class Route:
    """One method of one path; ``{}`` stands for what is put in."""

    method: str
    path: str
    needed: Role | None
    page: bool

    @property
    def name(self) -> str:
        """As a reader of the API writes it."""
        return f"{self.method} {self.path}"


@dataclass
class Told:
    """What the walk saw."""

    asked: int = 0
    by_outcome: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def run(short: bool) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        try:
            routes = list(_routes(world))
            told = _walked(world, routes, random.Random(SEED) if short else None)
        finally:
            world.close()
    rows = [f"| {outcome} | {count} |" for outcome, count in sorted(told.by_outcome.items())]
    callers = f"{len(CALLERS)} callers, {len(OBJECTS)} kinds of object"
    head = f"{told.asked} requests: {len(routes)} routes, {callers}.\n\n| answer | requests |\n|---|---|"
    return Outcome("\n".join([head, *rows]), told.faults[:40])


def _routes(world: World) -> Iterator[Route]:
    document = world.app.test_client().get("/openapi.json").get_json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            role = operation.get("x-role")
            yield Route(method.upper(), path, None if role is None else Role(role), page=False)
    for rule in world.app.url_map.iter_rules():
        if rule.endpoint.startswith("pages.") and rule.endpoint != "pages.static":
            path = re.sub(r"<(?:[^<:]+:)?([^>]+)>", r"{\1}", rule.rule)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield Route(method, path, needed_role(world.app, rule.endpoint), page=True)


def _walked(world: World, routes: list[Route], chance: random.Random | None) -> Told:
    told = Told()
    for route in routes:
        for who in CALLERS:
            if chance is None or chance.random() < SHORT_SHARE:
                _compare(world, route, who, told)
    for name in REFERENCES:
        route = next(r for r in routes if r.name == name)
        for who in map(str, Role):
            if chance is None or chance.random() < SHORT_SHARE * 4:
                _compare_references(world, route, who, told)
    return told


def _compare(world: World, route: Route, who: str, told: Told) -> None:
    """The same call on each kind of object, judged one by one and against each other."""
    objects = OBJECTS if "{" in route.path else ("own",)
    answers = {which: _ask(world, route, who, which, told) for which in reversed(objects)}
    where = f"{route.name} as {who}"
    for which, (status, leads_to, _) in answers.items():
        fault = _fault(route, who, which, status, leads_to)
        if fault is not None:
            told.faults.append(f"{where}, {which}: {status}, {fault}")
    if "other" in answers and answers["other"][::2] != answers["missing"][::2]:
        told.faults.append(f"{where}: another project's object does not answer as one that is not there")


def _compare_references(world: World, route: Route, who: str, told: Told) -> None:
    key, kind = REFERENCES[route.name]
    answers = {}
    for which in ("other", "missing"):
        body = {**BODIES.get(route.name, {}), key: _id(world, kind, which)}
        answers[which] = _ask(world, route, who, "own", told, body)
    if answers["other"][::2] != answers["missing"][::2]:
        told.faults.append(
            f"{route.name} as {who}: {key!r} of another project does not answer as one that is not there"
        )


def _fault(route: Route, who: str, which: str, status: int, leads_to: str) -> str | None:
    """What is wrong with a status, if anything."""
    if status >= 500:
        return "the server failed"
    if route.needed is None:
        return None
    if who in NOBODY:
        out = status == 303 and leads_to.startswith("/sign-in") if route.page else status == 401
        return None if out else "nobody is let in"
    if not Role(who).includes(route.needed):
        return None if status == 403 else f"it needs {route.needed}"
    if which != "own":
        return None if status == 404 else "there is no such object here"
    refused = status in {401, 403} or (status == 404 and not ABSENT_THOUGH_OWN.search(route.path))
    return f"{who} may do it" if refused and route.path != "/enter" else None


def _ask(
    world: World, route: Route, who: str, which: str, told: Told, body: dict[str, Any] | None = None
) -> tuple[int, str, str]:
    """Status, where it leads, and the body without what was asked for; a word of the other project is a fault."""
    path, named = _filled(world, route, who, which)
    sent = BODIES.get(re.sub(r"{\w+}", "{}", route.name) if route.page else route.name, {}) if body is None else body
    if route.page:
        if route.path.startswith("/sessions/"):  # whoever ends sessions has signed in lately
            world.sign_in_again(who)
        client, token = world.browser(who)
        form = {} if route.method == "GET" else {"data": {"csrf_token": token, **sent}}
        answer = client.open(path, method=route.method, **form)
        if route.needed is None:
            world.sign_in_again(who)
    else:
        json = {} if route.method in {"GET", "DELETE"} else {"json": sent}
        answer = world.app.test_client().open(path, method=route.method, headers=world.headers(who), **json)
    text = answer.get_data(as_text=False).decode("utf-8", "replace")
    told.asked += 1
    told.by_outcome[f"{answer.status_code}"] += 1
    shown = text + " ".join(f"{name}: {value}" for name, value in answer.headers)
    for one in named | ({str(v) for v in body.values()} if body else set()):
        shown = shown.replace(one, "ID")
        text = text.replace(one, "ID")
    # The trail of ours tells which ids our people asked for; that they are another's, it does not.
    words = world.foreign_words - set(world.theirs.ids.values() if route.path.endswith("/audit") else ())
    leaked = [word for word in words if word in shown]
    if leaked:
        told.faults.append(f"{route.name} as {who}, {which}: a word of the other project: {leaked[0]}")
    return answer.status_code, answer.headers.get("Location", ""), _without_accident(text)


def _without_accident(text: str) -> str:
    """The body but for what differs from one request to the next."""
    text = re.sub(r'"request_id":"[^"]*"', "", text)
    return re.sub(r"[0-9a-f]{64}", "TOKEN", text)


def _filled(world: World, route: Route, who: str, which: str) -> tuple[str, set[str]]:
    """The path with ids in it, and these ids."""
    named: set[str] = set()

    def fill(found: re.Match[str]) -> str:
        room, parameter = found[1], found[2]
        if parameter == "n":
            return f"/{room}/0"
        if room not in OF_ROOM:
            raise LookupError(f"{route.name}: what {parameter!r} names is not known here: say it in OF_ROOM")
        kind = OF_ROOM[room]
        fresh = which == "own" and who not in NOBODY and (route.method, kind) in ENDS
        id_ = world.ours.fresh(kind, world.caller(who)) if fresh else _id(world, kind, which)
        named.add(id_)
        return f"/{room}/{id_}"

    return re.sub(r"/([\w-]+)/{(\w+)}", fill, route.path), named


def _id(world: World, kind: str, which: str) -> str:
    if which == "missing":
        return f"{kind}_{'0' * 20}"
    return (world.ours if which == "own" else world.theirs).ids[kind]
