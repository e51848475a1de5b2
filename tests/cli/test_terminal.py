"""Facts about what a person at a terminal is asked and shown, and what a script gets instead."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys

import pytest

from kiosk.cli.demo import demo_settings
from kiosk.cli.main import build_parser, main
from kiosk.cli.terminal import GOOD, REPORTING, emphasised, table
from kiosk.settings.config import Config
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.subjects import Details, Enrolment
from tests.conftest import GOLDEN
from tests.patience import until


class Terminal(io.StringIO):
    """A terminal's screen that a test can ask about."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def person(state):
    """Make a store with somebody in it; return their number."""
    with initialise(state, now=lambda: 1_800_000_000.0) as store:
        return store.people.enrol(Enrolment(templates=(), details=Details(name="Person A"))).session_number


def at_a_terminal(*words, typed):
    """Run a command as a person does; return its exit code and all that the terminal showed."""
    reader, writer = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "kiosk", *words], stdin=writer, stdout=writer, stderr=writer, close_fds=True
    )
    os.close(writer)
    seen = b""
    while b"[y/N]" not in seen:
        seen += os.read(reader, 4096)
    os.write(reader, typed)
    try:
        while piece := os.read(reader, 4096):
            seen += piece
    except OSError:  # the last writer is gone
        pass
    os.close(reader)
    return process.wait(), seen.decode()


def test_forgetting_at_a_terminal_names_the_person_and_wants_a_yes(person, kiosk):
    code, seen = at_a_terminal("forget", str(person), typed=b"\n")
    assert code == 3
    assert "#1 | Person A" in seen
    assert "Nothing was changed" in seen
    assert kiosk("gallery", "show", "1")[0] == 0

    code, seen = at_a_terminal("forget", str(person), typed=b"y\n")
    assert code == 0
    assert "Forgotten: number 1" in seen
    assert "no trace is left in the files" in seen
    assert '{"receipt"' not in seen
    assert kiosk("gallery", "show", "1")[0] == 1


@pytest.mark.parametrize("options", [(), ("--yes",), ("--json",)], ids=["a script", "yes", "json"])
def test_a_script_is_not_asked_and_gets_the_signed_receipt(person, kiosk, options):
    code, out, _ = kiosk("forget", person, *options)

    assert code == 0
    assert json.loads(out)["receipt"]["session_number"] == person


@pytest.mark.usefixtures("person")
def test_people_are_listed_by_a_part_of_their_name(kiosk):
    assert kiosk("gallery", "list", "--find", "PERS")[1].startswith("#1 | Person A")
    assert kiosk("gallery", "list", "--find", "nobody")[1] == "--- 0 of 0 ---\n"


@pytest.mark.usefixtures("state")
def test_a_brief_match_prints_its_result_alone(kiosk):
    a1, a2 = GOLDEN / "person_a_1.jpg", GOLDEN / "person_a_2.jpg"

    brief = kiosk("match", a1, a2, "--brief", "--no-save")[1]

    assert brief.startswith("--- Result: Approved | Score: ")
    assert brief.count("\n") == 1
    assert kiosk("match", a1, a2, "--brief", "--json")[0] == 1


def test_a_result_stands_out_on_a_terminal_alone_and_never_against_no_color(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert emphasised("Approved", GOOD, Terminal()) == "\033[1;32mApproved\033[0m"
    assert emphasised("Approved", GOOD, io.StringIO()) == "Approved"
    monkeypatch.setenv("NO_COLOR", "1")
    assert emphasised("Approved", GOOD, Terminal()) == "Approved"


@pytest.mark.parametrize(("is_looped", "end"), [(True, "&loop=1"), (False, "&wait=1")])
def test_the_visitors_of_a_demo_come_again_in_a_pipe_too_where_that_is_asked(is_looped, end):
    assert demo_settings(Config(), is_looped=is_looped).camera.source.endswith(end)


def test_health_is_asked_of_the_state_directory_that_is_named(state, kiosk, tmp_path):
    state.mkdir()
    (state / "status.json").write_text(json.dumps({"at": 0.0, "is_armed": True, "mode": "identify", "states": []}))

    assert "armed, mode identify" in kiosk("--state", state, "health")[1]
    code, _, err = kiosk("--state", tmp_path / "other", "health")
    assert code == 1
    assert str(tmp_path / "other" / "status.json") in err


def test_a_stand_in_for_the_cloud_says_which_two_variables_to_set():
    with subprocess.Popen([sys.executable, "-m", "kiosk", "fake-cloud"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            banner = process.stdout.readline() + process.stdout.readline()
        finally:
            process.terminate()
    until(lambda: process.poll() is not None)

    assert "KIOSK_CLOUD_BASE_URL=http://" in banner
    assert "KIOSK_CLOUD_ACCOUNT_URL=http://" in banner


@pytest.mark.parametrize(
    ("words", "guess"),
    [
        pytest.param(["serach", "a.jpg"], "did you mean search?", id="a command"),
        pytest.param(["gallery", "lsit"], "did you mean list?", id="an action"),
        pytest.param(["match", "a.jpg", "b.jpg", "--treshold", "5"], "did you mean --threshold?", id="an option"),
        pytest.param(["log", "export", "--format", "cvs"], "did you mean csv?", id="a choice"),
    ],
)
def test_a_word_written_wrongly_is_answered_with_the_nearest_right_one(words, guess, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)

    assert ended.value.code == 2
    assert guess in capsys.readouterr().err


def test_nothing_is_guessed_where_nothing_is_near(capsys):
    with pytest.raises(SystemExit):
        main(["xyzzy"])

    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.usefixtures("state")
def test_a_search_lists_from_the_similarity_that_was_asked_for_and_a_stranger_is_explained(kiosk):
    kiosk("enrol", GOLDEN / "person_a_1.jpg", "--name", "Person A")

    near = json.loads(kiosk("search", GOLDEN / "person_a_2.jpg", "--threshold", "50", "--json")[1])["face_search"]
    far = json.loads(kiosk("search", GOLDEN / "person_b_1.jpg", "--threshold", "100", "--json")[1])["face_search"]

    assert (near["total_matches"], far["total_matches"], far["status"]) == (1, 0, "Approved")
    assert "nobody is alike: Didit's word for a stranger" in kiosk("log", "list")[1].splitlines()[0]


def test_a_table_is_cut_until_it_fits_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    rows = [("1", "Person A with a name that goes on and on", "code"), ("12", "B", "another code that is long")]

    on_a_terminal = list(table(("no.", "name", "code"), rows, Terminal()))
    in_a_pipe = list(table(("no.", "name", "code"), rows, io.StringIO()))

    assert max(map(len, on_a_terminal)) <= 40
    assert "…" in on_a_terminal[1]
    assert "goes on and on" in in_a_pipe[1]


@pytest.mark.parametrize(
    ("words", "is_silent"),
    [
        pytest.param(("gallery", "allow", "1"), True, id="only says that it is done"),
        pytest.param(("gallery", "list"), False, id="prints what was asked for"),
        pytest.param(("gallery", "allow", "1", "--json"), False, id="JSON is for a program"),
    ],
)
@pytest.mark.usefixtures("person")
def test_quiet_leaves_out_what_nobody_asked_for(kiosk, words, is_silent):
    code, out, err = kiosk("--quiet", *words)

    assert (code, out == "", err) == (0, is_silent, "")
    assert (kiosk(*words, "--quiet")[1] == "") is is_silent


def test_quiet_says_errors_and_asks_all_the_same(person, kiosk):
    code, out, err = kiosk("--quiet", "gallery", "allow", "7")
    assert (code, out) == (1, "")
    assert err.startswith("Error: nobody")

    code, seen = at_a_terminal("forget", str(person), "--quiet", typed=b"n\n")
    assert code == 3
    assert "Person A" in seen


def test_every_reporting_command_is_one():
    known = set()

    def walk(parser):
        for action in parser._actions:
            for child in getattr(action, "choices", None) or () if isinstance(action.choices, dict) else ():
                known.add(action.choices[child].get_default("command"))
                walk(action.choices[child])

    walk(build_parser())

    assert REPORTING <= known


@pytest.mark.usefixtures("person")
def test_a_log_says_what_didits_approved_means_for_a_stranger(state, kiosk):
    with open_store(state, read_keys(state), now=lambda: 1_800_000_000.0) as store:
        store.record_decision(NewDecision(Kind.FACE_SEARCH, "Approved"))

    assert "nobody is alike: Didit's word for a stranger" in kiosk("log", "list")[1]
