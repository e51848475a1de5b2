"""Updates: the real scripts at their real paths, on a machine of their own; what is installed afterwards, whole."""

import os
import shutil
import subprocess
import sys

import pytest

from kiosk.fleet.updates.appliance import Appliance, Outcome
from kiosk.fleet.updates.order import Bundle
from kiosk.fleet.updates.rollout import Stage
from tests.appliance.machine import MINISIGN, SCRIPTS, SHARE, Machine, Maker

OLD, NEW = "0.9.1", "0.9.2"
WHOLE_DRILL = pytest.mark.skipif(
    not os.environ.get("KIOSK_DRILLS"), reason="a power cut takes seconds, and the kinds are tried: KIOSK_DRILLS=1"
)
ASKED = "fleet_update.sh"
INSTALLING = "in_target python3 -m venv*"  # what comes first when a bundle was believed


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    return Maker(tmp_path_factory.mktemp("maker") / "keys")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Maker(tmp_path_factory.mktemp("stranger") / "keys")


@pytest.fixture(scope="module")
def bundles(maker):
    return {version: maker.bundle(version) for version in ("0.9.0", OLD, NEW)}


def has_layers(folder):
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    for part in ("upper", "work"):
        (folder / part).mkdir()
    mount = f"mount -t overlay overlay -o lowerdir=/opt,upperdir={folder}/upper,workdir={folder}/work /opt"
    return subprocess.run(["unshare", "--mount", "bash", "-c", mount], check=False, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def installed(tmp_path_factory, bundles):
    """Give a machine with the old release, to copy from: installing takes seconds."""
    if not has_layers(tmp_path_factory.mktemp("layers")):
        pytest.skip("wants root, and overlay mounts in a mount namespace")
    machine = Machine(tmp_path_factory.mktemp("machine"))
    machine.install(bundles[OLD])
    return machine


@pytest.fixture(scope="module")
def staged(tmp_path_factory, installed, bundles):
    """Give one on which the new release lies beside the old one, whole, and nothing else was done."""
    machine = Machine(tmp_path_factory.mktemp("staged"), like=installed)
    machine.cut_before('self_test "$release"', bundles[NEW])
    return machine


@pytest.fixture
def machine(installed, tmp_path):
    return Machine(tmp_path, like=installed)


def units_of(machine):
    # Each release of these tests says its version in one of its units.
    text = machine.at("/usr/local/lib/systemd/system/kiosk.service").read_text(encoding="utf-8")
    return text.rpartition("# release ")[2].strip()


def assert_is_whole(machine, version):
    """What runs is one release with its own units, and nothing is left half done."""
    assert machine.installed == version
    assert units_of(machine) == version
    assert not machine.at("/opt/kiosk/switching").exists()


def test_a_signed_update_is_installed_and_recorded_with_its_signature(machine, bundles, tmp_path):
    stick = tmp_path / "stick"
    stick.mkdir()
    shutil.copy(bundles[NEW], stick)
    shutil.copy(f"{bundles[NEW]}.minisig", stick)

    code, said = machine.update(stick / bundles[NEW].name)

    assert code == 0, said
    assert_is_whole(machine, NEW)
    assert [row["what"] for row in machine.records] == ["switching", "runs"]
    assert machine.records[-1]["vouched"].endswith(bundles[NEW].name)
    assert not machine.at("/opt/kiosk/incoming").exists()
    assert machine.update(bundles[NEW]) == (0, f"{machine.records[-1]['to']} runs already.\n")


def unsigned(bundle, _stranger):
    (bundle.parent / f"{bundle.name}.minisig").unlink()
    return "has no signature"


def signed_by_a_stranger(bundle, stranger):
    stranger.sign(bundle)
    return "is signed with key"


def changed_after_signing(bundle, _stranger):
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 1
    bundle.write_bytes(content)
    return "is not the file that was signed"


def cut_short(bundle, _stranger):
    bundle.write_bytes(bundle.read_bytes()[:-1000])
    return "is not the file that was signed"


def with_another_comment(bundle, _stranger):
    signature = bundle.parent / f"{bundle.name}.minisig"
    signature.write_text(signature.read_text().replace("0.9.2", "0.9.9"))
    return "the trusted comment of"


def with_an_empty_signature(bundle, _stranger):
    (bundle.parent / f"{bundle.name}.minisig").write_bytes(b"")
    return "is no file of minisign"


@pytest.mark.parametrize(
    "spoil",
    [
        unsigned,
        signed_by_a_stranger,
        changed_after_signing,
        cut_short,
        with_another_comment,
        with_an_empty_signature,
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_a_bundle_from_nobody_known_installs_nothing(spoil, machine, bundles, stranger, tmp_path):
    bundle = tmp_path / bundles[NEW].name
    shutil.copy(bundles[NEW], bundle)
    shutil.copy(f"{bundles[NEW]}.minisig", tmp_path)
    why = spoil(bundle, stranger)

    code, said = machine.update(bundle)

    assert code == 1
    assert why in said
    assert_is_whole(machine, OLD)
    assert len(list(machine.at("/opt/kiosk/releases").iterdir())) == 1


def test_a_release_of_a_stranger_installs_nothing_even_with_the_stranger_s_key_on_the_stick(machine, stranger):
    bundle = stranger.bundle(NEW)

    code, said = machine.update(bundle, "--key", stranger.public)

    assert code == 1
    assert "the installed release has a key already" in said
    assert_is_whole(machine, OLD)


def test_an_older_release_is_refused_unless_an_operator_says_so_and_that_is_recorded(machine, bundles):
    code, said = machine.update(bundles["0.9.0"])

    assert code == 1
    assert "is not newer than 0.9.1" in said
    assert_is_whole(machine, OLD)

    code, said = machine.update(bundles["0.9.0"], "--allow-older")

    assert code == 0, said
    assert_is_whole(machine, "0.9.0")
    assert [row["what"] for row in machine.records] == ["refused", "older allowed", "switching", "runs"]
    assert machine.records[1]["detail"] == "by root"


def test_another_release_of_the_same_version_is_refused(machine, maker, tmp_path_factory):
    again = Maker(tmp_path_factory.mktemp("again") / "keys", key=maker.key).bundle(OLD, is_broken=True)

    code, said = machine.update(again)

    assert code == 1
    assert "is not newer" in said
    assert_is_whole(machine, OLD)


@pytest.mark.parametrize(
    "moment",
    ['vouched="$(*', "tar --extract*", "sha256sum --quiet*"],
    ids=["before the check", "between check and unpacking", "before the list of files is compared"],
)
def test_a_bundle_swapped_while_it_is_read_installs_what_was_checked(moment, staged, bundles, stranger, tmp_path):
    machine = Machine(tmp_path / "machine", like=staged)
    bundle = tmp_path / bundles[NEW].name
    shutil.copy(bundles[NEW], bundle)
    shutil.copy(f"{bundles[NEW]}.minisig", tmp_path)
    process, go = machine.stop_before(moment, bundle)

    shutil.copy(stranger.bundle("0.9.7"), bundle)  # in place: whoever holds the file open reads the new content
    go.touch()
    said, _ = process.communicate()

    assert process.returncode == 0, said
    assert_is_whole(machine, NEW)


def test_a_bundle_swapped_before_it_is_copied_installs_nothing(machine, bundles, stranger, tmp_path):
    bundle = tmp_path / bundles[NEW].name
    shutil.copy(bundles[NEW], bundle)
    shutil.copy(f"{bundles[NEW]}.minisig", tmp_path)
    process, go = machine.stop_before('head -c "$size"*', bundle)

    shutil.copy(stranger.bundle("0.9.8"), bundle)
    go.touch()
    said, _ = process.communicate()

    assert process.returncode == 1
    assert "is not the file that was signed" in said
    assert_is_whole(machine, OLD)


BEFORE_THE_NEW_ONE_IS_WHOLE = [
    'head -c "$size"*',
    'vouched="$(*',
    "tar --extract*",
    "sha256sum --quiet*",
    'mkdir -p "$target$place"',
    INSTALLING,
    "*--require-hashes*",
    "*--no-index --no-deps*",
    'touch "$target$place/.complete"',
]


def test_a_power_cut_while_the_new_release_is_brought_leaves_the_old_one(machine, bundles):
    for command in BEFORE_THE_NEW_ONE_IS_WHOLE:
        machine.cut_before(command, bundles[NEW])
        machine.boot()
        assert_is_whole(machine, OLD)

    code, said = machine.update(bundles[NEW])

    assert code == 0, said
    assert_is_whole(machine, NEW)


@pytest.mark.parametrize(
    ("command", "version"),
    [
        pytest.param("/usr/local/bin/kiosk backup", OLD, marks=WHOLE_DRILL),
        pytest.param("record switching*", OLD, marks=WHOLE_DRILL),
        pytest.param('switch_link "releases/$old"*', OLD, marks=WHOLE_DRILL),
        pytest.param('mv -T "$target$2.part" "$target$2"', OLD, marks=WHOLE_DRILL),
        pytest.param('sync "$switching.part"', OLD, marks=WHOLE_DRILL),
        ('mv -T "$switching.part"*', OLD),
        pytest.param('sync -f "$opt"', OLD, marks=WHOLE_DRILL),
        ('switch_link "releases/$release"*', OLD),
        pytest.param("put_system", NEW, marks=WHOLE_DRILL),
        ('put "$share/systemd/$unit"*', NEW),
        pytest.param('put "$share/firmware_scripts/kiosk_command.sh"*', NEW, marks=WHOLE_DRILL),
        pytest.param("systemctl restart --no-block kiosk.service", NEW, marks=WHOLE_DRILL),
        pytest.param("systemctl start confirm-kiosk.service", NEW, marks=WHOLE_DRILL),
        pytest.param("proves_itself*", NEW, marks=WHOLE_DRILL),
        ('rm "$switching"', NEW),
        pytest.param("prune_releases", NEW, marks=WHOLE_DRILL),
        pytest.param('record runs ""', NEW, marks=WHOLE_DRILL),
    ],
)
def test_a_power_cut_while_switching_leaves_the_old_release_or_the_new_one_whole(
    command, version, staged, bundles, tmp_path
):
    machine = Machine(tmp_path, like=staged)
    machine.cut_before(command, bundles[NEW])
    assert machine.installed in (OLD, NEW)

    machine.boot()

    assert_is_whole(machine, version)


@pytest.fixture(scope="module")
def broken(maker):
    return maker.bundle("0.9.3", is_broken=True)


@pytest.fixture(scope="module")
def staged_broken(tmp_path_factory, installed, broken):
    machine = Machine(tmp_path_factory.mktemp("staged"), like=installed)
    machine.cut_before('self_test "$release"', broken)
    return machine


def test_a_release_that_dies_is_gone_back_from_and_that_is_recorded(staged_broken, broken, tmp_path):
    machine = Machine(tmp_path, like=staged_broken)

    code, said = machine.update(broken)

    assert code == 3, said
    assert_is_whole(machine, OLD)
    assert machine.records[-1]["what"] == "gone back"


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("proves_itself*", marks=WHOLE_DRILL),
        pytest.param("systemctl stop kiosk.service", marks=WHOLE_DRILL),
        'switch_link "releases/$old" "$opt/current"',
        "restore_store",
        pytest.param("systemctl start --no-block kiosk.service", marks=WHOLE_DRILL),
        pytest.param('rm "$switching"', marks=WHOLE_DRILL),
        pytest.param('record "gone back"*', marks=WHOLE_DRILL),
    ],
)
def test_a_power_cut_while_going_back_leaves_the_old_release_whole(command, staged_broken, broken, tmp_path):
    machine = Machine(tmp_path, like=staged_broken)
    machine.cut_before(command, broken)

    machine.boot()

    assert_is_whole(machine, OLD)


def test_after_a_release_that_brings_the_next_key_only_that_one_counts(machine, maker, stranger):
    code, said = machine.update(maker.bundle("0.9.4", brings=stranger.public))
    assert code == 0, said
    assert "this release ends the key" in said
    assert "next key" in [row["what"] for row in machine.records]

    code, said = machine.update(maker.bundle("0.9.5"))
    assert code == 1
    assert "want key" in said
    assert_is_whole(machine, "0.9.4")

    machine.cut_before(INSTALLING, stranger.bundle("0.9.5"))  # it came that far: the bundle was taken


def test_a_release_that_brings_no_key_is_refused_as_nothing_could_follow_it(machine, maker):
    code, said = machine.update(maker.bundle("0.9.6", has_key=False))

    assert code == 1
    assert "brings no key" in said
    assert_is_whole(machine, OLD)


def test_a_device_installed_without_a_key_takes_the_one_an_operator_names(machine, bundles, maker):
    for path in machine.at("/opt/kiosk/releases").glob("*/share/kiosk/release.pub"):
        path.unlink()

    code, said = machine.update(bundles[NEW])
    assert code == 1
    assert "--key" in said

    machine.cut_before(INSTALLING, bundles[NEW], "--key", maker.public)  # it came that far: the bundle was taken


def test_the_script_of_a_stick_takes_its_own_release_only_when_told_so():
    done = subprocess.run(["bash", SCRIPTS / "update.sh"], check=False, capture_output=True, text=True)

    assert done.returncode == 1
    assert "want a signed bundle" in done.stderr


# What a fleet ordered: the kiosk asks by a file, and is answered by one


class Asking:
    """The kiosk's side: a bundle in its state directory, a request beside it, the answer."""

    def __init__(self, machine):
        self.machine, self.appliance = machine, Appliance(machine.at("/opt/kiosk"))
        self.folder = machine.at("/var/lib/kiosk/updates")
        self.folder.mkdir(exist_ok=True)

    def ask(self, bundle, version=NEW, revision=1):
        name = f"kiosk-{version}-any-python3.13.tar.gz"
        shutil.copy(bundle, self.folder / name)
        shutil.copy(f"{bundle}.minisig", self.folder / f"{name}.minisig")
        self.appliance.ask(revision, Bundle(name, 1, "", (), ""), self.folder)

    def run(self):
        return self.machine.run(f"{SHARE}/{ASKED}")

    def answer(self, revision=1):
        return self.appliance.outcome(revision)


@pytest.fixture
def asking(machine):
    return Asking(machine)


def switches(machine):
    return [row["what"] for row in machine.records].count("switching")


def test_a_release_that_a_fleet_ordered_is_installed_once_and_told(asking, bundles):
    asking.ask(bundles[NEW])
    code, said = asking.run()

    assert code == 0, said
    assert_is_whole(asking.machine, NEW)
    assert asking.answer() == Outcome(Stage.RUNS)
    asking.appliance.ask(1, Bundle(f"kiosk-{NEW}-any-python3.13.tar.gz", 1, "", (), ""), asking.folder)
    assert asking.run() == (0, "")  # asked again by the next process of the kiosk
    assert switches(asking.machine) == 1
    assert asking.answer(2) is None


def test_a_release_of_a_fleet_that_dies_is_gone_back_from_and_told(staged_broken, broken, tmp_path):
    asking = Asking(Machine(tmp_path, like=staged_broken))
    asking.ask(broken, "0.9.3")
    code, said = asking.run()

    assert code == 0, said
    assert_is_whole(asking.machine, OLD)
    assert asking.answer().stage is Stage.GONE_BACK
    assert "did not prove itself" in asking.answer().why


def test_whatever_a_fleet_says_the_makers_signature_decides(asking, stranger, bundles):
    asking.ask(stranger.bundle("0.9.9"), "0.9.9")
    asking.run()
    assert asking.answer().stage is Stage.FAILED
    assert "is not from whoever makes this device's releases" in asking.answer().why
    asking.ask(bundles["0.9.0"], "0.9.0", 2)
    asking.run()
    assert asking.answer(2).stage is Stage.FAILED
    assert "is not newer" in asking.answer(2).why

    assert_is_whole(asking.machine, OLD)
    assert switches(asking.machine) == 0


@pytest.mark.parametrize(
    "text",
    ["", "1\n", "1\n0.9.2\n../../etc/shadow\n", "x\n0.9.2\nkiosk-1.tar.gz\n", "1\n$(id)\nkiosk-1.tar.gz\n"],
    ids=["empty", "short", "elsewhere", "no number", "a command"],
)
def test_a_request_in_another_form_does_nothing(asking, text):
    (asking.folder / "request").write_text(text)
    code, said = asking.run()

    assert code == 1
    assert "Error:" in said
    assert not asking.machine.at("/opt/kiosk/update.json").exists()
    assert_is_whole(asking.machine, OLD)


def test_a_request_that_points_elsewhere_reads_nothing_out(asking, bundles):
    asking.ask(bundles[NEW])
    secret = asking.machine.at("/etc/secret")
    secret.write_text("a secret\n" * 3)
    (asking.folder / "request").unlink()
    (asking.folder / "request").symlink_to("/etc/secret")
    code, said = asking.run()

    assert code == 1
    assert "a secret" not in said
    assert_is_whole(asking.machine, OLD)


@pytest.mark.parametrize(
    ("command", "times"),
    [
        (INSTALLING, 1),  # from the beginning; the others come after what takes long, and find it done
        pytest.param("tell installing*", 1, marks=WHOLE_DRILL),
        ("systemctl restart --no-block kiosk.service", 1),
        ("tell runs*", 1),
    ],
)
def test_a_power_cut_during_a_fleets_update_ends_as_one_by_hand_and_is_told(
    installed, staged, bundles, command, times, tmp_path
):
    asking = Asking(Machine(tmp_path, like=installed if command == INSTALLING else staged))
    asking.ask(bundles[NEW])
    asking.machine.cut_before(command, script=ASKED)
    asking.machine.boot()
    code, said = asking.run()  # the kiosk, which heard no answer, asks again

    assert code == 0, said
    assert_is_whole(asking.machine, NEW)
    assert asking.answer() == Outcome(Stage.RUNS)
    assert switches(asking.machine) == times


def test_a_power_cut_while_going_back_is_told_and_the_release_is_not_tried_again(staged_broken, broken, tmp_path):
    asking = Asking(Machine(tmp_path, like=staged_broken))
    asking.ask(broken, "0.9.3")
    asking.machine.cut_before("restore_store", script=ASKED)
    asking.machine.boot()
    code, said = asking.run()

    assert code == 0, said
    assert_is_whole(asking.machine, OLD)
    assert asking.answer().stage is Stage.GONE_BACK
    assert switches(asking.machine) == 1


# The form of the signatures


def minisign(*words, given=""):
    if shutil.which("minisign") is None:
        pytest.skip("minisign is not installed here: apt-get install minisign")
    done = subprocess.run(
        ["minisign", *map(str, words)], input=given, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def ours(*words):
    done = subprocess.run(
        [sys.executable, "-I", MINISIGN, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def signed(tmp_path):
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(bytes(range(256)) * 5000)
    return path


@pytest.mark.parametrize("has_passphrase", [True, False])
def test_minisign_verifies_what_we_sign_and_signs_with_our_key(has_passphrase, signed, tmp_path):
    phrase = tmp_path / "phrase"
    phrase.write_text("quite a long phrase\n")
    kept = ["--passphrase-file", phrase] if has_passphrase else []
    assert ours("make-key", tmp_path, *(kept or ["--no-passphrase"]))[0] == 0
    key, public = tmp_path / "kiosk-release.key", tmp_path / "kiosk-release.pub"

    assert ours("sign", signed, "--key", key, "--comment", "kiosk 0.9.2", *kept) == (0, "")
    code, said = minisign("-V", "-m", signed, "-p", public)
    assert (code, "Trusted comment: kiosk 0.9.2" in said) == (0, True), said

    code, said = minisign("-S", "-s", key, "-m", signed, "-t", "by the tool", given="quite a long phrase\n")
    assert code == 0, said
    code, said = ours("verify", signed, "--signature", f"{signed}.minisig", "--key", public)
    assert (code, said.partition(" ")[2]) == (0, "by the tool\n")


@pytest.mark.parametrize("form", [["-H"], ["-l"]], ids=["prehashed", "legacy"])
def test_both_forms_that_minisign_signs_are_verified(form, signed, tmp_path):
    key, public = tmp_path / "a.key", tmp_path / "a.pub"
    assert minisign("-G", "-W", "-p", public, "-s", key)[0] == 0
    assert minisign("-S", *form, "-s", key, "-m", signed)[0] == 0

    code, said = ours("verify", signed, "--signature", f"{signed}.minisig", "--key", public)
    assert code == 0, said

    signed.write_bytes(signed.read_bytes()[1:])
    code, said = ours("verify", signed, "--signature", f"{signed}.minisig", "--key", public)
    assert code == 1
    assert "is not the file that was signed" in said


def test_a_wrong_passphrase_signs_nothing(signed, tmp_path):
    for name, phrase in (("right", "quite a long phrase\n"), ("wrong", "another phrase\n")):
        (tmp_path / name).write_text(phrase)
    assert ours("make-key", tmp_path, "--passphrase-file", tmp_path / "right")[0] == 0

    key = tmp_path / "kiosk-release.key"
    code, said = ours("sign", signed, "--key", key, "--passphrase-file", tmp_path / "wrong")

    assert code == 1
    assert "the passphrase is wrong" in said
    assert not signed.with_name("bundle.tar.gz.minisig").exists()
    assert key.stat().st_mode & 0o777 == 0o600
    assert ours("make-key", tmp_path, "--no-passphrase")[0] == 1, "a key is never overwritten"
