"""A thread that tells a neighbour of the kiosk's news: how each of them begins, waits and ends.

Whatever happens here is put into a queue by a listener that returns at once; the thread takes it from there. So nothing
of the kiosk waits for a neighbour.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from kiosk.entrance.news import Broadcast, News

CLOSE_S = 0.5


class Teller:
    """One such thread. Built stopped; `start`, then `close`."""

    def __init__(self, name: str, news: Broadcast, *, hear: Callable[[News], None], run: Callable[[], None]) -> None:
        """Take the parts.

        Args:
            name: of the thread.
            news: what happens.
            hear: takes a piece of news, in whichever thread it happens, and returns at once.
            run: tells, until `is_ending`.
        """
        self._news, self._hear = news, hear
        self.changed = threading.Condition()
        """Held to change what `hear` and `run` share, and told of it."""
        self.is_ending = False
        self._thread = threading.Thread(target=run, name=name, daemon=True)
        self._end_listening: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Hear and tell from now on."""
        self._end_listening = self._news.listen(self._hear)
        self._thread.start()

    def close(self) -> None:
        """Hear no more, and end; waits half a second at most."""
        self._end_listening()
        with self.changed:
            self.is_ending = True
            self.changed.notify()
        self._thread.join(CLOSE_S)

    def rests(self, seconds: float) -> bool:
        """Wait before another try; return False where it ends instead."""
        with self.changed:
            return not self.changed.wait_for(lambda: self.is_ending, seconds)
