"""The pages as a reader waits for them: the first case, and the next one by key, in a real browser over a server."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from benchmarks.workspace import prepare, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TITLE = "Pages: first case, next case"
WALKED, OPENED, THREADS = 20, 20, 8
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]

READABLE = """() => {
  const canvas = document.querySelector('canvas');
  const noted = document.querySelector('.note .text, .note .absent');
  const answered = document.querySelector('.diagnoses table');
  return noted && answered && (!document.querySelector('[data-stacks]') || canvas?.dataset.drawn) ? true : false;
}"""
"""The image is painted, note and probabilities stand there (each where the case has it)."""

FIRST = f"""new Promise(done => {{
  const readable = {READABLE};
  const look = () => readable() ? requestAnimationFrame(() => done(performance.now())) : requestAnimationFrame(look);
  look();
}})"""
"""Milliseconds from the start of the navigation until then."""

NEXT = f"""() => {{
  const readable = {READABLE};
  window.walked = new Promise(done => document.addEventListener('keydown', ({{ timeStamp }}) => {{
    const left = document.querySelector('#case');
    const look = () => document.querySelector('#case') !== left && readable()
      ? requestAnimationFrame(() => done(performance.now() - timeStamp)) : requestAnimationFrame(look);
    look();
  }}, {{ capture: true, once: true }}));
}}"""
"""Milliseconds from the key until another case is readable."""


def run() -> str:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        raise FileNotFoundError("no `chromium` on PATH")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        key = prepare(workspace)
        with served(workspace, THREADS) as address, sync_playwright() as playwright:
            explain_all(address, key)
            browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
            first, following, plain = measure(browser, address, key)
            browser.close()
    rows = [
        row("first case readable, from the start of the navigation, cache empty", first, "< 1000"),
        row("next case readable, from the key, fetched ahead", following, "< 200"),
        row("the same without fetching ahead: each case loaded as a page", plain, ""),
    ]
    head = (
        "Headless Chromium on the same machine as the server. Readable: the image is painted, note and probabilities "
        f"are there. {OPENED} cases opened, {WALKED} walked through."
    )
    return "\n".join([head, "", "| what | median, ms | worst, ms | aim |", "|---|---|---|---|", *rows])


def explain_all(address: str, key: str) -> None:
    """Predict and explain the cases that will be looked at, as a hospital does overnight."""
    with httpx.Client(base_url=f"{address}/v1", headers={"Authorization": f"Bearer {key}"}, timeout=120) as client:
        for case in client.get("/cases", params={"limit": max(WALKED, OPENED) + 1}).json()["items"]:
            prediction = client.post(f"/cases/{case['id']}/predictions").raise_for_status().json()
            client.post(f"/predictions/{prediction['id']}/explanations", json={}).raise_for_status()


def measure(browser: Browser, address: str, key: str) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds: first case by navigation, next case by key, next case by navigation."""
    page = signed_in(browser, address, key)
    links = page.locator("a.open").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    cookies = page.context.cookies()
    first = []
    for link in links[:OPENED]:
        context = browser.new_context(viewport={"width": 1440, "height": 900})  # nothing cached
        context.add_cookies(cookies)
        opened = context.new_page()
        opened.goto(address + link, wait_until="commit")
        first.append(float(opened.evaluate(FIRST)))
        context.close()
    plain = []
    for link in links[:WALKED]:
        page.goto(address + link, wait_until="commit")
        plain.append(float(page.evaluate(FIRST)))
    page.goto(address + links[0])
    return first, [by_key(page) for _ in range(WALKED)], plain


def by_key(page: Page) -> float:
    """Milliseconds until the next case is readable, after a reader has looked at this one for a second."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1000)
    page.evaluate(NEXT)
    page.keyboard.press("n")
    return float(page.evaluate("window.walked"))


def signed_in(browser: Browser, address: str, key: str) -> Page:
    """The list of cases."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(f"{address}/sign-in")
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.locator("a.open").first.wait_for()
    return page


def row(name: str, milliseconds: list[float], aim: str) -> str:
    return f"| {name} | {statistics.median(milliseconds):.0f} | {max(milliseconds):.0f} | {aim} |"


if __name__ == "__main__":
    print(run())
