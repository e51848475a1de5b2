"""The outbox, sent: one row after the other, never twice as far as it can be known, and never faster than allowed.

Before a POST begins, its row is put in doubt. An answer that is surely a refusal, or a connection that never came
about, takes the doubt away; anything else leaves it, and then `GET /v3/sessions/` is searched for our request_id in
the metadata of what was saved. Only after `Pace.look_after_s` searches in vain is
the call made again: a session may show late. A crash in between leaves the row in doubt, so the same happens.

The breaker opens after `FAILURES` failures in a row: then only the free health check is asked, with growing pauses. A
refused key or an empty account stops everything until the balance can be read again.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from kiosk.cloud import acts
from kiosk.cloud.client import BusyError, CallRefusedError, Cloud, KeyRefusedError, NoCreditsError, NotThereError
from kiosk.cloud.policy import Policy
from kiosk.cloud.wire import NoAnswerError, Wire
from kiosk.didit import webhooks
from kiosk.didit.answers import CloudSession, Service
from kiosk.errors import CloudError, KioskError
from kiosk.settings.sections import CloudSettings
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.notes import Notes
from kiosk.store.outbox import POLICIES, OutboxRow
from kiosk.store.store import Store
from kiosk.types import Origin, Status

FAILURES = 5  # in a row, from which the breaker opens
DAY_S = 86400.0
MOST_PAGES = 200  # of one search: 10,000 sessions of one vendor_data since yesterday
EXPIRE_EVERY_S = 3600.0

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


class Sender:
    """Sends the outbox. For one thread, and one process at a time."""

    def __init__(
        self,
        store: Store,
        cloud: Cloud,
        wire: Wire,
        settings: CloudSettings,
        *,
        secret: Callable[[], str | None],
        notes: Notes,
        now: Callable[[], float],
        rng: random.Random,
        pace: Pace | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            store: with the outbox.
            cloud: Didit.
            wire: for webhooks.
            settings: of [cloud].
            secret: reads the webhook secret.
            notes: where others read how it goes.
            now: s UTC.
            rng: for jitter.
            pace: waits.
        """
        self._store, self._cloud, self._wire, self._settings = store, cloud, wire, settings
        self._secret, self._notes, self._now, self._rng = secret, notes, now, rng
        self._pace = pace or Pace()
        self._acts = acts.Acts(store, cloud)
        self._policies = _policies(settings)
        self._policy = Policy(store, settings, now=now)
        self.breaker = Breaker.CLOSED
        self.alarm: str | None = None
        """Why everything has stopped."""

        self._is_in_order = False
        self._failures = 0
        self._not_before = now()  # nothing is asked before, s UTC
        self._probed_at = float("-inf")
        self._expired_at = float("-inf")

    def _recover(self) -> None:
        """Doubt what a crash, or a store that failed half-way, left being sent."""
        count = self._store.outbox.recover(self._now() + self._pace.recover_s)
        if count:
            log.info("outbox recovered rows=%d", count)
        self._is_in_order = True

    def step(self) -> float:
        """Do at most one thing; return after how many seconds there may be another. Whoever calls holds the lock."""
        if not self._is_in_order:
            self._recover()
        now = self._now()
        if now - self._expired_at >= EXPIRE_EVERY_S or now < self._expired_at:
            self._expired_at = now
            self._store.outbox.expire(now - self._settings.keep_days * DAY_S)
        is_off = self.breaker in {Breaker.OPEN, Breaker.STOPPED}
        wait_s = min(self._not_before - now, DAY_S)  # at most, should the clock be set back
        if wait_s <= 0.0 and not is_off and self._policies:
            wait_s = self._store.outbox.write_wait_s(now, self._settings.writes_per_minute)
        if wait_s > 0.0:
            return wait_s
        if is_off:
            return self._try_again()
        if self._cloud.skew_s is None and self._settings.policy != "summary":
            return self._probe()  # the first search's date_from needs the server's clock
        row = self._store.outbox.claim(now, self._policies) if self._policies else None
        if row is None:
            return self._idle()
        self._is_in_order = False
        self._send(row)
        self._is_in_order = True  # whatever else comes out of there leaves the row as being sent
        return self._pace.between_s

    # ---- the way there

    def _idle(self) -> float:
        """Ask the server now and then while there is nothing to send; a captive portal is no server."""
        now, every_s = self._now(), self._settings.probe_every_s
        next_due = self._store.outbox.next_due(now) if self._policies else None
        wait_s = every_s if next_due is None else min(every_s, next_due - now)
        due_s = min(self._probed_at + every_s - now, every_s)
        if self._settings.policy == "summary":
            return wait_s  # the webhook's server has no health check that we know of
        return min(wait_s, due_s) if due_s > 0.0 else self._probe()

    def _probe(self) -> float:
        self._probed_at = self._now()
        try:
            self._cloud.probe()
        except CloudError as error:
            return self._failed(str(error), _retry_after(error))
        self._notes.write(clock_skew_s=self._cloud.skew_s)
        self._failures = 0
        if self.breaker is Breaker.HALF_OPEN:
            self._turn(Breaker.CLOSED)
        return 0.0

    def _try_again(self) -> float:
        """Look with a free call whether sending makes sense again."""
        try:
            if self._settings.policy == "summary":
                pass  # the webhook's server has no free call that we know of
            elif self.breaker is Breaker.OPEN:
                self._cloud.probe()
            elif self._cloud.balance() <= 0:
                raise NoCreditsError("the account has no credits")
        except (KeyRefusedError, NoCreditsError) as error:
            self._stop(error)
        except CloudError as error:
            self._failed(str(error), _retry_after(error))
        else:
            self.alarm = None
            self._turn(Breaker.HALF_OPEN)
        return 0.0

    def _failed(self, error: str, retry_after_s: float = 0.0) -> float:
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

    def _pause(self, tries: int, at_least_s: float = 0.0) -> float:
        """Return a pause: all of it jitter, above the floor that the server set."""
        ceiling = min(self._pace.longest_s, self._pace.first_s * 2.0 ** min(tries - 1, 20))
        return at_least_s + self._rng.uniform(0.0, ceiling)

    def _stop(self, error: CloudError) -> None:
        if self._settings.policy == "summary":
            self.alarm = f"Summaries are refused ({error})."
        elif isinstance(error, NoCreditsError):
            self.alarm = "The cloud account has no credits: `kiosk cloud top-up` tells where to pay."
        else:
            self.alarm = "The cloud refuses the API key: `kiosk cloud login` or `kiosk cloud key` gives another."
        self._not_before = self._now() + self._pace.stopped_s
        self._notes.write(last_error=str(error))
        self._turn(Breaker.STOPPED)

    def _turn(self, breaker: Breaker) -> None:
        if breaker is not self.breaker:
            log.log(logging.WARNING if breaker is Breaker.STOPPED else logging.INFO, "cloud breaker=%s", breaker.value)
        self.breaker = breaker
        self._notes.write(breaker=breaker.value, alarm=self.alarm)

    def _arrived(self) -> None:
        self._failures = 0
        self.alarm = None
        self._notes.write(last_success=self._now(), clock_skew_s=self._cloud.skew_s)
        self._turn(Breaker.CLOSED)

    # ---- one row

    def _send(self, row: OutboxRow) -> None:  # noqa: C901  a branch for each kind of row, and for each way it fails
        payload = row.payload or {}
        is_summary = row.policy == "summary"
        try:
            if row.policy in acts.POLICIES:
                self._send_act(row, payload)
                return
            if not is_summary and row.doubt_from is not None:
                session = self._look(row, payload)
                if session is not None:
                    self._settle(row, payload, session.id, session.status)
                    return
                if row.looks + 1 < len(self._pace.look_after_s):
                    self._look_again(row)
                    return
            if not is_summary and not self._may_begin(row):
                return
            if is_summary:
                self._store.outbox.begin(
                    row.id,
                    now=self._now(),
                    server_now=self._now(),
                    writes_per_minute=self._settings.writes_per_minute,
                )
                self._store.settle(row.id, self._post_summary(payload))
                self._arrived()
            else:
                self._post(row, payload)
        except NoAnswerError as error:
            self._lost(row, error)
        except BusyError as error:
            self._later(row, str(error), self._failed_softly(error.retry_after_s))
        except (KeyRefusedError, NoCreditsError) as error:
            self._later(row, str(error), self._pace.stopped_s)
            self._stop(error)
        except CallRefusedError as error:
            self._store.outbox.reject(row.id, str(error))
            self._failures = 0
            log.warning("outbox parked row=%d", row.id)

    def _send_act(self, row: OutboxRow, payload: Mapping[str, Any]) -> None:
        """Send what an operator did, once what it is about is there."""
        obstacle = self._acts.obstacle(row, payload)
        if obstacle is acts.Obstacle.NOT_YET:
            self._later(row, obstacle.value, self._pace.look_after_s[0])
            return
        if obstacle is not None:
            self._store.outbox.supersede(row.id, obstacle.value)
            return
        remote = self._acts.find(row, payload) if row.doubt_from is not None else None
        is_in_doubt = remote is None and row.policy == acts.BLOCK and row.doubt_from is not None
        if is_in_doubt and row.looks + 1 < len(self._pace.look_after_s):
            self._look_again(row)
            return
        if remote is None:
            if not self._may_begin(row):
                return
            remote = self._acts.send(row, payload)
        self._store.settle(row.id, remote)
        self._arrived()

    def _may_begin(self, row: OutboxRow) -> bool:
        """Put a row in doubt, as its POST begins; put it back where a minute's writes are used up."""
        wait_s = self._store.outbox.begin(
            row.id,
            now=self._now(),
            server_now=self._cloud.server_now,
            writes_per_minute=self._settings.writes_per_minute,
        )
        if wait_s:  # another process was faster
            looks = None if row.doubt_from is None else row.looks
            self._store.outbox.postpone(row.id, self._now() + wait_s, "a minute's writes are used up", looks=looks)
        return not wait_s

    def _post(self, row: OutboxRow, payload: Mapping[str, Any]) -> None:
        photographs = self._store.outbox.photographs(row.id)
        service = Service(payload["service"])
        if not photographs:
            raise CallRefusedError("its photographs were not kept")
        opinion = self._cloud.judge(service, photographs, payload["fields"])
        self._settle(row, payload, opinion.request_id, opinion.status, opinion.score)

    def _post_summary(self, payload: Mapping[str, Any]) -> str:
        secret = self._secret()
        if secret is None:
            raise KeyRefusedError("there is no webhook secret; give it with `kiosk cloud secret`")
        body, headers = webhooks.signed(payload, secret, at=int(self._now()))
        headers["idempotency-key"] = str(payload.get("request_id"))
        reply = self._wire.ask("POST", self._settings.webhook_url, within_s=20.0, content=body, headers=headers)
        if 200 <= reply.status < 300:  # noqa: PLR2004  what HTTP calls a success
            return str(reply.headers.get("x-request-id") or f"HTTP {reply.status}")[:200]
        self._cloud.accepted(reply, (secret,))
        raise NoAnswerError(f"HTTP {reply.status}", may_have_arrived=True)

    def _look(self, row: OutboxRow, payload: Mapping[str, Any]) -> CloudSession | None:
        """Find a row's call among the saved ones; None where it is not there (yet)."""
        fields, service = payload["fields"], Service(payload["service"])
        since = row.doubt_from if row.doubt_from is not None else self._cloud.server_now
        seen: set[str] = set()
        for number in range(MOST_PAGES):
            page = self._cloud.sessions(fields["vendor_data"], service, since=since, offset=len(seen))
            for listed in page.sessions:
                if listed.id in seen:  # the list grew while we read on
                    continue
                seen.add(listed.id)
                if not self._store.outbox.is_known(listed.id) and self._is_of(row, listed):
                    return listed
            if not page.has_more:
                return None
            log.debug("outbox search row=%d page=%d", row.id, number)
        raise NoAnswerError("the list of sessions has no end", may_have_arrived=True)

    def _is_of(self, row: OutboxRow, listed: CloudSession) -> bool:
        metadata = listed.metadata
        if metadata is None:
            try:
                metadata = self._cloud.session(listed.id).metadata
            except NotThereError:  # deleted since
                return False
        return metadata is not None and metadata.get("request_id") == row.request_id

    def _settle(
        self,
        row: OutboxRow,
        payload: Mapping[str, Any],
        remote: str,
        status: Status | None,
        score: float | None = None,
    ) -> None:
        revision = None
        if self._settings.second_opinion and status is not None and payload["service"] == Service.FACE_MATCH.value:
            revision = self._revision(row, str(payload["status"]), status, remote, score)
        self._store.settle(row.id, remote, revision)
        log.info("outbox sent row=%d attempts=%d", row.id, row.attempts)
        self._arrived()

    def _revision(
        self, row: OutboxRow, offline: str, status: Status, remote: str, score: float | None
    ) -> NewDecision | None:
        """Return the record of a verdict that differs from a decision in review; the decision itself stays."""
        if offline != Status.IN_REVIEW.value or status.value == offline:
            return None
        (first,) = self._store.decisions(DecisionFilter(request_id=row.request_id), limit=1).decisions
        return revision_of(self._policy, first, status=status, remote=remote, score=score)

    # ---- what went wrong

    def _lost(self, row: OutboxRow, error: NoAnswerError) -> None:
        pause_s = self._failed(str(error), error.retry_after_s)
        if row.policy != "summary" and (row.doubt_from is not None or error.may_have_arrived):
            # A search that failed, or a call that may have arrived: it stays in doubt, and the search begins anew.
            pause_s = max(self._pace.look_after_s[0], pause_s)
            self._store.outbox.postpone(row.id, self._now() + pause_s, str(error), looks=0)
        else:
            self._later(row, str(error), pause_s)

    def _look_again(self, row: OutboxRow) -> None:
        gaps = self._pace.look_after_s
        pause_s = gaps[row.looks + 1] - gaps[row.looks]
        self._store.outbox.postpone(
            row.id, self._now() + pause_s, "not among the saved calls (yet)", looks=row.looks + 1
        )

    def _failed_softly(self, retry_after_s: float) -> float:
        """Leave the server alone for as long as it said; it is well, so the breaker stays as it is."""
        pause_s = self._pause(1, retry_after_s)
        self._not_before = self._now() + pause_s
        return pause_s

    def _later(self, row: OutboxRow, error: str, pause_s: float) -> None:
        """Put a row back: a fresh one surely did not arrive, one in doubt stays so."""
        looks = None if row.doubt_from is None else row.looks
        self._store.outbox.postpone(row.id, self._now() + pause_s, error, looks=looks)


def revision_of(policy: Policy, first: Any, *, status: Status, remote: str, score: float | None) -> NewDecision:
    """Return the record that the cloud says otherwise about a decision."""
    entry = first.entry
    revision = NewDecision(
        kind=Kind.REVISION,
        status=status.value,
        score=score,
        session_number=entry.session_number,
        subjects=() if entry.session_number is None else (entry.session_number,),
        vendor_data=first.vendor_data,
        details={
            "of": entry.request_id,
            "first_status": entry.status,
            "remote_request_id": remote,
        },
        actor="cloud",
        origin=Origin.CLOUD,
    )
    return policy.with_summary(revision)


def _policies(settings: CloudSettings) -> tuple[str, ...]:
    """Return which rows are sent under the settings of now: what was queued under others stays."""
    wanted = {settings.policy, *acts.wanted(settings)} | ({"opinion"} if settings.second_opinion else set())
    return tuple(policy for policy in POLICIES if policy in wanted)


def _retry_after(error: KioskError) -> float:
    return float(getattr(error, "retry_after_s", 0.0))
