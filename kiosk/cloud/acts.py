"""What operators did, sent to Didit: the review of a call that is there, and a person blocked here.

Neither is billed. A review is a status that is set, so sending it again changes nothing, and the answer that it is set
already is as good as the first. A block adds an entry to a face list, so it is looked for, by its comment, before it
is sent again; the comment names this kiosk and the person's session_id, and nothing else.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any
from urllib.parse import quote

from kiosk.cloud.client import CallRefusedError, Cloud, NotThereError
from kiosk.cloud.wire import NoAnswerError
from kiosk.didit import answers
from kiosk.errors import CloudError
from kiosk.settings.network import CloudSettings
from kiosk.store.decision_log import LoggedDecision, NewDecision
from kiosk.store.outbox import Message, OutboxRow, OutboxState
from kiosk.store.store import Store
from kiosk.store.subjects import Subject

REVIEW, BLOCK = "review", "block"
POLICIES = (REVIEW, BLOCK)
SAME_STATUS = "same as the current status"  # part of Didit's words
MOST_PAGES = 200  # of a face list
ENTRY_IMAGE = "image"


class Obstacle(str, Enum):
    """Why an act is not sent now."""

    NOT_YET = "its call has not arrived yet"
    NEVER = "its call never arrived"
    UNDONE = "the person is not blocked any more"


def review_row(
    store: Store, settings: CloudSettings, decision: NewDecision, first: LoggedDecision | None
) -> list[Message]:
    """Return the row of a review; none where it is not to be sent, or Didit neither has its call nor will."""
    if not settings.send_reviews or first is None:
        return []
    request_id = first.entry.request_id
    remote = first.entry.details.get("remote_request_id")  # where the cloud decided at once
    found = store.outbox.of_call(request_id)
    if remote is None and (found is None or found[0] in {OutboxState.REJECTED, OutboxState.SUPERSEDED}):
        return []
    reason = (decision.answer or {}).get("reason")
    payload = {"of": request_id, "remote": remote, "status": decision.status, "comment": reason}
    return [Message(REVIEW, payload, person=f"call {request_id}")]


def block_row(store: Store, settings: CloudSettings, subject: Subject) -> list[Message]:
    """Return the row of a block; none where no list is set, or the person did not agree to photographs leaving."""
    is_agreed = subject.details.consent_version in settings.consent_versions
    if not settings.block_list or not is_agreed or subject.source == "list_entry":  # which came from a list
        return []
    kept = store.people.images(subject.session_number)
    comment = f"kiosk:{store.identity}:{subject.session_id}"
    return [
        Message(
            BLOCK,
            {"list": settings.block_list, "subject": subject.session_number, "comment": comment},
            photographs={ENTRY_IMAGE: kept[0]} if kept else {},
            person=f"subject {subject.session_number}",
            parked=None if kept else "no photograph of the person is kept; see [store] keep_images",
        )
    ]


def add_entry(cloud: Cloud, face_list: str, photograph: bytes, comment: str) -> str:
    """Add a face to a list; return the entry's id. Not idempotent: never twice without looking first."""
    content = {"image": base64.b64encode(photograph).decode(), "comment": comment}
    body = cloud.write("POST", f"/v3/lists/{quote(face_list, safe='')}/entries/face-upload/", content)
    return _read(lambda: answers.read_entry_id(body))


def update_status(cloud: Cloud, session: str, status: str, comment: str | None) -> None:
    """Give a session another status; that it has it already is no error.

    Raises:
        NotThereError: there is no such session.
    """
    content = {"new_status": status, **({} if comment is None else {"comment": comment})}
    try:
        body = cloud.write("PATCH", f"/v3/session/{quote(session, safe='')}/update-status/", content, hidden=comment)
    except CallRefusedError as error:
        if SAME_STATUS not in str(error):
            raise
    else:
        _read(lambda: answers.text_of(body, "session_id"))


def _read(read: Callable[[], str]) -> str:
    try:
        return read()
    except CloudError as error:  # an answer of somebody else
        raise NoAnswerError(str(error), may_have_arrived=True) from None


class Acts:
    """Sends rows of reviews and blocks, each when its turn comes."""

    def __init__(self, store: Store, cloud: Cloud) -> None:
        """Take the store and Didit."""
        self._store, self._cloud = store, cloud

    def obstacle(self, row: OutboxRow, payload: Mapping[str, Any]) -> Obstacle | None:
        """Return why a row cannot be sent now; None where it can."""
        if row.policy == BLOCK:
            subject = self._store.people.subject(int(payload["subject"]))
            return None if subject is not None and subject.is_blocklisted else Obstacle.UNDONE
        if payload.get("remote"):
            return None
        found = self._store.outbox.of_call(str(payload["of"]))
        if found is None or found[0] in {OutboxState.REJECTED, OutboxState.SUPERSEDED}:
            return Obstacle.NEVER
        return None if found[1] else Obstacle.NOT_YET

    def find(self, row: OutboxRow, payload: Mapping[str, Any]) -> str | None:
        """Return the entry that a block made already; None where there is none, and for a review."""
        if row.policy == REVIEW:
            return None
        seen = 0
        for _ in range(MOST_PAGES):
            page = self._cloud.entries(str(payload["list"]), seen)
            for entry in page.entries:
                if entry.comment == payload["comment"]:
                    return entry.id
            seen += len(page.entries)
            if not page.entries or seen >= page.count:
                return None
        raise NoAnswerError("the list has no end", may_have_arrived=True)

    def send(self, row: OutboxRow, payload: Mapping[str, Any]) -> str:
        """Send a row; return Didit's id of what it changed.

        Raises:
            CallRefusedError: Didit does not know what it is about, or will never take it.
            CloudError: as `Cloud` has them.
        """
        try:
            if row.policy == BLOCK:
                photographs = self._store.outbox.photographs(row.id)
                if ENTRY_IMAGE not in photographs:
                    raise CallRefusedError("its photograph was not kept")
                return add_entry(self._cloud, str(payload["list"]), photographs[ENTRY_IMAGE], str(payload["comment"]))
            remote = payload.get("remote") or (self._store.outbox.of_call(str(payload["of"])) or (None, None))[1]
            if not remote:
                raise CallRefusedError(Obstacle.NEVER.value)
            update_status(self._cloud, str(remote), str(payload["status"]), payload.get("comment"))
        except NotThereError as error:
            raise CallRefusedError(f"Didit has no such session or list ({error})") from None
        return str(remote)


def wanted(settings: CloudSettings) -> Sequence[str]:
    """Return which of these rows are sent under the settings of now."""
    return [policy for policy, is_on in ((REVIEW, settings.send_reviews), (BLOCK, settings.block_list)) if is_on]
