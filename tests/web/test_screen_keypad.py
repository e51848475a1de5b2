"""Facts about the keypad on the kiosk's screen, in a real Chromium; watched as browsed.py says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kiosk.entrance.news import Topic
from tests.patience import until
from tests.web.browsed import NEEDED, opened, playwright, serious
from tests.web.test_screen import IDLE, screen, served  # noqa: F401  fixtures

pytestmark = NEEDED

ASKED = {"wants": "pin", "tries_left": 3, "wrong": 0}
SHOTS = os.environ.get("KIOSK_SCREENSHOTS")  # a folder, for somebody who wants to look
SMALLEST_PX = 44  # of a target for a finger, WCAG 2.5.5


def show(served, **factor):  # noqa: F811
    served.kiosk.news.publish(Topic.SCREEN, {**IDLE, "state": "factor", "factor": {**ASKED, **factor}})


def test_a_pin_is_sent_once_and_never_shown(screen, served):  # noqa: F811
    page, _ = screen

    show(served)
    page.get_by_text("Enter your PIN").wait_for()
    for digit in "4711":
        page.get_by_role("button", name=digit, exact=True).click()
    assert page.locator(".dot").count() == 4
    assert "4711" not in page.content()
    page.get_by_role("button", name="Enter").click()

    until(lambda: ("pin", 4) in served.kiosk.asked)
    playwright.expect(page.locator(".dot")).to_have_count(0)


def test_digits_are_cleared_and_a_keyboard_does_as_well(screen, served):  # noqa: F811
    page, _ = screen

    show(served)
    page.get_by_text("Enter your PIN").wait_for()
    page.keyboard.type("99")
    page.get_by_role("button", name="Clear").click()
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.type("471")
    playwright.expect(page.locator(".dot")).to_have_count(3)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Enter")

    until(lambda: ("pin", 3) in served.kiosk.asked)


def test_a_wrong_pin_is_said_with_the_tries_that_are_left(screen, served):  # noqa: F811
    page, _ = screen

    show(served)
    page.get_by_text("Enter your PIN").wait_for()
    page.keyboard.type("47")
    show(served, wrong=1, tries_left=2)

    page.get_by_text("Tries left: 2").wait_for()
    assert page.locator(".dot").count() == 0


def test_a_card_is_asked_for_without_a_keypad(screen, served):  # noqa: F811
    page, _ = screen

    show(served, wants="card")

    page.get_by_text("Hold your card to the reader").wait_for()
    assert not page.get_by_role("button", name="5", exact=True).is_visible()


@pytest.mark.parametrize("size", [(800, 480), (1024, 600), (600, 1024), (390, 844)], ids=str)
def test_every_key_is_whole_and_large_enough_for_a_finger(chromium, served, size):  # noqa: F811
    with opened(chromium, served.url, viewport={"width": size[0], "height": size[1]}) as (page, _):
        served.kiosk.news.publish(Topic.SCREEN, IDLE)
        page.goto(served.screen_url)
        page.locator("main[data-state=idle]").wait_for()
        show(served, wrong=1, tries_left=2)
        page.get_by_text("Tries left: 2").wait_for()
        page.keyboard.type("471")
        boxes = [key.bounding_box() for key in page.locator(".key").all()]
        languages = page.locator(".languages").bounding_box()
        if SHOTS:
            page.screenshot(path=Path(SHOTS, f"keypad-{size[0]}x{size[1]}.png"))

        assert len(boxes) == 12
        assert all(min(box["width"], box["height"]) >= SMALLEST_PX for box in boxes)
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= size[0] for box in boxes)
        assert all(box["y"] >= 0 and box["y"] + box["height"] <= size[1] for box in boxes)
        assert not any(
            box["x"] < languages["x"] + languages["width"]
            and languages["x"] < box["x"] + box["width"]
            and box["y"] < languages["y"] + languages["height"]
            and languages["y"] < box["y"] + box["height"]
            for box in boxes
        )
        assert serious(page) == []
