"""Who is asking, may they, and how often: keys and sessions, lock-out, limits of a minute.

Everything here lives in memory and is bounded: signing in again after a restart costs less than a table of sessions
on the disk that could be copied. The keys and passwords themselves are accounts.py's.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from kiosk.api.totp import DRIFT, STEP_S, counter_of
from kiosk.didit.contract import timestamp
from kiosk.rules.addresses import address_of
from kiosk.settings.network import ApiSettings
from kiosk.store.accounts import Account, Accounts, CopiedAccounts, Role

WINDOW_S = 60.0  # what the limits are counted over
MOST_ADDRESSES = 4096  # remembered; whoever sends from more than these is not one address to be locked out
MOST_CALLERS = 4096
MOST_PROXIES = 16  # in a row; a header may hold thousands of addresses
PROXIED = 20  # times as many failures lock out all clients of one proxy
MOST_SESSIONS = 256
RESTART_S = 90.0  # after which no code of before a start is good any more
OFFERED_S = 600.0  # that a secret of a second factor waits for its first code
SHOWN = 12  # signs of a session's digest that name it
TOKEN_BYTES = 32
HOUR_S = 3600.0

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who proved who they are."""

    account: Account
    csrf: str | None = field(default=None, repr=False)  # of a session; None for a key
    expires_at: float | None = None  # of a session, seconds UTC

    @property
    def id(self) -> str:
        """What the log calls them."""
        return self.account.id

    @property
    def role(self) -> Role:
        """What they may do."""
        return self.account.role

    def may(self, role: Role, scope: str | None) -> bool:
        """Whether they may do what wants this role, or a key with this scope."""
        return self.account.role >= role or (scope is not None and scope in self.account.scopes)


@dataclass(frozen=True, slots=True)
class Sender:
    """Where a call comes from."""

    address: str  # of the client; behind a trusted proxy the one it forwards for
    proxy: str | None = None  # the trusted proxy's own address, where there is one


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit, for the contract's headers."""

    limit: int
    remaining: int
    resets_at: float  # seconds UTC
    wait_s: float  # 0 while something is left

    @property
    def headers(self) -> dict[str, str]:
        """X-RateLimit-…, and Retry-After when nothing is left."""
        told = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(math.ceil(self.resets_at)),
        }
        return told | ({"Retry-After": str(max(1, math.ceil(self.wait_s)))} if self.wait_s > 0 else {})


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """What became of a code of a second factor."""

    is_right: bool
    wait_s: float = 0.0  # above 0: the kiosk started so lately that it cannot know whether the code was used before


@dataclass(slots=True)
class _Session:
    account: str
    mark: str
    csrf: str
    expires_at: float
    opened_at: float
    used_at: float
    address: str


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session as an administrator may see it: nothing of its cookie."""

    id: str
    account: str
    opened_at: float  # s UTC, as the next two
    used_at: float
    expires_at: float
    address: str  # of whoever signed in
    mark: str  # of the account then: with another password it has ended


class _Recent(Generic[Value]):
    """A table of bounded length that forgets what was used longest ago."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: OrderedDict[str, Value] = OrderedDict()

    def get(self, name: str) -> Value | None:
        """Return a row."""
        if name in self._rows:
            self._rows.move_to_end(name)
        return self._rows.get(name)

    def put(self, name: str, value: Value) -> None:
        """Add or replace a row."""
        self._rows[name] = value
        self._rows.move_to_end(name)
        while len(self._rows) > self._most:
            self._rows.popitem(last=False)

    def drop(self, name: str) -> None:
        """Remove a row."""
        self._rows.pop(name, None)

    def items(self) -> list[tuple[str, Value]]:
        """Return all rows."""
        return list(self._rows.items())


@dataclass(slots=True)
class _Window:
    began: float  # monotonic s
    used: int = 0


class Limiter:
    """So many calls a minute for each caller. Safe in several threads."""

    def __init__(self, limit: int, *, now: Callable[[], float], monotonic: Callable[[], float]) -> None:
        """Take the limit, the wall clock for the headers and the clock that is counted with."""
        self._limit, self._now, self._monotonic = limit, now, monotonic
        self._lock = threading.Lock()
        self._windows: _Recent[_Window] = _Recent(MOST_CALLERS)

    def take(self, caller: str) -> Allowance:
        """Count one call; a `wait_s` above 0 says that it is one too many."""
        with self._lock:
            now = self._monotonic()
            window = self._windows.get(caller)
            if window is None or now - window.began >= WINDOW_S:
                window = _Window(now)
            self._windows.put(caller, window)
            left_s = window.began + WINDOW_S - now
            is_over = window.used >= self._limit
            window.used += not is_over
            return Allowance(self._limit, self._limit - window.used, self._now() + left_s, left_s if is_over else 0.0)


class Access:
    """Tells who is asking. Safe in several threads."""

    def __init__(
        self,
        accounts: Accounts | CopiedAccounts,
        settings: ApiSettings,
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """Take the accounts, [api] of the settings, the wall clock and the monotonic one."""
        self._known = accounts
        self._settings = settings
        self._now, self.monotonic = now, monotonic
        self._lock = threading.Lock()
        self._failures: _Recent[list[float]] = _Recent(MOST_ADDRESSES)
        self._sessions: _Recent[_Session] = _Recent(MOST_SESSIONS)
        self._offered: _Recent[tuple[str, float]] = _Recent(MOST_SESSIONS)  # secrets that wait for their first code
        self._codes: _Recent[int] = _Recent(MOST_CALLERS)  # newest step of a second factor that was taken
        # Not among the senders: whoever has many addresses would push an account's own count out.
        self._code_failures: _Recent[list[float]] = _Recent(MOST_CALLERS)
        self._began, self._newest_then = monotonic(), int(now() // STEP_S) + DRIFT
        self.writes = Limiter(settings.writes_per_minute, now=now, monotonic=monotonic)
        self.reads = Limiter(settings.reads_per_minute, now=now, monotonic=monotonic)

    @property
    def accounts(self) -> Accounts:
        """The accounts, where they are the store's and can be changed."""
        assert isinstance(self._known, Accounts)  # the copy serves a kiosk that has not started, and nothing else
        return self._known

    # ---- lock-out

    def locked_s(self, sender: Sender) -> float:
        """Return how long a sender is still locked out; 0 when it is not."""
        with self._lock:
            return max(self._left_s(self._failures, name, most) for name, most in self._counters(sender))

    def _left_s(self, table: _Recent[list[float]], name: str, most: int) -> float:
        failures = table.get(name) or []
        return max(0.0, failures[-1] + self._settings.lockout_s - self.monotonic()) if len(failures) >= most else 0.0

    def _fail(self, table: _Recent[list[float]], name: str, most: int) -> None:
        now = self.monotonic()
        kept = [at for at in table.get(name) or [] if now - at < self._settings.lockout_s]
        table.put(name, [*kept, now][-most:])

    def count_wrong(self, sender: Sender) -> None:
        """Count a wrong key, password or code; a right one between two wrong ones forgives nothing."""
        with self._lock:
            for name, most in self._counters(sender):
                self._fail(self._failures, name, most)

    def _counters(self, sender: Sender) -> list[tuple[str, int]]:
        """Return what a sender's failures count with, and how many lock it out.

        A client behind a trusted proxy counts by itself. Whoever sits on the proxy's own machine can write any
        address into the header, so the proxy counts too, with a larger number.
        """
        wrong = self._settings.wrong_keys
        counters = [(network(sender.address), wrong)]
        return counters if sender.proxy is None else [*counters, (f"proxy {network(sender.proxy)}", wrong * PROXIED)]

    # ---- keys and passwords

    def by_key(self, key: str, sender: Sender) -> Caller | None:
        """Return whose key this is; a wrong one counts against the sender."""
        account = self._known.by_key(key)
        if account is None:
            self.count_wrong(sender)
            return None
        return Caller(account)

    def by_password(self, name: str, password: str, sender: Sender) -> Caller | None:
        """Return whose name and password these are; wrong ones count against the sender. Some 300 ms."""
        account = self._known.by_password(name, password)
        if account is None:
            self.count_wrong(sender)
            return None
        return Caller(account)

    def code_locked_s(self, account: Account) -> float:
        """Return how long an account takes no code of a second factor, whoever sends it; 0 when it does."""
        with self._lock:
            return self._left_s(self._code_failures, account.id, self._settings.wrong_keys)

    def by_code(self, account: Account, text: str, sender: Sender) -> CodeCheck:
        """Say whether this is a code of the account's second factor, for the first time; a wrong one counts.

        It counts against the sender and against the account: whoever has the password may have many addresses.
        After a start nobody remembers which codes were taken, so those that were good then serve no more. Whoever gives
        one of them did nothing wrong, and is told how long to wait.
        """
        assert account.totp is not None
        with self._lock:
            now = self._now()
            counter = counter_of(account.totp, text, now, after=self._codes.get(account.id) or -1)
            is_early = self.monotonic() - self._began < RESTART_S
            if counter is not None and is_early and counter <= self._newest_then:
                return CodeCheck(is_right=False, wait_s=max(1.0, (self._newest_then + 1) * STEP_S - now))
            if counter is not None:
                self._codes.put(account.id, counter)
                return CodeCheck(is_right=True)
            self._fail(self._code_failures, account.id, self._settings.wrong_keys)
        self.count_wrong(sender)
        return CodeCheck(is_right=False)

    def note_code(self, account: str, counter: int) -> None:
        """Note a code that was taken elsewhere than by `by_code`; it serves no more."""
        with self._lock:
            self._codes.put(account, max(counter, self._codes.get(account) or -1))

    def offer_totp(self, account: str, secret: str | None) -> None:
        """Keep the secret that an operator was shown until a code of it comes; None: keep none."""
        with self._lock:
            if secret is None:
                self._offered.drop(account)
            else:
                self._offered.put(account, (secret, self.monotonic() + OFFERED_S))

    def offered_totp(self, account: str) -> str | None:
        """Return the secret that an operator was shown; None where that was too long ago."""
        with self._lock:
            secret, until = self._offered.get(account) or (None, 0.0)
            return secret if self.monotonic() < until else None

    # ---- sessions

    def open_session(self, caller: Caller, address: str = "") -> tuple[str, Caller]:
        """Sign a caller in, who comes from an address; return the cookie's text and the caller of this session."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        account = caller.account  # as its password was found right: another one since ends this session too
        expires = self._now() + self._settings.session_h * HOUR_S
        if account.expires_at is not None:
            expires = min(expires, account.expires_at)
        now = self._now()
        session = _Session(account.id, account.mark, secrets.token_urlsafe(TOKEN_BYTES), expires, now, now, address)
        with self._lock:
            self._sessions.put(_digest(token), session)
        return token, Caller(account, session.csrf, expires)

    def by_session(self, token: str) -> Caller | None:
        """Return who signed in with this cookie; None once the session, the account or its password has ended."""
        with self._lock:
            session = self._sessions.get(_digest(token))
        if session is None:
            return None
        account = self._known.get(session.account)
        now = self._now()
        if account is None or not account.is_good(now) or account.mark != session.mark or now >= session.expires_at:
            self.close_session(token)
            return None
        session.used_at = now
        return Caller(account, session.csrf, session.expires_at)

    def is_still(self, caller: Caller, token: str) -> bool:
        """Say whether a caller would be let in again, and may as much; `token` is the cookie of one with a session."""
        if caller.csrf is not None:
            with self._lock:
                session = self._sessions.get(_digest(token))
            if session is None or session.csrf != caller.csrf or self._now() >= session.expires_at:
                return False
        account = self._known.get(caller.id)
        is_same = account is not None and account.is_good(self._now()) and account.mark == caller.account.mark
        return account is not None and is_same and account.role >= caller.role

    def sessions(self) -> list[OpenSession]:
        """Return the sessions that are open, newest first."""
        now = self._now()
        with self._lock:
            found = [
                OpenSession(
                    digest[:SHOWN], one.account, one.opened_at, one.used_at, one.expires_at, one.address, one.mark
                )
                for digest, one in self._sessions.items()
                if now < one.expires_at
            ]
        return sorted(found, key=lambda one: -one.opened_at)

    def close_sessions(self, account: str, *, but: str = "") -> None:
        """Sign an account out everywhere, but not where `but` is the cookie."""
        kept = _digest(but)
        with self._lock:
            for digest in [name for name, one in self._sessions.items() if one.account == account and name != kept]:
                self._sessions.drop(digest)

    def close_session(self, token: str) -> None:
        """Sign out."""
        with self._lock:
            self._sessions.drop(_digest(token))


def about_account(account: Account) -> dict[str, Any]:
    """Return what lists tell of a key or an operator; never the secret."""
    return {
        "id": account.id,
        "name": account.name,
        "role": account.role.word,
        "scopes": sorted(account.scopes),
        "created_at": timestamp(account.created_at),
        "expires_at": None if account.expires_at is None else timestamp(account.expires_at),
    }


def is_csrf_right(caller: Caller | None, text: str) -> bool:
    """Say whether a header's text is the session's token."""
    return (
        caller is not None
        and caller.csrf is not None
        and hmac.compare_digest(caller.csrf.encode(), text.encode("utf-8", "replace"))
    )


def network(address: str) -> str:
    """Return what counts as one sender: an IPv4 address, or the /64 that one household of IPv6 has.

    >>> network("192.0.2.7"), network("2001:db8::1:2"), network("::ffff:192.0.2.7"), network("odd")
    ('192.0.2.7', '2001:db8::/64', '192.0.2.7', 'odd')
    """
    parsed = address_of(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address if parsed is None else str(parsed)


def sender_of(peer: str, forwarded_for: str, proxies: Sequence[str]) -> Sender:
    """Return whose call this is: the peer's, or behind a trusted proxy its client's.

    A proxy appends the address that it sees, so the list is read from its end; what stands before the first address
    that is no proxy's was written by the client itself and counts for nothing. This machine is always trusted.

    Args:
        peer: the address of the connection's other end.
        forwarded_for: the header X-Forwarded-For; empty where there is none.
        proxies: trusted addresses and networks, as [api] trusted_proxies has them.

    >>> sender_of("127.0.0.1", "203.0.113.9, 198.51.100.66", ())
    Sender(address='198.51.100.66', proxy='127.0.0.1')
    >>> sender_of("192.0.2.1", "198.51.100.66", ())
    Sender(address='192.0.2.1', proxy=None)
    >>> sender_of("192.0.2.1", "198.51.100.66:4711, 192.0.2.2", ("192.0.2.0/24",)).address
    '198.51.100.66'
    """
    if not _is_trusted(peer, proxies):
        return Sender(peer)
    client = None
    for text in reversed(forwarded_for.rsplit(",", MOST_PROXIES)[-MOST_PROXIES:]):
        address = _bare(text.strip())
        if address is None:
            break
        client = address
        if not _is_trusted(address, proxies):
            break
    return Sender(peer) if client is None else Sender(client, peer)


def _is_trusted(address: str, proxies: Sequence[str]) -> bool:
    parsed = address_of(address)
    if parsed is None:
        return False
    return parsed.is_loopback or any(parsed in ipaddress.ip_network(one, strict=False) for one in proxies)


def _bare(text: str) -> str | None:
    """Return an address without brackets and port; None for what is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
