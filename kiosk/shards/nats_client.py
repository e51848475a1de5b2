"""The connection to the hub: nats-py on a loop in a thread of its own, as the rest of the kiosk works in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from kiosk.errors import CloudError, ConfigError

T = TypeVar("T")

CLOSE_S = 5.0


class Hub:
    """A connection that comes back by itself."""

    def __init__(self, address: str) -> None:
        """Start the loop; nothing is connected before `connect` has run on it.

        Raises:
            ConfigError: nats-py is not installed.
        """
        try:
            import nats  # noqa: PLC0415, F401  the extra fleet
        except ImportError as error:
            raise ConfigError("shards need nats-py: pip install 'face-kiosk[fleet]'") from error
        self.address = address
        self.client: Any = None
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="shards", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run something on the loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    @property
    def is_connected(self) -> bool:
        """Whether the hub is there now."""
        return self.client is not None and bool(self.client.is_connected)

    async def connect(self, patience_s: float | None = None) -> None:
        """Connect, on the loop; without patience_s until the hub is there.

        Raises:
            CloudError: the hub does not answer in time.
        """
        import nats  # noqa: PLC0415

        async def ignore(error: Exception) -> None:  # nats-py would print it; `is_connected` says what counts
            del error

        connecting = nats.connect(
            self.address,
            error_cb=ignore,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.5,
            pending_size=0,  # a question that waits for the hub is answered as incomplete, not asked later
        )
        try:
            self.client = await asyncio.wait_for(connecting, patience_s)
        except (OSError, asyncio.TimeoutError, nats.errors.Error) as error:
            raise CloudError(f"the hub of the shards does not answer: {error or type(error).__name__}") from error

    async def settle(self) -> None:
        """Wait until the hub has taken all that was said so far, on the loop; until then others' questions pass us by.

        nats-py's `flush` writes its ping past what its own buffer still holds (2.16.0), so the first one may be
        answered before a subscription has left; what was held goes out beside it, and the second one comes after.
        """
        await self.client.flush()
        await self.client.flush()

    def close(self) -> None:
        """Disconnect and end the loop; twice is as well as once."""
        if self.loop.is_closed():
            return
        if self.client is not None:
            self.run(self.client.close(), CLOSE_S)
        self.run(self._end(), CLOSE_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CLOSE_S)
        self.loop.close()

    async def _end(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
