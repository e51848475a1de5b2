"""What operators say: another status for a saved call or an enrolment, where the first one stays; a person blocked."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kiosk.device.device import Device
from kiosk.device.outgoing import NothingLeaves, Outgoing
from kiosk.store.chain import Kind
from kiosk.store.decision_log import LoggedDecision, NewDecision
from kiosk.store.store import Store
from kiosk.store.subjects import Subject
from kiosk.types import Status, SubjectId

RESUBMITTED = "Resubmitted"  # the call is to be made again; said by operators alone
WORDS: Mapping[str, str] = MappingProxyType(
    {Status.APPROVED.value: "approve", Status.DECLINED.value: "decline", RESUBMITTED: "resubmit"}
)
"""What the log calls each new status."""


def review_call(device: Device, first: LoggedDecision, status: str, *, reason: str | None, actor: str) -> None:
    """Give a decision another status; what is to leave the device because of it is stored with it."""
    entry = first.entry
    device.save(
        NewDecision(
            kind=Kind.REVIEW,
            status=status,
            session_number=entry.session_number,
            vendor_data=first.vendor_data,
            details={"of": entry.request_id, "decision": WORDS[status]},
            answer=None if reason is None else {"reason": reason},
            actor=actor,
        )
    )


def block_person(
    store: Store, outgoing: Outgoing | NothingLeaves, number: SubjectId, *, reason: str | None = None, actor: str = ""
) -> Subject:
    """Put a person on the blocklist; what is to leave the device because of it is stored with it.

    Raises:
        StoreError: nobody has this number.
    """
    known = store.people.subject(number)
    rows = () if known is None or known.is_blocklisted else tuple(outgoing.about_block(known))
    subject = store.people.block(number, reason=reason, messages=rows, actor=actor)
    if rows:
        outgoing.stored()
    return subject


def review_person(device: Device, subject: Subject, status: Status, *, reason: str | None, actor: str) -> None:
    """Give an enrolment another status, in one transaction with the review's record."""
    review = NewDecision(
        kind=Kind.REVIEW,
        status=status.value,
        session_number=subject.session_number,
        subjects=(subject.session_number,),
        details={"of": subject.session_id, "decision": WORDS[status.value]},
        answer=None if reason is None else {"reason": reason},
        actor=actor,
    )
    device.store.review_person(subject.session_number, status, review)
