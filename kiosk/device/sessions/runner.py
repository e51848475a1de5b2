"""Sessions, made and taken: each act reads the session, does one step, and writes it over the version it read.

A session ends by itself as soon as its result is known: declined by the first step that has no attempt left, else by
what all steps add up to. Its record, its webhook and what is left of it are one transaction. Whatever fails on the
way, a network, the disk or the time, leaves it open; an open session approves nothing, and expires.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kiosk.device.age import DEFAULT_AGE, age_answer
from kiosk.device.call_sessions import save_known
from kiosk.device.calls import answer_match, answer_search
from kiosk.device.device import Device
from kiosk.device.liveness import liveness_answer, look_at
from kiosk.device.sessions import report
from kiosk.device.sessions.content import Asked, Content, over, packed, unpacked
from kiosk.device.sessions.documents import NO_READER, UNREAD, DocumentReader
from kiosk.errors import RefusedError
from kiosk.recognition.cues import CueLimits, SpoofNetwork
from kiosk.rules.workflow import OF_FACE, OF_SELFIE, Picture, SessionStatus, Step, outcome
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.open_sessions.sessions import OpenSession
from kiosk.types import Risk, Sample, Status

TOKEN_BYTES = 32
FINAL = frozenset({Risk.FACE_IN_BLOCKLIST.value})  # nobody is asked again for another photograph
OVER = "This session is over."
NO_WORKFLOW = "There is no such workflow here; [sessions] workflows in the settings names them."


class Sessions:
    """The sessions of a device. Safe in several threads."""

    def __init__(
        self,
        device: Device,
        *,
        network: Callable[[], SpoofNetwork],
        limits: Callable[[], CueLimits],
        read_document: DocumentReader | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            device: whose store, gallery and settings.
            network: gives the network that tells pictures from faces, or raises a `ModelFileError`.
            limits: gives its operating point.
            read_document: reads documents; None: no session with such a step can be made.
        """
        self._device, self._network, self._limits = device, network, limits
        self._read_document = read_document

    @property
    def _store(self) -> Any:
        return self._device.store.sessions

    # ---- by whoever makes them

    def obstacle(self, workflow_id: str) -> str | None:
        """Return why no session of a workflow can be made here; None where one can."""
        workflow = self._device.config.sessions.by_id.get(workflow_id)
        if workflow is None:
            return NO_WORKFLOW
        if Step.ID_VERIFICATION in workflow.steps and self._read_document is None:
            return NO_READER
        return None

    def create(self, asked: Asked, portrait: Sample | None, *, actor: str) -> tuple[OpenSession, str]:
        """Make a session; return it and the token of its link.

        Raises:
            RefusedError: too many wait already.
        """
        settings = self._device.config.sessions
        self.expire()
        if self._store.count() >= settings.most_open:
            raise RefusedError("too many sessions wait for their person; see [sessions] most_open")
        now = self._device.now()
        token = secrets.token_urlsafe(TOKEN_BYTES)
        content = Content(asked, created_at=now, actor=actor, portrait=portrait)
        session = OpenSession(str(uuid.uuid4()), now + settings.valid_h * 3600.0, packed(content))
        self._note(session, content, self._store.inserting(session, token))
        return self._again(session), token

    def expire(self) -> None:
        """End the sessions whose time has passed, and delete what those that ended have left."""
        store = self._store
        for session in store.overdue(self._device.now()):
            content = unpacked(session)
            entry = self._decision(session, content, SessionStatus.EXPIRED)
            self._device.save(entry, change=store.deleting(session))
        self._device.store.tidy_sessions()

    # ---- by their person

    def find(self, token: str) -> OpenSession | None:
        """Return the session of a link, while the link can be used."""
        session: OpenSession | None = self._store.by_token(token)
        if session is None or session.expires_at <= self._device.now():
            return None
        return session

    def begin(self, session: OpenSession) -> OpenSession:
        """Note that the person agreed and begins; again changes nothing."""
        content = self._open(session)
        if content.status is not SessionStatus.NOT_STARTED:
            return session
        begun = replace(content, status=SessionStatus.IN_PROGRESS)
        self._note(session, begun, self._store.replacing(self._with(session, begun)))
        return self._again(session)

    def take_selfie(self, session: OpenSession, photograph: bytes) -> OpenSession:
        """Judge a person's photograph of themselves, and whatever follows from it.

        Raises:
            ImageError: it is no picture we take; it counts as no attempt.
            ModelFileError: the networks failed; nothing changes.
            RefusedError: another picture is next.
        """
        content = self._counted(session, Picture.SELFIE)
        asked, device = content.asked, self._device
        network = self._network()
        seen = look_at(device, network, self._limits(), photograph, rotate=False, vendor_data=asked.vendor_data)
        told: dict[str, Any] = {"request_id": session.session_id, "created_at": device.now()}
        blocks: dict[str, Mapping[str, Any]] = {}
        if Step.LIVENESS in asked.steps:
            blocks[Step.LIVENESS.value] = liveness_answer(seen, **told)[1]["liveness"]
        if Step.AGE_ESTIMATION in asked.steps:
            blocks[Step.AGE_ESTIMATION.value] = age_answer(seen, DEFAULT_AGE, **told)[2]["age_estimation"]
        content = replace(content.with_results(**blocks), face=seen.sample)
        return self._go_on(session, content, Picture.SELFIE, OF_SELFIE)

    def take_document(self, session: OpenSession, front: bytes, back: bytes | None) -> OpenSession:
        """Read a document, and whatever follows from it; raises as `take_selfie` does."""
        content = self._counted(session, Picture.DOCUMENT)
        if self._read_document is None:
            raise RefusedError(NO_READER)
        document = self._read_document(front, back)
        block = dict(UNREAD if document is None else document.answer)
        block = {name: None if name.endswith("_image") else value for name, value in block.items()}  # none is kept
        portrait = None
        if document is not None and document.portrait is not None:
            portrait = self._device.analyse(document.portrait, rotate=True)
        content = replace(content.with_results(id_verification=block), portrait=portrait)
        return self._go_on(session, content, Picture.DOCUMENT, (Step.ID_VERIFICATION,))

    # ---- one step after the other

    def _go_on(self, session: OpenSession, content: Content, picture: Picture, steps: tuple[Step, ...]) -> OpenSession:
        """Ask again where a step was declined and may be tried again; else take the steps without a picture."""
        taken = {step: content.results[step] for step in steps if step in content.results}
        found = report.risks(taken)
        is_declined = any(block.get("status") == Status.DECLINED.value for block in taken.values())
        may_try_again = content.attempts[picture] < self._device.config.sessions.attempts and not FINAL & set(found)
        if is_declined and may_try_again:
            kept = {step: block for step, block in content.results.items() if step not in taken}
            reason = found[0] if found else Risk.LOW_LIVENESS_SCORE.value
            again = replace(content, results=kept, reason=reason)
            is_selfie = picture is Picture.SELFIE
            again = replace(again, face=None) if is_selfie else replace(again, portrait=None)
            return self._write(session, again)
        content = replace(content, reason=None)
        if outcome(content.asked.steps, content.statuses()) is None and content.next_picture is not None:
            early = self._compared(content, last=False)
            status = outcome(content.asked.steps, early.statuses())
            if status is None:
                return self._write(session, content)
            return self._end(session, early, status)
        content = self._compared(content, last=True)
        status = outcome(content.asked.steps, content.statuses())
        if status is None:  # cannot be, as every step was taken; and if it is, nothing is approved
            raise RefusedError("a step of the session has no result")
        if status is SessionStatus.APPROVED and report.differs(content):
            status = SessionStatus.IN_REVIEW
        return self._end(session, content, status)

    def _compared(self, content: Content, *, last: bool) -> Content:
        """Return a session with the results of the steps that need no picture of their own.

        Before the last picture these are looked at for what declines, and not kept: an open session holds nothing about
        anybody but its person. At the end they are made anew, of the gallery of then.
        """
        face, steps = content.face, content.asked.steps
        if face is None or outcome(steps, content.statuses()) is SessionStatus.DECLINED:
            return content
        results: dict[str, Mapping[str, Any]] = {}
        if Step.FACE_SEARCH in steps:
            found = answer_search(self._device, face, save=False)["face_search"]
            results[Step.FACE_SEARCH.value] = found
        if Step.FACE_MATCH in steps and (last or content.portrait is not None):
            nothing = Sample((), 0, None)
            match = answer_match(self._device, face, content.portrait or nothing, save=False)
            results[Step.FACE_MATCH.value] = match["face_match"]
        return content.with_results(**results)

    def _end(self, session: OpenSession, content: Content, status: SessionStatus) -> OpenSession:
        """Save the result, and with it whom the session makes known where the settings say so."""
        left = self._with(session, over(content, status))
        change = self._store.replacing(replace(left, is_over=True))
        entry = self._decision(session, content, status)
        face = content.face
        template = face.template if face is not None and len(face.entities) == 1 else None
        save_known(self._device, entry, template, report.details(content), change=change)
        self._device.store.tidy_sessions()
        return self._again(session)

    def _decision(self, session: OpenSession, content: Content, status: SessionStatus) -> NewDecision:
        found = content.results.get(Step.FACE_SEARCH, {}).get("matches", ())
        compared = content.results.get(Step.FACE_MATCH) or content.results.get(Step.LIVENESS) or {}
        warnings = report.risks(content.results)
        return NewDecision(
            kind=Kind.SESSION,
            status=status.value,
            score=compared.get("score"),
            warnings=(*warnings, report.MISMATCH["risk"]) if report.differs(content) else warnings,
            model=self._device.recogniser.model,
            subjects=tuple(row["session_number"] for row in found),
            vendor_data=content.asked.vendor_data,
            answer=report.decision(session, content, status),
            details={"opened": session.opened_seq, "workflow_id": content.asked.workflow_id},
            request_id=session.session_id,
            actor=content.actor,
        )

    def _note(self, session: OpenSession, content: Content, change: Any) -> None:
        """Record that a session was made or has begun, for the log and for whoever is told of it."""
        asked = content.asked
        note = NewDecision(
            kind=Kind.SESSION_STATUS,
            status=content.status.value,
            vendor_data=asked.vendor_data,
            answer={"workflow_id": asked.workflow_id, "metadata": asked.metadata},
            details={"of": session.session_id, "workflow_id": asked.workflow_id},
            actor=content.actor,
        )
        self._device.save(note, change=change)

    # ---- small things

    def _open(self, session: OpenSession) -> Content:
        content = unpacked(session)
        if session.is_over or not content.status.is_open:
            raise RefusedError(OVER)
        return content

    def _counted(self, session: OpenSession, picture: Picture) -> Content:
        """Return an open session with one attempt more, whose next picture must be this one, of the model of now."""
        content = self._open(session)
        if content.status is not SessionStatus.IN_PROGRESS:
            raise RefusedError("The session has not begun.")
        template = content.face.template if content.face is not None else None
        if template is not None and template.model != self._device.recogniser.model:  # updated meanwhile
            kept = {step: block for step, block in content.results.items() if step not in (*OF_SELFIE, *OF_FACE)}
            content = replace(content, face=None, results=kept)
        if content.next_picture is not picture:
            raise RefusedError("The session asks for another picture.")
        return replace(content, attempts={**content.attempts, picture: content.attempts.get(picture, 0) + 1})

    @staticmethod
    def _with(session: OpenSession, content: Content) -> OpenSession:
        return replace(session, content=packed(content))

    def _write(self, session: OpenSession, content: Content) -> OpenSession:
        written: OpenSession = self._store.write(self._with(session, content))
        return written

    def _again(self, session: OpenSession) -> OpenSession:
        found: OpenSession | None = self._store.by_id(session.session_id)
        if found is None:
            raise RefusedError(OVER)
        return found
