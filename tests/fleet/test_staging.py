"""A kiosk's part in an update: what it takes, what it refuses, and what is left when it is killed in the middle."""

import subprocess
import sys
from dataclasses import replace

import pytest

from kiosk.errors import ConfigError, RefusedError
from kiosk.fleet.orders import UPDATE, Order
from kiosk.fleet.stick import export, take
from kiosk.fleet.updates import words
from kiosk.fleet.updates.appliance import OUTCOME, Appliance, find_installer
from kiosk.fleet.updates.order import MOST_BUNDLES, PIECE, read_bundle, update_of
from kiosk.fleet.updates.rollout import Stage, Word
from kiosk.fleet.updates.staging import Machine, Others, Staging, take_bundle
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from tests.fleet.keys import joined
from tests.fleet.updating import ARCH, NEW, OLD, PYTHON, Updated, make_bundle, sealed, update_of_paths
from tests.patience import until


@pytest.fixture
def kiosks(tmp_path, fleet):
    with joined(tmp_path, fleet, make=Updated) as made:
        yield made


@pytest.fixture
def a(kiosks):
    return kiosks[0]


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path)


def fetch(kiosk, path):
    """Give a kiosk what it lacks, as a hub would."""
    fetching = kiosk.staging.fetching
    while (wanted := fetching.next()) is not None:
        _, number = wanted
        fetching.take(*wanted, path.read_bytes()[number * PIECE : (number + 1) * PIECE])
    kiosk.staging.look()


def ordered(fleet, kiosk, path, revision=1, **more):
    update = update_of_paths(more.pop("first", kiosk.member.id), path, **more)
    kiosk.member.hear_order(UPDATE, sealed(fleet, update, revision))
    kiosk.staging.look()


def look(kiosk, version):
    """Have a process of a release look; return how far the kiosk then is."""
    kiosk.process(version).look()
    return kiosk.stage


def acts(kiosk):
    page = kiosk.store.decisions(DecisionFilter(kinds=(Kind.SETTINGS,)))
    found = [dict(one.entry.details) for one in reversed(page.decisions)]
    return [one["stage"] for one in found if "fleet_update" in one]


def test_a_bundle_is_had_whole_installed_once_and_told(fleet, a, bundle):
    a.process()
    ordered(fleet, a, bundle)
    assert (a.stage, a.staging.word()["of"]) == ("fetching", 4)
    fetch(a, bundle)
    assert (a.stage, a.asked) == ("staged", None)
    a.staging.look()

    assert (a.stage, a.asked) == ("installing", ["1", NEW, bundle.name])
    assert (a.folder / bundle.name).read_bytes() == bundle.read_bytes()
    assert (a.folder / f"{bundle.name}.minisig").read_text() == bundle.with_name(f"{bundle.name}.minisig").read_text()
    a.answer("runs")
    a.staging.look()
    assert a.stage == "installing"  # this process is still the release before
    assert look(a, NEW) == "runs"
    assert acts(a) == ["installing", "runs"]
    assert sorted(path.name for path in a.folder.iterdir()) == ["state.json"]  # the disk is free again


@pytest.mark.parametrize(("stage", "why"), [("gone_back", "did not prove itself"), ("failed", "not signed")])
def test_what_the_updater_says_is_what_the_others_hear(fleet, a, bundle, stage, why):
    a.process()
    ordered(fleet, a, bundle)
    fetch(a, bundle)
    a.staging.look()
    a.answer("installing")
    a.staging.look()
    assert a.stage == "installing"
    a.answer(stage, why)
    a.process().look()

    said = a.staging.word()
    assert (said["stage"], said["why"]) == (stage, why)
    assert acts(a) == ["installing", stage]
    a.process().look()
    assert a.stage == stage  # for good: this order is not tried twice
    ordered(fleet, a, bundle, 2)
    assert a.stage == "fetching"  # the owner says so again


def test_only_the_owners_word_is_taken_and_none_that_was_changed(fleet, kiosks, bundle):
    a, b = kiosks
    a.process()
    update = update_of_paths(a.member.id, bundle)
    good = sealed(fleet, update, 1)
    for forged in (
        sealed(fleet, update, 1, signer=b.member.identity.sign),
        good[:-1] + bytes([good[-1] ^ 1]),
        good[:60] + bytes([good[60] ^ 1]) + good[61:],
    ):
        with pytest.raises(RefusedError):
            a.member.hear_order(UPDATE, forged)
    a.staging.look()

    assert a.staging.word() is None
    assert a.staging.fetching.next() is None


def test_an_older_release_than_was_ordered_before_is_refused_whoever_signed_it(fleet, a, bundle, tmp_path):
    a.process()
    ordered(fleet, a, bundle)
    fetch(a, bundle)
    older = make_bundle(tmp_path, "1.0.5")
    a.others = Others()  # so that nothing begins
    ordered(fleet, a, older, 2, version="1.0.5")
    a.staging.look()

    said = a.staging.word()
    assert (said["revision"], said["version"]) == (1, NEW)
    assert "1.1 was ordered before" in said["why"]
    assert a.asked is None
    a.process().look()
    assert "1.1 was ordered before" in a.staging.word()["why"]
    assert not a.member.hear_order(UPDATE, sealed(fleet, update_of_paths(a.member.id, bundle), 1))  # nor sent again


def test_a_kiosk_that_runs_a_newer_release_goes_back_for_no_order(fleet, a, bundle):
    a.process("1.2")
    ordered(fleet, a, bundle)

    assert (a.stage, a.staging.word()["why"]) == ("unfit", "1.2 runs, which is newer")
    assert a.staging.fetching.next() is None


def test_a_kiosk_that_runs_the_release_says_so_at_once(fleet, a, bundle):
    a.process(NEW)
    ordered(fleet, a, bundle)

    assert a.stage == "runs"


def test_a_piece_that_was_changed_is_refused_and_the_right_one_taken(fleet, a, bundle):
    a.process()
    ordered(fleet, a, bundle)
    digest, number = a.staging.fetching.next()
    with pytest.raises(RefusedError, match="is not the one that the owner ordered"):
        a.staging.fetching.take(digest, number, b"x" * PIECE)
    assert a.staging.fetching.next() == (digest, 0)
    fetch(a, bundle)

    assert a.stage == "staged"


def test_an_order_whose_pieces_are_not_its_bundle_installs_nothing(fleet, a, bundle):
    a.process()
    update = update_of_paths(a.member.id, bundle)
    (one,) = update.bundles
    wrong = replace(update, bundles=(replace(one, digest="0" * 64),))
    a.member.hear_order(UPDATE, sealed(fleet, wrong, 1))
    a.staging.look()
    fetch(a, bundle)

    assert a.stage == "failed"
    assert a.asked is None


def test_what_was_changed_on_the_disk_before_its_turn_is_fetched_again(fleet, a, bundle):
    a.process()
    ordered(fleet, a, bundle)
    a.others = Others()
    fetch(a, bundle)
    lying = a.folder / bundle.name
    lying.write_bytes(lying.read_bytes()[:-1] + b"!")
    a.others = Others(is_complete=True)
    a.staging.look()

    assert (a.stage, a.asked) == ("fetching", None)
    fetch(a, bundle)
    a.staging.look()
    assert a.stage == "installing"


def test_a_kiosk_without_room_waits_and_says_how_much_is_missing(fleet, a, bundle, monkeypatch):
    a.process()
    ordered(fleet, a, bundle)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_000_000})())

    assert a.staging.fetching.next() is None
    assert "MB of free space" in a.staging.word()["why"]
    monkeypatch.undo()
    fetch(a, bundle)
    assert a.stage == "staged"


# ---- ends in the middle


def test_a_kiosk_killed_while_pieces_arrive_goes_on_with_the_next(fleet, a, tmp_path):
    bundle = make_bundle(tmp_path, size=40 * PIECE)
    a.process()
    ordered(fleet, a, bundle)
    writes = (
        "import sys; from pathlib import Path; from kiosk.fleet.updates.order import PIECE, read_bundle\n"
        "from kiosk.fleet.updates.shelf import Shelf\n"
        "path = Path(sys.argv[2]); bundle = read_bundle(path); shelf = Shelf(Path(sys.argv[1])); n = 0\n"
        "while True:\n"
        "    content = path.read_bytes()[n * PIECE:(n + 1) * PIECE]\n"
        "    shelf.put(bundle, n, content); n = (n + 1) % 40\n"
    )
    child = subprocess.Popen([sys.executable, "-c", writes, str(a.directory), str(bundle)])
    part = a.folder / f"{bundle.name}.part"
    until(lambda: part.exists() and part.stat().st_size > 2 * PIECE)
    child.kill()
    child.wait()
    with part.open("r+b") as file:  # and the last write torn
        file.truncate(part.stat().st_size - 10)
    a.process().look()
    _, number = a.staging.fetching.next()

    assert number >= 2
    assert part.stat().st_size == number * PIECE
    fetch(a, bundle)
    assert (a.folder / bundle.name).read_bytes() == bundle.read_bytes()


def test_a_kiosk_killed_before_it_asked_asks_and_one_killed_after_hears_the_answer(fleet, a, bundle):
    class Cut(Appliance):
        def ask(self, *_given):
            raise KeyboardInterrupt

    a.process(installer=Cut(a.opt))
    ordered(fleet, a, bundle)
    fetch(a, bundle)
    with pytest.raises(KeyboardInterrupt):
        a.staging.look()
    assert not (a.folder / "request").exists()
    assert look(a, OLD) == "installing"
    assert a.asked == ["1", NEW, bundle.name]
    (a.folder / bundle.name).unlink()  # whatever else was lost
    a.answer("runs")
    assert look(a, NEW) == "runs"


def test_a_damaged_state_begins_anew_and_installs_nothing_twice(fleet, a, bundle):
    a.process()
    ordered(fleet, a, bundle)
    (a.folder / "state.json").write_text('{"revision": "many"')
    a.process().look()

    assert a.stage == "fetching"


def test_an_updater_that_never_answers_is_a_failure(fleet, a, bundle):
    a.process()
    ordered(fleet, a, bundle, within_s=60.0)
    fetch(a, bundle)
    a.staging.look()
    a.now = 60.0
    a.staging.look()
    assert a.stage == "installing"
    a.now = 60.1
    a.staging.look()

    assert (a.stage, a.staging.word()["why"]) == ("failed", "the updater did not answer")
    assert a.asked is None  # nobody begins with it later


def test_what_is_being_installed_ends_before_another_order_is_followed(fleet, a, bundle, tmp_path):
    a.process()
    ordered(fleet, a, bundle)
    fetch(a, bundle)
    a.staging.look()
    next_one = make_bundle(tmp_path, "1.2")
    ordered(fleet, a, next_one, 2, version="1.2")
    assert (a.staging.standing.revision, a.stage) == (1, "installing")
    a.process().look()
    assert (a.staging.standing.revision, a.stage) == (1, "installing")
    a.answer("runs")
    a.process(NEW).look()
    assert (a.staging.standing.revision, a.stage) == (1, "runs")
    a.staging.look()
    assert (a.staging.standing.revision, a.stage) == (2, "fetching")


# ---- turns


def test_a_kiosk_begins_only_where_it_has_read_everything_and_is_a_member(fleet, a, bundle):
    a.process()
    ordered(fleet, a, bundle)
    a.others = Others()
    fetch(a, bundle)
    a.staging.look()
    assert (a.stage, a.staging.word()["why"]) == ("staged", "reading")
    a.others = Others(is_complete=True)
    fleet.take_off(a)
    a.member.hear_roster(fleet.signed)
    a.staging.look()

    assert (a.stage, a.asked) == ("staged", None)


def test_a_kiosk_that_is_not_the_first_waits_for_it_and_is_stopped_by_it(fleet, kiosks, bundle):
    a, b = kiosks
    b.process()
    ordered(fleet, b, bundle, first=a.member.id)
    fetch(b, bundle)
    b.staging.look()
    assert (b.stage, b.staging.word()["why"]) == ("staged", "first")
    b.others = Others({a.member.id: Word(1, Stage.GONE_BACK)}, is_complete=True)
    b.staging.look()

    said = b.staging.word()
    assert (said["stage"], said["why"], said["culprit"]) == ("stopped", "gone_back", a.member.id)
    b.others = Others({a.member.id: Word(1, Stage.RUNS)}, is_complete=True)
    b.process().look()
    assert b.stage == "stopped"  # for good, until the owner orders again
    assert b.asked is None


def test_the_owner_stops_whoever_has_not_begun(fleet, a, bundle):
    a.process()
    ordered(fleet, a, bundle)
    a.others = Others()
    fetch(a, bundle)
    ordered(fleet, a, bundle, 2, is_stopped=True)
    a.others = Others(is_complete=True)
    a.staging.look()

    assert (a.stage, a.staging.word()["why"], a.asked) == ("stopped", "owner", None)
    assert not (a.folder / bundle.name).exists()


# ---- machines


def test_a_kiosk_takes_the_bundle_of_its_own_kind_and_says_where_there_is_none(fleet, a, bundle, tmp_path):
    other = make_bundle(tmp_path, arch="x86_64", size=10)
    a.process()
    update = update_of_paths(a.member.id, other, bundle)
    a.member.hear_order(UPDATE, sealed(fleet, update, 1))
    a.staging.look()
    assert a.staging.fetching.next() == (read_bundle(bundle).digest, 0)
    ordered(fleet, a, other, 2)
    assert (a.stage, a.staging.word()["why"]) == ("unfit", f"no bundle for {ARCH} and Python {PYTHON}")


def test_a_machine_with_nothing_that_installs_says_so_and_takes_it_once_there_is(fleet, a, bundle):
    def made(installer):
        machine = Machine(OLD, ARCH, PYTHON)
        return Staging(a.store, a.member, lambda: a.others, installer, machine=machine, settle_s=0.0)

    a.staging = made(None)
    ordered(fleet, a, bundle)
    assert (a.stage, a.staging.word()["why"]) == ("unfit", "nothing here installs a release")
    a.staging = made(Appliance(a.opt))
    a.staging.look()
    assert a.stage == "fetching"


def test_a_device_has_an_updater_while_its_unit_is_enabled(tmp_path):
    enabled = tmp_path / "update-kiosk.path"
    assert find_installer(tmp_path, enabled) is None
    (tmp_path / "current").mkdir()
    assert find_installer(tmp_path, enabled) is None
    enabled.symlink_to("/nowhere/update-kiosk.path")
    assert find_installer(tmp_path, enabled) is not None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"revision": 1}', '{"revision": 1, "stage": "well"}', "\xff"])
def test_an_answer_that_is_none_is_no_answer(tmp_path, text):
    (tmp_path / OUTCOME).write_text(text, encoding="latin-1")

    assert Appliance(tmp_path).outcome(1) is None


# ---- what is ordered


@pytest.mark.parametrize(
    "change",
    [
        {"version": "newest"},
        {"at_once": 0},
        {"within_s": 1.0},
        {"within_s": float("1e300")},
        {"bundles": None},
        {"bundles": [{"name": "../kiosk"}]},
        {"version": "1.2"},
    ],
    ids=str,
)
def test_an_order_that_this_program_does_not_know_is_refused_as_a_whole(bundle, change):
    plain = update_of_paths("a", bundle).plain()
    assert update_of(Order(UPDATE, 3, plain)).revision == 3
    with pytest.raises(RefusedError, match="none that this program knows"):
        update_of(Order(UPDATE, 3, {**plain, **change}))
    with pytest.raises(RefusedError):
        update_of(Order(UPDATE, 3, {**plain, "bundles": plain["bundles"] * (MOST_BUNDLES + 1)}))
    (one,) = plain["bundles"]
    for wrong in (
        {"size": one["size"] + PIECE},
        {"digest": "0"},
        {"signature": "s" * 5000},
        {"name": "kiosk-1.1-aarch64-python3.13.zip"},
    ):
        with pytest.raises(RefusedError):
            update_of(Order(UPDATE, 3, {**plain, "bundles": [{**one, **wrong}]}))


def test_a_file_that_is_no_signed_bundle_is_refused_in_a_sentence(bundle, tmp_path):
    (tmp_path / "kiosk.tar.gz").write_bytes(b"x")
    with pytest.raises(ConfigError, match="is no signed bundle"):
        read_bundle(tmp_path / "kiosk.tar.gz")
    bundle.with_name(f"{bundle.name}.minisig").unlink()
    with pytest.raises(ConfigError, match="minisig beside it"):
        read_bundle(bundle)
    with pytest.raises(ConfigError, match="No such file"):
        read_bundle(tmp_path / "kiosk-9-aarch64-python3.13.tar.gz")


# ---- by a stick


def mine(folder, version):
    """Write a bundle for the machine of this test."""
    machine = Machine()
    path = folder / f"kiosk-{version}-{machine.arch}-python{machine.python}.tar.gz"
    path.write_bytes(b"a release " * 1000)
    path.with_name(f"{path.name}.minisig").write_text("signed")
    return path


def test_a_stick_brings_order_words_and_bundle_to_a_kiosk_without_a_hub(fleet, kiosks, tmp_path):
    a, b = kiosks
    stick = tmp_path / "stick"
    stick.mkdir()
    bundle = mine(stick, "99.0")
    for kiosk in kiosks:
        machine = Machine(OLD, Machine().arch, Machine().python)

        def others(kiosk=kiosk):
            told, revision = words.known(kiosk.member)
            return Others(told, is_complete=revision == kiosk.member.order(UPDATE).revision)

        kiosk.staging = Staging(kiosk.store, kiosk.member, others, Appliance(kiosk.opt), machine=machine, settle_s=0.0)
    update = update_of_paths(a.member.id, bundle, version="99.0")
    a.member.hear_order(UPDATE, sealed(fleet, update, 1))
    words.hear_stick(a.member, {})
    a.staging.look()
    fetch(a, bundle)
    a.staging.look()
    assert a.stage == "installing"

    export(a.member, stick / "fleet")
    take(b.member, stick / "fleet")
    assert take_bundle(b.member, stick) == bundle.name
    b.staging.look()
    b.staging.look()
    assert (b.stage, b.staging.word()["why"]) == ("staged", "first")  # a had not said that it runs there
    a.answer("failed", "another maker's")
    a.staging.look()
    export(a.member, stick / "fleet")
    take(b.member, stick / "fleet")
    b.staging.look()
    assert (b.stage, b.staging.word()["culprit"]) == ("stopped", a.member.id)


def test_a_bundle_on_a_stick_that_is_another_is_refused(fleet, a, tmp_path):
    bundle = mine(tmp_path, "99.0")
    a.process()
    a.member.hear_order(UPDATE, sealed(fleet, update_of_paths(a.member.id, bundle, version="99.0"), 1))
    bundle.write_bytes(b"b release " * 1000)
    with pytest.raises(RefusedError, match="is not the bundle that the owner ordered"):
        take_bundle(a.member, tmp_path)
    assert take_bundle(a.member, tmp_path / "elsewhere") is None
    assert not list(a.folder.glob("*.given"))


def test_a_word_on_a_stick_is_believed_of_the_kiosk_that_signed_it_alone(kiosks):
    a, b = kiosks
    good = words.signed(a.member, {"revision": 1, "stage": "runs", "count": 3})
    assert good is not None
    words.hear_stick(b.member, {a.member.id: good, b.member.id: good, "nobody": good})
    assert words.known(b.member) == ({a.member.id: Word(1, Stage.RUNS, 3)}, 0)
    older = words.signed(a.member, {"revision": 1, "stage": "installing", "count": 2})
    words.hear_stick(b.member, {a.member.id: str(older)})
    words.hear_stick(b.member, {a.member.id: good[:-2]})
    assert words.known(b.member)[0] == {a.member.id: Word(1, Stage.RUNS, 3)}
