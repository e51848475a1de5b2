"""Facts about the settings page: plain words find a setting, a change is marked, and a threshold shows its effect."""

from __future__ import annotations

import pytest

from kiosk.settings.config import Sources
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from tests.api.served import PASSWORD, serving
from tests.web.browsed import DESKTOP, NEEDED, PHONE, opened, playwright, serious

pytestmark = NEEDED

IDENTIFY = "Enter from, found among all people"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("settings")
    with serving(folder / "state", sources=Sources(None, folder / "settings.toml", {})) as served:
        for score in (20.0, 74.9, 78.0, 81.5, 90.0, 96.0):
            served.device.save(NewDecision(kind=Kind.IDENTIFY, status="Approved", score=score))
        yield served


@pytest.fixture
def settings(chromium, served):
    """Give the settings, as an administrator sees them."""
    with opened(chromium, served.url) as (page, watch):
        page.goto(f"{served.url}/#/settings")
        page.get_by_label("Name").fill("Person C")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label(IDENTIFY).wait_for()
        yield page, watch


def shown_settings(page):
    return page.locator(".setting:visible > label").all_inner_texts()


def test_a_setting_is_found_by_its_words_its_meaning_or_its_key(settings):
    page, _ = settings
    found = page.get_by_label("Find a setting")

    found.fill("lead over")
    by_words = shown_settings(page)
    found.fill("match.decline")
    by_key = shown_settings(page)
    found.fill("no such thing")

    assert by_words == ["Least lead over the next"]
    assert by_key == ["Decline below"]
    assert page.get_by_text("No setting has these words").is_visible()


def test_what_is_set_on_the_device_is_found_too_and_unfolded(settings):
    page, _ = settings

    page.get_by_label("Find a setting").fill("relay that releases")

    playwright.expect(page.locator(".settings .facts code:visible")).to_have_text(["door.relay"])
    assert page.get_by_role("status").filter(has_text="1 setting").is_visible()


def test_what_was_changed_is_marked_and_goes_back_by_a_button(settings, served):
    page, _ = settings
    field = page.locator(
        ".setting", has=page.get_by_label("Code is valid").or_(page.get_by_label("A code is valid for"))
    )
    before = field.locator("input").input_value()

    field.locator("input").fill("45")
    playwright.expect(field.get_by_text("Changed")).to_be_visible()
    page.get_by_label("Only what was changed").check()
    only = shown_settings(page)
    page.get_by_role("button", name="Apply").click()
    page.get_by_text("Applied.").wait_for()
    kept = served.device.config.entrance.claim_s
    field.get_by_role("button", name="Back to").click()
    page.get_by_role("button", name="Apply").click()
    page.get_by_text("Applied.").nth(1).wait_for()

    assert only == ["A code is valid for"]
    assert kept == 45.0
    assert served.device.config.entrance.claim_s == float(before)


def test_a_preview_counts_own_decisions_on_both_sides_of_a_threshold(settings):
    page, _ = settings
    page.get_by_text("What “found among all people” would have decided").click()
    shown = page.locator(".preview", has_text="found among all people")
    rows = shown.locator(".preview-table tbody tr")
    playwright.expect(rows).to_have_count(3)
    page.get_by_label("Review margin").fill("4")

    page.get_by_label(IDENTIFY).fill("82")

    # 81.5 was enough, and would go to review together with 78; a score counts in whole points.
    playwright.expect(rows.nth(0)).to_contain_text("Enough")
    playwright.expect(rows.nth(0).locator("td").nth(1)).to_have_text("2 (\N{MINUS SIGN}1)")
    playwright.expect(rows.nth(1).locator("td").nth(1)).to_contain_text("2")
    playwright.expect(rows.nth(2).locator("td").nth(1)).to_contain_text("2")
    assert "is reached by one stranger in" in shown.inner_text()


def test_a_preview_of_nothing_says_so_and_keeps_the_scale(settings):
    page, _ = settings

    page.get_by_text("What this threshold would have found").click()

    page.get_by_text("Nothing of this kind was decided in the last 30 days").wait_for()
    assert page.locator(".preview[open] svg[role=img]").is_visible()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_preview_has_no_fault_that_axe_finds(settings, size):
    page, _ = settings
    page.set_viewport_size(size)
    page.get_by_text("What “found among all people” would have decided").click()
    page.locator(".preview[open] svg[role=img]").wait_for()

    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
