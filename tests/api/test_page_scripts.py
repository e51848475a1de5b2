"""The script of a page, joined from its modules: whole, in order, and in the two forms that are read."""

import re
import shutil
import subprocess

import pytest

from kiosk.api.page_scripts import SCRIPTS, WEB, joined

BEGINS = re.compile(r"^const (\$\w+) = await", re.MULTILINE)
TAKES = re.compile(r"^const \{[^}]*\} = (\$\w+);$", re.MULTILINE)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_page_s_script_imports_and_exports_nothing_any_more(name):
    assert re.findall(r"^\s*(?:import|export)\b.*|\bimport\(.*", joined(name).decode(), re.MULTILINE) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_module_runs_once_and_after_those_it_imports(name):
    told = joined(name).decode()
    begun = {found[1]: found.start() for found in BEGINS.finditer(told)}

    assert len(begun) == len(BEGINS.findall(told))
    assert [found[1] for found in TAKES.finditer(told) if begun[found[1]] > found.start()] == []


def test_every_module_comes_with_a_page():
    told = {name for script in SCRIPTS for name in BEGINS.findall(joined(script).decode())}

    assert len(told) == len(list(WEB.rglob("*.js")))


def test_modules_that_import_one_another_are_refused(tmp_path):
    (tmp_path / "a.js").write_text('import { b } from "./b.js";\n')
    (tmp_path / "b.js").write_text('import { a } from "./a.js";\n')

    with pytest.raises(ValueError, match=r"a\.js imports itself by way of b\.js"):
        joined("a.js", tmp_path)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine; apt-get install nodejs")
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_page_s_script_is_javascript(name, tmp_path):
    script = tmp_path / "page.mjs"
    script.write_bytes(joined(name))

    checked = subprocess.run(["node", "--check", script], capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")
