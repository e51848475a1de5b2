"""A store that was put back to an older day is found by what others hold of its log; by a real hub and by a stick."""

import json
import shutil
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kiosk.cli.main import main
from kiosk.errors import RefusedError
from kiosk.fleet.heads import _HEAD
from kiosk.fleet.identity import text_of
from kiosk.fleet.member import _HEALTH
from kiosk.fleet.stick import export, take
from kiosk.fleet.sync import FleetSync
from kiosk.store.chain import Kind, sign_entry
from kiosk.store.directory import open_store
from kiosk.store.keys import read_keys
from kiosk.store.upkeep import backup, rekey, restore, rollback
from tests.fleet.keys import joined
from tests.fleet.test_hub import site  # noqa: F401  a fixture
from tests.patience import until
from tests.store.stored import Clock, enrolment


@pytest.fixture
def kiosks(tmp_path, fleet):
    with joined(tmp_path, fleet, ("a", "b", "c")) as made:
        yield made


def say(kiosk, to, *, at=1.0):
    """Have a kiosk hear how another is."""
    tail = kiosk.store.log.tail()
    head = {"log": [tail.seq, tail.hash.hex()], "head": kiosk.member.heads.own()}
    said = {"at": at, **head, "holds": kiosk.member.heads.newer()}
    assert to.member.hear_health(kiosk.member.id, kiosk.member.sign_health(said))


def reopened(kiosk):
    kiosk.store.close()
    kiosk.store = open_store(kiosk.directory, read_keys(kiosk.directory), now=Clock())
    kiosk.member = type(kiosk.member)(kiosk.store)


def put_back(kiosk, to):
    """Put database and head file back, as whoever has a copy of the card does."""
    kiosk.store.close()
    shutil.rmtree(kiosk.directory)
    shutil.copytree(to, kiosk.directory)
    reopened(kiosk)


def copied(kiosk, place):
    kiosk.store.close()  # so that all of it is in its file
    shutil.copytree(kiosk.directory, place)
    reopened(kiosk)
    return place


def roll_back(kiosk, other, place):
    """Have another kiosk hear of a record that a kiosk then has no more."""
    old = copied(kiosk, place)
    kiosk.store.people.enrol(enrolment(1))
    say(kiosk, other)
    put_back(kiosk, old)


def test_a_kiosk_hears_of_its_newer_head_from_any_other(kiosks, tmp_path):
    a, b, c = kiosks
    old = copied(a, tmp_path / "old")
    a.store.people.enrol(enrolment(1))
    say(a, b)
    say(b, c)
    assert (b.member.heads.newer(), rollback.found(a.store)) == ({}, None)
    put_back(a, old)
    assert a.store.verify_log().is_intact  # by itself it cannot know
    say(a, b, at=2.0)
    assert list(b.member.heads.newer()) == [a.member.id]
    say(b, a)

    found = rollback.found(a.store)
    assert found is not None
    assert found.seq == b.member.shared.hubs.heads()[a.member.id][0]
    assert "kiosk log accept" in found.sentence
    for seed in range(2, 9):
        a.store.people.enrol(enrolment(seed))
    reopened(a)
    assert rollback.found(a.store) == found  # whatever it writes since


def test_an_operator_who_looked_ends_it_and_is_not_asked_about_the_same_again(kiosks, tmp_path, capsys):
    a, b, _ = kiosks
    roll_back(a, b, tmp_path / "old")
    say(a, b)
    say(b, a)
    state = ["--state", str(a.directory)]
    assert main([*state, "log", "accept", "--json"]) == 0
    seq = json.loads(capsys.readouterr().out)["accepted"]
    assert main([*state, "log", "accept"]) == 1
    say(b, a)

    assert rollback.found(a.store) is None
    assert a.store.decisions(None).total == 0
    assert a.store.verify_log().is_intact
    assert a.store.log.tail().seq == seq + 1  # no number that others hold is given twice
    reopened(a)
    assert rollback.hold_against(a.store, seq, "00") is None
    assert rollback.hold_against(a.store, seq + 2, "00") is not None
    with pytest.raises(RefusedError):
        rollback.accept(b.store, actor="x")


def test_nobody_with_the_disk_switches_it_off(kiosks, tmp_path):
    a, b, _ = kiosks
    roll_back(a, b, tmp_path / "old")
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw().hex()
    entry = a.store.log.tail().entry
    says = {"accepted_rollback": 10**6, "replaces": [1, 10**6], "through": 10**6, "hash": "0" * 64, "kept": 0}
    forged = [
        (10**5, Kind.INIT, {"public_key": public}),
        (10**5 + 2, Kind.RESTORE, says),
        (10**5 + 4, Kind.PRUNE, says),
    ]
    with a.store.database.write() as connection:
        connection.execute("INSERT INTO kiosk (name, value) VALUES ('log_accepted', '1000000')")
        for seq, kind, details in forged:
            one = sign_entry(replace(entry, seq=seq, kind=kind, details=details, request_id=kind.value), key.sign)
            connection.execute(
                "INSERT INTO log (seq, record, hash, signature) VALUES (?, ?, ?, ?)",
                (one.seq, one.record, one.hash, one.signature),
            )
    assert a.store.log.holds(one)  # by itself it looks right
    seq, _ = b.member.shared.hubs.heads()[a.member.id]

    assert rollback.hold_against(a.store, seq, "00") is not None


def test_what_was_accepted_stays_so_after_a_new_key(kiosks, tmp_path):
    a, b, _ = kiosks
    roll_back(a, b, tmp_path / "old")
    say(b, a)
    seq, _ = b.member.shared.hubs.heads()[a.member.id]
    assert rollback.hold_against(a.store, seq, "00") is not None
    rollback.accept(a.store, actor="x")
    a.store.close()
    rekey.rekey(a.directory, read_keys(a.directory), now=Clock())
    reopened(a)

    assert rollback.hold_against(a.store, seq, "00") is None


def test_a_store_that_went_on_is_accepted_too(kiosks, tmp_path):
    a, b, _ = kiosks
    roll_back(a, b, tmp_path / "old")
    for seed in (2, 3, 4):
        a.store.people.enrol(enrolment(seed))
    seq, _ = b.member.shared.hubs.heads()[a.member.id]
    assert rollback.hold_against(a.store, seq, "00") is not None
    tail = a.store.log.tail().seq
    rollback.accept(a.store, actor="x")

    assert (a.store.log.tail().seq, a.store.verify_log().is_intact) == (tail + 1, True)
    assert [rollback.hold_against(a.store, one, "00") for one in (seq, seq - 1)] == [None, None]


def test_a_restore_that_gave_up_what_others_hold_is_no_rollback(kiosks):
    a, b, _ = kiosks
    path = backup.write(a.store.database, a.store.vault, a.directory / "backups", now=Clock()()).path
    a.store.people.enrol(enrolment(1))
    say(a, b)
    a.store.close()
    restore.restore(a.directory, path, read_keys(a.directory), now=Clock(), overwrite=True)
    reopened(a)
    say(a, b)
    seq, _ = b.member.shared.hubs.heads()[a.member.id]
    say(b, a)

    assert seq == a.store.log.tail().seq  # the restore's record is newer than all it gave up
    given_up = seq - 1
    assert rollback.hold_against(a.store, given_up, "00") is None
    assert rollback.found(a.store) is None


def test_after_a_rollback_a_restore_of_an_older_backup_is_the_cure(kiosks, tmp_path):
    a, b, _ = kiosks
    path = backup.write(a.store.database, a.store.vault, tmp_path / "backups", now=Clock()()).path
    roll_back(a, b, tmp_path / "old")
    say(a, b)
    say(b, a)
    found = rollback.found(a.store)
    assert found is not None
    a.store.close()
    restore.restore(a.directory, path, read_keys(a.directory), now=Clock(), overwrite=True)
    reopened(a)
    say(b, a)

    assert rollback.found(a.store) is None
    assert a.store.log.tail().seq == found.seq + 1
    assert a.store.verify_log().is_intact


def test_another_record_in_the_place_of_one_that_was_told_is_a_rollback_too(kiosks, tmp_path):
    a, b, _ = kiosks
    roll_back(a, b, tmp_path / "old")
    a.store.people.enrol(enrolment(2))
    a.store.people.enrol(enrolment(3))
    export(b.member, tmp_path / "stick")
    take(a.member, tmp_path / "stick")  # without any hub

    assert rollback.found(a.store) is not None


def test_many_words_are_one_transaction(kiosks):
    a, b, c = kiosks
    words = [
        (one.member.id, one.member.sign_health({"at": at, "head": one.member.heads.own()}))
        for at in (1.0, 2.0)
        for one in (b, c)
    ]
    done: list[str] = []
    with a.store.database.write() as connection:
        connection.set_trace_callback(done.append)
    assert a.member.hear_healths(words) == 4
    assert done.count("BEGIN IMMEDIATE") == 1
    connection.set_trace_callback(None)
    assert a.member.shared.hubs.heads().keys() == {b.member.id, c.member.id}


def test_nobody_makes_a_head_of_another_kiosk(kiosks):
    a, b, c = kiosks
    head = b.member.heads.own()
    for kiosk in (a.member.id, "stranger"):
        a.member.heads.hear(kiosk, head, a.member.roster)
        a.member.heads.hear(kiosk, "", a.member.roster)
    forged = {"at": 1.0, "holds": {a.member.id: head, c.member.id: 7}, "head": [1], "log": "x"}
    assert a.member.hear_health(b.member.id, b.member.sign_health(forged))

    assert rollback.found(a.store) is None
    assert a.member.shared.hubs.heads() == {}
    assert a.member.heads.newer() == {}


DEEP = "[" * 10_000 + "]" * 10_000


@pytest.mark.parametrize(
    "text",
    [
        '{"at": 1, "log": [Infinity]}',
        '{"at": 1, "log": [1e999]}',
        f'{{"at": {"9" * 400}}}',
        '{"at": NaN}',
        '{"at": 1e12}',
        DEEP,
        f'{{"at": 1, "log": [{"[" * 500}{"]" * 500}]}}',
    ],
)
def test_whatever_a_member_says_of_itself_stops_nobody(kiosks, text):
    a, b, _ = kiosks
    word = text.encode()
    a.member.hear_health(b.member.id, b.member.identity.sign.sign(_HEALTH + word) + word)

    assert a.member.heads.newer() == {}
    assert "log" in FleetSync(a.store).health()
    assert main(["--state", str(a.directory), "fleet", "members"]) == 0


@pytest.mark.parametrize("text", ["[Infinity, 0]", f"[{1 << 70}, 0]", "[0, 0]", "[true, 0]", '["7", 0]', DEEP])
def test_a_head_without_a_number_is_none(kiosks, text):
    a, b, _ = kiosks
    word = text.encode()
    head = text_of(b.member.identity.sign.sign(_HEAD + word) + word)
    assert a.member.hear_health(b.member.id, b.member.sign_health({"at": 1.0, "head": head}))

    assert a.member.shared.hubs.heads() == {}


def test_nothing_is_kept_of_what_a_kiosk_said_of_itself_that_was_taken_off(kiosks, fleet):
    a, b, c = kiosks
    for kiosk in (b, c):
        say(kiosk, a)
    fleet.take_off(b)
    a.member.hear_roster(fleet.signed)

    assert list(a.member.shared.hubs.health()) == [c.member.id]
    assert list(a.member.shared.hubs.heads()) == [c.member.id]


def test_the_head_is_of_the_record_that_is_named_beside_it(kiosks):
    a, b, _ = kiosks
    tail = a.store.log.tail()
    a.store.people.enrol(enrolment(1))
    said = {"at": 1.0, "log": [tail.seq, tail.hash.hex()], "head": a.member.heads.signed(tail)}
    assert b.member.hear_health(a.member.id, a.member.sign_health(said))
    assert b.member.heads.newer() == {}
    told = FleetSync(a.store).health()
    assert told["log"] == [a.store.log.tail().seq, a.store.log.tail().hash.hex()]
    assert told["head"] == a.member.heads.own()


def test_a_running_kiosk_finds_it_at_its_first_connection_and_says_so(site, tmp_path):  # noqa: F811
    _, _, _, kiosks = site
    a, b, _ = kiosks
    a.sync.close()
    old = copied(a, tmp_path / "old")
    a.store.people.enrol(enrolment(21))
    told = a.store.log.tail().seq
    a.sync = FleetSync(a.store)
    a.sync.start()
    until(lambda: b.member.shared.hubs.heads().get(a.member.id, (0,))[0] >= told)
    a.sync.close()
    put_back(a, old)
    a.sync = FleetSync(a.store, health=lambda: {"alarms": ["log_rolled_back"], "pack": "x"})
    a.sync.start()
    until(lambda: rollback.found(a.store) is not None)

    def heard():
        return json.loads(b.member.shared.hubs.health()[a.member.id][1])

    until(lambda: heard().get("alarms") == ["log_rolled_back"])
    assert {"version", "log", "head", "waiting", "unread", "policy", "duplicates", "pack"} <= set(heard())
