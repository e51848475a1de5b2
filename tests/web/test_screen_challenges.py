"""Facts about what the kiosk's screen asks so that a person is told from a picture; watched as browsed.py says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kiosk.entrance.news import Topic
from tests.patience import until
from tests.web.browsed import NEEDED, playwright, serious
from tests.web.test_screen import FACE, IDLE, PICTURE_IS_SHOWN, chromium, screen, served  # noqa: F401  fixtures

pytestmark = NEEDED

ASKED = {
    "kind": "turn",
    "side": "left",
    "number": 1,
    "count": 1,
    "attempt": 1,
    "progress": 0.6,
    "is_wrong_way": False,
    "colours": [],
    "each_s": 0.0,
}
GUIDE = {**IDLE, "state": "guide", "guidance": "hold_still", "face": FACE, "challenge": ASKED}
COLOURS = ["#ff0000", "#00ffff", "#0000ff", "#ffff00", "#00ff00", "#ff00ff"]
CHALLENGES = {
    "left": ASKED,
    "right": {**ASKED, "side": "right", "progress": 0.3},
    "wrong way": {**ASKED, "is_wrong_way": True, "progress": 0.0},
    "mouth": {**ASKED, "kind": "mouth", "side": None, "number": 2, "count": 2},
    "flash": {**ASKED, "kind": "flash", "side": None, "progress": 0.0, "colours": COLOURS, "each_s": 5.0},
}
SIZES = {"1280x800": (1280, 800), "800x480": (800, 480), "390x844": (390, 844)}
SHOTS = os.environ.get("KIOSK_SCREENSHOTS")  # a folder, for somebody who wants to look


def show(served, asked):  # noqa: F811
    served.kiosk.news.publish(Topic.SCREEN, {**GUIDE, "challenge": asked})


@pytest.mark.parametrize(("side", "word"), [("left", "to the left"), ("right", "to the right")])
def test_an_arrow_points_to_where_the_head_is_to_turn_and_the_bar_follows_it(screen, served, side, word):  # noqa: F811
    page, _ = screen

    show(served, {**ASKED, "side": side})
    page.get_by_role("status").get_by_text(word).wait_for()
    view, arrow = page.locator(".view").bounding_box(), page.locator(".challenge-sign").bounding_box()
    bar = page.get_by_role("progressbar")
    before = bar.get_attribute("aria-valuenow")
    show(served, {**ASKED, "side": side, "progress": 0.9})
    playwright.expect(bar).to_have_attribute("aria-valuenow", "90")

    is_on_the_left = arrow["x"] + arrow["width"] / 2 < view["x"] + view["width"] / 2
    assert is_on_the_left == (side == "left")
    assert before == "60"


def test_the_other_way_is_said_before_the_try_is_lost(screen, served):  # noqa: F811
    page, _ = screen

    show(served, CHALLENGES["wrong way"])

    page.get_by_role("status").get_by_text("The other way").wait_for()


def test_the_colours_fill_the_screen_one_after_the_other_and_the_device_hears_when_they_began(screen, served):  # noqa: F811
    page, _ = screen

    show(served, {**CHALLENGES["flash"], "attempt": 2, "each_s": 0.3})
    colours = page.locator(".colours")
    colours.wait_for()
    until(lambda: ("colours", 2) in served.kiosk.asked)
    size = colours.bounding_box()

    assert (size["x"], size["y"], size["width"], size["height"]) == (0, 0, 1024, 600)
    colours.wait_for(state="hidden")  # by itself, after the last
    assert served.kiosk.asked.count(("colours", 2)) == 1


def test_the_colours_end_at_once_where_nothing_is_asked_any_more(screen, served):  # noqa: F811
    page, _ = screen
    show(served, CHALLENGES["flash"])
    page.locator(".colours").wait_for()

    served.kiosk.news.publish(Topic.SCREEN, {**GUIDE, "challenge": None})

    page.locator(".colours").wait_for(state="hidden")
    playwright.expect(page.locator(".challenge")).to_be_hidden()


def test_what_could_not_be_told_offers_another_way_in_and_not_why(screen, served):  # noqa: F811
    page, _ = screen

    served.kiosk.news.publish(
        Topic.SCREEN, {**IDLE, "state": "result", "result": "unclear", "other_way": True, "face": FACE}
    )

    page.get_by_role("status").get_by_text("We could not check this").wait_for()
    page.get_by_text("another way in").wait_for()
    page.locator("main[data-kind=maybe]").wait_for()


@pytest.mark.parametrize("size", SIZES)
def test_each_challenge_fits_every_screen_and_axe_finds_nothing_serious(screen, served, size):  # noqa: F811
    page, _ = screen
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})

    for name, asked in CHALLENGES.items():
        show(served, asked)
        page.locator(".colours" if name == "flash" else ".challenge").wait_for()
        page.evaluate(PICTURE_IS_SHOWN)
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"{size}-{name.replace(' ', '-')}.png")
        assert serious(page) == [], name
        inside = page.evaluate(
            """() => [document.documentElement.scrollWidth <= innerWidth,
                      document.documentElement.scrollHeight <= innerHeight]"""
        )
        assert inside == [True, True], name
        served.kiosk.news.publish(Topic.SCREEN, {**GUIDE, "challenge": None})
        page.locator(".challenge").wait_for(state="hidden")
