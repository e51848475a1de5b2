"""What a stranger reads before anything works: every command's help, and the words for the first mistakes."""

import argparse

import pytest

from kiosk.cli.main import build_parser
from tests.cli.commanded import command


def parsers(parser):
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in {id(one): one for one in action.choices.values()}.values():
                yield from parsers(one)


def lacks(action, above):
    """Say what the help of an argument lacks; empty where a stranger can use it."""
    told = action.help or ""
    is_number = isinstance(action.default, (int, float)) and not isinstance(action.default, bool)
    if len(told) < len("the file"):
        return "a sentence"
    if action.option_strings and is_number and "default" not in told:
        return "what is taken without it"
    if action.metavar == "DATE" and "YYYY-MM-DD" not in told:
        is_above = told.endswith("as above") and any("YYYY-MM-DD" in (one.help or "") for one in above)
        return "" if is_above else "how a date is written"
    return ""


def test_every_argument_says_what_it_is_how_it_is_written_and_what_is_taken_without_it():
    lacking = {}
    for parser in parsers(build_parser()):
        for at, action in enumerate(parser._actions):
            if action.help is argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
                continue
            if said := lacks(action, parser._actions[:at]):
                lacking[f"{parser.prog} {'/'.join(action.option_strings) or action.dest}"] = said

    assert lacking == {}


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    place = str(tmp_path_factory.mktemp("stranger") / "state")
    assert command("--state", place, "init").returncode == 0
    return place


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param("key list", 0, "There is no key yet; `kiosk key create --role device` makes one.", id="no key"),
        pytest.param("operator list", 0, "There is no operator yet; `kiosk operator add NAME` makes", id="no operator"),
        pytest.param("passage list", 0, "[passage] direction is none, which keeps no passages", id="no passage"),
        pytest.param("key revoke x", 1, "`kiosk key list` shows their ids", id="a key of no such id"),
        pytest.param(
            "operator password x", 1, "no operator of this name; `kiosk operator list`", id="nobody's password"
        ),
        pytest.param("health", 1, "Start it with `kiosk run`", id="no kiosk runs"),
        pytest.param("liveness /etc/passwd", 1, "/etc/passwd: Invalid image: a text file is not", id="no photograph"),
        pytest.param("door simulate --demo nothere", 1, "--demo needs a folder of portraits", id="no portraits"),
        pytest.param("models pull nothere", 1, "known: opencv-zoo", id="no such pack"),
        pytest.param("fleet hub nothere", 1, "nothere/fleet.json: No such file or directory; want the", id="hub"),
        pytest.param("cloud balance", 1, "there is no API key; give it with `kiosk cloud login`", id="no cloud key"),
        pytest.param("osdp install", 1, 'want port and role = "reader"', id="a panel's key"),
        pytest.param(
            "--config nothere.toml config check", 1, "nothere.toml: cannot be read: No such", id="no settings"
        ),
        pytest.param("fake-cloud --port 99999", 2, "want a port, 0 to 65535, got '99999'", id="no such port"),
        pytest.param("evaluate match x --workers -1", 2, "want a whole number of 1 or more", id="no number"),
    ],
)
def test_a_first_mistake_is_answered_with_what_to_do(state, words, code, said):
    done = command("--state", state, *words.split())

    assert said in done.stdout + done.stderr
    assert done.returncode == code
    assert "Errno" not in done.stderr
