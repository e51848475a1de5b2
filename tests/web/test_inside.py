"""Facts about the roll-call, in a real Chromium; watched as browsed.py says."""

from __future__ import annotations

import os
from pathlib import Path

from kiosk.rules.passage import Direction
from kiosk.store.passages.passages import Passage
from kiosk.store.subjects import Details, Enrolment
from tests.api.served import NOW
from tests.web.browsed import NEEDED, serious
from tests.web.test_operator import operator, served, show  # noqa: F401  fixtures

pytestmark = NEEDED

SHOTS = os.environ.get("KIOSK_SCREENSHOTS")  # a folder, for somebody who wants to look


def test_who_is_inside_is_listed_by_name_and_prints_without_the_menu(operator, served):  # noqa: F811
    page, _ = operator
    for name in ("Person B", "<b>Person A</b>"):
        number = served.device.store.people.enrol(Enrolment((), Details(name=name))).session_number
        served.device.store.passages.note(Passage(number, Direction.IN, NOW - 60.0, "r1"))

    show(page, "people/inside")

    page.get_by_text("2 inside").wait_for()
    names = page.locator("tbody tr td:first-child").all_inner_texts()
    assert names == ["<b>Person A</b>", "Person B"]
    assert serious(page) == []
    page.emulate_media(media="print")
    assert not page.locator(".menu").is_visible()
    assert page.locator("tbody tr").count() == 2
    assert page.locator("table").bounding_box()["width"] > 600  # the whole sheet, where the menu was
    if SHOTS:
        page.screenshot(path=Path(SHOTS, "roll-call.png"))
        page.emulate_media(media="screen")
        page.screenshot(path=Path(SHOTS, "roll-call-screen.png"))
    page.emulate_media(media="screen")
    served.device.store.passages.note(Passage(1, Direction.OUT, NOW, "r2"))
    page.get_by_role("button", name="Refresh").click()
    page.get_by_text("1 inside").wait_for()


def test_nobody_inside_says_how_people_come_to_be(operator):  # noqa: F811
    page, _ = operator

    show(page, "people/inside")

    page.get_by_text("Nobody is counted as inside").wait_for()
