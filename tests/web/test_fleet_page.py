"""The fleet on the operator's page: its kiosks at a glance, and the countdown of those that know of a change."""

from __future__ import annotations

import pytest

from kiosk.device.enrol import enrol_person
from kiosk.errors import RefusedError
from kiosk.store.subjects import Details, Enrolment
from tests.api.served import A1, PASSWORD, serving
from tests.web.browsed import DESKTOP, NEEDED, PHONE, opened, playwright, serious

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
    "update": None,
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
        self.update = None
        self.pairs = []
        self.decided = []

    def duplicates(self):
        return self.pairs

    def decide(self, first, second, *, details_of, actor):
        del actor
        found = [
            one for one in self.pairs if {one["first"]["session_id"], one["second"]["session_id"]} == {first, second}
        ]
        if not found:
            raise RefusedError("Nobody is asked about these two any more.")
        self.pairs = [one for one in self.pairs if one is not found[0]]
        self.decided.append((first, second, details_of))
        return None if details_of is None else found[0]["first"]

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
            "update": self.update,
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
    with opened(chromium, served.url) as (page, watch):
        watch.expects(409)  # of a pair that was decided meanwhile
        sign_in(page, served.url, "fleet")
        page.get_by_role("heading", name="Fleet").wait_for()
        yield page


def enrolled(served):
    return enrol_person(served.device, [A1], Enrolment(templates=(), details=Details(name="Person A"))).subject


def test_a_kiosk_without_a_fleet_is_told_how_it_gets_into_one_and_nothing_failed(chromium, tmp_path):
    with serving(tmp_path / "state") as alone, opened(chromium, alone.url) as (page, watch):
        watch.expects(404)
        sign_in(page, alone.url, "fleet")
        page.get_by_text("This kiosk belongs to no fleet").wait_for()

        assert page.locator("code").all_inner_texts() == ["kiosk fleet init", "kiosk fleet join"]
        assert page.get_by_text("That did not work").count() == 0
        assert serious(page) == []


def test_the_kiosks_stand_at_a_glance_and_the_alarms_among_them(operator, fleet):
    fleet.rows[2] |= {"alarms": ["silent", "old_roster"], "heard_s": 90_000, "behind": 31, "roster": 6}
    fleet.rows[3] |= {"alarms": ["clock"], "clock_off_s": -260_000, "states": ["camera_lost"], "duplicates": 2}
    page = operator
    page.reload()
    row = page.get_by_role("row").filter(has_text="Store room")
    row.wait_for()

    assert "Does not answer" in row.inner_text()
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
        **staged("failed", "kiosk-1.3.0-aarch64-python3.13.tar.gz is not from whoever makes this device's releases"),
    }
    update(fleet, staged("stopped", "failed", NAMES[4]), staged("runs"), staged("fetching", done=17, of=180))
    fleet.pairs = [pair(1, name="Person with a name that is long and has no end at all", is_blocklisted=True), pair(2)]
    person = enrolled(served)
    page = operator
    page.set_viewport_size(size)
    if language == "de":
        page.evaluate("localStorage.setItem('kiosk.language', 'de')")

    for view in ("fleet", "fleet/pairs", f"people/{person.session_number}"):
        page.goto(f"{served.url}/#/{view}")
        page.reload()
        page.locator(".tiles, .countdown, .pair").first.wait_for()
        playwright.expect(page.locator(".skeleton, [aria-busy]")).to_have_count(0)
        assert page.evaluate("document.documentElement.lang") == language
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert serious(page) == []


# ---- an update


def staged(stage, why="", culprit=None, done=None, of=None):
    return {"update": {"stage": stage, "why": why, "culprit": culprit, "done": done, "of": of}}


def update(fleet, *rows, is_stopped=False):
    fleet.update = {"revision": 3, "version": "1.3.0", "first": "k1", "is_stopped": is_stopped}
    for place, said in enumerate(rows):
        fleet.rows[place] |= said


def test_an_update_stands_with_how_far_each_kiosk_is(operator, fleet):
    update(fleet, staged("staged", "first"), staged("installing"), staged("fetching", done=3, of=180))
    page = operator
    page.reload()
    card = page.locator(".card", has_text="Update to 1.3.0")
    card.wait_for()
    assert "Under way" in card.inner_text()
    assert "Back door takes it first" in card.inner_text()
    assert "It runs on 0 of 5 kiosks" in card.inner_text()
    said = card.locator("li").all_inner_texts()
    for words, text in zip(
        ("Waits for its turn", "Being installed", "Being fetched 3 of 180", "No word"), said, strict=False
    ):
        assert words in text
    update(fleet, staged("stopped", "gone_back", "Back door"), staged("gone_back", "the release died"), staged("runs"))
    page.get_by_text("Stopped by a kiosk").wait_for()
    said = card.locator("li").all_inner_texts()

    assert "Not begun" in said[0]
    assert "Back door went back" in said[0]
    assert "the release died" in said[1]


# ---- pairs


def pair(place, **more):
    def one(side, name, kiosk):
        return {
            "session_id": f"{side}-{place}",
            "session_number": 10 * place + (side == "second"),
            "name": name,
            "vendor_data": None,
            "status": "Approved",
            "is_blocklisted": False,
            "verification_date": "2027-01-15T08:00:00Z",
            "references": 2,
            "kiosk": kiosk,
            "has_photograph": False,
        }

    return {
        "score": 97.25 - place,
        "found_at": "2027-01-15T08:00:00Z",
        "first": one("first", f"Person A{place}", "Front door"),
        "second": one("second", f"Person B{place}", "Back door") | more,
    }


@pytest.fixture
def pairs(operator, served, fleet):
    fleet.pairs = [pair(place) for place in range(1, 5)]
    operator.goto(f"{served.url}/#/fleet/pairs")
    operator.locator(".pair").nth(3).wait_for()
    return operator


def test_both_faces_stand_with_name_kiosk_and_score(pairs):
    said = pairs.locator(".pair").first.inner_text()

    for words in ("Person A1", "Person B1", "Enrolled at Front door", "Enrolled at Back door", "96.3", "Older record"):
        assert words in said


def test_two_people_and_the_same_person_are_decided_by_mouse(pairs, fleet):
    first = pairs.locator(".pair").first
    first.get_by_role("button", name="Two people").click()
    pairs.locator(".pair", has_text="Person A1").wait_for(state="detached")
    second = pairs.locator(".pair").first
    second.get_by_role("radio").nth(1).check()
    second.get_by_role("button", name="The same person").click()
    dialog = pairs.get_by_role("dialog")
    assert "as Person B2" in dialog.inner_text()
    assert fleet.decided == [("first-1", "second-1", None)]  # nothing is forgotten before somebody agreed
    dialog.get_by_role("button", name="The same person").click()
    pairs.locator(".pair", has_text="Person A2").wait_for(state="detached")

    assert fleet.decided == [("first-1", "second-1", None), ("first-2", "second-2", "second-2")]


def test_pairs_are_decided_by_keys_alone(pairs, fleet):
    keys = pairs.keyboard
    keys.press("j")
    playwright.expect(pairs.locator(".pair").first).to_be_focused()
    keys.press("d")
    pairs.locator(".pair", has_text="Person A1").wait_for(state="detached")
    playwright.expect(pairs.locator(".pair").first).to_be_focused()
    keys.press("2")
    keys.press("s")
    pairs.get_by_role("dialog").wait_for()
    keys.press("Escape")
    pairs.get_by_role("dialog").wait_for(state="detached")
    assert len(fleet.decided) == 1
    playwright.expect(pairs.locator(".pair").first).to_be_focused()
    keys.press("s")
    pairs.get_by_role("dialog").wait_for()
    pairs.get_by_role("dialog").get_by_role("button", name="The same person").focus()
    keys.press("Enter")
    pairs.locator(".pair", has_text="Person A2").wait_for(state="detached")

    assert fleet.decided == [("first-1", "second-1", None), ("first-2", "second-2", "second-2")]


def test_a_key_right_after_a_question_was_left_is_taken(pairs):
    pairs.keyboard.press("j")
    pairs.keyboard.press("s")
    pairs.get_by_role("dialog").wait_for()

    asked_again = pairs.evaluate("""async () => {
      const key = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      document.querySelector("dialog button[type=button]").click(); // which leaves it, as Escape does
      for (let step = 0; step < 30; step += 1) await null; // of the same task: no other event comes between
      key("s");
      return document.querySelectorAll("dialog[open]").length;
    }""")

    assert asked_again == 1


def test_several_pairs_are_decided_at_once_and_one_that_was_decided_meanwhile_holds_up_none(pairs, fleet):
    for place in (0, 1, 2):
        pairs.locator(".pair").nth(place).get_by_label("Choose").check()
    fleet.pairs = [one for one in fleet.pairs if one["first"]["session_id"] != "first-2"]
    box = pairs.get_by_role("region", name="Decide several at once")
    assert "3 pairs chosen" in box.inner_text()
    box.get_by_role("button", name="The same person").click()
    pairs.get_by_role("dialog").get_by_role("button", name="The same person").click()
    pairs.get_by_text("2 pairs decided").wait_for()

    playwright.expect(pairs.locator(".pair")).to_have_count(1)
    assert fleet.decided == [("first-1", "second-1", "first-1"), ("first-3", "second-3", "first-3")]


def test_a_pair_that_was_decided_elsewhere_says_so(pairs, fleet):
    fleet.pairs = []
    pairs.locator(".pair").first.get_by_role("button", name="Two people").click()

    pairs.get_by_text("Nobody is asked about these two any more").wait_for()


def test_nobody_enrolled_twice_is_said_too(operator, served):
    operator.goto(f"{served.url}/#/fleet")
    operator.get_by_role("link", name="One person or two").click()

    operator.get_by_text("Nobody was enrolled twice").wait_for()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"first": "first-1", "second": "second-1", "decision": "maybe"}, "decision"),
        ({"first": "first-1", "second": "second-1", "decision": "same"}, "details_of"),
        ({"first": "first-1", "second": "second-1", "decision": "same", "details_of": "nobody"}, "details_of"),
        ({"first": 1, "second": "second-1", "decision": "different"}, "first"),
    ],
)
def test_a_word_on_a_pair_that_is_none_decides_nothing(served, fleet, body, field):
    fleet.pairs = [pair(1)]
    refused = served.call("POST", "/device/fleet/duplicates", "operator", json=body)

    assert refused.status_code == 400
    assert set(refused.json()) == {field}
    assert fleet.decided == []
    assert served.call("POST", "/device/fleet/duplicates", "device", json=body).status_code == 403
