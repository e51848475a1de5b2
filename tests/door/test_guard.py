"""Facts about the second guard of a pulse: a process that only holds the lines, and a parent that stops or dies."""

import subprocess
import sys

import pytest

from tests.patience import PROCESS_S

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from kiosk.door.door import Door
from kiosk.door.guard import Guard
from kiosk.door.lines import Output
from kiosk.rules.grant import Grant
from kiosk.settings.door import DoorSettings
from kiosk.testing.line_file import LineFile
from tests.patience import until

lines = LineFile(Path(sys.argv[1]))
settings = DoorSettings(chip="simulated:" + sys.argv[1], relay=1, exit=2, pulse_s=0.3)
guard = Guard(lines)
door = Door(lines, settings, clock=time.monotonic, guard=guard, late_s=30.0)
door.start()
until(lambda: door.beat > 0)
"""


def said(tmp_path, rest):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT + rest, str(tmp_path / "lines")],
        capture_output=True,
        text=True,
        check=True,
        timeout=PROCESS_S,
    ).stdout.split()


def test_a_pulse_is_ended_by_the_supervisor_and_the_guard_ends_with_the_door(tmp_path):
    ended = said(
        tmp_path,
        """
print(door.open(Grant("one", time.monotonic())))
until(lambda: Output.RELAY not in lines.lit)
door.close()
print(guard.is_alive, Path(f"/proc/{guard.pid}").exists())
""",
    )

    assert ended == ["None", "False", "False"]


def test_without_its_guard_a_decision_opens_nothing_and_an_operator_and_the_button_do(tmp_path):
    seen = said(
        tmp_path,
        """
os.kill(guard.pid, signal.SIGKILL)
until(lambda: not guard.is_alive)
print(door.open(Grant("one", time.monotonic())).reason.value, lines.pulses)
print(door.release("act"), lines.pulses)
""",
    )

    assert seen == ["no_supervisor", "0", "None", "1"]


def test_a_guard_that_is_stopped_and_takes_nothing_counts_as_gone(tmp_path):
    seen = said(
        tmp_path,
        """
os.kill(guard.pid, signal.SIGSTOP)
count = 0
while guard.is_alive and count < 100_000:
    guard.expect(float("inf"))
    count += 1
print(guard.is_alive, door.open(Grant("one", time.monotonic())).reason.value)
door.close()
print(guard.is_alive)
""",
    )

    assert seen == ["False", "no_supervisor", "False"]


@pytest.mark.parametrize("pulse", ["released again", "left alone"])
def test_a_pulse_that_is_extended_is_not_cut_by_the_guard(tmp_path, pulse):
    again = 'door.release("two"); ' if pulse == "released again" else ""
    (took,) = said(
        tmp_path,
        f"""
began = time.monotonic()
door.release("one")
time.sleep(0.2)  # into the pulse
{again}until(lambda: Output.RELAY not in lines.lit)
print(time.monotonic() - began)
door.close()
""",
    )

    assert float(took) >= (0.5 if pulse == "released again" else 0.3)


def test_a_guard_whose_end_another_thread_was_told_of_has_ended_for_all(tmp_path):
    seen = said(
        tmp_path,
        """
os.kill(guard.pid, signal.SIGKILL)
os.waitpid(guard.pid, 0)
print(door.open(Grant("one", time.monotonic())).reason.value)
print(door.release("two"), lines.pulses)
until(lambda: Output.RELAY not in lines.lit)
door.close()
""",
    )

    assert seen == ["no_supervisor", "None", "1"]
