"""Facts about completion: a real bash, at a terminal, completes the kiosk's commands and options."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import PROCESS_S

pytest.importorskip("argcomplete", reason="argcomplete is not installed; it is in the extra `test`")

BASH = shutil.which("bash")
REGISTER = Path(sys.executable).parent / "register-python-argcomplete"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x07")
READY = "completes-now"

pytestmark = pytest.mark.skipif(BASH is None, reason="no bash on this machine")


class Terminal:
    """A bash with the kiosk's completion, as somebody sees it."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until a text stands there."""
        end = time.monotonic() + PROCESS_S
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} did not come; there is {self.seen[-500:]!r}"
            if select.select([self._master], [], [], left)[0]:
                self.seen += ESCAPES.sub("", os.read(self._master, 4096).decode(errors="replace"))


@pytest.fixture
def terminal(tmp_path) -> Iterator[Terminal]:
    command = tmp_path / "kiosk"  # as pip writes one where the path of its Python has a blank
    command.write_text(
        f"""#!/bin/sh
'''exec' "{sys.executable}" "$0" "$@"
' '''
# PYTHON_ARGCOMPLETE_OK
import sys
from kiosk.cli.main import main
sys.exit(main())
"""
    )
    command.chmod(0o755)
    master, slave = pty.openpty()
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb", "PS1": "> "}
    assert BASH is not None
    with subprocess.Popen(
        [BASH, "--norc", "--noprofile", "-i"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        cwd=tmp_path,
        start_new_session=True,
    ) as process:
        os.close(slave)
        try:
            shell = Terminal(master)
            shell.type(f'eval "$("{REGISTER}" kiosk)"; echo completes-"now"\n')
            shell.wait_for(READY)
            yield shell
        finally:
            process.kill()
            os.close(master)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        pytest.param("kiosk ga", "kiosk gallery", id="a command"),
        pytest.param("kiosk gallery expo", "kiosk gallery export", id="what a command does"),
        pytest.param("kiosk gallery list --fi", "kiosk gallery list --find", id="an option"),
    ],
)
def test_a_tab_completes(terminal, typed, completed):
    terminal.type(f"{typed}\t")

    terminal.wait_for(completed)
