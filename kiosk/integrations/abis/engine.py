"""What MOSIP asks an ABIS for, done with a device: its store keeps the people, its gallery or its shards find them.

A person's `vendor_data` is MOSIP's referenceId. Nothing is de-duplicated at an insert, as MOSIP wants it. Requests are
done one after the other, in the order in which they came, so that an identify sees every insert before it.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kiosk.device.device import Device
from kiosk.device.enrol import EnrolmentResult, Reference, admit, assess
from kiosk.errors import ImageError, KioskError
from kiosk.gallery.search import Query
from kiosk.gallery.snapshot import Among
from kiosk.integrations.abis.faces import face_pictures
from kiosk.integrations.abis.messages import (
    AbisError,
    Failure,
    Match,
    Operation,
    Request,
    answer,
    candidates,
    failure,
    read_envelope,
    read_request,
)
from kiosk.store.subjects import Details, Enrolment, Subject
from kiosk.types import Floats, SubjectId, Template

ACTOR = "abis"
MOST_CANDIDATES = 100  # where nobody says how many
MOST_SEARCHED = 10_000  # people at once; an answer of a shard with so many still fits into a message

log = logging.getLogger("kiosk.abis")

Fetch = Callable[[str], bytes]
"""Returns the CBEFF record behind a referenceURL; raises AbisError."""


class Abis:
    """Answers MOSIP's messages."""

    def __init__(self, device: Device, fetch: Fetch, *, pending: Callable[[], int] = lambda: 0) -> None:
        """Take the device, the way to MOSIP's biometrics, and what counts the messages that wait."""
        self._device, self._fetch, self._pending = device, fetch, pending

    def answer(self, raw: bytes) -> dict[str, object]:
        """Return the answer to a message; whatever it is, and whatever happens, there is one."""
        plain: dict[str, Any] = {}
        try:
            plain = read_envelope(raw)
            request = read_request(plain)
            return answer(request.operation.value, request.request_id, self._device.now(), **self._do(request))
        except AbisError as error:
            reason = error.reason
        except KioskError as error:
            log.warning("abis request failed reason=%r", str(error))
            reason = Failure.INTERNAL_ERROR
        except Exception:  # a slip of ours: asked again it would stop the queue again, for good
            log.exception("abis request failed")
            reason = Failure.UNEXPECTED_ERROR
        log.info("abis refused id=%s reason=%s", json.dumps(str(plain.get("id"))[:40]), reason.name)
        return failure(plain, self._device.now(), reason)

    def _do(self, request: Request) -> dict[str, object]:
        match request.operation:
            case Operation.INSERT:
                self._insert(request)
            case Operation.IDENTIFY:
                return self._identify(request)
            case Operation.DELETE:
                self._device.store.people.forget(self._known(request.reference_id).session_number, actor=ACTOR)
            case Operation.PENDING_JOBS:
                return {"jobscount": str(self._pending())}
            case Operation.REFERENCE_COUNT:
                return {"count": str(self._device.store.people.subjects(limit=0).total)}
            case Operation.PING:
                pass
        return {}

    # ---- who is who

    def _of(self, reference_id: str) -> Subject | None:
        found = self._device.store.people.find(reference_id)
        return next((one for one in found if one.details.vendor_data == reference_id), None)

    def _known(self, reference_id: str) -> Subject:
        found = self._of(reference_id)
        if found is None:
            raise AbisError(Failure.NOT_FOUND)
        return found

    # ---- insert

    def _insert(self, request: Request) -> None:
        if self._of(request.reference_id) is not None:
            raise AbisError(Failure.EXISTS_ALREADY)
        references = self._references(self._fetch(request.reference_url))
        enrolment = Enrolment(templates=(), details=Details(vendor_data=request.reference_id))
        done = admit(self._device, references, enrolment, allow_duplicate=True, is_code_unique=True, actor=ACTOR)
        if not done.is_stored:
            log.warning("abis insert refused kind=%s", done.kind)
            raise AbisError({"duplicate": Failure.EXISTS_ALREADY}.get(done.kind, Failure.POOR_QUALITY))

    def _references(self, cbeff: bytes) -> list[Reference]:
        """Return what each picture gives; one that is good enough will do, as MOSIP may send several."""
        outcomes = []
        for picture in face_pictures(cbeff):
            try:
                outcomes.append(assess(self._device, picture, take_largest=True, with_heic=True).outcome)
            except ImageError:
                raise AbisError(Failure.INVALID_CBEFF) from None
        good = [one for one in outcomes if not isinstance(one, EnrolmentResult)]
        if not good:
            raise AbisError(Failure.POOR_QUALITY)
        return good

    # ---- identify

    def _identify(self, request: Request) -> dict[str, object]:
        probes, own = self._probes(request)
        chosen = None
        if request.gallery is not None:
            chosen = {one.session_number for each in request.gallery if (one := self._of(each)) is not None}
        held = self._device.gallery
        count = max(1, held.references if self._device.elsewhere is None else 0)
        floor, fpir = self._floor(count, request.target_fpir)
        most = min(request.most or MOST_CANDIDATES, MOST_CANDIDATES)
        if chosen is not None:
            found = self._named(self._among(probes, chosen), own, floor)
        else:
            found, count = self._everywhere(probes, own, floor, most)
            floor, fpir = self._floor(count, request.target_fpir)
        return candidates(found[:most], threshold=self._device.scale.similarity_percentage(floor), fpir=fpir)

    def _everywhere(
        self, probes: Sequence[Template], own: SubjectId | None, floor: float, most: int
    ) -> tuple[list[Match], int]:
        """Return whom MOSIP knows of those who are alike, and how many references were searched."""
        limit = most + (own is not None)
        while True:
            best, count = self._among_all(probes, floor, limit)
            found = self._named(best, own, floor)
            if len(found) >= most or len(best) < limit or limit >= MOST_SEARCHED:
                return found, count
            limit = min(4 * limit, MOST_SEARCHED)  # the kiosk's own people stand before MOSIP's

    def _named(self, best: Mapping[SubjectId, float], own: SubjectId | None, floor: float) -> list[Match]:
        """Return those who have a referenceId, best first, without the one who is looked for."""
        ranked = sorted(
            ((cosine, number) for number, cosine in best.items() if number != own and cosine >= floor),
            key=lambda row: (-row[0], row[1]),
        )
        found = []
        for cosine, number in ranked:
            subject = self._device.store.people.subject(number)
            if subject is not None and subject.details.vendor_data is not None:  # forgotten meanwhile: nobody's
                score = self._device.scale.similarity_percentage(cosine)
                found.append(Match(subject.details.vendor_data, score, cosine))
        return found

    def _probes(self, request: Request) -> tuple[list[Template], SubjectId | None]:
        """Return what to search with, and who that is where it is somebody who is here."""
        if request.reference_id:
            known, model = self._known(request.reference_id), self._device.recogniser.model
            vectors = self._vectors([known.session_number])[0]
            if not len(vectors):  # enrolled with another model
                raise AbisError(Failure.UNEXPECTED_ERROR)
            return [Template(vector, model) for vector in vectors], known.session_number
        return [one.template for one in self._references(self._fetch(request.reference_url))], None

    def _vectors(self, numbers: Sequence[SubjectId]) -> tuple[Floats, list[SubjectId]]:
        """Return the references of some people, and whose each is."""
        blocks = list(self._device.store.references.chunks(self._device.recogniser.model, sorted(numbers)))
        if not blocks:
            return np.zeros((0, 1), np.float32), []
        return np.concatenate([one.vectors for one in blocks]), [
            int(number) for one in blocks for number in one.subjects
        ]

    def _floor(self, count: int, target_fpir: float | None) -> tuple[float, float]:
        """Return the cosine from which on somebody is listed, and how often a stranger's search then lists anybody.

        The curve ends somewhere: what is asked beyond it is not promised, and the second figure says so.
        """
        scale = self._device.scale
        if target_fpir is None:
            floor = scale.cosine(self._device.thresholds(count)[1])
        else:
            floor = scale.cosine_at_rarity(-math.log10(max(min(target_fpir, 1.0), 1e-12) / count))
        return floor, min(1.0, scale.fmr(floor) * count)

    def _among(self, probes: Sequence[Template], chosen: set[SubjectId]) -> dict[SubjectId, float]:
        vectors, owners = self._vectors(sorted(chosen))
        best: dict[SubjectId, float] = {}
        for probe in probes if owners else ():
            for number, cosine in zip(owners, (vectors @ probe.vector).tolist(), strict=True):
                best[number] = max(cosine, best.get(number, -1.0))
        return best

    def _among_all(self, probes: Sequence[Template], floor: float, most: int) -> tuple[dict[SubjectId, float], int]:
        """Return the best cosine of whoever was found, and how many references were searched.

        Raises:
            AbisError: not all shards answered, so that nobody may be called unknown.
        """
        device, best, searched = self._device, dict[SubjectId, float](), 1
        query, now = [Query(floor, most, Among.EVER)], device.now()
        for probe in probes:
            if device.elsewhere is None:
                held = device.gallery
                (found,), searched = held.search_all(probe, query, now=now), max(1, held.references)
            else:
                gathered = device.elsewhere.search_all(probe, query, now=now)
                if not gathered.is_complete:
                    raise AbisError(Failure.ABORTED)
                found, searched = list(gathered.candidates[0]), max(1, gathered.references)
            for one in found:
                best[one.subject] = max(one.cosine, best.get(one.subject, -1.0))
        return best, searched
