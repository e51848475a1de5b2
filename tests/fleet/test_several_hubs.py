"""Two hubs of one fleet: what the owner says at one reaches both, once each, and no roster is ever signed twice."""

import asyncio
import datetime as dt

import pytest

from kiosk.errors import KioskError
from kiosk.fleet import wire
from kiosk.fleet.hub import prepare
from kiosk.fleet.identity import new_identity
from kiosk.fleet.orders import POLICY, SETTINGS
from kiosk.fleet.owner import Owner
from kiosk.fleet.sync import FleetSync
from tests.fleet.keys import Fleet, Kiosk, want_server
from tests.fleet.test_hub import RunningHub, let_in
from tests.patience import reserved_port, until
from tests.store.stored import Clock, enrolment

pytest.importorskip("nats", reason="nats-py of the extra fleet is not installed")


@pytest.fixture
def site(tmp_path, port):
    """Give two hubs, the owner, and two kiosks that reach both."""
    with reserved_port() as other:
        fleet = Fleet([f"tls://127.0.0.1:{one}" for one in (port, other)])
        want_server()
        hubs = []
        for name, one in (("first", port), ("second", other)):
            prepare(tmp_path / name, fleet.admin, fleet.invitation, fleet.signed, ("127.0.0.1",))
            hubs.append(RunningHub(tmp_path / name, one))
        owner = Owner(fleet.admin, fleet.invitation, tmp_path)
        until(lambda: all(hub.ready.is_set() for hub in hubs))
        kiosks = [Kiosk(tmp_path / name, fleet, Clock()) for name in ("a", "b")]
        for kiosk in kiosks:
            let_in(fleet, owner, kiosk)
            kiosk.sync = FleetSync(kiosk.store)
            kiosk.sync.start()
        until(lambda: [link["is_connected"] for one in kiosks for link in one.sync.figures()["hubs"]] == [True] * 4)
        yield fleet, hubs, owner, kiosks
        for kiosk in kiosks:
            kiosk.sync.close()
            kiosk.store.close()
        for hub in hubs:
            hub.kill()


def back(hub):
    hub.start()
    until(hub.ready.is_set)


def doors(groups):
    return {"doors": {"*": groups}}


def test_the_owner_s_word_goes_to_every_hub_that_answers_and_kiosks_bring_it_to_the_others(site, tmp_path):
    fleet, (first, second), owner, kiosks = site
    assert owner.missed == ()
    second.kill()
    owner.give(POLICY, doors(["staff"]))
    assert len(owner.missed) == 1
    late = Kiosk(tmp_path / "late", fleet, Clock())
    let_in(fleet, owner, late)
    until(lambda: all(kiosk.store.door_groups() == frozenset({"staff"}) for kiosk in kiosks))
    until(lambda: second.hub.roster.number < first.hub.roster.number)
    back(second)
    until(lambda: second.hub.roster.number == first.hub.roster.number)  # brought by a kiosk
    until((second.directory / "order-policy").exists)
    late.sync = FleetSync(late.store)
    late.sync.start()
    kiosks.append(late)
    until(lambda: [link["is_connected"] for link in late.sync.figures()["hubs"]] == [True] * 2)  # both know it
    until(lambda: late.store.door_groups() == frozenset({"staff"}))


def test_a_kiosk_taken_off_at_one_hub_is_cut_off_at_the_other_when_that_is_back(site):
    _, (_, second), owner, kiosks = site
    a, gone = kiosks
    second.kill()
    owner.revoke(gone.member.id)
    back(second)
    until(lambda: gone.member.id not in second.hub.roster.members)
    until(lambda: not any(link["is_connected"] for link in gone.sync.figures()["hubs"]))
    until(lambda: all(link["is_connected"] for link in a.sync.figures()["hubs"]))


def test_an_owner_who_reaches_the_other_hub_first_signs_no_second_roster_of_one_number(site, tmp_path):
    fleet, (first, second), owner, kiosks = site
    for kiosk in kiosks:
        kiosk.sync.close()  # so that nobody carries
    first.kill()
    there = owner.change(lambda roster: roster_after(fleet, roster))
    second.kill()
    back(first)
    again = owner.change(lambda roster: roster_after(fleet, roster))
    assert again.number == there.number + 1  # the owner's folder remembers
    assert again.members.keys() >= there.members.keys()
    back(second)
    elsewhere = Owner(fleet.admin, fleet.invitation, tmp_path / "none-yet")
    assert elsewhere.roster().number == again.number  # the newest of any hub
    with pytest.raises(KioskError):  # whose folder is not there: nothing is signed that is not remembered
        elsewhere.change(lambda roster: roster_after(fleet, roster))


def roster_after(fleet, roster):
    """Let one more kiosk in."""
    return fleet.admin.add(roster, new_identity(f"kiosk {roster.number}").card)


def test_a_person_s_documents_and_acts_go_to_both_hubs_once_and_through_either(site):
    _, (first, second), _, kiosks = site
    a, b = kiosks
    first.kill()
    ann = a.store.people.enrol(enrolment(1))
    until(lambda: b.of(ann.session_id) is not None)  # by the second
    back(first)
    until(lambda: not any(link["waiting"] for kiosk in kiosks for link in kiosk.sync.figures()["hubs"]))
    second.kill()
    b.store.people.block(b.of(ann.session_id).session_number)
    until(lambda: a.of(ann.session_id).is_blocklisted)  # by the first

    assert len(a.store.people.find(ann.session_id)) == 1


def test_settings_that_a_kiosk_brings_are_the_owner_s_and_newer_or_nothing(site):
    fleet, (first, second), owner, kiosks = site
    a, _ = kiosks
    order, signed = owner.give(SETTINGS, {"entrance": {"identify_threshold": 88.0}})
    newer, _ = owner.give(SETTINGS, {"entrance": {"identify_threshold": 89.0}})

    async def bring():
        async with wire.connection(fleet.invitation.hubs[1], fleet.invitation, a.member.identity, a.member.id) as one:
            for what, content in (("settings", signed), ("settings", b"forged"), ("roster", b"x"), ("odd", b"y")):
                await one.publish(wire.carry_subject(what), content)
            await one.flush()

    asyncio.run(bring())
    policy, _ = owner.give(POLICY, doors(["it"]))  # whatever came before this was looked at
    until(lambda: a.sync.member.order(POLICY) == policy)

    assert owner.order(SETTINGS) == newer
    assert order.revision == newer.revision - 1
    assert second.thread.is_alive()
    assert first.thread.is_alive()


def test_what_is_older_in_a_hub_s_stream_puts_nothing_newer_away(site):
    fleet, (first, _), owner, kiosks = site
    for kiosk in kiosks:
        kiosk.sync.close()  # so that nobody carries
    _, older = owner.give(POLICY, doors(["staff"]))
    newer, _ = owner.give(POLICY, doors(["it"]))
    before = first.hub._signed
    roster = owner.change(lambda known: roster_after(fleet, known))
    until(lambda: first.hub.roster.number == roster.number)
    kept = first.directory / "order-policy"
    until(lambda: kept.exists() and kept.read_bytes() != older)

    async def put_back():  # as two who bring something at once could
        async with wire.connection(fleet.invitation.hubs[0], fleet.invitation, fleet.admin.identity, "owner") as one:
            stream = one.jetstream(timeout=wire.ANSWER_S)
            await stream.publish("fleet.roster", before, stream=wire.ROSTER)
            await stream.publish(wire.order_subject(POLICY), older, stream=wire.SETTINGS)

    async def last():
        async with wire.connection(fleet.invitation.hubs[0], fleet.invitation, fleet.admin.identity, "owner") as one:
            stream = one.jetstream(timeout=wire.ANSWER_S)
            found = [await stream.get_last_msg(wire.ROSTER, "fleet.roster")]
            found.append(await stream.get_last_msg(wire.SETTINGS, wire.order_subject(POLICY)))
            return [message.data for message in found]

    asyncio.run(put_back())
    until(lambda: asyncio.run(last()) == [first.hub._signed, kept.read_bytes()])
    assert (owner.roster().number, owner.order(POLICY)) == (roster.number, newer)


def test_an_owner_cut_off_before_the_hubs_had_what_was_signed_brings_it_with_the_next_look(site, tmp_path):
    fleet, hubs, owner, _ = site
    signed = fleet.admin.sign(roster_after(fleet, owner.roster()))
    (tmp_path / "roster").write_bytes(signed)  # kept, and then the line went
    number = owner.roster().number

    until(lambda: all(hub.hub.roster.number == number for hub in hubs))


def test_decisions_lie_at_the_first_hub_alone_and_are_read_nowhere_else(site):
    _, (first, _), owner, _ = site
    since = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    assert owner.decisions(None, since=since) == ()
    first.kill()
    with pytest.raises(wire.HubError):  # and not: nobody decided anything
        owner.decisions(None, since=since)
