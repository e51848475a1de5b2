"""Approved calls that become sessions which later searches find, where `[store] keep_calls` says so.

Didit searches "all previously verified sessions", so its registration recipe enrols nobody: a search that found nobody
is the enrolment. Here it is one too, under the call's own id, with the retention, the sealing and the forgetting of
any other. It lets nobody in at a door: whoever holds a device's key could otherwise give themselves a face that opens.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kiosk.device.device import Device
from kiosk.device.enrol import one_at_a_time
from kiosk.recognition.quality import objection_to
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.open_sessions.sessions import Change
from kiosk.store.subjects import SESSION, Details, Enrolment
from kiosk.types import Sample, Status, Template

KINDS = (Kind.FACE_SEARCH, Kind.FACE_MATCH, Kind.SESSION)  # no liveness: the recipe's search after it finds the caller


def save_call(device: Device, decision: NewDecision, user: Sample, photographs: Mapping[str, bytes]) -> None:
    """Save a call's decision, and with it the session that it becomes, in one transaction.

    It becomes none unless it was approved here, its photograph shows one face that the model knows well enough, and
    nobody who looks so is enrolled or blocked.

    Args:
        device: whose settings, gallery and store.
        decision: on the call.
        user: of the call's user_image.
        photographs: as `Device.save` takes them.
    """
    template = user.template if len(user.entities) == 1 else None
    save_known(device, decision, template, Details(vendor_data=decision.vendor_data), photographs)


def save_known(
    device: Device,
    decision: NewDecision,
    template: Template | None,
    details: Details,
    photographs: Mapping[str, bytes] = MappingProxyType({}),
    *,
    change: Change | None = None,
) -> None:
    """Do what `save_call` does for one face, whose details are known; `change` as `Device.save` takes it."""
    is_approved = decision.status == Status.APPROVED.value and not decision.origin.is_cloud
    is_kept = device.config.store.keep_calls and decision.kind in KINDS and is_approved
    if not is_kept or template is None or objection_to(template):
        device.save(decision, photographs, change=change)
        return
    images = (photographs["user_image"],) if device.config.store.keep_images and "user_image" in photographs else ()
    session = Enrolment(
        [template],
        details,
        images=images,
        source=SESSION,
        session_id=decision.request_id,
    )
    with one_at_a_time(device):  # two calls with one face at once would not see each other
        is_known = bool(device.find(template, whatever_dates=True))
        device.save(decision, photographs, session=None if is_known else session, change=change)
