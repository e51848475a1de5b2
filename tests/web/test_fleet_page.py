"""The fleet on the operator's page: its kiosks at a glance, and the countdown of those that know of a change."""

from __future__ import annotations

import pytest

from kiosk.device.enrol import enrol_person
from kiosk.store.subjects import Details, Enrolment
from tests.api.served import A1, PASSWORD, serving
from tests.web.browsed import DESKTOP, NEEDED, PHONE, opened, playwright, running, serious

pytestmark = NEEDED

HUB = {
    "hub": "tls://hub.example:4222",
    "is_connected": True,
    "is_level": True,
    "for_s": 7_300,
    "waiting": 0,
    "reason": "",
}
WELL = {
    "is_me": False,
    "since_roster": 1,
    "heard_s": 4,
    "said_at": "2027-01-15T08:00:00Z",
    "version": "1.2.0",
    "roster": 7,
    "behind": 0,
    "waiting": 0,
    "parked": 0,
    "clock_off_s": 0,
    "is_armed": True,
    "states": [],
    "duplicates": None,
    "doors": None,
    "alarms": [],
}
NAMES = ["Front door", "Back door", "Store room", "Staff entrance", "Warehouse north, gate seventeen"]


class ScriptedFleet:
    """A fleet that says what a test wants it to."""

    def __init__(self):
        self.know = 2
        self.rows = [
            WELL | {"kiosk": f"k{place}", "name": name, "is_me": place == 0} for place, name in enumerate(NAMES)
        ]
        self.asked = []

    def overview(self):
        return {
            "fleet": "Shops",
            "kiosk": "k0",
            "name": NAMES[0],
            "is_let_in": True,
            "is_taken_off": False,
            "roster": 7,
            "people": 1_204,
            "fault": None,
            "hubs": [HUB],
            "kiosks": self.rows,
            "former": [{"kiosk": "k9", "name": "Side door", "until_roster": 6}],
        }

    def person(self, session_id):
        self.asked.append(session_id)
        rows = [
            {
                "kiosk": f"k{place}",
                "name": name,
                "is_me": place == 0,
                "knows": place < self.know,
                "has_forgotten": place < self.know,
                "goes_in": place != 2,
            }
            for place, name in enumerate(NAMES)
        ]
        return {
            "session_id": session_id,
            "of": len(rows),
            "known_by": self.know,
            "is_forgotten": True,
            "forgotten_on": self.know,
            "kiosks": rows,
        }


@pytest.fixture(scope="module")
def chromium():
    with running() as browser:
        yield browser


@pytest.fixture
def fleet():
    return ScriptedFleet()


@pytest.fixture
def served(tmp_path, fleet):
    with serving(tmp_path / "state", fleet=fleet) as served:
        yield served


def sign_in(page, url, view=""):
    page.goto(f"{url}/#/{view}")
    page.get_by_label("Name").fill("Person C")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture
def operator(chromium, served):
    with opened(chromium, served.url) as (page, _):
        sign_in(page, served.url, "fleet")
        page.get_by_role("heading", name="Fleet").wait_for()
        yield page


def enrolled(served):
    return enrol_person(served.device, [A1], Enrolment(templates=(), details=Details(name="Person A"))).subject


def test_the_kiosks_stand_at_a_glance_and_the_alarms_among_them(operator, fleet):
    fleet.rows[2] |= {"alarms": ["silent", "old_roster"], "heard_s": 90_000, "behind": 31, "roster": 6}
    fleet.rows[3] |= {"alarms": ["clock"], "clock_off_s": -260_000, "states": ["camera_lost"], "duplicates": 2}
    page = operator
    page.reload()
    row = page.get_by_role("row").filter(has_text="Store room")
    row.wait_for()

    assert "Says nothing" in row.inner_text()
    assert "1 day" in row.inner_text()
    assert "31" in row.inner_text()
    said = page.get_by_role("row").filter(has_text="Staff entrance").inner_text()
    assert "Clock off by 3 days" in said
    assert "Camera lost" in said
    assert "2 pairs may be one person" in said
    assert page.locator(".tile", has_text="With an alarm").locator(".tile-value").inner_text() == "2"
    assert page.locator(".tile", has_text="newest list").locator(".tile-value").inner_text() == "4 of 5"
    assert page.get_by_text("Side door, by list 6").is_visible()


def test_a_persons_doors_are_shown_and_whose_each_door_is(operator, served, fleet):
    fleet.rows[2] |= {"doors": ["it", "staff"]}
    fleet.rows[3] |= {"doors": []}
    page, person = operator, enrolled(served)
    page.reload()
    page.get_by_role("row").filter(has_text="Store room").wait_for()
    whose = [
        page.get_by_role("row").filter(has_text=name).get_by_role("cell").last.inner_text()
        for name in ("Front door", "Store room", "Staff entrance")
    ]
    page.goto(f"{served.url}/#/people/{person.session_number}")
    page.locator(".knowers li").first.wait_for()

    assert [words.splitlines()[-1] for words in whose] == ["everybody", "it, staff", "nobody"]
    (shut,) = (row for row in page.locator(".knowers li").all_inner_texts() if "not their door" in row)
    assert shut.startswith("Store room")


def test_a_kiosk_of_no_fleet_shows_none_of_it(chromium, tmp_path):
    with serving(tmp_path / "alone") as alone, opened(chromium, alone.url) as (page, _):
        person = enrolled(alone)
        sign_in(page, alone.url, f"people/{person.session_number}")
        page.get_by_role("heading", name="Person A").wait_for()

        assert page.get_by_role("link", name="Fleet").count() == 0
        assert page.locator(".countdown").count() == 0
        assert alone.call("GET", "/device/fleet", "operator").status_code == 404
        assert alone.call("GET", "/device/fleet/people/x", "operator").status_code == 404


def test_a_block_counts_down_over_the_kiosks_until_all_know(operator, served, fleet):
    page, person = operator, enrolled(served)
    page.goto(f"{served.url}/#/people/{person.session_number}")
    page.get_by_text("Known by 2 of 5 kiosks").wait_for()

    page.get_by_role("button", name="Block", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Block").click()
    page.get_by_text("Block known by 2 of 5 kiosks").wait_for()
    fleet.know = 4
    page.get_by_text("Block known by 4 of 5 kiosks").wait_for()
    fleet.know = 5
    page.get_by_text("Block known by 5 of 5 kiosks").wait_for()

    assert set(fleet.asked) == {person.session_id}


def test_a_forgetting_counts_down_beside_its_receipt(operator, served, fleet):
    page, person = operator, enrolled(served)
    page.goto(f"{served.url}/#/people/{person.session_number}")
    page.get_by_role("button", name="Forget").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    page.get_by_text("Forgotten on 2 of 5 kiosks").wait_for()
    fleet.know = 5

    page.get_by_text("Forgotten on 5 of 5 kiosks").wait_for()


def test_the_fleet_is_for_operators_and_not_for_machines(served):
    assert served.call("GET", "/device/fleet", "device").status_code == 403
    assert served.call("GET", "/device/fleet", "operator").json()["fleet"] == "Shops"
    assert served.call("GET", "/device/fleet/people/ann", "operator").json()["known_by"] == 2


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("language", ["en", "de"])
def test_no_fleet_is_wider_than_its_screen_and_axe_finds_nothing(operator, served, fleet, size, language):
    fleet.rows[4] |= {
        "alarms": ["silent", "old_roster", "parked", "clock"],
        "parked": 12,
        "clock_off_s": 90_000,
        "states": ["camera_lost", "log_full"],
    }
    person = enrolled(served)
    page = operator
    page.set_viewport_size(size)
    if language == "de":
        page.evaluate("localStorage.setItem('kiosk.language', 'de')")

    for view in ("fleet", f"people/{person.session_number}"):
        page.goto(f"{served.url}/#/{view}")
        page.reload()
        page.locator(".tiles, .countdown").first.wait_for()
        playwright.expect(page.locator(".skeleton, [aria-busy]")).to_have_count(0)
        assert page.evaluate("document.documentElement.lang") == language
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert serious(page) == []
