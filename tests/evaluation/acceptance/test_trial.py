"""Facts about a trial: what is noted stays, whatever cuts it off, and a report says no more than was seen."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiosk.errors import ConfigError, RefusedError, StoreError
from kiosk.evaluation.acceptance import signature
from kiosk.evaluation.acceptance.findings import as_dict, rate_of, recommend
from kiosk.evaluation.acceptance.journal import NAME, Journal
from kiosk.evaluation.acceptance.plan import Step, Verdict
from kiosk.evaluation.acceptance.report import Issue, as_html
from kiosk.evaluation.acceptance.trial import State, fold
from kiosk.store.keys import new_key
from kiosk.store.vault import Cipher, Vault
from tests.patience import LIMIT_S

NOW = 1_800_000_000.0
SETUP = {"threshold": 76.0, "mode": "identify", "pad_level": "active", "holds_from_age": 15.0, "age_low": 15.0}
SCRIPT = "<script>alert(1)</script>"


def note(what: str, after_s: float = 0.0, **more):
    return {"what": what, "at": NOW + after_s, **more}


BEGIN = note("begin", goals={"people": 0.05, "strangers": 0.05, "attacks": 0.15}, setup=SETUP)


def decided(status: str = "Approved", number: int | None = 1, score: float | None = 95.0, reasons=("match",), seq=1):
    return {
        "seq": seq,
        "request_id": f"r{seq}",
        "status": status,
        "score": score,
        "session_number": number,
        "reasons": list(reasons),
        "took_s": 1.25,
        "relay_s": 0.05,
    }


def presented(step: str, who: str, *seen, species: str = ""):
    return [
        note("present", step=step, who=who, species=species, after=0),
        note("seen", seen=list(seen)),
    ]


steps = st.sampled_from([step.value for step in Step])
outcomes = st.lists(
    st.builds(
        decided,
        st.sampled_from(["Approved", "Declined", "In Review"]),
        st.one_of(st.none(), st.integers(1, 4)),
        st.one_of(st.none(), st.floats(0, 100)),
    ),
    max_size=3,
)
notes = st.one_of(
    st.builds(
        lambda step, who: note("present", step=step, who=str(who), species="", after=0), steps, st.integers(1, 4)
    ),
    st.builds(lambda seen: note("seen", seen=seen), outcomes),
    st.just(note("drop")),
    st.builds(lambda number: note("withdraw", number=number), st.integers(0, 12)),
    st.builds(lambda step: note("skip", step=step, reason="no time"), steps),
    st.builds(lambda step: note("wait", step=step, before={"pid": 1, "boot": "a"}), steps),
    st.builds(lambda step, worked: note("word", step=step, worked=worked, text=""), steps, st.booleans()),
    st.builds(lambda seconds: note("stopwatch", seconds=seconds), st.floats(0.1, 60)),
)


def fitting(wanted):
    """Return of random notes those that fit the ones before."""
    kept = [BEGIN]
    for one in wanted:
        try:
            fold([*kept, one])
        except RefusedError:
            continue
        kept.append(one)
    return kept


@settings(max_examples=50)
@given(st.lists(notes, max_size=30))
def test_whatever_is_noted_the_trial_has_a_state_a_report_and_json_without_a_number_that_is_none(wanted):
    trial = fold(fitting(wanted))

    told = as_dict(trial)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    page = as_html(trial, Issue(NOW, "RWQ", SETUP, 76.0))
    assert page.count("<li>") == page.count("</li>") - page.count('<li class="')
    assert recommend(trial, 76.0).threshold >= 76.0
    assert trial.withdrawn + len(trial.presentations) >= sum(one["what"] == "seen" for one in fitting(wanted))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(notes, max_size=12), st.integers(0, 4000))
def test_a_journal_cut_at_any_byte_is_the_trial_of_its_whole_lines_and_goes_on(tmp_path, wanted, cut):
    kept = fitting(wanted)
    journal = Journal(tmp_path)
    content = b"".join(json.dumps(one).encode() + b"\n" for one in kept)[: len(kept) and cut]
    journal.path.write_bytes(content)
    whole = content.count(b"\n")

    assert journal.trial() == fold(kept[:whole])
    after = journal.add(lambda trial: note("stopwatch", seconds=1.0) if trial.begun_at else BEGIN)
    assert after == journal.trial()
    assert after.notes == whole + 1


def add_for_ever(directory: Path) -> None:
    journal = Journal(directory)
    journal.add(lambda _: BEGIN)
    print("begun", flush=True)
    while True:
        journal.add(lambda _: note("stopwatch", seconds=1.0))


@pytest.mark.parametrize("turn", range(3))
def test_a_process_that_is_killed_while_it_notes_leaves_a_trial_that_goes_on(tmp_path, turn):
    process = multiprocessing.get_context("fork").Process(target=add_for_ever, args=(tmp_path,))
    process.start()
    journal = Journal(tmp_path)
    while len(journal.trial().stopwatch) <= 5 * turn:
        assert process.is_alive()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(LIMIT_S)

    noted = len(journal.trial().stopwatch)
    assert noted > 5 * turn
    assert len(journal.add(lambda _: note("stopwatch", seconds=1.0)).stopwatch) == noted + 1


ROOM_FOR_HALF = """
import json, resource, signal, sys
from pathlib import Path
from kiosk.errors import StoreError
from kiosk.evaluation.acceptance.journal import Journal
journal = Journal(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = journal.path.stat().st_size + 10  # of the next line; the kernel writes so much and no more
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    journal.add(lambda _: json.loads(sys.argv[2]))
except StoreError as error:
    print(error)
"""


def test_a_note_of_which_the_disk_took_half_is_refused_and_the_next_one_is_whole(tmp_path):
    journal = Journal(tmp_path)
    journal.add(lambda _: BEGIN)
    timed = note("stopwatch", seconds=1.0)
    command = [sys.executable, "-c", ROOM_FOR_HALF, tmp_path, json.dumps(timed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "cannot be written: No space left on device" in done.stdout
    assert not journal.path.read_bytes().endswith(b"\n")
    assert journal.trial().notes == 1
    assert journal.add(lambda _: timed) == journal.trial()
    assert journal.trial().notes == 2


def test_two_processes_cannot_both_begin_a_presentation(tmp_path):
    one, other = Journal(tmp_path), Journal(tmp_path)
    one.add(lambda _: BEGIN)
    one.add(lambda _: presented("people", "1")[0])

    with pytest.raises(RefusedError, match="under way"):
        other.add(lambda _: presented("people", "2")[0])
    assert other.trial().notes == 2


def test_a_journal_that_was_changed_is_told_with_its_line_and_can_be_put_aside(tmp_path):
    journal = Journal(tmp_path)
    journal.add(lambda _: BEGIN)
    journal.path.write_bytes(journal.path.read_bytes() + b'{"what": "nothing known"}\n' + b"no json\n")

    with pytest.raises(StoreError, match=r"line 3, was changed.*--restart"):
        journal.trial()
    kept = journal.put_aside(NOW)
    assert kept is not None
    assert kept.read_bytes().endswith(b"no json\n")
    assert journal.trial().begun_at is None
    assert not (tmp_path / NAME).exists()


def test_of_a_person_the_first_decision_counts_and_of_a_stranger_any_that_lets_in():
    trial = fold(
        [
            BEGIN,
            *presented("people", "1", decided("Declined", 1, 60.0), decided()),
            *presented("people", "1", decided(), decided("Declined")),
            *presented("people", "1", decided(number=2)),
            *presented("people", "1", decided("In Review")),
            *presented("people", "1"),
            *presented("strangers", "1", decided("Declined", None, None), decided(number=2)),
            *presented("strangers", "2", decided("In Review", 2)),
            *presented("strangers", "3"),
        ]
    )

    assert [one.is_error for one in trial.of(Step.PEOPLE)] == [True, False, True, True, True]
    assert [one.is_other for one in trial.of(Step.PEOPLE)] == [False, False, True, False, False]
    assert [one.is_error for one in trial.of(Step.STRANGERS)] == [True, False, False]
    assert rate_of(trial.of(Step.STRANGERS)).unseen == 1


def test_each_kind_of_attack_has_to_be_shown_by_itself():
    prints = [one for _ in range(20) for one in presented("attacks", "a", decided("Declined"), species="print")]
    phones = presented("attacks", "b", decided("Declined"), species="phone")
    trial = fold([BEGIN, *prints, *phones])

    assert trial.look(Step.ATTACKS, "print").verdict is Verdict.ENOUGH
    assert trial.look(Step.ATTACKS, "phone").missing == 19
    assert trial.state(Step.ATTACKS) == State.UNDER_WAY


def test_a_stranger_who_comes_near_raises_the_threshold_and_none_ever_lowers_it():
    near = presented("strangers", "1", decided("Declined", 3, 83.4))
    far = presented("strangers", "2", decided("Declined", 3, 12.0))
    own = presented("people", "1", decided(score=80.0))

    assert recommend(fold([BEGIN, *far, *own]), 76.0).threshold == 76.0
    raised = recommend(fold([BEGIN, *far, *near, *own]), 76.0)
    assert (raised.threshold, raised.turned_away, raised.mated, raised.narrow) == (84.0, 1, 1, (1,))
    assert recommend(fold([BEGIN, *presented("strangers", "1", decided(score=100.0))]), 76.0).is_beyond


def test_the_light_of_one_hour_is_not_the_light_of_a_day():
    reading = {"luminance": 120, "contrast": 40, "sharpness": 90, "eye_distance_px": 60, "template_quality": None}
    good = {**reading, "objection": None}
    morning = [BEGIN, *(note("light", after_s, light=good) for after_s in (0.0, 60.0, 3600.0))]

    assert fold(morning).state(Step.LIGHT) == State.UNDER_WAY
    assert fold([*morning, note("light", 6 * 3600.0, light=good)]).state(Step.LIGHT) == State.DONE
    dark = note("light", 7 * 3600.0, light={**reading, "objection": "the face is too dark"})
    assert fold([*morning, dark]).state(Step.LIGHT) == State.MISSED


def test_a_step_that_was_left_out_stands_in_the_report_as_not_measured_until_it_is_done():
    skipped = [BEGIN, note("skip", step="power", reason=f"no plug {SCRIPT}")]
    page = as_html(fold(skipped), Issue(NOW, "RWQ", SETUP, 76.0))

    assert "not measured" in page
    assert "Left out: no plug &lt;script&gt;" in page
    assert SCRIPT not in page
    done = fold([*skipped, note("word", step="power", worked=True, text="", is_new_boot=True)])
    assert done.state(Step.POWER) == State.DONE
    assert "The installer&#x27;s word" in as_html(done, Issue(NOW, "RWQ", SETUP, 76.0))


@pytest.mark.parametrize(
    ("step", "seen", "state"),
    [
        ("power", {"is_new_boot": True, "is_new_process": True, "is_log_intact": True}, State.DONE),
        ("power", {"is_new_boot": False, "is_new_process": True, "is_log_intact": True}, State.MISSED),
        ("power", {"is_new_boot": True, "is_log_intact": False}, State.MISSED),
        ("power", {}, State.DONE),
        ("watchdog", {"is_new_boot": False, "is_new_process": True}, State.DONE),
        ("watchdog", {"is_new_process": False}, State.MISSED),
    ],
)
def test_a_word_counts_where_nothing_that_the_kiosk_sees_speaks_against_it(step, seen, state):
    assert fold([BEGIN, note("word", step=step, worked=True, text="", **seen)]).state(Step(step)) == state
    assert fold([BEGIN, note("word", step=step, worked=False, text="", **seen)]).state(Step(step)) == State.MISSED


def test_a_report_says_when_settings_changed_during_the_trial():
    page = as_html(fold([BEGIN]), Issue(NOW, "RWQ", {**SETUP, "threshold": 90.0}, 90.0))

    assert "threshold 76.0 → 90.0" in page


def test_a_signature_holds_for_this_report_this_comment_and_this_key_alone():
    vault, other = Vault(new_key(), Cipher.AES_256_GCM), Vault(new_key(), Cipher.AES_256_GCM)
    made = signature.sign(b"report", "acceptance of 1", vault.public_key, vault.sign)

    assert signature.check(b"report", made, vault.public_key) == "acceptance of 1"
    for content, text, key, why in (
        (b"Report", made, vault.public_key, "changed or damaged"),
        (b"report", made.replace("of 1", "of 2"), vault.public_key, "comment was changed"),
        (b"report", made, other.public_key, "another key"),
        (b"report", made.replace("\n", "", 1), vault.public_key, "not a signature"),
        (b"report", "", vault.public_key, "not a signature"),
        (b"report", made.replace("\nRU", "\n!U"), vault.public_key, "damaged"),
    ):
        with pytest.raises(ConfigError, match=why):
            signature.check(content, text, key)


GOOD = {
    "eye_distance_px": 60.0,
    "luminance": 120.0,
    "contrast": 40.0,
    "sharpness": 300.0,
    "frontality": 0.9,
    "template_quality": 80.0,
    "objection": None,
}


def a_day():
    """Return the notes of a trial in which every step has something to say."""
    dark = {**GOOD, "luminance": 50.0, "objection": "the face is dark; put light in front of it"}
    camera = {"source": "demo", "width": 320, "height": 240, "fps": 3.5, "brightness": 10.0, "faults": [], "is_good": 0}
    return [
        BEGIN,
        note("camera", camera=camera),
        note("light", light=GOOD),
        note("light", 4 * 3600.0, light=dark),
        *presented("people", "1", decided()),
        *presented("strangers", "1", decided("Declined", None, 12.5, ("no_match",))),
        *presented("attacks", "sheet 1", decided("Declined", None, None, ("attack_suspected",)), species="print"),
        note("stopwatch", seconds=4.2),
        note("wait", step="watchdog", before={"pid": 1, "boot": "a"}),
        note("word", step="watchdog", worked=True, text="", is_new_process=True, is_new_boot=False, is_log_intact=True),
        note("skip", step="power", reason="no plug"),
    ]


def test_a_german_report_says_what_the_english_one_says_and_nothing_of_it_in_english():
    here = [{"score": 70.0, "stated": 1e-4, "bound": 3e-3, "holds_from": 78.5}]
    setup = {**SETUP, "store": "s1", "version": "1.2", "model": "abc", "blocklist_threshold": 70.0, "people": 3}
    trial = fold(a_day())
    pages = {language: as_html(trial, Issue(NOW, "RWQ", setup, 76.0, here, language)) for language in ("en", "de")}

    sentences = {language: re.findall(r">([^<>{}]*[a-z]{2}[^<>{}]*)<", page) for language, page in pages.items()}
    assert len(sentences["en"]) == len(sentences["de"])
    same = {one for one, other in zip(sentences["en"], sentences["de"], strict=True) if one == other}
    written_down = {"print", "demo", "abc", "identify", "active", "60 px", "minisign -Vm REPORT -P RWQ"}
    assert same - written_down <= {"Watchdog.", "Rate", "Median", "Kiosk"}  # the same word in both
    assert '<html lang="de">' in pages["de"]
    for words in ("das Gesicht ist dunkel", "Die kürzere Seite des Bildes hat 240 px", "1 von 10.000", "78,5", "4,2 s"):
        assert words in pages["de"]


def test_of_a_language_that_nobody_wrote_the_report_is_in_english():
    assert '<html lang="en">' in as_html(fold([BEGIN]), Issue(NOW, "RWQ", SETUP, 76.0, (), "../../etc/passwd"))
