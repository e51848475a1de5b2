"""The local HTTP API: which routes there are, and what they are made from.

    uvicorn ─▶ Gate ─▶ router ─▶ Endpoint ─▶ an operation ─▶ device, running kiosk, store
    server.py   gate.py           gate.py       routes/

A route's operation says who may call it and what it answers; the gate holds it to the first, a test to the second.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from kiosk.api import openapi
from kiosk.api.access import Access
from kiosk.api.context import Cloud, Context, Fleet, nothing
from kiosk.api.expiry import Expiry
from kiosk.api.gate import Endpoint, Gate, lost
from kiosk.api.operation import Operation
from kiosk.api.routes import (
    acceptance,
    considered,
    decisions,
    door,
    enrol,
    events,
    exports,
    factors,
    fleet,
    health,
    imports,
    keys,
    media,
    operators,
    pages,
    passages,
    passes,
    people,
    session,
    settings,
    setup,
    statistics,
)
from kiosk.api.routes.v3 import blocklist, didit, documents, sessions, verification, workflow_sessions
from kiosk.api.server import Server, check_exposure
from kiosk.device.device import Device
from kiosk.device.passes.keys import DeviceKeys, PassKeys
from kiosk.device.sessions.documents import DocumentReader
from kiosk.entrance.liveness_step import Detector
from kiosk.entrance.news import RunningKiosk
from kiosk.evaluation.acceptance.wizard import Watch, Wizard
from kiosk.settings.config import Config, Sources
from kiosk.store.accounts import Accounts

_SERVED: tuple[Operation, ...] = (
    *didit.OPERATIONS,
    *documents.OPERATIONS,
    *sessions.OPERATIONS,
    *workflow_sessions.OPERATIONS,
    *verification.OPERATIONS,
    *blocklist.OPERATIONS,
    *session.OPERATIONS,
    *setup.OPERATIONS,
    *health.OPERATIONS,
    *people.OPERATIONS,
    *exports.OPERATIONS,
    *factors.OPERATIONS,
    *enrol.OPERATIONS,
    *imports.OPERATIONS,
    *decisions.OPERATIONS,
    *considered.OPERATIONS,
    *statistics.OPERATIONS,
    *door.OPERATIONS,
    *passages.OPERATIONS,
    *passes.OPERATIONS,
    *events.OPERATIONS,
    *fleet.OPERATIONS,
    *settings.OPERATIONS,
    *keys.OPERATIONS,
    *operators.OPERATIONS,
    *acceptance.OPERATIONS,
    *media.OPERATIONS,
    *pages.OPERATIONS,
)
OPERATIONS: tuple[Operation, ...] = (*_SERVED, openapi.operation(_SERVED))


@dataclass(slots=True)
class Application:
    """The API as an ASGI application; `close` ends its threads and streams."""

    context: Context
    gate: Gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        await self.gate(scope, receive, send)

    def close(self) -> None:
        """End threads and streams; what waits for the recogniser is dropped."""
        self.context.close()


def build(
    device: Device,
    *,
    accounts: Accounts | None = None,
    kiosk: RunningKiosk | None = None,
    cloud: Cloud | None = None,
    fleet: Fleet | None = None,
    detector: Detector | None = None,
    read_document: DocumentReader | None = None,
    pass_keys: PassKeys | None = None,
    sources: Sources | None = None,
    apply: Callable[[Config], None] | None = None,
    changing: threading.Lock | None = None,
    forgotten: Callable[[], None] = nothing,
    confirm_clock: Callable[[str], float] | None = None,
    screen_token: str | None = None,
    now: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    scale_measured: Mapping[str, Any] | None = None,
) -> Application:
    """Put the API together.

    Args:
        device: recogniser, store and settings.
        accounts: who may call; None: whom the store knows.
        kiosk: the running kiosk; None: the routes of door, camera and enrolment answer 409.
        cloud: what tells of the cloud's work; None: /device/cloud answers 404.
        fleet: what tells of the fleet; None: this kiosk belongs to none, and /device/fleet answers 404.
        detector: tells photographs from people; None: /v3/passive-liveness/ answers 503.
        read_document: reads documents for sessions; None: there are no sessions with a document.
        pass_keys: by which visitor passes are issued; None: the device's own.
        sources: where settings come from; None: they can be read, not changed.
        apply: puts changed settings into force, or refuses them with a ConfigError; None: they become the device's.
        changing: held while settings are changed; None: nobody else changes them.
        forgotten: called after a person was erased, to take them out of the backups.
        confirm_clock: takes a caller's word that the clock is right, given their id; None: nobody's is taken.
        screen_token: by which the kiosk's own screen is known; None: it needs a key like everybody else.
        now: seconds UTC.
        monotonic: s; limits are counted with it.
        scale_measured: what the model pack says of how its scale was measured; None: nothing.
    """
    access = Access(accounts or Accounts(device.store, now=now), device.config.api, now=now, monotonic=monotonic)
    context = Context(
        device=device,
        access=access,
        now=now,
        kiosk=kiosk,
        cloud=cloud,
        fleet=fleet,
        wizard=_wizard(device, kiosk, now, scale_measured or {}),
        scale_measured=scale_measured or {},
        detector=detector,
        read_document=read_document,
        pass_keys=pass_keys or DeviceKeys(device.store),
        sources=sources,
        apply=apply,
        forgotten=forgotten,
        confirm_clock=confirm_clock,
        changing=changing or threading.Lock(),
        screen_token=screen_token,
        is_secure=bool(device.config.api.tls_certificate),
    )
    context.proofs.resume()
    Expiry(context.sessions, context.closing).start()
    by_path: dict[str, dict[str, Operation]] = defaultdict(dict)
    for operation in OPERATIONS:
        by_path[operation.path][operation.method] = operation
    # What a page needs first: it asks for seventy files, each of which would else be tried against every other path.
    ordered = sorted(by_path.items(), key=lambda one: not one[0].startswith("/web/"))
    routes = [Route(path.rstrip("/") or "/", Endpoint(context, path, methods)) for path, methods in ordered]
    return Application(context, Gate(Router(routes, default=lost, redirect_slashes=False), context))


def _wizard(
    device: Device, kiosk: RunningKiosk | None, now: Callable[[], float], measured: Mapping[str, Any]
) -> Wizard:
    """Return what leads through the acceptance; a running kiosk's presentations are timed."""
    watch = Watch(kiosk.news) if kiosk is not None else None
    return Wizard(device, now=now, watch=watch, holds_from_age=measured.get("holds_from_age"))


__all__ = ["OPERATIONS", "Application", "Server", "build", "check_exposure"]
