"""Facts about visitor passes and the guard's view, in a real Chromium; watched as browsed.py says."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kiosk.entrance.news import Topic
from kiosk.rules.passage import Direction
from kiosk.rules.passes import PassRefusal
from kiosk.store.passages.passages import Passage
from kiosk.store.subjects import Details, Enrolment
from tests.api.served import NOW
from tests.web.browsed import NEEDED, playwright, serious
from tests.web.test_operator import operator, served  # noqa: F401  fixtures
from tests.web.test_screen import IDLE, screen  # noqa: F401  fixtures
from tests.web.test_words import LANGUAGES

zxingcpp = pytest.importorskip("zxingcpp", reason="zxing-cpp is not installed; it is in the extra `documents`")
pytestmark = NEEDED

SHOTS = os.environ.get("KIOSK_SCREENSHOTS")  # a folder, for somebody who wants to look
SIZES = {"phone": {"width": 390, "height": 844}, "small": {"width": 800, "height": 480}}


def show(page, view: str, name: str) -> None:
    page.evaluate("view => { location.hash = `#/${view}` }", view)
    page.locator(f".view-{name}").wait_for()
    playwright.expect(page.locator(".skeleton, [aria-busy]")).to_have_count(0)


def shots(page, name: str) -> None:
    if SHOTS:
        for size, viewport in SIZES.items():
            page.set_viewport_size(viewport)
            page.screenshot(path=Path(SHOTS, f"{name}-{size}.png"))
        page.set_viewport_size(SIZES["phone"])


def test_a_pass_is_issued_shown_printed_alone_and_withdrawn(operator, served, tmp_path):  # noqa: F811
    page, _ = operator
    number = served.device.store.people.enrol(Enrolment((), Details(name="<b>Person A</b>"))).session_number
    show(page, "people/passes", "passes")

    page.locator("summary", has_text="Issue a pass").click()
    page.get_by_label("Whom it is for").fill("a plumber")
    page.get_by_label("Valid until").fill(
        page.evaluate("new Date(%f).toISOString().slice(0, 16)" % ((NOW + 86400) * 1000))
    )
    page.get_by_label("Number of the visitor").fill(str(number))
    page.get_by_role("button", name="Issue a pass").click()
    page.get_by_role("heading", name="Visitor pass", exact=True).wait_for()

    (kept,) = served.device.store.passes.every()
    assert (kept.label, kept.shown.uses, kept.is_issued_here) == ("a plumber", 1, True)
    page.locator(".pass-code").screenshot(path=tmp_path / "code.png")
    (code,) = zxingcpp.read_barcodes(np.asarray(Image.open(tmp_path / "code.png").convert("L")))
    assert code.text == kept.text  # what is on the page is what a camera reads
    assert serious(page) == []
    shots(page, "pass")
    page.emulate_media(media="print")
    assert page.locator(".pass-code").is_visible()
    assert not page.get_by_role("table").is_visible()
    assert not page.locator(".menu").is_visible()
    if SHOTS:
        page.pdf(path=Path(SHOTS, "pass.pdf"), format="A6")
        page.screenshot(path=Path(SHOTS, "pass-print.png"))
    page.emulate_media(media="screen")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").click()
    download.value.save_as(tmp_path / "saved.png")
    (code,) = zxingcpp.read_barcodes(np.asarray(Image.open(tmp_path / "saved.png").convert("L")))
    assert code.text == kept.text

    page.get_by_role("row").get_by_role("button", name="Withdraw").click()
    page.get_by_role("dialog").get_by_role("button", name="Withdraw").click()
    page.get_by_role("cell", name="Withdrawn").wait_for()
    assert served.device.store.passes.every()[0].revoked_at is not None


def test_a_pass_that_cannot_be_is_refused_with_the_reason(operator, served):  # noqa: F811
    page, watch = operator
    watch.expects(400)
    show(page, "people/passes", "passes")

    page.locator("summary", has_text="Issue a pass").click()
    page.get_by_role("button", name="Issue a pass").click()
    page.get_by_text("Want a time to come.").wait_for()
    page.get_by_label("Valid until").fill(
        page.evaluate("new Date(%f).toISOString().slice(0, 16)" % ((NOW + 86400) * 1000))
    )
    page.get_by_role("button", name="Issue a pass").click()

    page.get_by_text("so want the visitor it is for").wait_for()
    assert served.device.store.passes.every() == ()


def test_a_guard_sees_who_passed_and_who_waits_and_lets_one_person_in(operator, served):  # noqa: F811
    page, _ = operator
    page.set_viewport_size(SIZES["phone"])
    number = served.device.store.people.enrol(Enrolment((), Details(name="Person B"))).session_number
    served.device.store.passages.note(Passage(number, Direction.IN, NOW - 60.0, "r1"))
    show(page, "guard", "guard")

    page.get_by_text("1 inside").wait_for()
    news = {"state": "closed", "decision": "", "pass": "00", "at": NOW}
    served.kiosk.news.publish(Topic.DOOR, {**news, "what": "pass_refused", "why": "pass_expired"})
    served.kiosk.news.publish(Topic.DOOR, {**news, "what": "pass_waits", "why": "staff"})
    page.get_by_text("A visitor with a pass waits").wait_for()
    page.get_by_text("A visitor pass was refused").wait_for()
    assert serious(page) == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= SIZES["phone"]["width"]
    assert page.get_by_role("button", name="Let one person in").bounding_box()["height"] >= 44
    shots(page, "guard")
    page.get_by_role("button", name="Let one person in").click()
    page.get_by_role("dialog").get_by_role("button", name="Open the door").click()
    page.get_by_text("The door was opened").first.wait_for()
    assert any(one[0] == "release" for one in served.kiosk.asked)
    served.kiosk.news.publish(Topic.DOOR, {**news, "what": "relay_on"})
    playwright.expect(page.locator(".guard-waits")).to_be_hidden()


@pytest.mark.parametrize("why", [*(one.value for one in PassRefusal), "pass_look"])
def test_every_end_of_a_pass_is_said_at_the_screen(screen, served, why):  # noqa: F811
    page, _ = screen

    served.kiosk.news.publish(Topic.SCREEN, {**IDLE, "state": "result", "result": why})

    page.get_by_text(LANGUAGES["en"][f"screen.{why}"], exact=True).wait_for()
    if why in {"pass_used_up", "pass_look"}:
        shots(page, f"screen-{why}")


def test_every_language_has_the_words():
    wanted = {f"screen.{one.value}" for one in PassRefusal} | {"screen.pass_look"}
    assert [name for name, words in LANGUAGES.items() if wanted - words.keys()] == []
