"""A file as the second carrier: the same sealed documents that go over NATS, on a stick between two kiosks.

One line of JSON each: first the fleet, its roster and its owner's orders, then a document a line. Who finds the stick
learns what a hub does: person ids, kiosks and sizes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from kiosk.errors import ConfigError, RefusedError
from kiosk.fleet.envelope import Message
from kiosk.fleet.identity import bytes_of, text_of
from kiosk.fleet.member import Member
from kiosk.fleet.updates import words

BATCH = 500  # documents of one transaction
LONGEST_LINE = 16 << 20


@dataclass(frozen=True, slots=True)
class Taken:
    """What an import did."""

    documents: int
    people: int
    parked: int
    refused: tuple[str, ...] = ()  # orders of a newer program, or not the owner's, one sentence each


def export(member: Member, path: Path) -> int:
    """Write all that a kiosk knows; return how many documents.

    Raises:
        RefusedError: it has not heard from its owner.
        ConfigError: the file cannot be written.
    """
    signed = member.shared.roster()
    if signed is None:
        raise RefusedError("this kiosk has not heard from the fleet's owner yet, so there is nothing to give on")
    head: dict[str, Any] = {"kiosk_fleet_stick": 1, "fleet": member.invitation.fleet, "roster": text_of(signed)}
    head["orders"] = {kind: text_of(envelope) for kind, envelope in member.shared.orders.newest().items()}
    head["heads"] = dict(member.heads.all())
    head["updates"] = words.all_signed(member)
    part, count = path.with_name(f".{path.name}.part"), 0
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(json.dumps(head) + "\n")
            for one in member.everything():
                file.write(json.dumps([one.person, one.origin, text_of(one.envelope)]) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; nothing was exported") from error
    return count


def take(member: Member, path: Path) -> Taken:
    """Take what another kiosk exported: its roster first, where it is newer.

    Raises:
        ConfigError: the file cannot be read, or is none of these.
        RefusedError: it is another fleet's.
    """
    documents = people = 0
    refused: list[str] = []
    try:
        with path.open(encoding="utf-8") as file:
            head = json.loads(file.readline(LONGEST_LINE))
            if head["kiosk_fleet_stick"] != 1:
                raise ValueError("another form")
            if head["fleet"] != member.invitation.fleet:
                raise RefusedError(f"{path} is of another fleet")
            member.hear_roster(bytes_of(head["roster"]))
            for kind, envelope in head.get("orders", {}).items():
                try:
                    member.hear_order(kind, bytes_of(envelope))
                except RefusedError as error:  # as at a hub: the people come all the same
                    refused.append(str(error))
            for kiosk, text in head.get("heads", {}).items():
                member.heads.hear(kiosk, text, member.roster)
            words.hear_stick(member, head.get("updates", {}))
            lines = _messages(file)
            while batch := list(islice(lines, BATCH)):
                documents += len(batch)
                people += member.hear(batch).people
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError(f"{path} is no file of `kiosk fleet export`, or part of it is missing") from None
    return Taken(documents, people, len(member.shared.parked()), tuple(refused))


def _messages(file: IO[str]) -> Iterator[Message]:
    while line := file.readline(LONGEST_LINE):
        one: Any = json.loads(line)
        person, origin, envelope = one
        yield Message(str(person), str(origin), bytes_of(envelope))
