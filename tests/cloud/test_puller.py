"""Facts about the cloud's lists: in force as a whole or not at all, gone on with after any stop."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from kiosk.cloud.credentials import API_KEY, Credentials
from kiosk.cloud.puller import Puller
from kiosk.cloud.sync import Sync
from kiosk.device.calls import answer_search
from kiosk.device.device import Device
from kiosk.errors import CloudError, RefusedError
from kiosk.settings.config import Config
from kiosk.settings.network import CloudSettings
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.remote_lists import Lists
from kiosk.store.subjects import SubjectFilter
from kiosk.testing.fake_cloud import FakeCloud
from kiosk.types import Template
from tests.api.served import decoder
from tests.conftest import GOLDEN, networks
from tests.patience import LIMIT_S, until

OTHER = "0f0e8a52-6f0c-4d7e-9a39-2f5d3c1f8a11"
NAME = "5b3720ed-d429-42ef-b67f-37ea805f48ee"
A, B = ((GOLDEN / f"person_{letter}_1.jpg").read_bytes() for letter in "ab")


@pytest.fixture
def fake():
    with FakeCloud() as cloud:
        yield cloud


@pytest.fixture
def device(fake, tmp_path):
    initialise(tmp_path / "state", now=time.time).close()
    store = open_store(tmp_path / "state", read_keys(tmp_path / "state"), now=time.time)
    Credentials(store).write(API_KEY, fake.api_key)
    with Device(networks(), store, Config(), now=time.time, decoder=decoder()) as made:
        yield made


@pytest.fixture
def pull(device, fake):
    """Give a function that pulls until nothing is due; `steps` stops earlier."""
    ways = []

    def pull(*names, every_s=3600.0, steps=1000, is_again=False):
        chosen = CloudSettings(base_url=fake.url, lists=names)
        sync = Sync(device, chosen, now=time.time)
        ways.append(sync)
        puller = Puller(device, sync.cloud, names, every_s, now=time.time)
        before = Lists(device.store).complete()
        for _ in range(steps):
            if not puller.step() or (is_again and Lists(device.store).complete() != before):
                return sync
        return sync

    yield pull
    for sync in ways:
        sync.close()


def blocked(device):
    page = device.store.people.subjects(SubjectFilter(is_blocklisted=True))
    return [(one.source, one.external_id) for one in page.subjects]


def status(device, photograph):
    return answer_search(device, device.analyse(photograph), save=False)["face_search"]["status"]


def test_a_list_is_pulled_and_its_people_are_blocked_here(device, fake, pull):
    fake.put_list(NAME, {"entry-a": A})

    sync = pull(NAME)

    assert blocked(device) == [("list_entry", "entry-a")]
    assert status(device, A) == "Declined"
    assert status(device, B) == "Approved"
    assert sync.lists_complete_at == pytest.approx(time.time(), abs=LIMIT_S)
    assert not sync.lists_are_stale(1.0)
    assert device.store.verify_log().is_intact


def test_who_vanished_from_the_list_is_unblocked_and_forgotten(device, fake, pull):
    fake.put_list(NAME, {"entry-a": A, "entry-b": B})
    pull(NAME)
    fake.put_list(NAME, {"entry-b": B})

    pull(NAME, every_s=0.0, steps=10)

    assert blocked(device) == [("list_entry", "entry-b")]
    assert device.store.people.subjects().total == 1
    assert status(device, A) == "Approved"


def test_half_a_list_is_never_in_force_and_a_stop_loses_nothing(device, fake, pull):
    fake.put_list(NAME, {"entry-a": A, "entry-b": B})
    pull(NAME, steps=2)  # the first picture is staged, and the plug is pulled
    before, calls = blocked(device), len(fake.calls)

    pull(NAME)

    fetched = [path for _, _, path in fake.calls[calls:] if path.startswith("/media/")]
    assert before == []
    assert fetched == ["/media/entry-b"]
    assert len(blocked(device)) == 2


def test_a_list_that_changes_while_it_is_read_is_read_again(device, fake, pull):
    fake.put_list(NAME, {"entry-a": A})
    pull(NAME, steps=2)
    fake.put_list(NAME, {"entry-b": B, "entry-a": A})

    pull(NAME)

    assert sorted(blocked(device)) == [("list_entry", "entry-a"), ("list_entry", "entry-b")]


def test_a_picture_without_a_face_is_told_and_holds_nothing_up(device, fake, pull):
    fake.put_list(NAME, {"broken": b"no picture", "entry-a": A})

    sync = pull(NAME)

    assert blocked(device) == [("list_entry", "entry-a")]
    (told,) = sync.view.status()["lists"]
    assert (told["entries"], told["unusable"]) == (2, 1)


def test_a_long_list_is_read_over_pages(device, fake, pull):
    fake.put_list(NAME, {f"broken-{number}": b"" for number in range(60)} | {"entry-a": A})

    pull(NAME)

    assert blocked(device) == [("list_entry", "entry-a")]
    assert len(fake.calls) >= 3


def test_a_server_that_fails_leaves_the_old_list_in_force(device, fake, pull):
    fake.put_list(NAME, {"entry-a": A})
    pull(NAME)
    fake.put_list(NAME, {})
    fake.fail("500", times=5)

    with pytest.raises(CloudError):
        pull(NAME, every_s=0.0)

    assert blocked(device) == [("list_entry", "entry-a")]


def test_a_list_that_is_not_set_any_more_blocks_nobody_and_the_others_stay(device, fake, pull):
    fake.put_list(NAME, {"entry-a": A})
    fake.put_list(OTHER, {"entry-b": B})
    pull(NAME, OTHER)

    ended = Lists(device.store).keep_only((OTHER,), time.time())

    assert ended == 1
    assert blocked(device) == [("list_entry", "entry-b")]
    assert device.store.people.subjects().total == 1


def test_whoever_pulls_some_lists_leaves_the_others_in_force(device, fake, pull):
    fake.put_list(NAME, {"entry-a": A})
    pull(NAME)

    pull()

    assert blocked(device) == [("list_entry", "entry-a")]


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("run",)], ids=["serve", "run"])
def test_a_list_of_a_cloud_that_is_switched_off_blocks_nobody_from_the_next_start_on(device, fake, pull, command):
    fake.put_list(NAME, {"entry-a": A})
    pull(NAME).close()
    assert blocked(device) == [("list_entry", "entry-a")]
    state = device.store.directory
    environment = {
        "KIOSK_STATE": str(state),
        "KIOSK_API_ENABLED": "false",
        "KIOSK_CAMERA_SOURCE": f"dir:{GOLDEN}?loop=1",
    }

    with subprocess.Popen(
        [sys.executable, "-m", "kiosk", *command],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            until(lambda: blocked(device) == [], 3 * LIMIT_S)  # a whole kiosk starts
        finally:
            process.terminate()


def test_a_list_that_was_never_pulled_is_stale_where_a_limit_is_set(device, fake):
    sync = Sync(device, CloudSettings(base_url=fake.url, lists=(NAME,)), now=time.time)

    assert sync.lists_are_stale(1.0)
    assert not sync.lists_are_stale(0.0)
    sync.close()


# ---- an answer that takes most of a list away


def shrunk(fake, pull, left):
    fake.put_list(NAME, {"entry-a": A, "entry-b": B})
    pull(NAME)
    fake.put_list(NAME, left)
    pull(NAME, every_s=0.0, is_again=True)


def test_one_empty_answer_frees_nobody_and_is_told(device, fake, pull):
    shrunk(fake, pull, {})

    assert sorted(blocked(device)) == [("list_entry", "entry-a"), ("list_entry", "entry-b")]
    (held,) = Lists(device.store).held()
    assert (held.list, held.vanished) == (NAME, 2)
    assert status(device, A) == "Declined"


def test_an_operators_word_lets_an_empty_list_be_empty(device, fake, pull):
    shrunk(fake, pull, {})

    Lists(device.store).confirm(NAME)
    pull(NAME)

    assert blocked(device) == []
    assert Lists(device.store).held() == ()
    assert status(device, A) == "Approved"


def test_a_list_that_is_whole_again_is_held_no_more(device, fake, pull):
    shrunk(fake, pull, {})
    fake.put_list(NAME, {"entry-a": A, "entry-b": B})

    pull(NAME, every_s=0.0, is_again=True)

    assert Lists(device.store).held() == ()
    assert len(blocked(device)) == 2


def test_a_confirmation_covers_what_was_shown_and_no_more(device, fake, pull):
    entries = {"entry-a": A, "entry-b": B, "entry-c": A, "entry-d": B, "entry-e": A}
    fake.put_list(NAME, entries)
    pull(NAME)
    fake.put_list(NAME, {"entry-a": A, "entry-b": B})
    pull(NAME, every_s=0.0, is_again=True)
    Lists(device.store).confirm(NAME)
    fake.put_list(NAME, {})

    pull(NAME)

    assert len(blocked(device)) == 5
    assert not Lists(device.store).held()[0].is_confirmed


def test_passes_that_agree_for_a_day_are_believed(tmp_path):
    with initialise(tmp_path / "state", now=time.time) as store:
        lists = Lists(store)
        stage_all(lists, "entry-a", "entry-b")
        lists.put_into_force(NAME, 0.0)

        vanished = [vanishing(lists, hour * 3600.0) for hour in (1, 2, 3, 4, 24, 25)]

    assert vanished == [0, 0, 0, 0, 0, 2]


def stage_all(lists, *entries):
    lists.begin(NAME, len(entries))
    vector = np.eye(128, dtype=np.float32)
    for at, entry in enumerate(entries):
        lists.stage(NAME, entry, Template(vector[at], "m" * 64), outcome="new")


def vanishing(lists, now):
    lists.begin(NAME, 0)
    return lists.put_into_force(NAME, now)


def test_nobody_confirms_what_is_not_held(device):
    with pytest.raises(RefusedError, match="waits for a confirmation"):
        Lists(device.store).confirm(NAME)
