"""Calls that the networks here cannot judge: answered by the cloud where settings and consent allow it, or not."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from kiosk.device.device import Device
from kiosk.didit import contract
from kiosk.recognition.match import MatchDecision, SearchDecision
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.types import Origin, Sample, Status


def defer(
    device: Device,
    kind: Kind,
    photographs: Mapping[str, bytes],
    *,
    thresholds: Mapping[str, float] = MappingProxyType({}),
    fields: Mapping[str, str],
    vendor_data: str | None,
    metadata: Mapping[str, Any] | None,
    actor: str,
    now: float,
) -> dict[str, Any] | None:
    """Have a call answered elsewhere that the networks here cannot judge; None where that may or can not be.

    Args:
        device: whose networks failed.
        kind: FACE_MATCH or FACE_SEARCH.
        photographs: as `save` takes them.
        thresholds: of the call, as the decision will have them.
        fields: of the call, as Didit writes them.
        vendor_data: echoed.
        metadata: echoed; consent is read from it.
        actor: who asks, for the log.
        now: seconds UTC.
    """
    request_id, nothing = str(uuid.uuid4()), Sample((), 0, None)
    told: dict[str, Any] = {
        "request_id": request_id,
        "created_at": now,
        "vendor_data": vendor_data,
        "metadata": metadata,
    }
    if kind is Kind.FACE_MATCH:
        unjudged = MatchDecision(Status.DECLINED, None, ())
        answer = contract.match_answer(unjudged, nothing, nothing, **told)
    else:
        answer = contract.search_answer(SearchDecision(Status.DECLINED, ()), nothing, (), **told)
    decision = NewDecision(
        kind=kind,
        status="",  # none was taken here
        thresholds=thresholds,
        vendor_data=vendor_data,
        answer=answer,
        origin=Origin.NOBODY,
        request_id=request_id,
        actor=actor,
        call=fields,
    )
    final = device.outgoing.second(decision, photographs)
    if not final.origin.is_cloud:
        return None
    device.save(final)
    return dict(final.answer or {})
