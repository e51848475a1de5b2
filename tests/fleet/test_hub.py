"""A real hub with TLS and a user for each kiosk: what one kiosk does is so at the others, and no stranger learns."""

import asyncio
import gc
import threading
from contextlib import contextmanager

import pytest

from kiosk import __version__
from kiosk.fleet import wire
from kiosk.fleet.hub import Address, Hub, prepare, settings_of
from kiosk.fleet.identity import new_identity, read_code
from kiosk.fleet.owner import Owner
from kiosk.fleet.sync import FleetSync
from kiosk.fleet.view import View
from tests.fleet.keys import Fleet, Kiosk, want_server
from tests.patience import LIMIT_S, until
from tests.store.stored import ANN, Clock, enrolment, needles, raw, refusing

pytest.importorskip("nats", reason="nats-py of the extra fleet is not installed")


class RunningHub:
    """A hub and the thread that tends it."""

    def __init__(self, directory, port):
        self.directory, self.port = directory, port
        self.start()

    def start(self):
        self.hub = Hub(self.directory, Address("127.0.0.1", self.port))
        self.hub.start()
        self.stopping, self.ready = threading.Event(), threading.Event()
        more = {"ready": self.ready.set}
        self.thread = threading.Thread(target=self.hub.run, args=(self.stopping.is_set,), kwargs=more, daemon=True)
        self.thread.start()

    def kill(self):
        self.stopping.set()
        self.hub.kill()
        self.thread.join(LIMIT_S)


def begun(place, fleet, port, folder=None):
    """Begin the hub of a fleet; return it and the owner, who remembers in a folder."""
    want_server()
    prepare(place / "hub", fleet.admin, fleet.invitation, fleet.signed, ("127.0.0.1",))
    hub = RunningHub(place / "hub", port)
    until(hub.ready.is_set)
    return hub, Owner(fleet.admin, fleet.invitation, folder)


@contextmanager
def two(place, port, make, names):
    """Give a hub with two kiosks that were let in, each made by make(directory, fleet) and with a running `sync`."""
    fleet = Fleet([f"tls://127.0.0.1:{port}"])
    hub, owner = begun(place, fleet, port)
    kiosks = [make(place / name, fleet) for name in names]
    for kiosk in kiosks:
        let_in(fleet, owner, kiosk)
    yield hub, *kiosks
    for kiosk in kiosks:
        kiosk.sync.close()
        kiosk.store.close()
    hub.kill()
    gc.collect()  # see conftest.py


def let_in(fleet, owner, kiosk):
    card = read_code(kiosk.code)
    owner.change(lambda roster: fleet.admin.add(roster, card))


@pytest.fixture(scope="module")
def site(tmp_path_factory, port):
    """Give a hub with three kiosks: the fleet, the hub, the owner, the kiosks and their threads."""
    place = tmp_path_factory.mktemp("fleet")
    fleet = Fleet([f"tls://127.0.0.1:{port}"])
    hub, owner = begun(place, fleet, port)
    kiosks = [Kiosk(place / name, fleet, Clock()) for name in ("a", "b", "c")]
    for kiosk in kiosks:
        let_in(fleet, owner, kiosk)
        kiosk.sync = FleetSync(kiosk.store)
        kiosk.sync.start()
    yield fleet, hub, owner, kiosks
    for kiosk in kiosks:
        kiosk.sync.close()
        kiosk.store.close()
    hub.kill()
    gc.collect()  # see conftest.py


def level(kiosks):
    def is_level():
        digests = [kiosk.sync.member.shared.digests() for kiosk in kiosks]
        hubs = [kiosk.sync.figures()["hubs"] for kiosk in kiosks]  # none before the fleet's thread is up
        return all(one == digests[0] for one in digests) and all(
            each and not any(hub["waiting"] for hub in each) for each in hubs
        )

    until(is_level)


def test_a_person_enrolled_at_one_kiosk_is_known_and_blocked_at_the_others(site):
    _, _, _, kiosks = site
    a, b, c = kiosks
    ann = a.store.people.enrol(enrolment(1, ANN))
    until(lambda: b.of(ann.session_id) and c.of(ann.session_id))
    b.store.people.block(b.of(ann.session_id).session_number, reason="stolen badge")
    until(lambda: a.of(ann.session_id).is_blocklisted and c.of(ann.session_id).is_blocklisted)

    assert a.of(ann.session_id).details.block_reason == "stolen badge"
    level(kiosks)


def test_what_is_done_while_the_hub_is_away_arrives_when_it_is_back(site):
    _, hub, _, kiosks = site
    a, b, _ = kiosks
    level(kiosks)
    hub.kill()
    until(lambda: not any(kiosk.sync.figures()["hubs"][0]["is_connected"] for kiosk in kiosks))
    late = a.store.people.enrol(enrolment(2))
    assert a.sync.figures()["hubs"][0]["waiting"] == 1
    hub.start()
    until(lambda: b.of(late.session_id) is not None)
    level(kiosks)


def test_a_forgotten_person_has_a_receipt_of_every_kiosk(site):
    _, _, _, kiosks = site
    a, b, _ = kiosks
    eve = a.store.people.enrol(enrolment(3))
    until(lambda: b.of(eve.session_id) is not None)
    b.store.people.forget(b.of(eve.session_id).session_number)
    until(lambda: a.sync.member.receipts(eve.session_id) == (3, 3))

    assert [kiosk.of(eve.session_id) for kiosk in kiosks] == [None] * 3


def test_kiosks_say_how_they_are(site):
    _, _, _, kiosks = site
    a, b, _ = kiosks
    until(lambda: b.member.id in a.sync.member.shared.hubs.health())

    assert '"log"' in a.sync.member.shared.hubs.health()[b.member.id][1]


def test_a_kiosk_that_ends_before_it_notes_what_the_hub_has_sends_it_again_and_nothing_comes_of_it(site):
    _, _, _, kiosks = site
    a, b, _ = kiosks
    level(kiosks)
    with refusing(a.directory, "INSERT ON fleet_position WHEN NEW.sent > 0", saying="the plug was pulled"):
        twice = a.store.people.enrol(enrolment(4))
        until(lambda: "the plug was pulled" in a.sync.figures()["hubs"][0]["reason"])
        until(lambda: b.of(twice.session_id) is not None)
        assert any(hub["waiting"] for hub in a.sync.figures()["hubs"])
    level(kiosks)

    assert b.store.people.subjects().total == a.store.people.subjects().total
    assert len(b.store.people.find(twice.session_id)) == 1


def test_reading_and_sending_everything_again_changes_nothing(site):
    _, _, _, kiosks = site
    level(kiosks)
    before = [kiosk.store.log.tail().seq for kiosk in kiosks]
    for kiosk in kiosks:
        kiosk.sync.close()
        kiosk.sync.member.shared.hubs.rewind()
        kiosk.sync = FleetSync(kiosk.store)
        kiosk.sync.start()
    # A kiosk whose fleet's thread is not up yet has no links.
    until(lambda: all(links and all(link.is_level for link in links) for links in [one.sync.links for one in kiosks]))
    level(kiosks)

    assert [kiosk.store.log.tail().seq for kiosk in kiosks] == before


def test_the_kiosks_that_know_of_a_block_are_counted_until_all_do(site):
    _, _, _, kiosks = site
    a, b, c = kiosks
    view = View(a.sync, a.store)
    dan = a.store.people.enrol(enrolment(40))
    level(kiosks)
    until(lambda: view.person(dan.session_id)["known_by"] == 3)
    c.sync.close()
    a.store.people.block(dan.session_number)
    until(lambda: b.of(dan.session_id).is_blocklisted)
    until(lambda: view.person(dan.session_id)["known_by"] == 2)

    assert [row["knows"] for row in view.person(dan.session_id)["kiosks"] if row["kiosk"] == c.member.id] == [False]
    c.sync = FleetSync(c.store)
    c.sync.start()
    until(lambda: view.person(dan.session_id)["known_by"] == 3)
    assert c.of(dan.session_id).is_blocklisted


def test_whoever_is_known_here_alone_is_known_by_one(site):
    _, _, _, kiosks = site
    level(kiosks)

    assert View(kiosks[0].sync, kiosks[0].store).person("nobody-of-the-fleet")["known_by"] == 1


def test_the_fleet_at_a_glance_has_every_kiosk_how_far_behind_it_is_and_when_it_was_seen(site):
    _, _, _, kiosks = site
    a = kiosks[0]
    view = View(a.sync, a.store)
    level(kiosks)
    seen = []

    def is_well():
        seen.append(view.overview())
        return all(
            row["heard_s"] is not None and row["behind"] == 0 and not row["alarms"] for row in seen[-1]["kiosks"]
        )

    until(is_well)
    told = seen[-1]

    assert [row["name"] for row in told["kiosks"]] == ["a", "b", "c"]
    assert [row["is_me"] for row in told["kiosks"]] == [True, False, False]
    assert {row["version"] for row in told["kiosks"]} == {__version__}
    assert told["people"] == a.sync.member.shared.count()


def test_what_a_member_made_up_in_its_health_breaks_no_page(site):
    _, _, _, kiosks = site
    a, b, _ = kiosks
    odd = {"at": 1e300, "version": ["x"], "roster": True, "parked": "many", "read": 7, "states": [1, "ok", "x" * 999]}
    assert a.sync.member.hear_health(b.member.id, b.member.sign_health(odd))
    row = next(row for row in View(a.sync, a.store).overview()["kiosks"] if row["kiosk"] == b.member.id)

    assert (row["version"], row["roster"], row["parked"], row["said_at"]) == (None, None, None, None)
    assert row["states"] == ["ok", "x" * 60]


def test_a_kiosk_may_write_its_own_subjects_only_and_listen_in_its_own_inbox_only(site):
    fleet, _, _, kiosks = site
    a, b, _ = kiosks
    url = fleet.invitation.hubs[0]

    async def attempt():
        async with wire.connection(url, fleet.invitation, a.member.identity, a.member.id) as client:
            stream = client.jetstream(timeout=LIMIT_S)
            await stream.publish(f"fleet.health.{a.member.id}", b"own")
            for subject in (f"fleet.people.p.{b.member.id}", "fleet.roster", f"fleet.health.{b.member.id}"):
                with pytest.raises(Exception, match=r"(?i)timeout|permissions|no response"):
                    await stream.publish(subject, b"forged", timeout=0.5)
            heard = await client.subscribe(f"{wire.inbox_of(b.member.id)}.>")
            await client.flush()
            with pytest.raises(Exception, match=r".*"):
                await heard.next_msg(timeout=0.3)

    asyncio.run(attempt())


def test_a_stranger_is_not_let_in_and_a_false_hub_is_not_believed(site):
    fleet, _, _, _ = site
    url, other = fleet.invitation.hubs[0], Fleet()
    other.admin = type(other.admin)(bytes(32))

    async def attempt(invitation, identity):
        async with wire.connection(url, invitation, identity, "x"):
            pass

    with pytest.raises(wire.HubError, match="uthorization"):
        asyncio.run(attempt(fleet.invitation, new_identity("stranger")))
    with pytest.raises(wire.HubError, match=r"(?i)certificate"):
        asyncio.run(attempt(other.admin.invitation("Other", ()), new_identity("stranger")))


def test_the_hub_keeps_no_name_and_no_template(site):
    _, hub, _, kiosks = site
    level(kiosks)
    files = [path for path in hub.directory.rglob("*") if path.is_file()]

    assert sum(path.stat().st_size for path in files) > 1000
    assert [path.name for path in files for needle in needles() if needle in path.read_bytes()] == []


def test_the_roster_is_read_before_the_people(site):
    """Trap 1, the carrier's half: a newcomer opens everything at once, and parks nothing."""
    fleet, _, owner, kiosks = site
    level(kiosks)
    place = kiosks[0].directory.parent
    late = Kiosk(place / "late", fleet, Clock())
    let_in(fleet, owner, late)
    late.sync = FleetSync(late.store)
    with raw(late.directory) as disk:
        disk.execute("CREATE TABLE was_parked (why TEXT)")
        disk.execute(
            "CREATE TRIGGER parks AFTER INSERT ON fleet_parked BEGIN INSERT INTO was_parked VALUES (NEW.why); END"
        )
        late.sync.start()
        kiosks.append(late)
        level(kiosks)

        assert late.sync.member.shared.count()
        assert disk.execute("SELECT * FROM was_parked").fetchall() == []


def test_a_kiosk_taken_off_is_cut_off_and_believed_nothing_new(site):
    _, hub, owner, kiosks = site
    a, b, gone = kiosks[:3]
    kept = gone.store.people.enrol(enrolment(7))
    until(lambda: a.of(kept.session_id) is not None)
    level(kiosks)
    owner.revoke(gone.member.id)
    until(lambda: not gone.sync.figures()["hubs"][0]["is_connected"])
    forged = gone.store.people.enrol(enrolment(8))
    new = a.store.people.enrol(enrolment(9))
    until(lambda: b.of(new.session_id) is not None)
    kiosks.remove(gone)
    level(kiosks)

    assert gone.of(new.session_id) is None
    assert [kiosk.of(forged.session_id) for kiosk in kiosks] == [None] * len(kiosks)
    assert all(kiosk.of(kept.session_id) for kiosk in kiosks)
    assert gone.member.id not in hub.hub.roster.members
    gone.sync.close()
    gone.store.close()


def test_the_hubs_settings_hold_no_secret_of_a_kiosk(site):
    fleet, hub, _, kiosks = site
    text = settings_of(hub.directory, Address("::", 1), fleet.invitation, new_identity("hub"), hub.hub.roster)

    for kiosk in kiosks:
        assert kiosk.member.identity.nats_seed not in text
    assert "min_version" in text
