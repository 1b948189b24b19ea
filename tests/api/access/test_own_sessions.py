"""Where one is signed in: seen, and ended, by whoever has shown lately who they are; nobody else's, and told in the trail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api.access.seat import Seat
from api.ground.clock import now
from api.settings import Settings
from tests.api.access.test_browser import serving
from tests.api.pages.test_sign_in import csrf_token
from tests.api.providing import Provider

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile/15E148 Safari/604.1"
EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/138.0 Safari/537.36 Edg/138.0"

Open = Callable[..., httpx.Client]


@pytest.fixture
def browser(server_url: str, keys: dict[str, str]) -> Iterator[Open]:
    """A browser that signs in by the key of a role."""
    opened: list[httpx.Client] = []

    def sign_in(role: str = "viewer", name: str = FIREFOX) -> httpx.Client:
        client = httpx.Client(base_url=server_url, headers={"User-Agent": name}, timeout=30)
        opened.append(client)
        form = {"key": keys[role], "csrf_token": csrf_token(client.get("/sign-in").text)}
        assert client.post("/sign-in", data=form).status_code == 303
        return client

    yield sign_in
    for one in opened:
        one.close()


def rows(page: httpx.Response) -> list[str]:
    """The rows of the page's table, as text."""
    body = page.text.partition("<tbody>")[2].partition("</tbody>")[0]
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in body.split("<tr>")[1:]]


def numbers(page: httpx.Response) -> list[str]:
    """By which the sessions that the page offers to end are named."""
    return re.findall(r'action="/sessions/([0-9a-f]{12})/end"', page.text)


def send(client: httpx.Client, path: str) -> httpx.Response:
    return client.post(path, data={"csrf_token": csrf_token(client.get("/sessions").text)})


def test_one_sees_each_browser_that_is_signed_in_and_which_is_this_one(browser: Open) -> None:
    desk, phone, other = browser(), browser(name=SAFARI), browser("clinician")
    shown = rows(desk.get("/sessions"))
    assert len(shown) == 2, "another key's are not among them"
    assert all("127.0.0.1" in row for row in shown)
    assert [("Firefox on Linux" in row, "this one" in row) for row in sorted(shown)] == [(True, True), (False, False)]
    assert ["this one" in row for row in sorted(rows(phone.get("/sessions")))] == [False, True]
    assert 'href="/sessions"' in other.get("/").text


def test_a_session_that_is_ended_is_out_at_its_next_click_and_the_trail_says_who_did(
    browser: Open, client_as: Callable[[str], httpx.Client]
) -> None:
    desk, phone = browser(), browser(name=SAFARI)
    [number] = numbers(desk.get("/sessions"))
    assert send(desk, f"/sessions/{number}/end").status_code == 303
    assert (phone.get("/").status_code, desk.get("/").status_code) == (303, 200)
    assert len(rows(desk.get("/sessions"))) == 1
    [entry] = client_as("admin").get("/audit", params={"action": "session.end"}).json()["items"]
    assert (entry["object_id"], entry["result"]) == (number, "changed")
    assert entry["actor"].startswith("test viewer")


def test_all_others_are_ended_at_once_and_in_one_entry(browser: Open, client_as: Callable[[str], httpx.Client]) -> None:
    desk, others, colleague = browser(), [browser(name=SAFARI), browser(name=EDGE)], browser("clinician")
    assert send(desk, "/sessions/end-others").status_code == 303
    assert [one.get("/").status_code for one in (desk, *others, colleague)] == [200, 303, 303, 200]
    [entry] = client_as("admin").get("/audit", params={"action": "session.end"}).json()["items"]
    assert len(entry["detail"]["also"]) == 1
    assert "End all others" not in desk.get("/sessions").text


def test_nobody_ends_anothers(browser: Open) -> None:
    mine, colleague = browser(), browser("clinician")
    browser("clinician", SAFARI)
    [number] = numbers(colleague.get("/sessions"))
    for path in (f"/sessions/{number}/end", "/sessions/%25/end", f"/sessions/{number[0]}/end", "/sessions/0/end"):
        assert send(mine, path).status_code == 404
    assert len(rows(colleague.get("/sessions"))) == 2


def test_whoever_finds_a_browser_open_cannot_end_the_others_without_the_key(
    browser: Open, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, phone = browser(), browser(name=SAFARI)
    [number] = numbers(desk.get("/sessions"))
    monkeypatch.setattr("api.access.own_sessions.now", lambda: now() + timedelta(minutes=16))
    page = desk.get("/sessions")
    assert (numbers(page), "sign in again" in page.text) == ([], True)
    for path in (f"/sessions/{number}/end", "/sessions/end-others"):
        refused = send(desk, path)
        assert (refused.status_code, "sign in again first" in refused.text) == (403, True)
    assert phone.get("/").status_code == 200

    monkeypatch.undo()
    way = re.search(r'href="(/sign-in\?next=[^"]+)"', page.text)
    assert way is not None
    form = desk.get(way[1]).text
    back = desk.post("/sign-in", data={"key": keys["viewer"], "csrf_token": csrf_token(form), "next": "/sessions"})
    assert back.headers["Location"] == "/sessions"
    assert len(numbers(desk.get("/sessions"))) == 1, "the session from before is ended, the phone's is not"


def test_a_person_ends_theirs_once_the_provider_has_asked_them_again(
    settings: Settings, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.tell("ada", groups=["radiology", "elsewhere"])
    with serving(provider.settings(settings, tmp_path)) as desk:
        phone = httpx.Client(base_url=desk.base_url, headers={"User-Agent": SAFARI})
        for client in (phone, desk):
            there = client.get("/sign-in/provider").headers["Location"]
            client.get(client.post(there, data={"name": "ada"}).headers["Location"])
        send_in(phone, "another hospital")
        monkeypatch.setattr("api.access.own_sessions.now", lambda: now() + timedelta(minutes=16))
        way = re.search(r'href="(/sign-in/provider\?[^"]+)"', desk.get("/sessions").text)
        assert way is not None
        monkeypatch.undo()

        there = desk.get(way[1].replace("&amp;", "&")).headers["Location"]
        asked = parse_qs(urlsplit(there).query)
        assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
        assert desk.get(there).status_code == 200, "it asks, though it knows the browser"
        back = desk.get(desk.post(there, data={"name": "ada"}).headers["Location"])
        assert back.headers["Location"] == "/sessions"
        [number] = numbers(desk.get("/sessions"))
        assert send(desk, f"/sessions/{number}/end").status_code == 303
        assert phone.get("/").status_code == 303, "in whichever project it was"
        phone.close()


def send_in(client: httpx.Client, project: str) -> None:
    """Go over to another project."""
    form = {"project": project, "csrf_token": csrf_token(client.get("/sessions").text)}
    assert client.post("/enter", data=form).status_code == 303


@pytest.mark.parametrize("told", [None, 0])
def test_a_provider_that_does_not_tell_when_has_not_asked_lately(
    settings: Settings, provider: Provider, tmp_path: Path, told: int | None
) -> None:
    provider.tell("ada", groups=["radiology"], auth_time=told)
    with serving(provider.settings(settings, tmp_path)) as desk:
        there = desk.get("/sign-in/provider?anew=1").headers["Location"]
        assert desk.get(desk.post(there, data={"name": "ada"}).headers["Location"]).status_code == 303
        assert send(desk, "/sessions/end-others").status_code == 403


def test_a_session_that_has_ended_by_itself_is_not_listed(browser: Open, services: Any) -> None:
    from sqlalchemy import update

    from api.access.tables import SessionRow

    desk, _ = browser(), browser(name=SAFARI)
    with services.ground.database.transaction() as session:
        session.execute(update(SessionRow).where(SessionRow.browser.contains("iPhone")).values(ends_at=now()))
    assert len(rows(desk.get("/sessions"))) == 1


def test_by_a_key_as_a_header_one_is_signed_in_nowhere(server_url: str, keys: dict[str, str]) -> None:
    page = httpx.get(f"{server_url}/sessions", headers={"Authorization": f"Bearer {keys['viewer']}"})
    assert "You are signed in nowhere" in page.text


@pytest.mark.parametrize(
    ("user_agent", "browser"),
    [
        (FIREFOX, "Firefox on Linux"),
        (SAFARI, "Safari on iPhone"),
        (EDGE, "Edge on Windows"),
        (EDGE.partition(" Edg/")[0], "Chrome on Windows"),
        ("curl/8.5.0", "another program"),
        ("", "another program"),
        ("<script>" * 1000, "another program"),
    ],
)
def test_a_browser_is_named_in_a_few_words_and_never_by_its_own(user_agent: str, browser: str) -> None:
    assert Seat.of("192.0.2.7", user_agent) == Seat("192.0.2.7", browser)
