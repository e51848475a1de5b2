"""What the owner orders for every kiosk: signed, sealed, the last revision, by a real hub and by a stick."""

import json
from dataclasses import replace
from typing import Any

import pytest

from kiosk.cli.fleet.orders import give_order
from kiosk.errors import ConfigError, RefusedError
from kiosk.fleet.member import Member
from kiosk.fleet.orders import POLICY, SETTINGS, Order, open_order, revision_of, seal_order
from kiosk.fleet.policy import Policy, policy_of, read_policy, shut, write_policy
from kiosk.fleet.stick import export, take
from kiosk.fleet.sync import FleetSync
from kiosk.fleet.view import View
from kiosk.store.store import DOOR
from kiosk.store.subjects import Details, Enrolment
from tests.fleet.keys import Kiosk
from tests.fleet.test_hub import let_in, site  # noqa: F401  a fixture
from tests.patience import until
from tests.store.stored import Clock, raw, template


def ordered(fleet, body, *, kind=POLICY, revision=1, signer=None, epoch=None):
    keys = fleet.roster.keys_for("admin", fleet.admin.identity.seal)
    key = keys[fleet.roster.epoch]
    signer = signer or fleet.admin.identity.sign
    return seal_order(Order(kind, revision, body), epoch=epoch or fleet.roster.epoch, key=key, signer=signer)


def doors(**groups):
    return {"doors": groups}


# ---- an order


def test_an_order_is_the_owners_and_stands_in_its_own_place(fleet, kiosks):
    a, _ = kiosks
    admin, keys = fleet.invitation.admin, fleet.roster.keys_for("admin", fleet.admin.identity.seal)
    envelope = ordered(fleet, doors())

    assert open_order(envelope, POLICY, admin, keys) == Order(POLICY, 1, doors())
    assert open_order(envelope, POLICY, admin, {}) is None
    for wrong, kind in (
        (envelope, SETTINGS),
        (envelope, "roster"),
        (ordered(fleet, doors(), signer=a.member.identity.sign), POLICY),
        (envelope[:-1] + bytes([envelope[-1] ^ 1]), POLICY),
        (envelope[:8] + bytes(8) + envelope[16:], POLICY),
        (b"", POLICY),
    ):
        with pytest.raises(RefusedError):
            revision_of(wrong, kind, admin)
    assert b"doors" not in envelope


def test_a_revision_only_rises(fleet, kiosks):
    a, _ = kiosks
    assert a.member.hear_order(POLICY, ordered(fleet, doors(**{"*": ["it"]}), revision=5))
    assert not a.member.hear_order(POLICY, ordered(fleet, doors(**{"*": ["*"]}), revision=5))
    assert not a.member.hear_order(POLICY, ordered(fleet, doors(**{"*": ["*"]}), revision=4))
    assert a.store.door_groups() == {"it"}
    assert a.member.hear_order(POLICY, ordered(fleet, doors(**{"*": ["*"]}), revision=6))
    assert a.store.door_groups() == {"*"}


def test_an_order_whose_key_has_not_arrived_waits_for_it_and_the_one_before_stays_in_force(fleet, kiosks):
    a, b = kiosks
    a.member.hear_order(POLICY, ordered(fleet, doors(**{"*": ["staff"]})))
    fleet.take_off(b)  # a new epoch
    a.member.hear_order(POLICY, ordered(fleet, doors(**{"*": ["it"]}), revision=2))
    assert a.member.policy().revision == 1
    assert a.store.door_groups() == {"staff"}
    a.member.hear_roster(fleet.signed)

    assert a.store.door_groups() == {"it"}
    assert b.store.door_groups() is None


def test_an_order_of_a_newer_program_changes_nothing(fleet, kiosks):
    a, _ = kiosks
    a.member.hear_order(POLICY, ordered(fleet, doors(**{"*": ["staff"]})))
    a.member.hear_order(POLICY, ordered(fleet, {"gates": {}}, revision=2))

    assert a.store.door_groups() == {"staff"}


def test_a_policy_that_was_kept_and_not_obeyed_is_obeyed_by_whatever_comes_next(fleet, kiosks):
    a, b = kiosks
    envelope = ordered(fleet, doors(**{"*": ["staff"]}))
    for kiosk in kiosks:  # as a process left it that ended in between
        kiosk.member.shared.orders.keep(POLICY, 1, envelope)
        assert kiosk.store.door_groups() is None
    assert not a.member.hear_order(POLICY, envelope)
    Member(b.store)

    assert [kiosk.store.door_groups() for kiosk in kiosks] == [{"staff"}] * 2
    a.store.secrets.remove(DOOR)  # as somebody who has the disk can
    sync = FleetSync(a.store)
    assert a.store.door_groups() == {"staff"}
    a.store.secrets.remove(DOOR)
    sync.start()
    until(lambda: a.store.door_groups() == {"staff"})  # without any hub
    sync.close()


# ---- the policy


def test_a_kiosk_that_no_line_names_lets_nobody_in():
    policy = Policy(1, {"a": ("staff",), "b": ("*",)})

    assert (policy.of("a"), policy.of("b"), policy.of("c")) == (("staff",), ("*",), ())
    assert replace(policy, doors={"*": ("it",)}).of("c") == ("it",)


def test_the_owners_file_names_kiosks_as_people_do(fleet, kiosks, tmp_path):
    a, b = kiosks
    path = tmp_path / "policy.toml"
    path.write_text(f'[doors]\na = ["staff", "*"]\n{b.member.id} = [" it ", "board", "it"]\n')
    policy = read_policy(path, fleet.roster)

    assert policy.doors == {a.member.id: ("*",), b.member.id: ("board", "it")}
    assert policy_of(Order(POLICY, 3, policy.plain())) == replace(policy, revision=3)
    path.write_text(write_policy(policy, fleet.roster))
    assert read_policy(path, fleet.roster) == policy
    assert shut(policy, fleet.roster) == ()
    assert shut(Policy(1, {a.member.id: ("staff",)}), fleet.roster) == ("b",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[gates]\n",
        "doors = 1\n",
        '[doors]\nc = ["staff"]\n',
        '[doors]\na = "staff"\n',
        "[doors]\na = [1]\n",
        '[doors]\na = ["one, two"]\n',
        '[doors]\na = ["staff"]\n[more]\n',
    ],
)
@pytest.mark.usefixtures("kiosks")
def test_a_file_that_is_no_policy_is_refused(fleet, tmp_path, text):
    (tmp_path / "policy.toml").write_text(text)

    with pytest.raises(ConfigError, match=r"policy\.toml"):
        read_policy(tmp_path / "policy.toml", fleet.roster)


def test_a_stick_carries_orders_too(fleet, kiosks, tmp_path):
    a, b = kiosks
    a.member.hear_order(POLICY, ordered(fleet, doors(**{"*": ["staff"]})))
    export(a.member, tmp_path / "stick")
    take(b.member, tmp_path / "stick")

    assert b.store.door_groups() == {"staff"}


def test_an_order_of_a_newer_program_holds_nothing_else_on_a_stick_up(fleet, kiosks, tmp_path):
    a, b = kiosks
    ann = a.store.people.enrol(Enrolment([template(1)]))
    a.member.hear_order(POLICY, ordered(fleet, doors(**{"*": ["*"]})))
    export(a.member, tmp_path / "stick")
    head, *lines = (tmp_path / "stick").read_text().splitlines()
    plain = json.loads(head)
    plain["orders"] = {"gates": plain["orders"][POLICY], **plain["orders"]}
    (tmp_path / "stick").write_text("\n".join([json.dumps(plain), *lines]) + "\n")
    done = take(b.member, tmp_path / "stick")

    assert (len(done.refused), done.people) == (1, 1)
    assert b.of(ann.session_id) is not None
    assert b.store.door_groups() == {"*"}


def test_a_revision_is_above_any_that_the_owners_folder_gave(fleet, tmp_path):
    class Silent:
        """A hub that lost its disk."""

        missed = ()

        def give(self, kind, body, *, above, **_more):
            order = Order(kind, above + 1, body)
            return order, ordered(fleet, body, kind=kind, revision=order.revision)

    silent: Any = Silent()
    revisions = [give_order(tmp_path, silent, fleet.invitation, POLICY, doors()).revision for _ in range(3)]
    assert revisions == [1, 2, 3]


# ---- by a hub


def test_a_policy_reaches_every_kiosk_and_each_holds_whom_it_lets_in(site):  # noqa: F811
    _, hub, owner, kiosks = site
    a, b, c = kiosks
    staff, guest = (
        a.store.people.enrol(Enrolment([template(seed)], Details(groups=(group,))))
        for seed, group in ((31, "staff"), (32, "guests"))
    )
    until(lambda: all(kiosk.of(guest.session_id) and kiosk.of(staff.session_id) for kiosk in (b, c)))
    order, _ = owner.give(POLICY, doors(**{b.member.id: ["staff"], "*": ["*"]}))
    until(lambda: b.of(guest.session_id) is None)
    until(lambda: (b.store.door_groups(), c.store.door_groups()) == ({"staff"}, {"*"}))
    assert b.of(staff.session_id) is not None
    assert b.sync.figures()["policy"] == {"revision": order.revision, "groups": ["staff"]}
    view = View(a.sync, a.store)
    until(lambda: [row["doors"] for row in view.overview()["kiosks"]] == [None, ["staff"], None])
    assert [row["goes_in"] for row in view.person(guest.session_id)["kiosks"]] == [True, False, True]
    until(lambda: view.person(guest.session_id)["known_by"] == 3)  # b read of the guest, and holds nobody of them
    c.store.people.patch(
        c.of(guest.session_id).session_number, lambda one: replace(one, details=Details(groups=("staff",)))
    )
    until(lambda: b.of(guest.session_id) is not None)  # its face was read again
    assert b.of(guest.session_id).references == 1
    until(lambda: all(row["goes_in"] for row in view.person(guest.session_id)["kiosks"]))
    until(lambda: view.person(guest.session_id)["known_by"] == 3)
    assert owner.order(POLICY) == order
    until((hub.directory / "order-policy").exists)


def test_a_newcomer_hears_the_policy_before_the_people(site):  # noqa: F811
    fleet, _, owner, kiosks = site
    a, *_ = kiosks
    person = a.store.people.enrol(Enrolment([template(33)], Details(groups=("guests",))))
    owner.give(POLICY, doors(**{a.member.id: ["*"], "*": ["staff"]}))
    late = Kiosk(a.directory.parent / "late", fleet, Clock())
    let_in(fleet, owner, late)
    late.sync = FleetSync(late.store)
    with raw(late.directory) as disk:
        disk.execute("CREATE TABLE heard (is_door_known INTEGER)")
        disk.execute(
            "CREATE TRIGGER hears BEFORE INSERT ON fleet_document"
            f" BEGIN INSERT INTO heard SELECT count(*) FROM secret WHERE name = '{DOOR}'; END"
        )
        late.sync.start()
        kiosks.append(late)
        until(lambda: any(hub["is_level"] for hub in late.sync.figures()["hubs"]))

        assert set(disk.execute("SELECT is_door_known FROM heard").fetchall()) == {(1,)}
    assert late.store.door_groups() == frozenset({"staff"})
    assert late.of(person.session_id) is None
    assert {one.details.groups for one in late.store.people.subjects().subjects} == {("staff",)}


def test_a_kiosk_may_not_order_and_an_order_survives_the_hubs_disk(site):  # noqa: F811
    import asyncio
    import shutil

    from kiosk.fleet import wire

    fleet, hub, owner, kiosks = site
    a, *_ = kiosks
    before = owner.order(POLICY)

    async def forge():
        async with wire.connection(
            fleet.invitation.hubs[0], fleet.invitation, a.member.identity, a.member.id
        ) as client:
            await client.publish("fleet.settings.policy", b"forged")
            await client.flush()

    asyncio.run(forge())
    hub.kill()
    shutil.rmtree(hub.directory / "jetstream")
    hub.start()
    until(hub.ready.is_set)

    assert owner.order(POLICY) == before
    until(lambda: all(kiosk.sync.figures()["hubs"][0]["is_level"] for kiosk in kiosks))


def test_the_command_line_shows_and_sets_a_policy(site, tmp_path, capsys, monkeypatch):  # noqa: F811
    import io

    from kiosk.cli.main import main

    fleet, _, _, kiosks = site
    a, *_ = kiosks
    folder = tmp_path / "owner"
    folder.mkdir()
    fleet.admin.write(folder / "owner.key", "a passphrase", cost=1 << 10)
    (folder / "fleet.json").write_text(fleet.invitation.dump())
    (tmp_path / "policy.toml").write_text('[doors]\na = ["*"]\nb = ["staff"]\n')

    def run(*words):
        monkeypatch.setattr("sys.stdin", io.StringIO("a passphrase\n"))
        return main([str(word) for word in words])

    assert run("fleet", "policy", "set", tmp_path / "policy.toml", "--owner", folder) == 0
    captured = capsys.readouterr()
    assert "nobody goes through c" in captured.err
    assert run("fleet", "policy", "show", "--owner", folder) == 0
    text = capsys.readouterr().out
    assert '"a" = ["*"]' in text
    until(lambda: len(a.sync.member.policy().doors) == 2)
    assert run("--state", a.directory, "fleet", "status") == 0
    assert "Through this door: *" in capsys.readouterr().out
    assert run("--state", a.directory, "fleet", "policy", "show", "--json") == 0
    assert json.loads(capsys.readouterr().out)["doors"][a.member.id] == ["*"]
