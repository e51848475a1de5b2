"""Facts about the bench: everything that the settings name of hardware, driven from a terminal, with a real kiosk."""

import os
import shutil
import subprocess
import sys

from kiosk.cli.neighbours.simulate import Bench
from kiosk.door.lines import Input, Output
from kiosk.integrations.osdp_panel import OsdpPanel
from kiosk.integrations.osdp_reader import OsdpReader
from kiosk.integrations.wiegand_reader import WiegandReader
from kiosk.settings.config import load_config
from kiosk.testing.line_file import SIMULATED, LineFile
from kiosk.testing.pulse_socket import PulseSocket
from tests.conftest import GOLDEN
from tests.entrance.staged import config
from tests.patience import PROCESS_S, again, until

KEY = "01020304050607080910111213141516"


def refused(digits):
    raise AssertionError(f"the screen is not asked for {len(digits)} digits")


def bench(tmp_path, enter_pin=refused, **sections):
    made = Bench(config(**sections), KEY, tmp_path, enter_pin)
    return made, load_config(None, made.environment)


def test_without_settings_there_are_a_door_a_wiegand_reader_and_the_screens_keypad(tmp_path):
    entered = []
    made, settings = bench(tmp_path, lambda digits: entered.append(digits) or "the screen took it")
    lines = LineFile(tmp_path / "lines", settings.door.offsets)
    heard = []
    reader = WiegandReader(
        lambda: PulseSocket(tmp_path / "wiegand"), hear_card=lambda card: heard.append(card.text) or True
    )
    reader.start()

    again(lambda: made.do("card 12-3456"), lambda: heard)
    reader.close()

    assert heard[0] == "26:12-3456"
    assert set(settings.door.offsets) == {one.value for one in (*Output, *Input)}
    assert settings.wiegand.chip == f"{SIMULATED}{tmp_path / 'wiegand'}"
    assert made.do("pin 4711") == "the screen took it"
    assert entered == ["4711"]
    made.do("fire on")
    made.do("open")
    assert {one for one, is_on in lines.read().items() if is_on} == {Input.CONTACT, Input.FIRE}
    made.do("shut")
    lines.set({Output.RELAY: True})
    assert made.status() == "on: relay; the relay switched 1 times"
    assert made.do("cut") == "there is no line by OSDP: set [osdp]"
    assert made.do("card twelve").startswith("want")
    assert "quit" in made.do("what")
    made.close()


def test_a_panel_is_told_cards_and_can_be_lost(tmp_path):
    made, settings = bench(tmp_path, osdp={"port": "/dev/nowhere", "baud": 115200})
    reader = OsdpReader(settings.osdp, key=KEY)
    reader.start()

    until(lambda: made.status().endswith("panel: secure channel; the panel was told 0 cards"))
    made.do("cut")
    until(lambda: not reader.figures()["is_connected"])
    reader.close()
    made.close()


def test_a_readers_cards_and_keys_reach_the_panel(tmp_path):
    made, settings = bench(
        tmp_path, osdp={"port": "/dev/nowhere", "baud": 115200, "role": "panel", "readers": ("3", "4")}
    )
    cards: list[str] = []
    keys: list[str] = []
    panel = OsdpPanel(
        settings.osdp,
        key=KEY,
        tell=lambda _sentence: None,
        hear_card=lambda card: cards.append(card.text) or True,
        hear_keys=keys.append,
    )
    panel.start()
    until(lambda: "secure channel" in made.status() and "no secure" not in made.status())

    again(lambda: made.do("card 12-3456"), lambda: cards)
    again(lambda: made.do("pin 4711"), lambda: "4711" in "".join(keys))

    assert settings.osdp.readers == ("3",)  # one stand-in, at the first address
    panel.close()
    made.close()


def test_the_kiosk_runs_on_the_bench_and_a_fire_opens_its_door(state, tmp_path):
    portraits = tmp_path / "portraits"
    portraits.mkdir()
    shutil.copy(GOLDEN / "person_a_2.jpg", portraits)
    environment = {**os.environ, "KIOSK_API_ENABLED": "false", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "kiosk", "--state", str(state), "door", "simulate", "--demo", str(portraits)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as bench_process:
        typed, said = bench_process.stdin, bench_process.stdout
        assert typed is not None
        assert said is not None
        seen = iter(said)

        def type_and_see(line, *wanted, typed=typed):
            typed.write(f"{line}\n")
            typed.flush()
            left = set(wanted)
            while left:
                told = next(seen)
                left = {one for one in left if one not in told}

        next(one for one in seen if "yellow on" in one)  # somebody was looked at, or it starts: the lines are driven
        type_and_see("fire on", "relay on", "fire_release")
        type_and_see("fire off", "fire_over")
        type_and_see("exit", "exit_pressed")
        typed.write("quit\n")
        typed.close()
        rest = list(seen)
        assert bench_process.wait(PROCESS_S) == 0, rest
