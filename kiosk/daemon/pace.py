"""How often the kiosk's threads come round, and how late one may be before it counts as hanging."""

from __future__ import annotations

from dataclasses import dataclass

from kiosk.door.door import LATE_S


@dataclass(frozen=True, slots=True)
class Pace:
    """Waits and limits of the daemon, s. Tests take shorter ones."""

    frame_wait_s: float = 0.25  # for a frame; then the loop comes round without one
    round_s: float = 1.0  # of the health thread
    figures_s: float = 5.0  # between two counts of what takes a query
    retest_s: float = 10.0  # between two self-tests while nothing is armed for want of one
    store_probe_s: float = 10.0  # between two looks whether a store that failed works again
    judge_late_s: float = 5.0  # silence from which a thread counts as hanging
    door_late_s: float = 2.0
    health_late_s: float = 60.0
    supervisor_late_s: float = LATE_S  # of the door, from which it takes no grant
    main_s: float = 0.2  # how late a signal may be obeyed
    say_s: float = 10.0  # between two words to the supervisor about the same state
    slack_s: float = 1.0  # on waits that are meant


PRODUCTION = Pace()
