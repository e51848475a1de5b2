"""Facts about the store: people, references, imports, threads, processes and disks."""

from __future__ import annotations

import resource
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kiosk.errors import KeyMissingError, ModelMismatchError, RefusedError, StoreError
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.directory import DATABASE_NAME, hold, initialise, open_store
from kiosk.store.keys import new_key, read_keys
from kiosk.store.store import Store
from kiosk.store.subjects import Enrolment, ImportedFile, Subject, SubjectFilter
from kiosk.store.vault import Cipher
from kiosk.types import Status
from tests.store.stored import ANN, DAY, MODEL, NOW, OTHER_MODEL, Clock, D, enrolment, files_with, raw, template

# ---- people


def test_a_person_reads_back_as_enrolled(store: Store) -> None:
    stored = store.people.enrol(
        Enrolment(
            [template(1), template(2)],
            ANN,
            qualities=[0.5, 0.75],
            images=[b"jpeg"],
            status=Status.IN_REVIEW,
            source="list_entry",
            external_id="list/entry",
            is_allowlisted=True,
            valid_from=NOW,
            valid_until=NOW + DAY,
        )
    )

    assert store.people.subject(stored.session_number) == stored
    assert stored.details == ANN
    assert (stored.references, stored.images) == (2, 1)
    assert store.people.images(stored.session_number) == (b"jpeg",)
    assert stored.retention_until == NOW + 3 * 365.25 * DAY


def test_numbers_rise_and_are_never_given_out_again(store: Store) -> None:
    first = store.people.enrol(enrolment(1)).session_number
    last = store.people.enrol(enrolment(2)).session_number
    store.people.forget(last)

    assert store.people.enrol(enrolment(3)).session_number == last + 1 == first + 2


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("1", id="session_number"),
        pytest.param("vendor-ann", id="vendor_data"),
    ],
)
def test_a_person_is_found_by(store: Store, text: str) -> None:
    ann = store.people.enrol(Enrolment([template(1)], ANN))
    store.people.enrol(enrolment(2))

    assert store.people.find(text) == (ann,)
    assert store.people.find(ann.session_id) == (ann,)


@pytest.mark.parametrize("text", ["2", "vendor-an", "AB", "", "9" * 40, "²", "' OR 1=1 --"])
def test_nobody_is_found_by_a_part_or_by_nonsense(store: Store, text: str) -> None:
    store.people.enrol(Enrolment([template(1)], ANN))

    assert store.people.find(text) == ()


def test_people_come_in_the_order_of_enrolment_and_in_pages(store: Store) -> None:
    numbers = store.people.enrol_many([enrolment(seed) for seed in range(7)])

    page = store.people.subjects(limit=3, offset=2)

    assert page.total == 7
    assert tuple(subject.session_number for subject in page.subjects) == numbers[2:5]


def test_people_can_be_filtered(store: Store) -> None:
    one, two, three = store.people.enrol_many([enrolment(seed) for seed in range(3)])
    store.people.block(two)
    store.people.allow(three)

    def found(wanted: SubjectFilter) -> list[int]:
        return [subject.session_number for subject in store.people.subjects(wanted).subjects]

    assert found(SubjectFilter(is_blocklisted=True)) == [two]
    assert found(SubjectFilter(is_blocklisted=False)) == [one, three]
    assert found(SubjectFilter(is_allowlisted=True)) == [three]
    assert found(SubjectFilter(vendor_data="v1")) == [two]
    assert found(SubjectFilter(source="list_entry")) == []


def test_block_and_unblock_are_acts_in_the_log(store: Store) -> None:
    number = store.people.enrol(enrolment(1)).session_number

    blocked = store.people.block(number, reason="seen at the back door", actor="key-7")
    unblocked = store.people.unblock(number)

    assert blocked.is_blocklisted
    assert blocked.details.block_reason == "seen at the back door"
    assert not unblocked.is_blocklisted
    assert unblocked.details.block_reason is None
    kinds = DecisionFilter(kinds=(Kind.BLOCK, Kind.UNBLOCK), session_number=number)
    acts = [row.entry for row in store.decisions(kinds).decisions]
    assert [(act.kind, act.actor) for act in acts] == [(Kind.UNBLOCK, ""), (Kind.BLOCK, "key-7")]


def test_a_patch_stores_what_changed_and_logs_only_which_fields(store: Store) -> None:
    ann = store.people.enrol(Enrolment([template(1)], ANN))
    changed = replace(ann, details=replace(ANN, name="Ann Married"), valid_until=NOW + DAY)

    store.people.patch(ann.session_number, lambda _: changed)

    assert store.people.subject(ann.session_number) == changed
    page = store.decisions(DecisionFilter(kinds=(Kind.PATCH,)))
    assert page.decisions[0].entry.details["changed"] == ["valid_until", "name"]


def test_a_patch_never_touches_the_lists(store: Store) -> None:
    ann = store.people.enrol(Enrolment([template(1)], ANN))
    store.people.block(ann.session_number, reason="why")

    patched = store.people.patch(ann.session_number, lambda one: replace(one, status=Status.DECLINED))

    assert patched.is_blocklisted
    assert patched.details.block_reason == "why"


def test_a_patch_that_changes_nothing_leaves_no_trace(store: Store) -> None:
    ann = store.people.enrol(Enrolment([template(1)], ANN))
    version = store.references.version()

    store.people.patch(ann.session_number, lambda one: one)

    assert store.references.version() == version


def test_a_patch_that_is_refused_half_way_leaves_the_person_as_they_were(store: Store) -> None:
    ann = store.people.enrol(Enrolment([template(1)], ANN))

    def refuse(_: Subject) -> Subject:
        raise RefusedError("the dates contradict each other")

    with pytest.raises(RefusedError):
        store.people.patch(ann.session_number, refuse)

    assert store.people.subject(ann.session_number) == ann


def acts(store: Store) -> list[Callable[[int], object]]:
    return [
        store.people.block,
        store.people.unblock,
        store.people.allow,
        store.people.disallow,
        store.people.forget,
        lambda number: store.people.add_reference(number, template(1)),
    ]


@pytest.mark.parametrize("act", range(6))
def test_an_act_on_nobody_is_refused_and_stores_nothing(store: Store, act: int) -> None:
    before = store.verify_log().records

    with pytest.raises(StoreError, match="nobody has session_number 99"):
        acts(store)[act](99)

    assert store.verify_log().records == before


def test_what_names_a_person_shows_in_no_repr(store: Store) -> None:
    ann = store.people.enrol(Enrolment([template(1)], replace(ANN, block_reason="why")))
    decision = NewDecision(Kind.FACE_MATCH, "Approved", vendor_data="vendor-ann", answer={"x": "Ann"})
    store.record_decision(decision)

    shown = repr((ann, ann.details, decision, store.decisions(), store, store.vault))

    for secret in ("Ann", "AB-123", "vendor-ann", "why", "Passport"):
        assert secret not in shown


# ---- references


def test_references_come_back_bit_for_bit_in_the_order_of_enrolment(store: Store) -> None:
    templates = [template(seed) for seed in range(10)]
    store.people.enrol_many([Enrolment([one]) for one in templates])

    chunks = list(store.references.chunks(MODEL, chunk_rows=4))

    assert [len(chunk.ids) for chunk in chunks] == [4, 4, 2]
    found = np.concatenate([chunk.vectors for chunk in chunks])
    np.testing.assert_array_equal(found, [one.vector for one in templates])
    assert found.dtype == np.float32
    ids = np.concatenate([chunk.ids for chunk in chunks])
    assert (np.diff(ids) > 0).all()


def test_a_store_without_references_gives_no_chunk(store: Store) -> None:
    assert list(store.references.chunks(MODEL)) == []
    assert list(store.references.chunks(MODEL, [1, 2])) == []
    assert store.references.members().session_numbers.shape == (0,)


def test_references_of_another_model_are_left_out(store: Store) -> None:
    number = store.people.enrol(enrolment(1)).session_number
    store.people.add_reference(number, template(2, OTHER_MODEL, 16))

    assert [chunk.vectors.shape for chunk in store.references.chunks(MODEL)] == [(1, D)]
    assert [chunk.vectors.shape for chunk in store.references.chunks(OTHER_MODEL)] == [(1, 16)]


def test_a_model_has_one_length(store: Store) -> None:
    store.people.enrol(enrolment(1))

    with pytest.raises(ModelMismatchError, match="templates of 32 numbers, got 16"):
        store.people.enrol(Enrolment([template(2, MODEL, 16)]))

    assert store.people.subjects().total == 1


def test_single_vectors_come_in_the_order_asked(store: Store) -> None:
    store.people.enrol_many([enrolment(seed) for seed in range(1200)])
    ids = [1200, 3, 3, *range(1, 1100)]

    vectors = store.references.vectors(ids, MODEL)

    np.testing.assert_array_equal(vectors, [template(one - 1).vector for one in ids])


def test_a_vector_that_is_gone_is_not_a_number_and_the_others_are_right(store: Store) -> None:
    store.people.enrol_many([enrolment(1), enrolment(2)])
    store.people.forget(1)

    vectors = store.references.vectors([1, 2, 99], MODEL)

    assert np.isnan(vectors).all(axis=1).tolist() == [True, False, True]
    np.testing.assert_array_equal(vectors[1], template(2).vector)
    assert len(store.references.vectors([1], MODEL)) == 1


def test_members_tell_lists_status_and_dates(store: Store) -> None:
    store.people.enrol_many([enrolment(1), replace(enrolment(2), valid_until=NOW)])
    store.people.block(1)
    store.people.patch(2, lambda one: replace(one, status=Status.DECLINED))

    members = store.references.members()

    assert members.session_numbers.tolist() == [1, 2]
    assert members.is_blocklisted.tolist() == [True, False]
    assert [list(Status)[place] for place in members.status] == [Status.APPROVED, Status.DECLINED]
    assert members.valid_from.tolist() == [-np.inf, -np.inf]
    assert members.valid_until.tolist() == [np.inf, NOW]
    assert store.references.members([2, 77]).session_numbers.tolist() == [2]


def test_another_process_sees_who_changed(directory: Path, store: Store, clock: Clock) -> None:
    store.people.enrol_many([enrolment(1), enrolment(2), enrolment(3)])
    version = store.references.version()
    with open_store(directory, read_keys(directory), now=clock) as other:
        other.people.block(2)
        other.people.forget(3)
        other.people.add_reference(2, template(9))
        other.people.enrol(enrolment(4))

    changes = store.references.changes_since(version)

    assert changes.subjects == (2, 3, 4)
    assert store.references.members(changes.subjects).session_numbers.tolist() == [2, 4]
    assert store.references.changes_since(changes.version).subjects == ()


def test_to_ask_what_changed_reads_no_whole_table(store: Store) -> None:
    """Every search asks: with a million people reading all changes took six times as long as the search."""
    asked: list[str] = []
    with store.database.read() as connection:
        connection.set_trace_callback(asked.append)
    store.references.version()
    with store.database.read() as connection:
        connection.set_trace_callback(None)
        plans = [
            row[3]
            for one in asked
            if one.startswith("SELECT")
            for row in connection.execute(f"EXPLAIN QUERY PLAN {one}").fetchall()
        ]

    assert [one for one in plans if "change" in one] != []
    assert [one for one in plans if one.startswith("SCAN change")] == []


# ---- key


def test_a_copied_database_without_its_key_refuses_with_one_line(directory: Path, tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "copy").mkdir()
    shutil.copy(directory / DATABASE_NAME, tmp_path / "copy")

    with pytest.raises(KeyMissingError) as caught:
        open_store(tmp_path / "copy", read_keys(tmp_path / "copy"), now=clock)

    assert "\n" not in str(caught.value)


def test_a_wrong_key_refuses_with_one_line(directory: Path, clock: Clock) -> None:
    with pytest.raises(KeyMissingError, match="not the one that this store was written with") as caught:
        open_store(directory, [new_key()], now=clock)

    assert "\n" not in str(caught.value)


def test_the_key_is_in_no_file_but_its_own(store: Store, directory: Path) -> None:
    store.people.enrol(Enrolment([template(1)], ANN))
    secret = (directory / "kiosk.key").read_text().strip()

    assert files_with(directory, secret.encode()) == ["kiosk.key"]
    assert files_with(directory, bytes.fromhex(secret)) == []


def test_with_a_credential_no_key_file_is_made(tmp_path: Path, clock: Clock) -> None:
    key = new_key()

    initialise(tmp_path, now=clock, key=key).close()

    assert not (tmp_path / "kiosk.key").exists()
    open_store(tmp_path, [key], now=clock).close()


def test_files_are_for_their_owner_only(store: Store, directory: Path) -> None:
    store.people.enrol(enrolment(1))

    modes = {path.name: path.stat().st_mode & 0o077 for path in directory.iterdir()}

    assert set(modes.values()) == {0}
    assert directory.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("cipher", list(Cipher))
def test_a_store_keeps_the_cipher_it_was_made_with(tmp_path: Path, clock: Clock, cipher: Cipher) -> None:
    with initialise(tmp_path, now=clock, cipher=cipher) as store:
        store.people.enrol(enrolment(1))

    with open_store(tmp_path, read_keys(tmp_path), now=clock) as store:
        assert store.vault.cipher is cipher
        assert len(list(store.references.chunks(MODEL))) == 1


# ---- damage


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        pytest.param(
            "UPDATE reference SET template = (SELECT template FROM reference WHERE id = 2) WHERE id = 1",
            "reference 1",
            id="two templates swapped",
        ),
        pytest.param("UPDATE reference SET subject = 2 WHERE id = 1", "reference 1", id="given to another"),
        pytest.param("UPDATE reference SET template = zeroblob(156) WHERE id = 1", "reference 1", id="wiped"),
        pytest.param("UPDATE subject SET is_blocklisted = 0", "subject 1", id="unblocked by hand"),
        pytest.param("UPDATE subject SET valid_until = 5", "subject 1", id="expired by hand"),
        pytest.param(
            "UPDATE subject SET details = (SELECT details FROM subject WHERE session_number = 2) "
            "WHERE session_number = 1",
            "subject 1",
            id="another's name",
        ),
    ],
)
def test_a_row_changed_outside_the_kiosk_is_refused_by_name(store: Store, directory: Path, sql: str, what: str) -> None:
    store.people.enrol_many([enrolment(1), enrolment(2)])
    store.people.block(1)
    with raw(directory) as connection:
        connection.execute(sql)

    with pytest.raises(StoreError, match=f"{what} was changed or damaged"):
        store.references.members(), list(store.references.chunks(MODEL))


def test_a_torn_page_is_refused_at_the_start(directory: Path, clock: Clock) -> None:
    keys = read_keys(directory)
    with open_store(directory, keys, now=clock) as store:
        store.people.enrol_many([enrolment(seed) for seed in range(200)])
    with (directory / DATABASE_NAME).open("r+b") as file:
        file.seek(4096 * 12)
        file.write(b"\xff" * 2048)

    with pytest.raises(StoreError, match="run `kiosk store repair`"):
        open_store(directory, keys, now=clock)


@pytest.mark.parametrize("content", [b"", b"x" * 5000], ids=["empty", "not a database"])
def test_a_file_that_is_no_store_is_refused(directory: Path, clock: Clock, content: bytes) -> None:
    (directory / DATABASE_NAME).write_bytes(content)

    with pytest.raises(StoreError, match="run `kiosk"):
        open_store(directory, read_keys(directory), now=clock)


def test_where_there_is_no_store_init_is_named(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(StoreError, match="run `kiosk init`"):
        open_store(tmp_path, [new_key()], now=clock)


def test_a_store_is_never_made_over_another(directory: Path, clock: Clock) -> None:
    with pytest.raises(StoreError, match="exists"):
        initialise(directory, now=clock)


def test_the_store_of_a_newer_program_is_refused(directory: Path, clock: Clock) -> None:
    with raw(directory) as connection:
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(StoreError, match="has schema 99, this program knows"):
        open_store(directory, read_keys(directory), now=clock)


# ---- imports


def test_an_import_goes_on_where_it_stopped(store: Store) -> None:
    run = store.imports.begin("/media/usb/people")
    store.people.enrol(enrolment(1), imported=ImportedFile(run, "Ann Example.jpg", 5, "added"))
    store.imports.mark(ImportedFile(run, "blurred.jpg", 6, "poor"))

    again = store.imports.begin("/media/usb/people")

    assert again == run
    assert store.imports.outcome(run, "Ann Example.jpg", 5) == "added"
    assert store.imports.outcome(run, "Ann Example.jpg", 9) is None
    assert store.imports.outcome(run, "new.jpg", 5) is None
    assert store.imports.end(run) == {"added": 1, "poor": 1}
    assert store.imports.begin("/media/usb/people") == run + 1


def test_a_file_name_is_not_stored(store: Store, directory: Path) -> None:
    run = store.imports.begin("/media/people")
    store.imports.mark(ImportedFile(run, "Ann Example.jpg", 6, "poor"))

    assert files_with(directory, b"Ann Example") == []
    assert files_with(directory, b"/media/people") == []


def test_an_import_that_goes_on_does_not_bring_back_the_forgotten(store: Store) -> None:
    run = store.imports.begin("/media/people")
    store.people.enrol(enrolment(1), imported=ImportedFile(run, "ann.jpg", 5, "added"))

    store.people.forget(1)

    assert store.imports.outcome(run, "ann.jpg", 5) == "forgotten"


# ---- threads, processes, disks


def test_readers_and_writers_in_threads_see_whole_facts(store: Store) -> None:
    faults: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            people = store.people.subjects(limit=1000).subjects
            faults.extend(repr(subject) for subject in people if subject.references != 2)

    def write(start: int) -> None:
        for seed in range(start, start + 15):
            store.people.enrol(Enrolment([template(seed), template(seed + 1)]))

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(100 * n,)) for n in range(3)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()

    assert faults == []
    assert store.people.subjects().total == 45
    assert store.verify_log().is_intact


def test_two_open_stores_share_one_chain(directory: Path, store: Store, clock: Clock) -> None:
    with open_store(directory, read_keys(directory), now=clock) as other:
        threads = [
            threading.Thread(target=lambda mine=mine: [mine.people.enrol(enrolment(n)) for n in range(20)])
            for mine in (store, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert store.people.subjects().total == 40
    assert store.verify_log().is_intact


def test_a_full_disk_is_told_and_nothing_half_is_stored(directory: Path, clock: Clock) -> None:
    keys = read_keys(directory)
    big = Enrolment([template(1)], ANN, images=[b"j" * 400_000])
    with open_store(directory, keys, now=clock) as store:
        store.people.enrol(enrolment(1))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        limit = (directory / DATABASE_NAME).stat().st_size + 100_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(StoreError, match="disk full"):
                store.people.enrol(big)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        assert store.people.subjects().total == 1
        store.people.enrol(big)
    with open_store(directory, keys, now=clock) as store:
        assert store.people.subjects().total == 2
        assert store.verify_log().is_intact


def test_nobody_opens_a_store_that_is_being_replaced(directory: Path, clock: Clock) -> None:
    with hold(directory, exclusive=True), pytest.raises(StoreError, match="is being replaced"):
        open_store(directory, read_keys(directory), now=clock)


@pytest.mark.usefixtures("store")
def test_an_open_store_cannot_be_replaced(directory: Path) -> None:
    with pytest.raises(StoreError, match="stop the kiosk first"), hold(directory, exclusive=True):
        pass


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()

    with pytest.raises(StoreError, match="is closed"):
        store.references.version()
