"""`kiosk fleet` from the owner's first command to a kiosk taken off, with a real hub; and the stick without any."""

import io
import json
import time

import pytest

from kiosk.cli.fleet.member import status_of
from kiosk.cli.main import main
from kiosk.fleet.sync import FleetSync
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.subjects import Details
from tests.fleet.keys import Fleet, Kiosk, want_server
from tests.fleet.test_hub import RunningHub
from tests.patience import until
from tests.store.stored import Clock, enrolment, needles

pytest.importorskip("nats", reason="nats-py of the extra fleet is not installed")


@pytest.fixture
def kiosk(capsys, monkeypatch):
    """Run a command with a passphrase on its stdin; return its exit code, stdout and stderr."""

    def run(*arguments, passphrase="a passphrase"):
        monkeypatch.setattr("sys.stdin", io.StringIO(passphrase + "\n"))
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_fleet_from_its_first_command_to_a_kiosk_taken_off(kiosk, tmp_path, port):
    want_server()
    owner = tmp_path / "owner"
    code, out, _ = kiosk("fleet", "init", owner, "--name", "Shops", "--hub", f"tls://127.0.0.1:{port}")
    assert code == 0
    assert "owner.key" in out
    hub = RunningHub(owner / "hub", port)
    until(hub.ready.is_set)
    states = [tmp_path / name for name in ("a", "b")]
    codes = []
    for state in states:
        initialise(state, now=time.time).close()
        code, out, _ = kiosk("--state", state, "fleet", "join", owner / "fleet.json", "--name", state.name, "--json")
        codes.append(json.loads(out)["code"])
    assert kiosk("--state", states[0], "fleet", "status")[0] == 3
    assert kiosk("fleet", "approve", codes[0], "--owner", owner, "--yes", passphrase="another")[0] == 1
    for text in codes:
        assert kiosk("fleet", "approve", text, "--owner", owner, "--yes")[0] == 0
    code, _, err = kiosk("fleet", "approve", codes[0], "--owner", owner, "--yes")
    assert code == 1
    assert "belongs to the fleet already" in err

    stores = [open_store(state, read_keys(state), now=time.time) for state in states]
    syncs = [FleetSync(store) for store in stores]
    try:
        for sync in syncs:
            sync.start()
        ann = stores[0].people.enrol(enrolment(1, Details(name="Ann")))
        until(lambda: stores[1].people.find(ann.session_id))
        stores[0].people.forget(ann.session_number)
        until(lambda: syncs[0].member.receipts(ann.session_id) == (2, 2))
        until(lambda: syncs[1].member.id in syncs[0].member.shared.hubs.health())
    finally:
        for sync, store in zip(syncs, stores, strict=True):
            sync.close()
            store.close()
    assert kiosk("--state", states[0], "fleet", "status")[0] == 0
    assert kiosk("--state", states[0], "fleet", "receipts", ann.session_id)[1] == "forgotten on 2 of 2\n"
    code, out, _ = kiosk("--state", states[0], "fleet", "members", "--json")
    assert [one["name"] for one in json.loads(out)["kiosks"]] == ["a", "b"]

    code, out, _ = kiosk("fleet", "revoke", "b", "--owner", owner)
    assert (code, "1 kiosks" in out) == (0, True)
    code, out, _ = kiosk("fleet", "members", "--owner", owner, "--json")
    assert [one["name"] for one in json.loads(out)["former"]] == ["b"]
    hub.kill()
    code, _, err = kiosk("fleet", "members", "--owner", owner)
    assert code == 1
    assert err.startswith("Error: tls://127.0.0.1")


def test_a_stick_carries_what_the_hub_would(kiosk, tmp_path):
    fleet, stick = Fleet(), tmp_path / "stick.jsonl"
    a, b, c = (Kiosk(tmp_path / name, fleet, Clock()) for name in ("a", "b", "c"))
    fleet.let_in(a, b, c)
    for one in (a, b):
        one.member.hear_roster(fleet.signed)
    ann = a.store.people.enrol(enrolment(1, Details(name="Ann Example-Übermut", vendor_data="vendor-ann")))
    for one in (a, b, c):
        one.store.close()

    assert kiosk("--state", a.directory, "fleet", "export", stick)[0] == 0
    assert [needle for needle in needles() if needle in stick.read_bytes()] == []
    for state in (b.directory, c.directory):  # c hears of the roster by the stick, too
        _, out, _ = kiosk("--state", state, "fleet", "import", stick, "--json")
        assert json.loads(out) == {"documents": 1, "people": 1, "parked": 0, "bundle": None}
        with open_store(state, read_keys(state), now=Clock()) as store:
            assert store.people.find(ann.session_id)[0].details.name == "Ann Example-Übermut"
    assert kiosk("--state", b.directory, "fleet", "export", stick)[1] == f"Wrote 1 documents to {stick}\n"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"kiosk_fleet_stick": 2}', "\x00\xff"])
def test_a_file_that_is_no_export_is_refused_in_one_line(kiosk, tmp_path, content):
    fleet = Fleet()
    a = Kiosk(tmp_path / "a", fleet, Clock())
    a.store.close()
    (tmp_path / "stick").write_text(content)

    code, _, err = kiosk("--state", a.directory, "fleet", "import", tmp_path / "stick")
    assert code == 1
    assert err.startswith("Error: ")
    assert err.count("\n") == 1


def test_a_kiosk_of_no_fleet_says_how_to_join_one(kiosk, tmp_path):
    initialise(tmp_path / "a", now=time.time).close()
    for act in (["status"], ["leave"], ["members"], ["resync"], ["receipts", "x"], ["export", tmp_path / "x"]):
        code, _, err = kiosk("--state", tmp_path / "a", "fleet", *act)
        assert code == 1
        assert "kiosk fleet join" in err


def test_leaving_and_resyncing(kiosk, tmp_path):
    fleet = Fleet()
    a = Kiosk(tmp_path / "a", fleet, Clock())
    fleet.let_in(a)
    a.member.hear_roster(fleet.signed)
    assert status_of(a.member)["sentence"] == "it belongs"
    a.store.close()

    assert kiosk("--state", a.directory, "fleet", "resync")[0] == 0
    assert kiosk("--state", a.directory, "fleet", "leave")[0] == 0
    assert kiosk("--state", a.directory, "fleet", "status")[0] == 1


@pytest.mark.parametrize("url", ["hub.example", "http://hub:4222", "tls://", "tls://name@hub:4222", "tls://hub:x"])
def test_an_address_that_is_no_hubs_makes_no_fleet(kiosk, tmp_path, url):
    code, _, err = kiosk("fleet", "init", tmp_path / "owner", "--hub", url)

    assert code == 1
    assert "tls://" in err
    assert not (tmp_path / "owner").exists()


def test_a_short_passphrase_makes_no_fleet(kiosk, tmp_path):
    assert kiosk("fleet", "init", tmp_path / "owner", "--hub", "tls://hub:4222", passphrase="short")[0] == 1
    assert not (tmp_path / "owner").exists()
