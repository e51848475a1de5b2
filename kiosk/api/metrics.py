"""What the API counts, in Prometheus' text format: routes by their pattern, never what a caller asked for."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counts:
    """Calls by route, method and status, and how long they took. Safe in several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[tuple[str, str, int], int] = defaultdict(int)
        self._times: dict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS_S) + 1))
        self._sums: dict[str, float] = defaultdict(float)

    def add(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one call; `route` is a pattern of ours, so that there are only so many."""
        place = next((at for at, edge in enumerate(BUCKETS_S) if seconds <= edge), len(BUCKETS_S))
        with self._lock:
            self._calls[route, method, status] += 1
            self._times[route][place] += 1
            self._sums[route] += seconds

    def lines(self) -> Iterable[str]:
        """Return the lines of the calls."""
        with self._lock:
            calls, sums = dict(self._calls), dict(self._sums)
            times = {route: list(counts) for route, counts in self._times.items()}
        yield from head("kiosk_api_calls_total", "counter", "Calls of the API.")
        for (route, method, status), count in sorted(calls.items()):
            labels = {"route": route, "method": method, "status": str(status)}
            yield line("kiosk_api_calls_total", count, labels)
        yield from head("kiosk_api_call_seconds", "histogram", "How long calls took.")
        for route, counts in sorted(times.items()):
            total = 0
            for edge, count in zip((*map(str, BUCKETS_S), "+Inf"), counts, strict=True):
                total += count
                yield line("kiosk_api_call_seconds_bucket", total, {"route": route, "le": edge})
            yield line("kiosk_api_call_seconds_sum", round(sums[route], 6), {"route": route})
            yield line("kiosk_api_call_seconds_count", total, {"route": route})


def head(name: str, kind: str, sentence: str) -> tuple[str, str]:
    """Return what stands before a metric's lines."""
    return f"# HELP {name} {sentence}", f"# TYPE {name} {kind}"


def line(name: str, value: float, labels: Mapping[str, str] | None = None) -> str:
    r"""Return one line.

    >>> line("up", 1), line("calls", 2, {"route": '/a"b'})
    ('up 1', 'calls{route="/a\\"b"} 2')
    """
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in (labels or {}).items())
    return f"{name}{{{told}}} {value}" if told else f"{name} {value}"


def gauge(name: str, sentence: str, values: Mapping[str, float] | float, label: str = "") -> Iterable[str]:
    """Return the lines of one gauge: a number, or numbers by a label."""
    yield from head(name, "gauge", sentence)
    if isinstance(values, Mapping):
        yield from (line(name, value, {label: text}) for text, value in sorted(values.items()))
    else:
        yield line(name, values)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
