"""The documents stay true: commands parse, settings, files and routes exist, numbers are those of the results."""

import functools
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from kiosk.api import app
from kiosk.cli.main import build_parser
from kiosk.settings.config import Config, _toml

ROOT = Path(__file__).parent.parent
FOLDERS = (".github", "benchmarks", "firmware_scripts", "kiosk", "models", "systemd", "tests")
DOCUMENTS = [ROOT / "README.md", *sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in DOCUMENTS}
README_BYTES = 7168
FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETTINGS = re.findall(r"^\| `\[(\w+)\] (\w+)` \| (.*?) \|", TEXTS["kiosk/settings/README.md"], re.MULTILINE)


def found(pattern: str, *, fenced: bool) -> list[tuple[str, str]]:
    """Return (document, match) for each different match, inside code blocks or outside of them."""
    pairs = []
    for name, text in TEXTS.items():
        places = FENCE.findall(text) if fenced else [FENCE.sub("", text)]
        pairs += [(name, one) for place in places for one in re.findall(pattern, place, re.MULTILINE)]
    return sorted(set(pairs))


COMMANDS = found(r"^kiosk .*?(?=\s{2,}#|$)", fenced=True)
NAMED_COMMANDS = found(r"`kiosk ([a-z][a-z -]*?)(?= [^a-z]|`)", fenced=False)
SCRIPTS = found(r"^(?:sudo )?\./(\S+)", fenced=True)
PROGRAMS = found(r"^python (\S+\.py)", fenced=True) + found(r"`python (\S+\.py)", fenced=False)
# tests/test_images/ is a folder of the archive that the golden portraits come from.
PATHS = found(rf"`((?:{'|'.join(map(re.escape, FOLDERS))})/(?!test_images/)[\w./-]+)`", fenced=False)
NAMED_SETTINGS = found(r"`\[(\w+)\] (\w+)(?: = [^`]+)?`", fenced=False)
ROUTES = found(r"`(GET|POST|PATCH|DELETE) (/[^`\s]*)`", fenced=False)
LINKS = found(r"\]\(([^)#:]+)\)", fenced=False)
DEFAULTS = Config()


@functools.cache
def parser():
    """Return the parser of all commands: making it costs more than what it is asked here."""
    return build_parser()


@pytest.mark.parametrize(("document", "command"), COMMANDS)
def test_every_command_shown_is_one(document, command):
    chosen = parser().parse_args(shlex.split(command)[1:])

    assert callable(chosen.run), document


@pytest.mark.parametrize(("document", "words"), NAMED_COMMANDS)
def test_every_command_named_in_a_sentence_is_one(document, words, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([*words.split(), "--help"])

    assert ended.value.code == 0, document
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(("document", "script"), SCRIPTS)
def test_every_script_shown_can_be_run(document, script):
    assert os.access(ROOT / script, os.X_OK) or os.access((ROOT / document).parent / script, os.X_OK)


@pytest.mark.parametrize(("document", "path"), PROGRAMS + PATHS)
def test_every_file_named_is_there(document, path):
    assert (ROOT / path).exists(), f"{document} names {path}"


@pytest.mark.parametrize(("section", "setting", "default"), SETTINGS)
def test_every_setting_of_the_table_has_the_default_said(section, setting, default):
    values = getattr(DEFAULTS, section)

    assert setting in {one.name for one in fields(values)}
    shown = _toml(getattr(values, setting)).removesuffix(".0")
    said = {
        "blocklist_threshold": "the same",
        "pack": "the one here",
        "providers": "CPU",
        "week": "mon-sun 00:00-24:00",
    }
    assert default.split(" (")[0] == said.get(setting, shown)


@pytest.mark.parametrize(("document", "named"), NAMED_SETTINGS)
def test_every_setting_named_exists(document, named):
    section, setting = named

    assert setting in {one.name for one in fields(getattr(DEFAULTS, section))}, document


@pytest.mark.parametrize(("document", "named"), ROUTES)
def test_every_route_named_is_served(document, named):
    assert named in {(one.method, re.sub(r":\w+", "", one.path)) for one in app.OPERATIONS}, document


def test_the_tables_are_those_of_the_results_and_the_settings():
    said = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "readme_tables.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert said.returncode == 0, said.stderr


def test_each_table_is_in_a_document():
    tables = [name for text in TEXTS.values() for name in re.findall(r"^<!-- (\w+) -->$", text, re.MULTILINE)]

    assert sorted(tables) == [
        "arm",
        "changes",
        "door",
        "evaluated",
        "faults",
        "figures",
        "fleet",
        "fleet_model",
        "fuzzed",
        "groups",
        "growth",
        "scale",
        "settings",
        "shards",
        "speed",
    ]


def test_the_readme_is_one_page():
    assert len(TEXTS["README.md"].encode()) <= README_BYTES


def test_the_readme_names_both_commands():
    shown = {script for document, script in SCRIPTS if document == "README.md"}

    assert {"firmware_scripts/try.sh", "firmware_scripts/test.sh"} <= shown


@pytest.mark.parametrize(("document", "target"), LINKS)
def test_every_linked_file_is_there(document, target):
    assert ((ROOT / document).parent / target).exists(), f"{document} links {target}"


def test_every_document_is_reached_from_the_readme():
    reached, waiting = {"README.md"}, ["README.md"]
    while waiting:
        document = waiting.pop()
        for target in re.findall(r"\]\(([^)#:]+\.md)\)", TEXTS[document]):
            name = str(((ROOT / document).parent / target).resolve().relative_to(ROOT))
            if name not in reached:
                reached.add(name)
                waiting.append(name)

    assert set(TEXTS) - reached == set()


def test_the_documents_speak_of_every_folder_of_the_code():
    folders = {path.name for path in (ROOT / "kiosk").iterdir() if (path / "__init__.py").exists()}

    assert [name for name in sorted(folders) if f"`{name}`" not in TEXTS["README.md"]] == []


def test_every_script_has_a_line_in_the_table_of_scripts():
    text = TEXTS["firmware_scripts/README.md"]
    scripts = {path.name for path in (ROOT / "firmware_scripts").iterdir() if path.suffix in {".sh", ".py"}}

    assert [name for name in sorted(scripts) if f"`{name}`" not in text] == []


def test_every_benchmark_has_a_line_in_the_table_of_benchmarks():
    """A benchmark asks a question in its first line; the other files are what they share."""
    text = TEXTS["benchmarks/README.md"]
    scripts = (ROOT / "benchmarks").glob("*.py")
    asked = {path.name for path in scripts if path.read_text(encoding="utf-8").splitlines()[0].endswith("?")}

    assert len(asked) >= 10
    assert [name for name in sorted(asked) if f"`{name}`" not in text] == []
