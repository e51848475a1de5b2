"""The acceptance as both shells lead it: what is measured by the device itself, and noted.

Presentations are the door's own: what is counted are the decisions in the signed log, between the moment when somebody
said who steps up and the moment when they said that it is over. A wizard that is killed in between finds them again.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kiosk import __version__
from kiosk.device.device import Device
from kiosk.device.site import scores_here
from kiosk.device.thresholds import listing_threshold
from kiosk.door.inputs import Happened
from kiosk.entrance.decide import ACTOR
from kiosk.entrance.news import Broadcast, News, Topic
from kiosk.errors import RefusedError
from kiosk.evaluation.acceptance.findings import camera_faults
from kiosk.evaluation.acceptance.journal import Journal
from kiosk.evaluation.acceptance.plan import ASKED, DEFAULT_GOALS, PRESENTED, Goal, Step
from kiosk.evaluation.acceptance.report import Issue, as_html, moment
from kiosk.evaluation.acceptance.signature import SUFFIX, public_key_text, sign
from kiosk.evaluation.acceptance.trial import Note, Seen, Trial
from kiosk.recognition.embed import DARK
from kiosk.recognition.quality import measure, objection, objection_to
from kiosk.rules.text import objection as text_objection
from kiosk.settings.sections import SearchSettings
from kiosk.store.chain import Kind
from kiosk.store.durable import write_private
from kiosk.types import RgbImage

LONGEST = 200  # characters of what an installer writes
KEPT_TIMES = 256
RELAY_S = 1.5  # from a decision until its door must have been opened
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Timed:
    """How long one presentation took, s; None where nobody watched, or no door opened."""

    took_s: float | None = None  # from the first sight of somebody to the decision
    relay_s: float | None = None  # from the decision to the relay


class Watch:
    """Times each presentation of a running kiosk: from the first sight to the decision, and from there to the relay."""

    def __init__(self, news: Broadcast) -> None:
        """Listen from now on."""
        self._lock = threading.Condition()
        self._since: float | None = None
        self._timed: OrderedDict[str, tuple[float, Timed]] = OrderedDict()  # with when it was decided, s UTC
        self.end = news.listen(self._hear)

    def __call__(self, request_id: str) -> Timed:
        """Return how long a decision took."""
        with self._lock:
            return self._timed.get(request_id, (0.0, Timed()))[1]

    def wait_for_relay(self, request_id: str) -> None:
        """Wait until the door was opened for a decision, but not for long: there may be no door."""
        with self._lock:
            self._lock.wait_for(lambda: self._timed.get(request_id, (0.0, Timed()))[1].relay_s is not None, RELAY_S)

    def _hear(self, news: News) -> None:
        with self._lock:
            if news.topic is Topic.SCREEN:
                is_idle = news.data.get("state") == "idle"
                self._since = None if is_idle else (self._since or news.at)
            elif news.topic is Topic.DECISION and "request_id" in news.data:
                took = None if self._since is None else round(max(0.0, news.at - self._since), 3)
                self._timed[str(news.data["request_id"])] = float(news.data.get("at", news.at)), Timed(took)
                while len(self._timed) > KEPT_TIMES:
                    self._timed.popitem(last=False)
            elif news.topic is Topic.DOOR and news.data.get("what") == Happened.RELAY_ON.value:
                known = self._timed.get(str(news.data.get("decision")))
                if known is not None:
                    at, timed = known
                    relay = round(max(0.0, float(news.data.get("at", news.at)) - at), 3)
                    self._timed[str(news.data["decision"])] = at, replace(timed, relay_s=relay)
                    self._lock.notify_all()


class Wizard:
    """Notes one step after the other. Safe in several threads."""

    def __init__(
        self,
        device: Device,
        *,
        now: Callable[[], float],
        watch: Watch | None = None,
        process: Callable[[], int | None] = os.getpid,
        holds_from_age: float | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            device: recogniser, store and settings.
            now: seconds UTC.
            watch: times what a running kiosk decides; None: nothing is timed.
            process: the running kiosk's process; None while none runs.
            holds_from_age: from which age scores hold, years; None where the model pack does not say.
        """
        self.device, self.journal = device, Journal(device.store.directory)
        self._now, self._watch, self._process, self._holds_from_age = now, watch, process, holds_from_age

    def trial(self) -> Trial:
        """Return how far the acceptance is."""
        return self.journal.trial()

    def threshold(self) -> float:
        """Return the threshold in force at the door, a score."""
        device, entrance = self.device, self.device.config.entrance
        if entrance.mode == "verify":
            return device.held_here(entrance.verify_threshold)
        wanted = SearchSettings(similarity_threshold=entrance.identify_threshold, hold_fpir=entrance.hold_fpir)
        return device.held_here(listing_threshold(wanted, device.scale, device.gallery.references))

    def setup(self) -> dict[str, Any]:
        """Return what the figures depend on, as it is now."""
        config = self.device.config
        return {
            "version": __version__,
            "model": self.device.recogniser.model,
            "mode": config.entrance.mode,
            "threshold": round(self.threshold(), 1),
            "blocklist_threshold": config.entrance.blocklist_threshold,
            "pad_level": str(config.pad.chosen_level),
            "people": self.device.gallery.subjects,
            "references": self.device.gallery.references,
            "age_low": config.entrance.age_low,
            "holds_from_age": self._holds_from_age,
            "store": self.device.store.identity,
        }

    # ---- notes

    def begin(self, goals: Mapping[Step, Goal] | None = None) -> Trial:
        """Begin; goals that are not given are the default ones."""
        chosen = {step.value: goal.rate for step, goal in {**DEFAULT_GOALS, **(goals or {})}.items()}
        return self._add({"what": "begin", "goals": chosen, "setup": self.setup()})

    def restart(self, goals: Mapping[Step, Goal] | None = None) -> Trial:
        """Begin anew; what was noted before is kept under another name."""
        self.journal.put_aside(self._now())
        return self.begin(goals)

    def note_camera(self, source: str, size_wh: tuple[int, int], fps: float, brightness: float) -> Trial:
        """Note what the camera gives."""
        camera = {
            "source": source,
            "width": size_wh[0],
            "height": size_wh[1],
            "fps": round(fps, 1),
            "brightness": round(brightness, 1),
        }
        faults = [one.kind for one in camera_faults(size_wh, fps, brightness)]
        return self._add({"what": "camera", "camera": {**camera, "faults": faults, "is_good": not faults}})

    def note_light(self, image: RgbImage) -> Trial:
        """Measure the light on the one face in a picture, and note it.

        Raises:
            RefusedError: there is no face in it, or several.
        """
        recogniser = self.device.recogniser
        faces = recogniser.detect(image)
        if len(faces) != 1:
            said = "nobody is in the picture" if not faces else f"{len(faces)} faces are in the picture"
            raise RefusedError(f"{said}; have one person stand where people will stand, looking into the camera")
        face = recogniser.sharpen(image, faces[0])
        quality = measure(image, face)
        template = recogniser.extract(image, face)
        why = objection(quality) or objection_to(template)
        if why is None and quality.luminance < DARK:
            why = "the face is dark; put light in front of it"
        reading = {name: round(float(value), 2) for name, value in asdict(quality).items()}
        known = None if template.quality is None else round(template.quality, 1)
        return self._add({"what": "light", "light": {**reading, "template_quality": known, "objection": why}})

    def begin_presentation(self, step: Step, who: str, species: str = "") -> Trial:
        """Say who steps up, or what is held up.

        Args:
            step: people, strangers or attacks.
            who: a person's session_number; a stranger's number or the instrument's name, never a person's name.
            species: the kind of attack.

        Raises:
            RefusedError: another presentation is under way, nobody has this number, or a name is missing.
        """
        who, species = _written(who, "who presents"), _written(species, "the kind of attack", empty=True)
        if step not in PRESENTED:
            raise RefusedError(f"nobody presents in step {step.value}")
        if step is Step.PEOPLE:
            known = self.device.store.people.subject(int(who)) if who.isdecimal() and len(who) < LONGEST else None
            if known is None:
                raise RefusedError(f"nobody here has the number {who}; `kiosk gallery list` prints them")
        if (step is Step.ATTACKS) != bool(species):
            raise RefusedError("an attack has a kind, such as print or phone, and nothing else has one")
        tail = self.device.store.log.tail()
        return self._add(
            {"what": "present", "step": step.value, "who": who, "species": species, "after": tail.seq if tail else 0}
        )

    def decisions(self, trial: Trial) -> tuple[Seen, ...]:
        """Return what the door decided in the presentation that is under way, oldest first."""
        if trial.under_way is None:
            return ()
        entries = (signed.entry for signed in self.device.store.log.records(after=trial.under_way.after))
        found = [one for one in entries if one.kind in (Kind.IDENTIFY, Kind.VERIFY) and one.actor == ACTOR]
        return tuple(
            Seen(
                entry.seq,
                entry.request_id,
                entry.status or "",
                entry.score,
                entry.session_number,
                tuple(entry.details.get("reasons", ())),
                **asdict(self._watch(entry.request_id) if self._watch is not None else Timed()),
            )
            for entry in found
        )

    def end_presentation(self, *, is_unseen: bool = False) -> Trial:
        """Count the presentation that is under way.

        Args:
            is_unseen: the kiosk decided nothing, and that is what happened: a failure to acquire.

        Raises:
            RefusedError: none is under way, or nothing was decided yet, or was though it is said not to be.
        """
        if self._watch is not None:
            for one in self.decisions(self.trial()):
                if one.is_granted and one.took_s is not None:
                    self._watch.wait_for_relay(one.request_id)

        def note(trial: Trial) -> Note:
            seen = self.decisions(trial)
            if trial.under_way is not None and not seen and not is_unseen:
                raise RefusedError("nothing was decided yet; wait, or say that the kiosk did not respond")
            if seen and is_unseen:
                raise RefusedError("the kiosk did decide; count the presentation")
            return {"what": "seen", "seen": [asdict(one) for one in seen], "at": self._now()}

        return self.journal.add(note)

    def drop_presentation(self) -> Trial:
        """Take back the presentation that is under way: somebody else stepped up, say."""
        return self._add({"what": "drop"})

    def withdraw(self, number: int) -> Trial:
        """Take back a presentation that was counted by mistake; the report says how many were."""
        return self._add({"what": "withdraw", "number": number})

    def note_stopwatch(self, seconds: float) -> Trial:
        """Note a time from stepping up to the open door, as somebody measured it by hand."""
        if not 0.0 < seconds <= 600.0:  # noqa: PLR2004  ten minutes: nobody waits longer
            raise RefusedError("want more than 0 and at most 600 seconds")
        return self._add({"what": "stopwatch", "seconds": round(seconds, 2)})

    def begin_asked(self, step: Step) -> Trial:
        """Note how things are before the watchdog or the power is tried."""
        return self._add({"what": "wait", "step": step.value, "before": {"pid": self._process(), "boot": boot_id()}})

    def note_word(self, step: Step, *, worked: bool, text: str = "") -> Trial:
        """Note what the installer tells of a step, beside what the device sees of it."""
        words = _written(text, "what happened", empty=True)
        is_intact = self.device.store.verify_log(every_signature=False).is_intact if step in ASKED else None

        def note(trial: Trial) -> Note:
            before = trial.waiting.get(step)
            pid, boot = self._process(), boot_id()
            return {
                "what": "word",
                "step": step.value,
                "worked": worked,
                "text": words,
                "is_new_process": _differs(before, "pid", pid),
                "is_new_boot": _differs(before, "boot", boot),
                "is_log_intact": is_intact,
                "at": self._now(),
            }

        return self.journal.add(note)

    def skip(self, step: Step, reason: str) -> Trial:
        """Leave a step out; the report says that it was not measured, and why."""
        return self._add({"what": "skip", "step": step.value, "reason": _written(reason, "the reason")})

    # ---- the report

    @property
    def key(self) -> str:
        """The public key that checks reports, as minisign writes it."""
        return public_key_text(self.device.store.vault.public_key)

    def report(self, language: str = "en") -> tuple[bytes, str]:
        """Return the report as it is now, and its signature.

        Args:
            language: of the report; one that nobody wrote gives the English one.

        Raises:
            RefusedError: no acceptance has begun.
        """
        trial, at, device = self.trial(), self._now(), self.device
        if trial.begun_at is None:
            raise RefusedError("no acceptance has begun here")
        site = device.site_curve
        rows = [] if site is None else [asdict(row) for row in scores_here(device.scale, site)]
        issue = Issue(at, self.key, self.setup(), round(self.threshold(), 1), rows, language)
        page = as_html(trial, issue).encode()
        comment = f"acceptance of {device.store.identity} at {moment(at)} UTC, {trial.notes} notes"
        return page, sign(page, comment, device.store.vault.public_key, device.store.vault.sign)

    def _add(self, note: Note) -> Trial:
        return self.journal.add(lambda _: {**note, "at": self._now()})


def write_report(wizard: Wizard, path: Path, language: str = "en") -> bytes:
    """Write the report as it is now in a language, and its signature beside it; return the report.

    Raises:
        RefusedError: no acceptance has begun.
        OSError: they cannot be written; what was there before stays.
    """
    page, signed = wizard.report(language)
    for target, content in ((path, page.decode()), (path.with_name(path.name + SUFFIX), signed)):
        write_private(target, content)
    return page


def boot_id() -> str | None:
    """Return what tells one start of the machine from the next; None where the kernel does not say."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return None


def brightness_of(image: RgbImage) -> float:
    """Return the mean of all pixels, 0..255."""
    return float(np.mean(image))


def _differs(before: Mapping[str, Any] | None, name: str, value: object) -> bool | None:
    """Say whether something is another one than before; None where either is not known."""
    if before is None or before.get(name) is None or value is None:
        return None
    return bool(before[name] != value)


def _written(text: str, what: str, *, empty: bool = False) -> str:
    text = text.strip()
    if (not text and not empty) or len(text) > LONGEST:
        raise RefusedError(f"{what}: want a text of 1 to {LONGEST} characters")
    if (why := text_objection(text)) is not None:
        raise RefusedError(f"{what} {why}")
    return text
