"""One Chromium for all tests of the pages that a process runs: to start one costs a second of a processor."""

import pytest


@pytest.fixture(scope="session")
def driver():
    from tests.web.browsed import driving  # which skips where there is no playwright

    with driving() as driver:
        yield driver


@pytest.fixture(scope="module")
def chromium(driver):
    with driver.lent() as browser:
        yield browser
