"""What a front asks shards and what they answer, sealed: who carries it sees sizes and times, no face, no person.

Only who has the key of the shards can ask or answer. An answer is bound to its question by the number both carry, and
says which part of how many it speaks for: an answer that is repeated, exchanged or lost can make a search incomplete,
never another. Lengths are rounded up, so that they do not tell whether somebody was found.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kiosk.errors import StoreError
from kiosk.gallery.parts import Part
from kiosk.gallery.search import Query
from kiosk.gallery.snapshot import Among
from kiosk.store.keys import Key
from kiosk.types import Candidate, Floats, Template

SUBJECT = "kiosk.shards.ask"
NUMBER_BYTES, NONCE_BYTES = 16, 12
ROUND_BYTES = 2048
LARGEST_BYTES = 1 << 20  # NATS' own limit; an answer of 100 people is some 6 kB
_ASK, _ANSWER = b"kiosk shards 1 ask ", b"kiosk shards 1 answer "


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One probe, the queries about it, and when they are asked."""

    probe: Template = field(repr=False)
    queries: tuple[Query, ...]
    now: float  # s UTC; decides who is valid, alike in all shards


class Seal:
    """The key of the shards at work."""

    def __init__(self, key: Key) -> None:
        """Derive what seals from the key."""
        self._cipher = AESGCM(key.derive("shards", 32))

    def ask(self, question: Question) -> tuple[bytes, bytes]:
        """Return a new number and the sealed question."""
        number = os.urandom(NUMBER_BYTES)
        said = {
            "model": question.probe.model,
            "probe": base64.b64encode(np.asarray(question.probe.vector, "<f4").tobytes()).decode(),
            "queries": [[query.floor, query.limit, query.among.value] for query in question.queries],
            "now": question.now,
        }
        return number, self._closed(_ASK, number, said)

    def read_question(self, sealed: bytes) -> tuple[bytes, Question]:
        """Open a question; return its number too.

        Raises:
            StoreError: it was not sealed with this key, or is not one.
        """
        number, said = self._opened(_ASK, sealed)
        try:
            vector: Floats = np.frombuffer(base64.b64decode(said["probe"]), "<f4").astype(np.float32)
            queries = tuple(Query(float(floor), limit, Among(among)) for floor, limit, among in said["queries"])
            return number, Question(Template(vector, str(said["model"])), queries, float(said["now"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError("a question to the shards has another form; are all of one version?") from error

    def answer(self, number: bytes, part: Part) -> bytes:
        """Seal an answer to the question of this number."""
        said = {
            "part": [part.part, part.of],
            "references": part.references,
            "candidates": [[[one.subject, one.cosine] for one in found] for found in part.candidates],
            "blocklisted": sorted(part.blocklisted),
        }
        return self._closed(_ANSWER, number, said)

    def read_answer(self, sealed: bytes) -> tuple[bytes, Part]:
        """Open an answer; return the number of its question too.

        Raises:
            StoreError: it was not sealed with this key, or is none.
        """
        number, said = self._opened(_ANSWER, sealed)
        try:
            candidates = tuple(
                tuple(Candidate(int(subject), float(cosine)) for subject, cosine in found)
                for found in said["candidates"]
            )
            at, of = (int(one) for one in said["part"])
            return number, Part(at, of, int(said["references"]), candidates, frozenset(map(int, said["blocklisted"])))
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError("an answer of a shard has another form; are all of one version?") from error

    def _closed(self, kind: bytes, number: bytes, said: dict[str, Any]) -> bytes:
        text = json.dumps(said).encode()
        padded = text.ljust(-(-len(text) // ROUND_BYTES) * ROUND_BYTES)
        nonce = os.urandom(NONCE_BYTES)
        return number + nonce + self._cipher.encrypt(nonce, padded, kind + number)

    def _opened(self, kind: bytes, sealed: bytes) -> tuple[bytes, dict[str, Any]]:
        number, nonce = sealed[:NUMBER_BYTES], sealed[NUMBER_BYTES : NUMBER_BYTES + NONCE_BYTES]
        try:
            said = json.loads(self._cipher.decrypt(nonce, sealed[NUMBER_BYTES + NONCE_BYTES :], kind + number))
        except (InvalidTag, ValueError) as error:
            raise StoreError("a message among the shards is not sealed with their key") from error
        return number, said
