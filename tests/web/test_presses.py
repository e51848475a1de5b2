"""A button whose work is on its way is not pressed twice: each request is held back, and the press comes again."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from kiosk.device.enrol import enrol_person
from kiosk.settings.config import Sources
from kiosk.store.subjects import Details, Enrolment
from tests.api.served import A1, PASSWORD, serving
from tests.web.browsed import NEEDED, opened
from tests.web.test_fleet_page import ScriptedFleet, pair
from tests.web.test_operator import reviewable, show, sign_in

pytestmark = NEEDED

NEW = "another horse battery"


@pytest.fixture(scope="module")
def fleet():
    fleet = ScriptedFleet()
    fleet.pairs = [pair(place) for place in range(1, 5)]
    return fleet


@pytest.fixture(scope="module")
def served(tmp_path_factory, fleet):
    folder = tmp_path_factory.mktemp("presses")
    with serving(folder / "state", fleet=fleet, sources=Sources(None, folder / "settings.toml", {})) as served:
        enrol_person(served.device, [A1], Enrolment(templates=(), details=Details(name="Person A", groups=("staff",))))
        for _ in range(4):
            reviewable(served)
        yield served


@pytest.fixture(scope="module")
def page(chromium, served):
    with opened(chromium, served.url) as (page, watch):
        watch.expects(401)  # of the news that end with the session
        sign_in(page, served.url)
        page.get_by_role("heading", name="Today").wait_for()
        yield page


@contextmanager
def held(page, address: str):
    """Hold back what the page sends to change something, and let it go in the end; give the list of it."""
    requests = []

    def hold(route):
        if route.request.method == "GET":
            route.continue_()
        else:
            requests.append(route)

    page.route(address, hold)
    try:
        yield requests
        page.evaluate("fetch('/device/session').then(() => 0)")  # what was sent before it has been told by now
    finally:
        for one in requests:
            with page.expect_response(lambda answer, one=one: answer.url == one.request.url) as answer:
                one.continue_()
            assert answer.value.ok, answer.value.text()
        page.unroute(address)


def pressed_twice(page, address: str, button, other=None) -> int:
    """Press a button, and it or another of the same card again before the answer; return how many requests left."""
    button.scroll_into_view_if_needed()  # else the click would, and the second press would miss
    where = (other or button).bounding_box()
    with held(page, address) as requests:
        with page.expect_request(lambda request: request.method != "GET"):
            button.click()
        page.mouse.click(where["x"] + where["width"] / 2, where["y"] + where["height"] / 2)
        if other is None:
            page.keyboard.press("Enter")
    return len(requests)


def in_dialog(page, opener, words: str):
    opener.click()
    return page.get_by_role("dialog").get_by_role("button", name=words, exact=True)


def test_a_person_is_put_on_the_list_once(page):
    show(page, "people/1")

    assert pressed_twice(page, "**/allow", page.get_by_role("button", name="Put on the allowlist")) == 1


def test_a_persons_details_are_sent_once(page):
    show(page, "people/1")
    page.get_by_text("Change the details").click()
    form = page.locator("form", has=page.get_by_label("Name", exact=True))

    assert pressed_twice(page, "**/device/subjects/1", form.get_by_role("button", name="Save")) == 1


def test_a_group_is_added_once(page):
    show(page, "people/1")
    page.get_by_label("Add to the group").fill("visitors")

    assert pressed_twice(page, "**/device/subjects/1", page.get_by_role("button", name="Add", exact=True)) == 1


def test_a_card_is_kept_once(page):
    show(page, "people/1")
    page.get_by_text("Card and PIN").click()
    page.get_by_label("Card", exact=True).fill("12-345")
    form = page.locator("form", has=page.get_by_label("Card", exact=True))

    assert pressed_twice(page, "**/factors", form.get_by_role("button", name="Save")) == 1


def test_somebody_is_blocked_once(page):
    show(page, "people/1")
    button = in_dialog(page, page.get_by_role("button", name="Block", exact=True), "Block")

    assert pressed_twice(page, "**/block", button) == 1


def test_a_key_is_made_once(page):
    show(page, "keys")
    page.get_by_label("Name").fill("gate")
    page.get_by_label("Your own password").fill(PASSWORD)

    assert pressed_twice(page, "**/device/keys", page.get_by_role("button", name="Create the key")) == 1


def test_an_account_is_made_once(page):
    show(page, "operators")
    form = page.locator("form", has=page.get_by_role("button", name="Make the account"))
    form.get_by_label("Name").fill("Person B")
    form.get_by_label("First password").fill(NEW)
    form.get_by_label("Your own password").fill(PASSWORD)

    assert pressed_twice(page, "**/device/operators", form.get_by_role("button", name="Make the account")) == 1


def test_the_door_is_opened_once(page, served):
    show(page, "today")
    button = in_dialog(page, page.get_by_role("button", name="Open the door once"), "Open the door once")

    assert pressed_twice(page, "**/device/door/release", button) == 1
    assert [asked[0] for asked in served.kiosk.asked].count("release") == 1


def test_settings_are_sent_once(page):
    show(page, "settings")
    page.get_by_label("Enter from, with a code").fill("78")

    assert pressed_twice(page, "**/device/settings", page.get_by_role("button", name="Apply")) == 1


def test_an_acceptance_is_begun_once(page):
    show(page, "acceptance")

    assert pressed_twice(page, "**/device/acceptance", page.get_by_role("button", name="Begin", exact=True)) == 1


def test_a_review_is_decided_one_way_or_the_other(page):
    show(page, "reviews")
    card = page.locator(".review").first
    card.get_by_label("Reason").fill("I know this person")
    approve, decline = (card.get_by_role("button", name=name) for name in ("Approve", "Decline"))

    assert pressed_twice(page, "**/device/reviews/*", approve, decline) == 1


def test_several_reviews_are_decided_once(page):
    show(page, "reviews")
    for place in range(2):
        page.locator(".review").nth(place).get_by_label("Choose").check()
    bar = page.locator(".several")
    bar.get_by_label("Reason").fill("I know them")
    approve, decline = (bar.get_by_role("button", name=name) for name in ("Approve", "Decline"))

    assert pressed_twice(page, "**/device/reviews/*", approve, decline) == 1


def test_a_pair_is_decided_one_way_or_the_other(page, fleet):
    show(page, "today")
    page.evaluate("location.hash = '#/fleet/pairs'")
    card = page.locator(".pair").first
    card.wait_for()
    different, same = (card.get_by_role("button", name=name) for name in ("Two people", "The same person"))

    assert pressed_twice(page, "**/device/fleet/duplicates", different, same) == 1
    page.locator(".pair").nth(3).wait_for(state="detached")
    assert page.get_by_role("dialog").count() == 0  # which asks whether they are one
    assert fleet.decided == [("first-1", "second-1", None)]


def test_whoever_signs_out_does_so_once(page):
    show(page, "today")

    assert pressed_twice(page, "**/device/session", page.get_by_role("button", name="Sign out")) == 1
    page.get_by_role("heading", name="Sign in to the kiosk").wait_for()
