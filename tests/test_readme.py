"""The README stays true: its commands parse, its settings exist, its numbers are those of the results."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from kiosk.cli.main import build_parser
from kiosk.settings.config import Config, _toml

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"^kiosk .*?(?=\s{2,}#|$)", README, flags=re.MULTILINE)))
SETTINGS = re.findall(r"^\| `\[(\w+)\] (\w+)` \| (.*?) \|", README, flags=re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_readme_is_one(command):
    chosen = build_parser().parse_args(shlex.split(command)[1:])

    assert callable(chosen.run)


@pytest.mark.parametrize(("section", "setting", "default"), SETTINGS)
def test_every_setting_of_the_readme_exists_with_its_default(section, setting, default):
    values = getattr(Config(), section)

    assert setting in {one.name for one in fields(values)}
    shown = _toml(getattr(values, setting)).removesuffix(".0")
    said = {
        "blocklist_threshold": "the same",
        "pack": "the one here",
        "providers": "CPU",
        "week": "mon-sun 00:00-24:00",
    }
    assert default.split(" (")[0] == said.get(setting, shown)


def test_the_numbers_of_the_readme_are_those_of_the_results():
    said = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "readme_tables.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert said.returncode == 0, said.stderr


def test_the_readme_names_both_commands_and_they_can_be_run():
    for name in ("try", "test"):
        path = ROOT / "firmware_scripts" / f"{name}.sh"
        assert f"./firmware_scripts/{name}.sh" in README
        assert os.access(path, os.X_OK)


def test_every_linked_file_is_there():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
