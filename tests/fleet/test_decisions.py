"""Decisions go to the owner's log: each once, in order, sealed, whatever ends in between; over a real hub."""

import io
import json
import shutil
from datetime import datetime, timedelta, timezone

import pytest

from kiosk.assembly import with_fleet
from kiosk.cli.main import main
from kiosk.device.outgoing import NothingLeaves
from kiosk.errors import StoreError
from kiosk.fleet.admin import Admin
from kiosk.fleet.decisions import read_decisions
from kiosk.fleet.member import ask_to_join, leave
from kiosk.fleet.outgoing import FleetOutgoing
from kiosk.fleet.sync import FleetSync
from kiosk.settings.config import Config
from kiosk.settings.network import FleetSettings
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.directory import open_store
from kiosk.store.keys import read_keys
from kiosk.store.outbox import FLEET, OutboxState
from kiosk.store.subjects import Enrolment
from kiosk.store.upkeep import backup, restore, rollback
from tests.fleet.keys import Fleet, Kiosk
from tests.fleet.test_hub import site  # noqa: F401  a fixture
from tests.patience import LIMIT_S, until
from tests.store.stored import ANN, Clock, needles, refusing, template

SINCE = datetime(2000, 1, 1, tzinfo=timezone.utc)


def decide(kiosk, status="Approved", person=None, **more):
    number = None if person is None else kiosk.of(person.session_id).session_number
    decision = NewDecision(
        Kind.IDENTIFY, status, score=81.0, session_number=number, details={"reasons": ["matched"]}, **more
    )
    rows = FleetOutgoing(kiosk.store, NothingLeaves())(decision, {})
    from dataclasses import replace

    return kiosk.store.record_decision(replace(decision, outbox=tuple(rows))).request_id


def waiting(store):
    counts = store.fleet_outbox.counts()
    return counts[OutboxState.WAITING] + counts[OutboxState.SENDING]


def sent(kiosk):
    return waiting(kiosk.store) == 0


def restarted(kiosk):
    kiosk.sync.close()
    kiosk.sync = FleetSync(kiosk.store)
    kiosk.sync.start()


def read(owner, kiosk):
    told = owner.decisions(kiosk.member.id, since=SINCE)
    assert [one.fault for one in told] == [None] * len(told)
    return [one.body["request_id"] for one in told]


def test_each_decision_arrives_once_in_order_and_names_nobody(site):  # noqa: F811
    _, hub, owner, kiosks = site
    a, b, _ = kiosks
    ann = a.store.people.enrol(Enrolment([template(1)], ANN))
    made = [decide(a, person=ann, vendor_data="vendor-ann"), decide(a, "Declined"), decide(a, person=ann)]
    until(lambda: sent(a))

    assert read(owner, a) == made
    assert read(owner, b) == []
    told = owner.decisions(None, since=SINCE)
    assert [one.body["person"] for one in told] == [ann.session_id, None, ann.session_id]
    assert (told[0].body["status"], told[0].body["reasons"], told[0].body["score"]) == ("Approved", ["matched"], 81.0)
    assert owner.decisions(None, since=datetime.now(timezone.utc) + timedelta(days=1)) == ()
    files = [path for path in hub.directory.rglob("*") if path.is_file()]
    hidden = [*needles(), b"Approved", b"matched"]
    assert [path.name for path in files for needle in hidden if needle in path.read_bytes()] == []


def test_what_was_decided_without_a_hub_arrives_later_in_order(site):  # noqa: F811
    _, hub, owner, kiosks = site
    a, *_ = kiosks
    before = read(owner, a)
    hub.kill()
    until(lambda: not a.sync.figures()["hubs"][0]["is_connected"])
    made = [decide(a) for _ in range(5)]
    assert a.sync.figures()["decisions"]["waiting"] == 5
    hub.start()
    until(lambda: sent(a))

    assert read(owner, a) == before + made


def test_a_kiosk_that_ends_before_it_notes_the_acknowledgement_sends_nothing_twice(site):  # noqa: F811
    _, _, owner, kiosks = site
    a, *_ = kiosks
    before = read(owner, a)
    with refusing(a.directory, "UPDATE ON outbox WHEN NEW.state = 'sent'", saying="the plug was pulled"):
        made = [decide(a), decide(a)]
        until(lambda: "the plug was pulled" in a.sync.figures()["hubs"][0]["reason"])
        assert waiting(a.store) == 2
    until(lambda: sent(a))

    assert read(owner, a) == before + made


def test_a_store_put_back_to_a_backup_sends_nothing_twice(site):  # noqa: F811
    _, _, owner, kiosks = site
    b = kiosks[1]
    b.sync.close()
    made = [decide(b), decide(b)]
    path = backup.write(b.store.database, b.store.vault, b.directory / "backups", now=Clock()()).path
    restarted(b)
    until(lambda: sent(b))
    b.sync.close()
    b.store.close()
    restore.restore(b.directory, path, read_keys(b.directory), now=Clock(), overwrite=True)
    b.store = open_store(b.directory, read_keys(b.directory), now=Clock())
    assert waiting(b.store) == 2
    restarted(b)
    late = decide(b)
    until(lambda: sent(b))

    assert read(owner, b) == [*made, late]


def test_what_a_store_put_back_decides_is_not_taken_for_what_it_lost(site, tmp_path):  # noqa: F811
    _, _, owner, kiosks = site
    b = kiosks[1]

    def put(source, to):
        b.sync.close()
        b.store.close()
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(source, to)
        b.store = open_store(b.directory, read_keys(b.directory), now=Clock())

    put(b.directory, tmp_path / "old")
    lost = [decide(b) for _ in range(3)]
    restarted(b)
    until(lambda: sent(b))
    put(tmp_path / "old", b.directory)
    made = [decide(b)]
    restarted(b)
    until(lambda: sent(b) and rollback.found(b.store) is not None)
    rollback.accept(b.store, actor="x")
    made.append(decide(b))
    until(lambda: sent(b))

    assert read(owner, b)[-5:] == [*lost, *made]


def test_somebody_forgotten_before_it_was_sent_is_not_told_of(site):  # noqa: F811
    _, _, owner, kiosks = site
    c = kiosks[2]
    c.sync.close()
    bob = c.store.people.enrol(Enrolment([template(2)]))
    decide(c, person=bob)
    c.store.people.forget(bob.session_number)
    other = decide(c)
    restarted(c)
    until(lambda: sent(c))

    assert read(owner, c) == [other]
    assert OutboxState.SUPERSEDED in {row.state for row in c.store.fleet_outbox.rows()}
    assert c.store.outbox.rows() == ()  # the cloud's queue is another
    assert sum(c.store.outbox.counts().values()) == 0


def test_a_kiosk_reads_and_writes_no_other_kiosks_log(site):  # noqa: F811
    import asyncio

    from nats.errors import Error as NatsError

    from kiosk.fleet import wire

    fleet, _, owner, kiosks = site
    a, b, _ = kiosks
    before = owner.decisions(None, since=SINCE)

    async def attempt(work, within_s=1.0):
        url = fleet.invitation.hubs[0]
        try:
            async with wire.connection(url, fleet.invitation, a.member.identity, a.member.id) as client:
                stream = client.jetstream(timeout=within_s)
                await work(stream)
        except (wire.HubError, NatsError, asyncio.TimeoutError):
            return False
        return True

    assert not asyncio.run(attempt(lambda one: one.get_last_msg(wire.LOG, f"fleet.log.{b.member.id}", direct=True)))
    assert not asyncio.run(attempt(lambda one: one.publish(f"fleet.log.{b.member.id}", b"x")))
    own = attempt(lambda one: one.get_last_msg(wire.LOG, f"fleet.log.{a.member.id}", direct=True), LIMIT_S)
    assert asyncio.run(own)
    assert owner.decisions(None, since=SINCE) == before


def test_the_owner_prints_the_log(site, tmp_path, capsys, monkeypatch):  # noqa: F811
    fleet, _, owner, kiosks = site
    folder = tmp_path / "owner"
    folder.mkdir()
    fleet.admin.write(folder / "owner.key", "a passphrase", cost=1 << 10)
    (folder / "fleet.json").write_text(fleet.invitation.dump())
    lines = {}
    for form in ([], ["--json"]):
        monkeypatch.setattr("sys.stdin", io.StringIO("a passphrase\n"))
        assert main(["fleet", "log", "--owner", str(folder), "--kiosk", "a", *form]) == 0
        lines[bool(form)] = capsys.readouterr().out.splitlines()

    assert [json.loads(line)["request_id"] for line in lines[True]] == read(owner, kiosks[0])
    assert "IDENTIFY  Approved" in lines[False][0]


def test_a_log_with_a_hole_or_a_forgery_says_so(tmp_path):
    from kiosk.fleet.decisions import DecisionSender, _Last

    fleet = Fleet()
    a = Kiosk(tmp_path / "a", fleet, Clock())
    fleet.let_in(a)
    a.member.hear_roster(fleet.signed)
    for _ in range(3):
        decide(a)
    sender, last, messages = DecisionSender(a.member, a.store), 0, []
    for row in a.store.fleet_outbox.rows():
        messages.append((a.member.id, sender._sealed(row, _Last(0, last))))
        last = row.seq
    keys = fleet.roster.keys_for("admin", fleet.admin.identity.seal)
    a.store.close()

    def faults(found):
        return [one.fault is not None for one in read_decisions(found, fleet.roster, keys)]

    assert faults(messages) == [False, False, False]
    assert faults([messages[0], messages[2]]) == [False, True]
    assert faults([("stranger", messages[0][1]), messages[0]]) == [True, False]
    changed = bytearray(messages[0][1])
    changed[-1] ^= 1  # a signature may end with any byte
    assert faults([(a.member.id, bytes(changed)), messages[1]]) == [True, False]


def test_a_damaged_answer_is_not_needed_and_a_damaged_row_holds_nothing_else_up(tmp_path):
    from kiosk.fleet.decisions import DecisionSender, _Last

    fleet = Fleet()
    a = Kiosk(tmp_path / "a", fleet, Clock())
    fleet.let_in(a)
    a.member.hear_roster(fleet.signed)
    made = [decide(a, vendor_data="one"), decide(a, vendor_data="two")]
    with a.store.database.write() as connection:
        connection.execute("UPDATE log_private SET sealed = zeroblob(90)")
        connection.execute("UPDATE outbox SET payload = zeroblob(90) WHERE id = 1")
    with pytest.raises(StoreError):
        a.store.decisions(None)
    sender = DecisionSender(a.member, a.store)
    first, row = sender._claim(), sender._claim()
    assert row is not None
    messages = [(a.member.id, sender._sealed(row, _Last()))]
    keys = fleet.roster.keys_for("admin", fleet.admin.identity.seal)
    a.store.close()

    assert (first, row.request_id) == (None, made[1])
    assert "outbox row 1" in str(sender.fault)
    assert [one.body["request_id"] for one in read_decisions(messages, fleet.roster, keys)] == made[1:]


def test_decisions_of_one_fleet_are_never_the_next_owners(tmp_path):
    fleet = Fleet()
    a = Kiosk(tmp_path / "a", fleet, Clock())
    decide(a)
    decide(a)
    a.store.fleet_outbox.claim(1e18)
    assert waiting(a.store) == 2
    leave(a.store)
    assert waiting(a.store) == 0
    decide(a)  # by a process that has not heard of it yet
    ask_to_join(a.store, Admin(bytes(range(1, 33))).invitation("Other", ()), "a")
    late = decide(a)
    rows = a.store.fleet_outbox.rows()
    a.store.close()

    assert [row.state for row in rows] == [OutboxState.SUPERSEDED] * 3 + [OutboxState.WAITING]
    assert [row.payload is None for row in rows] == [True] * 3 + [False]
    assert rows[-1].request_id == late


@pytest.mark.parametrize("wanted", [True, False])
def test_nothing_is_kept_for_a_fleet_unless_a_setting_says_so(tmp_path, wanted):
    fleet = Fleet()
    a = Kiosk(tmp_path / "a", fleet, Clock())
    outgoing = with_fleet(None, a.store, Config(fleet=FleetSettings(decisions=wanted))) or NothingLeaves()
    rows = outgoing(NewDecision(Kind.IDENTIFY, "Declined"), {})
    other = outgoing(NewDecision(Kind.DOOR, ""), {})
    a.store.close()

    assert [row.policy for row in rows] == ([FLEET] if wanted else [])
    assert other == ()
