"""The network that tells pictures of faces from faces, as a kiosk keeps it: loaded, tested, and fast enough."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kiosk.errors import ModelFileError
from kiosk.networks.inference import DEFAULT_PROVIDERS, Note, Pack
from kiosk.networks.liveness import check_golden_pictures, load_spoof_network
from kiosk.recognition.cues import CueLimits, SpoofNetwork
from kiosk.types import Face, Floats, RgbImage, Session

SLOW_S = 0.5  # a frame that old opens nothing in any case
SLOW_RUNS = 3  # in a row: one may have waited for the disk or for another process

UNTESTED = "the detection of photographs has not passed its test yet"


class Detection:
    """Safe in several threads: `test` loads, `network` gives what passed."""

    def __init__(
        self,
        read: Callable[[], Pack],
        detect: Callable[[RgbImage], list[Face]],
        limits: CueLimits,
        *,
        threads: int = 1,
        providers: Sequence[str] = DEFAULT_PROVIDERS,
        note: Note | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Load nothing yet.

        Args:
            read: reads the pack, each time anew: a file that was changed or removed since is found.
            detect: finds the faces of the golden pictures.
            limits: the operating point.
            threads: as `load_spoof_network` takes it, and so the next two.
            providers: see there.
            note: see there.
            clock: s; measures how long the network takes.
        """
        self._read, self._detect, self._limits, self._clock = read, detect, limits, clock
        self._threads, self._providers, self._note = threads, providers, note
        self._network: SpoofNetwork | None = None
        self._fault = UNTESTED
        self._testing = threading.Lock()

    def network(self) -> SpoofNetwork:
        """Return the network that passed the last test.

        Raises:
            ModelFileError: none did.
        """
        network = self._network
        if network is None:
            raise ModelFileError(self._fault)
        return network

    def tested(self) -> SpoofNetwork:
        """Return the network, tested first where none passed so far.

        Raises:
            ModelFileError: it did not pass.
        """
        with self._testing:
            if self._network is None:
                self.test()
            return self.network()

    def test(self) -> str:
        """Load the network from its file and judge the golden pictures; without a pass there is none.

        Returns:
            What was seen, as a sentence.

        Raises:
            ModelFileError: it is missing, changed, wrong or too slow.
        """
        try:
            pack = self._read()
            loaded = load_spoof_network(pack, threads=self._threads, providers=self._providers, note=self._note)
            network = replace(loaded, network=_InTime(loaded.network, self._clock))
            said = check_golden_pictures(pack, network, self._detect, self._limits)
        except ModelFileError as error:
            self._network, self._fault = None, str(error)
            raise
        self._network = network
        return said


class _InTime:
    """A session that fails once it is too slow to be of use."""

    def __init__(self, session: Session, clock: Callable[[], float]) -> None:
        self._session, self._clock = session, clock
        self._slow = 0  # runs in a row

    def run(self, tensor: NDArray[np.generic]) -> list[Floats]:
        """Return the outputs.

        Raises:
            ModelFileError: several runs in a row took too long.
        """
        began = self._clock()
        outputs = self._session.run(tensor)
        took_s = self._clock() - began
        self._slow = self._slow + 1 if took_s > SLOW_S else 0
        if self._slow >= SLOW_RUNS:
            raise ModelFileError(
                f"the liveness network took {took_s:.1f} s for a picture, {SLOW_S:g} s is the most; "
                "is the processor too hot, or busy with something else?"
            )
        return outputs
