"""People found by a part of their name, code or document, by their number, or by a group.

All of that is sealed on the disk, so no database can search it. It is opened once, at the first search, and kept in
memory alone, folded for comparing: never written anywhere, brought up to date with every process that writes, and
without whoever was forgotten.
"""

from __future__ import annotations

import threading
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from kiosk.rules.text import folded
from kiosk.store.store import Store
from kiosk.store.subjects import Details, SubjectFilter, SubjectPage, document_key
from kiosk.types import SubjectId

BEGIN = "\n"  # stands before each field, so that the beginning of one is found; no field has a line end of its own
LEAST_PART = 2  # characters of a document number that find it within; one would find nearly everybody
UMLAUTS = (("ä", "ae"), ("ö", "oe"), ("ü", "ue"))  # how a keyboard without them writes them


@dataclass(frozen=True, slots=True)
class _Asked:
    """What somebody typed, folded."""

    whole: str
    words: tuple[tuple[str, ...], ...]  # each with the other ways in which it may be written
    document: str  # letters and digits only; empty where a document number is surely not meant


class PeopleFinder:
    """Finds people of one store. Safe in several threads."""

    def __init__(self, store: Store) -> None:
        """Take the store; nothing is opened before somebody searches."""
        self._store = store
        self._lock = threading.Lock()
        self._version = -1
        self._texts: dict[SubjectId, str] | None = None  # None before the first search
        self._groups: dict[SubjectId, tuple[str, ...]] = {}  # of who is in any

    def find(
        self,
        text: str | None,
        wanted: SubjectFilter | None = None,
        *,
        limit: int,
        offset: int,
        group: str | None = None,
    ) -> SubjectPage:
        """Return one page of the people a text stands for: whose number or code it is, then by how well it fits.

        Every word of it is to be in the name or the reference code, or the whole in the document number; case, accents
        and the order of the words do not matter.

        Args:
            text: as somebody typed it; None: everybody, in the order of enrolment.
            wanted: who else is left out.
            group: only its people.
            limit: longest page.
            offset: how many to pass over.

        Raises:
            StoreError: a row was changed or damaged.
        """
        people = self._store.people
        exact = [] if text is None else [subject.session_number for subject in people.find(text.strip())]
        with self._lock:
            self._follow(is_wanted=True)
            ranked = sorted(self._texts or {}) if text is None else _ranked(self._texts or {}, _asked(text))
            found = list(dict.fromkeys((*exact, *ranked)))
            if group is not None:
                found = [number for number in found if group in self._groups.get(number, ())]
        if wanted is not None and wanted != SubjectFilter():
            fitting = people.numbers(wanted)
            found = [number for number in found if number in fitting]
        rows = (people.subject(number) for number in found[offset : offset + limit])
        return SubjectPage(len(found), tuple(subject for subject in rows if subject is not None))

    def groups(self) -> dict[str, int]:
        """Return how many people each group has, by name; a group that nobody is in is none.

        Raises:
            StoreError: a row was changed or damaged.
        """
        with self._lock:
            self._follow(is_wanted=True)
            counted = Counter(group for groups in self._groups.values() for group in groups)
        return {name: counted[name] for name in sorted(counted)}

    def follow(self) -> None:
        """Drop whoever was forgotten; costs nothing before the first search."""
        with self._lock:
            self._follow(is_wanted=False)

    def _follow(self, *, is_wanted: bool) -> None:
        if self._texts is None and not is_wanted:
            return
        references = self._store.references
        version = references.version()  # before the rows: what comes in between is looked at twice, not missed
        if self._texts is not None:
            if version == self._version:
                return
            changes = references.changes_since(self._version)
            if changes.is_whole:
                known = dict(self._store.people.details(changes.subjects))
                for number in changes.subjects:
                    self._texts.pop(number, None)
                    self._groups.pop(number, None)
                self._take(known)
                self._version = changes.version
                return
        self._texts, self._groups = {}, {}
        self._take(dict(self._store.people.details()))
        self._version = version

    def _take(self, known: Mapping[SubjectId, Details]) -> None:
        assert self._texts is not None
        self._texts |= {number: _text(details) for number, details in known.items()}
        self._groups |= {number: details.groups for number, details in known.items() if details.groups}


def _text(details: Details) -> str:
    """Return what of a person is compared: name, code and document, each behind a mark."""
    name = folded(details.name or "")
    code = folded(details.vendor_data or "")
    document = document_key(details.document_number or "").lower()
    return f"{BEGIN}{name}{BEGIN}{code}{BEGIN}{BEGIN}{document}"


def _asked(text: str) -> _Asked:
    document = document_key(text).lower()
    is_number = len(document) >= LEAST_PART and any(map(str.isdigit, document))
    return _Asked(folded(text), tuple(map(_ways, text.split())), document if is_number else "")


def _ways(word: str) -> tuple[str, ...]:
    """Return the ways in which somebody may have written a word down: Müller, Muller and Mueller are one."""
    plain = bare = folded(word)
    long = unicodedata.normalize("NFC", word).casefold()
    for umlaut, letters in UMLAUTS:
        bare, long = bare.replace(letters, folded(umlaut)), long.replace(umlaut, letters)
    return tuple(dict.fromkeys((plain, bare, folded(long))))


def _ranked(texts: dict[SubjectId, str], asked: _Asked) -> list[SubjectId]:
    """Return whom a text fits: the whole name or code, then its beginnings of words, then what lies within."""
    if not asked.words:
        return []
    fitting = list(texts.items())
    for ways in asked.words:
        if len(ways) == 1:  # the loop that costs: over everybody
            near = [one for one in fitting if ways[0] in one[1]]
        else:
            near = [one for one in fitting if any(way in one[1] for way in ways)]
        fitting = [one for one in near if any(way in one[1].rpartition(BEGIN)[0] for way in ways)]  # no document
    if asked.document:
        named, document = {number for number, _ in fitting}, asked.document
        fitting += [
            one
            for one in texts.items()
            if document in one[1] and document in one[1].rpartition(BEGIN)[2] and one[0] not in named
        ]
    whole, begin = f"{BEGIN}{asked.whole}{BEGIN}", f"{BEGIN}{asked.whole}"
    starts = [[before + way for before in (BEGIN, " ", "-") for way in ways] for ways in asked.words]

    def rank(one: tuple[SubjectId, str]) -> tuple[int, SubjectId]:
        number, text = one
        if whole in text:
            return 0, number
        if begin in text:
            return 1, number
        return (2 if all(any(start in text for start in each) for each in starts) else 3), number

    return [number for number, _ in sorted(fitting, key=rank)]
