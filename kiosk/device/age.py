"""Didit's Age Estimation, answered: a photograph judged as Passive Liveness judges it, and the age of its largest face.

The age is a network's guess, see models/README.md: of 100 faces of 13 to 17 years it takes 62 for 18 or more. So
whoever must be sure asks for a higher age than the law's, or for a document. Any warning declines, whatever it weighs
elsewhere.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from kiosk.device.device import Device
from kiosk.device.liveness import Looked, look_at
from kiosk.didit import contract
from kiosk.recognition.cues import CueLimits, SpoofNetwork
from kiosk.recognition.quality import objection_to
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.types import LogType, Risk, Status, Warned

DEFAULT_AGE = 18.0


def answer_age(
    device: Device,
    network: SpoofNetwork,
    limits: CueLimits,
    photograph: bytes,
    *,
    least_age: float | None = None,
    threshold: float | None = None,
    rotate: bool = False,
    save: bool = True,
    vendor_data: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    photographs: Mapping[str, bytes] = MappingProxyType({}),
    actor: str = "",
) -> dict[str, Any]:
    """Estimate an age; return the answer of Didit's Age Estimation, once it is saved where it is to be.

    Args:
        device: recogniser, gallery and log.
        network: tells pictures of faces from faces.
        limits: its operating point.
        photograph: JPEG, PNG, WebP or TIFF.
        least_age: age below which it is declined, 0..100 years; 0 for any, None for Didit's 18.
        threshold: liveness score up to which it is declined, 0..100; None for Didit's 30.
        rotate: try quarter turns.
        save: keep decision and answer.
        vendor_data: the caller's identifier; faces enrolled with it are not compared with the photograph.
        metadata: given back.
        photographs: as `Device.save` takes them.
        actor: who asks, for the log.

    Raises:
        ImageError: it is no picture we take.
        ModelFileError: the networks failed.
    """
    seen = look_at(device, network, limits, photograph, threshold=threshold, rotate=rotate, vendor_data=vendor_data)
    wanted = DEFAULT_AGE if least_age is None else least_age
    request_id = str(uuid.uuid4())
    status, warnings, answer = age_answer(
        seen,
        wanted,
        request_id=request_id,
        created_at=device.now(),
        vendor_data=vendor_data,
        metadata=metadata,
        device={"model": network.model},
    )
    if save:
        decision = NewDecision(
            kind=Kind.AGE_ESTIMATION,
            status=status.value,
            score=seen.score,
            warnings=tuple(one.risk.value for one in warnings),
            thresholds={"decline": seen.threshold, "age": wanted},
            model=network.model,
            vendor_data=vendor_data,
            answer=answer,
            request_id=request_id,
            actor=actor,
        )
        device.save(decision, photographs)
    return answer


def age_answer(
    seen: Looked, least_age: float, *, request_id: str, created_at: float, **echoed: Any
) -> tuple[Status, list[Warned], dict[str, Any]]:
    """Judge the age of whom a photograph shows; return status, warnings and the answer; arguments as the contract's."""
    age = age_of(seen)
    warnings = list(seen.warnings)
    if age is None:
        warnings.append(Warned(Risk.AGE_NOT_DETECTED, LogType.ERROR))
    elif age < least_age:
        warnings.append(Warned(Risk.AGE_BELOW_MINIMUM, LogType.ERROR))
    status = Status.DECLINED if warnings else Status.APPROVED
    told = {"request_id": request_id, "created_at": created_at, **echoed}
    return status, warnings, contract.age_answer(status, seen.score, seen.sample, warnings, age=age, **told)


def age_of(seen: Looked) -> float | None:
    """Return the age of the largest face as it is shown, for the decision is taken on that.

    None where there is no face, or it is too poor to tell anything of it.
    """
    template = seen.sample.template
    if template is None or objection_to(template) is not None:
        return None
    age = seen.sample.entities[0].age
    return round(age, 2) if math.isfinite(age) else None
