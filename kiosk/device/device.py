"""The device as one thing: recogniser, store and gallery, searched and saved to in one place.

Command line, daemon and API all go through here; `calls.py` answers Didit's calls with it, `enrol.py` enrols people.
"""

from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from kiosk.decoding.decoder import Decoder
from kiosk.device.live_gallery import LiveGallery
from kiosk.device.outgoing import NothingLeaves, Outgoing
from kiosk.device.people_finder import PeopleFinder
from kiosk.device.thresholds import gallery_figures, search_thresholds
from kiosk.gallery.cohort import Cohort
from kiosk.gallery.gallery import Gallery
from kiosk.gallery.parts import Gathered
from kiosk.gallery.search import Query
from kiosk.gallery.site_curve import SiteCurve, stricter_score
from kiosk.gallery.snapshot import Among, Flag
from kiosk.recognition.match import ScoreScale
from kiosk.recognition.pipeline import Recogniser
from kiosk.settings.config import Config
from kiosk.store.chain import Entry
from kiosk.store.decision_log import NewDecision
from kiosk.store.open_sessions.sessions import Change
from kiosk.store.store import Store
from kiosk.store.subjects import Enrolment
from kiosk.types import Candidate, Face, Sample, Session, SubjectId, Template

HALVED_FACE_PX = 200
"""Edge of a face in a picture at half its edges from which its template is the whole picture's.

The cosine between the two was 0.9933 or more in 10 measurements of 5 photographs, faces of 400 px and more; of 250
px, 0.9897."""


@dataclass(frozen=True, slots=True)
class Found:
    """A person a search found."""

    subject: SubjectId
    cosine: float
    similarity: float  # percentage, as shown
    is_blocklisted: bool


@dataclass(frozen=True, slots=True)
class Looked:
    """Whom a search found, and among whom it looked."""

    found: list[Found]
    references: int  # searched
    thresholds: tuple[float, float]  # as `Device.thresholds`
    shards: tuple[int, int] | None = None  # answered, of how many; None where the gallery is here

    @property
    def is_complete(self) -> bool:
        """Whether everybody was searched; else who was not found may be known all the same."""
        return self.shards is None or self.shards[0] == self.shards[1]


def sides(bbox: tuple[int, int, int, int]) -> tuple[int, int]:
    """Return width and height of a box, px."""
    return bbox[2] - bbox[0], bbox[3] - bbox[1]


def scaled(bbox: tuple[int, int, int, int], scale: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return a box in a picture whose edges are `scale` times as long, inside it.

    Args:
        bbox: xyxy, px.
        scale: 1 or 2.
        size: width and height that the box is of, px; at 2 the file's may be one pixel less than twice as much.
    """
    width, height = (scale * edge - (scale - 1) for edge in size)
    left, top, right, bottom = (scale * edge for edge in bbox)
    return left, top, min(right, width), min(bottom, height)


def is_large_halved(face: Face) -> bool:
    """Say whether a face is so large in a picture at half its edges that its template is the whole picture's."""
    return float(np.min(face.box[2:] - face.box[:2])) >= HALVED_FACE_PX


class Elsewhere(Protocol):
    """A gallery that lies in parts outside this process."""

    def search_all(self, probe: Template, queries: Sequence[Query], *, now: float) -> Gathered:
        """Search all parts, and say how many answered."""

    def close(self) -> None:
        """Let go of them."""


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
        zones: Session | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            recogniser: of the model pack.
            store: opened.
            config: settings; `apply` puts others into force.
            now: seconds UTC.
            outgoing: says what of a decision is to leave the device; None for nothing.
            zones: reads the lines of documents, loaded when it is used; None: no document is read.
            decoder: gives the pixels of photographs, and is ended with the device; None for one of its own.
        """
        self.recogniser = recogniser
        self.outgoing = outgoing or NothingLeaves()
        self.decoder = decoder or Decoder()
        self.zones = zones
        self.store = store
        self.config = config
        self.now = now
        self.enrolling = threading.Lock()
        """Held while somebody is enrolled: two enrolments of one face at once would not see each other."""

        self.site_curve: SiteCurve | None = None
        """The rates among the people enrolled, see site.SiteWatch; None before they are measured, or where too few."""

        self.finder = PeopleFinder(store)
        """Finds people by name, code or document."""
        self.elsewhere: Elsewhere | None = None
        """Where `look` searches; None for the gallery here."""

        self._live = LiveGallery(recogniser, store)
        self._cohort: Cohort | None = None
        self._cohort_wipes = -1  # of the gallery when the cohort was last compared with it
        self._trimming = threading.Lock()

    def __enter__(self) -> Device:  # noqa: PYI034  typing.Self is not in Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        if self.elsewhere is not None:
            self.elsewhere.close()
        self.decoder.close()
        self.store.close()

    @property
    def scale(self) -> ScoreScale:
        """What the model's cosines mean."""
        return self.recogniser.scale

    @property
    def gallery(self) -> Gallery:
        """The references of this model, up to date with every process that writes to the store."""
        held = self._live.latest()
        if held.snapshot.wipes != self._cohort_wipes:
            self._trim_cohort(held)
        return held

    @property
    def cohort(self) -> Cohort | None:
        """Some of the people enrolled, see gallery/cohort.py; nobody who was forgotten. None where they are too few."""
        _ = self.gallery  # whoever is not in it any more leaves the cohort too
        return self._cohort

    def take_cohort(self, cohort: Cohort | None) -> None:
        """Take another cohort; who was forgotten since it was drawn leaves it before anybody sees it."""
        with self._trimming:
            self._cohort, self._cohort_wipes = cohort, -1

    def _trim_cohort(self, held: Gallery) -> None:
        """Take those out of the cohort whom the gallery does not hold any more."""
        with self._trimming:
            wipes, cohort = held.snapshot.wipes, self._cohort
            if cohort is not None:
                pairs = zip(cohort.subjects.tolist(), cohort.references.tolist(), strict=True)
                gone = np.array([one not in held.references_of(subject) for subject, one in pairs], np.bool_)
                if gone.any():
                    self._cohort = cohort.without(gone)
            self._cohort_wipes = wipes
        self.finder.follow()

    def apply(self, config: Config) -> None:
        """Put other settings into force."""
        self.config = config

    def save(
        self,
        decision: NewDecision,
        photographs: Mapping[str, bytes] = MappingProxyType({}),
        *,
        session: Enrolment | None = None,
        change: Change | None = None,
    ) -> Entry:
        """Save a decision together with what is to leave the device because of it.

        Args:
            decision: to be recorded.
            photographs: by the name of the call's field, as they came; none is kept but for the outbox.
            session: whom the decision makes known.
            change: what becomes of an open session in the same transaction.
        """
        decision = replace(decision, request_id=decision.request_id or str(uuid.uuid4()))  # what leaves names it
        rows = tuple(self.outgoing(decision, photographs))
        entry = self.store.record_decision(replace(decision, outbox=rows), session, change)
        if rows:
            self.outgoing.stored()  # now, not before: whoever looked then would find nothing and go to sleep
        return entry

    def analyse(self, data: bytes, *, rotate: bool = False) -> Sample:
        """Decode and analyse a photograph; a large JPEG at half its edges, where the face is large all the same.

        Raises:
            ImageError: it is no picture we take.
        """
        image, scale = self.decoder.halved(data)
        sample = self.recogniser.analyse(image, rotate=rotate)
        if scale == 1:
            return sample
        if not sample.entities or min(sides(sample.entities[0].bbox)) < HALVED_FACE_PX:
            return self.recogniser.analyse(self.decoder(data), rotate=rotate)
        height, width = image.shape[:2]
        size = (height, width) if sample.best_angle % 180 else (width, height)
        entities = tuple(replace(one, bbox=scaled(one.bbox, scale, size)) for one in sample.entities)
        return replace(sample, entities=entities)

    def thresholds(self, n: int) -> tuple[float, float]:
        """Return the similarity at which a blocklisted person declines, and at which anybody is listed.

        Args:
            n: references searched; where a setting holds the FPIR, the thresholds rise with it.
        """
        return search_thresholds(self.config.search, self.scale, n, self._site)

    @property
    def _site(self) -> SiteCurve | None:
        """The curve of the people enrolled, where it counts."""
        return None if self.config.entrance.scale == "shipped" else self.site_curve

    def held_here(self, threshold: float) -> float:
        """Return the score from which a door's threshold holds at this site too what it states; never a lower one."""
        if self._site is None:
            return threshold
        return max(threshold, math.ceil(stricter_score(self.scale, self._site, threshold) * 10) / 10)

    def held_for(self, probe: Template, subject: SubjectId, threshold: float) -> float:
        """Return the score that a probe and a person need at the door to be as sure as `threshold`; never a lower one.

        It is higher where both resemble many of the people enrolled.

        Raises:
            StoreError: the person's references cannot be read.
        """
        cohort = self.cohort
        if cohort is None or self.config.entrance.scale == "shipped":
            return threshold
        blocks = list(self.store.references.chunks(self.recogniser.model, [subject]))
        if not blocks:
            return threshold
        references = np.concatenate([block.vectors for block in blocks])
        plain = float((references @ probe.vector).max())
        not_counted = plain - float(cohort.counted(probe.vector, references, subject).max())
        if not_counted <= 0.0:
            return threshold
        needed = self.scale.exact_score(self.scale.cosine(threshold) + not_counted)
        return max(threshold, math.ceil(needed * 10) / 10)

    def gallery_figures(self, n: int, threshold: float) -> dict[str, Any]:
        """Return what a threshold means among `n` references."""
        return gallery_figures(self.scale, n, threshold, self._site)

    def find(self, probe: Template, *, search_type: str = "most_similar", whatever_dates: bool = False) -> list[Found]:
        """Return whom a probe looks like, as Didit's search ranks them, at most `max_matches`.

        Somebody on the blocklist who reaches its threshold is always among them, if need be in the last row: an
        answer that says FACE_IN_BLOCKLIST shows whose.
        """
        held = self.gallery
        thresholds = self.thresholds(held.references)
        queries = self._queries(thresholds, search_type, whatever_dates=whatever_dates)
        blocked, others = (
            [self.found(candidate, held) for candidate in candidates]
            for candidates in held.search_all(probe, queries, now=self.now())
        )
        return _listed(blocked, others, thresholds, search_type, self.config.search.max_matches)

    def look(self, probe: Template | None, *, search_type: str = "most_similar") -> Looked:
        """Return whom `find` finds, in the shards where there are any; nobody without a probe."""
        if self.elsewhere is None or probe is None:
            held = self.gallery
            found = self.find(probe, search_type=search_type) if probe is not None else []
            return Looked(found, held.references, self.thresholds(held.references))
        queries = self._queries(self.thresholds(0), search_type)  # with more people they rise, and are applied below
        gathered = self.elsewhere.search_all(probe, queries, now=self.now())
        thresholds = self.thresholds(gathered.references)
        blocked, others = (
            [
                Found(
                    one.subject,
                    one.cosine,
                    self.scale.similarity_percentage(one.cosine),
                    one.subject in gathered.blocklisted,
                )
                for one in candidates
            ]
            for candidates in gathered.candidates
        )
        found = _listed(blocked, others, thresholds, search_type, self.config.search.max_matches)
        return Looked(found, gathered.references, thresholds, (gathered.answered, gathered.of))

    def _queries(
        self, thresholds: tuple[float, float], search_type: str, *, whatever_dates: bool = False
    ) -> tuple[Query, Query]:
        """Return what is asked: who is blocked, and who else is alike."""
        block_at, list_at = thresholds
        limit = self.config.search.max_matches
        is_narrow = search_type == "blocklisted_or_approved"
        others_among = Among.APPROVED if is_narrow else Among.EVER if whatever_dates else Among.EVERYBODY
        return (
            Query(self._floor(block_at), limit, Among.BLOCKLISTED),
            Query(self._floor(list_at), limit, others_among),
        )

    def _floor(self, similarity: float) -> float:
        """Return a cosine that surely lies under this shown similarity; `find` then looks at the shown number."""
        return max(-1.0, self.scale.cosine(similarity) - 1e-5)

    def found(self, candidate: Candidate, held: Gallery) -> Found:
        """Return a candidate with its shown similarity and standing."""
        person = held.person(candidate.subject)
        is_blocklisted = person is not None and bool(person.flags & Flag.BLOCKLISTED)
        similarity = self.scale.similarity_percentage(candidate.cosine)
        return Found(candidate.subject, candidate.cosine, similarity, is_blocklisted)

    # ---- people


def _listed(
    blocked: list[Found], others: list[Found], thresholds: tuple[float, float], search_type: str, limit: int
) -> list[Found]:
    """Return the people of both answers who reach their thresholds, ranked."""
    block_at, list_at = thresholds
    blocked = [one for one in blocked if one.similarity >= block_at]
    others = [one for one in others if one.similarity >= list_at]
    if search_type == "blocklisted_or_approved":
        return (blocked + others)[:limit]
    shown = {one.subject: one for one in (*blocked, *others)}
    ranked = sorted(shown.values(), key=lambda one: (-one.cosine, one.subject))
    best = ranked[:limit]
    if blocked and not any(one.is_blocklisted and one.similarity >= block_at for one in best):
        best[-1] = blocked[0]
    return best
