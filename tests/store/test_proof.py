"""Facts about the proof of an erasure: it may come later, in another process, and its receipt is kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kiosk.cli.main import main
from kiosk.store import chain
from kiosk.store.directory import open_store
from kiosk.store.keys import read_keys
from kiosk.store.store import HEAD_NAME, Store
from kiosk.store.subjects import Enrolment, Receipt
from kiosk.store.upkeep import backup, check
from kiosk.store.upkeep.rekey import rekey
from kiosk.store.upkeep.restore import restore
from tests.patience import LIMIT_S, until
from tests.store.killing import TRACER
from tests.store.stored import ANN, DAY, NOW, Clock, enrolment, files_with, raw, template


def sealed_of_ann(directory: Path) -> list[bytes]:
    with raw(directory) as connection:
        tables = ("SELECT details FROM subject", "SELECT template FROM reference", "SELECT jpeg FROM image")
        return [row[0] for sql in tables for row in connection.execute(sql)]


def is_good(found: Receipt | None, store: Store) -> bool:
    return found is not None and found.is_complete and chain.receipt_holds(found.text, store.vault.public_key)


def test_an_erasure_without_its_proof_has_erased_everything(store: Store, directory: Path) -> None:
    store.people.enrol(Enrolment([template(1)], ANN, images=[b"jpeg" * 3000]))
    sealed = sealed_of_ann(directory)

    session_id = store.people.erasures.erase(1)

    assert store.people.subject(1) is None
    assert store.people.erasures.receipt("1") is None
    assert store.people.erasures.awaits_proof(1) == session_id
    for content in sealed:  # the note of what is to be searched for holds none of it in clear
        for start in range(0, len(content) - 16, max(len(content) // 7, 1)):
            assert files_with(directory, content[start : start + 16]) == []


def test_the_proof_comes_later_and_its_receipt_is_kept(store: Store) -> None:
    store.people.enrol_many([enrolment(1), Enrolment([template(2)] * 2, ANN)])
    session_id = store.people.erasures.erase(2)

    (made,) = store.people.erasures.prove()

    assert is_good(made, store)
    assert store.people.erasures.receipt("2") == store.people.erasures.receipt(session_id) == made
    assert json.loads(made.text)["receipt"]["erased"] == {"reference": 2, "subject": 1}
    assert json.loads(made.text)["receipt"]["at"] == NOW
    assert (store.people.erasures.unproven(), store.people.erasures.prove(), store.people.erasures.awaits_proof(2)) == (
        0,
        (),
        None,
    )


def test_nobody_has_a_receipt_who_was_not_forgotten(store: Store) -> None:
    store.people.enrol(enrolment(1))

    assert store.people.erasures.receipt("1") is None
    assert store.people.erasures.receipt("2") is None
    assert store.people.erasures.receipt("9" * 40) is None


CHILD = f"""{TRACER}
from pathlib import Path
from kiosk.store import erasure, people
from kiosk.store.directory import open_store
from kiosk.store.keys import read_keys

directory, line = Path(sys.argv[1]), int(sys.argv[2])
store = open_store(directory, read_keys(directory), now=lambda: 1_800_000_000.0)
killed_at(line, erasure, people)
store.people.forget(1)
"""


def test_killed_at_any_line_an_erasure_is_whole_or_not_there_and_its_receipt_comes(directory: Path) -> None:
    keys = read_keys(directory)
    told = set()
    for line in (*range(5, 560, 50), 100_000):
        with open_store(directory, keys, now=Clock()) as store:
            number = store.people.enrol(Enrolment([template(1)], ANN, images=[b"jpeg" * 3000])).session_number
        child = CHILD.replace("forget(1)", f"forget({number})")
        done = subprocess.run([sys.executable, "-c", child, str(directory), str(line)], check=False)
        assert done.returncode in (0, -signal.SIGKILL)

        with open_store(directory, keys, now=Clock()) as store:
            if store.people.subject(number) is not None:
                told.add("not there")
                assert store.people.erasures.awaits_proof(number) is None
                store.people.forget(number)
            elif store.people.erasures.receipt(str(number)) is None:
                told.add("not proven")
                assert store.people.erasures.awaits_proof(number) is not None
                store.people.sweep()  # as the next night does
            else:
                told.add("proven")
            assert is_good(store.people.erasures.receipt(str(number)), store)
            assert store.people.erasures.unproven() == 0
    assert told == {"not there", "not proven", "proven"}


def test_two_callers_share_the_search_and_each_has_a_receipt(store: Store) -> None:
    store.people.enrol_many([enrolment(seed) for seed in range(6)])
    receipts: list[Receipt] = []
    threads = [
        threading.Thread(target=lambda number=number: receipts.append(store.people.forget(number)))
        for number in range(1, 7)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)

    assert sorted(one.session_number for one in receipts) == [1, 2, 3, 4, 5, 6]
    assert all(is_good(one, store) for one in receipts)
    assert store.people.erasures.unproven() == 0


def test_a_receipt_that_is_not_complete_is_followed_by_one_that_is(directory: Path) -> None:
    keys = read_keys(directory)
    with open_store(directory, keys, now=Clock(), busy_s=0.0) as store:
        store.people.enrol(Enrolment([template(1)], ANN))
        with raw(directory) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT template FROM reference").fetchone()
            assert not store.people.forget(1).is_complete
        assert store.people.erasures.unproven() == 1

        store.people.sweep()

        assert is_good(store.people.erasures.receipt("1"), store)


def test_the_proof_is_done_after_a_rekey_and_after_a_restore(directory: Path) -> None:
    keys = read_keys(directory)
    with open_store(directory, keys, now=Clock()) as store:
        store.people.enrol_many([enrolment(1), enrolment(2)])
        store.people.erasures.erase(1)
        file = backup.write(store.database, store.vault, directory / "backups", now=NOW)
    restore(directory, file.path, keys, now=Clock(), overwrite=True)
    rekey(directory, keys, now=Clock())

    with open_store(directory, read_keys(directory), now=Clock()) as store:
        findings = check.inspect(store.database, directory / HEAD_NAME, read_keys(directory))
        assert (findings.damage, findings.log) == ((), ())
        (made,) = store.people.erasures.prove()
        assert is_good(made, store)


def test_a_note_that_was_changed_is_found_and_stops_no_other_erasure(store: Store, directory: Path) -> None:
    store.people.enrol_many([enrolment(1), enrolment(2)])
    store.people.erasures.erase(1)
    with raw(directory) as connection:
        connection.execute("UPDATE unproven SET sealed = zeroblob(100)")

    assert not store.people.forget(2).is_complete

    assert store.people.subject(2) is None
    findings = check.inspect(store.database, directory / HEAD_NAME, read_keys(directory))
    assert findings.rows == ("unproven 1 was changed or damaged",)


def test_the_sweep_gives_receipts_to_those_who_have_none(store: Store) -> None:
    store.people.enrol_many([enrolment(1), enrolment(2)])
    store.people.erasures.erase(2)

    assert [one.session_number for one in store.people.sweep()] == [2]
    assert store.people.sweep() == ()


def test_the_command_ends_at_once_when_told_and_the_receipt_follows_by_itself(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_store(directory, read_keys(directory), now=Clock()) as store:
        store.people.enrol(Enrolment([template(1)], ANN, retention_until=NOW + 1000 * DAY))

    assert main(["--state", str(directory), "forget", "1", "--no-wait"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert (said["session_number"], said["receipt"]) == (1, None)
    with open_store(directory, read_keys(directory), now=Clock()) as store:
        assert store.people.subject(1) is None
        until(lambda: store.people.erasures.receipt("1"))  # of a process that nobody waits for
        assert is_good(store.people.erasures.receipt("1"), store)
    for asked in ("1", said["session_id"]):
        assert main(["--state", str(directory), "receipt", asked]) == 0
        assert json.loads(capsys.readouterr().out)["receipt"]["session_number"] == 1
    assert main(["--state", str(directory), "receipt", "2"]) == 1
    assert "nobody with this number was forgotten here" in capsys.readouterr().err


def test_the_command_proves_what_another_left(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_store(directory, read_keys(directory), now=Clock()) as store:
        store.people.enrol(enrolment(1))
        store.people.erasures.erase(1)

    assert main(["--state", str(directory), "receipt", "1"]) == 0

    assert json.loads(capsys.readouterr().out)["receipt"]["is_complete"]
