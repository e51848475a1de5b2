"""Face lists of the cloud, pulled down and blocked here: a step at a time, to be gone on with after any stop.

A pass reads a list from its first entry to its last. Each page begins with the last entry of the one before: is that
another, or has the list another length, then it changed meanwhile and the pass begins again. What is read is staged;
only a whole pass comes into force. An entry whose picture has no usable face is counted and told, and holds nothing up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from kiosk.cloud.client import CallRefusedError, Cloud
from kiosk.cloud.wire import NoAnswerError
from kiosk.device.device import Device
from kiosk.device.enrol import assess
from kiosk.didit.answers import ListEntry, ListPage
from kiosk.errors import CloudError, ImageError
from kiosk.store.remote_lists import Lists, Pass

log = logging.getLogger("kiosk.cloud_lists")


class Puller:
    """Pulls the lists that are set. For one thread, and one process at a time."""

    def __init__(
        self, device: Device, cloud: Cloud, names: tuple[str, ...], every_s: float, *, now: Callable[[], float]
    ) -> None:
        """Take the device, Didit, the lists' UUIDs, how often each is pulled, and the clock, s UTC."""
        self._device, self._cloud, self._names, self._every_s, self._now = device, cloud, names, every_s, now
        self._lists = Lists(device.store)
        self._page: tuple[str, int, ListPage] | None = None

    def due(self) -> str | None:
        """Return the list to be worked at now."""
        complete = {one.list: one for one in self._lists.complete()}
        now = self._now()
        for name in self._names:
            one = complete.get(name)
            if self._lists.at(name) is not None or one is None or not 0.0 <= now - one.at < self._every_s:
                return name
        return None

    def complete_at(self) -> float | None:
        """Return when the list pulled longest ago was complete, s UTC; None where one never was, or none is set."""
        complete = {one.list: one.at for one in self._lists.complete()}
        times = [complete.get(name) for name in self._names]
        known = [at for at in times if at is not None]
        return min(known) if known and len(known) == len(times) else None

    def step(self) -> bool:
        """Look at one entry, or put a complete list into force; return whether there is more to do now.

        Raises:
            CloudError: the server; the next step goes on from here.
        """
        name = self.due()
        if name is None:
            return False
        at = self._lists.at(name)
        if at is None:
            self._page = None
            self._lists.begin(name, self._cloud.entries(name, 0).count)
            return True
        self._go_on(name, at)
        return True

    def _go_on(self, name: str, at: Pass) -> None:
        page = self._read(name, at.next_offset)
        has_moved = at.last_entry is not None and (not page.entries or page.entries[0].id != at.last_entry)
        if page.count != at.entries or has_moved:
            log.info("list changed while it was read list=%s", name)
            self._page = None
            self._lists.begin(name, page.count)
            return
        for entry in page.entries:
            if not self._lists.is_staged(name, entry.id):
                self._stage(name, entry)
                return
        self._page = None
        done = at.next_offset + len(page.entries)
        if done < page.count and len(page.entries) > 1:
            self._lists.advance(name, done - 1, page.entries[-1].id)
            return
        self._finish(name, page.count)

    def _read(self, name: str, offset: int) -> ListPage:
        if self._page is None or self._page[:2] != (name, offset):
            self._page = name, offset, self._cloud.entries(name, offset)
        return self._page[2]

    def _finish(self, name: str, count: int) -> None:
        if self._lists.staged(name) != count:
            self._lists.begin(name, count)
            raise NoAnswerError("the list gave fewer entries than it says it has", may_have_arrived=False)
        gone = self._lists.put_into_force(name, self._now())
        if gone:
            self._device.store.people.sweep()
        for held in self._lists.held():
            if held.list == name:
                log.warning("list shrinking held list=%s vanished=%d passes=%d", name, held.vanished, held.passes)
        log.info("list in force list=%s entries=%d vanished=%d", name, count, gone)

    def _stage(self, name: str, entry: ListEntry) -> None:
        if self._lists.is_in_force(name, entry.id, self._device.recogniser.model):
            self._lists.stage(name, entry.id, None, outcome="known")
            return
        try:
            if entry.image_url is None:
                raise CallRefusedError("it has no picture")
            assessed = assess(self._device, self._cloud.image(entry.image_url), rotate=True, take_largest=True)
        except NoAnswerError:
            self._page = None  # its links end after an hour
            raise
        except (CloudError, ImageError) as error:
            log.warning("list entry unusable list=%s entry=%s reason=%r", name, entry.id, str(error))
            self._lists.stage(name, entry.id, None, outcome="unusable")
            return
        if assessed.objection is not None:
            log.warning("list entry unusable list=%s entry=%s reason=%r", name, entry.id, assessed.objection.kind)
            self._lists.stage(name, entry.id, None, outcome="unusable")
        else:
            self._lists.stage(name, entry.id, assessed.template, outcome="new")
