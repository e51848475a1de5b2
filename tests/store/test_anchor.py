"""Facts about anchors: what was written down elsewhere finds a store that was put back to an older day."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kiosk.cli.main import main
from kiosk.errors import ConfigError
from kiosk.store.accounts import Accounts, Role
from kiosk.store.chain import Kind
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.store import Store
from kiosk.store.upkeep import anchor, backup
from kiosk.store.upkeep.rekey import rekey
from kiosk.store.upkeep.restore import restore
from tests.store.stored import NOW, Clock, enrolment

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def kiosk(directory: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on the state directory; return its exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([*map(str, arguments), "--state", str(directory)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def enrolled(directory: Path, count: int) -> None:
    with open_store(directory, read_keys(directory), now=Clock()) as store:
        for seed in range(count):
            store.people.enrol(enrolment(seed))


def test_a_log_holds_what_its_own_anchor_names_and_goes_on(store: Store) -> None:
    store.people.enrol(enrolment(1))
    made = anchor.make(store, NOW)

    store.people.enrol(enrolment(2))

    assert made.at == "2027-01-15T08:00:00Z"
    assert anchor.read(f"  {made.text}\n") == made
    assert anchor.faults(store, [made]) == ()


def test_a_rollback_of_the_whole_state_directory_is_found(directory: Path, kiosk: Run, tmp_path: Path) -> None:
    with open_store(directory, read_keys(directory), now=Clock()) as store:
        accounts = Accounts(store, now=Clock())
        admin, key = accounts.create_key("stolen", Role.ADMIN)
    shutil.copytree(directory, tmp_path / "older")
    with open_store(directory, read_keys(directory), now=Clock()) as store:
        Accounts(store, now=Clock()).revoke(admin.id)
    _, text, _ = kiosk("log", "anchor")
    assert kiosk("log", "verify", "--anchor", text)[0] == 0

    shutil.rmtree(directory)
    shutil.copytree(tmp_path / "older", directory)

    with open_store(directory, read_keys(directory), now=Clock()) as store:
        assert Accounts(store, now=Clock()).by_key(key) is not None  # the harm
    assert kiosk("log", "verify")[0] == 0  # which nothing in the directory shows
    code, told, _ = kiosk("log", "verify", "--anchor", text)
    assert code == 3
    assert "names record 3, and the log ends at record 2: the store was put back to an older state" in told


def test_a_rollback_that_went_on_is_found(directory: Path, kiosk: Run, tmp_path: Path) -> None:
    shutil.copytree(directory, tmp_path / "older")
    enrolled(directory, 2)
    _, text, _ = kiosk("log", "anchor")
    shutil.rmtree(directory)
    shutil.copytree(tmp_path / "older", directory)

    enrolled(directory, 5)

    code, told, _ = kiosk("log", "verify", "--anchor", text)
    assert code == 3
    assert "another record stands there" in told


def test_a_new_store_in_the_place_of_the_old_one_is_found(directory: Path, kiosk: Run) -> None:
    _, text, _ = kiosk("log", "anchor")
    shutil.rmtree(directory)

    initialise(directory, now=Clock()).close()

    code, told, _ = kiosk("log", "verify", "--anchor", text)
    assert code == 3
    assert "of another store" in told


def test_an_anchor_of_the_old_key_holds_after_a_rekey(directory: Path, kiosk: Run) -> None:
    enrolled(directory, 1)
    _, before, _ = kiosk("log", "anchor")
    rekey(directory, read_keys(directory), now=Clock())
    _, after, _ = kiosk("log", "anchor")

    code, told, _ = kiosk("log", "verify", "--anchor", before, "--anchor", after)

    assert code == 0
    assert "holds what 2 anchors name: it was not put back" in told


def test_a_rollback_to_before_a_rekey_is_found(directory: Path, kiosk: Run, tmp_path: Path) -> None:
    shutil.copytree(directory, tmp_path / "older")
    rekey(directory, read_keys(directory), now=Clock())
    _, text, _ = kiosk("log", "anchor")
    shutil.rmtree(directory)
    shutil.copytree(tmp_path / "older", directory)

    code, told, _ = kiosk("log", "verify", "--anchor", text)

    assert code == 3
    assert "before it was given a new key" in told


def test_a_restore_that_gave_the_record_up_is_named(directory: Path, kiosk: Run, clock: Clock) -> None:
    with open_store(directory, read_keys(directory), now=clock) as store:
        saved = backup.write(store.database, store.vault, directory / "backups", now=clock())
    enrolled(directory, 2)
    _, text, _ = kiosk("log", "anchor")

    restore(directory, saved.path, read_keys(directory), now=clock, overwrite=True)

    code, told, _ = kiosk("log", "verify", "--anchor", text)
    assert code == 3
    assert "which the restore in record 4 gave up" in told


def test_an_anchor_that_nobody_here_signed_is_refused(store: Store) -> None:
    store.people.enrol(enrolment(1))
    made = anchor.make(store, NOW)
    later = anchor.read(made.text.replace(f" {made.seq} ", " 9000 "))

    (fault,) = anchor.faults(store, [later])

    assert "no key of this log signed it" in fault


def test_one_wrong_anchor_among_good_ones_is_named(store: Store) -> None:
    good = anchor.make(store, NOW)
    store.record_act(Kind.DOOR)
    moved = anchor.read(good.text.replace("2027-01-15", "2028-01-15"))

    assert len(anchor.faults(store, [good, moved, good])) == 1


def test_a_file_keeps_every_anchor_and_is_checked_whole(directory: Path, kiosk: Run, tmp_path: Path) -> None:
    file = tmp_path / "anchors.txt"
    file.write_text("# kiosk at the gate\n\nkiosk-anchor-1 cut sh")  # the last line lost its end to a power cut
    enrolled(directory, 1)

    kiosk("log", "anchor", "--to", file)
    enrolled(directory, 1)
    kiosk("log", "anchor", "--to", file)

    lines = file.read_text().splitlines()
    assert len(lines) == 5
    assert kiosk("log", "verify", "--anchor", file)[0] == 1  # half a line is no anchor, and is said
    file.write_text("\n".join([*lines[:2], *lines[3:], ""]))
    code, told, _ = kiosk("log", "verify", "--anchor", file)
    assert (code, "2 anchors" in told) == (0, True)


def test_a_new_file_of_anchors_is_for_its_owner_only(kiosk: Run, tmp_path: Path) -> None:
    kiosk("log", "anchor", "--to", tmp_path / "anchors.txt")

    assert (tmp_path / "anchors.txt").stat().st_mode & 0o777 == 0o600


def test_json_has_the_parts_and_the_text(kiosk: Run, directory: Path) -> None:
    code, told, _ = kiosk("log", "anchor", "--json")

    said = json.loads(told)
    assert code == 0
    assert said["seq"] == 1
    assert anchor.read(said["text"]).hash == said["hash"]
    verdict = json.loads(kiosk("log", "verify", "--json", "--anchor", said["text"])[1])
    assert verdict["is_intact"]
    with open_store(directory, read_keys(directory), now=Clock()) as store:
        assert said["store_id"] == store.identity


def test_a_qr_code_comes_before_the_text(kiosk: Run) -> None:
    code, told, _ = kiosk("log", "anchor", "--qr")

    *picture, text = told.splitlines()
    assert code == 0
    assert anchor.read(text).seq == 1
    assert len(picture) > 20
    assert any("█" in line for line in picture)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kiosk-anchor-1",
        "kiosk-anchor-1 " + "x" * 500,
        "kiosk-anchor-2 " + "0" * 36,
        f"kiosk-anchor-1 {'0' * 36} 0 {'a' * 64} 2027-01-15T08:00:00Z {'A' * 86}",
        f"kiosk-anchor-1 {'0' * 36} {'9' * 30} {'a' * 64} 2027-01-15T08:00:00Z {'A' * 86}",
        f"kiosk-anchor-1 {'0' * 36} \u0661 {'a' * 64} 2027-01-15T08:00:00Z {'A' * 86}",
    ],
)
def test_what_is_no_anchor_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ConfigError, match="is no anchor"):
        anchor.read(text)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "holds no anchor"), (b"# only words\n", "holds no anchor"), (b"\xff\xfe", "no file of anchors")],
)
def test_a_file_that_holds_none_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(ConfigError, match=says):
        anchor.read_file(tmp_path / "file")


def test_a_file_that_is_not_there_ends_with_one_sentence(kiosk: Run, tmp_path: Path) -> None:
    code, _, told = kiosk("log", "verify", "--anchor", tmp_path / "none")

    assert code == 1
    assert "give an anchor's text, or a file of anchors" in told


def test_an_anchor_that_cannot_be_written_ends_with_one_sentence(kiosk: Run, tmp_path: Path) -> None:
    code, _, told = kiosk("log", "anchor", "--to", tmp_path / "none" / "file")

    assert code == 1
    assert os.strerror(2) in told
