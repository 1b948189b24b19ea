"""What a reader searches for stands in no address of the pages: the form posts it, links carry it sealed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.api.conftest import case_json
from tests.api.pages.test_sign_in import csrf_token

WORDS = "Quillfeather"


@pytest.fixture
def reader(client: httpx.Client, server_url: str, keys: dict[str, str]) -> Iterator[httpx.Client]:
    """Signed in to the pages of a project with two cases, one of them of that patient."""
    for name in (WORDS, "Oxenstierna"):
        body = case_json(external_id=name, patient={"id": name})
        client.post("/cases", json=body).raise_for_status()
    with httpx.Client(base_url=server_url, timeout=60) as web:
        form = {"key": keys["viewer"], "csrf_token": csrf_token(web.get("/sign-in").text)}
        assert web.post("/sign-in", data=form).status_code == 303
        yield web


@pytest.fixture
def search(reader: httpx.Client) -> Callable[..., httpx.Response]:
    """Posts the form of the list."""
    token = csrf_token(reader.get("/").text)
    return lambda **form: reader.post("/search", data={"csrf_token": token, **form})


def shown(page: str) -> list[str]:
    return re.findall(r'<a class="open"[^>]*>([^<]*)</a>', page)


def test_the_form_is_posted_and_leads_to_an_address_that_holds_the_words_sealed(
    reader: httpx.Client, search: Callable[..., httpx.Response]
) -> None:
    answer = search(q=WORDS, order="newest", labelled="")
    assert answer.status_code == 303
    where = answer.headers["Location"]
    assert re.fullmatch(r"/\?(order=newest&s=[\w-]+|s=[\w-]+&order=newest)", where)
    page = reader.get(where).text
    assert shown(page) == [WORDS]
    links = re.findall(r'href="([^"]*)"', page)
    assert [link for link in links if WORDS.lower() in link.lower()] == []
    assert any("s=" in link for link in links)


def test_the_same_words_are_sealed_otherwise_each_time_and_links_take_the_seal_on(
    reader: httpx.Client, search: Callable[..., httpx.Response]
) -> None:
    first, second = (search(q=WORDS).headers["Location"] for _ in range(2))
    assert first != second
    seal = first.partition("s=")[2]
    links = [link for link in re.findall(r'href="([^"]*)"', reader.get(first).text) if "s=" in link]
    assert links
    assert {re.search(r"[?&;]s=([\w-]+)", link)[1] for link in links} == {seal}  # type: ignore[index]


def test_a_search_for_nothing_leads_to_the_whole_list(search: Callable[..., httpx.Response]) -> None:
    assert search(q="").headers["Location"] == "/"


def test_a_search_without_the_page_s_token_is_refused(reader: httpx.Client) -> None:
    assert reader.post("/search", data={"q": WORDS}).status_code == 403


@pytest.mark.parametrize("words", ["x" * 201, "a\x00b"])
def test_words_that_no_case_can_hold_are_told_at_once(search: Callable[..., httpx.Response], words: str) -> None:
    assert search(q=words).status_code == 422


@pytest.mark.parametrize("path", ["/?q=Quillfeather", "/?q="])
def test_an_address_with_words_in_the_clear_is_refused(reader: httpx.Client, path: str) -> None:
    answer = reader.get(path)
    assert (answer.status_code, shown(answer.text)) == (422, [])
    assert "words have no place in an address" in answer.text


@pytest.mark.parametrize("spoil", [lambda s: s[:-4], lambda s: "B" + s[1:], lambda _: "x" * 60, lambda _: "é"])
def test_an_address_that_was_sealed_by_another_secret_says_so_and_shows_no_case(
    reader: httpx.Client, search: Callable[..., httpx.Response], spoil: Callable[[str], str]
) -> None:
    seal = search(q=WORDS).headers["Location"].partition("s=")[2]
    answer = reader.get("/", params={"s": spoil(seal)})
    assert (answer.status_code, shown(answer.text)) == (410, [])
    assert "cannot be read any more: search again" in answer.text
