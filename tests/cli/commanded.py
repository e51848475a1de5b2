"""A command of the kiosk, run in this process: what one in its own costs most for is what it loads."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess
from typing import Any

import pytest

from kiosk.assembly import Loaded
from kiosk.cli.main import main
from kiosk.networks.inference import Pack, load_recogniser, read_pack
from kiosk.recognition.pipeline import Recogniser
from tests.api.served import decoder
from tests.api.served import recogniser as known
from tests.conftest import MODELS


def recogniser(pack: Pack, **options: Any) -> Recogniser:
    """Return the networks that all tests of a process share; another pack's, and another runtime's, are loaded."""
    is_usual = pack == read_pack(MODELS) and options["finder_runtime"] == "onnx"
    return known() if is_usual else load_recogniser(pack, **options)


LOADED = Loaded(decoder, recogniser)


def command(*arguments: str, answers: str = "", environment: Mapping[str, str] | None = None) -> CompletedProcess[str]:
    """Run a command with these answers on its standard input; no setting comes from this machine."""
    said, complained = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(complained):
        patch.setattr("sys.stdin", io.StringIO(answers))
        for name in [name for name in os.environ if name.startswith("KIOSK_")]:
            patch.delenv(name)
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        try:
            code = main(arguments, loaded=LOADED)
        except SystemExit as ended:  # a wrong call
            code = int(ended.code or 0)
    return CompletedProcess(arguments, code, said.getvalue(), complained.getvalue())
