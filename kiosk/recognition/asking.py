"""One challenge while it is asked: what the screen shows of it, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Callable

from kiosk.recognition.challenges import Answer, Challenge, Kind, Movement, Reading
from kiosk.recognition.flash import Flash, FlashResult, Shown, end_of
from kiosk.recognition.judgement import LivenessLimits, Prompt, Seen

FIRST_COLOUR_S = 0.1  # the screen's time to begin
UNREAD = Reading(math.nan, math.nan)


class Asking:
    """Follows the answer to one challenge."""

    def __init__(
        self,
        challenge: Challenge,
        asked_at: float,
        rest: Reading,
        limits: LivenessLimits,
        colours: Callable[[float], tuple[Shown, ...]] | None,
    ) -> None:
        """Begin to wait for the answer.

        Args:
            challenge: what is asked.
            asked_at: when the screen begins to ask, s.
            rest: the head before it was asked.
            limits: when the challenge counts as answered.
            colours: gives the colours of a flash that begins at a time.
        """
        self.challenge, self.asked_at, self._limits = challenge, asked_at, limits
        self.flash_result: FlashResult | None = None
        """What the colours did to the face, once they were shown."""
        self._movement: Movement | None = None
        self._flash: Flash | None = None
        self._shown: tuple[Shown, ...] = ()
        if challenge.kind is not Kind.FLASH:
            self._movement = Movement(challenge, limits.challenges, asked_at, rest)
            return
        if colours is None:
            raise ValueError("a flash was asked where no colours can be drawn")
        self._shown = colours(asked_at + FIRST_COLOUR_S)
        self._flash = Flash(self._shown, limits.flash)

    @property
    def is_flash(self) -> bool:
        """Whether colours are shown."""
        return self._flash is not None

    def see(self, seen: Seen, reading: Reading | None) -> Answer:
        """Take note of the next frame, which shows a face; say what became of the challenge."""
        if self._movement is not None:
            return self._movement.see(reading or UNREAD, seen.captured_at)
        assert self._flash is not None
        self._flash.correct(seen.shown)
        self._shown = seen.shown or self._shown
        if seen.mesh is not None:
            self._flash.see(seen.image, seen.faces[0], seen.mesh, seen.captured_at)
        if seen.captured_at < end_of(self._shown):
            return Answer.OPEN
        self.flash_result = self._flash.result()
        return self.flash_result.answer

    def prompt(self, now: float, *, number: int, count: int, attempt: int) -> Prompt:
        """Return what the screen shows; see `Prompt` for the arguments."""
        flash, movement = self._flash, self._movement
        return Prompt(
            challenge=self.challenge,
            number=number,
            count=count,
            attempt=attempt,
            until=end_of(self._shown) if flash else self.asked_at + self._limits.challenges.answer_s,
            progress=flash.progress(now) if flash else movement.progress if movement else 0.0,
            is_wrong_way=movement.is_wrong_way if movement else False,
            colours=self._shown if flash else (),
        )
