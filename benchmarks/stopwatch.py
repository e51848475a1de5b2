"""Times the steps of a match from outside, so that the pipelines need not know that they are watched."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

WHOLE = "whole match"


@dataclass
class Engine:
    """A pipeline and how long its steps took, in seconds: one entry a match."""

    match: Callable[[bytes, bytes], float | None]
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


class Stopwatch:
    """Adds up what each step of a match takes."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)

    def timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, with its time put down under `step`."""

        def run(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            result = function(*arguments, **options)
            self.spent[step] += time.perf_counter() - start
            return result

        return run

    def engine(self, match: Callable[[bytes, bytes], float | None]) -> Engine:
        """Return the engine of a match whose steps are timed by this watch."""

        def run(first: bytes, second: bytes) -> float | None:
            self.spent.clear()
            start = time.perf_counter()
            result = match(first, second)
            engine.times[WHOLE].append(time.perf_counter() - start)
            for step, seconds in self.spent.items():
                engine.times[step].append(seconds)
            return result

        engine = Engine(run)
        return engine


def speed_up(one: Engine, other: Engine) -> float:
    """Return how many times faster one's whole match is: the median over matches next to one another."""
    ours, theirs = (np.array(engine.times[WHOLE]) for engine in (one, other))
    return round(float(np.median(theirs / ours)), 2)
