"""An update by a real hub: one kiosk first, the others after it, nobody after one that went back."""

import asyncio
import io
import json

import pytest

from kiosk.cli.main import main
from kiosk.errors import ConfigError
from kiosk.fleet import wire
from kiosk.fleet.orders import UPDATE
from kiosk.fleet.owner import OWNER
from kiosk.fleet.updates.order import PIECE, read_bundle
from kiosk.fleet.updates.pieces import put_bundle
from kiosk.fleet.view import View
from tests.fleet.keys import Fleet
from tests.fleet.test_hub import begun, let_in
from tests.fleet.updating import NEW, Updated, make_bundle, update_of_paths
from tests.patience import until
from tests.store.stored import Clock

pytest.importorskip("nats", reason="nats-py of the extra fleet is not installed")


@pytest.fixture
def site(tmp_path, port):
    """Give a hub with three kiosks of the release before, the owner, and the folder of the owner's."""
    fleet = Fleet([f"tls://127.0.0.1:{port}"])
    folder = tmp_path / "owner"
    folder.mkdir()
    fleet.admin.write(folder / "owner.key", "a passphrase", cost=1 << 10)
    (folder / "fleet.json").write_text(fleet.invitation.dump())
    hub, owner = begun(tmp_path, fleet, port, folder)
    kiosks = [Updated(tmp_path / name, fleet, Clock()) for name in ("a", "b", "c")]
    for kiosk in kiosks:
        let_in(fleet, owner, kiosk)
        kiosk.start()
    yield fleet, hub, owner, kiosks
    for kiosk in kiosks:
        kiosk.sync.close()
        kiosk.store.close()
    hub.kill()


@pytest.fixture
def command(site, tmp_path, monkeypatch, capsys):
    """Give what runs a command of the owner's and returns its exit status and what it said."""
    del site

    def run(*words):
        monkeypatch.setattr("sys.stdin", io.StringIO("a passphrase\n"))
        code = main([*map(str, words), "--owner", str(tmp_path / "owner")])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def restart(kiosk, version=NEW):
    """Start the kiosk's process anew, as the updater does."""
    kiosk.sync.close()
    kiosk.start(version)


def installs(kiosk, stage="runs"):
    """Do what the device's updater does with what it is asked for."""
    until(lambda: kiosk.asked)
    kiosk.answer(stage)
    restart(kiosk, NEW if stage == "runs" else "1.0")
    until(lambda: kiosk.stage == stage)


def by_order(kiosks):
    """Return the kiosks in the order of their ids, in which those after the first begin."""
    return sorted(kiosks, key=lambda kiosk: kiosk.member.id)


def at_hub(fleet, work):
    async def connected():
        async with wire.connection(fleet.invitation.hubs[0], fleet.invitation, fleet.admin.identity, OWNER) as client:
            return await work(client)

    return asyncio.run(connected())


def test_a_good_update_reaches_every_kiosk_after_the_first_one_at_a_time_and_one_that_was_away_later(
    site, command, tmp_path
):
    _, _, _, kiosks = site
    a, b, c = kiosks
    path = make_bundle(tmp_path)
    c.sync.close()  # away
    code, said = command("fleet", "update", path, "--first", "b")
    assert (code, "b takes it first" in said) == (0, True)
    until(lambda: (b.stage, a.stage) == ("installing", "staged"))
    until(lambda: a.sync.staging.word()["why"] == "first")
    assert a.asked is None
    assert (b.folder / path.name).read_bytes() == path.read_bytes()
    installs(b)
    installs(a)  # c is away, and nobody waits for it
    c.start()
    installs(c)
    view = View(a.sync, a.store)
    until(lambda: [row["update"] and row["update"]["stage"] for row in view.overview()["kiosks"]] == ["runs"] * 3)

    def status():
        code, said = command("fleet", "update", "status", "--json")
        return code, [row["stage"] for row in json.loads(said)["kiosks"]]

    until(lambda: status() == (0, ["runs"] * 3))  # what each kiosk said of itself last may be on its way to the hub
    assert view.overview()["update"] == {"revision": 1, "version": NEW, "first": b.member.id, "is_stopped": False}


def test_a_bad_update_stops_at_the_first(site, command, tmp_path):
    _, _, _, kiosks = site
    a, b, c = kiosks
    command("fleet", "update", make_bundle(tmp_path), "--first", "a")
    until(lambda: [kiosk.stage for kiosk in kiosks] == ["installing", "staged", "staged"])
    installs(a, "gone_back")
    until(lambda: [kiosk.stage for kiosk in kiosks] == ["gone_back", "stopped", "stopped"])
    assert (b.asked, c.asked) == (None, None)
    assert {b.sync.staging.standing.culprit, c.sync.staging.standing.culprit} <= {a.member.id, b.member.id, c.member.id}
    until(lambda: command("fleet", "update", "status")[1].count("stopped (") == 2)
    code, said = command("fleet", "update", "status")

    assert code == 3
    assert "first, gone back" in said
    until(lambda: not list(b.folder.glob("kiosk-*")))  # the disk is free again
    command("fleet", "update", make_bundle(tmp_path, "1.2"), "--first", "b")  # a mended release goes its own way
    until(lambda: b.stage == "installing" and b.asked)
    assert b.asked[1] == "1.2"


def test_one_of_the_others_that_goes_back_stops_those_after_it(site, owner_of_site, tmp_path):
    _, _, _, kiosks = site
    first, b, c = kiosks
    second, third = by_order([b, c])
    path = make_bundle(tmp_path)
    owner_of_site(update_of_paths(first.member.id, path), path)
    installs(first)
    until(lambda: second.stage == "installing" and second.asked)
    assert third.asked is None
    installs(second, "gone_back")
    until(lambda: third.stage == "stopped")

    assert (third.sync.staging.standing.culprit, third.asked) == (second.member.id, None)
    assert first.stage == "runs"


@pytest.fixture
def owner_of_site(site):
    _, _, owner, _ = site

    def give(update, *paths):
        bundles = list(zip(map(read_bundle, paths), paths, strict=True))
        return owner.give(UPDATE, update.plain(), bundles=bundles)

    return give


def test_a_hub_that_is_cut_in_the_middle_costs_no_piece_that_arrived(site, owner_of_site, tmp_path):
    fleet, hub, _, kiosks = site
    a, *others = kiosks
    for kiosk in others:
        kiosk.sync.close()
    path = make_bundle(tmp_path, size=6 * PIECE)
    bundle = read_bundle(path)
    a.sync.close()
    owner_of_site(update_of_paths(a.member.id, path), path)

    async def lose(client):
        for number in (3, 4):
            await client.jsm().purge_stream(wire.UPDATE, subject=wire.piece_subject(bundle.digest, number))

    at_hub(fleet, lose)
    a.start()
    until(lambda: a.sync.staging.word() and "does not have it" in a.sync.staging.word()["why"])
    assert a.sync.staging.word()["done"] == 3
    hub.kill()
    part = a.folder / f"{path.name}.part"
    assert part.stat().st_size == 3 * PIECE
    hub.start()
    until(hub.ready.is_set)

    async def bring(client):
        await put_bundle(client, bundle, path)

    at_hub(fleet, bring)
    until(lambda: a.stage == "installing" and a.asked)
    assert (a.folder / path.name).read_bytes() == path.read_bytes()


def test_an_owner_who_is_cut_off_has_ordered_nothing_and_goes_on_where_it_ended(site, tmp_path):
    _, _, owner, kiosks = site
    a, *_ = kiosks
    path = make_bundle(tmp_path)
    bundle, sent = read_bundle(path), []

    def cut(done, _of):
        sent.append(done)
        if done == 2 and len(sent) == 2:
            raise ConfigError("the lid was shut")

    update = update_of_paths(a.member.id, path)
    with pytest.raises(ConfigError):
        owner.give(UPDATE, update.plain(), bundles=[(bundle, path)], said=cut)
    assert owner.order(UPDATE) is None
    assert a.sync.staging.word() is None
    owner.give(UPDATE, update.plain(), bundles=[(bundle, path)], said=cut)

    until(lambda: a.stage == "installing" and a.asked)


def test_a_piece_that_was_changed_at_the_hub_is_refused_until_it_is_right(site, owner_of_site, tmp_path):
    fleet, _, _, kiosks = site
    a, *_ = kiosks
    path = make_bundle(tmp_path)
    bundle = read_bundle(path)
    a.sync.close()
    owner_of_site(update_of_paths(a.member.id, path), path)

    async def put(client, content):
        stream = client.jetstream(timeout=wire.ANSWER_S)
        await stream.publish(wire.piece_subject(bundle.digest, 1), content, stream=wire.UPDATE)

    at_hub(fleet, lambda client: put(client, b"altered"))
    a.start()
    until(lambda: a.sync.staging.word() and "not the one that the owner ordered" in a.sync.staging.word()["why"])
    assert (a.stage, a.sync.staging.word()["done"]) == ("fetching", 1)
    at_hub(fleet, lambda client: put(client, path.read_bytes()[PIECE : 2 * PIECE]))
    restart(a, "1.0")  # rather than wait for its next try

    until(lambda: a.stage == "installing" and a.asked)


def test_no_kiosk_may_put_a_piece_or_an_order_at_the_hub(site, owner_of_site, tmp_path):
    fleet, _, _, kiosks = site
    a, *_ = kiosks
    path = make_bundle(tmp_path)
    owner_of_site(update_of_paths(a.member.id, path), path)
    digest = read_bundle(path).digest

    async def attempt():
        url, identity = fleet.invitation.hubs[0], a.member.identity
        async with wire.connection(url, fleet.invitation, identity, a.member.id) as client:
            stream = client.jetstream(timeout=0.5)
            for subject in (wire.piece_subject(digest, 0), wire.order_subject(UPDATE)):
                with pytest.raises(Exception, match=r"(?i)timeout|permissions|no response"):
                    await stream.publish(subject, b"forged", timeout=0.5)

    asyncio.run(attempt())
    until(lambda: a.stage == "installing" and a.asked)


def test_an_older_release_is_not_ordered_and_a_stopped_one_begins_nowhere(site, command, tmp_path):
    _, _, _, kiosks = site
    a, b, c = kiosks
    command("fleet", "update", make_bundle(tmp_path), "--first", "a")
    until(lambda: [kiosk.stage for kiosk in kiosks] == ["installing", "staged", "staged"])
    code, said = command("fleet", "update", make_bundle(tmp_path, "1.0.9"))
    assert (code, "1.1 was ordered before" in said) == (1, True)
    code, said = command("fleet", "update", "stop")
    assert code == 0
    until(lambda: (b.stage, c.stage) == ("stopped", "stopped"))
    installs(a)  # whoever had begun ends as it would
    until(lambda: a.sync.staging.standing.revision == 2)

    assert a.stage == "runs"
    code, said = command("fleet", "update", "status")
    assert (code, "stopped by the owner" in said) == (0, True)
    assert command("fleet", "update", tmp_path / "nothing")[0] == 1


def test_what_was_of_an_update_before_leaves_the_hub(site, owner_of_site, tmp_path):
    fleet, _, _, kiosks = site
    for version in ("1.1", "1.2"):
        path = make_bundle(tmp_path, version)
        owner_of_site(update_of_paths(kiosks[0].member.id, path, version=version), path)

    async def subjects(client):
        info = await client.jsm().stream_info(wire.UPDATE, subjects_filter=wire.SUBJECTS[wire.UPDATE])
        return {subject.split(".")[2] for subject in info.state.subjects}

    assert at_hub(fleet, subjects) == {read_bundle(path).digest}
