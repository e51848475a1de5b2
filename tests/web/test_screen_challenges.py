"""Facts about what the kiosk's screen asks so that a person is told from a picture; watched as browsed.py says."""

from __future__ import annotations

import json
import os
import wave
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kiosk.entrance.news import Still, Topic
from kiosk.settings.config import Config
from kiosk.settings.sections import EnrolmentSettings, PadSettings
from tests.api.served import A1, serving
from tests.patience import until
from tests.web.browsed import NEEDED, opened, playwright, serious, speak
from tests.web.test_screen import FACE, IDLE, PICTURE_IS_SHOWN, screen, served  # noqa: F401  fixtures

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


HEARD = """
window.heard = [];
window.SpeechSynthesisUtterance = class { constructor(text) { this.text = text; } };
Object.defineProperty(window, "speechSynthesis", { value: {
  speak: (one) => heard.push(`${one.lang} ${one.text}`),
  cancel: () => heard.push("end"),
} });
HTMLMediaElement.prototype.play = function () {
  const ended = this.src;
  return new Promise((done) => {
    this.addEventListener("loadeddata", () => { heard.push(ended); done(); });
    this.load();
  });
};
"""  # what a loudspeaker would get: a machine of tests has none, nor voices


WEB = Path(__file__).parents[2] / "kiosk" / "web" / "common"


def words(language):
    return json.loads((WEB / f"{language}.json").read_text(encoding="utf-8"))


@contextmanager
def spoken(chromium, folder, **pad):
    """Give a screen whose device says challenges aloud, and what was heard."""
    consent = EnrolmentSettings(consent_version="2026-11", consent_text="We keep features of your face.")
    config = replace(Config(), enrolment=consent, pad=PadSettings(level="active", screen=True, **pad))
    with serving(folder / "state", config=config) as served, opened(chromium, served.url) as (page, _):  # noqa: F811
        served.kiosk.picture = Still(A1, (480, 640), 0.1, ())
        page.add_init_script(HEARD)
        served.kiosk.news.publish(Topic.SCREEN, IDLE)
        page.goto(served.screen_url)
        page.locator("main[data-state=idle]").wait_for()
        yield page, served


def heard(page):
    return [one for one in page.evaluate("heard") if one != "end"]


def test_a_challenge_is_said_once_as_it_is_asked_in_the_language_of_now(chromium, tmp_path):
    with spoken(chromium, tmp_path, spoken="speech") as (page, served):  # noqa: F811
        show(served, ASKED)
        until(lambda: heard(page) == ["en-GB Turn your head to the left"])
        show(served, {**ASKED, "progress": 0.9})
        show(served, CHALLENGES["wrong way"])
        until(lambda: heard(page)[-1] == "en-GB The other way")
        served.kiosk.news.publish(Topic.SCREEN, {**GUIDE, "challenge": None})
        page.locator(".challenge").wait_for(state="hidden")
        speak(page, "Deutsch")
        page.locator("html[lang=de]").wait_for()
        show(served, {**CHALLENGES["mouth"], "attempt": 2})
        until(lambda: len(heard(page)) == 3)

        assert heard(page)[-1] == "de-DE " + words("de")["challenge.mouth"]
        assert page.evaluate("heard")[0] == "end"  # nothing of before is said any longer


def test_a_challenge_is_said_by_the_file_of_its_language_and_one_without_a_file_stays_silent(chromium, tmp_path):
    folder = tmp_path / "audio"
    (folder / "en").mkdir(parents=True)
    with wave.open(str(folder / "en" / "turn_left.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))
    with spoken(chromium, tmp_path, spoken="files", spoken_folder=str(folder)) as (page, served):  # noqa: F811
        show(served, ASKED)
        until(lambda: heard(page) == [f"{served.url}/device/screen/spoken/en/turn_left"])
        with served.screen() as client:
            there, missing, other = (
                client.get(f"/device/screen/spoken/{name}")
                for name in ("en/turn_left", "de/turn_left", "en/..%2F..%2Fstate%2Fstore")
            )

    assert (there.status_code, there.headers["content-type"]) == (200, "audio/wav")
    assert (missing.status_code, other.status_code) == (404, 404)


def test_nothing_is_said_where_it_is_not_set(chromium, tmp_path):
    with spoken(chromium, tmp_path) as (page, served):  # noqa: F811
        show(served, ASKED)
        page.get_by_role("status").get_by_text("to the left").wait_for()

        assert heard(page) == []


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
