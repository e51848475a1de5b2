"""Facts about operators in the page: an account is made, a second factor set up and asked for, sessions ended."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from kiosk.api.totp import STEP_S, code_at, new_secret
from kiosk.store.accounts import Role
from tests.api.served import PASSWORD, serving
from tests.web.browsed import DESKTOP, NEEDED, PHONE, opened, playwright, serious

pytestmark = NEEDED

OTHER = "another horse battery"


@pytest.fixture
def served(tmp_path):
    with serving(tmp_path / "state") as served:
        yield served


def sign_in(page, served, name: str = "Person C", password: str = PASSWORD) -> None:
    page.clock.set_fixed_time(datetime.fromtimestamp(served.wall(), timezone.utc))
    page.goto(f"{served.url}/#/operators")
    page.locator(".sign-in input[name=name]").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture
def operators(chromium, served):
    with opened(chromium, served.url) as (page, watch):
        sign_in(page, served)
        page.locator(".operators > li").first.wait_for()
        yield page, watch


def test_a_second_factor_is_set_up_by_its_code_and_asked_for_from_then_on(chromium, operators, served):
    page, _ = operators
    page.get_by_role("button", name="Set up a second factor").click()
    page.get_by_label("Your password now").fill(PASSWORD)
    page.get_by_role("dialog").get_by_role("button", name="Go on").click()
    page.get_by_alt_text("QR code for the authenticator").wait_for()
    secret = page.locator(".factor code").inner_text()
    page.get_by_label("Code from your telephone").fill(code_at(secret, int(served.wall() // STEP_S)))
    page.get_by_role("button", name="Confirm").click()
    page.get_by_text("signing in needs a code from your telephone").wait_for()
    served.wall.advance(2 * STEP_S)

    with opened(chromium, served.url) as (other, watch):
        watch.expects(401)
        sign_in(other, served)
        code = other.get_by_label("Code from your telephone")
        code.wait_for()
        code.fill("000000")
        other.get_by_role("button", name="Sign in").click()
        other.get_by_text("This code is wrong, or was used already.").wait_for()
        code.fill(code_at(secret, int(served.wall() // STEP_S)))
        other.get_by_role("button", name="Sign in").click()
        other.locator(".operators > li").first.wait_for()

    served.wall.advance(2 * STEP_S)
    page.get_by_role("button", name="Remove the second factor").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Your password now").fill(PASSWORD)
    dialog.get_by_label("Code from your telephone").fill(code_at(secret, int(served.wall() // STEP_S)))
    dialog.get_by_role("button", name="Remove the second factor").click()
    page.get_by_text("The password alone signs you in.").wait_for()


def test_an_account_is_made_raised_and_removed_with_its_name_in_every_sentence(operators):
    page, watch = operators
    watch.expects(400)
    form = page.locator("form", has=page.get_by_role("button", name="Make the account"))
    form.get_by_label("Name").fill("Person A")
    form.get_by_label("First password").fill(OTHER)
    form.get_by_label("Your own password").fill(PASSWORD)
    form.get_by_role("button", name="Make the account").click()
    page.get_by_text("Person A may sign in.").wait_for()

    page.get_by_role("button", name="Role: Person A").click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading").inner_text() == "What may Person A do?"
    dialog.get_by_label("Role").select_option("admin")
    dialog.get_by_label("Your own password").fill(OTHER)
    dialog.get_by_role("button", name="Save").click()
    dialog.get_by_text("This is not your password.", exact=True).wait_for()
    dialog.get_by_label("Your own password").fill(PASSWORD)
    dialog.get_by_role("button", name="Save").click()
    row = page.locator(".operators > li", has_text="Person A")
    playwright.expect(row).to_contain_text("Administrator")
    page.get_by_role("button", name="Remove: Person A").click()
    dialog.get_by_label("Your own password").fill(PASSWORD)
    dialog.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_text("Person A was removed.").wait_for()

    playwright.expect(row).to_have_count(0)


def test_where_somebody_is_signed_in_is_shown_and_ended(chromium, operators, served):
    page, _ = operators
    with opened(chromium, served.url) as (other, watch):
        watch.expects(401)
        sign_in(other, served)
        other.locator(".operators > li").first.wait_for()
        page.reload()
        playwright.expect(page.locator(".operator-sessions li")).to_have_count(2)

        page.get_by_role("button", name="Sign out everywhere: Person C").click()
        page.get_by_role("dialog").get_by_role("button", name="Sign out everywhere").click()
        playwright.expect(page.locator(".operator-sessions li")).to_have_count(1)
        other.reload()
        other.get_by_role("heading", name="Sign in to the kiosk").wait_for()


def test_an_operator_sees_the_own_account_alone(chromium, served):
    served.application.context.access.accounts.create_operator("Person B", Role.OPERATOR, OTHER)

    with opened(chromium, served.url) as (page, _):
        sign_in(page, served, "Person B", OTHER)
        page.get_by_role("heading", name="Your account: Person B").wait_for()

        assert page.locator(".operators").count() == 0


def test_another_password_signs_out_and_is_the_one_that_counts(operators):
    page, watch = operators
    watch.expects(401)
    page.get_by_role("button", name="Change your password").click()
    page.get_by_label("Your password now").fill(PASSWORD)
    page.get_by_label("New password").fill(OTHER)
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="Sign in to the kiosk").wait_for()
    page.locator(".sign-in input[name=name]").fill("Person C")
    page.get_by_label("Password").fill(OTHER)
    page.get_by_role("button", name="Sign in").click()

    page.locator(".operators > li").first.wait_for()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_operators_and_the_qr_code_have_no_fault_that_axe_finds(operators, size):
    page, _ = operators
    page.set_viewport_size(size)
    page.get_by_role("button", name="Set up a second factor").click()
    page.get_by_label("Your password now").fill(PASSWORD)
    page.get_by_role("dialog").get_by_role("button", name="Go on").click()
    page.get_by_alt_text("QR code for the authenticator").wait_for()

    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_lost_telephone_is_taken_away_with_the_own_password_alone(operators, served):
    page, watch = operators
    watch.expects(400)
    accounts = served.application.context.access.accounts
    other = accounts.create_operator("Person B", Role.OPERATOR, OTHER)
    accounts.set_totp(other.id, new_secret())
    page.reload()
    page.get_by_role("button", name="Remove the second factor: Person B").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Your own password").fill(OTHER)
    assert serious(page) == []
    dialog.get_by_role("button", name="Remove the second factor").click()
    dialog.get_by_text("This is not your password.", exact=True).wait_for()
    assert accounts.get(other.id).totp is not None
    dialog.get_by_label("Your own password").fill(PASSWORD)
    dialog.get_by_role("button", name="Remove the second factor").click()
    page.get_by_text("Person B now signs in with the password alone.").wait_for()

    assert accounts.get(other.id).totp is None


def test_a_key_is_made_with_the_own_password_alone(operators, served):
    page, _ = operators
    page.evaluate("location.hash = '#/keys'")
    page.get_by_label("Name").fill("backups")
    page.get_by_label("Role").select_option("admin")
    page.get_by_label("Your own password").fill(PASSWORD)
    assert serious(page) == []
    page.get_by_role("button", name="Create the key").click()

    page.get_by_role("row", name="backups").wait_for()
    playwright.expect(page.get_by_label("Your own password")).to_have_value("")  # the form is as new
    assert "backups" in {one.name for one in served.application.context.access.accounts.all("key")}
