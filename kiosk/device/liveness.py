"""Didit's Passive Liveness, answered: one photograph judged by the network alone, and compared with the blocklist.

Weaker than a presentation at the door, as nothing in one photograph moves or answers. What the network cannot judge
is declined with a score of 0 and an additional reason; it is never approved unseen.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from kiosk.device.device import Device, Found
from kiosk.didit import contract
from kiosk.recognition import quality
from kiosk.recognition.cues import CueLimits, SpoofNetwork
from kiosk.recognition.judgement import Verdict
from kiosk.recognition.liveness_photo import PhotographJudgement, judge_photograph
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.types import LogType, Risk, Sample, Status, Template, Warned

DEFAULT_THRESHOLD = 30.0
LUMA_HIGH = 255.0


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """What was seen of a photograph, and what speaks against a person having stood before the camera."""

    sample: Sample
    score: float  # 0..100; 0 where nothing was judged
    warnings: tuple[Warned, ...]
    threshold: float  # score up to which it is declined
    quality: float | None = None  # 0..100 as luminance; None without a face
    luminance: float | None = None


def look_at(
    device: Device,
    network: SpoofNetwork,
    limits: CueLimits,
    photograph: bytes,
    *,
    threshold: float | None = None,
    rotate: bool = False,
    vendor_data: str | None = None,
) -> Looked:
    """Judge a photograph; arguments and errors are those of `answer_liveness`."""
    decline = DEFAULT_THRESHOLD if threshold is None else threshold
    recogniser, image = device.recogniser, device.decoder(photograph)
    faces, angle = recogniser.find_upright(image) if rotate else (recogniser.detect(image), 0)
    upright = recogniser.turn(image, angle)
    exact = [recogniser.sharpen(upright, face) for face in faces]
    template = recogniser.extract(upright, exact[0]) if exact else None
    sample = Sample(tuple(recogniser.entity(upright, face) for face in exact), angle, template)
    if template is None:
        return Looked(sample, 0.0, (Warned(Risk.NO_FACE_DETECTED, LogType.ERROR),), decline)
    judged = judge_photograph(upright, faces[0], network, limits)
    warnings = [*_warnings(judged, decline), *_screen(device, template, vendor_data)]
    if len(exact) > 1:
        warnings.append(Warned(Risk.MULTIPLE_FACES_DETECTED, LogType.WARNING))
    return Looked(
        sample,
        judged.score,
        tuple(warnings),
        decline,
        quality=None if template.quality is None else round(template.quality, 1),
        luminance=round(100.0 * quality.measure(upright, exact[0]).luminance / LUMA_HIGH, 1),
    )


def answer_liveness(
    device: Device,
    network: SpoofNetwork,
    limits: CueLimits,
    photograph: bytes,
    *,
    threshold: float | None = None,
    rotate: bool = False,
    save: bool = True,
    vendor_data: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    photographs: Mapping[str, bytes] = MappingProxyType({}),
    actor: str = "",
) -> dict[str, Any]:
    """Judge a photograph; return the answer of Didit's Passive Liveness, once it is saved where it is to be.

    Args:
        device: recogniser, gallery and log.
        network: tells pictures of faces from faces.
        limits: its operating point.
        photograph: JPEG, PNG, WebP or TIFF.
        threshold: score up to which it is declined, 0..100; None for Didit's 30.
        rotate: try quarter turns.
        save: keep decision and answer; the blocklist is searched in any case.
        vendor_data: the caller's identifier; faces enrolled with it are not compared with the photograph.
        metadata: given back.
        photographs: as `Device.save` takes them.
        actor: who asks, for the log.

    Raises:
        ImageError: it is no picture we take.
        ModelFileError: the networks failed.
    """
    seen = look_at(device, network, limits, photograph, threshold=threshold, rotate=rotate, vendor_data=vendor_data)
    request_id = str(uuid.uuid4())
    status, answer = liveness_answer(
        seen,
        request_id=request_id,
        created_at=device.now(),
        vendor_data=vendor_data,
        metadata=metadata,
        device={"model": network.model},
    )
    if save:
        decision = NewDecision(
            kind=Kind.PASSIVE_LIVENESS,
            status=status.value,
            score=seen.score,
            warnings=tuple(one.risk.value for one in seen.warnings),
            thresholds={"decline": seen.threshold},
            model=network.model,
            vendor_data=vendor_data,
            answer=answer,
            request_id=request_id,
            actor=actor,
        )
        device.save(decision, photographs)
    return answer


def liveness_answer(
    seen: Looked, *, request_id: str, created_at: float, **echoed: Any
) -> tuple[Status, dict[str, Any]]:
    """Judge what was seen; return status and the answer; arguments as the contract's."""
    is_declined = any(one.log_type is LogType.ERROR for one in seen.warnings)
    status = Status.DECLINED if is_declined else Status.APPROVED
    seen_so = {"quality": seen.quality, "luminance": seen.luminance}
    told = {"request_id": request_id, "created_at": created_at, **seen_so, **echoed}
    return status, contract.liveness_answer(status, seen.score, seen.sample, seen.warnings, **told)


def _warnings(judged: PhotographJudgement, decline: float) -> list[Warned]:
    if judged.verdict is Verdict.UNDETERMINED:
        reason = judged.reason.value if judged.reason is not None else judged.verdict.value
        return [Warned(Risk.LOW_LIVENESS_SCORE, LogType.ERROR, MappingProxyType({"reason": reason}))]
    found = []
    if not judged.score > decline:
        found.append(Warned(Risk.LOW_LIVENESS_SCORE, LogType.ERROR))
    if judged.verdict is Verdict.ATTACK:
        found.append(Warned(Risk.LIVENESS_FACE_ATTACK, LogType.ERROR))
    return found


def _screen(device: Device, template: Template, vendor_data: str | None) -> list[Warned]:
    """Say whom the face looks like, leaving out who is known by the caller's own identifier."""
    block_at, _ = device.thresholds(device.gallery.references)

    def is_another(one: Found) -> bool:
        subject = device.store.people.subject(one.subject)
        return vendor_data is None or subject is None or subject.details.vendor_data != vendor_data

    blocked = device.find(template, search_type="blocklisted_or_approved", whatever_dates=True)
    if any(one.is_blocklisted and one.similarity >= block_at and is_another(one) for one in blocked):
        return [Warned(Risk.FACE_IN_BLOCKLIST, LogType.ERROR)]
    alike = device.find(template, whatever_dates=True)
    if any(not one.is_blocklisted and is_another(one) for one in alike):
        return [Warned(Risk.DUPLICATED_FACE, LogType.INFORMATION)]
    return []
