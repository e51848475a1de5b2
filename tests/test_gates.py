"""The gates refuse what they are there to refuse, and run before the tests, in versions that are pinned."""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
GOOD = '"""A module."""\n\nCOUNT: int = 1\n'
TYPED = (3, 11) <= sys.version_info[:2] <= (3, 13)


def checked(*words, given):
    """Return the exit status of a checker for the text of a file of the package."""
    said = subprocess.run(
        [sys.executable, "-m", *words], input=given, cwd=ROOT, capture_output=True, text=True, check=False
    )
    return said.returncode


def test_ruff_refuses_an_unused_import():
    check = ("ruff", "check", "--stdin-filename", "kiosk/invented.py", "-")

    assert checked(*check, given=GOOD) == 0
    assert checked(*check, given=GOOD.replace("\n\n", "\n\nimport os\n\n", 1)) == 1


def test_ruff_format_refuses_an_ill_formatted_line():
    check = ("ruff", "format", "--check", "--stdin-filename", "kiosk/invented.py", "-")

    assert checked(*check, given=GOOD) == 0
    assert checked(*check, given=GOOD.replace(" = 1", "  =  1")) == 1


@pytest.mark.skipif(not TYPED, reason="types are checked on Python 3.11 to 3.13")
def test_mypy_refuses_a_wrong_type_and_a_missing_signature(tmp_path):
    module = tmp_path / "invented.py"
    check = ("mypy", "--config-file", "pyproject.toml", "--cache-dir", str(tmp_path / "cache"), str(module))

    statuses = []
    for text in (GOOD, GOOD.replace("= 1", '= "one"'), "def count(one):\n    return one\n"):
        module.write_text(text, encoding="utf-8")
        statuses.append(checked(*check, given=""))

    assert statuses == [0, 1, 1]


@pytest.mark.parametrize("tool", ["ruff", "mypy"])
def test_the_tool_here_is_of_the_version_that_is_pinned(tool):
    assert re.findall(rf'"{tool}==([\d.]+)"', PROJECT) == [version(tool)]


def test_the_tests_begin_with_the_gates():
    script = (ROOT / "firmware_scripts" / "test.sh").read_text(encoding="utf-8")

    steps = ('check.sh" --form', 'check.sh" --types', "-- run_tests")
    form, types, tests = (script.index(step) for step in steps)
    assert 0 < form < types < tests
    assert script.splitlines()[-1].startswith("in_parallel ")  # whose status is that of the script


@pytest.mark.parametrize(
    ("checks", "tests", "code"),
    [("true", "true", 0), ("(exit 3)", "true", 3), ("true", "(exit 5)", 5), ("(exit 3)", "(exit 5)", 5)],
)
def test_what_runs_in_parallel_fails_when_either_fails_and_both_are_heard(checks, tests, code):
    script = f"""set -euo pipefail; root='{ROOT}'; . "$root/firmware_scripts/common.sh"
    checks() {{ echo of the checks; {checks}; }}
    tests() {{ echo "of the tests"; {tests}; }}
    in_parallel checks -- tests
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.splitlines()) == (code, ["of the tests", "of the checks"])


def test_checks_of_form_and_of_types_are_together_all_of_them():
    script = (ROOT / "firmware_scripts" / "check.sh").read_text(encoding="utf-8")

    form, types = script.split('if [ -n "$types" ]')
    assert re.findall(r'check "([\w ]+)"', form) == ["ruff check", "ruff format", "shellcheck"]
    assert re.findall(r'check "([\w ]+)"', types) == ["mypy"]
    assert "fix='' form=yes types=yes" in form


def test_a_commits_hook_and_ci_run_the_same_scripts():
    (hook,) = re.findall(r"entry: (\S+)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))

    assert os.access(ROOT / hook, os.X_OK)
    assert hook == "firmware_scripts/check.sh"
