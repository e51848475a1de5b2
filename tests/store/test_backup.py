"""Facts about backups, restore, repair and a new key."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kiosk.errors import KeyMissingError, StoreError
from kiosk.store import schema
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.directory import DATABASE_NAME, initialise, open_store
from kiosk.store.keys import KEY_NAME, NEXT_KEY_NAME, Key, new_key, read_keys
from kiosk.store.open_sessions.sessions import OpenSession
from kiosk.store.outbox import Message
from kiosk.store.store import HEAD_NAME, Store
from kiosk.store.subjects import Details, Enrolment
from kiosk.store.upkeep import backup, check, restore
from kiosk.store.upkeep.rekey import rekey
from kiosk.types import Template
from tests.store.stored import raw

MODEL = "a" * 64
NOW = 1_800_000_000.0
NAME = "Ann Example-Übermut"


def clock() -> float:
    return NOW


def enrolment(seed: int) -> Enrolment:
    vector = np.random.default_rng(seed).standard_normal(32).astype(np.float32)
    template = Template(vector / np.linalg.norm(vector), MODEL)
    return Enrolment(
        [template],
        Details(name=NAME, vendor_data=f"v{seed}", document_number=f"N {seed}"),
        images=[b"jpeg"],
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with initialise(tmp_path / "state", now=clock) as store:
        store.people.enrol_many([enrolment(seed) for seed in range(30)])
        store.record_decision(
            NewDecision(
                Kind.FACE_MATCH,
                "Approved",
                vendor_data="v3",
                answer={"a": 1},
                outbox=(Message("replay", {"p": 1}),),
            )
        )
    return tmp_path / "state"


@pytest.fixture
def keys(directory: Path) -> tuple[Key, ...]:
    return read_keys(directory)


@pytest.fixture
def saved(directory: Path, keys: tuple[Key, ...]) -> Path:
    """Back up thirty people and one decision."""
    with opened(directory, keys) as store:
        return back_up(store).path


def opened(directory: Path, keys: tuple[Key, ...] | None = None) -> Store:
    return open_store(directory, keys or read_keys(directory), now=clock)


def back_up(store: Store, *, at: float = NOW) -> backup.BackupFile:
    return backup.write(store.database, store.vault, store.directory / "backups", now=at)


def damage(directory: Path) -> None:
    """Tear a page in the middle of the database."""
    path = directory / DATABASE_NAME
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)


# ---- backup


def test_a_backup_reads_back_whole(saved: Path, keys: tuple[Key, ...]) -> None:
    header = backup.verify(saved, keys)

    assert (header.subjects, header.session_number, header.schema) == (30, 30, schema.VERSION)
    assert sorted(path.name for path in saved.parent.iterdir()) == sorted([".lock", saved.name])
    assert saved.stat().st_mode & 0o077 == 0


def test_a_backup_holds_nothing_readable(saved: Path, directory: Path) -> None:
    content = saved.read_bytes()

    for secret in (NAME.encode(), b"SQLite format", b"FACE_MATCH", b"session_id"):
        assert secret not in content
    assert (directory / KEY_NAME).read_bytes().strip() not in content


def test_a_backup_is_made_while_others_write(directory: Path, keys: tuple[Key, ...]) -> None:
    with opened(directory, keys) as store, opened(directory, keys) as other:
        other.people.enrol(enrolment(77))
        file = back_up(store)
        other.people.enrol(enrolment(78))

        assert file.header.subjects == 31
        assert store.people.subjects(limit=0).total == 32


@pytest.mark.parametrize("place", [0, 9, 40, 2000, -1])
def test_every_damage_to_a_backup_is_found(saved: Path, keys: tuple[Key, ...], place: int) -> None:
    content = bytearray(saved.read_bytes())
    content[place] ^= 1
    saved.write_bytes(content)

    with pytest.raises(StoreError):
        backup.verify(saved, keys)


def test_every_byte_of_a_backups_head_counts(saved: Path, keys: tuple[Key, ...]) -> None:
    content = saved.read_bytes()

    for place in range(700):
        damaged = bytearray(content)
        damaged[place] ^= 4
        saved.write_bytes(damaged)
        with pytest.raises(StoreError):
            backup.verify(saved, keys)


@pytest.mark.parametrize("size", [0, 5, 100, 3000, -1])
def test_a_backup_cut_off_anywhere_is_found(saved: Path, keys: tuple[Key, ...], size: int) -> None:
    saved.write_bytes(saved.read_bytes()[:size])

    with pytest.raises(StoreError):
        backup.verify(saved, keys)


def test_a_backup_cut_off_between_two_chunks_is_found(directory: Path, keys: tuple[Key, ...]) -> None:
    with opened(directory, keys) as store:
        big = enrolment(50)
        store.people.enrol(Enrolment(big.templates, images=[b"j" * 3_000_000]))
        path = back_up(store).path
    content = path.read_bytes()
    head = 12 + int.from_bytes(content[8:12], "big")
    last = (len(content) - head) % (backup.CHUNK_BYTES + 16)
    assert backup.verify(path, keys).subjects == 31

    path.write_bytes(content[:-last])

    with pytest.raises(StoreError, match="damaged or cut off"):
        backup.verify(path, keys)


def test_another_device_cannot_read_a_backup(saved: Path) -> None:
    with pytest.raises(KeyMissingError):
        backup.verify(saved, [new_key()])


def test_a_damaged_store_makes_no_backup(directory: Path, keys: tuple[Key, ...]) -> None:
    with opened(directory, keys) as store:
        with raw(directory) as connection:
            connection.execute("DROP TRIGGER log_is_never_changed")
            connection.execute("UPDATE log SET hash = zeroblob(32) WHERE seq = 4")

        with pytest.raises(StoreError, match="was not kept"):
            back_up(store)

    assert list((directory / "backups").glob("*.backup")) == []


def test_only_the_newest_backups_are_kept(directory: Path, keys: tuple[Key, ...]) -> None:
    with opened(directory, keys) as store:
        paths = [back_up(store, at=NOW + day * 86400).path for day in range(4)]

    gone = backup.prune(directory / "backups", keys, keep=2)

    assert set(gone) == set(paths[:2])
    left = backup.backups(directory / "backups", keys)
    assert [file.path for file in left] == [paths[3], paths[2]]


# ---- restore


def test_a_restore_brings_back_what_was_saved(saved: Path, keys: tuple[Key, ...], tmp_path: Path) -> None:
    done = restore.restore(tmp_path / "new", saved, keys, now=clock)

    with opened(tmp_path / "new", keys) as store:
        assert done.subjects == store.people.subjects().total == 30
        assert store.people.find("v7")[0].details.name == NAME
        assert sum(len(chunk.ids) for chunk in store.references.chunks(MODEL)) == 30
        assert store.verify_log().is_intact


def test_a_restore_overwrites_only_when_told(saved: Path, directory: Path, keys: tuple[Key, ...]) -> None:
    with pytest.raises(StoreError, match="--overwrite"):
        restore.restore(directory, saved, keys, now=clock)


def test_a_restore_waits_for_nobody_who_has_the_store_open(saved: Path, directory: Path, keys: tuple[Key, ...]) -> None:
    with opened(directory, keys), pytest.raises(StoreError, match="stop the kiosk first"):
        restore.restore(directory, saved, keys, now=clock, overwrite=True)


def test_a_restore_says_what_it_gave_up_and_the_log_goes_on_after_it(
    saved: Path, directory: Path, keys: tuple[Key, ...]
) -> None:
    with opened(directory, keys) as store:
        store.people.enrol(enrolment(91))
        store.people.block(5)
        store.people.block(6)
        lost_hash = store.verify_log().last_hash

    done = restore.restore(directory, saved, keys, now=clock, overwrite=True)

    assert done.lost == {"ENROL": 1, "BLOCK": 2}
    with opened(directory, keys) as store:
        verdict = store.verify_log()
        assert verdict.is_intact
        assert verdict.notes == ("records 33 to 35 are missing: given up by the restore in record 36",)
        record = store.decisions(DecisionFilter(kinds=(Kind.RESTORE,))).decisions[0].entry
        assert record.details["last_hash"] == lost_hash
        assert store.people.enrol(enrolment(92)).session_number == 32  # 31 was given out before


def test_whoever_was_forgotten_stays_forgotten(saved: Path, directory: Path, keys: tuple[Key, ...]) -> None:
    with opened(directory, keys) as store:
        session_id = store.people.find("v3")[0].session_id
        store.people.forget(4)

    done = restore.restore(directory, saved, keys, now=clock, overwrite=True)

    assert done.forgotten_again == 1
    with opened(directory, keys) as store:
        assert store.people.find("v3") == store.people.find(session_id) == ()
        assert store.people.subjects().total == 29
        answers = [row.answer for row in store.decisions().decisions]
        assert answers == [None]
        assert store.verify_log().is_intact


def test_a_call_that_was_erased_stays_erased(saved: Path, directory: Path, keys: tuple[Key, ...]) -> None:
    with opened(directory, keys) as store:
        (call,) = store.decisions(DecisionFilter(is_kept=True)).decisions
        store.erase_call(call.entry.request_id)

    restore.restore(directory, saved, keys, now=clock, overwrite=True)

    with opened(directory, keys) as store:
        assert store.decisions(DecisionFilter(is_kept=True)).total == 0
        assert store.decisions(DecisionFilter(request_id=call.entry.request_id)).total == 1
        assert store.people.subjects().total == 30
        assert store.verify_log().is_intact


def test_a_scrubbed_backup_does_not_hold_an_erased_call(
    saved: Path, directory: Path, keys: tuple[Key, ...], tmp_path: Path
) -> None:
    with opened(directory, keys) as store:
        (call,) = store.decisions(DecisionFilter(is_kept=True)).decisions
        store.erase_call(call.entry.request_id)
        assert backup.scrub(store.database, saved.parent, directory / "erasures.jsonl", keys) == (saved,)

    restore.restore(tmp_path / "new", saved, keys, now=clock)

    with opened(tmp_path / "new", keys) as store:
        assert store.decisions(DecisionFilter(is_kept=True)).total == 0


def test_the_erasure_list_alone_is_enough(saved: Path, directory: Path, keys: tuple[Key, ...]) -> None:
    with opened(directory, keys) as store:
        store.people.forget(4)
    (directory / DATABASE_NAME).unlink()

    restore.restore(directory, saved, keys, now=clock)

    with opened(directory, keys) as store:
        assert store.people.subject(4) is None


def test_a_scrubbed_backup_does_not_hold_the_forgotten(
    saved: Path, directory: Path, keys: tuple[Key, ...], tmp_path: Path
) -> None:
    with opened(directory, keys) as store:
        store.people.forget(4)
        erasures = directory / "erasures.jsonl"

        assert backup.scrub(store.database, saved.parent, erasures, keys) == (saved,)
        assert backup.scrub(store.database, saved.parent, erasures, keys) == ()

    assert backup.verify(saved, keys).subjects == 29
    restore.restore(tmp_path / "new", saved, keys, now=clock)
    with opened(tmp_path / "new", keys) as store:
        assert store.people.subject(4) is None
        assert store.people.subject(5) is not None


def test_a_scrub_takes_out_whom_the_side_file_does_not_name_yet(
    saved: Path, directory: Path, keys: tuple[Key, ...]
) -> None:
    with opened(directory, keys) as store:
        store.people.forget(4)
        (directory / "erasures.jsonl").unlink()  # as if the process that forgot had not come so far

        assert backup.scrub(store.database, saved.parent, directory / "erasures.jsonl", keys) == (saved,)

    assert backup.verify(saved, keys).subjects == 29


def make_older(directory: Path) -> None:
    """Take every later migration back, as a store of the first release had it."""
    with raw(directory) as connection:
        for index in ("log_pruned", "log_person", "log_subject_seq", "outbox_settled"):
            connection.execute(f"DROP INDEX {index}")
        connection.execute("DROP INDEX log_counted")
        connection.execute("ALTER TABLE log DROP COLUMN points")
        connection.execute("CREATE INDEX log_at ON log (at)")
        connection.execute("ALTER TABLE erasure DROP COLUMN receipt")
        for act in ("comes", "changes", "goes"):
            connection.execute(f"DROP TRIGGER reference_{act}")
            connection.execute(f"DROP TRIGGER subject_{act}")
        for table in ("review_image", "reference_block", "subject_block", "factor", "factor_note", "passage"):
            connection.execute(f"DROP TABLE {table}")
        for table in (
            *("document", "envelope", "parked", "position", "roster", "health"),
            *("wanted", "duplicate", "order", "head"),
        ):
            connection.execute(f"DROP TABLE fleet_{table}")
        connection.execute("ALTER TABLE change DROP COLUMN origin")
        connection.execute("DROP TABLE unproven")
        connection.execute("DROP TABLE session")
        connection.execute("DROP TABLE import_file")
        connection.execute("DROP TABLE import_run")
        connection.execute("DROP TABLE access")
        connection.execute("DROP INDEX log_of")
        connection.execute("DROP INDEX log_review")
        connection.execute("ALTER TABLE log DROP COLUMN of_id")
        for table in ("outbox_image", "outbox_room", "cloud_write", "cloud_note", "secret"):
            connection.execute(f"DROP TABLE {table}")
        for table in ("list_pass", "list_staged", "list_entry", "list_complete"):
            connection.execute(f"DROP TABLE {table}")
        for index in ("outbox_waiting", "outbox_person", "outbox_remote"):
            connection.execute(f"DROP INDEX {index}")
        for column in ("person", "created_at", "doubt_from", "looks"):
            connection.execute(f"ALTER TABLE outbox DROP COLUMN {column}")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name > '0001'")
        connection.execute("PRAGMA user_version = 1")


def test_a_migration_is_made_after_a_backup_and_is_logged(directory: Path, keys: tuple[Key, ...]) -> None:
    make_older(directory)

    with opened(directory, keys) as store:
        record = store.decisions(DecisionFilter(kinds=(Kind.MIGRATE,))).decisions[0].entry
        assert record.details == {"from": 1, "to": schema.VERSION}
        assert store.imports.begin("/media") == 1
        assert store.verify_log().is_intact

    (file,) = backup.backups(directory / "backups", keys)
    assert file.header.schema == 1
    assert f"before-schema-{schema.VERSION}" in file.path.name


def lose_newest(directory: Path, keys: tuple[Key, ...], older: Path) -> int:
    """Put the database, without its head file, back to before a record; return that record's number."""
    shutil.copy(directory / DATABASE_NAME, older)
    with opened(directory, keys) as store:
        lost = store.record_act(Kind.SETTINGS).seq
    older.replace(directory / DATABASE_NAME)
    return lost


def test_a_record_lost_before_a_migration_is_noted_and_not_written_over(
    directory: Path, keys: tuple[Key, ...], tmp_path: Path
) -> None:
    """The record of the migration once took the lost one's number, and nothing showed the loss."""
    lost = lose_newest(directory, keys, tmp_path / "older")
    make_older(directory)

    with opened(directory, keys) as store:
        assert store.notices == (f"log records {lost} to {lost} are lost",)
        noted = store.decisions(DecisionFilter(kinds=(Kind.LOSS, Kind.MIGRATE))).decisions
        assert [(one.entry.kind, one.entry.seq) for one in noted] == [(Kind.MIGRATE, lost + 2), (Kind.LOSS, lost + 1)]


def test_a_store_that_noted_a_loss_is_backed_up_and_restored_all_the_same(
    directory: Path, keys: tuple[Key, ...], tmp_path: Path
) -> None:
    lost = lose_newest(directory, keys, tmp_path / "older")

    with opened(directory, keys) as store:
        assert f"records {lost} to {lost} are missing" in store.verify_log().faults
        file = backup.write(store.database, store.vault, directory / "backups", now=clock())
    assert backup.verify(file.path, keys).subjects == file.header.subjects
    restore.restore(tmp_path / "new", file.path, keys, now=clock)
    with opened(tmp_path / "new", keys) as store:
        assert f"records {lost} to {lost} are missing" in store.verify_log().faults  # told indefinitely


def test_an_older_schema_is_restored_only_when_told(directory: Path, keys: tuple[Key, ...], tmp_path: Path) -> None:
    make_older(directory)
    opened(directory, keys).close()  # makes the backup
    (file,) = backup.backups(directory / "backups", keys)

    with pytest.raises(StoreError, match="--migrate"):
        restore.restore(tmp_path / "new", file.path, keys, now=clock)
    restore.restore(tmp_path / "new", file.path, keys, now=clock, migrate=True)

    with opened(tmp_path / "new", keys) as store:
        assert store.people.subjects().total == 30
        assert store.imports.begin("/media") == 1


# ---- repair


def test_a_sound_store_needs_no_repair(directory: Path, keys: tuple[Key, ...]) -> None:
    assert restore.diagnose(directory, keys).is_sound
    assert restore.repair(directory, keys, now=clock) is None


def test_a_repair_says_first_what_it_would_lose(saved: Path, directory: Path, keys: tuple[Key, ...]) -> None:
    with opened(directory, keys) as store:
        store.people.block(7)
    damage(directory)
    before = (directory / DATABASE_NAME).read_bytes()

    diagnosis = restore.diagnose(directory, keys)

    assert diagnosis.damage
    assert diagnosis.backup is not None
    assert diagnosis.backup.path == saved
    assert sum(diagnosis.lost.values()) + diagnosis.lost_unread == 1
    assert (directory / DATABASE_NAME).read_bytes() == before


def test_a_repair_takes_the_newest_good_backup(saved: Path, directory: Path, keys: tuple[Key, ...]) -> None:
    with opened(directory, keys) as store:
        store.people.enrol(enrolment(91))
        newer = back_up(store, at=NOW + 86400).path
    newer.write_bytes(newer.read_bytes()[:-1])
    damage(directory)

    diagnosis = restore.diagnose(directory, keys)
    done = restore.repair(directory, keys, now=clock)

    assert len(diagnosis.rejected) == 1
    assert done is not None
    assert done.backup == saved.name
    with opened(directory, keys) as store:
        assert store.people.subjects().total == 30
        assert store.verify_log().is_intact
        assert store.people.enrol(enrolment(92)).session_number == 32


def test_without_a_good_backup_a_repair_changes_nothing(directory: Path, keys: tuple[Key, ...]) -> None:
    damage(directory)

    with pytest.raises(StoreError, match="no good backup"):
        restore.repair(directory, keys, now=clock)


@pytest.mark.parametrize("size", [0, 100, 4096, 10_000])
@pytest.mark.usefixtures("saved")
def test_a_store_cut_short_is_repaired(directory: Path, keys: tuple[Key, ...], size: int) -> None:
    path = directory / DATABASE_NAME
    path.write_bytes(path.read_bytes()[:size])

    done = restore.repair(directory, keys, now=clock)

    assert done is not None
    assert done.subjects == 30


def test_a_damaged_index_is_built_anew_and_nothing_is_lost(directory: Path, keys: tuple[Key, ...]) -> None:
    with raw(directory) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = 'CREATE INDEX reference_subject ON reference (subject) "
            "WHERE id > 99' WHERE name = 'reference_subject'"
        )
        connection.execute("PRAGMA writable_schema = RESET")
        connection.execute("REINDEX")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = 'CREATE INDEX reference_subject ON reference (subject)' "
            "WHERE name = 'reference_subject'"
        )

    assert restore.diagnose(directory, keys).mends_in_place
    assert restore.repair(directory, keys, now=clock) is None

    assert restore.diagnose(directory, keys).is_sound
    with opened(directory, keys) as store:
        assert store.people.subjects().total == 30


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        pytest.param("DELETE FROM subject WHERE session_number = 3", "subject 3 is gone", id="gone"),
        pytest.param("UPDATE log_private SET sealed = zeroblob(90)", "log_private 32", id="answer"),
        pytest.param("UPDATE outbox SET payload = zeroblob(90)", "outbox 1 was", id="outbox"),
        pytest.param("UPDATE image SET jpeg = zeroblob(32) WHERE id = 2", "image 2 was", id="image"),
        pytest.param("UPDATE reference SET subject = 4 WHERE id = 2", "reference 2", id="reference"),
    ],
)
def test_the_full_check_names_a_row_changed_by_hand(
    directory: Path, keys: tuple[Key, ...], sql: str, fault: str
) -> None:
    with raw(directory) as connection:
        connection.execute(sql)
    with opened(directory, keys) as store:
        findings = check.inspect(store.database, directory / HEAD_NAME, keys)

    assert any(fault in row for row in findings.damage)
    assert findings.log == ()


# ---- a new key


def test_after_a_rekey_everything_opens_with_the_new_key_only(directory: Path, keys: tuple[Key, ...]) -> None:
    with opened(directory, keys) as store:
        old_public_key = store.vault.public_key
        before = store.people.subjects().subjects
        waiting = OpenSession("s-1", clock() + 60.0, {"vendor_data": "v-of-session", "face": None})
        store.record_decision(
            NewDecision(Kind.SESSION_STATUS, "Not Started"), change=store.sessions.inserting(waiting, "token")
        )

    rekey(directory, keys, now=clock)

    fresh = read_keys(directory)
    assert [key.check for key in fresh] != [key.check for key in keys]
    with pytest.raises(KeyMissingError):
        opened(directory, keys)
    with opened(directory, fresh) as store:
        assert store.notices == ()
        assert store.people.subjects().subjects == before
        assert store.people.find("v7") != ()
        assert store.people.images(3) == (b"jpeg",)
        assert store.outbox.rows()[0].payload == {"p": 1}
        session = store.sessions.by_token("token")
        assert session is not None
        assert session.vendor_data == "v-of-session"
        assert store.decisions(DecisionFilter(vendor_data="v3")).decisions[0].answer == {"a": 1}
        assert store.verify_log().is_intact
        assert store.vault.public_key != old_public_key
        findings = check.inspect(store.database, directory / HEAD_NAME, fresh)
    assert findings == check.Findings()


def test_a_rekey_cut_short_before_its_commit_keeps_the_old_key(directory: Path) -> None:
    new_key().write(directory / NEXT_KEY_NAME)

    with opened(directory) as store:
        assert store.people.subjects().total == 30
    rekey(directory, read_keys(directory), now=clock)

    with opened(directory) as store:
        assert store.verify_log().is_intact


def test_a_rekey_cut_short_after_its_commit_is_finished_at_the_start(directory: Path, keys: tuple[Key, ...]) -> None:
    old_key, old_head = (directory / KEY_NAME).read_bytes(), (directory / HEAD_NAME).read_bytes()
    rekey(directory, keys, now=clock)
    (directory / KEY_NAME).rename(directory / NEXT_KEY_NAME)
    (directory / KEY_NAME).write_bytes(old_key)
    (directory / KEY_NAME).chmod(0o600)
    (directory / HEAD_NAME).write_bytes(old_head)

    with opened(directory) as store:
        assert store.notices == ()
        assert store.verify_log().is_intact

    assert not (directory / NEXT_KEY_NAME).exists()
    with opened(directory) as store:
        assert store.people.subjects().total == 30


def test_a_rekey_that_finds_a_damaged_row_changes_nothing(directory: Path, keys: tuple[Key, ...]) -> None:
    with raw(directory) as connection:
        connection.execute("UPDATE reference SET template = zeroblob(156) WHERE id = 30")

    with pytest.raises(StoreError, match="repair"):
        rekey(directory, keys, now=clock)

    with opened(directory) as store:
        assert store.verify_log().is_intact
        assert store.people.subject(1) is not None


def test_a_key_provided_by_systemd_is_not_written_to_disk(tmp_path: Path) -> None:
    first, second = new_key(), new_key()
    initialise(tmp_path, now=clock, key=first).close()

    with pytest.raises(StoreError, match="credential"):
        rekey(tmp_path, [first], now=clock)
    rekey(tmp_path, [first], provided=second, now=clock)

    assert not list(tmp_path.glob("*.key*"))
    open_store(tmp_path, [first, second], now=clock).close()


@pytest.mark.usefixtures("saved")
def test_a_backup_made_before_a_rekey_is_shown_as_unreadable(directory: Path, keys: tuple[Key, ...]) -> None:
    rekey(directory, keys, now=clock)

    (file,) = backup.backups(directory / "backups", read_keys(directory))

    assert not file.is_readable
    assert backup.prune(directory / "backups", read_keys(directory), keep=1) == ()


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_makes_no_backup_and_leaves_nothing(directory: Path, keys: tuple[Key, ...]) -> None:
    with opened(directory, keys) as store, pytest.raises(StoreError):
        back_up(store)

    assert [path.name for path in (directory / "backups").iterdir()] == [".lock"]


@pytest.fixture
def full_disk(directory: Path) -> Iterator[None]:
    """Let no file grow beyond 60 kB, once the store is there."""
    assert directory.exists()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_nothing_acknowledged_is_lost_to_a_kill_or_a_full_disk() -> None:
    drill = Path(__file__).parent.parent.parent / "benchmarks" / "crash_drill.py"

    done = subprocess.run([sys.executable, str(drill), "--rounds", "25"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
