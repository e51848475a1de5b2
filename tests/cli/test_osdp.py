"""`kiosk osdp` and `kiosk gallery factors`: keys and cards kept, digits nowhere."""

import io
import json

import pytest

from kiosk.cli.main import main
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.fake_osdp import FakePanel, FakeReader

KEY = bytes(range(1, 17))


@pytest.fixture
def ask(store, capsys, monkeypatch):
    """Run a command at the store; return its status, and what it said."""
    directory = store.directory
    store.people.enrol(Enrolment((), Details(name="Person A", vendor_data="a")))

    def run(*words, piped=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(piped))
        status = main(["--state", str(directory), *words])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def test_a_key_is_kept_and_the_panel_then_asks(ask, monkeypatch):
    panel = FakePanel(KEY)
    monkeypatch.setenv("KIOSK_OSDP_PORT", panel.line.path)
    monkeypatch.setenv("KIOSK_OSDP_BAUD", "115200")

    assert ask("osdp", "check")[0] == 1  # no key yet
    status, said = ask("osdp", "key", piped=KEY.hex())
    assert (status, KEY.hex() in said) == (0, False)
    status, said = ask("osdp", "check", "--json")

    assert status == 0
    assert json.loads(said)["secured_after_s"] > 0.0
    panel.close()


def test_a_check_asks_every_reader(ask, monkeypatch):
    reader = FakeReader(KEY)
    ask("osdp", "key", piped=KEY.hex())
    for name, value in (("PORT", reader.line.path), ("BAUD", "115200"), ("ROLE", "panel"), ("READERS", "1")):
        monkeypatch.setenv(f"KIOSK_OSDP_{name}", value)

    status, said = ask("osdp", "check", "--json")

    assert (status, json.loads(said)["readers"]) == (0, {"1": True})
    reader.close()


def test_a_new_key_is_shown_once_and_a_public_one_is_refused(ask):
    status, said = ask("osdp", "key", "--new", "--json")
    assert (status, len(json.loads(said)["key"])) == (0, 32)

    status, said = ask("osdp", "key", piped=bytes(range(0x30, 0x40)).hex())
    assert (status, "public" in said) == (1, True)


def test_a_line_that_nobody_set_up_is_said(ask):
    assert "[osdp] port is empty" in ask("osdp", "check")[1]


def test_cards_and_pins_are_given_and_taken(ask):
    status, said = ask("gallery", "factors", "a", "--card", "12-3456", "--pin", piped="4711\n4829\n")
    assert (status, said) == (0, "1: card 26:12-3456, a PIN\n")
    assert ask("gallery", "factors", "a", "--json")[1] == (
        '{"session_number": 1, "card": "26:12-3456", "has_pin": true, "suspended_until": null}\n'
    )
    assert ask("gallery", "factors", "a", "--suspend-until", "2030-01-02")[1].endswith("until 2030-01-02\n")
    assert "suspended" not in ask("gallery", "factors", "a", "--suspend-until", "")[1]
    assert ask("gallery", "factors", "a", "--no-card", "--no-pin")[1] == "1: card none, no PIN\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--card", "12"), "FACILITY-NUMBER"),
        (("--card", "1-2", "--no-card"), "not both"),
        (("--pin",), "want a PIN"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(ask, words, sentence):
    status, said = ask("gallery", "factors", "a", *words, piped="12\n")

    assert status == 1
    assert sentence in said
