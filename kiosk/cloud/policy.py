"""What of a decision is to leave the device, by settings and consent: rows for the outbox, and when to ask the cloud.

Under default settings nothing. A summary holds status, score and ids. A replay holds the call and its photographs, and
only where there is consent: at a door the person the decision is about, by the consent text they agreed to; in an API
call whoever made it, by its metadata, unless the owner holds the consents. A call with save_api_request=false leaves
no decision, and so nothing here either.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kiosk.cloud.acts import block_row, review_row
from kiosk.device.outgoing import Ask
from kiosk.didit.answers import Opinion, Service
from kiosk.didit.contract import SENTENCES, timestamp
from kiosk.didit.webhooks import envelope
from kiosk.errors import StoreError
from kiosk.settings.network import CloudSettings
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, LoggedDecision, NewDecision
from kiosk.store.outbox import Message
from kiosk.store.store import Store
from kiosk.store.subjects import Subject
from kiosk.types import LogType, Origin, Risk, Status

DOOR = "door"  # the entrance's word in the log: no caller speaks for the person who stands there
SERVICE_BY_KIND = {
    Kind.FACE_MATCH: Service.FACE_MATCH,
    Kind.VERIFY: Service.FACE_MATCH,
    Kind.FACE_SEARCH: Service.FACE_SEARCH,
    Kind.IDENTIFY: Service.FACE_SEARCH,
}
PREFIX = "kiosk:"  # of a vendor_data that the replay of a call without one is found by
MEGABYTE = 1_000_000


class Policy:
    """The device's `Outgoing`. Safe in several threads."""

    def __init__(self, store: Store, settings: CloudSettings, *, now: Callable[[], float]) -> None:
        """Take the store, [cloud] and the clock, s UTC."""
        self._store, self._settings, self._now = store, settings, now
        self._ask: Ask | None = None  # within its time; there while something runs that can
        self._wake: Callable[[], None] = lambda: None  # when rows were stored

    def connect(self, wake: Callable[[], None], ask: Ask | None) -> None:
        """Have `wake` called when rows were stored, and `ask` when the cloud is asked; None: it is not."""
        self._wake, self._ask = wake, ask

    # ---- the outbox

    def wants_photographs(self, decision: NewDecision) -> bool:
        """Say whether the photographs are worth making for this decision."""
        service = SERVICE_BY_KIND.get(decision.kind)
        is_wanted = service is not None and bool(self._replays(decision) or self._is_open(decision))
        return is_wanted and self.consents(decision)

    def __call__(self, decision: NewDecision, photographs: Mapping[str, bytes]) -> Sequence[Message]:
        """Return the rows that are stored with a decision."""
        rows = []
        if self._settings.policy == "summary":
            rows.append(self._summary(decision))
        of = decision.details.get("of")
        if decision.kind is Kind.REVIEW and of is not None:
            rows += review_row(self._store, self._settings, decision, self._first(str(of)))
        service = SERVICE_BY_KIND.get(decision.kind)
        if service is not None and self._replays(decision) and self.consents(decision):
            images = self._images(service, decision, photographs)
            if images is not None:
                rows.append(self._replay(service, decision, images))
        return rows

    def about_block(self, subject: Subject) -> Sequence[Message]:
        """Return the rows that are stored when a person is blocked here."""
        return block_row(self._store, self._settings, subject)

    def stored(self) -> None:
        """Wake whoever sends."""
        self._wake()

    def _replays(self, decision: NewDecision) -> str | None:
        """Return under which policy a decision is sent to Didit, if it is."""
        if decision.origin.is_cloud:
            return None  # it is there already
        if self._settings.policy == "replay":
            return "replay"
        is_open = decision.status == Status.IN_REVIEW.value and SERVICE_BY_KIND.get(decision.kind) is Service.FACE_MATCH
        return "opinion" if self._settings.second_opinion and is_open else None

    def _images(
        self, service: Service, decision: NewDecision, photographs: Mapping[str, bytes]
    ) -> dict[str, bytes] | None:
        """Return what the call needs, and nothing else; None where something is missing."""
        names = ("user_image", "ref_image") if service is Service.FACE_MATCH else ("user_image",)
        images = {name: photographs[name] for name in names if name in photographs}
        if "ref_image" in names and "ref_image" not in images and decision.kind is Kind.VERIFY:
            kept = self._store.people.images(decision.session_number) if decision.session_number is not None else ()
            images |= {"ref_image": kept[0]} if kept else {}
        return images if len(images) == len(names) else None

    def _replay(self, service: Service, decision: NewDecision, images: Mapping[str, bytes]) -> Message:
        policy = self._replays(decision) or "replay"
        new_bytes = sum(map(len, images.values()))
        is_full = self._store.outbox.photograph_bytes() + new_bytes > self._settings.outbox_mb * MEGABYTE
        return Message(
            policy,
            {
                "service": service.value,
                "fields": call_fields(decision, self._store.identity, self._now()),
                "status": decision.status,
            },
            photographs={} if is_full else images,
            person=_person(decision),
            may_have_arrived=decision.origin is Origin.DEVICE_ASKED,
            parked="no room for its photographs; see [cloud] outbox_mb" if is_full else None,
        )

    def _summary(self, decision: NewDecision) -> Message:
        """Return a webhook in Didit's envelope; beside its fields stand those that older releases sent."""
        request_id, of = str(decision.request_id or uuid.uuid4()), decision.details.get("of")
        first = None if of is None else self._first(str(of))
        kind = decision.kind if first is None else first.entry.kind
        score = decision.score if first is None or decision.score is not None else first.entry.score
        answer = (decision if first is None else first).answer or {}
        metadata = answer.get("metadata")
        body = envelope(
            event_id=request_id,
            session_id=str(of or request_id),
            status=decision.status,
            created_at=self._now(),
            application_id=self._store.identity,
            vendor_data=decision.vendor_data,
            metadata=metadata if isinstance(metadata, Mapping) else None,
            decision=_summarised(kind, decision, score, answer),
            workflow_id=_workflow(decision.details) or (None if first is None else _workflow(first.entry.details)),
        )
        more = {
            "event": "decision",
            "device": self._store.identity,
            "request_id": request_id,
            "kind": decision.kind.value,
            "score": decision.score,
            "session_number": decision.session_number,
            "warnings": list(decision.warnings),
            "of": of,
        }
        return Message("summary", {**body, **more}, person=_person(decision))

    def _first(self, request_id: str) -> LoggedDecision | None:
        found = self._store.log.page(DecisionFilter(kinds=(), request_id=request_id), limit=1, offset=0).decisions
        return found[0] if found else None

    def with_summary(self, revision: NewDecision) -> NewDecision:
        """Return a revision with its summary, where summaries are sent."""
        if self._settings.policy != "summary":
            return revision
        named = replace(revision, request_id=revision.request_id or str(uuid.uuid4()))
        return replace(named, outbox=(self._summary(named),))

    # ---- consent

    def consents(self, decision: NewDecision) -> bool:
        """Say whether the photographs of a decision may leave."""
        if decision.kind in {Kind.IDENTIFY, Kind.VERIFY} or decision.actor == DOOR:
            number = decision.session_number
            try:
                subject = self._store.people.subject(number) if number is not None else None
            except StoreError:  # damaged: whoever it is cannot be asked
                return False
            return subject is not None and self.consents_for(subject)
        if self._settings.api_consent == "owner":
            return True
        metadata = (decision.answer or {}).get("metadata")
        return isinstance(metadata, Mapping) and metadata.get("consent") is True

    def consents_for(self, subject: Subject) -> bool:
        """Say whether a person agreed to photographs going to Didit: whether the text they agreed to says so."""
        return subject.details.consent_version in self._settings.consent_versions

    # ---- asking at once

    def asks(self, decision: NewDecision) -> bool:
        """Say whether `second` would ask the cloud about this decision."""
        return self._is_open(decision) and self.consents(decision)

    def _is_open(self, decision: NewDecision) -> bool:
        """Say whether the cloud is to be asked: nothing judged here, a match in review, a search that found nobody."""
        if self._ask is None or not self._settings.fallback:
            return False
        if decision.origin is Origin.NOBODY:
            return True
        if SERVICE_BY_KIND.get(decision.kind) is Service.FACE_MATCH:
            return decision.status == Status.IN_REVIEW.value
        return decision.kind is Kind.FACE_SEARCH and decision.session_number is None and not decision.warnings

    def second(self, decision: NewDecision, photographs: Mapping[str, bytes]) -> NewDecision:
        """Return an API's decision, or the cloud's in its place where the device cannot judge and all allow it.

        No answer leaves the device's decision as it is, marked as asked: nothing is approved by silence.
        """
        service = SERVICE_BY_KIND.get(decision.kind)
        if service is None or not self.asks(decision) or self._ask is None:
            return decision
        images = self._images(service, decision, photographs)
        if images is None:
            return decision
        opinion = self._ask(decision, images)
        if opinion is None:
            return decision if decision.origin is Origin.NOBODY else replace(decision, origin=Origin.DEVICE_ASKED)
        return decided_by_cloud(decision, opinion)


BLOCKS = ("liveness_checks", "face_searches", "id_verifications", "face_matches")
"""Of a session's answer, what a summary has of each step."""


def _summarised(kind: Kind, decision: NewDecision, score: float | None, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the blocks of a decision that a summary has: status, score and warnings, and nobody's face or name."""
    if kind in {Kind.SESSION, Kind.SESSION_STATUS}:
        return {name: [_checked(block) for block in answer[name]] for name in BLOCKS if name in answer}
    warnings = [_warning(risk, Status(decision.status)) for risk in decision.warnings] if decision.warnings else []
    check = {"status": decision.status, "score": score, "warnings": warnings}
    is_match = SERVICE_BY_KIND.get(kind) is Service.FACE_MATCH
    return {"face_matches" if is_match else "liveness_checks": [check]}


def _checked(block: Mapping[str, Any]) -> dict[str, Any]:
    return {name: block[name] for name in ("node_id", "status", "score", "warnings") if name in block}


def _workflow(details: Mapping[str, Any]) -> str | None:
    workflow_id = details.get("workflow_id")
    return None if workflow_id is None else str(workflow_id)


def _person(decision: NewDecision) -> str | None:
    if decision.vendor_data is not None:
        return f"vendor_data {decision.vendor_data}"
    return None if decision.session_number is None else f"subject {decision.session_number}"


def call_fields(decision: NewDecision, device: str, captured_at: float) -> dict[str, str]:
    """Return the fields with which a decision's call is made again in the cloud.

    `vendor_data` is the caller's; where there was none, one by which the call is found again.
    """
    answer = decision.answer or {}
    metadata: dict[str, Any] = {
        "device": device,
        "request_id": decision.request_id,
        "status": decision.status,
        "score": decision.score,
        "captured_at": timestamp(captured_at),
    }
    if answer.get("metadata"):
        metadata["call"] = answer["metadata"]
    fields = {
        "vendor_data": decision.vendor_data or f"{PREFIX}{decision.request_id}",
        "save_api_request": "true",
        "rotate_image": str(_was_turned(answer)).lower(),
        "metadata": json.dumps(metadata, ensure_ascii=False, separators=(",", ":")),
    }
    if SERVICE_BY_KIND[decision.kind] is Service.FACE_MATCH:
        threshold = decision.thresholds.get("decline", decision.thresholds.get("verify"))
        if threshold is not None:
            fields["face_match_score_decline_threshold"] = f"{threshold:g}"
    return {**fields, **decision.call}


def _was_turned(answer: Mapping[str, Any]) -> bool:
    """Say whether a quarter turn was needed to find the face: the cloud needs it then too."""
    for about in answer.values():
        if isinstance(about, Mapping):
            for name in ("user_image", "ref_image"):
                image = about.get(name)
                if isinstance(image, Mapping) and image.get("best_angle"):
                    return True
    return False


def _warning(risk: str, status: Status) -> dict[str, str]:
    known = Risk(risk) if risk in {one.value for one in Risk} else None
    short, long = SENTENCES[known] if known else (risk.replace("_", " ").capitalize(), "Said by the cloud.")
    log_type = LogType.ERROR if status is Status.DECLINED else LogType.WARNING
    return {"risk": risk, "log_type": log_type.value, "short_description": short, "long_description": long}


def decided_by_cloud(decision: NewDecision, opinion: Opinion) -> NewDecision:
    """Return the cloud's decision in the place of the device's, which stays told beside it."""
    answer = json.loads(json.dumps(decision.answer or {}))  # a copy, to its depth
    about = answer.setdefault(opinion.service.value.lower(), {})
    about["status"] = opinion.status.value
    about["warnings"] = [_warning(risk, opinion.status) for risk in opinion.warnings]
    score = opinion.score
    if opinion.service is Service.FACE_MATCH:
        about["score"] = score = None if score is None else int(score)
    else:
        about["matches"] = [match.as_row() for match in opinion.matches]
        about["total_matches"] = len(opinion.matches)
        score = max((match.similarity_percentage for match in opinion.matches), default=None)
    offline = {"status": decision.status, "score": decision.score}
    heard = {"remote_request_id": opinion.request_id, "offline": offline}
    answer["device"] = {**answer.get("device", {}), "decided_by": "cloud", **heard}
    return replace(
        decision,
        status=opinion.status.value,
        score=score,
        warnings=opinion.warnings,
        answer=answer,
        details={**decision.details, **heard},
        origin=Origin.CLOUD_ALONE if decision.origin is Origin.NOBODY else Origin.CLOUD,
    )
