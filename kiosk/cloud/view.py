"""What operators see of the cloud: how the way there is, what waits, what came; read from the store in any process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from kiosk.cloud.credentials import WEBHOOK_SECRET, Credentials
from kiosk.cloud.policy import Policy
from kiosk.cloud.sender import revision_of
from kiosk.didit import webhooks
from kiosk.didit.answers import read_session
from kiosk.didit.contract import timestamp
from kiosk.errors import CloudError, RefusedError
from kiosk.settings.network import CloudSettings
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.outbox import OutboxState
from kiosk.store.remote_lists import Lists
from kiosk.store.store import Store


class CloudView:
    """The cloud as the API and the command line show it. Safe in several threads."""

    def __init__(
        self,
        store: Store,
        settings: CloudSettings,
        credentials: Credentials,
        *,
        now: Callable[[], float],
        balance: Callable[[], Decimal] | None = None,
    ) -> None:
        """Take the store, [cloud], the secrets (for webhooks), the clock, s UTC, and what asks for the balance."""
        self._balance, self._asking = balance, threading.Lock()
        self._store, self._settings, self._credentials, self._now = store, settings, credentials, now
        self._notes, self._lists = store.notes, Lists(store)

    def status(self) -> dict[str, Any]:
        """Return how it is, for JSON; no secrets, nobody's name."""
        notes, oldest = self._notes.read(), self._store.outbox.oldest_waiting()
        success = notes.get("last_success")
        return {
            "policy": self._settings.policy,
            "fallback": self._settings.fallback,
            "second_opinion": self._settings.second_opinion,
            "breaker": notes.get("breaker", "closed"),
            "alarm": notes.get("alarm"),
            "counts": {state.value: count for state, count in self._store.outbox.counts().items()},
            "photograph_bytes": self._store.outbox.photograph_bytes(),
            "oldest_waiting_s": None if oldest is None else round(max(0.0, self._now() - oldest), 1),
            "last_success": None if success is None else timestamp(success),
            "last_error": notes.get("last_error"),
            "lists": [
                {
                    "list": one.list,
                    "complete_at": timestamp(one.at),
                    "entries": one.entries,
                    "unusable": one.unusable,
                }
                for one in self._lists.complete()
            ],
            "held_lists": [
                {"list": one.list, "since": timestamp(one.since), "vanished": one.vanished, "passes": one.passes}
                for one in self._lists.held()
                if not one.is_confirmed
            ],
            "clock_skew_s": notes.get("clock_skew_s"),
        }

    def rows(self, state: str | None, limit: int, offset: int) -> list[dict[str, Any]]:
        """Return rows of the outbox, oldest first, without what they hold."""
        wanted = None if state is None else OutboxState(state)
        return [
            {
                "id": row.id,
                "request_id": row.request_id,
                "policy": row.policy,
                "state": row.state.value,
                "attempts": row.attempts,
                "next_attempt_at": timestamp(row.next_attempt_at),
                "remote_request_id": row.remote_request_id,
                "last_error": row.last_error,
            }
            for row in self._store.outbox.rows(wanted, limit=limit, offset=offset)
        ]

    def balance(self) -> str:
        """Return the account's credits in dollars, asked now: a call that is free.

        Raises:
            CloudError: they cannot be read, or another caller waits for them already.
        """
        if self._balance is None or not self._asking.acquire(blocking=False):
            raise CloudError("the balance is being asked for already")
        try:
            return f"{self._balance():f}"
        finally:
            self._asking.release()

    def receive_webhook(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Take a webhook of Didit's that an owner relays: a person there decided about a call that was replayed.

        Returns:
            Whether it said anything new; then it is recorded as a revision.

        Raises:
            RefusedError: it is not signed as it should be, or there is no secret to check it by.
        """
        secret = self._credentials.read(WEBHOOK_SECRET)
        if secret is None:
            raise RefusedError("there is no webhook secret; give it with `kiosk cloud secret`")
        said = webhooks.verified(body, headers, secret, now=self._now())
        try:
            session = read_session(said)
        except CloudError as error:
            raise RefusedError(str(error)) from None
        request = self._store.outbox.request_of(session.id)
        if request is None or session.status is None:
            return False
        first = self._store.decisions(DecisionFilter(request_id=request), limit=1).decisions
        if not first:
            return False
        revisions = self._store.decisions(DecisionFilter(kinds=(Kind.REVISION,)), limit=1000).decisions
        latest = next((one.entry.status for one in revisions if one.entry.details.get("of") == request), None)
        if session.status.value == (latest or first[0].entry.status):
            return False
        policy = Policy(self._store, self._settings, now=self._now)
        self._store.record_decision(revision_of(policy, first[0], status=session.status, remote=session.id, score=None))
        return True
