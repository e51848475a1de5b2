"""What the tests of commands share: a command that is run."""

import pytest

from kiosk.cli.main import main
from tests.cli.commanded import LOADED


@pytest.fixture
def kiosk(capsys):
    """Run a command; return its exit code, stdout and stderr."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments], loaded=LOADED)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
