"""The command accept: the acceptance of a kiosk at its door, led in a terminal; the page shows the same trial."""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

from kiosk import assembly
from kiosk.cli.evaluation.accept_camera import is_running, pictures
from kiosk.cli.run import STATUS_NAME
from kiosk.device.site import measure_here
from kiosk.errors import ConfigError, KioskError, RefusedError
from kiosk.evaluation.acceptance import signature
from kiosk.evaluation.acceptance.findings import as_dict, look_needed
from kiosk.evaluation.acceptance.journal import Journal
from kiosk.evaluation.acceptance.plan import Goal, Look, Step, Verdict, rule_of_three
from kiosk.evaluation.acceptance.report import mark, presented_as, sentence
from kiosk.evaluation.acceptance.trial import LEAST_READINGS, SPAN_H, State, Trial
from kiosk.evaluation.acceptance.wizard import Wizard, brightness_of, write_report
from kiosk.evaluation.acceptance.wording import words_of
from kiosk.rules.text import shown
from kiosk.settings.config import Config

MEASURED_S = 2.0
LOOK_S, PATIENCE_S = 0.25, 45.0  # between two looks into the log, and until it is asked what happened
EN = words_of("en")  # the terminal is in English, whatever language the report has
STOP, SKIP, NEXT, BACK = "q", "s", "n", "b"
BETWEEN = (
    "Between them have somebody enrolled let in now and then, which counts for nothing: several declines in a row make "
    "the kiosk wait, and then lock ([attempts])."
)
EXPLAINED = {
    Step.CAMERA: "The camera is measured for two seconds.",
    Step.LIGHT: "One person stands where people will stand and looks into the camera. Take readings in the morning, at "
    f"noon and in the evening: {LEAST_READINGS} over {SPAN_H:g} hours. Come back with: kiosk accept --step light",
    Step.PEOPLE: "People enrolled here step up as on any day, one after the other, and step away again.",
    Step.STRANGERS: "People who are not enrolled here step up. Give each a number; names are not kept. " + BETWEEN,
    Step.TIMING: "Measure by hand from stepping up to the open door, or do the step before on the operator's page, "
    "which times it.",
    Step.ATTACKS: "Hold up printed photographs, phones and tablets that show people enrolled here. " + BETWEEN,
    Step.WATCHDOG: "On the device, stop the kiosk's process without ending it: sudo systemctl kill -s STOP kiosk. The "
    "watchdog must restart it within a minute.",
    Step.POWER: "Pull the plug while the kiosk runs, wait ten seconds, and plug it in again.",
}


class Stopped(Exception):  # noqa: N818  no error: the installer goes on another time
    """The installer ends for now."""


def accept(chosen: argparse.Namespace) -> None:
    """Lead an installer through the acceptance, or tell how far it is."""
    directory = assembly.state_of(chosen)
    goals = _goals(chosen.goal)
    if goals and not chosen.restart and Journal(directory).trial().begun_at is not None:
        raise ConfigError("the goals are fixed when a trial begins; give them with --restart")
    if (chosen.status or chosen.json) and not chosen.restart and chosen.report is None:
        _tell(directory, is_json=chosen.json)
        return
    config = assembly.load_settings(chosen)
    with assembly.open_device(chosen) as device:
        device.site_curve = measure_here(device)
        wizard = Wizard(
            device,
            now=time.time,
            process=lambda: _process(config),
            holds_from_age=assembly.holds_from_age(config),
        )
        if chosen.verify is not None:
            print(_verified(wizard, chosen.verify))
            return
        if chosen.restart:
            kept = wizard.journal.put_aside(time.time())
            print(f"What was noted before lies in {kept}." if kept is not None else "Nothing was noted before.")
        if chosen.report is not None:
            _write_report(wizard, chosen.report, chosen.language)
            return
        if wizard.trial().begun_at is None:
            wizard.begin(goals)
        if chosen.status or chosen.json:
            _tell(directory, is_json=chosen.json)
            return
        try:
            _Guide(wizard, config, directory).lead(Step(chosen.step) if chosen.step else None)
        except Stopped:
            print("\nKept. To go on: kiosk accept. For the report: kiosk accept --report FILE")


def _goals(texts: list[str]) -> dict[Step, Goal]:
    found: dict[Step, Goal] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            step = Step(name)
            if step not in (Step.PEOPLE, Step.STRANGERS, Step.ATTACKS):
                raise ValueError("it has no rate")
            found[step] = Goal(float(value.rstrip(" %")) / 100.0)
        except ValueError:
            raise ConfigError(
                f"--goal {text!r}: want people, strangers or attacks, = and percent from 0.1 to 50, such as people=5"
            ) from None
    return found


def _tell(directory: Path, *, is_json: bool) -> None:
    trial = Journal(directory).trial()
    if is_json:
        print(json.dumps(as_dict(trial), indent=2))
        return
    if trial.begun_at is None:
        print("No acceptance has begun here. To begin: kiosk accept")
        return
    for step in Step:
        print(f"{mark(trial, step, EN)[1]:<16} {EN.step(step.value)}: {shown(sentence(trial, step, EN))}")
    if trial.under_way is not None:
        print(f"A presentation of {shown(trial.under_way.who)} is under way.")
    print(
        f"Next: {EN.step(trial.next.value)}"
        if trial.next is not None
        else "All steps are over: kiosk accept --report FILE"
    )


def _write_report(wizard: Wizard, path: Path, language: str) -> None:
    write_report(wizard, path, language)
    print(f"--- written: {path}, signed in {path.name}{signature.SUFFIX} ---")
    print(f"To check it anywhere: minisign -Vm {path.name} -P {wizard.key}")


def _verified(wizard: Wizard, path: Path) -> str:
    content = assembly.read_file(path)
    signed = assembly.read_file(path.with_name(path.name + signature.SUFFIX))
    comment = signature.check(content, signed.decode("utf-8", "replace"), wizard.device.store.vault.public_key)
    return f"{path} is as this kiosk signed it: {comment}"


def _process(config: Config) -> int | None:
    """Return the running kiosk's process by its status file; None where there is none."""
    path = Path(config.health.status_file or Path("/run/kiosk") / STATUS_NAME)
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
        return int(told["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class _Guide:
    """One sitting with an installer."""

    def __init__(self, wizard: Wizard, config: Config, directory: Path) -> None:
        self._wizard, self._config, self._directory = wizard, config, directory
        self._last = ""
        self._lead = {
            Step.CAMERA: self._camera,
            Step.LIGHT: self._light,
            Step.PEOPLE: self._presented,
            Step.STRANGERS: self._presented,
            Step.TIMING: self._timing,
            Step.ATTACKS: self._presented,
            Step.WATCHDOG: self._asked,
            Step.POWER: self._asked,
        }

    def lead(self, chosen: Step | None) -> None:
        """Lead through a chosen step, or through all that are left."""
        trial = self._wizard.trial()
        if trial.under_way is not None:
            print(f"A presentation of {shown(trial.under_way.who)} was under way.")
            self._watch(trial.under_way.step)
        for step in (chosen,) if chosen else Step:
            if chosen is None and self._wizard.trial().state(step) not in (State.OPEN, State.UNDER_WAY):
                continue
            print(f"\n{list(Step).index(step) + 1} of {len(Step)}  {EN.step(step.value)}\n{EXPLAINED[step]}")
            self._lead[step](step)
            print(shown(sentence(self._wizard.trial(), step, EN)))
        print("\nThe report: kiosk accept --report FILE")

    # ---- steps; each returns when it is over, skipped or left for later

    def _camera(self, step: Step) -> None:
        while not self._is_left(step, answer := self._ask("Enter: measure")):
            if answer:
                continue
            try:
                with pictures(self._config, self._directory) as found:
                    first = next(found)
                    began = time.monotonic()
                    count, newest = 0, first
                    for count, newest in enumerate(found, start=1):  # noqa: B007  both are used after it
                        if time.monotonic() - began >= MEASURED_S:
                            break
                    fps = count / (time.monotonic() - began)
            except KioskError as error:
                print(f"  {shown(str(error))}")
                continue
            size = first.shape[1], first.shape[0]
            self._wizard.note_camera(_source(self._config), size, fps, brightness_of(newest))
            return

    def _light(self, step: Step) -> None:
        while not self._is_left(step, answer := self._ask("Enter: take a reading")):
            if answer:
                continue
            try:
                with pictures(self._config, self._directory) as found:
                    image = next(islice(found, 3, None))  # the first ones of a camera are often dark
                trial = self._wizard.note_light(image)
            except KioskError as error:
                print(f"  {shown(str(error))}")
                continue
            reading = trial.light[-1]
            print(f"  mean luma {reading['luminance']:.0f} of 255: {reading['objection'] or 'good'}")
            if trial.state(step) != State.UNDER_WAY:
                return

    def _presented(self, step: Step) -> None:
        species = self._species() if step is Step.ATTACKS else ""
        while species is not None:
            trial = self._wizard.trial()
            look = trial.look(step, species or None)
            print(f"  {_progress(look, trial.goals[step])}")
            if look.verdict is not Verdict.MORE and step is not Step.ATTACKS:
                return
            if look.verdict is not Verdict.MORE:
                species = self._species()
                continue
            asked = {
                Step.PEOPLE: "Number of who steps up next",
                Step.STRANGERS: "Number of the stranger who steps up next",
                Step.ATTACKS: f"Name of the {species} that is held up next",
            }[step]
            repeated = f", Enter: {self._last} again" if self._last else ""
            who = self._ask(f"{asked}{repeated}, {BACK}: take the last one back") or self._last
            if who == BACK:
                self._take_back(trial, step)
                continue
            if self._is_left(step, who):
                return
            try:
                self._wizard.begin_presentation(step, who, species)
            except RefusedError as error:
                print(f"  {shown(str(error))}")
                continue
            self._last = who
            self._watch(step)

    def _species(self) -> str | None:
        """Ask for the kind of attack; None: none is to be presented now."""
        trial = self._wizard.trial()
        known = "".join(f", {shown(one)}: {trial.look(Step.ATTACKS, one).verdict.value}" for one in trial.species)
        self._last = ""
        print(f"  Each kind needs {look_needed(trial)} presentations without an error{known}.")
        answer = self._ask("Kind of attack, such as print or phone")
        return None if self._is_left(Step.ATTACKS, answer) or not answer else answer

    def _take_back(self, trial: Trial, step: Step) -> None:
        found = trial.of(step)
        if not found:
            print("  There is none.")
            return
        self._wizard.withdraw(found[-1].number)
        print(f"  Taken back: {shown(found[-1].who)}.")

    def _watch(self, step: Step) -> None:
        """Wait for the door's decision about the presentation under way, and count it."""
        if not is_running(self._directory):
            print("  No kiosk runs here, so nothing is decided: start it (kiosk run, or systemctl start kiosk).")
        print("  Step up now.")
        while True:
            ends = time.monotonic() + PATIENCE_S
            while not self._wizard.decisions(self._wizard.trial()) and time.monotonic() < ends:
                time.sleep(LOOK_S)  # the log is another process's, and tells nobody of what it takes
            is_decided = bool(self._wizard.decisions(self._wizard.trial()))
            if is_decided and step is not Step.PEOPLE:
                answer = self._ask("Decided. Enter: they have stepped away, d: does not count")
            elif is_decided:
                answer = ""
            else:
                answer = self._ask("Nothing was decided. Enter: wait on, u: the kiosk did not respond, d: drop it")
            try:
                if answer == "d":
                    self._wizard.drop_presentation()
                    return
                if is_decided or answer == "u":
                    trial = self._wizard.end_presentation(is_unseen=answer == "u")
                    print(f"  {presented_as(trial.presentations[-1])}")
                    return
            except RefusedError as error:
                print(f"  {shown(str(error))}")

    def _timing(self, step: Step) -> None:
        while not self._is_left(step, answer := self._ask("Seconds by the stopwatch")):
            try:
                self._wizard.note_stopwatch(float(answer))
            except (ValueError, RefusedError):
                print("  Want seconds, such as 1.8.")
                continue
            return

    def _asked(self, step: Step) -> None:
        if step not in self._wizard.trial().waiting:
            if self._is_left(step, self._ask("Enter: I try it now")):
                return
            self._wizard.begin_asked(step)
            print("  Try it now. Whatever happens to this terminal: kiosk accept goes on here.")
        while not self._is_left(step, answer := self._ask("Did the kiosk come back by itself? yes, no")):
            if answer.lower() in {"yes", "y", "no"}:
                words = self._ask("What happened, in a few words (may be empty)")
                self._wizard.note_word(step, worked=answer.lower() != "no", text=words)
                return

    # ---- asking

    def _ask(self, question: str) -> str:
        print(f"{question} ({SKIP}: skip, {NEXT}: later, {STOP}: stop) > ", end="", flush=True)
        line = sys.stdin.readline()
        if not line or line.strip() == STOP:
            raise Stopped
        if not sys.stdin.isatty():
            print(line.rstrip())
        return line.strip()

    def _is_left(self, step: Step, answer: str) -> bool:
        """Whether a step is skipped, with its reason, or left for later."""
        if answer == SKIP:
            reason = ""
            while not reason:
                reason = self._ask("Why is it left out")
            try:
                self._wizard.skip(step, reason)
            except RefusedError as error:
                print(f"  {shown(str(error))}")
                return False
        return answer in {SKIP, NEXT}


def _progress(look: Look, goal: Goal) -> str:
    counted = f"{look.presented} presented, {look.errors} went wrong"
    if look.verdict is Verdict.ENOUGH:
        return f"{counted}: enough. At most {EN.percent(goal.rate)} is shown."
    if look.verdict is Verdict.MISSED:
        return f"{counted}: too many. Mend what went wrong, then: kiosk accept --restart"
    three = f" (rule of three: {rule_of_three(goal.rate)})" if not look.errors else ""
    return f"{counted}; {look.missing} more without an error show at most {EN.percent(goal.rate)}{three}."


def _source(config: Config) -> str:
    """Return the camera's source without a password in it."""
    source = str(config.camera.source).split("?")[0]
    return "network camera" if "@" in source else source
