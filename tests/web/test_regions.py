"""Facts about the camera's picture on the operator's page: furniture is drawn, and parts are left out by dragging."""

from __future__ import annotations

import pytest

from kiosk.entrance.news import Still
from kiosk.settings.config import Sources
from tests.api.served import A1, NOW, PASSWORD, serving
from tests.web.browsed import DESKTOP, NEEDED, PHONE, opened, playwright, serious

pytestmark = NEEDED

STILL_FACES = [
    {"place": [0.8, 0.05, 0.95, 0.25], "edge_px": 98, "since": NOW - 600, "is_furniture": True},
    {"place": [0.05, 0.4, 0.13, 0.5], "edge_px": 50, "since": NOW - 20, "is_furniture": False},
]


@pytest.fixture
def served(tmp_path):
    with serving(tmp_path / "state", sources=Sources(None, tmp_path / "settings.toml", {})) as served:
        served.kiosk.picture = Still(A1, (480, 640), 0.1, ())
        served.kiosk.figures = {"still_faces": STILL_FACES}
        yield served


@pytest.fixture
def marking(chromium, served):
    """Give an administrator's page over a kiosk that sees two still faces."""
    with opened(chromium, served.url) as (page, watch):
        page.goto(f"{served.url}/")
        page.get_by_label("Name").fill("Person C")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.locator(".camera-box.furniture").wait_for()
        page.get_by_role("button", name="Mark a part to ignore").wait_for()
        yield page, watch


def test_furniture_is_named_with_its_place_and_drawn_there(marking):
    page, _ = marking

    picture, drawn = (page.locator(one).bounding_box() for one in (".camera-picture", ".camera-box.furniture"))
    said = page.locator(".camera-places").inner_text()

    assert drawn["x"] == pytest.approx(picture["x"] + 0.8 * picture["width"], abs=2)
    assert drawn["y"] == pytest.approx(picture["y"] + 0.05 * picture["height"], abs=2)
    assert drawn["width"] == pytest.approx(0.15 * picture["width"], abs=2)
    assert "never moves, at the upper right: ignored as furniture" in said
    assert "does not move, at the left: it still counts as a person" in said


def test_a_part_of_the_picture_is_left_out_by_dragging_over_it_and_counts_again(marking, served):
    page, _ = marking
    page.get_by_role("button", name="Mark a part to ignore").click()
    page.locator(".camera-picture").scroll_into_view_if_needed()
    box = page.locator(".camera-picture").bounding_box()

    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.75 * box["height"], steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Count faces again").wait_for()
    kept = [float(word) for word in served.device.config.entrance.ignore[0].split()]
    page.get_by_role("button", name="Count faces again").click()
    playwright.expect(page.locator(".camera-box.region")).to_have_count(0)

    assert kept == pytest.approx([0.5, 0.5, 0.9, 0.75], abs=0.02)
    assert served.device.config.entrance.ignore == ()


def test_the_place_of_a_still_face_is_left_out_without_a_pointer(marking, served):
    page, _ = marking

    page.get_by_role("button", name="Ignore its place: at the left").press("Enter")
    page.locator(".camera-box.region").wait_for()

    assert served.device.config.entrance.ignore == ("0.030 0.380 0.150 0.520",)


def test_a_drag_by_a_slip_marks_nothing(marking, served):
    page, _ = marking
    page.get_by_role("button", name="Mark a part to ignore").click()
    page.locator(".camera-picture").scroll_into_view_if_needed()
    box = page.locator(".camera-picture").bounding_box()

    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.get_by_role("button", name="Do not mark").click()

    assert served.device.config.entrance.ignore == ()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_marked_picture_has_no_fault_that_axe_finds(marking, size):
    page, _ = marking
    page.set_viewport_size(size)
    page.get_by_role("button", name="Ignore its place: at the left").click()
    page.locator(".camera-box.region").wait_for()

    assert serious(page) == []
