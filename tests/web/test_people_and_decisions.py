"""Facts about lists in a real Chromium: several people at once, who ends soon, saved filters, the way to a person."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from kiosk.recognition.pipeline import Recogniser
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.subjects import Details, Enrolment
from kiosk.types import Template
from tests.api.served import NOW, PASSWORD, serving
from tests.web.browsed import DESKTOP, NEEDED, PHONE, opened, playwright, serious

pytestmark = NEEDED

NUMBERS = (1, 2, 3)  # of Person A, B and C


def template(recogniser: Recogniser, seed: int) -> Template:
    """Return the template of nobody in particular; these tests compare no faces."""
    vector = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return Template(vector / np.linalg.norm(vector), recogniser.model)


@pytest.fixture
def served(tmp_path):
    with serving(tmp_path / "state") as served:
        people, recogniser = served.device.store.people, served.device.recogniser
        numbers = [
            people.enrol(
                Enrolment(
                    (template(recogniser, place),),
                    details=Details(name=f"Person {letter}", document_number=f"X{place}12345"),
                    valid_until=until,
                )
            ).session_number
            for place, (letter, until) in enumerate((("A", None), ("B", NOW + 86400 * 5), ("C", NOW + 86400 * 400)))
        ]
        assert tuple(numbers) == NUMBERS
        yield served


@pytest.fixture
def operator(chromium, served):
    with opened(chromium, served.url) as (page, watch):
        page.clock.set_fixed_time(datetime.fromtimestamp(NOW, timezone.utc))
        page.goto(f"{served.url}/#/people")
        page.locator(".sign-in input[name=name]").fill("Person C")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="Person A").wait_for()
        yield page, watch


def seen(served, number: int, **changed):
    return served.device.save(
        NewDecision(
            **{
                "kind": Kind.IDENTIFY,
                "status": "Approved",
                "score": 91.0,
                "session_number": number,
                "subjects": (number,),
                **changed,
            }
        )
    )


# ---- people


def test_several_people_are_blocked_at_once_and_each_is_in_the_log(operator, served):
    page, _ = operator

    page.get_by_label("Choose Person A").check()
    page.get_by_label("Choose Person C").check()
    bar = page.locator(".bulk-bar")
    playwright.expect(bar).to_contain_text("2 people chosen")
    bar.get_by_role("button", name="Block", exact=True).click()
    dialog = page.get_by_role("dialog")
    assert "Person A, Person C" in dialog.inner_text()
    dialog.get_by_label("Reason").fill("lost badges")
    dialog.get_by_role("button", name="Block 2 people").click()
    page.get_by_text("Done for everybody who was chosen.").wait_for()

    people = served.device.store.people
    assert [people.subject(number).is_blocklisted for number in NUMBERS] == [True, False, True]
    assert people.subject(NUMBERS[0]).details.block_reason == "lost badges"
    assert served.device.store.decisions(DecisionFilter(kinds=(Kind.BLOCK,))).total == 2
    playwright.expect(bar).to_be_hidden()


def test_whoever_an_act_fails_for_stays_chosen_and_is_named(operator, served):
    page, watch = operator
    watch.expects(404)
    page.get_by_label("Choose Person A").check()
    page.get_by_label("Choose Person B").check()
    served.device.store.people.forget(NUMBERS[0])

    page.locator(".bulk-bar").get_by_role("button", name="Put on the allowlist").click()
    page.get_by_role("dialog").get_by_role("button", name="Put 2 people on the allowlist").click()

    page.locator(".toast-bad").filter(has_text="Person A: Not found.").wait_for()
    playwright.expect(page.locator(".bulk-bar")).to_contain_text("1 person chosen")
    assert served.device.store.people.subject(NUMBERS[1]).is_allowlisted


def test_many_are_forgotten_only_when_their_number_is_typed(operator, served):
    page, _ = operator
    page.get_by_label("Choose all on this page").check()

    page.locator(".bulk-bar").get_by_role("button", name="Forget…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("To go on").fill("2")
    dialog.get_by_role("button", name="Forget 3 people").click()
    dialog.get_by_text("That is not 3. Nobody was forgotten.").wait_for()
    before = served.device.store.people.subjects(limit=5).total
    dialog.get_by_label("To go on").fill("3")
    dialog.get_by_role("button", name="Forget 3 people").click()
    page.get_by_text("Nobody is known yet").wait_for()

    assert before == 3
    assert served.device.store.people.subjects(limit=5).total == 0


def test_who_ends_soon_is_found_and_marked(operator):
    page, _ = operator
    page.get_by_label("Ends").select_option("30")

    playwright.expect(page.locator(".view-people tbody tr")).to_have_count(1)
    row = page.locator(".view-people tbody tr").inner_text()

    assert "Person B" in row
    assert "Until" in row


def test_when_somebody_was_seen_last_stands_in_the_list_and_with_the_person(operator, served):
    page, _ = operator
    seen(served, NUMBERS[0])
    seen(served, NUMBERS[1], status="Declined", score=40.0)

    page.reload()
    rows = page.locator(".view-people tbody tr")
    playwright.expect(rows.nth(0)).to_contain_text("now")
    playwright.expect(rows.nth(1)).to_contain_text("never")
    page.get_by_role("link", name="Person A").click()

    playwright.expect(page.locator(".facts").first).to_contain_text("Last let in")


def test_people_are_taken_away_as_a_table_by_an_administrator_and_the_log_says_so(operator, served):
    page, _ = operator
    page.get_by_label("Ends").select_option("30")
    page.locator(".view-people tbody tr").get_by_text("Person B").wait_for()

    page.get_by_role("button", name="Download as a table").click()
    page.get_by_label("Your own password").fill(PASSWORD)
    with page.expect_download() as waiting:
        page.get_by_role("dialog").get_by_role("button", name="Download as a table").click()
    text = waiting.value.path().read_text()

    assert "X112345" in text  # in full
    assert "Person A" not in text  # whom the filter does not show
    (record,) = served.device.store.decisions(DecisionFilter(kinds=(Kind.EXPORT,))).decisions
    assert record.entry.actor == served.accounts["person"].id
    assert served.call("GET", "/device/people.csv", "operator").status_code == 403


# ---- decisions


def test_a_filter_is_saved_under_a_name_and_found_after_a_reload(operator, served):
    page, _ = operator
    seen(served, NUMBERS[0])
    page.goto(f"{served.url}/#/decisions?status=Approved")
    page.locator(".view-decisions").wait_for()

    page.get_by_role("button", name="Save this filter").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Let in")
    page.get_by_role("dialog").get_by_role("button", name="Save this filter").click()
    page.goto(f"{served.url}/#/decisions")
    page.reload()
    page.get_by_role("link", name="Let in").click()
    playwright.expect(page.get_by_role("link", name="Let in")).to_have_attribute("aria-current", "true")
    page.get_by_role("button", name="Remove the filter Let in").click()

    assert "status=Approved" in page.url
    assert json.loads(page.evaluate("localStorage['kiosk.filters']")) == []


def test_an_address_that_somebody_put_into_the_browser_is_no_filter(operator, served):
    page, _ = operator
    page.evaluate(
        "localStorage['kiosk.filters'] = JSON.stringify([{name: 'x', address: 'javascript:alert(1)'}, {name: 7}])"
    )

    page.goto(f"{served.url}/#/decisions")
    page.get_by_role("heading", name="Decisions").wait_for()

    assert page.locator(".saved a").count() == 0


def test_decisions_of_a_person_are_found_by_a_part_of_the_name(operator, served):
    page, _ = operator
    seen(served, NUMBERS[0])
    seen(served, NUMBERS[1])
    page.goto(f"{served.url}/#/decisions")
    page.locator(".view-decisions tbody tr").nth(1).wait_for()

    box = page.get_by_label("Person", exact=True)
    box.fill("person b")
    page.locator("#session_number-people option").wait_for(state="attached")
    box.fill(page.locator("#session_number-people option").get_attribute("value"))
    box.press("Tab")

    playwright.expect(page.locator(".view-decisions tbody tr")).to_have_count(1)
    page.locator(".view-decisions tbody tr").get_by_role("link", name="Person B").click()
    page.locator(".view-person").wait_for()


def test_days_and_hours_are_those_of_the_place(operator, served):
    page, _ = operator
    base = datetime.fromtimestamp(NOW, timezone.utc)
    served.wall.now = (base - timedelta(days=3)).timestamp()
    for _ in range(3):
        seen(served, NUMBERS[0])
    served.wall.now = NOW
    page.goto(f"{served.url}/#/decisions")
    page.get_by_text("When decisions are made").click()

    cell = page.locator(".heat td", has_text="3")
    playwright.expect(cell).to_have_count(1)
    assert cell.get_attribute("title") == "3 approved, 0 in review, 0 declined"
    assert cell.evaluate("cell => cell.cellIndex") == base.hour + 1  # the place is at UTC


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_lists_with_chosen_people_and_hours_have_no_fault_that_axe_finds(operator, served, size):
    page, _ = operator
    page.set_viewport_size(size)
    page.get_by_label("Choose Person A").check()
    found = serious(page)
    seen(served, NUMBERS[0])
    page.goto(f"{served.url}/#/decisions?status=Approved")
    page.get_by_text("When decisions are made").click()
    page.locator(".heat").wait_for()

    assert found == []
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_groups_are_given_to_one_and_to_several_found_by_and_taken_away_again(operator, served):
    page, _ = operator
    people = served.device.store.people
    for name in ("Person A", "Person B"):
        page.get_by_label(f"Choose {name}").check()
    page.get_by_role("button", name="Groups…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Change the groups of 2 people").click()
    dialog.get_by_text("Name a group.").wait_for()
    dialog.get_by_label("Add to the group").fill("staff")
    dialog.get_by_role("button", name="Change the groups of 2 people").click()
    page.get_by_text("Done for everybody who was chosen.").wait_for()
    assert [people.subject(number).details.groups for number in NUMBERS] == [("staff",), ("staff",), ()]

    page.get_by_role("link", name="Person A").click()
    page.get_by_label("Add to the group").fill("cleaners")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("button", name="Take out of the group staff").click()
    playwright.expect(page.locator(".groups > li")).to_have_text(["cleanersTake out of the group cleaners"])
    assert people.subject(1).details.groups == ("cleaners",)
    assert serious(page) == []

    page.get_by_role("link", name="All groups").click()
    row = page.get_by_role("row", name="staff")
    playwright.expect(row).to_contain_text("1")
    assert serious(page) == []
    row.click()
    page.get_by_role("link", name="Person B").wait_for()
    playwright.expect(page.get_by_role("link", name="Person A")).to_have_count(0)


def test_what_is_taken_away_of_a_group_is_that_group_alone(served):
    people = served.device.store.people
    people.patch(2, lambda one: replace(one, details=replace(one.details, groups=("staff",))))

    table = served.call("GET", "/device/people.csv", "admin", params={"group": "staff"}).text

    assert "Person B" in table
    assert "Person A" not in table


def test_groups_that_are_added_leave_what_others_gave_meanwhile(served):
    people = served.device.store.people
    people.patch(1, lambda one: replace(one, details=replace(one.details, groups=("staff",))))

    def change(**json):
        return served.call("PATCH", "/device/subjects/1", "operator", json=json)

    added, taken = change(add_groups=["cleaners"]), change(remove_groups=["staff", "nobody's"])
    both, bad = change(groups=["x"], add_groups=["y"]), change(add_groups=["a,b"])
    many = change(add_groups=[f"group {number}" for number in range(20)])

    assert added.json()["groups"] == ["cleaners", "staff"]
    assert taken.json()["groups"] == ["cleaners"]
    assert [(one.status_code, list(one.json())) for one in (both, bad, many)] == [
        (400, ["groups"]),
        (400, ["add_groups"]),
        (400, ["add_groups"]),
    ]


def test_a_person_is_found_from_any_view_at_once_where_one_alone_is_meant(operator):
    page, _ = operator
    page.evaluate("location.hash = '#/decisions'")
    page.locator(".view-decisions").wait_for()

    page.get_by_label("Find a person").fill("person b")
    page.get_by_label("Find a person").press("Enter")
    page.get_by_role("heading", name="Person B").wait_for()
    page.get_by_label("Find a person").fill("person")
    page.get_by_label("Find a person").press("Enter")

    page.locator(".view-people").wait_for()
    assert page.locator("input[name=q]").input_value() == "person"


def test_whoever_was_found_while_typing_is_reached_by_the_first_click(operator):
    page, _ = operator
    page.locator("input[name=q]").press_sequentially("person c")
    playwright.expect(page.get_by_role("link", name="Person A")).to_have_count(0)

    page.get_by_role("link", name="Person C").click()

    page.get_by_role("heading", name="Person C").wait_for()
