"""The network that reads machine-readable zones: optional, loaded from its file when it is first used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kiosk.errors import ModelFileError
from kiosk.networks.inference import DEFAULT_PROVIDERS, Pack, open_session
from kiosk.types import Floats, Session

TASK = "mrz"
ABSENT = "this pack has no network that reads documents; install the kiosk's own pack, or do without documents"


class ZoneNetwork:
    """Keeps `types.Session`. Safe in several threads; a kiosk that reads no document never loads it."""

    def __init__(
        self, read: Callable[[], Pack], *, threads: int = 1, providers: Sequence[str] = DEFAULT_PROVIDERS
    ) -> None:
        """Load nothing yet.

        Args:
            read: reads the pack.
            threads: that one run may use.
            providers: as `open_session` takes them.
        """
        self._read, self._threads, self._providers = read, threads, providers
        self._loading = threading.Lock()
        self._session: Session | None = None

    def run(self, tensor: NDArray[np.generic]) -> list[Floats]:
        """Read lines of print, (N, 48, W, 3) uint8; return their (N, T, 38) probabilities, the blank first.

        Raises:
            ModelFileError: the pack has no such network, or its file is missing or changed.
        """
        with self._loading:
            if self._session is None:
                pack = self._read()
                if not any(model.task == TASK for model in pack.models):
                    raise ModelFileError(ABSENT)
                self._session = open_session(pack.spec(TASK), threads=self._threads, providers=self._providers)
        return self._session.run(tensor)
