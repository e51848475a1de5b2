"""Facts about the kiosk's own screen, in a real Chromium against the real server; watched as browsed.py says."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kiosk.entrance.news import Still, Topic
from kiosk.settings.config import Config
from kiosk.settings.sections import EnrolmentSettings, EntranceSettings, ReviewSettings
from kiosk.testing.documents import Specimen
from tests.api.served import A1, SCREEN_TOKEN, serving
from tests.documents.cards import jpeg, picture_of, score_of_person_a
from tests.patience import PROCESS_S, reserved_port, until
from tests.web.browsed import NEEDED, despite_crashes, opened, playwright, serious, speak

pytestmark = NEEDED

SHOTS = os.environ.get("KIOSK_SCREENSHOTS")  # a folder, for somebody who wants to look

FACE = [0.4, 0.2, 0.6, 0.6]  # shares of the picture
SCREENS = {"7 inches": (1024, 600), "small": (800, 480), "upright": (600, 1024)}
PICTURE_IS_SHOWN = """() => new Promise((done) => {
  const look = () => document.querySelector(".preview").naturalWidth ? done() : setTimeout(look, 50);
  look();
})"""
GUIDE = {"state": "guide", "guidance": "come_closer", "result": None, "other_way": False, "held_s": 0, "face": FACE}
IDLE = {**GUIDE, "state": "idle", "guidance": None, "face": None}


@pytest.fixture
def served(tmp_path):
    consent = EnrolmentSettings(
        consent_version="2026-11",
        consent_text="We keep features of your face.",
        consent_texts=("ar: نحفظ سمات وجهك.",),
    )
    with serving(tmp_path / "state", config=replace(Config(), enrolment=consent)) as served:
        served.kiosk.picture = Still(A1, (480, 640), 0.1, ())
        yield served


@pytest.fixture
def screen(chromium, served):
    """Give the kiosk's screen, connected."""
    with opened(chromium, served.url, viewport={"width": 1024, "height": 600}) as (page, watch):
        served.kiosk.news.publish(Topic.SCREEN, IDLE)
        page.goto(served.screen_url)
        page.get_by_text("Look into the camera").wait_for()
        page.locator("main[data-state=idle]").wait_for()
        yield page, watch


@pytest.mark.parametrize("size", SCREENS)
@pytest.mark.parametrize("language", ["en", "ar"])
def test_a_lockdown_stands_on_every_picture_of_the_screen(chromium, served, size, language):
    width, height = SCREENS[size]
    words = {"en": "The door is locked down. The way out is free.", "ar": "الباب مغلق بأمر. الخروج متاح."}
    with opened(chromium, served.url, viewport={"width": width, "height": height}) as (page, watch):
        served.kiosk.news.publish(Topic.SCREEN, {**IDLE, "is_locked_down": True})
        page.goto(served.screen_url)
        page.locator("main[data-state=idle]").wait_for()
        if language != "en":
            speak(page, "العربية")
        banner = page.get_by_role("alert").filter(has_text=words[language])
        banner.wait_for()
        for state in (GUIDE, {**IDLE, "state": "result", "result": "not_opened"}, IDLE):
            served.kiosk.news.publish(Topic.SCREEN, {**state, "is_locked_down": True})
            page.locator(f"main[data-state={state['state']}]").wait_for()
            playwright.expect(banner).to_be_visible()
            assert serious(page) == []
        if SHOTS:
            page.screenshot(path=Path(SHOTS, f"lockdown-{size}-{language}.png"))
        served.kiosk.news.publish(Topic.SCREEN, IDLE)
        playwright.expect(banner).to_be_hidden()
        assert watch.faults == []


RESULTS = [
    ("welcome", "Welcome", "good"),
    ("review", "Please wait for staff", "maybe"),
    ("declined", "No entry", "bad"),
    ("again", "Please look again", "maybe"),
    ("not_opened", "The door stays closed", "maybe"),
]


def test_the_screen_guides_with_word_sign_and_ring(screen, served):
    page, _ = screen

    served.kiosk.news.publish(Topic.SCREEN, GUIDE)

    page.get_by_role("status").get_by_text("Come closer").wait_for()
    page.locator(".ring-over.ring-guide ellipse").wait_for()
    page.evaluate(PICTURE_IS_SHOWN)


@pytest.mark.parametrize(("result", "word", "kind"), RESULTS)
def test_a_result_has_a_word_a_shape_and_a_colour(screen, served, result, word, kind):
    page, _ = screen

    served.kiosk.news.publish(Topic.SCREEN, {**IDLE, "state": "result", "result": result, "face": FACE})

    page.get_by_role("status").get_by_text(word).wait_for()
    page.locator(f"main[data-kind={kind}] .ring-over.ring-{kind}").wait_for()


def test_after_a_result_neither_picture_nor_word_stays(screen, served):
    page, _ = screen
    served.kiosk.news.publish(Topic.SCREEN, {**IDLE, "state": "result", "result": "welcome", "face": FACE})
    page.locator(".preview[src]").wait_for()

    served.kiosk.news.publish(Topic.SCREEN, IDLE)

    page.locator("main[data-state=idle]").wait_for()
    playwright.expect(page.locator(".preview[src]")).to_have_count(0)
    playwright.expect(page.get_by_text("Welcome")).to_be_hidden()


@pytest.mark.parametrize("keeps_probe", [True, False])
def test_the_notice_says_that_a_reviewer_may_see_the_face_where_it_is_kept(chromium, tmp_path, keeps_probe):
    config = replace(Config(), review=ReviewSettings(keep_probe=keeps_probe))
    with (
        serving(tmp_path / "state", config=config) as served,
        opened(chromium, served.url, viewport={"width": 800, "height": 480}) as (page, _),
    ):
        served.kiosk.news.publish(Topic.SCREEN, IDLE)
        page.goto(served.screen_url)

        page.get_by_text("a picture of your face is kept until" if keeps_probe else "No picture is kept").wait_for()


def test_a_locked_screen_counts_down_and_offers_another_way_in(screen, served):
    page, _ = screen

    served.kiosk.news.publish(Topic.SCREEN, {**IDLE, "state": "locked", "held_s": 90, "other_way": True})

    page.get_by_text(re.compile(r"Try again in 1:[0-2]\d")).wait_for()
    page.get_by_text("another way in").wait_for()


def test_a_closed_screen_says_why_in_plain_words(screen, served):
    page, _ = screen

    served.kiosk.news.publish(Topic.SCREEN, {**IDLE, "state": "closed", "reasons": ["camera_lost"]})

    page.get_by_text("Out of service").wait_for()
    page.get_by_text("The camera does not work.").wait_for()


def test_the_screen_speaks_the_language_that_is_chosen(screen, served):
    page, _ = screen

    speak(page, "Deutsch")
    served.kiosk.news.publish(Topic.SCREEN, GUIDE)

    page.get_by_text("Näher kommen").wait_for()


def test_a_language_by_its_file_alone_turns_the_page_and_says_all_of_it(screen, served):
    page, _ = screen

    speak(page, "العربية")
    served.kiosk.news.publish(Topic.SCREEN, GUIDE)

    page.get_by_text("اقترب", exact=True).wait_for()
    assert page.evaluate("[document.documentElement.lang, document.documentElement.dir]") == ["ar", "rtl"]
    assert "\u1d49\u207f" not in page.locator("body").inner_text()  # nothing stood in for a word it lacks
    speak(page, "English")
    page.get_by_text("Come closer", exact=True).wait_for()
    assert page.evaluate("document.documentElement.dir") == "ltr"


@despite_crashes
def test_a_broken_line_is_told_and_mended_by_itself(chromium, tmp_path):
    with (
        reserved_port() as port,
        serving(tmp_path / "one", api_settings={"port": port}) as first,
        opened(chromium, first.url) as (page, watch),
    ):
        # A whole picture: Chromium 156 itself crashes now and then on a stream of broken ones that ends.
        first.kiosk.picture = Still(A1, (480, 640), 0.1, ())
        first.kiosk.news.publish(Topic.SCREEN, {**IDLE, "state": "result", "result": "welcome"})
        page.goto(first.screen_url)
        page.get_by_text("Welcome").wait_for()

        first.application.close()
        first.server.close()
        until(lambda: not first.server.is_alive)  # the port is free
        page.get_by_text("No connection to the kiosk").wait_for()
        assert not page.get_by_text("Welcome").is_visible()  # it says nothing about now

        with serving(tmp_path / "two", api_settings={"port": port}) as second:
            second.kiosk.news.publish(Topic.SCREEN, IDLE)
            page.locator("main[data-state=idle]").wait_for()
        assert all("Failed to load resource" in fault for fault in watch.faults)  # it stops in the midst of calls
        watch.faults.clear()


@pytest.fixture
def enrolling(served, chromium):
    """Give the kiosk's screen in mode enrol."""
    config = served.device.config
    served.device.apply(replace(config, entrance=replace(EntranceSettings(), mode="enrol")))
    with opened(chromium, served.url, viewport={"width": 800, "height": 480}) as (page, watch):
        watch.expects(409)  # what a cancel that comes too late is answered
        served.kiosk.news.publish(Topic.SCREEN, {**IDLE, "mode": "enrol"})
        page.goto(served.screen_url)
        page.get_by_role("button", name="Begin enrolment").click()
        yield page


def agree_and_look(page) -> None:
    page.get_by_label("I have read this").check()
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Name").fill("Person A the Typed")
    page.get_by_role("button", name="Look into the camera").click()
    page.locator("main[data-state=guide]").wait_for()


def test_the_consent_is_read_in_the_language_chosen_and_what_was_typed_stays(enrolling):
    page = enrolling
    page.get_by_label("I have read this").check()
    speak(page, "العربية")
    page.get_by_text("نحفظ سمات وجهك.").wait_for()
    assert not page.locator("input[name=agree]").is_checked()  # they agreed to another text
    speak(page, "Français")
    page.get_by_text("We keep features of your face.").wait_for()  # there is none in French
    page.locator("input[name=agree]").check()
    page.locator(".flow-card button[type=submit]").click()
    page.locator("input[name=name]").fill("Person A the Typed")

    speak(page, "English")

    page.get_by_role("heading", name="Who are you?").wait_for()
    assert page.get_by_label("Name").input_value() == "Person A the Typed"


@pytest.mark.parametrize(("speaks", "language"), [("العربية", "ar"), ("Français", None)])
def test_the_language_in_which_the_consent_was_read_goes_with_it(enrolling, served, speaks, language):
    page = enrolling
    speak(page, speaks)
    page.locator("input[name=agree]").check()
    page.locator(".flow-card button[type=submit]").click()
    speak(page, "English")  # what they agreed to stays what it was
    page.get_by_role("heading", name="Who are you?").wait_for()
    page.locator("input[name=name]").fill("Person A")
    page.get_by_role("button", name="Look into the camera").click()
    page.locator("main[data-state=guide]").wait_for()

    ((_, _, consent, *_),) = served.kiosk.asked
    assert consent.language == language


def test_nobody_is_enrolled_without_agreeing_to_the_text_in_force(enrolling, served):
    page = enrolling
    page.get_by_text("We keep features of your face.").wait_for()
    assert page.get_by_role("button", name="Next").is_disabled()

    agree_and_look(page)

    ((what, details, consent, is_allowlisted, is_attended, _),) = served.kiosk.asked
    assert not is_attended
    assert (what, details.name, consent.version, is_allowlisted) == ("enrol", "Person A the Typed", "2026-11", False)


def test_after_an_enrolment_nothing_that_was_typed_stays(enrolling, served):
    page = enrolling
    agree_and_look(page)

    served.kiosk.news.publish(Topic.ENROLMENT, {"id": "e1", "state": "added", "session_number": 41})
    page.get_by_text("You are enrolled").wait_for()
    page.get_by_role("button", name="Done").click()

    page.get_by_role("button", name="Begin enrolment").wait_for()
    assert page.locator("input").count() == 0
    assert "Typed" not in page.content()
    assert ">41<" not in page.content()


def test_a_document_that_is_shown_fills_the_details_and_sets_the_last_day(enrolling, served):
    page = enrolling
    shown = jpeg(picture_of(Specimen(expiry="350415")))
    served.kiosk.picture = Still(A1, (480, 640), 0.1, ())  # first nothing that is a document
    page.get_by_label("I have read this").check()
    page.get_by_role("button", name="Next").click()

    page.get_by_role("button", name="Show your document").click()
    page.get_by_text("Looking for the document").wait_for()
    served.kiosk.picture = Still(shown, (1280, 720), 0.1, ())

    page.get_by_text("Read from your document").wait_for()
    assert page.get_by_label("Name").input_value() == "ANNA MARIA ERIKSSON"
    assert page.get_by_label("Document number").input_value() == "L898902C3"
    page.get_by_text("The face you show next is compared with its portrait").wait_for()
    page.get_by_role("button", name="Look into the camera").click()
    page.locator("main[data-state=guide]").wait_for()
    ((_, details, *_, until, portrait),) = served.kiosk.asked
    assert score_of_person_a(served.device, portrait) >= 70
    assert (details.document_type, details.document_number) == ("Passport", "L898902C3")
    assert until == datetime(2035, 4, 16, tzinfo=timezone.utc).timestamp()  # the last day is the document's
    served.kiosk.news.publish(
        Topic.ENROLMENT, {"id": "e1", "state": "added", "session_number": 41, "portrait_score": 93}
    )
    page.get_by_text("Your face and your document's portrait: score 93 of 100").wait_for()


def test_who_shows_nothing_that_can_be_read_is_told_so_after_so_many_looks(enrolling, served):
    page = enrolling
    served.kiosk.picture = Still(jpeg(np.full((48, 64, 3), 200, np.uint8)), (48, 64), 0.1, ())
    page.get_by_label("I have read this").check()
    page.get_by_role("button", name="Next").click()
    page.clock.install()
    page.get_by_role("button", name="Show your document").click()

    until(lambda: page.clock.run_for(300) or page.get_by_text("could not be read").count(), PROCESS_S)  # ms

    for size in ((800, 480), (480, 800), (1280, 800)):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        picture, word = (page.locator(f".document-{part}").bounding_box() for part in ("picture", "word"))
        assert picture["height"] > 100, size
        assert picture["y"] + picture["height"] <= word["y"], size
    page.get_by_role("button", name="Type it in instead").click()
    page.get_by_label("Name").fill("Person A the Typed")


def test_whose_document_shows_somebody_else_is_told_so_and_sent_to_the_staff(enrolling, served):
    page = enrolling
    agree_and_look(page)

    served.kiosk.news.publish(
        Topic.ENROLMENT, {"id": "e1", "state": "document", "session_number": None, "portrait_score": 3}
    )

    page.get_by_text("The portrait on the document is not yours").wait_for()
    page.get_by_text("score 3 of 100").wait_for()
    assert serious(page) == []


@pytest.mark.parametrize("state", ["duplicate", "blocklisted"])
def test_a_refused_enrolment_tells_nothing_of_another_person(enrolling, served, state):
    page = enrolling
    agree_and_look(page)
    told = {"id": "e1", "state": state, "sentence": "already enrolled as number 7 (96.1 %)", "session_number": 7}

    served.kiosk.news.publish(Topic.ENROLMENT, told)

    page.get_by_text("Please ask the staff").wait_for()
    words = page.locator("main").inner_text()
    assert "7" not in words
    assert "96" not in words
    assert "block" not in words.lower()


def test_a_cancelled_enrolment_is_ended_in_the_device(enrolling, served):
    page = enrolling
    agree_and_look(page)

    page.get_by_role("button", name="Cancel").click()

    page.get_by_role("button", name="Begin enrolment").wait_for()
    assert served.kiosk.asked[-1] == ("cancel", "e1")


def test_who_cancels_too_late_is_told_that_they_are_enrolled(enrolling, served):
    page = enrolling
    agree_and_look(page)
    served.kiosk.refusal = "the person is being stored"
    with page.expect_response(re.compile("/device/enrolments/")) as answered:
        page.get_by_role("button", name="Cancel").click()
    served.kiosk.news.publish(Topic.ENROLMENT, {"id": "e1", "state": "added", "session_number": 41})

    page.get_by_text("You are enrolled").wait_for()
    assert answered.value.status == 409


@pytest.mark.parametrize("name", SCREENS)
def test_axe_finds_nothing_serious_on_the_screen_and_all_of_it_fits(screen, served, name):
    page, _ = screen
    width, height = SCREENS[name]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(reduced_motion="reduce")
    shown: list[dict[str, Any]] = [
        IDLE,
        GUIDE,
        *({**IDLE, "state": "result", "result": result, "face": FACE, "other_way": True} for result, _, _ in RESULTS),
        {**IDLE, "state": "locked", "held_s": 300, "other_way": True},
        {**IDLE, "state": "closed", "reasons": ["camera_lost", "disk_full"], "other_way": True},
    ]

    for language in ("Deutsch", "English"):
        served.kiosk.news.publish(Topic.SCREEN, IDLE)
        page.locator("main[data-state=idle]").wait_for()
        speak(page, language)
        for news in shown:
            served.kiosk.news.publish(Topic.SCREEN, news)
            kind = {result: f"[data-kind={kind}]" for result, _, kind in RESULTS}.get(news["result"], "")
            page.locator(f"main[data-state={news['state']}]{kind}").wait_for()  # several results in a row are several
            if language == "English":  # the last: words change no colour
                until(lambda: serious(page) == [])  # axe reads one colour after another: a change passes through it
            lost = page.evaluate(
                """() => [...document.querySelectorAll('.word, .more, .other, .clock, .invite, .privacy, .reasons')]
                .filter(one => getComputedStyle(one).visibility === 'visible' && one.getClientRects().length)
                .map(one => [one.className, one.getBoundingClientRect()])
                .filter(([, box]) => box.left < 0 || box.top < 0 || box.right > innerWidth || box.bottom > innerHeight)
                .map(([name]) => name)"""
            )
            assert lost == [], (language, news)


def test_the_screen_is_refused_elsewhere_than_at_the_kiosk(screen, served):
    page, _ = screen

    assert page.evaluate("fetch('/device/screen').then(answer => answer.status)") == 200
    assert page.url == f"{served.url}/kiosk", "the token stays in no address bar"
    for headers in ({}, {"X-Forwarded-For": "192.0.2.7", "Cookie": f"kiosk_screen={SCREEN_TOKEN}"}):
        asked = urllib.request.Request(f"{served.url}/device/screen", headers=headers)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(asked)


def test_no_name_reaches_the_screen(screen, served):
    page, _ = screen
    told = {"name": "Person A the Secret", "session_number": 1, "kind": "IDENTIFY"}

    served.kiosk.news.publish(Topic.DECISION, told)
    served.kiosk.news.publish(Topic.SCREEN, {**IDLE, "state": "result", "result": "welcome", "face": FACE})

    page.get_by_text("Welcome").wait_for()
    assert "Secret" not in page.content()
