import importlib.util
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.door.__main__ import main
from kiosk.door.door import TICK_S, Door
from kiosk.door.inputs import Debounce, DoorState, Happened
from kiosk.door.lines import GpiodLines, Input, Output, make_safe
from kiosk.door.signals import PATTERNS, Signal
from kiosk.errors import ConfigError, DoorError
from kiosk.rules.grant import Grant, Refusal, RefusalReason
from kiosk.settings.config import load_config
from kiosk.settings.door import DoorSettings
from kiosk.testing.fakes import ManualClock, RecordedLines
from tests.patience import LIMIT_S, PROCESS_S, stands_in, until

SETTINGS = DoorSettings()
DARK = {Output.RELAY: False, Output.GREEN: False, Output.YELLOW: False, Output.RED: False, Output.BUZZER: False}


class Flaky(RecordedLines):
    """Lines that refuse some of the next changes."""

    refusals = 0

    def set(self, values):
        if self.refusals > 0:
            self.refusals -= 1
            raise DoorError("not this time")
        super().set(values)


class Slow(RecordedLines):
    """Lines that answer once they may."""

    def __init__(self):
        super().__init__()
        self.is_read, self.may_answer = threading.Event(), threading.Event()

    def read(self):
        self.is_read.set()
        self.may_answer.wait(LIMIT_S)
        return super().read()


class Site:
    """A door, its lines, its clock, and a supervisor that looks when time passes."""

    def __init__(self, states=(), **changed):
        self.clock, self.lines, self.states = ManualClock(), RecordedLines(), set(states)
        self.door = Door(
            self.lines, replace(SETTINGS, **changed), clock=self.clock, states=lambda: frozenset(self.states)
        )
        self.granted = 0
        self.door.tick()

    def wait(self, seconds):
        for _ in range(round(seconds / TICK_S)):
            self.clock.advance(TICK_S)
            self.door.tick()

    def grant(self, age_s=0.1):
        self.granted += 1
        return self.door.open(Grant(f"decision {self.granted}", self.clock.now - age_s))

    def state(self):
        return self.door.state

    def is_faulty(self):
        return self.door.is_faulty

    def happened(self):
        return [event.what for event in self.door.events()]

    def on_for(self, most_s=60.0):
        """How long the relay stays on from now."""
        begun = self.clock.now
        while self.door.is_unlocked and self.clock.now - begun < most_s:
            self.wait(TICK_S)
        return pytest.approx(self.clock.now - begun, abs=2.1 * TICK_S)


# ---- the lines: one suite over both


def gpiod_lines():
    chip = os.environ.get("KIOSK_TEST_GPIOCHIP", "/dev/gpiochip0")
    if not importlib.util.find_spec("gpiod"):
        pytest.skip("libgpiod's Python bindings are not installed")
    if not Path(chip).exists():
        pytest.skip("this machine has no GPIO chip")
    if "KIOSK_TEST_GPIO_LINES" not in os.environ:
        pytest.skip("KIOSK_TEST_GPIO_LINES names no eight free lines, such as 0,1,2,3,4,5,6,7")
    offsets = map(int, os.environ["KIOSK_TEST_GPIO_LINES"].split(","))
    names = [one.value for one in (*Output, *Input)]
    return GpiodLines(chip, dict(zip(names, offsets, strict=True)), ["exit"])


@pytest.fixture(
    params=[
        pytest.param(RecordedLines, id="recorded"),
        pytest.param(gpiod_lines, id="gpiod", marks=pytest.mark.hardware),
    ]
)
def lines(request):
    made = request.param()
    yield made
    made.close()


def test_lines_take_every_output(lines):
    for output in Output:
        lines.set({output: True})
        lines.set({output: False})
    lines.set({})


def test_lines_read_every_input(lines):
    read = lines.read()

    assert set(read) == set(Input)
    assert all(isinstance(value, bool) for value in read.values())


def test_lines_that_are_closed_can_be_closed_again_and_do_nothing_else(lines):
    lines.set({Output.GREEN: True})
    lines.close()
    lines.close()

    with pytest.raises(DoorError, match="closed"):
        lines.set({Output.GREEN: True})
    with pytest.raises(DoorError, match="closed"):
        lines.read()


def test_without_libgpiod_or_a_chip_there_is_an_error_that_says_so():
    said = "cannot take lines" if importlib.util.find_spec("gpiod") else "libgpiod 2 for Python is missing"

    with pytest.raises(DoorError, match=said):
        GpiodLines("/dev/gpiochip-none", {"relay": 3})


# ---- a pulse


def test_everything_is_off_at_the_start_and_at_the_end():
    site = Site()
    assert site.lines.lit == set()
    site.grant()
    site.door.show(Signal.GRANTED)
    site.wait(0.1)
    assert site.lines.lit == {Output.RELAY, Output.GREEN, Output.BUZZER}

    site.door.close()

    assert site.lines.lit == set()
    assert site.grant() is not None


def test_a_grant_is_one_pulse():
    site = Site()

    assert site.grant() is None
    assert site.lines.lit == {Output.RELAY}

    assert site.on_for() == SETTINGS.pulse_s
    assert site.lines.lit == set()
    assert site.happened() == [Happened.RELAY_ON, Happened.RELAY_OFF]


@pytest.mark.parametrize("age_s", [0.51, 60.0, -0.01, float("nan")])
def test_a_frame_that_is_not_of_now_opens_nothing(age_s):
    site = Site()

    assert site.grant(age_s) is not None
    assert site.lines.pulses == 0


def test_a_grant_that_waited_on_its_way_opens_nothing():
    site = Site()
    grant = Grant("slow", site.clock.now)
    site.wait(0.6)

    assert site.door.open(grant) == Refusal(RefusalReason.FRAME_TOO_OLD)


def test_a_state_that_begins_while_a_grant_waits_for_the_supervisor_refuses_it():
    site = Site()
    refusals = []
    waiting = threading.Thread(target=lambda: refusals.append(site.grant()))

    with site.door._lock:  # a tick, in a slow line
        waiting.start()
        until(lambda: stands_in(Door.open))
        site.states.add("alarm_armed")
    waiting.join()

    assert refusals == [Refusal(RefusalReason.CLOSED, ("alarm_armed",))]


def test_one_decision_opens_once():
    site = Site()
    grant = Grant("one", site.clock.now)
    site.door.open(grant)

    assert site.door.open(grant) == Refusal(RefusalReason.ALREADY_USED)
    assert site.on_for() == SETTINGS.pulse_s


@pytest.mark.parametrize("state", ["camera_lost", "self_test_failed", "disk_full", "on_fire"])
def test_a_degraded_kiosk_opens_nothing(state):
    site = Site(states={state})

    assert site.grant() == Refusal(RefusalReason.CLOSED, (state,))
    assert site.lines.pulses == 0


def test_a_second_grant_extends_the_pulse():
    site = Site()
    site.grant()
    site.wait(2.0)

    site.grant()

    assert site.on_for() == SETTINGS.pulse_s
    assert site.lines.pulses == 1


def test_no_number_of_grants_extends_it_beyond_the_hard_maximum():
    site = Site()
    begun = site.clock.now
    site.grant()
    while site.door.is_unlocked and site.clock.now - begun < 60.0:
        site.grant()
        site.wait(TICK_S)

    assert site.clock.now - begun == pytest.approx(SETTINGS.longest_pulse_s, abs=2 * TICK_S)
    assert site.happened()[-1] is Happened.PULSE_CUT


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.just("grant"),
            st.just("press"),
            st.just("release"),
            st.just("break"),
            st.just("mend"),
            st.floats(0.0, 3.0),
            st.just("clock back"),
        ),
        max_size=30,
    )
)
def test_whatever_happens_no_pulse_outlasts_the_hard_maximum(script):
    site = Site(pulse_s=1.0, longest_pulse_s=2.5)
    on_for = 0.0
    for step in script:
        if step == "grant":
            site.grant()
        elif step in {"press", "release"}:
            site.lines.turn(Input.EXIT, on=step == "press")
        elif step == "break":
            site.lines.break_down()
        elif step == "mend":
            site.lines.recover()
        elif step == "clock back":
            site.clock.advance(-5.0)
            site.door.tick()
            on_for = 0.0 if not site.door.is_unlocked else on_for
        else:
            for _ in range(round(step / TICK_S)):
                site.wait(TICK_S)
                is_driven = Output.RELAY in site.lines.lit and not site.door.is_faulty
                on_for = on_for + TICK_S if is_driven else 0.0
                assert on_for <= 2.5 + 2 * TICK_S


def test_without_a_supervisor_nothing_opens():
    clock, lines = ManualClock(), RecordedLines()
    door = Door(lines, SETTINGS, clock=clock)

    assert door.open(Grant("early", clock.now)) == Refusal(RefusalReason.NO_SUPERVISOR)
    door.tick()
    clock.advance(0.3)
    assert door.open(Grant("late", clock.now)) == Refusal(RefusalReason.NO_SUPERVISOR)
    assert lines.history == []


@pytest.mark.parametrize("jump_s", [-100.0, float("nan"), float("inf")])
def test_a_clock_that_cannot_be_ends_the_pulse_at_once(jump_s):
    site = Site()
    site.grant()
    before = site.clock.now

    site.clock.now += jump_s
    site.door.tick()

    assert site.lines.lit == set()
    site.clock.now = before + 1.0
    site.wait(0.1)
    assert site.grant() is None


def test_the_supervisors_thread_ends_the_pulse_while_the_caller_hangs():
    clock, lines, granted, done = ManualClock(), RecordedLines(), threading.Event(), threading.Event()

    with Door(lines, SETTINGS, clock=clock) as door:
        door.start()

        def caller():
            while door.open(Grant("hangs", clock.now)) is not None:
                pass
            granted.set()
            done.wait(2 * LIMIT_S)

        hanging = threading.Thread(target=caller)
        hanging.start()
        assert granted.wait(LIMIT_S)
        assert lines.lit == {Output.RELAY}

        clock.advance(SETTINGS.pulse_s)

        assert lines.wait_for(Output.RELAY, on=False, timeout_s=LIMIT_S)
        assert hanging.is_alive()
        done.set()
        hanging.join()


def test_a_caller_that_raises_leaves_the_door_safe():
    lines, clock = RecordedLines(), ManualClock()

    def caller():
        with Door(lines, SETTINGS, clock=clock) as door:
            door.tick()
            door.open(Grant("raises", clock.now))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        caller()

    assert lines.lit == set()


class Cursed(RecordedLines):
    """Lines with a fault that nobody foresaw."""

    def __init__(self):
        super().__init__()
        self.is_cursed = False

    def read(self):
        if self.is_cursed:
            raise RuntimeError("nobody foresaw this")
        return super().read()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_supervisor_that_dies_takes_the_relay_with_it():
    clock, lines = ManualClock(), Cursed()
    with Door(lines, SETTINGS, clock=clock) as door:
        door.start()
        while door.open(Grant("dies", clock.now)) is not None:
            pass

        lines.is_cursed = True

        assert lines.wait_for(Output.RELAY, on=False, timeout_s=LIMIT_S)
        clock.advance(1.0)
        assert door.open(Grant("after", clock.now)) == Refusal(RefusalReason.NO_SUPERVISOR)


# ---- lines that fail


def test_a_relay_that_cannot_be_driven_is_tried_again_until_it_is_off():
    site = Site()
    site.grant()
    site.lines.break_down()
    site.wait(5.0)
    assert site.door.is_faulty
    assert site.grant() == Refusal(RefusalReason.LOG_ONLY, ("door_fault",))

    site.lines.recover()
    site.wait(2 * TICK_S)

    assert site.lines.lit == set()
    assert not site.is_faulty()
    assert site.happened() == [Happened.RELAY_ON, Happened.DOOR_FAULT, Happened.RELAY_OFF, Happened.FAULT_OVER]
    assert site.grant() is None


def test_a_fault_that_passes_within_a_tick_does_not_hold_the_relay():
    clock, lines = ManualClock(), Flaky()
    door = Door(lines, SETTINGS, clock=clock)
    door.tick()
    door.open(Grant("one", clock.now))
    clock.advance(SETTINGS.pulse_s)
    lines.refusals = 1

    door.tick()

    assert lines.lit.isdisjoint({Output.RELAY})


def test_lamps_are_set_anew_after_a_fault():
    site = Site()
    site.door.show(Signal.LOOKING)
    site.wait(0.1)
    site.lines.break_down()
    site.wait(0.1)
    site.lines.recover(afresh=True)

    site.wait(0.1)

    assert site.lines.lit == {Output.YELLOW}


def test_a_grant_whose_relay_fails_is_refused_and_does_not_come_later():
    site = Site()
    site.lines.break_down()

    assert site.grant() == Refusal(RefusalReason.LOG_ONLY, ("door_fault",))
    site.lines.recover()
    site.wait(1.0)

    assert site.lines.pulses == 0


# ---- the contact


def opened(site, seconds=1.0):
    site.lines.turn(Input.CONTACT, on=True)
    site.wait(seconds)


def closed(site, seconds=1.0):
    site.lines.turn(Input.CONTACT, on=False)
    site.wait(seconds)


def test_a_door_opened_in_a_pulse_and_closed_is_no_alarm():
    site = Site()
    site.wait(1.0)
    site.grant()

    opened(site)
    assert site.door.state is DoorState.OPEN
    closed(site)

    assert site.state() is DoorState.CLOSED
    assert site.happened() == [Happened.RELAY_ON, Happened.OPENED, Happened.CLOSED]


@pytest.mark.parametrize(
    ("after_s", "state"),
    [
        pytest.param(0.5, DoorState.OPEN, id="in the grace"),
        pytest.param(1.2, DoorState.FORCED_OPEN, id="after it"),
    ],
)
def test_a_door_opened_after_the_relay_fell(after_s, state):
    site = Site()
    site.wait(1.0)
    site.grant()
    site.on_for()
    site.wait(after_s)

    opened(site)

    assert site.door.state is state


def test_a_door_opened_without_a_grant_is_forced_until_it_closes():
    site = Site()
    site.wait(1.0)

    opened(site, 0.1)

    assert site.door.state is DoorState.FORCED_OPEN
    assert Output.RED in site.lines.lit
    opened(site, 60.0)
    assert site.happened() == [Happened.FORCED_OPEN]
    closed(site)
    assert site.state() is DoorState.CLOSED
    assert site.lines.lit == set()


def test_a_grant_does_not_excuse_a_door_that_was_forced_before():
    site = Site()
    site.wait(1.0)
    opened(site)

    site.grant()
    site.wait(1.0)

    assert site.door.state is DoorState.FORCED_OPEN


@pytest.mark.parametrize(
    ("seconds", "state"), [(29.5, DoorState.OPEN), (30.5, DoorState.DOOR_OPEN_TOO_LONG)], ids=["in time", "too long"]
)
def test_a_door_that_is_held_open(seconds, state):
    site = Site()
    site.wait(1.0)
    site.grant()

    opened(site, seconds)

    assert site.door.state is state
    assert site.happened().count(Happened.DOOR_OPEN_TOO_LONG) == (state is DoorState.DOOR_OPEN_TOO_LONG)


def test_a_contact_that_bounces_changes_nothing():
    site = Site()
    site.wait(1.0)

    for _ in range(20):
        site.lines.turn(Input.CONTACT, on=True)
        site.wait(TICK_S)
        site.lines.turn(Input.CONTACT, on=False)
        site.wait(TICK_S)

    assert site.happened() == []


def test_a_kiosk_that_starts_beside_an_open_door_cries_only_when_it_stays_open():
    clock, lines = ManualClock(), RecordedLines()
    lines.turn(Input.CONTACT, on=True)
    site = Site()
    site.lines.turn(Input.CONTACT, on=True)
    site.door = Door(lines, SETTINGS, clock=clock)
    site.clock, site.lines = clock, lines

    site.wait(29.0)
    assert site.door.state is DoorState.OPEN
    site.wait(2.0)

    assert site.happened() == [Happened.DOOR_OPEN_TOO_LONG]


def test_without_a_contact_the_state_is_unknown():
    clock = ManualClock()
    door = Door(RecordedLines(inputs=()), SETTINGS, clock=clock)
    door.tick()

    assert door.state is DoorState.UNKNOWN


@pytest.mark.parametrize(
    ("readings", "changes"),
    [
        pytest.param([(0.0, False), (0.04, False), (0.05, False)], [False, False, True], id="settles once"),
        pytest.param([(0.0, True), (0.04, False), (0.08, False), (0.1, False)], [False, False, False, True], id="late"),
        pytest.param([(0.0, True), (0.05, True), (1.0, True)], [False, True, False], id="tells a change once"),
    ],
)
def test_debounce(readings, changes):
    debounce = Debounce(0.05)

    assert [debounce.feed(raw, now) for now, raw in readings] == changes


# ---- the exit button


@pytest.mark.parametrize("state", ["", "self_test_failed", "clock_untrusted", "on_fire"])
def test_the_exit_button_opens_whatever_the_kiosk_thinks_of_itself(state):
    site = Site(states={state} - {""})
    site.wait(0.1)
    site.lines.turn(Input.EXIT, on=True)
    site.wait(0.1)

    assert site.lines.lit == {Output.RELAY}
    assert site.door.let_out_until > site.clock.now
    opened(site)
    assert site.door.state is DoorState.OPEN


@pytest.mark.parametrize("state", ["camera_lost", "self_test_failed", "alarm_armed"])
def test_an_operators_release_is_one_pulse_whatever_the_kiosk_thinks_of_itself(state):
    site = Site([state])

    first, again = site.door.release("act 1"), site.door.release("act 1")

    assert first is None
    assert again == Refusal(RefusalReason.ALREADY_USED)
    assert site.on_for() == SETTINGS.pulse_s
    assert site.lines.pulses == 1
    assert site.door.let_out_until < 0.0  # an operator's release tells a reader's relay itself


def test_a_release_without_a_supervisor_or_with_broken_lines_says_so():
    site = Site()
    site.lines.break_down()
    site.wait(0.1)
    broken = site.door.release("act 1")
    site.clock.advance(5.0)
    alone = site.door.release("act 2")

    assert broken == Refusal(RefusalReason.LOG_ONLY, ("door_fault",))
    assert alone == Refusal(RefusalReason.NO_SUPERVISOR)


def test_a_release_just_after_the_start_waits_for_the_supervisors_first_tick():
    with Door(RecordedLines(), SETTINGS, clock=ManualClock()) as door:
        door.start()
        assert door.release("act") is None


def test_a_release_waits_for_a_supervisor_that_a_slow_line_holds_up():
    clock, lines = ManualClock(), Slow()
    with Door(lines, SETTINGS, clock=clock) as door, ThreadPoolExecutor(1) as caller:
        door.start()
        assert lines.is_read.wait(LIMIT_S)  # the tick has begun
        clock.advance(1.0)
        released = caller.submit(door.release, "act")
        lines.may_answer.set()

        assert released.result(LIMIT_S) is None


def test_the_button_works_when_the_clock_went_back():
    site = Site()
    site.wait(0.1)
    site.lines.turn(Input.EXIT, on=True)
    site.wait(TICK_S)
    site.clock.advance(-500.0)

    site.wait(0.1)

    assert site.lines.lit == {Output.RELAY}


def test_a_button_pressed_after_a_grant_does_not_make_the_grant_new():
    site = Site()
    grant = Grant("one", site.clock.now)
    site.door.open(grant)
    site.wait(0.1)
    site.lines.turn(Input.EXIT, on=True)
    site.wait(0.1)

    assert site.door.open(grant) == Refusal(RefusalReason.ALREADY_USED)


def test_a_button_that_is_stuck_is_one_pulse():
    site = Site()
    site.wait(0.1)
    site.lines.turn(Input.EXIT, on=True)

    site.wait(60.0)

    assert site.lines.pulses == 1
    assert site.lines.lit == set()


def test_a_button_that_is_shorted_at_the_start_is_nobodys_press():
    site = Site()
    site.lines.turn(Input.EXIT, on=True)
    site.wait(10.0)
    shorted = site.lines.pulses
    site.lines.turn(Input.EXIT, on=False)
    site.wait(0.1)
    site.lines.turn(Input.EXIT, on=True)
    site.wait(0.1)

    assert (shorted, site.lines.pulses) == (0, 1)


def test_a_button_that_only_excuses_does_not_drive_the_relay():
    site = Site(exit_opens=False)
    site.wait(1.0)
    site.lines.turn(Input.EXIT, on=True)
    site.wait(0.1)

    opened(site)

    assert site.door.state is DoorState.OPEN
    assert site.lines.pulses == 0


# ---- lamps and buzzer


@pytest.mark.parametrize(
    ("signal", "elapsed_s", "lit"),
    [
        pytest.param(Signal.IDLE, 5.0, set(), id="idle is dark"),
        pytest.param(Signal.LOOKING, 5.0, {Output.YELLOW}, id="looking stays"),
        pytest.param(Signal.GRANTED, 0.1, {Output.GREEN, Output.BUZZER}, id="granted beeps"),
        pytest.param(Signal.GRANTED, 1.0, {Output.GREEN}, id="granted is green"),
        pytest.param(Signal.GRANTED, 60.0, set(), id="granted ends"),
        pytest.param(Signal.DECLINED, 0.25, {Output.RED, Output.BUZZER}, id="declined beeps twice"),
        pytest.param(Signal.DECLINED, 60.0, set(), id="declined ends"),
        pytest.param(Signal.LOCKED_OUT, 100.5, {Output.RED}, id="locked out goes on"),
        pytest.param(Signal.LOCKED_OUT, 101.5, set(), id="locked out blinks"),
    ],
)
def test_patterns(signal, elapsed_s, lit):
    assert PATTERNS[signal].at(elapsed_s) == lit


def test_every_signal_has_a_pattern_and_none_drives_the_relay():
    assert set(PATTERNS) == set(Signal)
    assert all(Output.RELAY not in on for pattern in PATTERNS.values() for _, on in pattern.steps)


def test_a_signal_that_is_shown_again_does_not_begin_again():
    site = Site()
    site.door.show(Signal.DECLINED)
    site.wait(1.0)

    site.door.show(Signal.DECLINED)
    site.wait(TICK_S)

    assert site.lines.lit == {Output.RED}


def test_events_nobody_fetches_do_not_pile_up():
    site = Site()
    site.wait(0.1)
    for _ in range(1200):
        site.lines.turn(Input.CONTACT, on=True)
        site.wait(0.08)
        site.lines.turn(Input.CONTACT, on=False)
        site.wait(0.08)

    assert len(site.door.events()) == 1000


# ---- settings and the safe state


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"relay": 3}, "both a chip"),
        ({"chip": "/dev/gpiochip0"}, "at least one line"),
        ({"chip": "/dev/gpiochip0", "relay": 3, "exit": 3}, "same offset"),
        ({"active_low": ("door",)}, "no line door"),
        ({"pulse_s": 20.0}, "pulse_s <= longest_pulse_s"),
    ],
)
def test_a_wiring_that_cannot_be_refuses_the_start(changed, said):
    with pytest.raises(ConfigError, match=said):
        replace(SETTINGS, **changed)


def test_only_wired_lines_are_taken():
    wired = DoorSettings(chip="/dev/gpiochip0", relay=17, exit=27)

    assert wired.offsets == {"relay": 17, "exit": 27}
    assert load_config(None, {"KIOSK_DOOR_CHIP": "/dev/gpiochip0", "KIOSK_DOOR_RELAY": "17"}).door.relay == 17


def test_the_safe_state_of_no_door_is_reached():
    assert "nothing to switch off" in make_safe(SETTINGS)


def run_safe(tmp_path, text):
    path = tmp_path / "kiosk.toml"
    path.write_text(text)
    command = [sys.executable, "-W", "error", "-m", "kiosk.door", "--safe", "--config", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PROCESS_S)


def test_the_command_for_systemd_ends_well_where_no_door_is_set_up(tmp_path):
    done = run_safe(tmp_path, "")

    assert done.returncode == 0, done.stderr
    assert "no door is set up" in done.stdout


def test_the_command_says_what_it_could_not_do(tmp_path, capsys):
    path = tmp_path / "kiosk.toml"
    path.write_text('[door]\nchip = "/dev/gpiochip-none"\nrelay = 3\n')

    assert main(["--safe", "--config", str(path)]) == 1
    assert "/dev/gpiochip-none" in capsys.readouterr().err


def test_the_command_needs_no_image_library():
    code = "import sys, kiosk.door; sys.exit({'cv2', 'numpy', 'onnxruntime'} & set(sys.modules) != set())"

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=PROCESS_S).returncode == 0
