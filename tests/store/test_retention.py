"""Facts about removing what is too old: what goes, what stays, and that what is left still verifies."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kiosk.cli.main import main
from kiosk.errors import StoreError
from kiosk.store import chain
from kiosk.store.chain import Kind, Signed
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.directory import open_store
from kiosk.store.keys import read_keys
from kiosk.store.outbox import FLEET, Message, OutboxState
from kiosk.store.store import HEAD_NAME, Store
from kiosk.store.upkeep import anchor, backup, check
from kiosk.store.upkeep.rekey import rekey
from kiosk.store.upkeep.restore import restore
from kiosk.store.upkeep.retention import Pruned, prune
from kiosk.types import ClockState
from tests.store.killing import TRACER
from tests.store.stored import DAY, Clock, enrolment, raw

YEAR = 365 * DAY


def at_once() -> None:
    """Let nobody wait between two transactions."""


def pruned(store: Store, clock: Clock, *, days: float | None = 365, batch_rows: int = 200, **more: Any) -> Pruned:
    return prune(
        store,
        now=clock(),
        log_s=None if days is None else days * DAY,
        outbox_s=90 * DAY,
        batch_rows=batch_rows,
        rest=at_once,
        **more,
    )


@pytest.fixture
def store(directory: Path, clock: Clock) -> Iterator[Store]:
    """Give a store as conftest does, but with a clock that is good."""
    with opened(directory, clock) as opening:
        yield opening


def opened(directory: Path, clock: Clock, state: ClockState = ClockState.SYNCED) -> Store:
    return open_store(directory, read_keys(directory), now=clock, clock_state=lambda: state)


def decide(store: Store, count: int = 1, status: str = "Declined", **more: object) -> list[str]:
    return [
        store.record_decision(NewDecision(Kind.FACE_SEARCH, status, answer={"n": n}, **more)).request_id  # type: ignore[arg-type]
        for n in range(count)
    ]


def left(store: Store, *kinds: Kind) -> list[str]:
    wanted = DecisionFilter(kinds=kinds) if kinds else DecisionFilter()
    return [one.entry.request_id for one in store.decisions(wanted, limit=10_000).decisions]


# ---- what goes, and what is left


def test_decisions_older_than_the_setting_go_with_their_answers(store: Store, directory: Path, clock: Clock) -> None:
    decide(store, 5)
    clock.advance(400 * DAY)
    kept = decide(store, 3)

    assert pruned(store, clock).records == 5

    assert left(store) == kept[::-1]
    with raw(directory) as connection:
        assert connection.execute("SELECT count(*) FROM log_private").fetchone()[0] == len(left(store))


@pytest.mark.parametrize("batch_rows", [1, 3, 200])
def test_the_log_verifies_across_what_was_removed(store: Store, clock: Clock, batch_rows: int) -> None:
    store.people.enrol(enrolment(1))
    decide(store, 20)
    clock.advance(400 * DAY)
    decide(store, 3)

    assert pruned(store, clock, batch_rows=batch_rows).records > 10

    verdict = store.verify_log()
    assert verdict.is_intact, verdict.faults
    assert verdict.checkpoint is not None
    assert any("were removed for their age" in note for note in verdict.notes)
    assert store.verify_log(every_signature=False).is_intact


def test_what_is_younger_stays_and_zero_days_keep_everything(store: Store, clock: Clock) -> None:
    decide(store, 3)
    clock.advance(364 * DAY)

    assert pruned(store, clock).records == 0
    clock.advance(400 * DAY)
    assert pruned(store, clock, days=None).records == 0
    assert len(left(store)) == 3


def test_what_was_done_to_people_who_are_here_stays(store: Store, clock: Clock) -> None:
    store.people.enrol_many([enrolment(seed) for seed in range(3)])
    store.people.block(2)
    store.people.unblock(2)
    clock.advance(4 * 400 * DAY)
    decide(store)

    pruned(store, clock)

    assert len(left(store, Kind.ENROL)) == 3
    assert len(left(store, Kind.BLOCK, Kind.UNBLOCK)) == 2
    findings = check.inspect(store.database, store.directory / HEAD_NAME, read_keys(store.directory))
    assert (findings.damage, findings.log) == ((), ())


def test_the_acts_of_people_who_were_forgotten_go(store: Store, clock: Clock) -> None:
    store.people.enrol_many([enrolment(seed) for seed in range(3)])
    store.people.block(2)
    clock.advance(400 * DAY)
    decide(store)
    pruned(store, clock)
    store.people.forget(2)
    clock.advance(400 * DAY)
    decide(store)

    pruned(store, clock)

    assert len(left(store, Kind.ENROL)) == 2
    assert left(store, Kind.BLOCK, Kind.FORGET) == []
    findings = check.inspect(store.database, store.directory / HEAD_NAME, read_keys(store.directory))
    assert (findings.damage, findings.log) == ((), ())


def test_a_decision_in_review_stays_until_somebody_decided(store: Store, clock: Clock) -> None:
    (waiting,) = decide(store, status="In Review")
    decide(store, 5)
    clock.advance(400 * DAY)
    decide(store)
    pruned(store, clock)
    assert waiting in left(store)
    assert store.log.waiting(limit=9, offset=0).total == 1

    store.record_decision(NewDecision(Kind.REVIEW, "Approved", details={"of": waiting}))
    pruned(store, clock)

    assert waiting not in left(store)
    assert store.log.waiting(limit=9, offset=0).total == 0
    assert store.verify_log().is_intact


def test_a_review_never_goes_before_the_decision_that_it_is_about(store: Store, clock: Clock) -> None:
    message = Message("summary", {"n": 1})
    (decided,) = decide(store, status="In Review", outbox=(message,))  # waits to be sent, so it stays
    store.record_decision(NewDecision(Kind.REVIEW, "Declined", details={"of": decided}))
    clock.advance(400 * DAY)
    decide(store, 3)

    pruned(store, clock, batch_rows=1)

    assert decided in left(store)
    assert store.log.waiting(limit=9, offset=0).total == 0


def test_what_concerns_somebody_blocked_stays_as_long_as_they_are(store: Store, clock: Clock) -> None:
    number = store.people.enrol(enrolment(1)).session_number
    store.people.block(number)
    (one,) = decide(store, session_number=number)
    (other,) = decide(store, subjects=(number,))
    decide(store, 5)
    clock.advance(400 * DAY)
    decide(store)

    pruned(store, clock)
    assert {one, other} <= set(left(store))

    store.people.unblock(number)
    pruned(store, clock)
    assert not {one, other} & set(left(store))
    assert store.verify_log().is_intact


def test_an_outbox_row_goes_once_it_arrived_and_is_old(store: Store, clock: Clock) -> None:
    rows = [decide(store, outbox=(Message("replay", {"n": n}, {"user_image": b"jpeg"}),)) for n in range(3)]
    first, second = (store.outbox.claim(clock()) for _ in range(2))
    assert first is not None
    assert second is not None
    store.outbox.settle(first.id, "remote-1")
    store.outbox.supersede(second.id, "too old")
    clock.advance(89 * DAY)
    assert pruned(store, clock).outbox == 0
    clock.advance(2 * DAY)

    assert pruned(store, clock).outbox == 2

    assert [row.state for row in store.outbox.rows()] == [OutboxState.WAITING]
    clock.advance(400 * DAY)
    decide(store)
    pruned(store, clock)
    assert rows[2][0] in left(store)  # what waits to be sent keeps its decision
    assert store.outbox.photographs(store.outbox.rows()[0].id) == {"user_image": b"jpeg"}


def test_a_decision_that_no_hub_of_the_fleet_took_goes_with_its_record(store: Store, clock: Clock) -> None:
    (old,) = decide(store, outbox=(Message(FLEET, {}),))
    clock.advance(366 * DAY)
    (new,) = decide(store, outbox=(Message(FLEET, {}),))
    pruned(store, clock)

    assert [row.request_id for row in store.fleet_outbox.rows(OutboxState.WAITING)] == [new]
    pruned(store, clock)
    assert old not in left(store)


def test_old_lines_of_the_change_table_go_and_a_gallery_that_missed_them_is_loaded_anew(
    store: Store, clock: Clock
) -> None:
    store.people.enrol_many([enrolment(seed) for seed in range(5)])
    version = store.references.version()
    for _ in range(10):
        store.people.block(1)
        store.people.unblock(1)

    assert pruned(store, clock, kept_changes=3).changes == 22

    assert not store.references.changes_since(version).is_whole
    newest = store.references.version()
    assert store.references.changes_since(newest - 3).is_whole
    assert store.references.changes_since(newest).is_whole
    assert pruned(store, clock, kept_changes=0).changes == 2  # the last one tells which version is the newest
    assert store.references.version() == newest


# ---- whose clock is believed


def test_a_record_of_a_clock_nobody_vouched_for_goes_only_before_an_old_one_that_is_good(
    directory: Path, clock: Clock
) -> None:
    with opened(directory, clock) as store:
        decide(store, 2)
    clock.now -= 20 * YEAR  # as after a start without a battery
    with opened(directory, clock, ClockState.UNTRUSTED) as store:
        recent = decide(store, 3)
    clock.now += 20 * YEAR + 400 * DAY
    with opened(directory, clock) as store:
        decide(store, 1)

        pruned(store, clock)

        assert set(recent) <= set(left(store))
        assert pruned(store, clock).records == 0
        assert store.verify_log().is_intact


def test_where_the_owner_keeps_the_clock_by_hand_its_times_count(directory: Path, clock: Clock) -> None:
    with opened(directory, clock, ClockState.UNTRUSTED) as store:
        decide(store, 5)
        clock.advance(400 * DAY)
        decide(store)
        assert pruned(store, clock).records == 0

        found = prune(store, now=clock(), log_s=365 * DAY, outbox_s=DAY, trusts_every_clock=True, rest=at_once)

        assert found.records == 5


def test_a_record_of_a_time_to_come_does_not_stop_the_removal_for_ever(store: Store, clock: Clock) -> None:
    clock.advance(100 * YEAR)
    decide(store)
    clock.advance(-100 * YEAR)
    decide(store, 4)
    clock.advance(400 * DAY)
    decide(store)

    assert pruned(store, clock).records == 5


# ---- attackers


def removed(store: Store, clock: Clock) -> None:
    """Fill a log, and remove its older half."""
    store.people.enrol_many([enrolment(seed) for seed in range(3)])
    decide(store, 10)
    clock.advance(400 * DAY)
    decide(store, 5)
    assert pruned(store, clock).records == 10


def forge(directory: Path, *statements: str) -> None:
    with raw(directory) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for trigger in ("log_is_never_changed", "log_is_never_cut", "log_only_grows"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        pytest.param("DELETE FROM log WHERE seq = 3", "are not those", id="a kept record removed"),
        pytest.param(
            "UPDATE log SET record = replace(record, 'enrolment', 'other') WHERE seq = 3", "was edited", id="edited"
        ),
        pytest.param("DELETE FROM log WHERE kind = 'PRUNE'", "missing", id="the checkpoint removed"),
        pytest.param(
            "UPDATE log SET record = json_set(record, '$.details.through', 18) WHERE kind = 'PRUNE'",
            "was edited",
            id="the checkpoint moved on",
        ),
        pytest.param(
            "UPDATE log SET record = json_remove(record, '$.details.hash') WHERE kind = 'PRUNE'",
            "was edited",
            id="the checkpoint spoilt",
        ),
        pytest.param("DELETE FROM log WHERE seq = 15", "missing", id="one more record removed"),
    ],
)
def test_whoever_changes_the_checkpoint_or_what_it_vouches_for_is_found(
    store: Store, directory: Path, clock: Clock, sql: str, fault: str
) -> None:
    removed(store, clock)
    assert store.verify_log().is_intact

    forge(directory, sql)

    verdict = store.verify_log()
    assert not verdict.is_intact
    assert any(fault in one for one in verdict.faults), verdict.faults


def test_a_record_that_was_removed_does_not_come_back_unnoticed(store: Store, directory: Path, clock: Clock) -> None:
    store.people.enrol(enrolment(1))
    decide(store, 10)
    with raw(directory) as connection:
        old = connection.execute("SELECT seq, record, hash, signature FROM log WHERE seq = 5").fetchone()
    clock.advance(400 * DAY)
    decide(store)
    pruned(store, clock)

    forge(directory)
    with raw(directory) as connection:
        connection.execute("INSERT INTO log (seq, record, hash, signature) VALUES (?, ?, ?, ?)", old)

    assert any("are not those" in fault for fault in store.verify_log().faults)


def test_an_older_checkpoint_does_not_come_back_unnoticed(store: Store, directory: Path, clock: Clock) -> None:
    removed(store, clock)
    shutil.copy(directory / "kiosk.db", directory.parent / "older.db")
    clock.advance(400 * DAY)
    decide(store)
    pruned(store, clock)

    forge(
        directory,
        f"ATTACH '{directory.parent / 'older.db'}' AS older",
        "DELETE FROM log WHERE kind = 'PRUNE'",
        "INSERT OR IGNORE INTO log (seq, record, hash, signature) SELECT seq, record, hash, signature FROM older.log",
    )

    assert not store.verify_log().is_intact


def test_the_database_of_before_the_checkpoint_is_noticed_at_the_start(directory: Path, clock: Clock) -> None:
    with opened(directory, clock) as store:
        decide(store, 5)
    shutil.copy(directory / "kiosk.db", directory.parent / "older.db")
    clock.advance(400 * DAY)
    with opened(directory, clock) as store:
        decide(store)
        pruned(store, clock)

    shutil.copy(directory.parent / "older.db", directory / "kiosk.db")

    with opened(directory, clock) as store:
        assert any("are lost" in notice for notice in store.notices)
        assert not store.verify_log().is_intact


def test_a_loss_stays_a_fault_when_what_surrounds_it_is_gone(directory: Path, clock: Clock) -> None:
    with opened(directory, clock) as store:
        decide(store, 6)
    forge(directory, "DELETE FROM log WHERE seq > 4")
    with opened(directory, clock) as store:
        decide(store, 6)
        clock.advance(400 * DAY)
        decide(store)

        assert pruned(store, clock).records == 9

        assert "records 5 to 7 are missing" in store.verify_log().faults


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM log WHERE seq = 5",
        "UPDATE log SET record = replace(record, 'Declined', 'Approved') WHERE seq = 5",
        "UPDATE log SET record = json_set(record, '$.kind', 'NONE') WHERE seq = 5",
    ],
)
def test_of_a_log_that_was_changed_nothing_is_removed(store: Store, directory: Path, clock: Clock, sql: str) -> None:
    decide(store, 10)
    clock.advance(400 * DAY)
    decide(store)
    forge(directory, sql)
    before = store.verify_log()

    with pytest.raises(StoreError, match="nothing of"):
        pruned(store, clock)

    assert store.verify_log() == before


# ---- anchors, exports, backups


def test_an_anchor_from_before_the_checkpoint_is_told_from_one_that_holds(
    directory: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(directory, clock) as store:
        decide(store, 5)
        old = anchor.make(store, clock())
        clock.advance(400 * DAY)
        decide(store)
        new = anchor.make(store, clock())
        pruned(store, clock)

        found = anchor.compare(store, [old, new])
        assert (found.held, found.faults) == (1, ())
        (beyond,) = found.beyond
        assert beyond.startswith("the anchor of 2027-01-15T08:00:00Z names record 6, which was removed for its age")
        assert "no anchor names a record that is still there" in anchor.compare(store, [old]).faults[0]

    assert main(["--state", str(directory), "log", "verify", "--anchor", old.text, "--anchor", new.text]) == 0
    told = capsys.readouterr().out
    assert "cannot be compared any more" in told
    assert "The log holds what 1 anchor names: it was not put back to before them." in told
    assert "the log is whole from 2027-01-15T08:00:00Z on" in told
    assert main(["--state", str(directory), "log", "verify", "--anchor", old.text]) == 3
    capsys.readouterr()
    assert main(["--state", str(directory), "log", "verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["whole_since"].startswith("2027-01-15T08:00:00")


def test_a_rollback_to_before_the_checkpoint_is_found_by_a_newer_anchor(directory: Path, clock: Clock) -> None:
    with opened(directory, clock) as store:
        decide(store, 5)
    shutil.copytree(directory, directory.parent / "older")
    clock.advance(400 * DAY)
    with opened(directory, clock) as store:
        decide(store)
        pruned(store, clock)
        made = anchor.make(store, clock())
    shutil.rmtree(directory)
    shutil.copytree(directory.parent / "older", directory)

    with opened(directory, clock) as store:
        assert "put back to an older state" in anchor.faults(store, [made])[0]


def test_an_export_verifies_elsewhere_across_what_was_removed(store: Store, clock: Clock) -> None:
    removed(store, clock)

    lines = [json.loads(line) for line in io.StringIO("".join(store.export_log("json")))]

    log = [
        Signed(one["seq"], one["record"], bytes.fromhex(one["hash"]), bytes.fromhex(one["signature"])) for one in lines
    ]
    checkpoint = chain.newest_checkpoint(log)
    assert chain.verify(log, public_key=store.vault.public_key, checkpoint=checkpoint).is_intact
    assert not chain.verify(log, public_key=store.vault.public_key).is_intact
    del log[2]
    assert not chain.verify(log, public_key=store.vault.public_key, checkpoint=checkpoint).is_intact


def test_backup_restore_and_rekey_hold_across_what_was_removed(directory: Path, clock: Clock) -> None:
    keys = read_keys(directory)
    with opened(directory, clock) as store:
        removed(store, clock)
        file = backup.write(store.database, store.vault, directory / "backups", now=clock())
    restore(directory, file.path, keys, now=clock, overwrite=True)
    rekey(directory, keys, now=clock, clock_state=lambda: ClockState.SYNCED)

    with opened(directory, clock) as store:
        assert store.verify_log().is_intact
        clock.advance(400 * DAY)
        decide(store)
        assert pruned(store, clock).records == 6  # five decisions, the checkpoint of before
        verdict = store.verify_log()
        assert verdict.is_intact, verdict.faults
        assert len(left(store, Kind.INIT, Kind.REKEY, Kind.RESTORE)) == 4


def test_a_checkpoint_between_the_old_key_and_the_new_one_is_no_obstacle(directory: Path, clock: Clock) -> None:
    with opened(directory, clock) as store:
        decide(store, 3)

    def ticking() -> float:
        clock.advance(10 * DAY)
        return clock.now

    rekey(directory, read_keys(directory), now=ticking, clock_state=lambda: ClockState.SYNCED)
    with opened(directory, clock) as store:
        rekeyed = store.decisions(DecisionFilter(kinds=(Kind.REKEY,))).decisions[0].entry
        decide(store, 3)
        clock.now = rekeyed.at + YEAR + DAY  # so that REKEY is old, and the INIT after it is not
        decide(store)
        pruned(store, clock)
        clock.advance(YEAR)
        decide(store)

        assert pruned(store, clock).records == 3

        verdict = store.verify_log()
        assert verdict.is_intact, verdict.faults


# ---- beside a kiosk that runs, and killed


def test_whoever_wants_to_write_comes_in_between_two_transactions(directory: Path, clock: Clock) -> None:
    with opened(directory, clock) as store, opened(directory, clock) as door:
        decide(store, 40)
        clock.advance(400 * DAY)
        decide(store)

        found = prune(
            store, now=clock(), log_s=YEAR, outbox_s=DAY, batch_rows=5, rest=lambda: print(decide(door), end="")
        )

        assert found.records == 40
        assert len(left(store)) == 1 + 8
        assert store.verify_log().is_intact


def test_two_that_remove_at_once_leave_a_log_that_verifies(directory: Path, clock: Clock) -> None:
    with opened(directory, clock) as store, opened(directory, clock) as other:
        decide(store, 40)
        clock.advance(400 * DAY)
        decide(store)

        prune(
            store, now=clock(), log_s=YEAR, outbox_s=DAY, batch_rows=3, rest=lambda: print(pruned(other, clock), end="")
        )

        assert store.verify_log().is_intact
        assert len(left(store)) == 1


CHILD = f"""{TRACER}
from pathlib import Path
from kiosk.store import chain, checkpoint, decision_log
from kiosk.store.directory import open_store
from kiosk.store.keys import read_keys
from kiosk.store.upkeep import retention
from kiosk.types import ClockState

directory, now, line = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
store = open_store(directory, read_keys(directory), now=lambda: now, clock_state=lambda: ClockState.SYNCED)
killed_at(line, retention, decision_log, chain, checkpoint)
retention.prune(store, now=now, log_s=86400.0 * 365, outbox_s=86400.0, batch_rows=4, rest=lambda: None)
"""


@pytest.mark.parametrize("start", range(3))
def test_killed_at_any_line_the_log_verifies_and_the_next_run_goes_on(
    directory: Path, clock: Clock, tmp_path: Path, start: int
) -> None:
    with opened(directory, clock) as store:
        store.people.enrol(enrolment(1))
        decide(store, 12)
        clock.advance(400 * DAY)
        decide(store)
    killed, line = 0, 40 + 97 * start
    while True:
        state = tmp_path / f"state-{line}"
        shutil.copytree(directory, state)
        done = subprocess.run([sys.executable, "-c", CHILD, str(state), str(clock()), str(line)], check=False)
        assert done.returncode in (0, -signal.SIGKILL)
        with opened(state, clock) as store:
            assert store.notices == ()
            verdict = store.verify_log()
            assert verdict.is_intact, (line, verdict.faults)
            pruned(store, clock)
            assert len(left(store)) == 1
            assert store.verify_log().is_intact
        if done.returncode == 0:
            break
        killed += 1
        line += 311
    assert killed >= 5


# ---- by the command


def test_the_sweep_removes_by_the_settings(
    directory: Path, clock: Clock, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    clock.now = 1_600_000_000.0  # years before this test runs
    with opened(directory, clock) as store:
        decide(store, 7)
    config = tmp_path / "kiosk.toml"
    config.write_text("[store]\nlog_days = 0\n")
    assert main(["--state", str(directory), "--config", str(config), "store", "sweep", "--trust-clock"]) == 0
    assert "removed for their age" not in capsys.readouterr().err

    config.write_text("[store]\nlog_days = 30\n")
    assert main(["--state", str(directory), "--config", str(config), "store", "sweep", "--trust-clock"]) == 0

    assert "removed for their age: 7 records of the log, 0 rows of the outbox" in capsys.readouterr().err
