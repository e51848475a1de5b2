"""A kiosk's part in an update: hear of it, have the bundle whole and checked, wait for its turn, say how it went.

What was ordered before is no reason to go back: an order of an older version than any that was ordered here is refused,
whoever signed it.
"""

from __future__ import annotations

import logging
import platform
import sys
import threading
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from kiosk import __version__
from kiosk.errors import StoreError
from kiosk.fleet.member import Member
from kiosk.fleet.orders import UPDATE
from kiosk.fleet.updates.appliance import Installer
from kiosk.fleet.updates.fetching import Fetching
from kiosk.fleet.updates.order import Bundle, Update, newest, rank, update_of
from kiosk.fleet.updates.rollout import Rollout, Stage, Turn, Word
from kiosk.fleet.updates.shelf import Shelf
from kiosk.store.chain import Kind
from kiosk.store.store import Store

SETTLE_S = 5.0

log = logging.getLogger("kiosk.fleet")


@dataclass(frozen=True, slots=True)
class Others:
    """What is known of the other kiosks."""

    words: Mapping[str, Word] = field(default_factory=dict)
    fresh: AbstractSet[str] = frozenset()
    is_complete: bool = False  # everything was read that there was to read


@dataclass(frozen=True, slots=True)
class Standing:
    """How far this kiosk is with what was ordered last."""

    revision: int = 0
    version: str = ""
    stage: Stage = Stage.UNFIT
    why: str = ""
    culprit: str | None = None  # another kiosk, for which this one does not begin
    count: int = 0  # of changes, in all
    highest: str = ""  # newest version that was ever ordered here


@dataclass(frozen=True, slots=True)
class Machine:
    """What a kiosk runs and can be updated to."""

    version: str = __version__
    arch: str = field(default_factory=platform.machine)
    python: str = ".".join(map(str, sys.version_info[:2]))


class Staging:
    """One kiosk's part. `look` is for one thread, the rest for any."""

    def __init__(
        self,
        store: Store,
        member: Member,
        others: Callable[[], Others],
        installer: Installer | None,
        *,
        machine: Machine | None = None,
        settle_s: float = SETTLE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put the parts together; read what was there before.

        Args:
            store: whose log says what was done, and in whose folder the bundle lies.
            member: knows the order.
            others: what is known of the other kiosks now.
            installer: None: nothing here installs a release.
            machine: this one, unless given.
            settle_s: how long a kiosk waits at the head of the queue.
            clock: monotonic, s.
        """
        self._store, self._member, self._others, self._installer = store, member, others, installer
        self._machine, self._settle_s, self._clock = machine or Machine(), settle_s, clock
        self._shelf = Shelf(store.directory)
        self.fetching = Fetching(self._shelf)
        self._lock = threading.RLock()
        self._standing = standing_of(self._shelf)
        self._rollout = Rollout(member.id)
        self._update: Update | None = None
        self._asked = False  # the updater, in this process
        self._since: float | None = None  # when this process began to wait for it
        self._fault = ""

    @property
    def standing(self) -> Standing:
        """How far it is."""
        return self._standing

    def word(self) -> dict[str, object] | None:
        """Return what this kiosk says of it in its health; None: nothing was ordered."""
        now, progress = self._standing, self.fetching.progress()
        if not now.revision:
            return None
        return {
            "revision": now.revision,
            "version": now.version,
            "stage": now.stage.value,
            "count": now.count,
            "why": self._fault or now.why or self.fetching.lacks,
            "culprit": now.culprit,
            "done": None if progress is None else progress[0],
            "of": None if progress is None else progress[1],
        }

    def look(self) -> None:
        """Do what is to be done now.

        Raises:
            KioskError: the store takes nothing, or the order is of a newer program.
        """
        with self._lock:
            if self._standing.stage is not Stage.INSTALLING:
                self._hear()
            elif self._update is None:
                self._update = self._kept(self._standing.revision)
            if self._update is None or self._update.revision != self._standing.revision:
                return
            try:
                if self._standing.stage is Stage.FETCHING:
                    self._fetch()
                elif self._standing.stage is Stage.STAGED:
                    self._wait(self._clock())
                elif self._standing.stage is Stage.INSTALLING:
                    self._watch(self._clock())
            except OSError as error:
                raise StoreError(f"{error.filename}: {error.strerror}; the update waits") from error

    def _kept(self, revision: int) -> Update | None:
        """Return the order that a process before followed; None where it is gone."""
        return next((update_of(one) for one in self._member.orders(UPDATE) if one.revision == revision), None)

    def _hear(self) -> None:
        """Take the newest order where it is not the one that is being followed."""
        order, before = self._member.order(UPDATE), self._standing
        if order is None or (self._update is not None and self._update.revision == order.revision):
            return
        update = update_of(order)
        if before.highest and rank(update.version) < rank(before.highest):
            fault = f"update {update.revision} is to {update.version}, and {before.highest} was ordered before"
            if fault != self._fault:
                log.warning("fleet update refused reason=%r", fault)
            self._fault, self._update = fault, None
            return
        self._update, self._fault = update, ""
        if update.revision == before.revision:  # of a process before
            self._go_on(update)
            return
        stage, why = self._first_stage(update)
        highest = newest([update.version, *filter(None, [before.highest])])
        self._shelf.clean(self._bundle if stage is Stage.FETCHING else None)
        self._set(stage, why, replace(before, revision=update.revision, version=update.version, highest=highest))
        self._member.shared.orders.drop_before(UPDATE, update.revision)

    def _go_on(self, update: Update) -> None:
        """Go on with what a process before began: the bundle may be damaged since, the release another."""
        bundle, stage = self._bundle, self._standing.stage
        is_lost = stage is Stage.STAGED and (bundle is None or not self._shelf.is_whole(bundle))
        if is_lost or stage is Stage.UNFIT:
            self._set(*self._first_stage(update))
        elif stage is Stage.FETCHING:
            self.fetching.want(bundle)

    def _first_stage(self, update: Update) -> tuple[Stage, str]:
        stage, why = _first_stage(update, self._machine)
        if stage is Stage.FETCHING and self._installer is None:
            return Stage.UNFIT, "nothing here installs a release"
        return stage, why

    def _fetch(self) -> None:
        bundle = self._bundle
        assert bundle is not None
        if not self.fetching.has_all():
            return
        if self._shelf.finish(bundle):
            self._set(Stage.STAGED)
        else:  # each piece was right, so the order contradicts itself
            self._end(Stage.FAILED, "the pieces that were ordered are not the bundle that was ordered")

    def _wait(self, now: float) -> None:
        others, update, roster = self._others(), self._update, self._member.roster
        if not others.is_complete or roster is None or update is None or not self._member.is_let_in:
            self._rollout.pause()
            self._say("reading")
            return
        turn = self._rollout.turn(
            update,
            others.words,
            members=set(roster.members),
            fresh=others.fresh,
            now=now,
            settle_s=self._settle_s,
        )
        self._follow(turn, now)

    def _follow(self, turn: Turn, now: float) -> None:
        bundle = self._bundle
        if turn.culprit is not None:
            self._set(Stage.STOPPED, turn.why, replace(self._standing, culprit=turn.culprit))
            self._shelf.clean(None)
        elif not turn.goes:
            self._say(turn.why)
        elif bundle is None or not self._shelf.is_whole(bundle):  # the disk, or somebody at it
            self._shelf.clean(bundle)
            self._set(Stage.FETCHING, "what lay here was damaged")
        else:
            self._since = now
            self._record(Stage.INSTALLING)
            self._set(Stage.INSTALLING)  # first: whatever ends now, it is asked for again
            self._ask(bundle)

    def _say(self, why: str) -> None:
        if why != self._standing.why:
            self._set(self._standing.stage, why)

    def _ask(self, bundle: Bundle) -> None:
        assert self._installer is not None
        self._installer.ask(self._standing.revision, bundle, self._shelf.folder)
        self._asked = True

    def _watch(self, now: float) -> None:
        """Wait for the updater's word, which the next process may hear."""
        update, bundle = self._update, self._bundle
        assert update is not None
        if self._installer is None:  # the card is in another machine
            self._end(Stage.FAILED, "nothing here installs a release")
            return
        outcome = self._installer.outcome(self._standing.revision)
        is_old = rank(self._machine.version) < rank(update.version)  # this process is the release before
        if outcome is not None and not (outcome.stage is Stage.RUNS and is_old):
            self._end(outcome.stage, outcome.why)
            return
        self._since = now if self._since is None else self._since
        if now - self._since > update.within_s:
            self._installer.withdraw()
            self._end(Stage.FAILED, "the updater did not answer")
        elif outcome is None and not self._asked and bundle is not None and self._shelf.is_whole(bundle):
            self._ask(bundle)

    def _end(self, stage: Stage, why: str) -> None:
        self._record(stage)
        self._set(stage, why)
        self._asked, self._since = False, None
        self._shelf.clean(None)

    def _record(self, stage: Stage) -> None:
        about = {"fleet_update": self._standing.version, "stage": stage.value}
        self._store.record_act(Kind.SETTINGS, details=about, actor="fleet")

    @property
    def _bundle(self) -> Bundle | None:
        update = self._update
        return None if update is None else update.bundle_for(self._machine.arch, self._machine.python)

    def _set(self, stage: Stage, why: str = "", standing: Standing | None = None) -> None:
        """Keep how far it is, before anything follows from it."""
        before = self._standing
        culprit = standing.culprit if standing is not None and stage is Stage.STOPPED else None
        new = replace(standing or before, stage=stage, why=why, culprit=culprit, count=before.count + 1)
        self._shelf.write_state(asdict(new))
        self._standing = new
        if stage is not before.stage or new.revision != before.revision:
            self.fetching.want(self._bundle if stage is Stage.FETCHING else None)
        if (stage, new.revision) != (before.stage, before.revision):
            log.info("fleet update=%s revision=%d stage=%s", new.version, new.revision, stage.value)


def _first_stage(update: Update, machine: Machine) -> tuple[Stage, str]:
    """Return where a kiosk begins with an order that it hears."""
    runs, ordered = rank(machine.version), rank(update.version)
    if runs == ordered:
        return Stage.RUNS, ""
    if update.is_stopped:
        return Stage.STOPPED, "owner"
    if runs > ordered:
        return Stage.UNFIT, f"{machine.version} runs, which is newer"
    if update.bundle_for(machine.arch, machine.python) is None:
        return Stage.UNFIT, f"no bundle for {machine.arch} and Python {machine.python}"
    return Stage.FETCHING, ""


def standing_of(shelf: Shelf) -> Standing:
    """Return how far the kiosk of a folder is."""
    state = shelf.read_state()
    try:
        return Standing() if state is None else Standing(**{**state, "stage": Stage(state["stage"])})
    except (ValueError, KeyError, TypeError):
        log.warning("fleet update state damaged folder=%s", shelf.folder)
        return Standing()


def take_bundle(member: Member, folder: Path) -> str | None:
    """Take the bundle that the owner ordered from a folder, such as a stick's; return its name, None where it is not.

    The kiosk's own process looks at it, and waits for its turn as with one that came by a hub.

    Raises:
        RefusedError: the file of that name is another.
        ConfigError: there is no room, or it cannot be read.
    """
    order, machine = member.order(UPDATE), Machine()
    update = None if order is None else update_of(order)
    bundle = None if update is None or update.is_stopped else update.bundle_for(machine.arch, machine.python)
    if bundle is None or not (folder / bundle.name).is_file() or rank(machine.version) >= rank(bundle.version):
        return None
    Shelf(member.store.directory).give(bundle, folder / bundle.name)
    return bundle.name
