"""The thresholds of a search, and what they mean among so many references."""

from __future__ import annotations

import math
from typing import Any

from kiosk.gallery import rates
from kiosk.gallery.site_curve import SiteCurve, stricter, stricter_fmr
from kiosk.recognition.match import ScoreScale
from kiosk.settings.sections import SearchSettings

SHOWN_STEP = 0.1  # similarity_percentage has one decimal


def search_thresholds(
    settings: SearchSettings, scale: ScoreScale, n: int, site: SiteCurve | None = None
) -> tuple[float, float]:
    """Return the similarity at which a blocklisted person declines, and at which anybody is listed.

    Args:
        settings: of [search].
        scale: what the model's cosines mean.
        n: references searched; where a setting holds the FPIR, the thresholds rise with it.
        site: how alike the people enrolled are; where a setting holds the FPIR, it holds for them too.
    """
    listed = listing_threshold(settings, scale, n, site)
    blocked = settings.blocklist_threshold if settings.blocklist_threshold >= 0.0 else listed
    return round(blocked, 1), listed


def listing_threshold(settings: SearchSettings, scale: ScoreScale, n: int, site: SiteCurve | None = None) -> float:
    """Return the similarity at which anybody is listed; where the FPIR is held, it rises with `n` references."""
    listed = settings.similarity_threshold
    if settings.hold_fpir > 0.0 and n > 0:
        fmr = rates.fmr_for_fpir(settings.hold_fpir, n)
        needed = scale.exact_score(stricter(scale, site, -math.log10(fmr)))
        listed = max(listed, math.ceil(needed / SHOWN_STEP) * SHOWN_STEP)
    return round(listed, 1)


def gallery_figures(scale: ScoreScale, n: int, threshold: float, site: SiteCurve | None = None) -> dict[str, Any]:
    """Return what a threshold means among `n` references, at this site where its people tell."""
    fmr = stricter_fmr(scale, site, scale.cosine(threshold))
    return {
        "gallery_size": n,
        "similarity_threshold": threshold,
        "fmr_at_threshold": float(f"{fmr:.3g}"),
        "expected_false_positives": float(f"{rates.expected_false_positives(fmr, n):.3g}"),
        "fpir": float(f"{rates.fpir(fmr, n):.3g}"),
    }
