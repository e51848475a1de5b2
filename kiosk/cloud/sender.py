"""The outbox, sent: one row after the other, never twice as far as it can be known, and never faster than allowed.

Before a POST begins, its row is put in doubt. An answer that is surely a refusal, or a connection that never came
about, takes the doubt away; anything else leaves it, and then `GET /v3/sessions/` is searched for our request_id in
the metadata of what was saved. Only after `Pace.look_after_s` searches in vain is
the call made again: a session may show late. A crash in between leaves the row in doubt, so the same happens.

connection.py says whether anything is asked at all.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from typing import Any

from kiosk.cloud import acts
from kiosk.cloud.client import BusyError, CallRefusedError, Cloud, KeyRefusedError, NoCreditsError, NotThereError
from kiosk.cloud.connection import Connection, Pace
from kiosk.cloud.policy import Policy
from kiosk.cloud.wire import NoAnswerError, Wire
from kiosk.didit import webhooks
from kiosk.didit.answers import CloudSession, Service
from kiosk.settings.network import CloudSettings
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.notes import Notes
from kiosk.store.outbox import POLICIES, OutboxRow
from kiosk.store.store import Store
from kiosk.types import Origin, Status

DAY_S = 86400.0
MOST_PAGES = 200  # of one search: 10,000 sessions of one vendor_data since yesterday
EXPIRE_EVERY_S = 3600.0

log = logging.getLogger("kiosk.cloud_sending")


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
        self._secret, self._now, self._pace = secret, now, pace or Pace()
        self._acts = acts.Acts(store, cloud)
        self._policies = _policies(settings)
        self._policy = Policy(store, settings, now=now)
        self.connection = Connection(cloud, settings, notes=notes, now=now, rng=rng, pace=self._pace)
        self._is_in_order = False
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
        wait_s = self.connection.wait_s()
        if wait_s <= 0.0 and not self.connection.is_off and self._policies:
            wait_s = self._store.outbox.write_wait_s(now, self._settings.writes_per_minute)
        if wait_s > 0.0:
            return wait_s
        if self.connection.is_off:
            self.connection.try_again()
            return 0.0
        if not self.connection.knows_the_time():
            return self.connection.probe()  # the first search's date_from needs the server's clock
        row = self._store.outbox.claim(now, self._policies) if self._policies else None
        if row is None:
            return self.connection.idle(self._store.outbox.next_due(now) if self._policies else None)
        self._is_in_order = False
        self._send(row)
        self._is_in_order = True  # whatever else comes out of there leaves the row as being sent
        return self._pace.between_s

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
                self.connection.arrived()
            else:
                self._post(row, payload)
        except NoAnswerError as error:
            self._lost(row, error)
        except BusyError as error:
            self._later(row, str(error), self.connection.spare(error.retry_after_s))
        except (KeyRefusedError, NoCreditsError) as error:
            self._later(row, str(error), self._pace.stopped_s)
            self.connection.stop(error)
        except CallRefusedError as error:
            self._store.outbox.reject(row.id, str(error))
            self.connection.answered()
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
        self.connection.arrived()

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
        self.connection.arrived()

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
        pause_s = self.connection.failed(str(error), error.retry_after_s)
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
