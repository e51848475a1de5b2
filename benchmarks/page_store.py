"""A store that the operator's page has something to show of: people, decisions of the last days, reviews, blocks.

`fill` makes one of any size, without networks; `page_views.py` and `page_tasks.py` serve it by `kiosk serve`.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from kiosk.networks.inference import read_pack, standard_pack
from kiosk.rules.admission import DoorReason
from kiosk.rules.grant import RefusalReason
from kiosk.store.accounts import Accounts, Role
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NOT_OPENED, NewDecision
from kiosk.store.directory import initialise
from kiosk.store.store import Store
from kiosk.store.subjects import Details, Enrolment
from kiosk.types import Template

NAME, PASSWORD = "Person C", "correct horse battery"
BATCH = 1000
DAY_S = 86_400.0
DAYS = 30.0
SYLLABLES = ("an", "be", "çel", "dor", "é", "fi", "gün", "hel", "ia", "jo", "kar", "lo", "mar", "nø", "os", "pe", "ría")
GROUPS = ("staff", "visitors", "cleaners", "night shift")
HAS_GROUPS = "groups" in {field.name for field in fields(Details)}  # an older commit, to compare with, has none
BLOCKED_OF = 400  # one in so many


def fill(directory: Path, people: int, decisions: int, *, now: Callable[[], float] = time.time, seed: int = 0) -> None:
    """Make a store with so many people and so many decisions, spread over the last days, and one administrator.

    One in 400 people is blocked, one in 60 decisions waits for a review, one in 90 approvals never opened.
    """
    rng, moment = random.Random(seed), [now() - (DAYS + 1.0) * DAY_S]
    with initialise(directory, now=lambda: moment[0]) as store:
        for batch in _batches(_enrolments(rng, people, seed)):
            store.people.enrol_many(batch)
        begun = now() - DAYS * DAY_S
        for at in range(decisions):
            moment[0] = begun + DAYS * DAY_S * at / max(1, decisions)
            made = _decision(rng, people)
            store.record_decision(made)
            if made.status == "Approved" and rng.random() < 1 / 90:
                _unopened(store, made)
        moment[0] = now()
        Accounts(store, now=now).create_operator(NAME, Role.ADMIN, PASSWORD)


def _batches(rows: Iterator[Enrolment]) -> Iterator[list[Enrolment]]:
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch


def _enrolments(rng: random.Random, count: int, seed: int) -> Iterator[Enrolment]:
    pack = read_pack(standard_pack())
    length = int(pack.spec("recogniser").options["length"])
    drawn = np.random.default_rng(seed)
    ends = time.time() + 20 * DAY_S
    for number in range(count):
        vector = drawn.standard_normal(length).astype(np.float32)
        is_blocked = number % BLOCKED_OF == BLOCKED_OF - 1
        details = Details(
            name=" ".join("".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))).capitalize() for _ in range(2)),
            vendor_data=f"staff-{number}",
            document_type="Passport" if number % 3 == 0 else None,
            document_number=f"AB{number:06}" if number % 3 == 0 else None,
        )
        if number % 2 and HAS_GROUPS:
            details = replace(details, groups=(GROUPS[number // 2 % len(GROUPS)],))
        template = Template(vector / np.linalg.norm(vector), pack.template_model)
        one = Enrolment([template], details, session_id=_session_id(number + 1))
        if is_blocked:
            one = replace(one, is_blocklisted=True, details=replace(details, block_reason="a demonstration"))
        yield replace(one, valid_until=ends) if number % 50 == 0 else one


def _decision(rng: random.Random, people: int) -> NewDecision:
    """Return a decision as the door makes them: mostly people who are known, some strangers, a few to be reviewed."""
    drawn, request_id = rng.random(), str(uuid.UUID(int=rng.getrandbits(128), version=4))
    number = rng.randint(1, people) if people else None
    status, score, why = "Approved", rng.gauss(93.0, 4.0), DoorReason.MATCHED
    if drawn < 1 / 60:
        status, score, why = "In Review", rng.uniform(72.0, 80.0), DoorReason.BORDERLINE
    elif drawn < 0.2 or number is None:
        status, score, why, number = "Declined", rng.gauss(30.0, 12.0), DoorReason.UNKNOWN, None
    score = round(min(99.9, max(0.0, score)), 1)
    return NewDecision(
        kind=Kind.IDENTIFY,
        status=status,
        score=score,
        session_number=number,
        subjects=() if number is None else (number,),
        thresholds={"identify": 80.0, "review": 70.0, "blocklist": 70.0},
        gallery_size=people,
        details={"mode": "identify", "reasons": [why.value], "frames": 3},
        answer=_answer(status, score, why, number),
        request_id=request_id,
        actor="door",
    )


def _answer(status: str, score: float, why: DoorReason, number: int | None) -> dict[str, Any]:
    about = {"session_number": number, "session_id": _session_id(number or 0), "similarity_percentage": score}
    match = None if number is None else about
    return {"identify": {"status": status, "reasons": [why.value], "score": score, "match": match}}


def _unopened(store: Store, made: NewDecision) -> None:
    details = {"what": NOT_OPENED, "of": made.request_id, "why": RefusalReason.FRAME_TOO_OLD.value}
    store.record_act(Kind.DOOR, details=details, actor="door")


def _session_id(number: int) -> str:
    return str(uuid.UUID(int=number, version=4))


if __name__ == "__main__":
    fill(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
