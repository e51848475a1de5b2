"""A site's own operating point: set from bona fide clips of some people, judged on others and on other days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kiosk.errors import ConfigError
from kiosk.evaluation.pad_clips import Clip
from kiosk.evaluation.pad_replay import Played, network_median

LEAST_PEOPLE = 2
MARGIN = 0.8  # of the lowest median seen: the next person is not among those who were recorded
LOWEST, HIGHEST = 0.02, 0.5


@dataclass(frozen=True, slots=True)
class Split:
    """Which clips set the operating point, and which judge it."""

    setting: tuple[Clip, ...]
    judging: tuple[Clip, ...]


def split_clips(clips: Sequence[Clip]) -> Split:
    """Take every other person for setting; judge on the rest, and, where days are told, on other days only.

    Raises:
        ConfigError: there are too few people to judge on others.
    """
    people = sorted({clip.source for clip in clips if not clip.is_attack})
    if len(people) < LEAST_PEOPLE:
        raise ConfigError(
            f"--calibrate needs bona fide clips of {LEAST_PEOPLE} people or more, as it judges on others than it was "
            f"set with; there are {len(people)}: kiosk record pad --species bona_fide --person NAME"
        )
    chosen = set(people[::2])
    setting = tuple(clip for clip in clips if not clip.is_attack and clip.source in chosen)
    days = {clip.about["day"] for clip in setting if "day" in clip.about}
    rest = [clip for clip in clips if clip.is_attack or clip.source not in chosen]
    other_days = [clip for clip in rest if clip.about.get("day") not in days]
    has_bona_fide = any(not clip.is_attack for clip in other_days)
    return Split(setting, tuple(other_days if has_bona_fide else rest))


def operating_point(played: Sequence[Played]) -> float:
    """Return the share below which the network denies: somewhat below the lowest median of any bona fide clip.

    Raises:
        ConfigError: no clip could be judged.
    """
    medians = [median for one in played if (median := network_median(one)) is not None]
    if not medians:
        raise ConfigError("no bona fide clip could be judged by the network: the faces are too large, or never frontal")
    return round(min(HIGHEST, max(LOWEST, MARGIN * min(medians))), 3)
