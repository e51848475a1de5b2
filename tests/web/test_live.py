"""Facts about the live view and its alarms, in a real Chromium: faces, names, the door, and what stays until seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kiosk.entrance.news import Still, Topic
from kiosk.rules.conditions import Degradation
from kiosk.rules.lockdown import Lockdown
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from tests.api.served import A1, NOW, PASSWORD, serving
from tests.web.browsed import DESKTOP, NEEDED, PHONE, opened, playwright, serious

pytestmark = NEEDED

SHOTS = os.environ.get("KIOSK_SCREENSHOTS")  # a folder, for somebody who wants to look

GUIDE = {"state": "guide", "guidance": "come_closer", "result": None, "other_way": False, "held_s": 0, "face": None}
LEFT, RIGHT = (48, 64, 144, 192), (288, 128, 432, 320)  # px of a picture of 480 x 640
SOUNDS = """
  window.tones = 0;
  const made = AudioContext.prototype.createOscillator;
  AudioContext.prototype.createOscillator = function () { window.tones += 1; return made.call(this); };
"""


@pytest.fixture
def served(tmp_path):
    with serving(tmp_path / "state") as served:
        served.kiosk.picture = Still(A1, (480, 640), 0.1, (RIGHT, LEFT))
        served.kiosk.figures = {"door": {"state": "closed", "is_unlocked": False}}
        yield served


def sign_in(page, url: str) -> None:
    page.goto(f"{url}/#/live")
    page.get_by_label("Name").fill("Person C")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.locator(".view-live .strip").wait_for()
    page.locator(".face-box").first.wait_for()


@pytest.fixture
def live(chromium, served):
    """Give the live view, signed in."""
    with opened(chromium, served.url) as (page, watch):
        page.add_init_script(SOUNDS)
        sign_in(page, served.url)
        yield page, watch


def rectangle(page, selector: str):
    """Return where an element is; at once, as each picture draws the boxes anew."""
    return page.evaluate("selector => document.querySelector(selector).getBoundingClientRect().toJSON()", selector)


def decide(served, request_id: str = "r1", **changed):
    told = {
        "request_id": request_id,
        "kind": "IDENTIFY",
        "status": "Approved",
        "score": 91.2,
        "session_number": 7,
        "name": "Person B",
        "reasons": [],
        "opened": True,
        "is_alarm": False,
        "at": NOW,
    }
    served.kiosk.news.publish(Topic.DECISION, {**told, **changed})


def blocked(served, request_id: str = "r2"):
    decide(served, request_id, status="Declined", reasons=["blocklisted"], opened=False, is_alarm=True)


# ---- the picture


def test_each_face_stands_where_the_same_look_found_it(live):
    page, _ = live

    picture = page.locator(".camera-picture").bounding_box()
    drawn = rectangle(page, ".face-box")

    assert page.locator(".face-box").count() == 2
    assert drawn["x"] == pytest.approx(picture["x"] + picture["width"] * RIGHT[0] / 480, abs=2)
    assert drawn["y"] == pytest.approx(picture["y"] + picture["height"] * RIGHT[1] / 640, abs=2)
    assert drawn["width"] == pytest.approx(picture["width"] * (RIGHT[2] - RIGHT[0]) / 480, abs=2)


def test_a_name_stands_at_the_face_that_was_judged_until_its_person_leaves(live, served):
    page, _ = live
    place = [LEFT[0] / 480, LEFT[1] / 640, LEFT[2] / 480, LEFT[3] / 640]

    served.kiosk.news.publish(Topic.SCREEN, {"state": "result", "face": place})
    decide(served)
    named = page.locator(".face-box.good")
    playwright.expect(named).to_contain_text("Person B · 91.2")
    picture, drawn = page.locator(".camera-picture").bounding_box(), rectangle(page, ".face-box.good")
    served.kiosk.news.publish(Topic.SCREEN, {"state": "idle", "face": None})

    assert drawn["x"] == pytest.approx(picture["x"] + picture["width"] * LEFT[0] / 480, abs=2)
    playwright.expect(page.locator(".camera-faces")).not_to_contain_text("Person B")


def test_a_call_of_the_api_names_nobody_in_the_picture(live, served):
    page, _ = live

    decide(served, kind="FACE_SEARCH")
    page.locator(".strip").get_by_text("Person B").wait_for()

    assert "Person B" not in page.locator(".camera-faces").inner_text()


# ---- the strip and the door


def test_what_happens_stands_in_the_strip_at_once_newest_first(live, served):
    page, _ = live

    decide(served)
    served.kiosk.news.publish(Topic.DOOR, {"what": "exit_pressed", "state": "closed", "decision": "", "at": NOW + 5})
    rows = page.locator(".strip-row")
    playwright.expect(rows).to_have_count(2)

    assert "Exit button pressed" in rows.nth(0).inner_text()
    assert "Person B" in rows.nth(1).inner_text()


def test_what_happened_before_stands_there_too(chromium, served):
    served.device.save(NewDecision(kind=Kind.IDENTIFY, status="Declined", score=12.0))
    served.device.store.record_act(Kind.DOOR, details={"what": "forced_open"}, actor="door")

    with opened(chromium, served.url) as (page, _):
        sign_in(page, served.url)
        strip = playwright.expect(page.locator(".strip"))
        strip.to_contain_text("Unknown person")
        strip.to_contain_text("The door was forced open")


def test_the_doors_state_follows_its_news_and_it_is_released_after_a_question(live, served):
    page, _ = live
    card = page.locator(".door-card")
    playwright.expect(card).to_contain_text("Closed")

    card.get_by_role("button", name="Open the door once").click()
    page.get_by_role("dialog").get_by_role("button", name="Open the door once").click()
    page.get_by_text("The door was opened.").wait_for()
    served.kiosk.figures = {"door": {"state": "open", "is_unlocked": True}}
    served.kiosk.news.publish(Topic.DOOR, {"what": "opened", "state": "open", "decision": "", "at": NOW})

    playwright.expect(card).to_contain_text("The lock is released.")
    assert [asked[0] for asked in served.kiosk.asked] == ["release"]


def test_an_operator_locks_the_door_down_with_a_reason_and_lifts_that(live, served):
    page, _ = live
    card = page.locator(".door-card")
    card.get_by_role("button", name="Lock the door down").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason, for operators").fill("a drill")
    assert serious(page) == []
    if SHOTS:
        page.screenshot(path=Path(SHOTS, "lockdown-question.png"))
    dialog.get_by_role("button", name="Lock the door down").click()
    page.get_by_text("The door is locked down.").wait_for()
    served.kiosk.states = (Degradation("lockdown", "Locked down.", "log_only", NOW),)
    served.kiosk.news.publish(Topic.HEALTH, {})
    playwright.expect(card).to_contain_text("By: Person C. Reason: a drill")
    if SHOTS:
        page.screenshot(path=Path(SHOTS, "lockdown-page.png"))

    card.get_by_role("button", name="Lift the lockdown").click()
    page.get_by_role("dialog").get_by_role("button", name="Lift the lockdown").click()
    page.get_by_text("The lockdown is lifted.").wait_for()
    served.kiosk.states = ()
    served.kiosk.news.publish(Topic.HEALTH, {})
    card.get_by_role("button", name="Lock the door down").wait_for()

    assert [asked[0] for asked in served.kiosk.asked] == ["lockdown", "lift"]


def test_who_locked_down_at_another_kiosk_stands_by_name_and_never_by_an_id(live, served):
    page, _ = live
    served.kiosk.names = {"0011aabbccdd": "Person B"}
    served.kiosk.locked_down = tuple(
        Lockdown(str(place), by, NOW, kiosk="Back door", is_fleet_wide=True)
        for place, by in enumerate(("0011aabbccdd", "0022aabbccdd", "switch"))
    )
    served.kiosk.states = (Degradation("lockdown", "Locked down.", "log_only", NOW),)
    served.kiosk.news.publish(Topic.HEALTH, {})
    card = page.locator(".door-card")

    for words in ("By: Person B, Back door.", "By: An operator whose name is not known here", "By: The wired switch"):
        playwright.expect(card).to_contain_text(words)
    playwright.expect(card).not_to_contain_text("aabbccdd")


# ---- alarms


def test_somebody_blocked_raises_an_alarm_over_every_view_until_it_was_seen(live, served):
    page, _ = live
    page.evaluate("location.hash = '#/people'")
    page.locator(".view-people").wait_for()

    blocked(served)
    bar = page.get_by_role("alert").filter(has_text="Blocked person: Person B")
    bar.wait_for()
    page.evaluate("location.hash = '#/live'")
    page.locator(".view-live").wait_for()
    playwright.expect(bar).to_be_visible()
    bar.get_by_role("button", name="Seen").click()

    playwright.expect(page.locator(".alarm-bar")).to_be_hidden()


def test_the_visitor_sees_nothing_of_an_alarm(chromium, served):
    with opened(chromium, served.url) as (page, _):
        served.kiosk.news.publish(Topic.SCREEN, GUIDE)
        page.goto(served.screen_url)
        page.locator("main[data-state=guide]").wait_for()

        blocked(served)
        served.kiosk.news.publish(Topic.SCREEN, {**GUIDE, "state": "result", "guidance": None, "result": "declined"})
        page.get_by_text("No entry").wait_for()  # what a stranger is told
        shown = page.locator("body").inner_text()

    assert "Person B" not in shown
    assert "lock" not in shown.lower()  # neither blocked nor blocklist


def test_a_sound_is_made_only_once_the_operator_allowed_it(live, served):
    page, _ = live

    blocked(served)
    bar = page.locator(".alarm-bar")
    playwright.expect(bar).to_be_visible()
    silent = page.evaluate("window.tones")
    bar.get_by_role("button", name="Alarm sound off").click()
    page.wait_for_function("window.tones > 4")
    switch = page.locator(".head").get_by_role("button", name="Alarm sound on")

    assert silent == 0
    assert switch.get_attribute("aria-pressed") == "true"


def test_an_alarm_that_nobody_saw_is_shown_to_who_signs_in_and_once_seen_no_more(chromium, served):
    served.wall.advance(10)
    served.device.save(NewDecision(kind=Kind.IDENTIFY, status="Declined", score=88.0, warnings=("FACE_IN_BLOCKLIST",)))

    with opened(chromium, served.url) as (page, _):
        page.clock.set_fixed_time(NOW + 60)
        sign_in(page, served.url)
        page.locator(".alarm-bar").get_by_role("button", name="Seen").click()
        page.reload()
        page.locator(".strip").get_by_text("Blocked").wait_for()
        playwright.expect(page.locator(".alarm-bar")).to_be_hidden()


def test_a_forced_door_is_an_alarm_too(live, served):
    page, _ = live

    served.kiosk.news.publish(Topic.DOOR, {"what": "forced_open", "state": "forced_open", "decision": "", "at": NOW})

    page.get_by_role("alert").filter(has_text="The door was forced open").wait_for()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_an_alarm_over_the_live_view_has_no_fault_that_axe_finds(live, served, size):
    page, _ = live
    page.set_viewport_size(size)
    served.kiosk.news.publish(Topic.SCREEN, {"state": "result", "face": [0.1, 0.1, 0.3, 0.3]})
    blocked(served)
    page.locator(".face-box.alarm").wait_for()

    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
