"""The device as one thing: recogniser, store and gallery, answering Didit's calls and keeping people.

Command line, daemon and API all go through here, so that a decision is taken, saved and worded in one place.
An answer is returned only after the decision it speaks of is on the disk.
"""

from __future__ import annotations

import fcntl
import math
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kiosk.decoding.decoder import Decoder
from kiosk.device.outgoing import NothingLeaves, Outgoing
from kiosk.didit import contract
from kiosk.errors import StoreError
from kiosk.gallery import gallery
from kiosk.gallery.gallery import Gallery, People, Person
from kiosk.gallery.search import Among, Flag, Query
from kiosk.recognition import quality
from kiosk.recognition.embed import fuse
from kiosk.recognition.match import ScoreScale, compare, decide_search
from kiosk.recognition.photo import as_jpeg
from kiosk.recognition.photo_kinds import is_heic
from kiosk.recognition.pipeline import Recogniser
from kiosk.settings.config import Config
from kiosk.settings.sections import SearchSettings
from kiosk.store.chain import Entry, Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.store import Store
from kiosk.store.subjects import Enrolment, ImportedFile, Members, References, Subject
from kiosk.types import Candidate, Face, Floats, Sample, Status, SubjectId, Template

STATUSES = tuple(Status)
SAME_PERSON_SCORE = 50.0
"""Least score between the photographs of one enrolment; at 1 stranger in 100 it finds a swapped file, no more."""

ENROLLING_NAME = ".enrolling"  # locked while a process enrols
SHOWN_STEP = 0.1  # similarity_percentage has one decimal


@dataclass(frozen=True, slots=True)
class Found:
    """A person a search found."""

    subject: SubjectId
    cosine: float
    similarity: float  # percentage, as shown
    is_blocklisted: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """What one photograph gives to an enrolment."""

    template: Template
    quality: float  # sharpness of the face, see quality.py
    photograph: bytes | None = field(default=None, repr=False)  # where a setting keeps them


@dataclass(frozen=True, slots=True)
class EnrolmentResult:
    """What became of an enrolment."""

    kind: str  # "added", "duplicate", "blocklisted", "no_face", "several_faces", "poor", "mixed"
    sentence: str = field(repr=False)
    subject: Subject | None = None
    of: Found | None = None  # whom it duplicates, or also is

    @property
    def is_stored(self) -> bool:
        """Whether somebody was enrolled."""
        return self.kind == "added"


class Device:
    """A recogniser, a store and the gallery made from it. Safe in several threads."""

    def __init__(
        self,
        recogniser: Recogniser,
        store: Store,
        config: Config,
        *,
        now: Callable[[], float],
        outgoing: Outgoing | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            recogniser: of the model pack.
            store: opened.
            config: settings; `replace` puts others into force.
            now: seconds UTC.
            outgoing: says what of a decision is to leave the device; None for nothing.
            decoder: gives the pixels of photographs, and is ended with the device; None for one of its own.
        """
        self.recogniser = recogniser
        self.outgoing = outgoing or NothingLeaves()
        self.decoder = decoder or Decoder()
        self.store = store
        self.config = config
        self._now = now
        self._sync = threading.Lock()
        self._enrolling = threading.Lock()
        self._version = -1
        self._gallery: Gallery | None = None

    def __enter__(self) -> Device:  # noqa: PYI034  typing.Self is not in Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self.decoder.close()
        self.store.close()

    @property
    def scale(self) -> ScoreScale:
        """What the model's cosines mean."""
        return self.recogniser.scale

    # ---- the gallery

    @property
    def gallery(self) -> Gallery:
        """The references of this model, up to date with every process that writes to the store."""
        with self._sync:
            if self._gallery is None:
                self._gallery = self._load()
            elif self.store.version() != self._version:
                self._catch_up(self._gallery)
            return self._gallery

    def _load(self) -> Gallery:
        version = self.store.version()  # before the rows: what comes in between is looked at twice, not missed
        members = self.store.members()
        blocks = self.store.references(self.recogniser.model)
        first = next(blocks, None)
        depth = first.vectors.shape[1] if first is not None else self._depth()
        loaded = Gallery(self.recogniser.model, depth, self._exact)
        if first is not None:
            rest = (_of_members(block, members) for block in blocks)
            loaded.load(_columns(members), _chain(_of_members(first, members), rest))
        else:
            loaded.load(_columns(members), iter(()))
        self._version = version
        return loaded

    def _depth(self) -> int:
        blank = np.full((256, 256, 3), 127, np.uint8)
        square = Face(np.array([0, 0, 256, 256], np.float32), _SPREAD, 1.0)
        return len(self.recogniser.extract(blank, square).vector)

    def _catch_up(self, held: Gallery) -> None:
        changes = self.store.changes_since(self._version)
        members = self.store.members(changes.subjects)
        there = set(members.session_numbers.tolist())
        held.forget(*(number for number in changes.subjects if number not in there))
        blocks = list(self.store.references(self.recogniser.model, list(there))) if there else []
        for row, number in enumerate(members.session_numbers.tolist()):
            person = _person(members, row)
            stored = {
                int(reference): vector
                for block in blocks
                for reference, vector in zip(
                    block.ids[block.subjects == number], block.vectors[block.subjects == number], strict=True
                )
            }
            known = set(held.references_of(number))
            for reference in known - set(stored):
                held.withdraw(number, reference)
            new = [reference for reference in stored if reference not in known]
            templates = [Template(np.array(stored[reference]), self.recogniser.model) for reference in new]
            held.enrol(person, new, templates)
        self._version = changes.version

    def _exact(self, references: NDArray[np.int64]) -> Floats:
        found = self.store.vectors(references.tolist(), self.recogniser.model)
        if found.shape[1] == 0:  # all of them are gone
            assert self._gallery is not None  # it asks
            return np.full((len(references), self._gallery.depth), np.nan, np.float32)
        return found

    def save(self, decision: NewDecision, photographs: Mapping[str, bytes] = MappingProxyType({})) -> Entry:
        """Save a decision together with what is to leave the device because of it.

        Args:
            decision: to be recorded.
            photographs: by the name of the call's field, as they came; none is kept but for the outbox.
        """
        rows = tuple(self.outgoing(decision, photographs))
        entry = self.store.record_decision(replace(decision, outbox=rows))
        if rows:
            self.outgoing.stored()  # now, not before: whoever looked then would find nothing and go to sleep
        return entry

    # ---- Didit's calls

    def analyse(self, data: bytes, *, rotate: bool = False) -> Sample:
        """Decode and analyse a photograph.

        Raises:
            ImageError: it is no picture we take.
        """
        return self.recogniser.analyse(self.decoder(data), rotate=rotate)

    def match(
        self,
        user: Sample,
        reference: Sample,
        *,
        threshold: int | None = None,
        save: bool = True,
        vendor_data: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        photographs: Mapping[str, bytes] = MappingProxyType({}),
        actor: str = "",
    ) -> dict[str, Any]:
        """Compare two samples and return the answer of Didit's Face Match; `photographs` as `save` takes them."""
        settings = self.config.match
        decline = settings.decline_threshold if threshold is None else threshold
        review = settings.review_threshold or None
        decision = self.recogniser.match(user, reference, decline_threshold=decline, review_threshold=review)
        request_id = str(uuid.uuid4())
        answer = contract.match_answer(
            decision,
            user,
            reference,
            request_id=request_id,
            created_at=self._now(),
            vendor_data=vendor_data,
            metadata=metadata,
            device=self._about_match(user, reference, decline),
        )
        if not save:
            return answer
        return self._saved(
            NewDecision(
                kind=Kind.FACE_MATCH,
                status=decision.status.value,
                score=decision.score,
                warnings=tuple(warned.risk.value for warned in decision.warnings),
                thresholds={"decline": decline} | ({"review": review} if review else {}),
                model=self.recogniser.model,
                vendor_data=vendor_data,
                answer=answer,
                request_id=request_id,
                actor=actor,
            ),
            photographs,
        )

    def _saved(self, decision: NewDecision, photographs: Mapping[str, bytes]) -> dict[str, Any]:
        """Save the decision on a call, or the second one in its place; return its answer."""
        final = self.outgoing.second(decision, photographs)
        self.save(final, photographs)
        return dict(final.answer or {})

    def _about_match(self, user: Sample, reference: Sample, decline: int) -> dict[str, Any]:
        about: dict[str, Any] = {"model": self.recogniser.model, "decline_threshold": decline}
        if user.template is not None and reference.template is not None:
            cosine = compare(user.template, reference.template)
            about |= {"cosine": round(cosine, 6), "fmr": float(f"{self.scale.fmr(cosine):.3g}")}
        return about

    def search(
        self,
        user: Sample,
        *,
        search_type: str = "most_similar",
        save: bool = True,
        vendor_data: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        photographs: Mapping[str, bytes] = MappingProxyType({}),
        actor: str = "",
    ) -> dict[str, Any]:
        """Search everyone enrolled and return the answer of Didit's Face Search; `photographs` as `save` takes them."""
        held = self.gallery
        found = self.find(user.template, search_type=search_type) if user.template is not None else []
        block_at, list_at = self.thresholds(held.references)
        decision = decide_search(
            faces=len(user.entities),
            is_blocklisted=any(one.is_blocklisted and one.similarity >= block_at for one in found),
            is_known=bool(found),
            allow_multiple_faces=self.config.search.allow_multiple_faces,
        )
        request_id = str(uuid.uuid4())
        answer = contract.search_answer(
            decision,
            user,
            self._rows(found),
            request_id=request_id,
            created_at=self._now(),
            vendor_data=vendor_data,
            metadata=metadata,
            device={"model": self.recogniser.model, **self.gallery_figures(held.references, list_at)},
        )
        if not save:
            return answer
        return self._saved(
            NewDecision(
                kind=Kind.FACE_SEARCH,
                status=decision.status.value,
                score=found[0].similarity if found else None,
                session_number=found[0].subject if found else None,
                warnings=tuple(warned.risk.value for warned in decision.warnings),
                thresholds={"similarity": list_at, "blocklist": block_at},
                model=self.recogniser.model,
                gallery_size=held.references,
                subjects=tuple(one.subject for one in found),
                vendor_data=vendor_data,
                answer=answer,
                request_id=request_id,
                actor=actor,
                call={"search_type": search_type},
            ),
            photographs,
        )

    def thresholds(self, n: int) -> tuple[float, float]:
        """Return the similarity at which a blocklisted person declines, and at which anybody is listed.

        Args:
            n: references searched; where a setting holds the FPIR, the thresholds rise with it.
        """
        settings = self.config.search
        listed = listing_threshold(settings, self.scale, n)
        blocked = settings.blocklist_threshold if settings.blocklist_threshold >= 0.0 else listed
        return round(blocked, 1), listed

    def gallery_figures(self, n: int, threshold: float) -> dict[str, Any]:
        """Return what a threshold means among `n` references."""
        return gallery_figures(self.scale, n, threshold)

    def find(self, probe: Template, *, search_type: str = "most_similar", whatever_dates: bool = False) -> list[Found]:
        """Return whom a probe looks like, as Didit's search ranks them, at most `max_matches`.

        Somebody on the blocklist who reaches its threshold is always among them, if need be in the last row: an
        answer that says FACE_IN_BLOCKLIST shows whose.
        """
        held = self.gallery
        block_at, list_at = self.thresholds(held.references)
        limit = self.config.search.max_matches
        is_narrow = search_type == "blocklisted_or_approved"
        others_among = Among.APPROVED if is_narrow else Among.EVER if whatever_dates else Among.EVERYBODY
        queries = [
            Query(self._floor(block_at), limit, Among.BLOCKLISTED),
            Query(self._floor(list_at), limit, others_among),
        ]
        blocked, others = (
            [self.found(candidate, held) for candidate in candidates]
            for candidates in held.search_all(probe, queries, now=self._now())
        )
        blocked = [one for one in blocked if one.similarity >= block_at]
        others = [one for one in others if one.similarity >= list_at]
        if is_narrow:
            return (blocked + others)[:limit]
        shown = {one.subject: one for one in (*blocked, *others)}
        ranked = sorted(shown.values(), key=lambda one: (-one.cosine, one.subject))
        best = ranked[:limit]
        if blocked and not any(one.is_blocklisted and one.similarity >= block_at for one in best):
            best[-1] = blocked[0]
        return best

    def _floor(self, similarity: float) -> float:
        """Return a cosine that surely lies under this shown similarity; `find` then looks at the shown number."""
        return max(-1.0, self.scale.cosine(similarity) - 1e-5)

    def found(self, candidate: Candidate, held: Gallery) -> Found:
        """Return a candidate with its shown similarity and standing."""
        person = held.person(candidate.subject)
        is_blocklisted = person is not None and bool(person.flags & Flag.BLOCKLISTED)
        similarity = self.scale.similarity_percentage(candidate.cosine)
        return Found(candidate.subject, candidate.cosine, similarity, is_blocklisted)

    def _rows(self, found: Sequence[Found]) -> list[contract.MatchRow]:
        rows = []
        for one in found:
            subject = self.store.subject(one.subject)
            if subject is not None:  # None: forgotten since the search
                rows.append(row_of(subject, one.similarity))
        return rows

    # ---- people

    def enrol(
        self,
        photographs: Sequence[bytes],
        enrolment: Enrolment,
        *,
        rotate: bool = False,
        take_largest: bool = False,
        allow_duplicate: bool = False,
        actor: str = "",
    ) -> EnrolmentResult:
        """Enrol a person from one photograph or several, unless something speaks against it.

        Args:
            photographs: JPEG, PNG, WebP or TIFF; each of this person alone.
            enrolment: who it is; its templates, qualities and images are filled here.
            rotate: try quarter turns.
            take_largest: of several faces in a photograph take the largest, instead of refusing it.
            allow_duplicate: enrol although somebody who looks the same is enrolled.
            actor: who asks, for the log.

        Raises:
            ImageError: a photograph is no picture we take.
        """
        references = []
        for number, photograph in enumerate(photographs, 1):
            assessed = self.assess(photograph, rotate=rotate, take_largest=take_largest, with_heic=True)
            if isinstance(assessed, EnrolmentResult):
                which = f"photograph {number}: " if len(photographs) > 1 else ""
                return EnrolmentResult(assessed.kind, which + assessed.sentence)
            references.append(assessed)
        return self.admit(references, enrolment, allow_duplicate=allow_duplicate, actor=actor)

    def assess(
        self, photograph: bytes, *, rotate: bool = False, take_largest: bool = False, with_heic: bool = False
    ) -> Reference | EnrolmentResult:
        """Return what a photograph gives as a reference, or why it gives none; the rest as `enrol` takes it.

        Args:
            with_heic: also take HEIC; it is kept as JPEG.

        Raises:
            ImageError: it is no picture we take.
        """
        image = self.decoder(photograph, with_heic=with_heic)
        faces, angle = self.recogniser.find_upright(image) if rotate else (self.recogniser.detect(image), 0)
        if not faces:
            return EnrolmentResult("no_face", "no face could be found")
        if len(faces) > 1 and not take_largest:
            boxes = "; ".join(",".join(str(round(float(side))) for side in face.box) for face in faces)
            return EnrolmentResult(
                "several_faces", f"{len(faces)} faces (boxes {boxes}); give a photograph of one person"
            )
        upright = self.recogniser.turn(image, angle)
        face = self.recogniser.sharpen(upright, faces[0])
        measured = quality.measure(upright, face)
        objection = quality.objection(measured)
        if objection is not None:
            return EnrolmentResult("poor", objection)
        kept = (as_jpeg(image) if is_heic(photograph) else photograph) if self.config.store.keep_images else None
        return Reference(self.recogniser.extract(upright, face), measured.sharpness, kept)

    def admit(
        self,
        references: Sequence[Reference],
        enrolment: Enrolment,
        *,
        allow_duplicate: bool = False,
        imported: ImportedFile | None = None,
        actor: str = "",
    ) -> EnrolmentResult:
        """Store a person with references from `assess`, unless they are blocklisted, enrolled already, or not one.

        Args:
            imported: the item of an import run, marked done in the same transaction.
        """
        templates = [reference.template for reference in references]
        for number, template in enumerate(templates[1:], 2):
            score = self.scale.similarity_percentage(compare(templates[0], template))
            if score < SAME_PERSON_SCORE:
                return EnrolmentResult(
                    "mixed",
                    f"photographs 1 and {number} seem to show two people (similarity {score}); enrol them apart",
                )
        with self._enrolling, self._alone():  # two enrolments of one face at once would not see each other
            objection = self._objection_to(fuse(templates), allow_duplicate=allow_duplicate)
            if objection is not None and not enrolment.is_blocklisted:
                return objection
            subject = self.store.enrol(
                replace(
                    enrolment,
                    templates=templates,
                    qualities=[reference.quality for reference in references],
                    images=tuple(reference.photograph for reference in references if reference.photograph is not None),
                ),
                imported=imported,
                actor=actor,
            )
        of = objection.of if objection is not None else None  # a blocked face may be somebody enrolled
        return EnrolmentResult("added", f"enrolled as number {subject.session_number}", subject, of)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from enrolling meanwhile."""
        path = self.store.directory / ENROLLING_NAME
        try:
            file = path.open("w")
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}; make the state directory writable") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)  # ends with the file, and with the process
            yield

    def _objection_to(self, template: Template, *, allow_duplicate: bool) -> EnrolmentResult | None:
        found = self.find(template, whatever_dates=True)  # who is known from tomorrow on is known
        block_at, _ = self.thresholds(self.gallery.references)
        for one in found:
            if one.is_blocklisted and one.similarity >= block_at:
                return EnrolmentResult(
                    "blocklisted", f"the face is on the blocklist (number {one.subject}, {one.similarity} %)", of=one
                )
        if found and not allow_duplicate:
            one = found[0]
            return EnrolmentResult(
                "duplicate",
                f"already enrolled as number {one.subject} ({one.similarity} %); --allow-duplicate enrols all the same",
                of=one,
            )
        return None


# Where the five landmarks of a face that fills a 256 px square would lie; only to ask a network its output's length.
_SPREAD = np.array([[90, 100], [166, 100], [128, 140], [98, 180], [158, 180]], np.float32)


def _chain(first: Any, rest: Any) -> Any:
    yield first
    yield from rest


def _flags(is_blocklisted: Any, is_allowlisted: Any, status: Any) -> Any:
    """Return the gallery's flags, of one person or of columns."""
    return (
        is_blocklisted * int(Flag.BLOCKLISTED)
        + is_allowlisted * int(Flag.ALLOWLISTED)
        + (status == STATUSES.index(Status.APPROVED)) * int(Flag.APPROVED)
    )


def _of_members(block: References, members: Members) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Leave out who came after `members` was read; the next catching up brings them."""
    kept = np.isin(block.subjects, members.session_numbers)
    return block.subjects[kept], block.ids[kept], block.vectors[kept]


def _columns(members: Members) -> People:
    flags = _flags(members.is_blocklisted, members.is_allowlisted, members.status)
    return People(members.session_numbers, flags.astype(np.uint8), members.valid_from, members.valid_until)


def _person(members: Members, row: int) -> Person:
    return Person(
        int(members.session_numbers[row]),
        Flag(int(_flags(members.is_blocklisted[row], members.is_allowlisted[row], members.status[row]))),
        float(members.valid_from[row]),
        float(members.valid_until[row]),
    )


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


def listing_threshold(settings: SearchSettings, scale: ScoreScale, n: int) -> float:
    """Return the similarity at which anybody is listed; where the FPIR is held, it rises with `n` references."""
    listed = settings.similarity_threshold
    if settings.hold_fpir > 0.0 and n > 0:
        fmr = gallery.fmr_for_fpir(settings.hold_fpir, n)
        needed = scale.exact_score(scale.cosine_at_rarity(-math.log10(fmr)))
        listed = max(listed, math.ceil(needed / SHOWN_STEP) * SHOWN_STEP)
    return round(listed, 1)


def gallery_figures(scale: ScoreScale, n: int, threshold: float) -> dict[str, Any]:
    """Return what a threshold means among `n` references."""
    fmr = scale.fmr(scale.cosine(threshold))
    return {
        "gallery_size": n,
        "similarity_threshold": threshold,
        "fmr_at_threshold": float(f"{fmr:.3g}"),
        "expected_false_positives": float(f"{gallery.expected_false_positives(fmr, n):.3g}"),
        "fpir": float(f"{gallery.fpir(fmr, n):.3g}"),
    }
