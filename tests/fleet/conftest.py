"""What every test of a fleet does after itself."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.fleet.keys import Fleet, Kiosk, joined
from tests.patience import reserved_port

LEFT_OPEN = "ignore::pytest.PytestUnraisableExceptionWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a refused connection be: nats-py leaves its socket to the collector, which says so."""
    for item in items:
        if "tests/fleet/" in item.nodeid:
            item.add_marker(pytest.mark.filterwarnings(LEFT_OPEN))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Give the port of a hub, which is nobody else's while that is away."""
    with reserved_port() as port:
        yield port


@pytest.fixture(autouse=True)
def _collected(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have what is left collected here, and not during another folder's test."""
    yield
    if "site" in request.fixturenames or "commands" in request.node.nodeid:
        gc.collect()


@pytest.fixture
def fleet():
    return Fleet()


@pytest.fixture
def make(tmp_path, fleet, clock):
    """Give what makes kiosks that asked to join."""
    made: list[Kiosk] = []

    def one(name):
        made.append(Kiosk(tmp_path / name, fleet, clock))
        return made[-1]

    yield one
    for kiosk in made:
        kiosk.store.close()


@pytest.fixture
def kiosks(tmp_path, fleet):
    """Give two kiosks of a fleet."""
    with joined(tmp_path, fleet) as made:
        yield made
