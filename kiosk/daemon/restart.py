"""What survives a restart, as the running kiosk keeps it: declines in a row, and an armed alarm."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from kiosk.entrance.restart import NAME, read_restart, write_restart


class RestartFile:
    """The file of entrance/restart.py and what it holds now. Safe in several threads."""

    def __init__(self, directory: Path) -> None:
        """Read what was kept in a state directory."""
        self.path = directory / NAME
        self._directory = directory
        self._writing = threading.Lock()
        self.state = read_restart(directory)

    def keep(self, **changed: Any) -> None:
        """Keep what changed beside what else stands there: the judge and the alarm system may come at once.

        Args:
            changed: fields of `RestartState`.

        Raises:
            StoreError: it cannot be written.
        """
        with self._writing:
            self.state = replace(self.state, **changed)
            write_restart(self._directory, self.state)
