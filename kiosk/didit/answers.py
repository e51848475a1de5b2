"""Didit's answers, of either generation of its contract, read into our types; never trusted further than checked here.

Fields we do not know are passed over; one we need that is missing, or of another kind, makes the whole no answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from kiosk.didit.contract import mask
from kiosk.errors import CloudError
from kiosk.types import Status

LONGEST_ID = 200
LONGEST_SENTENCE = 200
MOST_MATCHES = 100
HUNDRED = 100.0


class Service(str, Enum):
    """Didit's names of the two calls."""

    FACE_MATCH = "FACE_MATCH"
    FACE_SEARCH = "FACE_SEARCH"

    @property
    def path(self) -> str:
        """Where the call goes."""
        return f"/v3/{self.value.lower().replace('_', '-')}/"


@dataclass(frozen=True, slots=True)
class Match:
    """Somebody whom the cloud's search found."""

    session_id: str
    session_number: int | None
    similarity_percentage: float
    is_blocklisted: bool
    status: str | None = None
    verification_date: str | None = None
    match_image_url: str | None = field(default=None, repr=False)
    source: str | None = None
    vendor_data: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    document_type: str | None = field(default=None, repr=False)
    document_number: str | None = field(default=None, repr=False)  # masked by Didit, and again by us

    def as_row(self) -> dict[str, Any]:
        """Return the row of a search's answer in the seeds' shape."""
        row = asdict(self)
        details = {name: row.pop(name) for name in ("name", "document_type", "document_number")}
        return {**row, "user_details": details}


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the cloud decided.

    A search's `Approved` means that nobody was found: who is to be let in must be read from `matches`.
    """

    request_id: str
    service: Service
    status: Status
    score: float | None  # 0..100, of a match
    warnings: tuple[str, ...] = ()  # Didit's `risk`s, also some we have no word for
    matches: tuple[Match, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class CloudSession:
    """A saved call, as the cloud lists it."""

    id: str
    status: Status | None
    metadata: Mapping[str, Any] | None = field(repr=False)  # None: the answer does not tell


@dataclass(frozen=True, slots=True)
class SessionPage:
    """A page of saved calls, and whether there are more."""

    sessions: tuple[CloudSession, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class ListEntry:
    """An entry of a face list."""

    id: str
    image_url: str | None = field(repr=False)  # None: there is no picture
    comment: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of a face list, and how many entries the list has."""

    count: int
    entries: tuple[ListEntry, ...]


def parse(body: bytes) -> Any:
    """Return the JSON of an answer.

    Raises:
        CloudError: it is none; a captive portal's page, for instance.
    """
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        what = "a web page (a captive portal?)" if body.lstrip()[:1] == b"<" else "no JSON"
        raise CloudError(f"the answer is {what}") from None


def sentence(body: bytes, *hidden: str | None) -> str:
    """Return what an error's body says, in any of the shapes that are about, in one line.

    Args:
        body: as it came.
        hidden: texts that must not be repeated, such as the key.

    >>> sentence(b'{"ref_image": ["No file was submitted."]}'), sentence(b'{"detail": "Not found."}')
    ('ref_image: No file was submitted.', 'Not found.')
    >>> sentence(b'["One", "Two"]'), sentence(b"<html>"), sentence(b"No."), sentence(b'{"error": "No key k3y"}', "k3y")
    ('One; Two', '', 'No.', 'No key …')
    """
    if body.lstrip()[:1] == b"<":
        return ""  # a web page
    try:
        found = _words(parse(body), "")
    except (CloudError, RecursionError):  # brackets within brackets, too deep
        found = body[:LONGEST_SENTENCE].decode("ascii", "replace")
    found = " ".join(found.split())
    for text in hidden:
        if text:
            found = found.replace(text, "…")
    return "".join(sign for sign in found if sign.isprintable())[:LONGEST_SENTENCE]


def _words(body: Any, name: str) -> str:
    if isinstance(body, Mapping):
        return "; ".join(_words(value, str(key)) for key, value in body.items())
    if isinstance(body, list):
        said = "; ".join(_words(value, "") for value in body)
        return f"{name}: {said}" if name else said
    return f"{name}: {body}" if name not in {"", "detail", "error", "message"} else str(body)


def read_opinion(service: Service, body: Any) -> Opinion:
    """Read the answer of a face match or a face search.

    Raises:
        CloudError: it is not one.
    """
    about = _mapping(_mapping(body, "answer").get(service.value.lower()), service.value.lower())
    warnings = tuple(
        _text(_mapping(one, "warning").get("risk"), "risk") for one in _list(about.get("warnings", []), "warnings")
    )
    score: float | None = None
    matches: tuple[Match, ...] = ()
    if service is Service.FACE_MATCH:
        if "score" not in about:
            raise _missing("score")
        score = None if about["score"] is None else _percentage(about["score"], "score")
    else:
        matches = tuple(_match(row) for row in _list(about.get("matches"), "matches")[:MOST_MATCHES])
    return Opinion(_text(body.get("request_id"), "request_id"), service, _status(about), score, warnings, matches)


def _match(row: Any) -> Match:
    row = _mapping(row, "match")
    details = row.get("user_details")
    details = details if isinstance(details, Mapping) else {}
    number = row.get("session_number")
    return Match(
        session_id=_text(row.get("session_id"), "session_id"),
        session_number=number if type(number) is int else None,
        similarity_percentage=_percentage(row.get("similarity_percentage"), "similarity_percentage"),
        is_blocklisted=row.get("is_blocklisted") is True,
        status=_maybe(row.get("status")),
        verification_date=_maybe(row.get("verification_date")),
        match_image_url=_maybe(row.get("match_image_url")),
        source=_maybe(row.get("source")),
        vendor_data=_maybe(row.get("vendor_data")),
        name=_maybe(details.get("name")) or _maybe(details.get("full_name")),
        document_type=_maybe(details.get("document_type")),
        document_number=mask(_maybe(details.get("document_number"))),
    )


def read_sessions(body: Any) -> SessionPage:
    """Read a page of `GET /v3/sessions/`."""
    page = _mapping(body, "answer")
    rows = _list(page.get("results"), "results")
    return SessionPage(tuple(read_session(row) for row in rows), has_more=bool(page.get("next")) and bool(rows))


def read_session(body: Any) -> CloudSession:
    """Read a saved call: a row of the list, or `GET /v3/session/{id}/decision/`."""
    about = _mapping(body, "session")
    metadata = about.get("metadata")
    if isinstance(metadata, str):  # as it was sent: JSON in a text field
        try:
            metadata = json.loads(metadata)
        except (ValueError, RecursionError):
            metadata = None
    known = {status.value: status for status in Status}
    return CloudSession(
        _text(about.get("session_id") or about.get("request_id"), "session_id"),
        known.get(str(about.get("status"))),
        metadata if isinstance(metadata, Mapping) else None,
    )


def read_entries(body: Any) -> ListPage:
    """Read a page of `GET /v3/lists/{uuid}/entries/`."""
    page = _mapping(body, "answer")
    count = page.get("count")
    if type(count) is not int or count < 0:
        raise _missing("count")
    return ListPage(count, tuple(_entry(row) for row in _list(page.get("results"), "results")))


def _entry(row: Any) -> ListEntry:
    row = _mapping(row, "entry")
    metadata = row.get("metadata")
    url = _maybe(metadata.get("reference_image_url")) if isinstance(metadata, Mapping) else None
    return ListEntry(read_entry_id(row), url, _maybe(row.get("comment")))


def read_entry_id(body: Any) -> str:
    """Read the id of an entry: of a row, or of the answer to one that was added."""
    entry = _mapping(body, "entry")
    return _text(entry.get("uuid") or entry.get("id"), "uuid")


def read_balance(body: Any) -> Decimal:
    """Read `GET /v3/billing/balance/`."""
    balance = _mapping(body, "answer").get("balance")
    try:
        found = Decimal(str(balance)) if isinstance(balance, (str, int, float)) else Decimal("NaN")
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise _missing("balance")
    return found


def read_checkout(body: Any) -> str:
    """Read `POST /v3/billing/top-up/`: the address where a person pays."""
    about = _mapping(body, "answer")
    found = next((about[name] for name in ("checkout_session_url", "checkout_url", "url") if about.get(name)), None)
    link = _text(found, "checkout_session_url", longest=4096)
    if not link.startswith("https://"):
        raise CloudError("the checkout link is not https://")
    return link


def text_of(body: Any, *names: str) -> str:
    """Return a text that lies so deep in an answer."""
    for name in names:
        body = _mapping(body, name).get(name)
    return _text(body, names[-1], longest=8192)


def first_of(body: Any) -> Mapping[str, Any]:
    """Return the first row of a list, plain or paged, or the object itself."""
    rows = body.get("results", body) if isinstance(body, Mapping) else body
    if isinstance(rows, list) and not rows:
        raise CloudError("the account has no organisation or application")
    return _mapping(rows[0] if isinstance(rows, list) else rows, "answer")


def _status(about: Mapping[str, Any]) -> Status:
    try:
        return Status(about.get("status"))
    except ValueError:
        raise _missing("status") from None


def _percentage(value: Any, name: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0.0 <= value <= HUNDRED:  # which NaN and a number of 400 digits are not either
        raise _missing(name)
    return float(value)


def _text(value: Any, name: str, longest: int = LONGEST_ID) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        raise _missing(name)
    return value


def _maybe(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _missing(name)
    return value


def _list(value: Any, name: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise _missing(name)
    return value


def _missing(name: str) -> CloudError:
    return CloudError(f"the answer is not Didit's: its {name} is missing or of another kind")


def _refuse(constant: str) -> None:
    raise ValueError(constant)
