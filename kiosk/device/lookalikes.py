"""The audit of a device's gallery, ready to be shown: duplicates, outliers, and who is easily mistaken for whom."""

from __future__ import annotations

from collections import Counter

from kiosk.device.device import Device
from kiosk.device.site import as_dict, measure_here
from kiosk.gallery.audit import outliers, pairs_above
from kiosk.gallery.audit_report import Confusable, Report
from kiosk.types import SubjectId

CONFUSABLE_SCORE = 50.0  # pairs from here on are counted: one stranger in a hundred
OUTLIER_SCORE = 50.0  # a reference this unlike all others of its person is worth a look


def audit(device: Device, limit: int) -> Report:
    """Compare everyone with everyone; ten times the people take a hundred times as long.

    Args:
        device: whose gallery.
        limit: longest list.
    """
    scale, held = device.scale, device.gallery
    _, listed = device.thresholds(held.references)
    duplicates: dict[tuple[SubjectId, SubjectId], float] = {}
    shares: Counter[int] = Counter()
    alike: dict[SubjectId, list[float]] = {}
    for pair in pairs_above(held, scale.cosine(CONFUSABLE_SCORE)):
        score = scale.similarity_percentage(pair.cosine)
        shares[int(score)] += 1
        for subject in (pair.subject, pair.other):
            alike.setdefault(subject, []).append(score)
        if score >= listed:
            people = (pair.subject, pair.other)
            duplicates[people] = max(score, duplicates.get(people, 0.0))
    unlike = [
        (scale.similarity_percentage(one.cosine), one.subject, one.reference)
        for one in outliers(held, scale.cosine(OUTLIER_SCORE))
    ]
    confusable = [Confusable(subject, len(scores), max(scores)) for subject, scores in alike.items()]
    confusable.sort(key=lambda one: (-one.count, -one.highest, one.subject))
    ranked = sorted(((score, *people) for people, score in duplicates.items()), key=lambda row: (-row[0], *row[1:]))
    site = measure_here(device)
    return Report(
        people=held.subjects,
        references=held.references,
        threshold=listed,
        figures=device.gallery_figures(held.references, listed)
        | {"site": None if site is None else as_dict(scale, site)},
        duplicates=ranked[:limit],
        outliers=sorted(unlike)[:limit],
        confusable=confusable[:limit],
        pairs_by_score=dict(sorted(shares.items())),
    )
