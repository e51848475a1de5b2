"""Whether the cloud may be asked now: a breaker, the pauses between two tries, and the free calls that find out.

The breaker opens after `FAILURES` failures in a row: then only the free health check is asked, with growing pauses. A
refused key or an empty account stops everything until the balance can be read again.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from kiosk.cloud.client import Cloud, KeyRefusedError, NoCreditsError
from kiosk.errors import CloudError, KioskError
from kiosk.settings.network import CloudSettings
from kiosk.store.notes import Notes

FAILURES = 5  # in a row, from which the breaker opens
DAY_S = 86400.0

log = logging.getLogger("kiosk.cloud_sending")


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things are waited for, s; a drill makes them shorter."""

    first_s: float = 2.0  # ceiling of the first pause, doubled with each failure
    longest_s: float = 3600.0
    look_after_s: tuple[float, ...] = (15.0, 60.0, 300.0)  # from the loss to each search
    stopped_s: float = 300.0  # between two looks at the balance
    recover_s: float = 15.0  # from a start to the first search for what a crash left
    again_s: float = 30.0  # after a turn or a list's pulling failed
    between_s: float = 0.5  # between two rows: each syncs the disk four times, and the door's decisions go before


class Breaker(str, Enum):
    """Whether rows are sent."""

    CLOSED = "closed"  # yes
    OPEN = "open"  # no: the server is away
    HALF_OPEN = "half_open"  # one, to see
    STOPPED = "stopped"  # no, until the key or the balance is put right


class Connection:
    """The way to the cloud, as the sender finds it. For one thread."""

    def __init__(
        self,
        cloud: Cloud,
        settings: CloudSettings,
        *,
        notes: Notes,
        now: Callable[[], float],
        rng: random.Random,
        pace: Pace,
    ) -> None:
        """Begin with everything well.

        Args:
            cloud: Didit.
            settings: of [cloud].
            notes: where others read how it goes.
            now: s UTC.
            rng: for jitter.
            pace: waits.
        """
        self._cloud, self._settings, self._notes = cloud, settings, notes
        self._now, self._rng, self._pace = now, rng, pace
        self.breaker = Breaker.CLOSED
        self.alarm: str | None = None
        """Why everything has stopped."""

        self._has_free_calls = settings.policy != "summary"  # the webhook's server has none that we know of
        self._failures = 0
        self._not_before = now()  # nothing is asked before, s UTC
        self._probed_at = float("-inf")

    @property
    def is_off(self) -> bool:
        """Whether no row is sent."""
        return self.breaker in {Breaker.OPEN, Breaker.STOPPED}

    def wait_s(self) -> float:
        """Return for how long nothing may be asked; 0 or less: ask."""
        return min(self._not_before - self._now(), DAY_S)  # at most, should the clock be set back

    # ---- free calls

    def idle(self, next_due: float | None) -> float:
        """Ask the server now and then while there is nothing to send; a captive portal is no server.

        Args:
            next_due: when a row is due, s UTC; None: none waits.

        Returns:
            After how many seconds there may be something to do.
        """
        now, every_s = self._now(), self._settings.probe_every_s
        wait_s = every_s if next_due is None else min(every_s, next_due - now)
        due_s = min(self._probed_at + every_s - now, every_s)
        if not self._has_free_calls:
            return wait_s
        return min(wait_s, due_s) if due_s > 0.0 else self.probe()

    def knows_the_time(self) -> bool:
        """Say whether the server's clock is known, as far as there is a free call that tells it."""
        return self._cloud.skew_s is not None or not self._has_free_calls

    def probe(self) -> float:
        """Ask whether the server is well; return for how long nothing is asked."""
        self._probed_at = self._now()
        try:
            self._cloud.probe()
        except CloudError as error:
            return self.failed(str(error), _retry_after(error))
        self._notes.write(clock_skew_s=self._cloud.skew_s)
        self._failures = 0
        if self.breaker is Breaker.HALF_OPEN:
            self._turn(Breaker.CLOSED)
        return 0.0

    def try_again(self) -> None:
        """Look with a free call whether sending makes sense again."""
        try:
            if not self._has_free_calls:
                pass
            elif self.breaker is Breaker.OPEN:
                self._cloud.probe()
            elif self._cloud.balance() <= 0:
                raise NoCreditsError("the account has no credits")
        except (KeyRefusedError, NoCreditsError) as error:
            self.stop(error)
        except CloudError as error:
            self.failed(str(error), _retry_after(error))
        else:
            self.alarm = None
            self._turn(Breaker.HALF_OPEN)

    # ---- what came of a call

    def arrived(self) -> None:
        """Note that a row arrived."""
        self._failures = 0
        self.alarm = None
        self._notes.write(last_success=self._now(), clock_skew_s=self._cloud.skew_s)
        self._turn(Breaker.CLOSED)

    def answered(self) -> None:
        """Note that the server is well, though it refused a row."""
        self._failures = 0

    def failed(self, error: str, retry_after_s: float = 0.0) -> float:
        """Count a failure of the server's; return for how long nothing is asked."""
        self._failures += 1
        pause_s = self._pause(self._failures, retry_after_s)
        if self.breaker is Breaker.OPEN:  # a free call finds out: nobody waits an hour for a network that is back
            pause_s = retry_after_s + self._rng.uniform(0.0, min(self._pace.longest_s, self._settings.probe_every_s))
        is_open = self._failures >= FAILURES or self.breaker in {Breaker.OPEN, Breaker.HALF_OPEN}
        if is_open or retry_after_s:
            self._not_before = self._now() + pause_s
        if is_open and self.breaker is not Breaker.STOPPED:
            self._turn(Breaker.OPEN)
        elif self.breaker is Breaker.STOPPED:
            self._not_before = self._now() + max(pause_s, self._pace.stopped_s)
        self._notes.write(last_error=error)
        return pause_s

    def spare(self, retry_after_s: float) -> float:
        """Leave the server alone for as long as it said; it is well, so the breaker stays as it is."""
        pause_s = self._pause(1, retry_after_s)
        self._not_before = self._now() + pause_s
        return pause_s

    def stop(self, error: CloudError) -> None:
        """Stop everything: the key or the balance must be put right."""
        if self._settings.policy == "summary":
            self.alarm = f"Summaries are refused ({error})."
        elif isinstance(error, NoCreditsError):
            self.alarm = "The cloud account has no credits: `kiosk cloud top-up` tells where to pay."
        else:
            self.alarm = "The cloud refuses the API key: `kiosk cloud login` or `kiosk cloud key` gives another."
        self._not_before = self._now() + self._pace.stopped_s
        self._notes.write(last_error=str(error))
        self._turn(Breaker.STOPPED)

    def _pause(self, tries: int, at_least_s: float = 0.0) -> float:
        """Return a pause: all of it jitter, above the floor that the server set."""
        ceiling = min(self._pace.longest_s, self._pace.first_s * 2.0 ** min(tries - 1, 20))
        return at_least_s + self._rng.uniform(0.0, ceiling)

    def _turn(self, breaker: Breaker) -> None:
        if breaker is not self.breaker:
            log.log(logging.WARNING if breaker is Breaker.STOPPED else logging.INFO, "cloud breaker=%s", breaker.value)
        self.breaker = breaker
        self._notes.write(breaker=breaker.value, alarm=self.alarm)


def _retry_after(error: KioskError) -> float:
    return float(getattr(error, "retry_after_s", 0.0))
