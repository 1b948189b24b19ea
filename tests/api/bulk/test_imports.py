"""Many cases in one request: each line is stored or refused by itself, once."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from api.bulk.carrying_out import BulkJob
from api.bulk.tables import BulkItemRow
from api.cases.sweep import sweep_orphans
from api.cases.tables import StagedFileRow
from api.ground.blobs import BlobsAway
from tests.api.conftest import case_json, png
from tests.api.stored import Stored, state_of


def lines(*cases: Any) -> bytes:
    return "\n".join(case if isinstance(case, str) else json.dumps(case) for case in cases).encode()


def sent(cases: bytes, **files: bytes) -> dict[str, Any]:
    parts = [("files", (name.replace("__", "/"), data, "application/octet-stream")) for name, data in files.items()]
    return {"files": [("cases", ("cases.jsonl", cases, "application/x-ndjson")), *parts]}


def results(client: httpx.Client, run: str, **params: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/case-imports/{run}/results", params=params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def test_each_line_is_stored_or_refused_by_itself(client: httpx.Client, stored: Stored, work: Any) -> None:
    body = lines(
        {**case_json(external_id="a"), "files": ["scans/1.png"]},
        "",
        {**case_json(external_id="b", vitals={"mood": 3}, diagnoses=["the-flu"])},
        "{not json",
        {**case_json(external_id="c"), "files": ["2.png"]},
        {**case_json(external_id="d"), "files": ["never-sent.png"]},
        case_json(external_id="a"),
        {"id": "case_of_an_export", **case_json(external_id="e", note="one\u2028line")},
        {**case_json(external_id="f"), "files": ["broken.png"]},
        "[]",
    )
    made = client.post(
        "/case-imports", **sent(body, **{"scans__1.png": png(1), "2.png": png(2), "broken.png": png(3)[:60]})
    )
    assert made.status_code == 202, made.text
    run = made.json()["id"]
    assert made.headers["Location"] == f"/v1/case-imports/{run}"
    assert (made.json()["state"], made.json()["progress"]) == ("queued", None)
    work(run)
    after = client.get(f"/case-imports/{run}").json()
    assert (after["state"], after["progress"]["done"], after["progress"]["fraction"]) == ("succeeded", 9, 1.0)
    assert after["progress"]["counts"] == {"accepted": 3, "present": 1, "refused": 5}
    told = {one["line"]: one for one in results(client, run)}
    assert {n: one["outcome"] for n, one in told.items()} == {
        1: "accepted", 3: "refused", 4: "refused", 5: "accepted", 6: "refused", 7: "present", 8: "accepted",
        9: "refused", 10: "refused",
    }  # fmt: skip
    assert [e["pointer"] for e in told[3]["errors"]] == ["/vitals/mood", "/diagnoses/0"]
    assert "line 1, column 2" in told[4]["reason"]
    assert told[6]["errors"] == [{"pointer": "/files/0", "detail": "no file 'never-sent.png' was sent"}]
    assert [e["pointer"] for e in told[9]["errors"]] == ["/files/0"]
    first = client.get(f"/cases/{told[1]['case_id']}").json()
    assert [f["name"] for f in first["files"]] == ["1.png"]
    assert client.get(f"/cases/{told[1]['case_id']}/files/0").content == png(1)
    assert len(state_of(stored).blobs) == 2, "the file of no case is gone"
    assert not any("Crackles" in row or "productive" in row for row in state_of(stored).rows["bulk_items"])


def test_a_line_of_an_export_is_taken_with_what_it_tells_of_its_label(client: httpx.Client, work: Any) -> None:
    told = {"id": "case_of_an_export", "label_from": ["review_1"], "label_by": ["key_1"], "golden": True}
    run = client.post("/case-imports", **sent(lines({**case_json(external_id="a"), **told}))).json()["id"]
    work(run)
    [line] = results(client, run)
    assert line["outcome"] == "accepted", line
    assert client.get(f"/cases/{line['case_id']}").json()["golden_at"] is None, "the lock is an admin's to give"


def test_no_line_is_refused_because_the_object_store_is_away(
    client: httpx.Client, services: Any, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = sent(lines({**case_json(external_id="a"), "files": ["1.png"]}), **{"1.png": png(1)})
    run = client.post("/case-imports", **body).json()["id"]

    def away(_digest: str) -> bytes:
        raise BlobsAway

    with monkeypatch.context() as patched:
        patched.setattr(services.ground.blobs, "get", away)
        with pytest.raises(BlobsAway):
            work(run)
    assert [one["outcome"] for one in results(client, run)] == [None]
    work(run)
    assert [one["outcome"] for one in results(client, run)] == ["accepted"]


def test_results_come_by_pages_and_by_outcome(client: httpx.Client, work: Any) -> None:
    body = lines(*(case_json(external_id=f"acc-{n}", vitals={"spo2": 90 if n % 3 else 900}) for n in range(10)))
    run = client.post("/case-imports", **sent(body)).json()["id"]
    work(run)
    assert [r["line"] for r in results(client, run, outcome="refused")] == [1, 4, 7, 10]
    page = client.get(f"/case-imports/{run}/results", params={"limit": 6}).json()
    rest = client.get(f"/case-imports/{run}/results", params={"limit": 6, "cursor": page["next_cursor"]}).json()
    assert [r["line"] for r in page["items"] + rest["items"]] == list(range(1, 11))
    assert rest["next_cursor"] is None


def test_an_import_that_is_killed_goes_on_and_stores_no_line_twice(
    client: httpx.Client, services: Any, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.bulk.carrying_out.AT_ONCE", 3)
    body = lines(*(case_json(external_id=..., patient={"id": f"p-{n}"}) for n in range(10)))
    run = client.post("/case-imports", **sent(body)).json()["id"]
    finish, killed = BulkJob._finish, []

    def die(self: BulkJob, item: BulkItemRow, done: Any) -> bool:  # the case is stored, what came of it is not yet
        if item.line == 5 and not killed:
            killed.append(item.line)
            raise KeyboardInterrupt
        return finish(self, item, done)

    monkeypatch.setattr(BulkJob, "_finish", die)
    with pytest.raises(KeyboardInterrupt):
        work(run)
    assert len(client.get("/cases").json()["items"]) == 5
    work(run)
    patients = sorted(c["patient"]["id"] for c in client.get("/cases").json()["items"])
    assert patients == sorted(f"p-{n}" for n in range(10))
    assert {r["outcome"] for r in results(client, run)} == {"accepted"}


def test_an_import_acts_in_the_name_of_who_asked(client_as: Any, work: Any) -> None:
    clinician = client_as("clinician")
    run = clinician.post("/case-imports", **sent(lines(case_json()))).json()
    work(run["id"])
    trail = client_as("admin").get("/audit").json()["items"]
    assert [(e["action"], e["actor"]) for e in trail] == [
        ("case.submit", run["created_by"]),
        ("import.start", run["created_by"]),
    ]


def test_a_queued_import_that_is_cancelled_leaves_nothing(
    client: httpx.Client, stored: Stored, services: Any, work: Any
) -> None:
    body = {**case_json(), "files": ["1.png"]}
    run = client.post("/case-imports", **sent(lines(body), **{"1.png": png(1)})).json()["id"]
    assert client.post(f"/case-imports/{run}/cancel").json()["state"] == "cancelled"
    assert client.post(f"/case-imports/{run}/cancel").status_code == 409
    work(run)
    assert client.get("/cases").json()["items"] == []
    assert state_of(stored).blobs == {}
    with services.ground.database.reading() as session:
        assert list(session.scalars(select(BulkItemRow.document))) == [None]
        assert list(session.scalars(select(StagedFileRow))) == []


def test_a_running_import_that_is_cancelled_keeps_what_it_has_stored(
    client: httpx.Client, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.bulk.carrying_out.AT_ONCE", 2)
    run = client.post("/case-imports", **sent(lines(*(case_json(external_id=f"{n}") for n in range(5))))).json()["id"]
    with pytest.raises(KeyboardInterrupt):
        work(run, stop_after=1)
    client.post(f"/case-imports/{run}/cancel").raise_for_status()
    work(run)
    assert client.get(f"/case-imports/{run}").json()["state"] == "cancelled"
    assert [r["outcome"] for r in results(client, run)] == ["accepted"] * 2 + [None] * 3


def test_files_that_wait_are_no_orphans(client: httpx.Client, services: Any, stored: Stored, work: Any) -> None:
    shared = client.post("/cases", files=[("case", (None, json.dumps(case_json()))), ("files", ("a.png", png(1)))])
    body = {**case_json(external_id="b"), "files": ["1.png"]}
    run = client.post("/case-imports", **sent(lines(body), **{"1.png": png(1)})).json()["id"]
    client.delete(f"/cases/{shared.json()['id']}").raise_for_status()
    assert sweep_orphans(services.ground) == 0
    work(run)
    assert [r["outcome"] for r in results(client, run)] == ["accepted"]


def test_the_same_key_makes_one_import(client: httpx.Client, stored: Stored) -> None:
    headers, body = {"Idempotency-Key": "k"}, lines(case_json())
    first = client.post("/case-imports", headers=headers, **sent(body, **{"1.png": png(1)}))
    before = state_of(stored)
    again = client.post("/case-imports", headers=headers, **sent(body, **{"1.png": png(1)}))
    assert again.json()["id"] == first.json()["id"]
    assert client.post("/case-imports", headers=headers, **sent(body, **{"1.png": png(2)})).status_code == 422
    assert state_of(stored) == before


@pytest.mark.parametrize(
    ("request_", "status", "pointer"),
    [
        ({"json": case_json()}, 415, None),
        ({"files": [("files", ("1.png", b"x"))]}, 422, "/cases"),
        (sent(b""), 422, "/cases"),
        (sent(b"\n \n"), 422, "/cases"),
        (sent("é\n\u00a0".encode()), 422, "/cases"),
        (sent(b"\xff\xfe"), 422, "/cases"),
        (sent(b'{"patient": "\x00"}'), 422, "/cases"),
        ({"files": [*sent(b"{}")["files"], ("cases", ("b", b"{}"))]}, 422, "/cases"),
        ({"files": [*sent(b"{}")["files"], ("files", ("1", b"")), ("files", ("1", b""))]}, 422, "/files"),
        ({**sent(b"{}"), "data": {"colour": "red"}}, 422, "/colour"),
    ],
)
def test_an_import_that_is_none_is_refused_whole(
    client: httpx.Client, stored: Stored, request_: dict[str, Any], status: int, pointer: str | None
) -> None:
    before = state_of(stored)
    answer = client.post("/case-imports", **request_)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert pointer in {None, *(e["pointer"] for e in answer.json().get("errors", ()))}
    assert state_of(stored) == before


def test_imports_are_the_projects_own(client_as: Any) -> None:
    run = client_as("clinician").post("/case-imports", **sent(lines(case_json()))).json()["id"]
    stranger = client_as("stranger")
    for method, path in (("GET", ""), ("GET", "/results"), ("POST", "/cancel")):
        assert stranger.request(method, f"/case-imports/{run}{path}").status_code == 404
    assert stranger.get("/case-imports").json() == {"items": []}
    assert client_as("viewer").post("/case-imports", **sent(lines(case_json()))).status_code == 403
    assert client_as("viewer").get(f"/prediction-runs/{run}").status_code == 404, "it is of another kind"
