"""Facts about the operator's page around its views: keys, dialogs, files, figures, and what makes it an app."""

from __future__ import annotations

import re

import pytest
from playwright import sync_api as playwright

from tests.api.served import serving
from tests.web.browsed import opened
from tests.web.test_operator import show, sign_in

MANIFEST = """async () => {
  const manifest = await (await fetch(document.querySelector("link[rel=manifest]").href)).json();
  const icons = await Promise.all(manifest.icons.map(async (one) => {
    const answer = await fetch(one.src);
    const image = await createImageBitmap(await answer.blob()).catch(() => null);
    return [one.src, answer.ok, answer.headers.get("content-type"), image && `${image.width}x${image.height}`,
      one.sizes];
  }));
  return [manifest.display, manifest.start_url, icons];
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("console") / "state") as served:
        yield served


@pytest.fixture
def operator(chromium, served):
    """Give the operator's page, signed in; its console has to stay empty."""
    with opened(chromium, served.url) as (page, watch):
        sign_in(page, served.url)
        page.get_by_role("heading", name="Today").wait_for()
        yield page, watch


def test_keys_lead_to_views_and_a_sheet_lists_them(operator):
    page, _ = operator

    page.keyboard.press("?")
    page.get_by_role("dialog", name="Shortcuts").wait_for()
    page.keyboard.press("g")
    page.keyboard.press("p")
    assert "people" not in page.url  # nothing works behind the sheet
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("p")
    page.locator(".view-people").wait_for()
    page.keyboard.press("/")
    playwright.expect(page.locator("main input").first).to_be_focused()
    page.keyboard.type("g?d")
    assert "people" in page.url  # whoever types, types
    playwright.expect(page.locator("dialog")).to_have_count(0)


def test_a_dialog_goes_with_the_view_it_belongs_to(operator):
    page, _ = operator
    show(page, "keys")
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()

    show(page, "decisions")

    playwright.expect(page.locator("dialog")).to_have_count(0)


def test_without_a_cloud_the_outbox_asks_nothing_that_is_not_there(operator):
    page, _ = operator

    show(page, "cloud")

    page.get_by_text("Nothing leaves this device").wait_for()


def test_a_file_is_chosen_by_a_button_in_the_pages_words(operator, tmp_path):
    page, _ = operator
    show(page, "people/import")
    (tmp_path / "people.zip").write_bytes(b"PK")

    page.get_by_text("nothing chosen").first.wait_for()
    page.locator("input[name=archive]").set_input_files(tmp_path / "people.zip")

    page.get_by_text("people.zip").wait_for()


def test_figures_have_their_unit_with_the_number(operator):
    page, _ = operator

    facts = page.locator(".facts").first
    facts.wait_for()

    assert not re.search(r"\((s|MB|°C)\)", facts.inner_text())


def test_the_page_can_be_installed_as_an_app(operator):
    page, _ = operator

    display, start, icons = page.evaluate(MANIFEST)

    assert (display, start) == ("standalone", "/")
    assert all(ok and kind.startswith("image/") for _, ok, kind, _, _ in icons)
    assert [size for src, _, _, size, _ in icons if src.endswith(".png")] == [
        wanted for src, _, _, _, wanted in icons if src.endswith(".png")
    ]
