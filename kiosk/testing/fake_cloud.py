"""A stand-in for Didit: a real HTTP server on this machine, for tests, drills and demonstrations.

It speaks both generations of the contract, keeps accounts, credits, limits, sessions and face lists in memory, and
fails on command. It knows nothing of faces: two photographs are alike as `score_of` says, by default 100 for the same
bytes and 20 otherwise.

A fault is named by what the client sees; with "done-" before it, the call is carried out first, and only its answer is
lost: reset, hang, half, html, wrong (JSON that is no answer), redirect, 429, 500. Also late (the session shows in the
list only after `late_s`), duplicate (the list of sessions has a row twice). `go_away` refuses connections.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import secrets
import sys
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from http.server import ThreadingHTTPServer
from typing import Any

from kiosk.didit.contract import timestamp
from kiosk.testing.fake_http import DONE, Answer, Call, Handler

FAULTS = ("reset", "hang", "half", "html", "wrong", "redirect", "429", "500", "late", "duplicate")
PRICE = Decimal("0.05")
CODE_LIVES_S = 600.0
WINDOW_S = 60.0
MOST_IMAGE = 5 * 1024 * 1024
HANG_S = 3600.0
FACE_PATHS = {"/v3/face-match/": "FACE_MATCH", "/v3/face-search/": "FACE_SEARCH"}


class _Refused(Exception):  # noqa: N818  an answer, not an error of ours
    """A call ends here, with this answer."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.answer = status, body


def score_of(user: bytes, reference: bytes) -> float:
    """Return how alike two photographs are: the same bytes, or not."""
    return 100.0 if user == reference else 20.0


@dataclass(frozen=True, slots=True)
class FakeSession:
    """A call that was saved."""

    id: str
    number: int
    service: str
    status: str
    score: float | None
    vendor_data: str | None
    metadata: Mapping[str, Any] | None
    created_at: float
    visible_at: float  # monotonic s
    fields: Mapping[str, str]
    images: Mapping[str, str]  # SHA-256 by field


@dataclass
class _Account:
    password: str
    code: str
    code_at: float
    api_key: str
    is_verified: bool = False


@dataclass
class _State:
    """Everything the server knows; guarded by `lock`."""

    accounts: dict[str, _Account] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    sessions: list[FakeSession] = field(default_factory=list)
    lists: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    faults: deque[tuple[str, str]] = field(default_factory=deque)
    billed: list[float] = field(default_factory=list)  # monotonic s of every call that was paid for
    calls: list[tuple[float, str, str]] = field(default_factory=list)  # monotonic s, method, path
    webhooks: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    comments: dict[str, str] = field(default_factory=dict)  # of entries of lists, by id
    reviews: list[tuple[str, str, str | None]] = field(default_factory=list)  # session, new status, comment


class FakeCloud:
    """Didit on 127.0.0.1. Start it with `with`; change it while it runs."""

    def __init__(
        self,
        *,
        generation: str = "newer",
        port: int = 0,
        credits_: Decimal | str = "100.00",
        writes_per_minute: int = 300,
        score_of: Callable[[bytes, bytes], float] = score_of,
        now: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        """Set the server up; port 0 takes a free one."""
        self.generation = generation
        self.credits = Decimal(credits_)
        self.writes_per_minute = writes_per_minute
        self.score_of = score_of
        self.most_image_bytes = MOST_IMAGE
        self.late_s = 2.0
        self.retry_after = "1"
        self.faceless: set[bytes] = set()
        """Photographs in which there is no face."""

        self.keys = {secrets.token_urlsafe(24)}
        self.chance = 0.0
        self.chance_of: Sequence[str] = ()
        """Faults that happen by themselves, each call with `chance`."""

        self.now, self._rng = now, rng or random.Random(0)  # noqa: S311  no secret
        self._lock = threading.Lock()
        self._state = _State()
        self._port = port
        self._over = threading.Event()
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> FakeCloud:  # noqa: PYI034  typing.Self is not in Python 3.10
        self.come_back()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.go_away()

    # ---- the world's side

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def api_key(self) -> str:
        """A key that is good."""
        return next(iter(self.keys))

    @property
    def sessions(self) -> tuple[FakeSession, ...]:
        """Every call that was saved, oldest first."""
        with self._lock:
            return tuple(self._state.sessions)

    @property
    def billed(self) -> tuple[float, ...]:
        """When each call was paid for, monotonic s."""
        with self._lock:
            return tuple(self._state.billed)

    @property
    def calls(self) -> tuple[tuple[float, str, str], ...]:
        """Every call: monotonic s, method, path."""
        with self._lock:
            return tuple(self._state.calls)

    @property
    def webhooks(self) -> tuple[tuple[Mapping[str, str], bytes], ...]:
        """What came to /hook: headers and body."""
        with self._lock:
            return tuple(self._state.webhooks)

    @property
    def reviews(self) -> tuple[tuple[str, str, str | None], ...]:
        """Every status that was changed: session, new status, comment."""
        with self._lock:
            return tuple(self._state.reviews)

    def entries(self, name: str) -> tuple[tuple[bytes, str], ...]:
        """Return a face list's pictures with their comments."""
        with self._lock:
            return tuple((image, self._state.comments.get(one, "")) for one, image in self._state.lists[name])

    def fail(self, fault: str, *, times: int = 1, path: str = "/v3/") -> None:
        """Have the next calls under a path fail."""
        if fault.removeprefix(DONE) not in FAULTS:
            raise ValueError(f"no fault {fault!r}; there are {', '.join(FAULTS)}")
        with self._lock:
            self._state.faults.extend([(fault, path)] * times)

    def heal(self) -> None:
        """Fail no more."""
        self.chance = 0.0
        with self._lock:
            self._state.faults.clear()

    def put_list(self, name: str, entries: Mapping[str, bytes]) -> None:
        """Make a face list: pictures by the entry's id."""
        with self._lock:
            self._state.lists[name] = list(entries.items())

    def code_for(self, email: str) -> str:
        """Return the code that was sent to an address."""
        with self._lock:
            return self._state.accounts[email].code

    def outdate_code(self, email: str) -> None:
        """Let a code expire."""
        with self._lock:
            self._state.accounts[email].code_at -= CODE_LIVES_S

    def go_away(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def come_back(self) -> None:
        """Answer (again), at the same port."""
        fake = self

        class Connected(Handler):
            cloud = fake

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that was killed is no error
                    super().handle_error(request, client_address)

        self._server = Server(("127.0.0.1", self._port), Connected)
        self._port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="fake cloud", daemon=True
        ).start()

    # ---- the handler's side

    def hang(self) -> None:
        """Wait for as long as a client that waits; ends with the server."""
        self._over.wait(HANG_S)

    def fault_for(self, method: str, path: str) -> str | None:
        """Note a call, and return how it is to fail."""
        with self._lock:
            self._state.calls.append((time.monotonic(), method, path))
            for fault, where in self._state.faults:
                if path.startswith(where):
                    self._state.faults.remove((fault, where))
                    return fault
            if self.chance_of and path.startswith("/v3/") and self._rng.random() < self.chance:
                return self._rng.choice(list(self.chance_of))
            return None

    def answer(self, call: Call, fault: str) -> Answer:
        """Carry a call out."""
        try:
            return self._open(call) or self._keyed(call, fault)
        except _Refused as refused:
            return refused.answer

    def _open(self, call: Call) -> Answer | None:
        """Answer what wants no key."""
        if call.path in {"/system/healthcheck", "/system/healthcheck/"}:
            return 200, {"status": "ok", "timestamp": timestamp(self.now())}
        if call.path == "/hook":
            with self._lock:
                self._state.webhooks.append((call.headers, call.body))
            return 200, {"request_id": str(uuid.uuid4())}
        if call.path.startswith("/auth/v2/"):
            return self._account(call)
        return self._control(call) if call.path.startswith("/fake/") else None

    def _keyed(self, call: Call, fault: str) -> Answer:
        if call.headers.get("x-api-key") not in self.keys:
            code = 401 if self.generation == "seed" else 403
            return code, {"detail": "Invalid API Key." if code == 401 else "You do not have permission."}  # noqa: PLR2004
        if call.method == "POST" and call.path in FACE_PATHS:
            return self._judge(call, FACE_PATHS[call.path], is_late=fault == "late")
        if call.path == "/v3/sessions/":
            return self._list_sessions(call, is_double=fault == "duplicate")
        return self._act(call) or self._small(call)

    def _small(self, call: Call) -> Answer:
        parts = call.path.strip("/").split("/")
        with self._lock:
            state = self._state
            if call.path == "/v3/billing/balance/":
                return 200, {"balance": f"{self.credits:.4f}", "auto_refill_enabled": False}
            if call.path == "/v3/billing/top-up/" and call.method == "POST":
                dollars = call.json().get("amount_in_dollars")
                if type(dollars) is not int or dollars < 50:  # noqa: PLR2004  Didit's least
                    return 400, {"amount_in_dollars": ["Ensure this value is greater than or equal to 50."]}
                number = f"cs_fake_{secrets.token_hex(8)}"
                link = f"https://checkout.example/{number}#{dollars}"
                return 200, {"checkout_session_id": number, "checkout_session_url": link}
            if parts[:2] == ["v3", "session"] and parts[3:] == ["decision"]:
                found = next((one for one in state.sessions if one.id == parts[2]), None)
                return (404, {"detail": "Not found."}) if found is None else (200, _decision(found))
            if parts[:2] == ["v3", "lists"] and parts[3:] == ["entries"] and parts[2] in state.lists:
                return 200, self._entries(call, state.lists[parts[2]])
        return 404, {"detail": "Not found."}

    def _act(self, call: Call) -> Answer | None:
        """Carry out what an operator does; None for another call."""
        parts = call.path.strip("/").split("/")
        with self._lock:
            if parts[:2] == ["v3", "session"] and parts[3:] == ["update-status"] and call.method == "PATCH":
                return self._review(parts[2], call.json())
            entries = self._state.lists.get(parts[2]) if parts[:2] == ["v3", "lists"] else None
            if entries is not None and parts[3:] == ["entries", "face-upload"] and call.method == "POST":
                return self._add_entry(entries, call.json())
        return None

    def _review(self, session_id: str, asked: Mapping[str, Any]) -> Answer:
        sessions, status = self._state.sessions, str(asked.get("new_status"))
        place = next((place for place, one in enumerate(sessions) if one.id == session_id), None)
        if place is None:
            return 404, {"detail": "Not found."}
        if status not in {"Approved", "Declined", "Resubmitted"}:
            return 400, {"new_status": [f'"{status}" is not a valid choice.']}
        if status == sessions[place].status:
            return 400, ["The new status is the same as the current status."]
        sessions[place] = replace(sessions[place], status=status)
        self._state.reviews.append((session_id, status, asked.get("comment")))
        return 200, {"session_id": session_id}

    def _add_entry(self, entries: list[tuple[str, bytes]], asked: Mapping[str, Any]) -> Answer:
        try:
            image = base64.b64decode(str(asked.get("image", "")), validate=True)
        except ValueError:
            return 400, {"image": ["Invalid base64."]}
        name = str(uuid.uuid4())
        entries.append((name, image))
        self._state.comments[name] = str(asked.get("comment", ""))
        return 201, {"uuid": name, "comment": self._state.comments[name]}

    def image(self, path: str) -> bytes | None:
        """Return the picture of a list's entry."""
        entry = path.removeprefix("/media/")
        with self._lock:
            return next(
                (image for entries in self._state.lists.values() for name, image in entries if name == entry), None
            )

    def _entries(self, call: Call, entries: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
        limit, offset = call.page(25)
        rows = [
            {
                "uuid": name,
                "comment": self._state.comments.get(name, ""),
                "metadata": {"reference_image_url": f"{self.url}/media/{name}"},
            }
            for name, _ in entries[offset : offset + limit]
        ]
        more = offset + limit < len(entries)
        return {"count": len(entries), "next": f"{self.url}/next" if more else None, "previous": None, "results": rows}

    def _judge(self, call: Call, service: str, *, is_late: bool) -> Answer:
        fields, files = call.form()
        if missing := {name: ["No file was submitted."] for name in _files_of(service) if not files.get(name)}:
            raise _Refused(400, missing)
        for name, content in files.items():
            if len(content) > self.most_image_bytes:
                raise _Refused(400, {name: ["File size should not exceed 5 MB"]})
        with self._lock:
            begun = time.monotonic()
            if sum(at > begun - WINDOW_S for at in self._state.billed) >= self.writes_per_minute:
                raise _Refused(429, {"detail": "Request was throttled."})
            if self.credits < PRICE:
                raise _Refused(403, {"error": "You don't have enough credits to perform this request."})
        is_newer, has_face = self.generation == "newer", not self.faceless & set(files.values())
        if service == "FACE_SEARCH" and is_newer and not has_face:
            raise _Refused(400, {"error": "No face detected in the image"})
        score = self._score(files) if has_face and service == "FACE_MATCH" else None
        status = self._status(service, score, fields, has_face=has_face)
        try:
            metadata = json.loads(fields["metadata"]) if "metadata" in fields else None
        except ValueError:
            raise _Refused(400, {"metadata": ["Value must be valid JSON."]}) from None
        with self._lock:
            self.credits -= PRICE
            self._state.billed.append(begun)
            session = FakeSession(
                id=str(uuid.uuid4()),
                number=len(self._state.sessions) + 1,
                service=service,
                status=status,
                score=score,
                vendor_data=fields.get("vendor_data"),
                metadata=metadata,
                created_at=self.now(),
                visible_at=begun + (self.late_s if is_late else 0.0),
                fields=fields,
                images={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
            )
            if fields.get("save_api_request", "true").lower() in {"true", "1"}:
                self._state.sessions.append(session)
        return 200, _answer(session, is_newer=is_newer, has_face=has_face)

    def _score(self, files: Mapping[str, bytes]) -> float:
        score = self.score_of(files["user_image"], files["ref_image"])
        return score if self.generation == "newer" else round(score)

    def _status(self, service: str, score: float | None, fields: Mapping[str, str], *, has_face: bool) -> str:
        if service == "FACE_SEARCH":
            return "Approved" if has_face else "Declined"
        threshold = float(fields.get("face_match_score_decline_threshold", "30"))
        is_over = score is not None and (score > threshold if self.generation == "newer" else score >= threshold)
        return "Approved" if is_over else "Declined"

    def _list_sessions(self, call: Call, *, is_double: bool) -> Answer:
        limit, offset = call.page(50)
        wanted, since = call.query, call.query.get("date_from", "")
        with self._lock:
            now = time.monotonic()
            rows = [
                one
                for one in reversed(self._state.sessions)
                if one.visible_at <= now
                and wanted.get("vendor_data") in {None, one.vendor_data}
                and wanted.get("api_service") in {None, one.service}
                and timestamp(one.created_at)[: len(since)] >= since
            ]
        page = [_row(one) for one in rows[offset : offset + limit]]
        if is_double:
            page = page[:1] + page
        more = offset + limit < len(rows)
        return 200, {
            "count": len(rows),
            "next": f"{self.url}/next" if more else None,
            "previous": None,
            "results": page,
        }

    def _account(self, call: Call) -> Answer:
        step = call.path.removeprefix("/auth/v2/")
        if step.startswith("organizations/"):
            return self._organisation(call, step)
        asked = call.json()
        email, password = str(asked.get("email", "")), str(asked.get("password", ""))
        with self._lock:
            account = self._state.accounts.get(email)
            if step == "programmatic/register/":
                return self._register(email, password, account)
            if step == "programmatic/verify-email/":
                return self._verify(account, str(asked.get("code", "")))
            if account is None or account.password != password or not account.is_verified:
                return 401, {"detail": "Invalid email or password."}
            token = secrets.token_urlsafe(32)
            self._state.tokens[token] = account.api_key
            return 200, {"access_token": token, "refresh_token": "", "expires_in": 86400, "message": "Login successful"}

    def _register(self, email: str, password: str, account: _Account | None) -> Answer:
        if account is not None and account.is_verified:
            return 400, {"email": ["An account with this email already exists."]}
        if len(password) < 8 or password.isalnum():  # noqa: PLR2004  Didit's rule, roughly
            return 400, {"password": ["This password is too weak."]}
        code = "".join(secrets.choice("ABCDEFGHJKLMNPQRSTUVWXYZ23456789") for _ in range(6))
        self._state.accounts[email] = _Account(password, code, time.monotonic(), secrets.token_urlsafe(24))
        return 201, {"message": "Registration successful. Check your email.", "email": email}

    def _verify(self, account: _Account | None, code: str) -> Answer:
        if account is None or not secrets.compare_digest(account.code.encode(), code.encode()):
            return 400, {"code": ["Invalid verification code."]}
        if time.monotonic() - account.code_at >= CODE_LIVES_S:
            return 400, {"code": ["The verification code has expired."]}
        account.is_verified = True
        self.keys.add(account.api_key)
        return 200, {"message": "Email verified.", "api_key": account.api_key, "application": {"uuid": "app"}}

    def _organisation(self, call: Call, step: str) -> Answer:
        key = self._state.tokens.get(call.headers.get("authorization", "").removeprefix("Bearer "))
        if key is None:
            return 401, {"detail": "Given token not valid for any token type"}
        if step == "organizations/me/":
            return 200, [{"uuid": "0b0e1c1e-1111-4111-8111-111111111111", "name": "Example"}]
        application = {"uuid": "0b0e1c1e-2222-4222-8222-222222222222", "name": "Example App"}
        return 200, [application] if step.endswith("/applications/") else {**application, "api_key": key}

    def _control(self, call: Call) -> Answer:
        """Let a demonstration's command line see and change things: GET /fake/state, POST /fake/faults."""
        if call.method == "POST" and call.path == "/fake/faults":
            asked = call.json()
            try:
                self.fail(
                    str(asked.get("fault")), times=int(asked.get("times", 1)), path=str(asked.get("path", "/v3/"))
                )
            except ValueError as error:
                return 400, {"fault": [str(error)]}
            return 200, {"faults": len(self._state.faults)}
        if call.path == "/fake/state":
            counts = Counter(one.service for one in self.sessions)
            codes = {email: account.code for email, account in self._state.accounts.items()}
            return 200, {"sessions": counts, "billed": len(self.billed), "credits": str(self.credits), "codes": codes}
        return 404, {"detail": "Not found."}


def _files_of(service: str) -> tuple[str, ...]:
    return ("user_image", "ref_image") if service == "FACE_MATCH" else ("user_image",)


def _answer(session: FakeSession, *, is_newer: bool, has_face: bool) -> dict[str, Any]:
    entity = {"age": 27.63, "bbox": [40, 40, 100, 100], "confidence": 0.717, "gender": "male"}
    image = {"entities": [entity] if has_face else [], "best_angle": 0}
    warnings = []
    if session.status == "Declined":
        risk = "LOW_FACE_MATCH_SIMILARITY" if has_face else "NO_FACE_DETECTED"
        words = {"short_description": "Declined", "long_description": "The fake declined it."}
        more = {"feature": "FACEMATCH", "additional_data": None} if is_newer else {}
        warnings = [{"risk": risk, "log_type": "error", **words, **more}]
    about: dict[str, Any] = {"status": session.status, "user_image": image, "warnings": warnings}
    if session.service == "FACE_MATCH":
        about |= {"score": session.score, "ref_image": image}
    else:
        about |= {"total_matches": 0, "matches": []}
    body = {"request_id": session.id, session.service.lower(): about}
    if session.service == "FACE_MATCH" or is_newer:
        body["created_at"] = timestamp(session.created_at)
    return body | ({"vendor_data": session.vendor_data, "metadata": session.metadata} if is_newer else {})


def _row(session: FakeSession) -> dict[str, Any]:
    return {
        "session_id": session.id,
        "session_kind": "user",
        "session_number": session.number,
        "status": session.status,
        "vendor_data": session.vendor_data,
        "created_at": timestamp(session.created_at),
        "features": [{"feature": session.service, "status": session.status}],
    }


def _decision(session: FakeSession) -> dict[str, Any]:
    return {**_row(session), "metadata": session.metadata, "face_matches": [{"score": session.score}]}
