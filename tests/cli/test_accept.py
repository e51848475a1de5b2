"""Facts about `kiosk accept`: it leads, survives a kill, reports and signs; beside a real running demo."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kiosk.store.directory import initialise
from kiosk.store.subjects import Details, Enrolment
from tests.cli import commanded
from tests.conftest import GOLDEN, networks, read
from tests.patience import reserved_port, until


@pytest.fixture
def state(tmp_path):
    """A store that knows Person A."""
    template = networks().analyse(read(GOLDEN / "person_a_2.jpg")).template
    assert template is not None
    with initialise(tmp_path / "state", now=time.time) as store:
        store.people.enrol(Enrolment([template], Details(name="Person A")))
    return tmp_path / "state"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "kiosk", *arguments]


def environment(state: Path, **settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KIOSK_")}
    return {**kept, "KIOSK_STATE": str(state), **settings}


def accept(state: Path, *options: str, answers: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    settings = {"KIOSK_STATE": str(state), **settings}
    return commanded.command("accept", *options, answers=answers, environment=settings)


def steps(state: Path) -> dict[str, dict[str, Any]]:
    told = json.loads(accept(state, "--json").stdout)
    return {step["step"]: step for step in told["steps"]}


def test_where_none_has_begun_that_is_said_and_nothing_is_made(tmp_path):
    told = accept(tmp_path / "none", "--status")

    assert "No acceptance has begun" in told.stdout
    assert not (tmp_path / "none").exists()


def test_steps_are_left_out_told_and_reported_and_the_report_is_signed_until_somebody_changes_it(state, tmp_path):
    answers = "s\nno camera yet\nn\nn\nn\n2.5\nn\n\nyes\nback after 40 s\ns\nno plug\n"
    told = accept(state, "--goal", "people=10", answers=answers)

    assert told.returncode == 0, told.stderr
    found = steps(state)
    assert (found["camera"]["state"], found["camera"]["reason"]) == ("skipped", "no camera yet")
    assert found["timing"]["stopwatch"]["median_s"] == 2.5
    assert found["watchdog"]["word"]["text"] == "back after 40 s"
    assert found["people"]["needed"] == 31
    status = accept(state, "--status").stdout
    assert "Left out: no plug" in status
    assert "Next: Light at the face" in status

    report = tmp_path / "report.html"
    assert accept(state, "--report", str(report)).returncode == 0
    assert "Left out: no camera yet" in report.read_text(encoding="utf-8")
    assert report.stat().st_mode & 0o077 == 0
    assert "is as this kiosk signed it" in accept(state, "--verify", str(report)).stdout
    report.write_text(report.read_text(encoding="utf-8").replace("no plug", "a plug"), encoding="utf-8")
    refused = accept(state, "--verify", str(report))
    assert (refused.returncode, "changed or damaged" in refused.stderr) == (1, True)


def test_goals_stand_before_it_begins_and_beginning_anew_keeps_the_old_notes(state):
    accept(state, "--step", "timing", answers="3\n")
    refused = accept(state, "--goal", "people=10")
    assert (refused.returncode, "--restart" in refused.stderr) == (1, True)
    wrong = accept(state, "--restart", "--goal", "light=10")
    assert (wrong.returncode, "want people, strangers or attacks" in wrong.stderr) == (1, True)

    told = accept(state, "--restart", "--goal", "people=10", "--goal", "attacks=20%")
    assert "What was noted before lies in" in told.stdout
    found = steps(state)
    assert (found["people"]["needed"], found["attacks"]["first_look"], found["timing"]["state"]) == (31, 15, "open")
    assert len(list(state.glob("acceptance-*.jsonl"))) == 1


def test_no_report_is_made_of_nothing(state, tmp_path):
    refused = accept(state, "--report", str(tmp_path / "report.html"))

    assert (refused.returncode, "no acceptance has begun" in refused.stderr) == (1, True)
    assert not (tmp_path / "report.html").exists()


def test_a_report_in_the_place_of_a_folder_is_refused_by_its_name_and_leaves_nothing(state, tmp_path):
    accept(state, "--step", "timing", answers="3\n")
    (tmp_path / "papers").mkdir()

    refused = accept(state, "--report", str(tmp_path / "papers"))

    assert (refused.returncode, refused.stderr) == (1, f"Error: {tmp_path / 'papers'}: Is a directory\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["papers", "state"]


@pytest.fixture
def port():
    with reserved_port() as port:
        yield port


def test_people_of_a_running_demo_are_counted_a_killed_wizard_loses_nothing_and_the_camera_is_measured(
    state, tmp_path, port
):
    (tmp_path / "visitors").mkdir()
    shutil.copy(GOLDEN / "person_a_1.jpg", tmp_path / "visitors" / "1.jpg")
    settings = {
        "KIOSK_API_PORT": str(port),
        "KIOSK_CAMERA_SOURCE": "demo:?width=640&height=480&fps=15&wait=1&loop=1",
        "KIOSK_CAMERA_LOST_AFTER_S": "60",
    }
    demo = command("run", "--demo", str(tmp_path / "visitors"))
    with subprocess.Popen(
        demo, env=environment(state, **settings), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as kiosk:
        try:
            assert kiosk.stdout is not None
            for line in kiosk.stdout:
                if "Operators:" in line:
                    break
            camera = accept(state, "--step", "camera", answers="\n", **settings)
            assert "640 by 480" in camera.stdout

            with subprocess.Popen(
                command("accept", "--step", "people"),
                env=environment(state, **settings),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            ) as wizard:
                assert wizard.stdin is not None
                wizard.stdin.write(b"1\n")
                wizard.stdin.flush()
                notes = state / "acceptance.jsonl"
                until(lambda: b'"present"' in notes.read_bytes())
                wizard.send_signal(signal.SIGKILL)
            going_on = accept(state, "--step", "people", answers="q\n", **settings)
            assert "A presentation of 1 was under way." in going_on.stdout
            assert "let in" in going_on.stdout
        finally:
            kiosk.kill()
    found = steps(state)
    assert (found["people"]["presented"], found["people"]["errors"]) == (1, 0)
    assert found["people"]["latest"][0]["seen"][0]["session_number"] == 1
