"""Commands about faces and people: match, search, enrol, blocklist, gallery, forget."""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from kiosk import assembly
from kiosk.cli.main import REFUSED
from kiosk.cli.terminal import BY_STATUS, GOOD, PLAIN, can_ask, confirmed, emphasised, is_terminal, table
from kiosk.device.calls import answer_match, answer_search
from kiosk.device.device import Device
from kiosk.device.documents import read_document
from kiosk.device.enrol import EnrolmentResult, assess, enrol_person
from kiosk.device.enrol_document import fill_enrolment
from kiosk.device.people_finder import PeopleFinder
from kiosk.device.reviews import block_person
from kiosk.didit import contract
from kiosk.errors import ConfigError, ImageError, StoreError
from kiosk.recognition.photo import DOCUMENT_BYTES, MAX_BYTES, too_large
from kiosk.rules.text import objection, shown
from kiosk.store.store import Store
from kiosk.store.subjects import Details, Enrolment, Receipt, Subject, SubjectFilter
from kiosk.types import Sample

JSON_INDENT = 2


def match(chosen: argparse.Namespace) -> None:
    """Compare two pictures."""
    if chosen.brief and chosen.json:
        raise ConfigError("--brief and --json ask for two different things; give one of them")
    # Read before the models are loaded: a wrong file name should not cost a second.
    pictures = [(path, read_photograph(path)) for path in (chosen.user_image, chosen.ref_image)]
    with assembly.open_device(chosen) as device:
        # Side by side: the networks gain little from threads of their own, two photographs gain a core.
        with ThreadPoolExecutor(1) as aside:
            waiting = aside.submit(_sample, device, *pictures[1], rotate=chosen.rotate)
            user = _sample(device, *pictures[0], rotate=chosen.rotate)
            reference = waiting.result()
        answer = answer_match(
            device,
            user,
            reference,
            threshold=chosen.threshold,
            save=not chosen.no_save,
            vendor_data=chosen.vendor_data,
            photographs={"user_image": pictures[0][1], "ref_image": pictures[1][1]},
            actor="cli",
        )
    if not chosen.brief:
        _print_json(answer)
    if not chosen.json:
        found = answer["face_match"]
        score = "none" if found["score"] is None else f"{found['score']}/100"
        said = f"--- Result: {found['status']} | Score: {score} ---"
        print(f"{'' if chosen.brief else chr(10)}{emphasised(said, BY_STATUS.get(found['status'], PLAIN))}")


def search(chosen: argparse.Namespace) -> None:
    """Look for a face among everyone enrolled."""
    content = read_photograph(chosen.user_image)
    with assembly.open_device(chosen) as device:
        if chosen.threshold is not None:
            wanted = replace(device.config.search, similarity_threshold=chosen.threshold, hold_fpir=0.0)
            device.apply(replace(device.config, search=wanted))
        answer = answer_search(
            device,
            _sample(device, chosen.user_image, content, rotate=chosen.rotate),
            search_type=chosen.search_type,
            save=not chosen.no_save,
            vendor_data=chosen.vendor_data,
            photographs={"user_image": content},
            actor="cli",
        )
    _print_json(answer)
    if not chosen.json:
        found = answer["face_search"]
        said = f"--- {found['total_matches']} match(es) found ---"
        print(f"\n{emphasised(said)}")
        for row in found["matches"]:
            listed = " | BLOCKLISTED" if row["is_blocklisted"] else ""
            about = " | ".join(map(shown, filter(None, (row["user_details"]["name"], row["vendor_data"]))))
            print(f"  {row['similarity_percentage']}% | #{row['session_number']} | {about or '(no name)'}{listed}")


def enrol(chosen: argparse.Namespace) -> int:
    """Make a person known."""
    if chosen.document is None and chosen.document_back is not None:
        raise ConfigError("--document-back: give its front too, as --document")
    begin, end = read_day(chosen.valid_from, "--valid-from"), read_day(chosen.valid_until, "--valid-until")
    kept = read_day(chosen.retain_until, "--retain-until")
    if begin is not None and end is not None and end <= begin:
        raise ConfigError("--valid-until: want a day after --valid-from")
    if kept is not None and kept <= time.time():
        raise ConfigError("--retain-until: want a day to come; the next sweep would forget the person")
    enrolment = Enrolment(
        templates=(),
        details=_details(chosen),
        is_allowlisted=chosen.allowlist,
        valid_from=begin,
        valid_until=end,
        retention_until=kept,
    )
    return _enrol(chosen, chosen.images, enrolment)


def blocklist_add(chosen: argparse.Namespace) -> int:
    """Block a face or an enrolled person."""
    path = Path(chosen.what)
    if path.is_file():
        details = _details(chosen, block_reason=chosen.reason)
        return _enrol(chosen, [path], Enrolment(templates=(), details=details, is_blocklisted=True))
    config = assembly.load_settings(chosen)
    with assembly.open_store(chosen, config, create=False) as store:
        number = find_one(store, chosen.what, hint="; it is not a picture file either").session_number
        outgoing = assembly.make_outgoing(store, config, now=time.time)
        print_subject(chosen, block_person(store, outgoing, number, reason=chosen.reason, actor="cli"), "blocked")
    return 0


def blocklist_remove(chosen: argparse.Namespace) -> None:
    """Unblock a person."""
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        number = find_one(store, chosen.subject).session_number
        print_subject(chosen, store.people.unblock(number, actor="cli"), "unblocked; still enrolled")


def blocklist_list(chosen: argparse.Namespace) -> None:
    """List blocked people."""
    _print_people(chosen, SubjectFilter(is_blocklisted=True), limit=10_000, offset=0)


def gallery_list(chosen: argparse.Namespace) -> None:
    """List people."""
    _print_people(chosen, None, limit=chosen.limit, offset=chosen.offset, text=chosen.find)


def gallery_show(chosen: argparse.Namespace) -> None:
    """Show a person."""
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        print(json.dumps(_about(find_one(store, chosen.subject), whole=True), indent=JSON_INDENT, ensure_ascii=False))


def gallery_remove(chosen: argparse.Namespace) -> int:
    """Forget a person."""
    return forget(chosen)


def gallery_allow(chosen: argparse.Namespace) -> None:
    """Put a person on the allowlist."""
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        number = find_one(store, chosen.subject).session_number
        print_subject(chosen, store.people.allow(number, actor="cli"), "allowlisted")


def gallery_disallow(chosen: argparse.Namespace) -> None:
    """Take a person off the allowlist."""
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        number = find_one(store, chosen.subject).session_number
        print_subject(chosen, store.people.disallow(number, actor="cli"), "off the allowlist")


def forget(chosen: argparse.Namespace) -> int:
    """Forget a person for good; whoever sits at a terminal is asked first, by name."""
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        subject = find_one(store, chosen.subject)
    number = subject.session_number
    if not chosen.yes and can_ask():
        kept = f"{subject.references} face{'s' if subject.references != 1 else ''}"
        if not confirmed(f"Erase {_line(subject)}, with {kept} and the answers that name them, for good?"):
            print("Nothing was changed.", file=sys.stderr)
            return REFUSED
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        if chosen.no_wait:
            session_id = store.people.erasures.erase(number, actor="cli")
        else:
            proven = store.people.forget(number, actor="cli")
            assembly.scrub_backups(store)
    if not chosen.no_wait:
        _print_receipt(chosen, proven)
        return 0
    _prove_aside(chosen, number)
    print(json.dumps({"session_number": number, "session_id": session_id, "receipt": None}))
    assembly.note(f"the files are being searched for what was erased; `kiosk receipt {number}` gives the receipt")
    return 0


def receipt(chosen: argparse.Namespace) -> None:
    """Print the receipt of somebody forgotten; prove it first where that was not done."""
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        found = store.people.erasures.receipt(chosen.subject)
        if found is None or not found.is_complete:
            if store.people.erasures.prove():
                assembly.scrub_backups(store)
            found = store.people.erasures.receipt(chosen.subject)
    if found is None:
        raise StoreError(f"no receipt for {chosen.subject!r}: nobody with this number was forgotten here")
    _print_receipt(chosen, found)


ERASED_WORDS = {
    "subject": "the person's details",
    "reference": "faces",
    "image": "photographs",
    "log_private": "answers that named them",
    "review_image": "faces kept for a reviewer",
    "outbox": "rows that waited to be sent",
}
"""What a receipt counts, in words."""


def _print_receipt(chosen: argparse.Namespace, found: Receipt) -> None:
    """Print the signed text for programs and pipes, and on a terminal what it says."""
    if not found.is_complete:
        assembly.note("another process was reading the database; its old pages are wiped at the next start or sweep")
    if chosen.json or not is_terminal():
        print(found.text)
        return
    signed = json.loads(found.text)
    body = signed["receipt"]
    print(emphasised(f"Forgotten: number {body['session_number']}", GOOD))
    print(f"  session   {body['session_id']}")
    print(f"  erased    {contract.timestamp(body['at'])[:19]}Z")
    for name, count in body["erased"].items():
        print(f"  {count:>7}   {ERASED_WORDS.get(name, name)}")
    print(f"  searched  {'no trace is left in the files' if body['is_complete'] else 'not complete yet, see the note'}")
    print(f"  signed    {signed['signature'][:32]}…")
    print(f"The signed receipt, for the person: kiosk receipt {body['session_number']} --json > receipt.json")


def _prove_aside(chosen: argparse.Namespace, number: int) -> None:
    """Have a process of its own do what `receipt` does; where that cannot be, the next sweep does it."""
    place = ["--state", str(assembly.state_of(chosen)), *(["--config", str(chosen.config)] if chosen.config else [])]
    quiet = [(os.POSIX_SPAWN_OPEN, number_of, os.devnull, os.O_RDWR, 0) for number_of in range(3)]
    command = [sys.executable, "-m", "kiosk", *place, "receipt", str(number)]
    with suppress(OSError):
        os.posix_spawn(command[0], command, os.environ, file_actions=quiet, setsid=True)  # it outlives the terminal


def read_photograph(path: Path, most_bytes: int = MAX_BYTES) -> bytes:
    """Return a picture file's bytes, of a huge one no more than tells that it is too large.

    A pipe such as bash's <(…) is read too, once; a device is not.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise ConfigError(f"{path} is a device, no picture file")
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if len(content) > most_bytes:
        raise ImageError(f"{path}: {too_large(most_bytes)}")
    return content


def _sample(device: Device, path: Path, content: bytes, *, rotate: bool) -> Sample:
    try:
        return device.analyse(content, rotate=rotate)
    except ImageError as error:
        raise ImageError(_named(path, error)) from error


def _named(path: Path, error: ImageError) -> str:
    return str(error) if str(error).startswith(str(path)) else f"{path}: {error}"


def _enrol(chosen: argparse.Namespace, paths: list[Path], enrolment: Enrolment) -> int:
    photographs = [read_photograph(path) for path in paths]
    with assembly.open_device(chosen) as device:
        for path, photograph in zip(paths, photographs, strict=True):
            try:
                device.decoder(photograph, with_heic=True)  # here, so that the sentence names the file
            except ImageError as error:
                raise ImageError(_named(path, error)) from error
        if getattr(chosen, "document", None) is not None:
            filled = _filled(device, chosen, photographs, enrolment)
            if filled is None:
                return REFUSED
            enrolment = filled
        outcome = enrol_person(
            device,
            photographs,
            enrolment,
            rotate=chosen.rotate,
            take_largest=chosen.largest,
            allow_duplicate=getattr(chosen, "allow_duplicate", False),
            actor="cli",
        )
    if not outcome.is_stored:
        print_refusal(chosen, outcome)
        return REFUSED
    if outcome.of is not None:
        assembly.note(
            f"the face is {outcome.of.similarity} % similar to number {outcome.of.subject}, who was not changed"
        )
    assert outcome.subject is not None  # is_stored says so
    print_subject(chosen, outcome.subject, "blocked" if enrolment.is_blocklisted else "enrolled")
    return 0


def _filled(
    device: Device, chosen: argparse.Namespace, photographs: list[bytes], enrolment: Enrolment
) -> Enrolment | None:
    """Fill an enrolment from a document and have it confirmed; None where it is refused. No picture of it is kept."""
    sides = [
        None if path is None else read_photograph(path, DOCUMENT_BYTES)
        for path in (chosen.document, chosen.document_back)
    ]
    assert sides[0] is not None  # the option that this is called for
    reading = read_document(device, sides[0], sides[1])
    live = [
        assess(device, one, rotate=chosen.rotate, take_largest=True, with_heic=True).template for one in photographs
    ]
    found = fill_enrolment(device, enrolment, reading, [one for one in live if one is not None])
    if found.refusal is not None:
        print_refusal(chosen, EnrolmentResult("document", found.refusal))
        return None
    details, score = found.enrolment.details, found.portrait_score
    until = _date(found.enrolment.valid_until) or "no date"
    said = (
        ("name", details.name),
        ("document", details.document_type),
        ("number", contract.mask(details.document_number)),
        ("may enter until", until),
        ("portrait", "none found" if score is None else f"score {score}/100 with the photograph"),
        ("not checked", "whether the document is authentic"),
    )
    for label, text in said:
        print(f"  {label:<16} {shown(text or '(none)')}", file=sys.stderr)
    if not chosen.yes and not _confirmed():
        print_refusal(chosen, EnrolmentResult("document", "not confirmed; nobody was enrolled"))
        return None
    return found.enrolment


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("--document: an operator confirms what was read; run it in a terminal, or give --yes")
    print("Enrol as shown? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def print_refusal(chosen: argparse.Namespace, outcome: EnrolmentResult) -> None:
    """Print why nobody was enrolled, or nothing added."""
    if chosen.json:
        of = outcome.of
        more = {"of": {"session_number": of.subject, "similarity_percentage": of.similarity}} if of else {}
        _print_json({"outcome": outcome.kind, "detail": outcome.sentence, **more})
    else:
        print(f"Refused: {outcome.sentence}", file=sys.stderr)


def _details(chosen: argparse.Namespace, *, block_reason: str | None = None) -> Details:
    for option in ("name", "vendor_data", "document_type", "document_number", "plan"):
        trouble = objection(getattr(chosen, option, None) or "")
        if trouble is not None:
            raise ConfigError(f"--{option.replace('_', '-')} {trouble}, such as line ends; leave them out")
    # An empty text says nothing, and would be found by every other empty text.
    return Details(
        name=chosen.name or None,
        document_type=chosen.document_type or None,
        document_number=chosen.document_number or None,
        vendor_data=chosen.vendor_data or None,
        block_reason=block_reason,
        plan=getattr(chosen, "plan", None) or None,
    )


def read_day(text: str | None, option: str) -> float | None:
    """Read a day of an option, as seconds UTC."""
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        raise ConfigError(f"{option}: want a day such as 2027-01-31, got {text!r}") from None


def find_one(store: Store, text: str, *, hint: str = "") -> Subject:
    """Return the one person whom a text stands for.

    Raises:
        StoreError: nobody, or several people.
    """
    found = store.people.find(text)
    if not found:
        raise StoreError(f"nobody is enrolled under {text!r}{hint}; `kiosk gallery list` shows everybody")
    if len(found) > 1:
        numbers = ", ".join(str(subject.session_number) for subject in found)
        raise StoreError(f"{text!r} stands for several people: numbers {numbers}; name one by its number")
    return found[0]


def _print_people(
    chosen: argparse.Namespace, wanted: SubjectFilter | None, *, limit: int, offset: int, text: str | None = None
) -> None:
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        if text is None:
            page = store.people.subjects(wanted, limit=limit, offset=offset)
        else:
            page = PeopleFinder(store).find(text, wanted, limit=limit, offset=offset)
    if chosen.json:
        _print_json({"total": page.total, "subjects": [_about(subject) for subject in page.subjects]})
        return
    if is_terminal():
        print(*table(COLUMNS, [_cells(subject) for subject in page.subjects]), sep="\n")
    else:
        for subject in page.subjects:
            print(_line(subject))
    print(f"--- {len(page.subjects)} of {page.total} ---")


COLUMNS = ("no.", "name", "code", "document", "faces", "status", "list", "until")


def _cells(subject: Subject) -> tuple[str, ...]:
    """Return a person as a row of a table."""
    details = subject.details
    listed = "blocked" if subject.is_blocklisted else "allowed" if subject.is_allowlisted else ""
    until = "" if subject.valid_until is None else contract.timestamp(subject.valid_until)[:10]
    texts = (details.name or "(no name)", details.vendor_data or "", contract.mask(details.document_number) or "")
    return (
        str(subject.session_number),
        *map(shown, texts),
        str(subject.references),
        subject.status.value,
        listed,
        until,
    )


def _line(subject: Subject) -> str:
    marks = "blocklisted" if subject.is_blocklisted else "allowlisted" if subject.is_allowlisted else ""
    details = subject.details
    parts = (
        f"#{subject.session_number}",
        details.name or "(no name)",
        details.vendor_data or "",
        contract.mask(details.document_number) or "",
        f"{subject.references} reference{'s' if subject.references != 1 else ''}",
        marks,
    )
    return " | ".join(map(shown, filter(None, parts)))


def _about(subject: Subject, *, whole: bool = False) -> dict[str, Any]:
    details = subject.details
    about = {
        "session_number": subject.session_number,
        "session_id": subject.session_id,
        "name": details.name,
        "vendor_data": details.vendor_data,
        "document_type": details.document_type,
        "document_number": contract.mask(details.document_number),
        "status": subject.status.value,
        "is_blocklisted": subject.is_blocklisted,
        "is_allowlisted": subject.is_allowlisted,
        "references": subject.references,
    }
    if whole:
        about |= {
            "block_reason": details.block_reason,
            "groups": list(details.groups),
            "source": subject.source,
            "verification_date": contract.timestamp(subject.verification_date),
            "valid_from": _date(subject.valid_from),
            "valid_until": _date(subject.valid_until),
            "retention_until": _date(subject.retention_until),
            "is_valid_now": (subject.valid_from or 0.0) <= time.time() < (subject.valid_until or float("inf")),
            "images": subject.images,
        }
    return about


def _date(seconds: float | None) -> str | None:
    return None if seconds is None else contract.timestamp(seconds)


def print_subject(chosen: argparse.Namespace, subject: Subject, done: str) -> None:
    """Print a person and what was done."""
    if chosen.json:
        _print_json({"outcome": done, **_about(subject)})
    else:
        print(f"{_line(subject)}: {done}")


def _print_json(answer: Any) -> None:
    print(json.dumps(answer, indent=JSON_INDENT, ensure_ascii=False))
