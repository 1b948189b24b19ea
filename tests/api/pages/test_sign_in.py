"""Signing in and out: by key, by link; sessions end when keys end; forms of other sites are refused."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page

from api.access.service import Role
from api.pages.session import sign_in_link
from tests.api.pages.conftest import Ward

pytestmark = pytest.mark.browser


def signed_in_client(ward: Ward, role: Role) -> tuple[httpx.Client, str, str]:
    """A client with a session, its key's id, and the CSRF token of its pages."""
    client = httpx.Client(base_url=ward.url, follow_redirects=True, timeout=60)
    key_id, secret = ward.key(role)
    token = csrf_token(client.get("/sign-in").text)
    shown = client.post("/sign-in", data={"key": secret, "csrf_token": token})
    assert shown.status_code == 200
    return client, key_id, csrf_token(shown.text)


def csrf_token(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]


def test_a_visitor_is_sent_to_sign_in_and_then_to_the_page_asked_for(ward: Ward, context: object) -> None:
    page: Page = context.new_page()  # type: ignore[attr-defined]
    page.goto(f"{ward.url}/models?x=1")
    assert page.url.startswith(f"{ward.url}/sign-in?next=")
    page.get_by_label("Key").fill(ward.key(Role.VIEWER)[1])
    page.keyboard.press("Enter")
    page.wait_for_url(f"{ward.url}/models?x=1")
    assert "Not a medical device" in page.inner_text("footer")


def test_a_wrong_key_is_told_and_opens_nothing(ward: Ward) -> None:
    client = httpx.Client(base_url=ward.url)
    token = csrf_token(client.get("/sign-in").text)
    answer = client.post("/sign-in", data={"key": "cmm_no_such", "csrf_token": token})
    assert (answer.status_code, "not valid" in answer.text) == (401, True)
    assert client.get("/").status_code == 303


@pytest.mark.parametrize(
    "elsewhere", ["https://example.org/", "//example.org", "/\\example.org", "javascript:alert(1)"]
)
def test_sign_in_sends_nobody_to_another_site(ward: Ward, elsewhere: str) -> None:
    client = httpx.Client(base_url=ward.url)
    token = csrf_token(client.get("/sign-in").text)
    form = {"key": ward.key(Role.VIEWER)[1], "csrf_token": token, "next": elsewhere}
    assert client.post("/sign-in", data=form).headers["Location"] == "/"


def opened(client: httpx.Client, link: str) -> httpx.Response:
    """What a browser does with a link: what stands behind the # is posted by the page."""
    address, _, token = link.partition("#token=")
    form = {"csrf_token": csrf_token(client.get(address).text), "token": token}
    return client.post(address, data=form)


def test_a_link_signs_in_once(ward: Ward) -> None:
    link = sign_in_link(ward.services.ground, ward.key(Role.CLINICIAN)[0], ward.url)
    first, second = httpx.Client(follow_redirects=True), httpx.Client(follow_redirects=True)
    assert "Dr. clinician" in opened(first, link).text
    assert opened(second, link).status_code == 401
    assert first.get(f"{ward.url}/").status_code == 200


def test_a_forged_link_opens_nothing(ward: Ward) -> None:
    link = sign_in_link(ward.services.ground, ward.key(Role.ADMIN)[0], ward.url)
    forged = re.sub(r"token=.(.)", r"token=x\1", link)
    assert opened(httpx.Client(), forged).status_code == 401


def test_a_link_s_token_is_in_no_address_that_is_sent(ward: Ward, context: object) -> None:
    link = sign_in_link(ward.services.ground, ward.key(Role.CLINICIAN)[0], ward.url)
    page: Page = context.new_page()  # type: ignore[attr-defined]
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url.partition("#")[0]))
    page.goto(link)
    page.wait_for_url(f"{ward.url}/")
    assert "Dr. clinician" in page.inner_text("header")
    assert len(sent) > 2
    assert [address for address in sent if "token" in address] == []
    assert (
        httpx.get(f"{ward.url}/sign-in", params={"token": link.partition("=")[2]}).status_code == 200
    )  # opens nothing


def test_a_revoked_key_is_out_at_its_next_click(ward: Ward, sign_in: Callable[[Role], Page]) -> None:
    page = sign_in(Role.CLINICIAN)
    key = next(k for k in ward.services.access.list_keys(ward.admin) if k.name == "Dr. clinician")
    ward.services.access.revoke(ward.admin, key.id)
    page.get_by_role("link", name="Models").click()
    page.wait_for_url(re.compile("/sign-in"))
    assert page.get_by_label("Key").is_visible()


def test_signing_out_ends_the_session(ward: Ward, sign_in: Callable[[Role], Page]) -> None:
    page = sign_in(Role.VIEWER)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{ward.url}/sign-in")
    page.goto(f"{ward.url}/")
    assert "/sign-in" in page.url


def test_a_form_without_the_token_is_refused_and_changes_nothing(ward: Ward) -> None:
    client, _, _ = signed_in_client(ward, Role.CLINICIAN)
    case_id = ward.note_only("Fever.")
    for form in ({}, {"csrf_token": "0" * 64}):
        answer = client.post(f"/cases/{case_id}/review", data={"verdict": "unsure", **form})
        assert answer.status_code == 403
    assert ward.services.reviews.history(ward.admin, case_id) == []


def test_another_sessions_token_is_refused(ward: Ward) -> None:
    _, _, token = signed_in_client(ward, Role.CLINICIAN)
    client, _, own = signed_in_client(ward, Role.CLINICIAN)
    case_id = ward.note_only("Fever.")
    form = {"verdict": "unsure", "csrf_token": token}
    assert client.post(f"/cases/{case_id}/review", data=form).status_code == 403
    assert client.post(f"/cases/{case_id}/review", data={**form, "csrf_token": own}).status_code == 200


def test_the_cookie_is_closed_to_scripts_and_holds_no_secret(ward: Ward) -> None:
    client = httpx.Client(base_url=ward.url)
    _, secret = ward.key(Role.VIEWER)
    token = csrf_token(client.get("/sign-in").text)
    cookie = client.post("/sign-in", data={"key": secret, "csrf_token": token}).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert secret not in cookie


def test_a_session_opens_the_pages_and_not_the_api(ward: Ward) -> None:
    client, _, _ = signed_in_client(ward, Role.ADMIN)
    assert client.get("/").status_code == 200
    assert client.get("/v1/cases").status_code == 401


def test_pages_allow_no_inline_script_and_no_other_host(ward: Ward) -> None:
    client, _, _ = signed_in_client(ward, Role.VIEWER)
    answer = client.get("/models")
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert re.search(r"\sstyle=|\son\w+=|<script>", answer.text) is None
