"""Facts about the first run in a real Chromium: without the device's code nobody gets in, and it goes on where left."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from kiosk.api.setup_code import make_code
from kiosk.device.enrol import enrol_person
from kiosk.entrance.news import Still
from kiosk.settings.config import Sources
from kiosk.store.subjects import Details, Enrolment
from tests.api.served import A1, PASSWORD, serving
from tests.web.browsed import DESKTOP, NEEDED, PHONE, opened, playwright, serious

pytestmark = NEEDED


@pytest.fixture
def new(tmp_path):
    """Serve a kiosk that nobody owns."""
    sources = Sources(None, tmp_path / "settings.toml", {})
    with serving(tmp_path / "state", sources=sources, with_accounts=False) as served:
        served.kiosk.picture = Still(A1, (480, 640), 0.1, ((100, 100, 300, 350),))
        served.kiosk.figures = {
            "camera": {"state": "live", "source": "demo:"},
            "door": {"state": "closed", "is_unlocked": False},
            "clock": "synced",
        }
        yield served


@contextmanager
def claimed(chromium, served, **options):
    """Give the first run of somebody who came with the code."""
    code = make_code(served.device.store.directory, served.wall())
    with opened(chromium, served.url, **options) as (page, watch):
        page.goto(f"{served.url}/#/setup?code={code}")
        page.get_by_label("Your name").fill("Person A")
        page.get_by_label("Password", exact=False).first.fill(PASSWORD)
        page.get_by_label("Password again").fill(PASSWORD)
        page.get_by_role("button", name="Become the first operator").click()
        page.get_by_role("heading", name="First run").wait_for()
        yield page, watch


def test_whoever_finds_a_new_kiosk_first_gets_nothing_without_the_devices_code(chromium, new):
    with opened(chromium, new.url) as (page, watch):
        page.goto(f"{new.url}/")
        page.get_by_role("heading", name="This kiosk is new").wait_for()
        shown = page.locator("main").inner_text()
        watch.expects(400)
        page.goto(f"{new.url}/#/setup?code=AAAAA-AAAAA")
        page.reload()
        page.get_by_role("heading", name="This kiosk is new").wait_for()

    assert "sudo kiosk setup" in shown
    assert new.application.context.access.accounts.is_unclaimed()


def test_a_wrong_code_says_how_to_get_another(chromium, new):
    make_code(new.device.store.directory, new.wall())
    with opened(chromium, new.url) as (page, watch):
        watch.expects(400)
        page.goto(f"{new.url}/")
        page.get_by_label("One-time code").fill("AAAAA-AAAAA")
        page.get_by_label("Your name").fill("Person A")
        page.get_by_label("Password", exact=False).first.fill(PASSWORD)
        page.get_by_label("Password again").fill(PASSWORD)
        page.get_by_role("button", name="Become the first operator").click()

        page.get_by_text("This code is wrong, has been used, or is older than an hour.").wait_for()
        assert new.application.context.access.accounts.is_unclaimed()


def test_the_code_of_a_link_leaves_the_address_bar(chromium, new):
    code = make_code(new.device.store.directory, new.wall())
    with opened(chromium, new.url) as (page, _):
        page.goto(f"{new.url}/#/setup?code={code}")
        page.get_by_label("One-time code").wait_for()

        assert page.get_by_label("One-time code").input_value() == code
        assert code not in page.url


def test_the_first_run_leads_through_every_step(chromium, new):
    with claimed(chromium, new) as (page, _):
        page.get_by_role("heading", name="Language", level=2).wait_for()
        page.get_by_role("button", name="Use it").click()
        page.get_by_role("heading", name="Time", level=2).wait_for()
        page.get_by_label("Time zone").fill("Europe/Berlin")
        page.get_by_role("button", name="Use it").click()
        page.get_by_role("heading", name="Camera", level=2).first.wait_for()
        page.locator(".face-box").wait_for()
        page.get_by_role("button", name="My face has a box").click()
        page.get_by_text("Press the exit button").wait_for()
        page.get_by_role("button", name="Open the door once").click()
        page.get_by_role("dialog").get_by_role("button", name="Open the door once").click()
        page.get_by_role("button", name="The door works").click()
        page.get_by_text("0 people are enrolled.").wait_for()
        page.get_by_role("button", name="Skip for now").click()

        page.get_by_text("1 step was skipped").wait_for()
    assert new.device.config.schedule.time_zone == "Europe/Berlin"
    assert [asked[0] for asked in new.kiosk.asked] == ["release"]


def test_the_kiosks_screen_shows_the_code_that_was_asked_for_until_somebody_used_it(chromium, new):
    with opened(chromium, new.url, viewport={"width": 800, "height": 480}) as (page, _):
        page.goto(new.screen_url)
        page.get_by_text("This kiosk is new").wait_for()
        before = page.locator("main").inner_text()
        code = make_code(new.device.store.directory, new.wall(), is_shown=True)
        page.get_by_text(code).wait_for()
        found = serious(page)
        new.call("POST", "/device/setup/claim", json={"code": code, "name": "Person A", "password": PASSWORD})
        page.get_by_text("Look into the camera").wait_for()

    assert "kiosk setup --on-screen" in before
    assert found == []


def test_a_first_run_that_was_left_goes_on_from_today(chromium, new):
    with claimed(chromium, new) as (page, _):
        page.get_by_role("button", name="Use it").click()
        page.get_by_role("heading", name="Time", level=2).wait_for()
        page.goto(f"{new.url}/#/today")
        page.get_by_text("The first run has 4 steps left.").wait_for()
        page.get_by_role("link", name="Go on").click()
        page.get_by_role("heading", name="Time", level=2).wait_for()
        for step in ("Camera", "Door", "First person"):
            page.get_by_role("button", name="Skip for now").click()
            page.locator(".setup-card h2").get_by_text(step, exact=True).first.wait_for()  # kept, before what follows
        enrol_person(new.device, [A1], Enrolment(templates=(), details=Details(name="Person B")))
        page.reload()
        page.get_by_role("button", name="Enough to start with").click()

        page.get_by_role("heading", name="The first run is over").wait_for()


def test_a_second_press_on_a_slow_device_skips_no_second_step(chromium, new):
    with claimed(chromium, new) as (page, _):
        held = []

        def hold(route):  # Playwright marks a function; a list's append takes no mark
            held.append(route)

        page.route("**/device/setup/steps", hold)
        skip = page.get_by_role("button", name="Skip for now")
        box = skip.bounding_box()
        with page.expect_request("**/device/setup/steps"):
            skip.click()
        page.mouse.click(box["x"] + 5, box["y"] + 5)
        held[0].continue_()
        page.get_by_role("heading", name="Time", level=2).wait_for()

        assert len(held) == 1


def test_a_wrong_time_zone_stands_beside_its_field(chromium, new):
    with claimed(chromium, new) as (page, watch):
        watch.expects(400)
        page.get_by_role("button", name="Skip for now").click()
        page.get_by_label("Time zone").fill("Nowhere/Town")
        page.get_by_role("button", name="Use it").click()

        playwright.expect(page.locator("[aria-invalid=true]")).to_have_count(1)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_first_run_has_no_fault_that_axe_finds(chromium, new, size):
    with opened(chromium, new.url, viewport=size) as (page, _):
        page.goto(f"{new.url}/")
        page.get_by_role("heading", name="This kiosk is new").wait_for()
        before = serious(page)
    with claimed(chromium, new, viewport=size) as (page, _):
        for step in ("Language", "Time", "Camera", "Door", "First person"):
            page.locator(".setup-steps").get_by_role("button", name=step).click()
            page.locator(".setup-card h2").get_by_text(step, exact=True).first.wait_for()
            playwright.expect(page.locator(".skeleton, [aria-busy]")).to_have_count(0)
            assert serious(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert before == []
