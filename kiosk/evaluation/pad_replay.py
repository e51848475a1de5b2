"""A recorded clip through the very judge of the door: the same detector, mesh, network, challenges and limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from kiosk.errors import ConfigError, ImageError, ModelFileError
from kiosk.evaluation.pad_clips import Clip
from kiosk.evaluation.pad_rates import (
    Counts,
    all_people_row,
    attack_row,
    bona_fide_row,
    worst_species,
)
from kiosk.recognition.cues import CueName, SpoofNetwork
from kiosk.recognition.flash import Shown
from kiosk.recognition.judgement import Judgement, LivenessLimits, Reason, Seen, Verdict
from kiosk.recognition.liveness import Liveness
from kiosk.recognition.match import compare
from kiosk.recognition.pad_levels import CHALLENGES, Level, ScriptedAsker
from kiosk.recognition.photo import decode
from kiosk.recognition.pipeline import MESH_PRESENCE, Recogniser
from kiosk.rules.text import shown
from kiosk.types import RgbImage, Template

NOT_ASKED = (
    "{} clips hold no challenge.json, or fewer challenges than the level asks: only the passive cues could be judged "
    "in them, so none of them is accepted at this level. Judge them with --level passive."
)


@dataclass(frozen=True, slots=True)
class Judge:
    """What judges a clip."""

    recogniser: Recogniser
    network: SpoofNetwork
    limits: LivenessLimits
    same_person_score: float  # least score of one person's frames, of the presentation's settings
    verify_score: float  # least score at which a probe counts as somebody, for IAPAR


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """What became of one clip."""

    clip: Clip
    judgement: Judgement
    probe: Template | None  # of an accepted one; of a bona fide one in any case, where a face was seen
    is_passive_only: bool  # the level demands a challenge that the clip was not asked


def look(
    recogniser: Recogniser, image: RgbImage, number: int, captured_at: float, shown: tuple[Shown, ...] = ()
) -> Seen:
    """Return a frame as the judgement of presentations takes it.

    Raises:
        ModelFileError: the pack has no face mesh.
    """
    if recogniser.trace is None:
        raise ModelFileError("this pack has no face mesh, without which no liveness is judged; use the standard pack")
    faces, mesh = recogniser.glance(image), None
    if faces:
        refined, presence, points = recogniser.trace(image, faces[0])
        if presence >= MESH_PRESENCE:
            faces, mesh = [refined, *faces[1:]], points

    @cache
    def template() -> Template:
        return recogniser.extract(image, faces[0])

    return Seen(number, captured_at, image, faces, mesh, template, shown)


def same_person(recogniser: Recogniser, least_score: float) -> Callable[[Template, Template], bool]:
    """Return what says whether two templates are one person's."""
    return lambda one, other: recogniser.scale.exact_score(compare(one, other)) >= least_score


def play(clip: Clip, judge: Judge, level: Level) -> Played:
    """Judge one clip.

    Raises:
        ConfigError: a frame cannot be read.
    """
    needed = CHALLENGES[level]
    is_passive_only = len(clip.challenges) < needed
    asked = () if is_passive_only else clip.challenges[:needed]
    # In a recording nobody reacts to us, so there is no answer that comes too soon.
    limits = replace(judge.limits, challenges=replace(judge.limits.challenges, earliest_s=0.0))
    liveness = Liveness(
        level,
        ScriptedAsker(asked),
        judge.network,
        same_person(judge.recogniser, judge.same_person_score),
        limits=limits,
        can_ask=False,
        colours=lambda _: clip.shown,
    )
    probe: Template | None = None
    for number, path in enumerate(clip.frames):
        seen = look(judge.recogniser, _read(path), number, number / clip.fps)
        step = liveness.see(seen)
        if probe is None and seen.mesh is not None and not clip.is_attack:
            probe = seen.template()
        if step.judgement is not None:
            if step.judgement.verdict is Verdict.BONA_FIDE:
                probe = seen.template()
            break
    judgement = liveness.finish()
    if is_passive_only and judgement.verdict is Verdict.BONA_FIDE:
        judgement = replace(judgement, verdict=Verdict.UNDETERMINED, reason=Reason.NOT_ASKED, probe_frames=())
    return Played(clip, judgement, probe, is_passive_only)


def _read(path: Path) -> RgbImage:
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ImageError as error:
        raise ConfigError(f"{path}: {error}") from error


def summarise(played: Sequence[Played], level: Level, judge: Judge) -> dict[str, Any]:
    """Return the answer of an evaluation: counts, rates and bounds, the worst species first in the headline."""
    people = _bona_fide(played)
    known = [(one.clip.source, one.probe) for one in played if not one.clip.is_attack and one.probe is not None]
    species = _attacks(played, lambda probe: _is_somebody(probe, known, judge))
    worst = worst_species(species)
    passive_only = sum(one.is_passive_only for one in played)
    return {
        "level": level.value,
        "headline": {"worst_species": worst, **attack_row(species[worst])} if worst else None,
        "species": {name: attack_row(counts) for name, counts in species.items()},
        "bona_fide": {name: bona_fide_row(counts) for name, counts in people.items()},
        "bona_fide_all": all_people_row(people),
        "refused_by": _refusals(played),
        "passive_only": passive_only,
        "notes": [NOT_ASKED.format(passive_only)] if passive_only else [],
        "model": judge.network.model,
        "network_low": judge.limits.cues.network_low,
        "cameras": _named(played, "camera"),
        "lights": _named(played, "light"),
        "days": _named(played, "day"),
        "clips": [_clip_row(one) for one in played],
    }


def _bona_fide(played: Iterable[Played]) -> dict[str, Counts]:
    return _counts([one for one in played if not one.clip.is_attack], lambda one: one.clip.source, lambda _: False)


def _attacks(played: Iterable[Played], is_somebody: Callable[[Template], bool]) -> dict[str, Counts]:
    return _counts([one for one in played if one.clip.is_attack], lambda one: one.clip.species, is_somebody)


def _counts(
    played: Sequence[Played], group: Callable[[Played], str], is_somebody: Callable[[Template], bool]
) -> dict[str, Counts]:
    found = {}
    for name in sorted({group(one) for one in played}):
        rows = [one for one in played if group(one) == name]
        accepted = [one for one in rows if one.judgement.verdict is Verdict.BONA_FIDE]
        found[name] = Counts(
            presentations=len(rows),
            accepted=len(accepted),
            denied=sum(one.judgement.verdict is Verdict.ATTACK for one in rows),
            compared=sum(one.probe is not None and is_somebody(one.probe) for one in accepted),
        )
    return found


def _is_somebody(probe: Template, known: Sequence[tuple[str, Template]], judge: Judge) -> bool:
    scale = judge.recogniser.scale
    return any(scale.exact_score(compare(probe, other)) >= judge.verify_score for _, other in known)


def _refusals(played: Iterable[Played]) -> dict[str, int]:
    """Count why bona fide presentations were not accepted: by denying cue, or by reason."""
    causes: Counter[str] = Counter()
    for one in played:
        judgement = one.judgement
        if one.clip.is_attack or judgement.verdict is Verdict.BONA_FIDE:
            continue
        denying = [cue.name.value for cue in judgement.cues if cue.outcome.value == "denies"]
        causes[denying[0] if denying else str(judgement.reason.value if judgement.reason else "undetermined")] += 1
    return dict(sorted(causes.items()))


def _named(played: Iterable[Played], what: str) -> list[str]:
    return sorted({one.clip.about[what] for one in played if what in one.clip.about})


def _clip_row(one: Played) -> dict[str, Any]:
    clip = one.clip
    return {"clip": f"{clip.species}/{clip.source}/{shown(clip.path.name)}", **one.judgement.as_record()}


def network_median(played: Played) -> float | None:
    """Return the passive cue's value of a clip; None where it was not judged."""
    return next((cue.value for cue in played.judgement.cues if cue.name is CueName.NETWORK), None)
