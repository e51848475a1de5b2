"""Facts about what a start finds made ready: the same gallery, and never more than the rows say."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kiosk.device.live_gallery import LiveGallery
from kiosk.gallery.gallery import Gallery
from kiosk.gallery.search import Query
from kiosk.gallery.snapshot import Among, Flag
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.store.directory import DATABASE_NAME, initialise, open_store
from kiosk.store.erasure import residues
from kiosk.store.keys import read_keys
from kiosk.store.references import blocks
from kiosk.store.store import Store
from kiosk.store.upkeep import backup, restore
from kiosk.store.upkeep.rekey import rekey
from kiosk.testing.networks import fixed_recogniser
from kiosk.types import Status
from tests.store.stored import DAY, MODEL, NOW, OTHER_MODEL, Clock, enrolment, raw, template

PEOPLE = 2 * blocks.ROWS + 200  # blocks 0 and 1 are complete, the newest rows are not
SCALE = read_pack(standard_pack()).scale
BLOCKED, DATED, FORGOTTEN = 3, 5, 900


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("prepared") / "state"
    with initialise(directory, now=lambda: NOW) as store:
        people = [enrolment(seed) for seed in range(PEOPLE)]
        people[DATED - 1] = replace(people[DATED - 1], valid_until=NOW + DAY)
        store.people.enrol_many(people)
        store.people.block(BLOCKED)
        assert store.references.prepare() == 4
    return directory


@pytest.fixture
def directory(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "state"))


@contextmanager
def opened(directory: Path) -> Iterator[Store]:
    with open_store(directory, read_keys(directory), now=Clock()) as store:
        yield store


def loaded(store: Store) -> Gallery:
    return LiveGallery(fixed_recogniser(template(0), SCALE), store).latest()


def count(directory: Path, table: str) -> int:
    with raw(directory) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def same(one: Gallery, other: Gallery) -> bool:
    """Whether two galleries hold the same rows and people, whatever they were loaded from."""
    (a, b), rows = (one.snapshot, other.snapshot), np.arange(one.references)
    columns = ("owner", "reference", "inverse", "centred")
    people = np.arange(one.subjects)
    return (
        one.references == other.references
        and one.subjects == other.subjects
        and np.array_equal(a.codes(rows), b.codes(rows))
        and all(np.array_equal(a.column(name, rows), b.column(name, rows)) for name in columns)
        and all(
            np.array_equal(a.person_column(name, people), b.person_column(name, people))
            for name in ("subject", "flags", "valid_from", "valid_until")
        )
        and (a.slant, a.shortest, a.longest) == (b.slant, b.shortest, b.longest)
        and a.blocklisted.tolist() == b.blocklisted.tolist()
    )


def from_rows(directory: Path, aside: Path) -> Gallery:
    """Load a copy of the store whose blocks were dropped."""
    shutil.copytree(directory, aside)
    with opened(aside) as store:
        store.references.unprepare()
        assert store.references.prepared(MODEL) is None
        return loaded(store)


def test_blocks_and_rows_give_the_same_gallery(directory: Path, tmp_path: Path) -> None:
    with opened(directory) as store:
        prepared = store.references.prepared(MODEL)
        assert prepared is not None
        assert sum(len(chunk.ids) for chunk in prepared.chunks()) == PEOPLE
        assert prepared.is_whole
        found = loaded(store)

        assert same(found, from_rows(directory, tmp_path / "aside"))
        assert found.search_all(template(77), [Query(0.9, 1)], now=NOW)[0][0].subject == 78
        assert count(directory, "reference_block") == 2  # taken as they were, not dropped


def test_with_its_rows_gone_a_block_still_gives_what_it_promised(directory: Path) -> None:
    # Nothing but the seals of a few templates is broken: who reads a block does not read them.
    with raw(directory) as connection:
        connection.execute("DROP TRIGGER reference_changes")
        connection.execute("UPDATE reference SET template = zeroblob(length(template)) WHERE id < 1000")

    with opened(directory) as store:
        assert loaded(store).references == PEOPLE


def test_whoever_is_forgotten_is_in_no_block_at_once(directory: Path, tmp_path: Path) -> None:
    with raw(directory) as connection:
        sealed = [
            bytes(row[0])
            for sql in (
                "SELECT sealed FROM reference_block WHERE number = 0",
                "SELECT sealed FROM subject_block WHERE number = 0",
            )
            for row in connection.execute(sql)
        ]
    with opened(directory) as store:
        receipt = store.people.forget(FORGOTTEN)

        assert receipt is not None
        assert receipt.is_complete
        for content in sealed:
            for at in (0, len(content) // 2, len(content) - 16):
                assert not any(content[at : at + 16] in path.read_bytes() for path in directory.glob("kiosk.db*"))
        found = loaded(store)
        assert found.person(FORGOTTEN) is None
        assert found.references == PEOPLE - 1
        assert same(found, from_rows(directory, tmp_path / "aside"))
        assert store.references.prepare() == 2
        assert same(loaded(store), from_rows(directory, tmp_path / "again"))


def test_a_stale_copy_of_a_block_is_found_by_the_proof(directory: Path) -> None:
    with raw(directory) as connection:
        content = bytes(connection.execute("SELECT sealed FROM reference_block WHERE number = 0").fetchone()[0])
    (directory / "left").write_bytes(b"before" + content)
    with opened(directory) as store:
        receipt = store.people.forget(FORGOTTEN)

    assert receipt is not None
    assert not receipt.is_complete
    (directory / "left").unlink()
    assert residues(directory, ()) == ()


def test_whoever_changed_is_read_from_their_row(directory: Path, tmp_path: Path) -> None:
    with opened(directory) as store:
        store.people.unblock(BLOCKED)
        store.people.block(2000)
        store.people.patch(7, lambda one: replace(one, status=Status.DECLINED))
        store.people.add_reference(9, template(5000))
        found = loaded(store)

    assert [found.person(number).flags for number in (BLOCKED, 2000, 7)] == [  # type: ignore[union-attr]
        Flag.APPROVED,
        Flag.APPROVED | Flag.BLOCKLISTED,
        Flag.NONE,
    ]
    assert len(found.references_of(9)) == 2
    assert same(found, from_rows(directory, tmp_path / "aside"))


@pytest.mark.parametrize("act", ["block", "forget"])
def test_older_bytes_put_back_into_the_file_do_not_hold(directory: Path, tmp_path: Path, act: str) -> None:
    with raw(directory) as connection:
        old = {
            table: connection.execute(f"SELECT * FROM {table}").fetchall()
            for table in ("reference_block", "subject_block")
        }
    with opened(directory) as store:
        (store.people.block if act == "block" else store.people.forget)(FORGOTTEN)
    with raw(directory) as connection:
        for table, rows in old.items():
            marks = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)

    with opened(directory) as store:
        found = loaded(store)
        blocked = found.search_all(template(FORGOTTEN - 1), [Query(0.9, 1, Among.BLOCKLISTED)], now=NOW)[0]

    assert [one.subject for one in blocked] == ([FORGOTTEN] if act == "block" else [])
    assert same(found, from_rows(directory, tmp_path / "aside"))


@pytest.mark.parametrize("table", ["reference_block", "subject_block"])
@pytest.mark.parametrize("damage", ["cut", "changed", "another's", "empty"])
def test_a_block_that_does_not_open_is_read_from_its_rows(
    directory: Path, tmp_path: Path, table: str, damage: str
) -> None:
    with raw(directory) as connection:
        first, second = (
            bytes(connection.execute(f"SELECT sealed FROM {table} WHERE number = ?", (number,)).fetchone()[0])
            for number in (0, 1)
        )
        content = {
            "cut": first[:-100],
            "changed": first[:200] + bytes([first[200] ^ 1]) + first[201:],
            "another's": second,
            "empty": b"",
        }[damage]
        connection.execute(f"UPDATE {table} SET sealed = ? WHERE number = 0", (content,))

    with opened(directory) as store:
        assert same(loaded(store), from_rows(directory, tmp_path / "aside"))
        assert store.references.prepare() == 1  # the next night mends it


def test_a_block_of_another_model_is_no_block_of_this_one(directory: Path) -> None:
    with raw(directory) as connection:
        connection.execute("INSERT INTO model (digest, dimensions) VALUES (?, 32)", (OTHER_MODEL,))
        connection.execute("UPDATE reference_block SET model = 2")

    with opened(directory) as store:
        assert store.references.prepared(MODEL) is None
        prepared = store.references.prepared(OTHER_MODEL)
        assert prepared is not None
        assert list(prepared.chunks()) == []
        assert loaded(store).references == PEOPLE


def test_rows_that_went_behind_the_triggers_backs_send_everybody_the_slow_way(directory: Path) -> None:
    with raw(directory) as connection:
        connection.execute("DROP TRIGGER reference_goes")
        connection.execute("DELETE FROM reference WHERE id = 1500")

    with opened(directory) as store:
        assert loaded(store).references == PEOPLE - 1
        assert store.references.prepared(MODEL) is None  # dropped


def test_what_another_process_writes_during_the_load_drops_nothing(directory: Path) -> None:
    with opened(directory) as store:
        prepared = store.references.prepared(MODEL)
        assert prepared is not None
        store.people.enrol(enrolment(PEOPLE + 1))
        assert sum(len(chunk.ids) for chunk in prepared.chunks()) == PEOPLE + 1

        assert not prepared.is_whole
        assert loaded(store).references == PEOPLE + 1
    assert count(directory, "reference_block") == 2


def test_a_kiosk_that_is_stopped_while_it_makes_ready_goes_on_where_it_was(directory: Path, tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with opened(directory) as store:
        store.references.unprepare()
        with pytest.raises(KeyboardInterrupt):
            blocks.build(store.database, store.vault, [MODEL], rest=stop)
    assert count(directory, "subject_block") == 1

    with opened(directory) as store:
        assert same(loaded(store), from_rows(directory, tmp_path / "aside"))
        assert store.references.prepare() == 3


def test_a_new_key_and_a_backup_keep_and_break_nothing(directory: Path, tmp_path: Path) -> None:
    before = from_rows(directory, tmp_path / "aside")
    with opened(directory) as store:
        made = backup.write(store.database, store.vault, directory / "backups", now=NOW)
        store.people.forget(FORGOTTEN)
    restore.restore(directory, made.path, read_keys(directory), now=lambda: NOW, overwrite=True)
    with opened(directory) as store:
        found = loaded(store)
        assert found.person(FORGOTTEN) is None  # a restore forgets again who was forgotten since
        assert found.references == before.references - 1
        assert count(directory, "reference_block") == 1

    rekey(directory, read_keys(directory), now=lambda: NOW)

    assert count(directory, "reference_block") == count(directory, "subject_block") == 0
    with opened(directory) as store:
        assert same(loaded(store), found)
        assert store.references.prepare() == 4
        assert same(loaded(store), found)
    assert (directory / DATABASE_NAME).exists()
