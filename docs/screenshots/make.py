"""Pictures of the case page from a running server: ``python docs/screenshots/make.py SIGN_IN_LINK [CASE_ID]``.

SIGN_IN_LINK is what ``clinical-mm demo`` prints, or the server's address where it asks for no key. Without CASE_ID the
newest case with image, note and vitals is taken; it is predicted and explained where it was not. Writes ``case.png``,
``case-dark.png`` and ``case-phone.png`` beside this file.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
SHOTS = {"case": (1440, 900, "light"), "case-dark": (1440, 900, "dark"), "case-phone": (390, 844, "light")}


def main(link: str, case_id: str | None = None) -> None:
    """Sign in, choose the case, take the pictures."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(link)
        address = f"{urlsplit(link).scheme}://{urlsplit(link).netloc}"
        if page.get_by_role("button", name="Sign in").count():
            page.get_by_role("button", name="Sign in").click()
        page.goto(f"{address}/cases/{case_id}" if case_id else f"{address}{newest_whole(page, address)}")
        for name in ("Predict", "Explain"):
            if page.get_by_role("button", name=name, exact=True).and_(page.locator(".primary")).count():
                page.get_by_role("button", name=name, exact=True).click()
                page.wait_for_load_state("networkidle")
        for name, (width, height, scheme) in SHOTS.items():
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme=scheme)
            page.goto(page.url)
            page.locator(".similar li").first.wait_for()
            page.get_by_label("Heat map", exact=False).first.check()
            page.locator("canvas[data-drawn=overlay]").wait_for()
            page.screenshot(path=HERE / f"{name}.png")
        browser.close()


def newest_whole(page: Page, address: str) -> str:
    """The address of the newest case that brings everything."""
    page.goto(address)
    row = page.locator("tr", has_text="image").filter(has_text="note, ").filter(has_text="vitals").first
    return str(row.locator("a.open").get_attribute("href"))


if __name__ == "__main__":
    main(*sys.argv[1:])
