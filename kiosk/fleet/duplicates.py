"""Looks for two enrolments of one face made apart from each other: whoever arrives is compared with everybody here.

Whoever is enrolled here is compared with everybody as they are.

Only people whom this kiosk holds, by the references of its own model. What an operator may say of a pair is
`store/fleet/duplicates.py`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from kiosk.device.device import Device
from kiosk.gallery.audit import pairs_above
from kiosk.gallery.gallery import Gallery
from kiosk.gallery.search import TOGETHER, Query
from kiosk.gallery.snapshot import Among
from kiosk.store.fleet.duplicates import Duplicates
from kiosk.store.fleet.people import ORIGIN
from kiosk.types import SubjectId, Template

MANY = 2000  # changed people from which everybody is compared with everybody: half the products, and in blocks
ALIKE = 6  # people listed for each face: themselves, and more than are ever one
SLACK = 1e-5  # of a cosine: a floor surely under the shown score, which is then looked at

log = logging.getLogger("kiosk.fleet")


class DuplicateWatch:
    """Compares whoever arrived or changed since it looked last. For one thread."""

    def __init__(self, device: Device, *, many: int = MANY) -> None:
        """Take the device, whose gallery is searched, and from how many people on everybody is compared."""
        self._device, self._store, self._many = device, device.store, many
        self._duplicates = Duplicates(device.store)

    def look(self) -> int:
        """Compare whom the fleet brought or changed; return how many new pairs are to be decided about."""
        since = self._duplicates.compared()
        changes = self._store.references.changes_since(since, origin=ORIGIN)
        if changes.version <= since:
            return 0
        held = self._device.gallery  # no older than the changes
        _, listed = self._device.thresholds(held.references)
        floor = self._device.scale.cosine(listed) - SLACK
        is_whole = changes.is_whole and len(changes.subjects) <= self._many
        pairs = _pairs_of(self._device, held, changes.subjects, floor) if is_whole else _all_pairs(held, floor)
        alike: dict[tuple[SubjectId, SubjectId], float] = {}
        for one, other, cosine in pairs:
            score = self._device.scale.similarity_percentage(cosine)
            if score >= listed:
                both = min(one, other), max(one, other)
                alike[both] = max(score, alike.get(both, 0.0))
        found = [(*both, score) for both, score in alike.items()]
        new = self._duplicates.note(found, upto=changes.version, now=self._device.now())
        if new:
            log.warning("fleet duplicates new=%d", new)
        return new


def _all_pairs(held: Gallery, floor: float) -> Iterator[tuple[SubjectId, SubjectId, float]]:
    for pair in pairs_above(held, floor):
        yield pair.subject, pair.other, pair.cosine


def _pairs_of(
    device: Device, held: Gallery, subjects: Sequence[SubjectId], floor: float
) -> Iterator[tuple[SubjectId, SubjectId, float]]:
    """Yield who looks like one of some people."""
    model, query = device.recogniser.model, Query(floor, ALIKE, Among.EVER)
    for block in device.store.references.chunks(model, subjects) if subjects else ():
        for start in range(0, len(block.ids), TOGETHER):
            vectors = block.vectors[start : start + TOGETHER]
            owners = block.subjects[start : start + TOGETHER].tolist()
            probes = [Template(np.array(vector), model) for vector in vectors]
            answers = held.search_many(probes, [[query]] * len(probes), now=device.now())
            for owner, (candidates,) in zip(owners, answers, strict=True):
                for candidate in candidates:
                    if candidate.subject != owner:
                        yield owner, candidate.subject, candidate.cosine
