"""A bundle's bytes at a hub: a message each of its pieces, put there by the owner, asked for one by one by a kiosk.

Whoever is cut off goes on with the piece that is missing. A piece at a hub is believed by its digest alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kiosk.errors import KioskError
from kiosk.fleet import wire
from kiosk.fleet.updates.order import PIECE, Bundle

if TYPE_CHECKING:
    from nats.aio.client import Client

    from kiosk.fleet.updates.fetching import Fetching

LOOK_S = 0.5
AGAIN_S = 10.0  # after a piece that is missing or wrong

log = logging.getLogger("kiosk.fleet")


async def put_bundle(
    client: Client, bundle: Bundle, path: Path, *, said: Callable[[int, int], None] = lambda _done, _of: None
) -> None:
    """Put a bundle's pieces at a hub, but for those that are there already.

    Args:
        client: the owner's.
        bundle: as `read_bundle` said.
        path: of the file.
        said: is told how many pieces of how many are there.
    """
    stream = client.jetstream(timeout=wire.ANSWER_S)
    info = await client.jsm().stream_info(wire.UPDATE, subjects_filter=wire.piece_subject(bundle.digest, "*"))
    there = set(info.state.subjects or ())
    with path.open("rb") as file:
        for number in range(len(bundle.pieces)):
            subject = wire.piece_subject(bundle.digest, number)
            if subject not in there:
                file.seek(number * PIECE)
                await stream.publish(subject, file.read(PIECE), stream=wire.UPDATE)
            said(number + 1, len(bundle.pieces))


async def drop_others(client: Client, keep: Iterable[Bundle]) -> None:
    """Remove from a hub what is of no bundle that is ordered."""
    wanted = {one.digest for one in keep}
    info = await client.jsm().stream_info(wire.UPDATE, subjects_filter=wire.SUBJECTS[wire.UPDATE])
    for digest in {subject.split(".")[2] for subject in info.state.subjects or ()} - wanted:
        await client.jsm().purge_stream(wire.UPDATE, subject=wire.piece_subject(digest, "*"))


class PieceReader:
    """Reads at a hub what a kiosk lacks of its bundle. Lives in the loop of the fleet's thread."""

    def __init__(self, fetching: Fetching, lock: asyncio.Lock) -> None:
        """Take what wants the pieces, and a lock that the ways to all hubs share: a piece is read once."""
        self._fetching, self._lock = fetching, lock

    async def run(self, client: Client) -> None:
        """Go on until the connection ends."""
        from nats.errors import Error as NatsError  # noqa: PLC0415  see wire.connection
        from nats.js.errors import NotFoundError  # noqa: PLC0415  as above

        stream = client.jetstream(timeout=wire.ANSWER_S)
        while True:
            async with self._lock:
                wanted = await asyncio.to_thread(self._fetching.next)
                pause_s = LOOK_S
                if wanted is not None:
                    digest, number = wanted
                    try:
                        subject = wire.piece_subject(digest, number)
                        found = await stream.get_last_msg(wire.UPDATE, subject, direct=True)
                        await asyncio.to_thread(self._fetching.take, digest, number, found.data or b"")
                        pause_s = 0.0
                    except NotFoundError:
                        self._fetching.lacks = "the hub does not have it"
                        pause_s = AGAIN_S
                    except (NatsError, asyncio.TimeoutError):  # an older hub, which has no such stream
                        self._fetching.lacks = "the hub gives no pieces"
                        pause_s = AGAIN_S
                    except KioskError as error:
                        log.warning("fleet piece refused number=%d reason=%r", number, str(error))
                        self._fetching.lacks = str(error)
                        pause_s = AGAIN_S
            await asyncio.sleep(pause_s)
