"""Facts about a door on a real GPIO chip, as the kernel's own list of lines tells them; see gpio.sh."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gpiod
import pytest
from gpiod.line import Direction, Value

from kiosk.door.door import Door
from kiosk.door.inputs import Happened
from kiosk.door.lines import GpiodLines
from kiosk.rules.grant import Grant
from kiosk.settings.door import DoorSettings

CHIP = os.environ["KIOSK_TEST_GPIOCHIP"]
OFFSETS: dict[str, Any] = {"relay": 0, "green": 1, "yellow": 2, "red": 3, "buzzer": 4, "contact": 5, "exit": 6}
pytestmark = pytest.mark.hardware
LIMIT_S = 120.0  # for a process to start on an emulated processor
HOLD = f"""
import sys, time
sys.path[:] = {sys.path!r}
from kiosk.door.lines import GpiodLines, Output
lines = GpiodLines({CHIP!r}, {OFFSETS!r})
lines.set({{Output.RELAY: True}})
print("on", flush=True)
time.sleep(600)  # until it is killed
"""


def level():
    """What the kernel says of the relay's line while somebody has it: hi or lo."""
    text = Path("/sys/kernel/debug/gpio").read_text()
    found = re.search(r"gpio-\d+ \(.*\|kiosk\s*\) out (hi|lo)", text)
    assert found, text
    return found[1]


def level_of_a_free_line():
    """What the relay's line is when nobody has it, without changing it."""
    settings = gpiod.LineSettings(direction=Direction.AS_IS)
    with gpiod.request_lines(CHIP, consumer="look", config={0: settings}) as request:
        return {Value.ACTIVE: "hi", Value.INACTIVE: "lo"}[request.get_value(0)]


@contextlib.contextmanager
def held():
    """Another process has the lines, with the relay on."""
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        yield process
        process.kill()


def safe(tmp_path):
    path = tmp_path / "kiosk.toml"
    lines = "".join(f"{name} = {offset}\n" for name, offset in OFFSETS.items())
    path.write_text(f'[door]\nchip = "{CHIP}"\n{lines}')
    return subprocess.run(
        [sys.executable, "-m", "kiosk.door", "--safe", "--config", str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize("pulse_s", [0.5, 3.0])
def test_a_pulse_lasts_as_long_as_it_was_set(pulse_s):
    settings = DoorSettings(chip=CHIP, pulse_s=pulse_s, **OFFSETS)
    with Door(GpiodLines(CHIP, OFFSETS), settings, clock=time.monotonic) as door:
        door.start()
        while not door.beat > 0.0:
            time.sleep(0.01)  # its thread starts
        assert level() == "lo"
        refusal = door.open(Grant("decision 1", time.monotonic()))
        began = time.monotonic()
        assert refusal is None
        assert level() == "hi"
        while level() == "hi":
            assert time.monotonic() - began < pulse_s + 1.0
            time.sleep(0.002)  # the pulse goes on
        lasted_s = time.monotonic() - began
        while not (events := door.events()) or events[-1].what is not Happened.RELAY_OFF:
            assert time.monotonic() - began < pulse_s + 1.0
            time.sleep(0.01)  # the supervisor notes it

    print(f"a pulse of {pulse_s:g} s: the line was high for {lasted_s:.3f} s")
    assert lasted_s == pytest.approx(pulse_s, abs=0.25)  # a tick, and an emulated processor


def test_a_second_owner_is_refused_with_the_lines_and_the_reason(tmp_path):
    with held():
        answer = safe(tmp_path)

        assert level() == "hi"
    print(answer.stderr.strip())
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"{CHIP}: cannot take lines [0, 1, 2, 3, 4, 5, 6]: ")
    assert "busy" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_what_a_killed_kiosk_leaves_on_is_switched_off_by_safe(tmp_path):
    with held() as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    left = level_of_a_free_line()

    answer = safe(tmp_path)

    print(f"after kill -9 the relay's line is {left}; {answer.stdout.strip()}: it is {level_of_a_free_line()}")
    assert answer.returncode == 0, answer.stderr
    assert left == "hi"  # the kernel switches nothing off: hence ExecStopPost
    assert level_of_a_free_line() == "lo"
