"""The image viewer in the browser: frames, evidence, window, heat map, keys, fingers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Request, expect

from api.access.service import Role
from clinical_mm.case import Case, ImageFile, Patient
from tests.api.pages.conftest import Ward
from tests.clinical_mm.pictures.dicoms import dicom

pytestmark = pytest.mark.browser

FRAMES = 300
MIDDLE = """canvas => {
  const { width, height } = canvas;
  return [...canvas.getContext('2d').getImageData(width >> 1, height >> 1, 1, 1).data];
}"""
PIXELS = """canvas => {
  const small = document.createElement('canvas');
  small.width = small.height = 128;
  const context = small.getContext('2d');
  context.drawImage(canvas, 0, 0, 128, 128);
  return [...context.getImageData(0, 0, 128, 128).data];
}"""


def series(frames: int, files: int = 1) -> Case:
    """Multi-frame CTs of 64 x 64 whose frame n is uniformly n + 100."""
    steps = np.stack([np.full((64, 64), n + 100, np.uint16) for n in range(frames)])
    stored = dicom(steps, NumberOfFrames=frames, WindowCenter="250", WindowWidth="400")
    return Case(patient=Patient("p-1"), images=tuple(ImageFile(f"{n}.dcm", stored) for n in range(files)))


def brightness(frame: int) -> float:
    """What the middle of that frame looks like through its window."""
    return 255 * (frame + 100 - 50) / 400


@pytest.fixture
def long_series(clinician: Page, ward: Ward) -> Page:
    clinician.goto(f"{ward.url}/cases/{ward.submit(series(FRAMES))}")
    shows(clinician, FRAMES // 2 - 1)  # it opens in the middle
    return clinician


@pytest.fixture
def explained(clinician: Page, ward: Ward) -> Page:
    clinician.goto(f"{ward.url}/cases/{ward.explained_case()}")
    expect(clinician.locator("canvas")).to_have_attribute("data-drawn", "plain")
    return clinician


def shows(page: Page, frame: int) -> None:
    expect(page.locator("canvas")).to_have_attribute("data-frame", str(frame))
    expect(page.locator("[data-frame-number]")).to_have_text(f"{frame + 1} / {FRAMES}")
    assert page.locator("canvas").evaluate(MIDDLE)[0] == pytest.approx(brightness(frame), abs=2)


def image(page: Page) -> np.ndarray:
    """The canvas, made smaller, as ``uint8[N, 4]``."""
    return np.asarray(page.locator("canvas").evaluate(PIXELS), np.uint8).reshape(-1, 4)


def test_a_series_of_300_frames_shows_the_frame_asked_for_by_slider_wheel_and_keys(long_series: Page) -> None:
    long_series.get_by_label("Frame", exact=True).fill("299")
    shows(long_series, 299)
    long_series.get_by_label("Frame", exact=True).fill("7")
    shows(long_series, 7)
    long_series.locator("canvas").hover()
    long_series.mouse.wheel(0, 120)
    shows(long_series, 8)
    long_series.locator("canvas").focus()
    for key, frame in (("ArrowUp", 7), ("PageDown", 17), (".", 18), (",", 17), ("End", 299), ("Home", 0)):
        long_series.keyboard.press(key)
        shows(long_series, frame)


def test_frames_next_to_the_one_shown_are_there_before_they_are_asked_for(long_series: Page) -> None:
    long_series.wait_for_load_state("networkidle")
    long_series.context.set_offline(True)
    for frame in range(150, 170):
        long_series.keyboard.press(".")
        shows(long_series, frame)
    long_series.context.set_offline(False)


def test_a_fast_scroll_ends_at_the_newest_frame_and_lets_go_of_those_passed_over(long_series: Page) -> None:
    asked: list[Request] = []
    long_series.on("request", lambda r: asked.append(r) if "/raw" in r.url else None)
    long_series.get_by_label("Frame", exact=True).evaluate(
        "slider => { for (let n = 0; n < 300; n++) { slider.value = n; slider.dispatchEvent(new Event('input')); } }"
    )
    shows(long_series, 299)
    done = [r for r in asked if r.response() is not None and r.failure is None]
    assert 0 < len(done) < FRAMES / 2  # most were never waited for


def test_the_frames_held_take_no_more_memory_than_allowed(clinician: Page, ward: Ward) -> None:
    clinician.goto(f"{ward.url}/cases/{ward.submit(series(12))}")
    held = clinician.evaluate(
        """async () => {
          const { FrameStore } = await import('/static/js/frames.js');
          const store = new FrameStore(3 * 64 * 64 * 2);
          const frames = JSON.parse(document.querySelector('[data-stacks]').dataset.stacks)[0].frames;
          await store.reserve(frames[11].raw);
          for (const { raw } of frames) await store.load(raw);
          return { bytes: store.bytes, held: store.held.size, reserved: store.held.has(frames[11].raw) };
        }"""
    )
    assert held == {"bytes": 3 * 64 * 64 * 2, "held": 3, "reserved": True}


def test_the_heat_map_changes_the_pixels_under_it_and_its_opacity_how_much(explained: Page) -> None:
    plain = image(explained)
    explained.keyboard.press("h")
    expect(explained.locator("canvas")).to_have_attribute("data-drawn", "overlay")
    strong = image(explained)
    changed = (plain[:, :3] != strong[:, :3]).any(axis=1)
    assert 0.01 < changed.mean() < 1
    for _ in range(4):
        explained.keyboard.press("<")
    faint = image(explained)

    def colour(pixels: np.ndarray) -> float:
        return float(np.ptp(pixels[:, :3].astype(int), axis=1).mean())

    assert 0 < colour(faint) < colour(strong) / 2
    assert colour(plain) == 0


def test_window_and_level_follow_mouse_presets_numbers_and_keys(explained: Page) -> None:
    level, width = explained.get_by_label("Level", exact=True), explained.get_by_label("Width", exact=True)
    before, start = image(explained), (level.input_value(), width.input_value())
    box = explained.locator("canvas").bounding_box()
    assert box is not None
    explained.mouse.move(box["x"] + 200, box["y"] + 200)
    explained.mouse.down()
    explained.mouse.move(box["x"] + 260, box["y"] + 290, steps=3)
    explained.mouse.up()
    assert float(level.input_value()) > float(start[0])
    assert float(width.input_value()) > float(start[1])
    assert (image(explained) != before).any()
    explained.get_by_label("Window", exact=True).select_option("Default")
    assert (level.input_value(), width.input_value()) == start
    assert (image(explained) == before).all()
    explained.locator("canvas").focus()
    for key, field, larger in (("]", width, True), ("[", width, False), ("}", level, True), ("{", level, False)):
        was = float(field.input_value())
        explained.keyboard.press(key)
        assert (float(field.input_value()) > was) is larger
    level.fill("700")
    level.press("Enter")
    expect(explained.get_by_label("Window", exact=True)).to_have_value("-1")  # own


def test_zoom_and_move_by_keys_and_back(explained: Page) -> None:
    before = image(explained)
    explained.locator("canvas").focus()
    explained.keyboard.press("+")
    explained.keyboard.press("Shift+ArrowLeft")
    expect(explained.locator("[data-zoom]")).to_have_text(re.compile("125"))
    assert (image(explained) != before).any()
    explained.keyboard.press("0")
    assert (image(explained) == before).all()


def test_frames_with_evidence_are_marked_and_visited_strongest_first(clinician: Page, ward: Ward) -> None:
    case_id = ward.submit(series(12, files=2))
    prediction = ward.services.predictions.create(ward.admin, case_id)
    explanation = ward.services.explanations.create(ward.admin, prediction.id)
    order = [(str(heat.file), str(heat.frame)) for heat in explanation.images]
    assert len(order) > 1
    clinician.goto(f"{ward.url}/cases/{case_id}")
    canvas, stack = clinician.locator("canvas"), clinician.get_by_label("Image", exact=True)
    button = clinician.get_by_role("button", name="Strongest evidence")
    for place, (file, frame) in enumerate([*order, order[0]]):  # and round again
        expect(stack).to_have_value(file)
        expect(canvas).to_have_attribute("data-frame", frame)
        expect(button).to_contain_text(f"{place % len(order) + 1} / {len(order)}")
        expect(clinician.locator("[data-marks] rect")).to_have_count(sum(f == file for f, _ in order))
        clinician.keyboard.press("e") if place % 2 else button.click()


def test_another_method_keeps_the_target_the_view_and_the_address(explained: Page, ward: Ward) -> None:
    target = explained.locator("#target option").nth(1)
    code, name = target.get_attribute("value"), target.inner_text()
    explained.keyboard.press("h")
    explained.keyboard.press("+")
    explained.locator("#target").select_option(code)
    explained.get_by_role("button", name="Explain").click()
    expect(explained.locator(".sum")).to_contain_text(name)
    method = explained.locator("#methods").input_value()
    assert f"target={code}&method={method}" in explained.url
    expect(explained.locator("#methods option:checked")).to_contain_text("✓")  # its answer is stored
    expect(explained.locator("canvas")).to_have_attribute("data-drawn", "overlay")
    expect(explained.locator("[data-zoom]")).to_have_text(re.compile("125"))
    explained.reload()
    expect(explained.locator(".sum")).to_contain_text(name)
    asked: list[Any] = []
    explained.on("request", lambda r: asked.append(r.post_data) if r.method == "POST" else None)
    explained.keyboard.press("m")
    expect(explained.locator("#methods")).to_be_focused()
    explained.locator("#methods").dispatch_event("change")
    expect(explained.locator(".sum")).to_contain_text(name)
    assert f"methods={method}" in asked[0]


def test_the_help_lists_every_key_of_the_viewer_and_gives_the_focus_back(explained: Page) -> None:
    keys = set(
        explained.evaluate(
            """async () => {
              const { ANYWHERE, ON_THE_PICTURE } = await import('/static/js/viewer_keys.js');
              return [...Object.keys(ANYWHERE), ...Object.keys(ON_THE_PICTURE)];
            }"""
        )
    )
    button = explained.get_by_role("button", name="Keys")
    button.click()
    dialog = explained.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    assert keys <= set(dialog.locator("dt kbd").all_inner_texts())
    explained.keyboard.press("h")  # the page below does not listen
    explained.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()
    expect(explained.locator("canvas")).to_have_attribute("data-drawn", "plain")


def test_single_keys_can_be_turned_off_for_those_who_dictate(explained: Page) -> None:
    explained.keyboard.press("?")
    explained.get_by_label("Single keys on").uncheck()
    explained.get_by_role("button", name="Close").click()
    explained.keyboard.press("c")
    expect(explained.get_by_label("Confirm")).not_to_be_checked()
    explained.keyboard.press("?")
    explained.get_by_label("Single keys on").check()
    explained.get_by_role("button", name="Close").click()
    explained.keyboard.press("c")
    expect(explained.get_by_label("Confirm")).to_be_checked()


@pytest.fixture
def phone(browser: Browser, ward: Ward) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{ward.url}/sign-in")
    page.get_by_label("Key").fill(ward.key(Role.CLINICIAN)[1])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{ward.url}/")
    yield page
    context.close()


def test_two_fingers_zoom_and_one_moves_what_is_zoomed(phone: Page, ward: Ward) -> None:
    phone.goto(f"{ward.url}/cases/{ward.whole_case()}")
    expect(phone.locator("canvas")).to_have_attribute("data-drawn", "plain")
    phone.locator("canvas").scroll_into_view_if_needed()
    box = phone.locator("canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = phone.context.new_cdp_session(phone)

    def fingers(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": px, "y": py, "id": n} for n, (px, py) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", (x - 30, y), (x + 30, y))
    for apart in (45, 60, 90):
        fingers("touchMove", (x - apart, y), (x + apart, y))
    fingers("touchEnd")
    zoom = phone.locator("[data-zoom]")
    expect(zoom).not_to_have_text(re.compile("^100"))
    assert int(re.sub(r"\D", "", zoom.inner_text())) == pytest.approx(300, abs=40)
    before = image(phone)
    fingers("touchStart", (x, y))
    fingers("touchMove", (x + 40, y + 40))
    fingers("touchEnd")
    assert (image(phone) != before).any()


@pytest.mark.parametrize("path", ["/", "/cases/{case}", "/training", "/models"])
def test_nothing_scrolls_sideways_on_a_phone(phone: Page, ward: Ward, path: str) -> None:
    phone.goto(ward.url + path.format(case=ward.explained_case()))
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
