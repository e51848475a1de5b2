"""What the health thread looks at: clock, disk, store, door, heat, lists; and the self-test that arms the kiosk."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping

from kiosk.daemon.pace import Pace
from kiosk.daemon.wiring import Parts
from kiosk.device.site import SiteWatch
from kiosk.errors import KioskError, StoreError
from kiosk.health.clock import STEP_S
from kiosk.health.monitor import Probe, throttled
from kiosk.rules.conditions import Condition
from kiosk.store.remote_lists import Lists
from kiosk.store.upkeep import rollback as rollbacks
from kiosk.types import ClockState

UNCALIBRATED = (
    "The limits of attack detection were measured elsewhere: record this site with kiosk record pad, then run "
    "kiosk evaluate pad --calibrate."
)

log = logging.getLogger("kiosk.daemon")


class Probes:
    """The looks that find degraded states."""

    def __init__(self, parts: Parts, lists_are_stale: Callable[[float], bool], pace: Pace) -> None:
        """Take what is looked at; `lists_are_stale` as `Kiosk` takes it."""
        self._monitor, self._device, self._clock, self._door = parts.monitor, parts.device, parts.clock, parts.door
        self._opening = parts.judge.opening
        self._lists_are_stale, self._pace = lists_are_stale, pace
        self._store_probed_at = float("-inf")
        self._lists = Lists(parts.device.store)
        self._clock_seq, _ = parts.device.store.clock_confirmed()

    @property
    def by_condition(self) -> Mapping[Condition, Probe]:
        """Every probe, by the condition it finds."""
        return {
            Condition.CLOCK_UNTRUSTED: self._clock_trouble,
            Condition.DISK_FULL: self._disk_trouble,
            Condition.STORE_UNREADABLE: self._store_trouble,
            Condition.THROTTLED: lambda: throttled(self._device.config.health.hot_c),
            Condition.DOOR_FAULT: self._door_trouble,
            Condition.GALLERY_STALE: self._lists_trouble,
            Condition.LIST_HELD: self._shrink_trouble,
            Condition.LOG_ROLLED_BACK: self._rollback_trouble,
            Condition.NEIGHBOUR_LOST: self._neighbour_trouble,
        }

    def _clock_trouble(self) -> str | None:
        self._hear_of_confirmation()
        if self._clock.state() is not ClockState.UNTRUSTED:
            return None
        return (
            self._clock.trouble()
            or "The clock is not synchronised. Connect to a time server (timedatectl set-ntp true) or fit a clock."
        )

    def _hear_of_confirmation(self) -> None:
        """Take what an operator confirmed by the command line, in another process, about the clock of now."""
        seq, at = self._device.store.clock_confirmed()
        if seq > self._clock_seq:
            self._clock_seq = seq
            if abs(self._clock.wall_time - at) <= STEP_S:  # else it was set since then, and nobody confirmed that
                self._clock.confirm()

    def _rollback_trouble(self) -> str | None:
        rollback = rollbacks.found(self._device.store)
        return None if rollback is None else rollback.sentence

    def _neighbour_trouble(self) -> str | None:
        lost = self._opening.lost_neighbours()
        if not lost:
            return None
        return (
            f"No answer from {', '.join(lost)}. Rules of [passage] that depend on them let nobody in; everybody can "
            "leave. Is the hub there, is each a kiosk of this fleet by this name, and does it name this one?"
        )

    def _shrink_trouble(self) -> str | None:
        held = [one for one in self._lists.held() if not one.is_confirmed]
        if not held:
            return None
        told = ", ".join(f"{one.list} ({one.vanished} entries)" for one in held)
        return (
            f"A list of the cloud lost most of its entries, which stay blocked: {told}. If that is right, an operator "
            "confirms it: `kiosk cloud confirm-list LIST`."
        )

    def _disk_trouble(self) -> str | None:
        free_mb = shutil.disk_usage(self._device.store.directory).free / 1e6
        wanted = self._device.config.health.disk_low_mb
        return None if free_mb >= wanted else f"{free_mb:.0f} MB are free, {wanted:g} are needed. Make room."

    def _store_trouble(self) -> str | None:
        """Look into the store; after a failure write to it, as reading alone would not show that it is well again."""
        now = time.monotonic()
        is_held = Condition.STORE_UNREADABLE.value in self._monitor.states()
        if is_held and now - self._store_probed_at < self._pace.store_probe_s:
            return next((one.sentence for one in self._monitor.report() if one.condition == "store_unreadable"), None)
        self._store_probed_at = now
        if is_held:
            self._device.store.probe()
        else:
            self._device.store.references.version()
        return None

    def _door_trouble(self) -> str | None:
        is_faulty = self._door is not None and self._door.is_faulty
        return "The door's lines cannot be driven: look at its wiring." if is_faulty else None

    def _lists_trouble(self) -> str | None:
        is_stale = self._lists_are_stale(self._device.config.health.gallery_stale_h)
        return "The lists of blocked people from the cloud are out of date: is the network there?" if is_stale else None


class SelfTest:
    """The golden faces, run when they are due; without a pass nothing is armed."""

    def __init__(self, run: Callable[[], str], parts: Parts, pace: Pace) -> None:
        """Take the test.

        Args:
            run: runs it; raises a `KioskError` where the faces come out wrong.
            parts: the monitor that holds what it finds, the device whose gallery is loaded with it.
            pace: how soon a failed test is run again.
        """
        self._run, self._monitor, self._device, self._pace = run, parts.monitor, parts.device, pace
        self._detector = parts.detector
        self._tested_at = float("-inf")
        self._site = SiteWatch(parts.device)

    def run_if_due(self) -> None:
        """Run the test where its time has come."""
        if time.monotonic() - self._tested_at >= self._every_s:
            self._test()

    @property
    def _every_s(self) -> float:
        untested = {Condition.STARTING.value, Condition.SELF_TEST_FAILED.value, Condition.PAD_FAILED.value}
        return self._pace.retest_s if untested & set(self._monitor.states()) else self._device.config.health.self_test_s

    def _test(self) -> None:
        self._tested_at = time.monotonic()
        count = self._monitor.count(Condition.SELF_TEST_FAILED)
        try:
            said = self._run()
            held = self._device.gallery.references
            self._site.refresh()
        except KioskError as error:
            condition = Condition.STORE_UNREADABLE if isinstance(error, StoreError) else Condition.SELF_TEST_FAILED
            self._monitor.hold(condition, str(error))
            log.warning("self_test result=failed reason=%r", str(error))
            return
        said += self._test_detector()
        self._monitor.end(Condition.SELF_TEST_FAILED, count)
        self._monitor.end(Condition.STARTING)
        log.info("self_test result=passed references=%d said=%r", held, said)

    def _test_detector(self) -> str:
        """Judge the golden presentations; a failure is a state of its own, which closes."""
        if self._detector is None:
            return ""
        count = self._monitor.count(Condition.PAD_FAILED)
        try:
            said = self._detector.test()
            is_calibrated = self._detector.network().model == self._device.config.pad.calibrated_for
        except KioskError as error:
            self._monitor.hold(Condition.PAD_FAILED, str(error))
            log.warning("self_test of=liveness result=failed reason=%r", str(error))
            return ""
        self._monitor.end(Condition.PAD_FAILED, count)
        if is_calibrated:
            self._monitor.end(Condition.PAD_UNCALIBRATED)
        else:
            self._monitor.hold(Condition.PAD_UNCALIBRATED, UNCALIBRATED)
        return f"; of the presentations {said}"
