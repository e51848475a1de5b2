"""Facts about /docs: it shows the whole OpenAPI document, asks nobody else, and fits a telephone."""

from __future__ import annotations

import pytest

from tests.api.served import serving
from tests.web.browsed import DESKTOP, NEEDED, PHONE, opened, serious

pytestmark = NEEDED


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("docs") / "state") as served:
        yield served


@pytest.mark.parametrize(
    ("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop light", "telephone dark"]
)
def test_every_call_is_shown_and_the_page_is_without_barriers(chromium, served, size, scheme):
    document = served.call("GET", "/openapi.json").json()
    calls = sum(len(methods) for methods in document["paths"].values())
    with opened(chromium, served.url, viewport=size, color_scheme=scheme) as (page, _):
        page.goto(f"{served.url}/docs#match_faces")
        page.get_by_role("heading", name="Face kiosk API").wait_for()

        assert page.locator(".method").count() == calls
        assert page.locator("#match_faces").get_attribute("open") is not None
        page.locator("#match_faces summary", has_text="javascript").click()
        assert "FormData" in page.locator("#match_faces pre:visible").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert serious(page) == []


def test_a_search_leaves_what_fits_and_the_words_follow_the_language(chromium, served):
    with opened(chromium, served.url) as (page, _):
        page.goto(f"{served.url}/docs")
        page.get_by_label("Search calls and schemas").fill("age estimation")

        assert page.locator(".operation:visible code").first.inner_text() == "/v3/age-estimation/"
        page.get_by_role("button", name="Deutsch").click()
        page.get_by_label("Aufrufe und Schemas suchen").wait_for()
