"""Error rates of a search: what a false match rate (FMR) per comparison means among N references."""

from __future__ import annotations

import math


def expected_false_positives(fmr: float, n: int) -> float:
    """Return how many of `n` references a stranger's search matches on average.

    `n` counts references, not people: FMR is a rate per comparison, and every reference is one. References of one
    person err together, so where people have several this is an upper bound, on the safe side.

    >>> expected_false_positives(2.0**-20, 1 << 20)
    1.0
    """
    return n * fmr


def fpir(fmr: float, n: int) -> float:
    """Return the chance that a stranger's search over `n` references returns anybody: 1 - (1 - FMR)^N.

    >>> round(fpir(1e-6, 100_000), 6)
    0.095163
    >>> fpir(1e-18, 10)  # (1 - 1e-18) is 1.0 in floating point
    1e-17
    """
    return 1.0 if n and fmr >= 1.0 else -math.expm1(n * math.log1p(-fmr)) if n else 0.0


def fmr_for_fpir(wanted: float, n: int) -> float:
    """Return the FMR that holds FPIR at `wanted` over `n` references; 1 where there are none.

    >>> round(fpir(fmr_for_fpir(0.01, 1_000_000), 1_000_000), 12)
    0.01
    """
    return -math.expm1(math.log1p(-wanted) / n) if n and wanted < 1.0 else 1.0
