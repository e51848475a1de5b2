"""Didit's two calls, answered: Face Match compares two samples, Face Search looks for one among everyone enrolled.

An answer is returned only after the decision it speaks of is on the disk.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from kiosk.device.call_sessions import save_call
from kiosk.device.device import Device, Found
from kiosk.device.review_crops import crops_of_call
from kiosk.didit import contract
from kiosk.recognition.match import compare, decide_search, warn_of_age
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.subjects import Subject
from kiosk.types import Sample, Status


def answer_match(
    device: Device,
    user: Sample,
    reference: Sample,
    *,
    threshold: float | None = None,
    save: bool = True,
    vendor_data: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    photographs: Mapping[str, bytes] = MappingProxyType({}),
    actor: str = "",
    may_become_session: bool = False,
) -> dict[str, Any]:
    """Compare two samples and return the answer of Didit's Face Match; `photographs` as `save` takes them.

    Where `may_become_session`, the setting `[store] keep_calls` says whether later searches find an approved call.
    """
    settings = device.config.match
    decline = settings.decline_threshold if threshold is None else threshold
    review = settings.review_threshold or None
    decision = device.recogniser.match(user, reference, decline_threshold=decline, review_threshold=review)
    decision = warn_of_age(decision, user, reference, age_low=settings.age_low)
    request_id = str(uuid.uuid4())
    answer = contract.match_answer(
        decision,
        user,
        reference,
        request_id=request_id,
        created_at=device.now(),
        vendor_data=vendor_data,
        metadata=metadata,
        device=_about_match(device, user, reference, decline),
    )
    if not save:
        return answer
    return _saved(
        device,
        NewDecision(
            kind=Kind.FACE_MATCH,
            status=decision.status.value,
            score=decision.score,
            warnings=tuple(warned.risk.value for warned in decision.warnings),
            thresholds={"decline": decline} | ({"review": review} if review else {}),
            model=device.recogniser.model,
            vendor_data=vendor_data,
            answer=answer,
            request_id=request_id,
            actor=actor,
        ),
        photographs,
        user if may_become_session else None,
        {"user_image": user, "ref_image": reference},
    )


def answer_search(
    device: Device,
    user: Sample,
    *,
    search_type: str = "most_similar",
    save: bool = True,
    vendor_data: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    photographs: Mapping[str, bytes] = MappingProxyType({}),
    actor: str = "",
    details: Mapping[str, Any] = MappingProxyType({}),
    images: Mapping[str, bytes] = MappingProxyType({}),
    may_become_session: bool = False,
) -> dict[str, Any]:
    """Search everyone enrolled and return the answer of Didit's Face Search; `photographs` as `save` takes them.

    `may_become_session` as in `answer_match`; `images` are kept for its reviewer where it is In Review.
    """
    looked = device.look(user.template, search_type=search_type)
    found, (block_at, list_at) = looked.found, looked.thresholds
    decision = decide_search(
        faces=len(user.entities),
        is_blocklisted=any(one.is_blocklisted and one.similarity >= block_at for one in found),
        is_known=bool(found),
        allow_multiple_faces=device.config.search.allow_multiple_faces,
    )
    if not looked.is_complete and decision.status is not Status.DECLINED:  # whoever was not found may be known
        decision = replace(decision, status=Status.IN_REVIEW)
    shards = {} if looked.shards is None else {"shards": dict(zip(("answered", "of"), looked.shards, strict=True))}
    request_id = str(uuid.uuid4())
    answer = contract.search_answer(
        decision,
        user,
        _rows(device, found),
        request_id=request_id,
        created_at=device.now(),
        vendor_data=vendor_data,
        metadata=metadata,
        device={
            "model": device.recogniser.model,
            **device.gallery_figures(looked.references, list_at),
            **shards,
        },
    )
    if not save:
        return answer
    return _saved(
        device,
        NewDecision(
            kind=Kind.FACE_SEARCH,
            status=decision.status.value,
            score=found[0].similarity if found else None,
            session_number=found[0].subject if found else None,
            warnings=tuple(warned.risk.value for warned in decision.warnings),
            thresholds={"similarity": list_at, "blocklist": block_at},
            model=device.recogniser.model,
            gallery_size=looked.references,
            subjects=tuple(one.subject for one in found),
            vendor_data=vendor_data,
            answer=answer,
            request_id=request_id,
            actor=actor,
            call={"search_type": search_type},
            details={**details, **shards},
            images=images if decision.status is Status.IN_REVIEW else {},
        ),
        photographs,
        user if may_become_session else None,
        {"user_image": user},
    )


def _saved(
    device: Device,
    decision: NewDecision,
    photographs: Mapping[str, bytes],
    user: Sample | None,
    samples: Mapping[str, Sample],
) -> dict[str, Any]:
    """Save the decision on a call, or the second one in its place; return its answer. `user` may become a session."""
    final = device.outgoing.second(decision, photographs)
    final = replace(final, images=crops_of_call(device, final.status, samples, photographs) or final.images)
    if user is None:
        device.save(final, photographs)
    else:
        save_call(device, final, user, photographs)
    return dict(final.answer or {})


def _about_match(device: Device, user: Sample, reference: Sample, decline: float) -> dict[str, Any]:
    about: dict[str, Any] = {"model": device.recogniser.model, "decline_threshold": decline}
    if user.template is not None and reference.template is not None:
        cosine = compare(user.template, reference.template)
        about |= {"cosine": round(cosine, 6), "fmr": float(f"{device.scale.fmr(cosine):.3g}")}
        qualities = user.template.quality, reference.template.quality
        if None not in qualities:  # another pack's model may not tell
            about["face_quality"] = [
                round(one, 1) for one in qualities if one is not None
            ]  # of the user, the reference
    return about


def _rows(device: Device, found: Sequence[Found]) -> list[contract.MatchRow]:
    rows = []
    for one in found:
        subject = device.store.people.subject(one.subject)
        if subject is not None:  # None: forgotten since the search
            rows.append(row_of(subject, one.similarity))
    return rows


def row_of(subject: Subject, similarity: float) -> contract.MatchRow:
    """Return a person as a row of an answer."""
    return contract.MatchRow(
        session_id=subject.session_id,
        session_number=subject.session_number,
        similarity_percentage=similarity,
        verification_date=subject.verification_date,
        status=subject.status.value,
        is_blocklisted=subject.is_blocklisted,
        is_allowlisted=subject.is_allowlisted,
        source=subject.source,
        vendor_data=subject.details.vendor_data,
        name=subject.details.name,
        document_type=subject.details.document_type,
        document_number=subject.details.document_number,
    )
