"""Asking the cloud at once, within the time a person waits; no answer approves nothing.

The same limits hold as for the outbox: a minute's writes, and the key. An answer that does not come in time is no
answer; the decision is then marked as asked, so that its replay looks in the cloud before it is billed again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from kiosk.cloud.client import Cloud
from kiosk.cloud.policy import SERVICE_BY_KIND, call_fields
from kiosk.didit.answers import Opinion, Service
from kiosk.errors import CloudError
from kiosk.settings.network import CloudSettings
from kiosk.store.decision_log import NewDecision
from kiosk.store.store import Store

AT_ONCE = 2  # calls on their way; more would only wait for each other
REST_S = 30.0  # without a call after one that failed: a door must not wait each time while the network is gone

log = logging.getLogger("kiosk.cloud_fallback")


class Fallback:
    """Asks Didit within a time. Safe in several threads."""

    def __init__(
        self,
        store: Store,
        cloud: Cloud,
        settings: CloudSettings,
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """Put the parts together; `now` in s UTC."""
        self._store, self._cloud, self._settings = store, cloud, settings
        self._now, self._monotonic = now, monotonic
        self._free = threading.BoundedSemaphore(AT_ONCE)
        self._not_before = float("-inf")

    def about(self, decision: NewDecision, photographs: Mapping[str, bytes]) -> Opinion | None:
        """Return what the cloud says about a decision's call, as `Outgoing.connect` takes it."""
        fields = call_fields(decision, self._store.identity, self._now())
        return self._ask(SERVICE_BY_KIND[decision.kind], photographs, fields, self._settings.fallback_s)

    def _ask(
        self, service: Service, photographs: Mapping[str, bytes], fields: Mapping[str, str], budget_s: float
    ) -> Opinion | None:
        if self._monotonic() < self._not_before or not self._free.acquire(blocking=False):
            return None
        try:
            if self._store.outbox.take_write(self._now(), self._settings.writes_per_minute):
                return None
            opinion = self._cloud.judge(service, photographs, fields, within_s=budget_s)
        except CloudError as error:
            self._not_before = self._monotonic() + REST_S
            log.warning("fallback failed service=%s reason=%r", service.value, str(error))
            return None
        finally:
            self._free.release()
        log.info("fallback answered service=%s status=%s", service.value, opinion.status.value)
        return opinion
