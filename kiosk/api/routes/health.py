"""How the kiosk is: for people, for probes, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.responses import PlainTextResponse, Response

from kiosk import __version__
from kiosk.api.metrics import CONTENT_TYPE, gauge
from kiosk.api.operation import Call, Operation, answer
from kiosk.api.schema import ANY_OBJECT, BOOLEAN, STRING, TEXT, TIME, array, closed, named
from kiosk.didit import contract
from kiosk.entrance.news import Health
from kiosk.errors import RefusedError, StoreError
from kiosk.store.accounts import Role

READY = named("Readiness", closed(is_ready=BOOLEAN, reasons=array(STRING)))
HEALTH = named("Health", closed(is_armed=BOOLEAN, mode=STRING, states=array(ANY_OBJECT), figures=ANY_OBJECT))


def figures(call: Call) -> dict[str, Any]:
    """Return what is known without a camera: gallery, outbox, store, models."""
    device = call.context.device
    gallery = device.gallery
    _, listed = device.thresholds(gallery.references)
    return {
        "version": __version__,
        "gallery": {"people": gallery.subjects, **device.gallery_figures(gallery.references, listed)},
        "outbox": {state.value: count for state, count in device.store.outbox.counts().items()},
        "store": {"notices": list(device.store.notices), "bytes": device.store.size_bytes},
        "models": {"recogniser": device.recogniser.model},
        "api": {"waiting": call.context.queue.waiting, "threads": call.context.queue.threads},
    }


def _health(call: Call) -> dict[str, Any]:
    kiosk = call.context.kiosk
    if kiosk is None:
        return Health(is_armed=False, mode="serve", states=(), figures=figures(call)).as_dict()
    told = kiosk.health().as_dict()
    return {**told, "figures": {**figures(call), **told["figures"]}}


async def show_health(call: Call) -> Response:
    """Return the kiosk's health: whether it is armed, what is wrong, and its figures."""
    return answer(await call.run(lambda: _health(call)))


async def check_alive(_: Call) -> Response:
    """Say that the process answers; asks nothing of anybody."""
    return PlainTextResponse("ok\n")


def _reasons(call: Call) -> list[str]:
    """Return why the kiosk does not do its work: none where it does."""
    kiosk = call.context.kiosk
    if kiosk is not None:
        told = kiosk.health()
        return [] if told.is_armed else [state.condition for state in told.states] or ["not_armed"]
    try:
        call.context.device.store.references.version()
    except StoreError:
        return ["store_unreadable"]
    return []


async def check_ready(call: Call) -> Response:
    """Say whether the kiosk is ready, and if not, why."""
    reasons = await call.run(lambda: _reasons(call))
    return answer({"is_ready": not reasons, "reasons": reasons}, 503 if reasons else 200)


async def confirm_clock(call: Call) -> Response:
    """Take an operator's word that the device's clock is right."""
    confirm = call.context.confirm_clock
    if confirm is None:
        raise RefusedError("this kiosk's clock is not confirmed here; `kiosk clock confirm` does it on the device")
    at = await call.run(lambda: confirm(call.actor))
    return answer({"confirmed_at": contract.timestamp(at)})


def _metrics(call: Call) -> Iterable[str]:
    context = call.context
    told = _health(call)
    known = figures(call)
    yield from gauge("kiosk_info", "Version and model.", {__version__: 1}, "version")
    yield from gauge("kiosk_ready", "Whether the kiosk does its work, as /readyz says.", int(not _reasons(call)))
    if context.kiosk is not None:  # `kiosk serve` has no door that could be armed
        yield from gauge("kiosk_armed", "Whether somebody who steps up may be let in.", int(told["is_armed"]))
    if told["states"]:
        states = {state["condition"]: 1 for state in told["states"]}
        yield from gauge("kiosk_degraded", "Degraded states that hold now.", states, "condition")
    yield from gauge("kiosk_gallery_people", "People in the gallery.", known["gallery"]["people"])
    yield from gauge("kiosk_gallery_references", "References in the gallery.", known["gallery"]["gallery_size"])
    expected = known["gallery"]["expected_false_positives"]
    yield from gauge("kiosk_gallery_expected_false_positives", "People a stranger's search lists.", expected)
    yield from gauge("kiosk_outbox_rows", "Rows of the outbox.", known["outbox"], "state")
    yield from gauge("kiosk_store_bytes", "Size of the database.", known["store"]["bytes"])
    yield from gauge("kiosk_recogniser_waiting", "Calls that wait for the recogniser.", context.queue.waiting)
    yield from gauge("kiosk_recogniser_call_seconds", "Mean time of a call of late.", round(context.queue.mean_s, 6))
    yield from gauge("kiosk_upload_bytes", "Memory held by bodies under way.", context.memory.held)
    yield from context.counts.lines()


async def read_metrics(call: Call) -> Response:
    """Return counts and gauges for Prometheus."""
    lines = await call.run(lambda: list(_metrics(call)))
    return Response("\n".join(lines) + "\n", media_type=CONTENT_TYPE)


OPERATIONS = (
    Operation(
        "GET",
        "/device/health",
        show_health,
        "Return the kiosk's health: whether it is armed, what is wrong, and its figures.",
        {200: HEALTH, 503: TEXT},
        role=Role.DEVICE,
    ),
    Operation(
        "POST",
        "/device/clock/confirm",
        confirm_clock,
        "Confirm that the device's clock is right, after it jumped or fell behind the newest record.",
        {200: named("ClockConfirmation", closed(confirmed_at=TIME)), 409: TEXT, 503: TEXT},
        role=Role.OPERATOR,
    ),
    Operation(
        "GET",
        "/healthz",
        check_alive,
        "Say that the process answers.",
        {200: None},
        media_type="text/plain",
        is_limited=False,
    ),
    Operation(
        "GET",
        "/readyz",
        check_ready,
        "Say whether the kiosk is ready, and if not, why.",
        {200: READY, 503: {"anyOf": [READY, TEXT]}},
        is_limited=False,
    ),
    Operation(
        "GET",
        "/metrics",
        read_metrics,
        "Return counts and gauges for Prometheus; this machine needs no key.",
        {200: None, 503: TEXT},
        role=Role.DEVICE,
        is_free_here=True,
        media_type="text/plain",
    ),
)
