"""What was gathered about whoever stands before the camera, and what the cues say of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from kiosk.recognition.challenges import Answer, Challenge, Reading, is_frontal
from kiosk.recognition.cues import (
    Cue,
    CueName,
    CueOutcome,
    EmptyScene,
    SpoofNetwork,
    Surroundings,
    covered_cue,
    fits,
    network_cue,
)
from kiosk.recognition.flash import FlashResult
from kiosk.recognition.judgement import LivenessLimits, Phase, Reason, Seen
from kiosk.types import Template

MOST_JUDGED = 15  # frames that the network looks at in one presentation
NEXT_JUDGED_S = 0.05  # between two of them: neighbours say the same


@dataclass(slots=True, eq=False)
class Evidence:
    """Of one person in one presentation; begun anew with the next, so that nothing passes from one to another."""

    limits: LivenessLimits
    network: SpoofNetwork
    scene: EmptyScene | None  # what the camera sees while nobody is there; None while that is not known
    first_at: float | None = None  # when a frontal frame came first in this phase, s
    frontal: int = 0  # frames in this phase
    before: list[Template] = field(default_factory=list)
    after: list[tuple[int, float]] = field(default_factory=list)  # number and time
    shares: list[float] = field(default_factory=list)  # the network's
    judged_at: float = float("-inf")
    covered: float | None = None
    surroundings: Surroundings = field(default_factory=Surroundings)
    flash: FlashResult | None = None
    met: list[Challenge] = field(default_factory=list)
    is_too_large: bool = False  # in the last frame
    unlike: int = 0  # frames in a row that are not the person of `before`
    rest: list[Reading] = field(default_factory=list)  # of the frontal frames of this phase

    def begin_phase(self) -> None:
        """Forget the frames that counted for the phase before."""
        self.first_at, self.frontal = None, 0
        self.after, self.rest = [], []

    def take_frontal(self, reading: Reading, now: float) -> float:
        """Count a frontal frame of this phase; return for how long the face has looked ahead, s."""
        self.first_at = now if self.first_at is None else self.first_at
        self.frontal += 1
        self.rest.append(reading)
        return now - self.first_at

    def rest_reading(self) -> Reading:
        """Return the head as it was while it looked ahead in this phase."""
        return Reading(
            float(np.median([one.yaw_deg for one in self.rest])), float(np.median([one.mouth for one in self.rest]))
        )

    def look(self, seen: Seen, reading: Reading | None, phase: Phase, *, is_lit: bool) -> None:
        """Gather what the cues say of a frame.

        Args:
            seen: the frame; it shows a face.
            reading: of its mesh; None where the mesh sees no face in it.
            phase: of the presentation.
            is_lit: whether colours fall on the face, which the network was not made for.
        """
        face, now = seen.faces[0], seen.captured_at
        if seen.mesh is not None:
            self.surroundings.see(seen.image, face, seen.mesh, now)
        if is_lit or reading is None or not self._is_judgeable(reading, phase):
            return
        if self.scene is not None and self.covered is None:
            self.covered = self.scene.covered(seen.image)
        self.is_too_large = not fits(seen.image, face, self.limits.cues)
        if self.is_too_large:
            return
        if len(self.shares) < MOST_JUDGED and now - self.judged_at >= NEXT_JUDGED_S:
            self.judged_at = now
            self.shares.append(self.network.judge(seen.image, face))

    def _is_judgeable(self, reading: Reading, phase: Phase) -> bool:
        """Whether the network should look: heads that are turned far are not what it was made for."""
        if phase is Phase.BEFORE:  # a picture of a turned head is a picture all the same
            return abs(reading.yaw_deg) <= self.limits.network_yaw_deg
        return is_frontal(reading, self.limits.challenges)

    def cues(self) -> tuple[Cue, ...]:
        """Return what each cue says so far; the network's comes first."""
        cues = [
            network_cue(self.shares, self.limits.cues),
            covered_cue(self.covered, self.limits.cues),
            self.surroundings.cue(self.limits.cues),
        ]
        if self.flash is not None:
            shines = self.flash.answer is Answer.WRONG
            cues.append(
                Cue(
                    CueName.FLASH,
                    CueOutcome.DENIES if shines else CueOutcome.PASSES,
                    round(self.flash.face, 3),
                    self.limits.flash.follows,
                    f"the face follows the colours by {self.flash.face:.2f} (strength "
                    f"{self.flash.strength:.2f}), its surroundings by {self.flash.around:.2f} "
                    f"({self.flash.around_strength:.2f})",
                )
            )
        return tuple(cues)

    @property
    def denies(self) -> bool:
        """Whether a cue denies."""
        return any(cue.outcome is CueOutcome.DENIES for cue in self.cues())

    @property
    def is_rigid(self) -> bool:
        """Whether the surroundings moved as the face did, so that a challenge should be asked."""
        return self.surroundings.cue(self.limits.cues).outcome is CueOutcome.ASKS

    @property
    def has_network_frames(self) -> bool:
        """Whether the network saw enough frames."""
        return len(self.shares) >= self.limits.cues.network_frames

    @property
    def misfit(self) -> Reason | None:
        """Why the network saw too few frames, where that is known."""
        return Reason.TOO_LARGE if self.is_too_large and not self.has_network_frames else None
