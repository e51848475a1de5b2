"""Facts about a person's card and PIN on the operator's page, in a real Chromium; watched as browsed.py says."""

from __future__ import annotations

import os
from pathlib import Path

from kiosk.rules.cards import read_card
from kiosk.store.factors.pins import Entered
from kiosk.store.subjects import Details, Enrolment
from tests.patience import until
from tests.web.browsed import NEEDED, playwright, serious
from tests.web.test_operator import operator, served, show  # noqa: F401  fixtures

pytestmark = NEEDED

SHOTS = os.environ.get("KIOSK_SCREENSHOTS")  # a folder, for somebody who wants to look


def test_a_card_and_a_pin_are_given_and_never_shown_again(operator, served):  # noqa: F811
    page, _ = operator
    store = served.device.store
    number = store.people.enrol(Enrolment((), Details(name="Person A"))).session_number

    show(page, f"people/{number}")
    page.get_by_text("Card and PIN").click()
    page.get_by_label("Card", exact=True).fill("12-3456")
    page.get_by_label("New PIN").fill("4711")
    page.get_by_label("PIN under duress").fill("4829")
    if SHOTS:
        page.screenshot(path=Path(SHOTS, "factors.png"), full_page=True)
    assert serious(page) == []
    page.locator("form", has=page.get_by_label("New PIN")).get_by_role("button", name="Save").click()

    until(lambda: store.factors.read(number).card == read_card("12-3456"))
    pins = store.factors.read(number).pins
    assert pins is not None
    assert pins.check("4829") is Entered.DURESS
    page.get_by_text("There is one.").wait_for()
    playwright.expect(page.get_by_label("New PIN")).to_have_value("")
    assert "4711" not in page.content()


def test_a_simple_pin_is_refused_at_its_field(operator, served):  # noqa: F811
    page, watch = operator
    watch.expects(400)
    number = served.device.store.people.enrol(Enrolment((), Details(name="Person A"))).session_number

    show(page, f"people/{number}")
    page.get_by_text("Card and PIN").click()
    page.get_by_label("New PIN").fill("1234")
    page.locator("form", has=page.get_by_label("New PIN")).get_by_role("button", name="Save").click()

    page.get_by_text("digits in a row").wait_for()
    assert served.device.store.factors.read(number).is_empty
