"""Subjects and streams of the fleet, and one connection to a hub. All that knows NATS beside `link.py` is here."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kiosk.errors import ConfigError, KioskError
from kiosk.fleet.admin import Invitation
from kiosk.fleet.identity import Identity, bytes_of, text_of

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

ROSTER, SETTINGS, PEOPLE, HEALTH, LOG, UPDATE = "ROSTER", "SETTINGS", "PEOPLE", "HEALTH", "LOG", "UPDATE"
LOCKDOWN, PASSAGES = "LOCKDOWN", "PASSAGES"
SUBJECTS: Mapping[str, str] = {
    ROSTER: "fleet.roster",  # a stream of its own, read first: behind the people a newcomer would know no signer
    SETTINGS: "fleet.settings.*",  # the owner's orders, see orders.py
    PEOPLE: "fleet.people.*.*",
    HEALTH: "fleet.health.*",
    LOG: "fleet.log.*",
    LOCKDOWN: "fleet.lockdown.*",
    PASSAGES: "fleet.passages.*",  # who went through, see doors/; words of doors (fleet.beacon.*) are in no stream
    UPDATE: "fleet.update.*.*",  # pieces of bundles, by digest and number; see updates/pieces.py
}
CONNECT_S = 5.0
ANSWER_S = 10.0
LONGEST_PAYLOAD = 8 << 20  # a roster that names what is believed of former kiosks
IDLE_S = 60.0  # after which a hub forgets a reader that is gone
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


class HubError(KioskError):
    """A hub does not answer, or refused."""


def token(text: str) -> str:
    """Return a person's id as a part of a subject; one with dots or blanks is written otherwise.

    >>> token("8e1c-77"), token("a b")
    ('8e1c-77', '~YSBi')
    """
    return text if _TOKEN.fullmatch(text) else "~" + text_of(text.encode())


def person_of(text: str) -> str:
    """Return what `token` was given; raises ValueError."""
    return bytes_of(text[1:]).decode() if text.startswith("~") else text


def place_of(subject: str) -> tuple[str, str]:
    """Return person and kiosk of a message of the people's stream; raises ValueError."""
    _, _, person, origin = subject.split(".")
    return person_of(person), origin


def order_subject(kind: str) -> str:
    """Return where an order of the owner lies."""
    return f"fleet.settings.{kind}"


CARRY = "fleet.carry.*"
"""Where kiosks bring a hub the owner's word from another: a roster, or an order by its kind. Kept by no stream."""


def carry_subject(what: str) -> str:
    """Return where a hub is brought a roster ("roster"), or an order of a kind."""
    return f"fleet.carry.{what}"


def piece_subject(digest: str, number: int | str) -> str:
    """Return where a piece of a bundle lies; "*" for all of them."""
    return f"fleet.update.{digest}.{number}"


def inbox_of(name: str) -> str:
    """Return where answers for a kiosk arrive: nobody else may listen there."""
    return f"_INBOX_{name}"


def context_of(invitation: Invitation) -> ssl.SSLContext:
    """Return whom this fleet takes for a hub: who has a certificate of the owner's, and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=invitation.certificate)
    return context


@asynccontextmanager
async def connection(
    url: str,
    invitation: Invitation,
    identity: Identity,
    name: str,
    *,
    ended: Callable[[], None] = lambda: None,
) -> AsyncIterator[Client]:
    """Connect to a hub once; whoever calls connects again.

    Args:
        url: such as tls://hub.example:4222.
        invitation: of the fleet.
        identity: whose transport key is shown.
        name: in whose inbox answers arrive.
        ended: called when the connection ends by itself.

    Raises:
        HubError: it cannot be reached, or refused; also when the connection ends within the block.
        ConfigError: the extra is not installed.
    """
    try:
        import nats  # noqa: PLC0415  0.2 s, and only a kiosk of a fleet has it
        from nats.errors import Error as NatsError  # noqa: PLC0415
    except ImportError:
        raise ConfigError("a fleet needs nats-py; install it with: pip install 'face-kiosk[fleet]'") from None
    said: list[str] = []

    async def keep(error: Exception) -> None:
        said.append(str(error) or type(error).__name__)

    async def tell() -> None:
        ended()

    client = None
    try:
        client = await nats.connect(
            url,
            name=name,
            tls=context_of(invitation),
            nkeys_seed_str=identity.nats_seed,
            inbox_prefix=inbox_of(name),
            allow_reconnect=False,
            max_reconnect_attempts=1,  # else the first connection is tried indefinitely, and nobody hears why
            reconnect_time_wait=0,
            connect_timeout=CONNECT_S,
            ping_interval=10,
            max_outstanding_pings=2,
            error_cb=keep,
            disconnected_cb=tell,
        )
        yield client
    except (NatsError, OSError, asyncio.TimeoutError) as error:
        reasons = [*(one for one in said if "uthorization" in one), *said, str(error), type(error).__name__]
        reason = next(one for one in reasons if one)
        raise HubError(f"{url}: {reason}") from error
    finally:
        if client is not None:
            with _quiet(NatsError):
                await client.close()


async def read_on(
    client: Client, stream: str, queue: asyncio.Queue[Msg | None], **config: Any
) -> tuple[Subscription, int]:
    """Have a stream's messages put into a queue; further arguments as `ConsumerConfig` takes them.

    Returns:
        What ends it by `unsubscribe`, and how many messages there were to read at the beginning.
    """
    from nats.js.api import AckPolicy, ConsumerConfig  # noqa: PLC0415  see `connection`

    async def put(message: Msg) -> None:
        queue.put_nowait(message)

    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=put)
    settings = ConsumerConfig(deliver_subject=inbox, ack_policy=AckPolicy.NONE, inactive_threshold=IDLE_S, **config)
    info = await client.jsm().add_consumer(stream, settings, timeout=ANSWER_S)
    return subscription, info.num_pending or 0


async def fetch(client: Client, stream: str, subjects: list[str], *, since: datetime | None = None) -> list[Msg]:
    """Return all messages of some subjects, or those since a time."""
    from nats.js.api import DeliverPolicy  # noqa: PLC0415  see `connection`

    queue: asyncio.Queue[Msg | None] = asyncio.Queue()
    begin: dict[str, Any] = {"deliver_policy": DeliverPolicy.ALL}
    if since is not None:
        begin = {"deliver_policy": DeliverPolicy.BY_START_TIME, "opt_start_time": since}
    subscription, count = await read_on(client, stream, queue, filter_subjects=subjects, **begin)
    found: list[Msg] = []
    try:
        while len(found) < count and (message := await asyncio.wait_for(queue.get(), ANSWER_S)) is not None:
            found.append(message)
    finally:
        await subscription.unsubscribe()
    return found


async def until_one_ends(*works: Coroutine[Any, Any, None]) -> None:
    """Do several things side by side until one of them ends; end the others, and raise what it raised."""
    tasks = [asyncio.create_task(one) for one in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        if not task.cancelled():
            task.result()


class _quiet:  # noqa: N801  a context manager, as contextlib's suppress
    def __init__(self, *kinds: type[Exception]) -> None:
        self._kinds = (*kinds, OSError, asyncio.TimeoutError)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, self._kinds)
