"""The kiosk of `kiosk run`, put together: everything but its door, which is older. Imports what takes its time."""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2

from kiosk import assembly
from kiosk.api.screen_token import screen_token
from kiosk.capture.process import Camera
from kiosk.capture.watch import Report
from kiosk.cli.demo import ONCE, DecisionPrinter, DemoCue, DemoHands, demo_settings, level_said_aloud, portraits_in
from kiosk.cloud.credentials import MQTT_PASSWORD, OSDP_KEY, WEBHOOK_SECRET, Credentials
from kiosk.daemon.doorway import Doorway
from kiosk.daemon.kiosk import Kiosk, serve
from kiosk.device.device import Device
from kiosk.device.documents import reader_of
from kiosk.device.outgoing import Outgoing
from kiosk.entrance.liveness_step import Detector
from kiosk.errors import ConfigError, KioskError
from kiosk.health.clock import Clock
from kiosk.health.ending import end_within
from kiosk.health.supervisor import Flag, Supervisor
from kiosk.networks.self_test import self_test
from kiosk.rules.conditions import Condition
from kiosk.settings.config import Config
from kiosk.store.accounts import Accounts
from kiosk.store.directory import run_alone
from kiosk.store.remote_lists import Lists
from kiosk.store.store import Store
from kiosk.testing.line_file import SIMULATED

if TYPE_CHECKING:
    from kiosk.api.context import Fleet  # 0.3 s, as all of api/
    from kiosk.api.server import Server
    from kiosk.cloud.sync import Sync

log = logging.getLogger("kiosk.cli_run")


@dataclass(frozen=True, slots=True)
class Start:
    """What one start of the kiosk is given by the process that makes it."""

    chosen: argparse.Namespace
    supervisor: Supervisor
    stopping: Flag
    asked: Flag  # for changed settings
    again: Flag  # set where they want a new start of the process
    ready: Flag  # set once the kiosk runs
    doorway: Doorway  # older than the kiosk
    status_file: Path | None
    before_serving: Callable[[], None]  # ends whatever serves the API's address until then


def run_kiosk(start: Start) -> int:
    """Start the kiosk, and run it until it is told to stop.

    Raises:
        KioskError: it cannot be started as things are; whatever was opened is closed again.
    """
    chosen, supervisor, stopping, asked, again = (
        start.chosen,
        start.supervisor,
        start.stopping,
        start.asked,
        start.again,
    )
    config = _settings(chosen, assembly.load_settings(chosen))
    portraits = portraits_in(chosen.demo) if chosen.demo is not None else []
    cv2.setNumThreads(1)  # the networks and the camera's process share the cores already
    with ExitStack() as parts:
        supervisor.tell(STATUS="loading models and people")
        clock = assembly.make_clock(config)
        pack, recogniser = assembly.load_pack(config), assembly.open_recogniser(config)
        store = assembly.open_store(chosen, config, clock=clock, create=not chosen.existing)
        Accounts(store, now=clock).copy()
        outgoing = _outgoing(store, config, clock)
        device = parts.enter_context(
            Device(
                recogniser,
                store,
                config,
                now=clock,
                outgoing=outgoing,
                zones=assembly.make_zone_network(config),
            )
        )
        assembly.ask_shards(chosen, device)
        parts.enter_context(run_alone(store.directory))
        sync = _cloud(device, clock, parts) if config.cloud.is_used else None
        Lists(store).keep_only(config.cloud.lists, clock())  # without any nobody would pull, and see to it

        def camera(tell: Callable[[Report], None]) -> Camera:
            return Camera(config.camera, portraits, tell=tell)

        detector = assembly.make_detection(config, recogniser)
        neighbours: dict[str, Neighbour] = {}  # made after the kiosk, which tells of them
        kiosk = Kiosk(
            device,
            camera,
            doorway=start.doorway,
            clock=clock,
            self_test=lambda: self_test(pack, recogniser),
            detector=detector if config.pad.chosen_level != "off" else None,
            lists_are_stale=sync.lists_are_stale if sync is not None else lambda _limit_h: False,
            status_file=start.status_file,
            more_figures=lambda: {
                **({} if sync is None else {"cloud": {"alarm": sync.alarm}}),
                **{name: neighbour.figures() for name, neighbour in neighbours.items()},
            },
        )
        parts.callback(kiosk.close)
        neighbours |= _neighbours(start, kiosk, store, parts)
        if chosen.demo is not None:
            print(level_said_aloud(config), flush=True)
            if not (chosen.loop or sys.stdout.isatty()):
                assembly.note(ONCE)  # stdout is for decisions: a script reads them
            kiosk.news.listen(DecisionPrinter())
            kiosk.news.listen(DemoCue(kiosk))
            hands = DemoHands(kiosk.requests, config.entrance.mode, card=chosen.card, pin=chosen.pin)
            kiosk.news.listen(hands)
        kiosk.start()
        if sync is not None:
            sync.start()
        for neighbour in neighbours.values():
            neighbour.start()
        fleet = _fleet_view(neighbours, store, clock) if config.api.enabled else None
        server = _serve_api(start, kiosk, sync, detector, parts, fleet=fleet) if config.api.enabled else None

        def reload() -> bool:
            if server is not None and not server.is_alive:
                raise ConfigError(f"the API at {server.address} ended by itself")  # a new start is a clean one
            if kiosk.camera.is_over and chosen.demo is not None:
                stopping.set()
            if not asked.is_set():
                return False
            asked.clear()
            return _reload(chosen, kiosk, supervisor, again)

        parts.callback(_limit_the_end, start, kiosk)  # the last here, and so the first at the end
        start.ready.set()
        return serve(kiosk, supervisor, stopping, reload)


def _limit_the_end(start: Start, kiosk: Kiosk) -> None:
    """Where the kiosk was told to stop, have no part of it hold that up. A demo that is over has its time."""
    if start.again.is_set() or not start.stopping.is_set() or (start.chosen.demo is not None and kiosk.camera.is_over):
        return
    end_within(code=int(kiosk.is_broken), first=(start.doorway.close, kiosk.end_report))
    kiosk.record_door()  # at once, and not behind what takes its time


def _settings(chosen: argparse.Namespace, config: Config) -> Config:
    return config if chosen.demo is None else demo_settings(config, detects=chosen.detect, is_looped=chosen.loop)


def _outgoing(store: Store, config: Config, clock: Clock) -> Outgoing | None:
    """Have decisions leave as the settings say; None: they stay."""
    if not config.cloud.is_used:
        return assembly.with_fleet(None, store, config)
    from kiosk.cloud.policy import Policy  # noqa: PLC0415  a kiosk that uses no cloud loads none of it

    return assembly.with_fleet(Policy(store, config.cloud, now=clock), store, config)


def _cloud(device: Device, clock: Clock, parts: ExitStack) -> Sync:
    """Have what is to leave sent, and the cloud asked; ended with the other parts."""
    from kiosk.cloud.sync import Sync  # noqa: PLC0415  a kiosk that uses no cloud loads none of it

    sync = Sync(device, device.config.cloud, assembly.credentials_directory(), now=clock)
    parts.callback(sync.close)
    return sync


class Neighbour(Protocol):
    """What goes on beside the kiosk and is told of in its health; nothing waits for it."""

    def start(self) -> None:
        """Begin."""

    def figures(self) -> Mapping[str, Any]:
        """Return how it is: JSON."""

    def close(self) -> None:
        """End."""


def _neighbours(start: Start, kiosk: Kiosk, store: Store, parts: ExitStack) -> dict[str, Neighbour]:
    """Connect to fleet, broker and log server as the settings say, by name; ended with the other parts."""
    config, made = kiosk.device.config, dict[str, Neighbour]()
    if config.fleet.enabled and store.is_in_fleet:
        from kiosk.cli.fleet.running import make_fleet  # noqa: PLC0415  a kiosk of no fleet loads none of it

        made["fleet"] = make_fleet(start.chosen, kiosk, store, reload=start.asked.set)
    if config.mqtt.is_used:
        from kiosk.integrations.mqtt import Mqtt  # noqa: PLC0415  a kiosk without a broker loads none of it

        password = Credentials(store, assembly.credentials_directory()).read(MQTT_PASSWORD)
        made["mqtt"] = Mqtt(kiosk.requests, config.mqtt, password=password, level=config.pad.chosen_level)
    if config.wiegand.is_used:
        from kiosk.integrations.reader_desk import ReaderDesk  # noqa: PLC0415  as above
        from kiosk.integrations.wiegand_reader import Edges, WiegandReader, open_edges  # noqa: PLC0415
        from kiosk.testing.pulse_socket import PulseSocket  # noqa: PLC0415

        desk = ReaderDesk(kiosk.requests)
        at = config.wiegand.chip

        def edges() -> Edges:
            is_simulated = at.startswith(SIMULATED)
            return PulseSocket(Path(at.removeprefix(SIMULATED))) if is_simulated else open_edges(config.wiegand)

        made["wiegand"] = WiegandReader(edges, hear_card=desk.take_card)
    if config.passes.enabled:
        from kiosk.daemon.pass_watch import PassWatch  # noqa: PLC0415  a kiosk without passes loads none of it

        kiosk.judge.passes.connect(assembly.pass_keys(store))
        made["passes"] = PassWatch(kiosk.judge, config.passes.looks_per_s)
    if config.syslog.is_used:
        from kiosk.integrations.syslog import Syslog  # noqa: PLC0415  as above

        made["syslog"] = Syslog(kiosk.news, config.syslog)
    if config.osdp.is_used:
        made["osdp"] = _readers(start, kiosk, store, parts) if config.osdp.role == "panel" else _line(kiosk, store)
    if config.factors.duress_url:
        from kiosk.integrations.duress import DuressWebhook  # noqa: PLC0415  as above

        credentials = Credentials(store, assembly.credentials_directory())
        made["duress_webhook"] = DuressWebhook(
            kiosk.news,
            config.factors.duress_url,
            secret=lambda: credentials.read(WEBHOOK_SECRET),
            earlier=lambda since: [
                {"request_id": one.request_id, "session_number": one.session_number, "at": one.at}
                for one in reversed(store.factors.notes(since=since))
            ],
        )
    for neighbour in made.values():
        parts.callback(neighbour.close)
    return made


def _line(kiosk: Kiosk, store: Store) -> Neighbour:
    """Be the reader of an access control panel."""
    from kiosk.integrations.osdp_reader import OsdpReader  # noqa: PLC0415  a kiosk without a line loads none of it
    from kiosk.integrations.panel_cards import PanelCards, alarm_of  # noqa: PLC0415

    credentials, monitor, door = Credentials(store, assembly.credentials_directory()), kiosk.monitor, kiosk.door

    def tell(sentence: str | None) -> None:
        if sentence is None:
            monitor.end(Condition.PANEL_LOST)
        else:
            monitor.hold(Condition.PANEL_LOST, sentence)

    reader = OsdpReader(
        kiosk.device.config.osdp,
        key=credentials.read(OSDP_KEY),
        tell=tell,
        show=door.lamps.follow if door is not None else lambda _light: None,
        keep_key=lambda text: credentials.write(OSDP_KEY, text),
    )
    config = kiosk.device.config
    cards = PanelCards(
        reader,
        store.factors,
        clock=time.monotonic,
        states=monitor.states,
        table=lambda: monitor.table,
        asks_s=config.factors.entry_s if config.osdp.keypad else 0.0,
    )
    kiosk.judge.opening.connect(cards)
    if config.osdp.duress_input:
        kiosk.news.listen(alarm_of(reader))
    return reader


def _readers(start: Start, kiosk: Kiosk, store: Store, parts: ExitStack) -> Neighbour:
    """Be the panel of readers, keypads and their relay."""
    from kiosk.integrations.osdp_panel import OsdpPanel  # noqa: PLC0415  a kiosk without readers loads none of it
    from kiosk.integrations.reader_desk import ReaderDesk, ReaderRelay, shower  # noqa: PLC0415

    config, monitor, desk = kiosk.device.config, kiosk.monitor, ReaderDesk(kiosk.requests)

    def tell(sentence: str | None) -> None:
        if sentence is None:
            monitor.end(Condition.READER_LOST)
        else:
            monitor.hold(Condition.READER_LOST, sentence)

    door, opens = kiosk.door, config.osdp.relay
    panel = OsdpPanel(
        config.osdp,
        key=Credentials(store, assembly.credentials_directory()).read(OSDP_KEY),
        tell=tell,
        hear_card=desk.take_card,
        hear_keys=desk.take_keys,
        lets_out_until=lambda: door.let_out_until if door is not None and opens else -math.inf,
    )
    kiosk.news.listen(shower(panel))
    if opens:
        relay = ReaderRelay(
            panel,
            pulse_s=config.door.pulse_s,
            clock=time.monotonic,
            states=monitor.states,
            table=lambda: monitor.table,
        )
        kiosk.judge.opening.connect(relay)
        start.doorway.release_too(relay.release)
        parts.callback(start.doorway.release_too, None)  # the doorway is older than the line, and outlives it
    return panel


def _fleet_view(neighbours: Mapping[str, Neighbour], store: Store, clock: Clock) -> Fleet | None:
    """Return what the pages show of the fleet; None where there is none."""
    if "fleet" not in neighbours:
        return None
    from kiosk.fleet.sync import FleetSync  # noqa: PLC0415  a kiosk of no fleet loads none of it
    from kiosk.fleet.view import View  # noqa: PLC0415  as above

    made = neighbours["fleet"]
    assert isinstance(made, FleetSync)
    return View(made, store, now=clock)


def _serve_api(
    start: Start,
    kiosk: Kiosk,
    sync: Sync | None,
    detector: Detector,
    parts: ExitStack,
    *,
    fleet: Fleet | None,
) -> Server:
    """Serve API and pages beside the kiosk, ended with the other parts."""
    from kiosk.api import app  # noqa: PLC0415  0.1 s, which a kiosk without it should not pay

    chosen, device, settings = start.chosen, kiosk.device, kiosk.device.config.api
    accounts = Accounts(device.store, now=kiosk.clock)
    app.check_exposure(settings, accounts, is_claimable=accounts.is_unclaimed())

    def apply(config: Config) -> None:
        if not kiosk.reload(_settings(chosen, config)):
            raise ConfigError("this setting is taken at a start only: write it into kiosk.toml")

    token = screen_token(assembly.state_of(chosen))
    application = app.build(
        device,
        kiosk=kiosk.requests,
        cloud=sync.view if sync is not None else None,
        fleet=fleet,
        detector=detector,
        sources=assembly.settings_sources(chosen),
        apply=apply,
        changing=kiosk.changing,
        forgotten=lambda: assembly.scrub_backups(device.store),
        confirm_clock=lambda actor: assembly.confirm_clock(device.store, kiosk.clock, actor=actor),
        read_document=reader_of(device),
        pass_keys=assembly.pass_keys(device.store),
        screen_token=token,
        now=kiosk.clock,
        scale_measured=assembly.scale_measured(device.config),
    )
    device.decoder.warm()
    server = app.Server(application, settings)
    parts.callback(server.close)
    parts.callback(application.close)
    parts.callback(device.decoder.close)  # a stranger's picture must not hold up the end
    start.before_serving()
    server.start()
    log.info("api address=%s", server.address)
    if chosen.demo is not None:
        print(f"The kiosk's screen: {server.address}/kiosk?screen={token}", flush=True)
        print(f"Operators: {server.address}/", flush=True)
    return server


def _reload(
    chosen: argparse.Namespace,
    kiosk: Kiosk,
    supervisor: Supervisor,
    again: Flag,
    *,
    load: Callable[[argparse.Namespace], Config] = assembly.load_settings,
) -> bool:
    """Take the settings as they are on disk now; say whether the process must start anew for them."""
    supervisor.tell(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
    try:
        with kiosk.changing:  # a page may be changing them: what is read here must be no older than what is in force
            config = _settings(chosen, load(chosen))
            Camera(config.camera, kiosk.camera.source.portraits)  # a source that cannot be is a wrong setting too
            is_taken = kiosk.reload(config)
    except KioskError as error:
        log.error("settings refused, the old ones stay reason=%r", str(error))  # noqa: TRY400  its sentence says all
        supervisor.tell(READY=1, STATUS=f"settings refused: {error}")
        return False
    if is_taken:
        supervisor.tell(READY=1)
        return False
    again.set()
    return True
