"""Who may use the API: keys of programs and accounts of operators, as rows of the store.

A key has 256 random bits, so a plain SHA-256 of it tells nobody anything; a password is put through scrypt. Both lie
sealed with the name, bound to role and dates: whoever edits a role or a date in the file makes the row unreadable.
Every change is a record of the log that names the id, never the name. Where the database cannot be read, a copy beside
it says who somebody is, so that an operator's release goes on working: see accounts_copy.py.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from kiosk.errors import ConfigError, RefusedError, StoreError
from kiosk.store import accounts_copy
from kiosk.store.accounts_copy import COLUMNS, AccountsCopy
from kiosk.store.chain import Kind
from kiosk.store.vault import InvalidTag, Vault

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kiosk.store.store import Store

PREFIX = "kiosk"  # of every key, so that one found in a file is known for what it is
SECRET_BYTES = 32
ID_BYTES = 6
SHORTEST_PASSWORD, LONGEST_PASSWORD = 10, 1024  # characters; scrypt reads any length, so there is a limit here
LONGEST_NAME = 100
# 32 MB and some 80 ms on this class of machine: OWASP's second choice (2023), as memory is short on a Pi.
SCRYPT: Mapping[str, int] = {"n": 1 << 15, "r": 8, "p": 3, "maxmem": 1 << 26}
SALT_BYTES = 16
SIGNED_IN = "signed_in"  # details.act of the KEY record


SCOPES = ("alarm",)
"""What a key may be allowed beyond its role: alarm, to arm and disarm as an alarm panel does."""


class Role(IntEnum):
    """What an account may do; each includes those before."""

    DEVICE = 1  # a program that asks for decisions
    OPERATOR = 2  # looks after people, decisions and the door
    ADMIN = 3  # changes settings and keys

    @property
    def word(self) -> str:
        """The role as it is written."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Account:
    """A key or an operator."""

    id: str
    kind: str  # "key" or "operator"
    role: Role
    name: str = field(repr=False)
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    scopes: frozenset[str] = frozenset()  # of SCOPES: what a key may do beyond its role
    mark: str = ""  # changes with the password or key, and tells nothing of it: a session ends with its password
    totp: str | None = field(default=None, repr=False)  # secret of the second factor, base32; None without one

    def is_good(self, now: float) -> bool:
        """Whether it may be used."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def _context(*clear: object) -> bytes:
    """Return what `sealed` is bound to: all other columns, in the order of `COLUMNS`."""
    return "|".join(["access", *map(repr, clear)]).encode()


class Accounts:
    """The keys and operators of one store. Safe in several threads, and beside other processes."""

    def __init__(self, store: Store, *, now: Callable[[], float], scrypt: Mapping[str, int] = SCRYPT) -> None:
        """Take the store, the wall clock, s UTC, and what a password costs: a store has one cost for all of them."""
        self._store = store
        self._now = now
        self._scrypt = scrypt
        self._copied = CopiedAccounts(AccountsCopy(store.directory, store.vault), now=now, scrypt=scrypt)

    # ---- keys

    def create_key(
        self,
        name: str,
        role: Role,
        *,
        scopes: Iterable[str] = (),
        expires_at: float | None = None,
        actor: str = "",
    ) -> tuple[Account, str]:
        """Make a key; return it and its text, which nothing keeps.

        Raises:
            ConfigError: a name, scope or date will not do.
        """
        granted = sorted(set(scopes))
        if unknown := [scope for scope in granted if scope not in SCOPES]:
            raise ConfigError(f"there is no scope {unknown[0]!r}; there are {', '.join(SCOPES)}")
        secret = urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=")
        account = self._insert("key", name, role, expires_at, {"digest": _digest(secret)}, scopes=granted, actor=actor)
        return account, f"{PREFIX}_{account.id}_{secret}"

    def by_key(self, text: str) -> Account | None:
        """Return whose key this is; None for a wrong, expired or revoked one."""
        row, secret = _parts(text)
        try:
            found = self._row("id = ? AND kind = 'key'", row) if row else None
        except StoreError:  # of the whole database; a row that was edited is an error below
            return self._copied.by_key(text)
        return _whose_key(None if found is None else self._account(found), secret, self._now())

    # ---- operators

    def create_operator(
        self, name: str, role: Role, password: str, *, actor: str = "", is_first: bool = False
    ) -> Account:
        """Make an operator's account.

        Raises:
            ConfigError: the name or password will not do.
            RefusedError: the name is taken; or it was to be the first account of all, and is not.
        """
        name = _checked_name(name)
        if role is Role.DEVICE:
            raise ConfigError("an operator's role is operator or admin")
        verifier = _scrypt(_checked_password(password), self._scrypt)
        return self._insert(
            "operator", name, role, None, verifier, lookup=self._lookup(name), actor=actor, is_first=is_first
        )

    def by_password(self, name: str, password: str) -> Account | None:
        """Return whose name and password these are; takes as long where nobody has the name. Some 100 ms, 32 MB."""
        try:
            found = self._row("lookup = ?", self._lookup(name.strip()))
        except StoreError:  # as in `by_key`
            return self._copied.by_password(name, password)
        return _whose_password(None if found is None else self._account(found), password, self._now(), self._scrypt)

    def set_password(self, name: str, password: str, *, actor: str = "") -> Account:
        """Give an operator another password."""
        verifier = _scrypt(_checked_password(password), self._scrypt)
        with self._store.transaction() as transaction:
            account = self.named(name)
            sealed = self._seal(account, verifier)  # which keeps the second factor
            transaction.connection.execute("UPDATE access SET sealed = ? WHERE id = ?", (sealed, account.id))
            transaction.record(Kind.KEY, details={"id": account.id, "act": "password"}, actor=actor)
        self.copy()
        return account

    def set_totp(self, row: str, secret: str | None, *, actor: str = "") -> Account:
        """Give an operator a second factor, a base32 secret, or take it away; refused where nobody has this id."""
        act = "second_factor" if secret is not None else "second_factor_removed"
        return self._change(row, lambda account: replace(account, totp=secret), act=act, actor=actor)

    def set_role(self, row: str, role: Role, *, actor: str = "") -> Account:
        """Give an operator another role.

        Raises:
            ConfigError: no operator has this role.
            RefusedError: there is no valid operator of this id, or nobody else could administer the kiosk then.
        """
        if role is Role.DEVICE:
            raise ConfigError("an operator's role is operator or admin")
        return self._change(row, lambda account: replace(account, role=role), act=f"role {role.word}", actor=actor)

    def remove(self, row: str, *, actor: str = "") -> Account:
        """End an operator's account by its id, as `set_role` refuses the last administrator."""
        return self.revoke(row, actor=actor, kind="operator", keeps_admin=True)

    def _change(self, row: str, change: Callable[[Account], Account], *, act: str, actor: str) -> Account:
        with self._store.transaction() as transaction:
            found = self._read("id = ? AND kind = 'operator'", row)
            if found is None or not found[0].is_good(self._now()):
                raise RefusedError("there is no such operator")
            account, verifier = found
            changed = change(account)
            if account.role is Role.ADMIN and changed.role is not Role.ADMIN:
                self._want_other_admin(row)
            transaction.connection.execute(
                "UPDATE access SET role = ?, sealed = ? WHERE id = ?",
                (changed.role.word, self._seal(changed, verifier), row),
            )
            transaction.record(Kind.KEY, details={"id": row, "act": act}, actor=actor)
        self.copy()
        return changed

    def _want_other_admin(self, row: str) -> None:
        others = (one for one in self.all("operator") if one.id != row and one.role is Role.ADMIN)
        known = self.get(row)
        if known is not None and known.role is Role.ADMIN and not any(one.is_good(self._now()) for one in others):
            raise RefusedError("nobody else is an administrator; make somebody one first")

    def note_signed_in(self, row: str, *, actor: str = "") -> None:
        """Record that an operator signed in."""
        self._store.record_act(Kind.KEY, details={"id": row, "act": SIGNED_IN}, actor=actor)

    def last_signed_in(self) -> dict[str, float]:
        """Return when each account signed in last, s UTC, as far as the log goes back."""
        return _last_signed_in(self._store)

    # ---- both

    def copy(self) -> None:
        """Bring the copy beside the database up to date."""
        accounts_copy.write(self._store.directory, self._store.database, self._store.vault)

    def get(self, row: str) -> Account | None:
        """Return an account, good or not."""
        try:
            found = self._row("id = ?", row)
        except StoreError:  # as in `by_key`
            return self._copied.get(row)
        return self._account(found)[0] if found is not None else None

    def all(self, kind: str) -> tuple[Account, ...]:
        """Return every key, or every operator, oldest first; those revoked too."""
        with self._store.database.read() as connection:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM access WHERE kind = ? ORDER BY created_at, id", (kind,)
            ).fetchall()
        return tuple(self._account(row)[0] for row in rows)

    def has_any(self) -> bool:
        """Whether there is any account that could be let in."""
        return any(account.is_good(self._now()) for kind in ("key", "operator") for account in self.all(kind))

    def is_unclaimed(self) -> bool:
        """Whether there never was an account: one that was revoked leaves its row, so no kiosk comes free again."""
        with self._store.database.read() as connection:
            return connection.execute("SELECT 1 FROM access LIMIT 1").fetchone() is None

    def revoke(self, row: str, *, actor: str = "", kind: str | None = None, keeps_admin: bool = False) -> Account:
        """End a key or an operator's account, or only what is of this kind; from now on it opens nothing.

        Raises:
            RefusedError: there is none of this id, or it has ended already; or `keeps_admin` and it is the last one's.
        """
        with self._store.transaction() as transaction:
            found = self._read("id = ?", row)
            if found is None or found[0].revoked_at is not None or kind not in {None, found[0].kind}:
                raise RefusedError(f"there is no valid {kind or 'key or operator'} {row}")
            if keeps_admin:  # here, as two removals at once would each see the other's administrator
                self._want_other_admin(row)
            account, verifier = found
            ended = replace(account, revoked_at=float(self._now()))
            transaction.connection.execute(
                "UPDATE access SET revoked_at = ?, lookup = NULL, sealed = ? WHERE id = ?",
                (ended.revoked_at, self._seal(ended, verifier), row),
            )
            transaction.record(Kind.KEY, details={"id": row, "act": "revoked"}, actor=actor)
        self.copy()
        return ended

    def remove_operator(self, name: str, *, actor: str = "") -> Account:
        """End an operator's account by its name."""
        return self.revoke(self.named(name).id, actor=actor)

    def named(self, name: str) -> Account:
        """Return an operator by name; raises RefusedError where there is none."""
        found = self._read("lookup = ?", self._lookup(name.strip()))
        if found is None:
            raise RefusedError("there is no operator of this name; `kiosk operator list` shows all")
        return found[0]

    def _lookup(self, name: str) -> bytes:
        return self._store.vault.lookup("operator", name.casefold())

    def _insert(
        self,
        kind: str,
        name: str,
        role: Role,
        expires_at: float | None,
        verifier: dict[str, str],
        *,
        lookup: bytes | None = None,
        scopes: Sequence[str] = (),
        actor: str,
        is_first: bool = False,
    ) -> Account:
        name = _checked_name(name)
        row = os.urandom(ID_BYTES).hex()
        now = float(self._now())
        if expires_at is not None and expires_at <= now:
            raise ConfigError("want an expiry in the future")
        account = Account(row, kind, role, name, now, expires_at, None, frozenset(scopes))
        with self._store.transaction() as transaction:
            if is_first and transaction.connection.execute("SELECT 1 FROM access LIMIT 1").fetchone():
                raise RefusedError("this kiosk has its operators already")
            if lookup is not None and self._read("lookup = ?", lookup) is not None:
                raise RefusedError("there is an operator of this name; remove it first, or give it a new password")
            transaction.connection.execute(
                "INSERT INTO access (id, kind, role, lookup, created_at, expires_at, revoked_at, sealed) "
                "VALUES (?, ?, ?, ?, ?, ?, NULL, ?)",
                (row, kind, role.word, lookup, now, expires_at, self._seal(account, verifier)),
            )
            details: dict[str, Any] = {"id": row, "act": "created", "kind": kind, "role": role.word}
            if scopes:
                details["scopes"] = list(scopes)
            transaction.record(Kind.KEY, details=details, actor=actor)
        self.copy()
        return account

    def _seal(self, account: Account, verifier: dict[str, str]) -> bytes:
        return _sealed(self._store.vault, account, verifier)

    def _read(self, where: str, value: object) -> tuple[Account, dict[str, str]] | None:
        row = self._row(where, value)
        return None if row is None else self._account(row)

    def _row(self, where: str, value: object) -> tuple[Any, ...] | None:
        with self._store.database.read() as connection:
            row: tuple[Any, ...] | None = connection.execute(
                f"SELECT {COLUMNS} FROM access WHERE {where}", (value,)
            ).fetchone()
        return row

    def _account(self, found: tuple[Any, ...]) -> tuple[Account, dict[str, str]]:
        return _account(self._store.vault, found)


class CopiedAccounts:
    """The keys and operators of the copy: who may release the door while the database cannot be read."""

    def __init__(self, copy: AccountsCopy, *, now: Callable[[], float], scrypt: Mapping[str, int] = SCRYPT) -> None:
        """Take the copy, the wall clock, s UTC, and what a password costs, as `Accounts`."""
        self._copy, self._now, self._scrypt = copy, now, scrypt

    def by_key(self, text: str) -> Account | None:
        """Return whose key this is, as `Accounts.by_key`; a `StoreError` says that nobody can be recognised."""
        row, secret = _parts(text)
        rows, vault = self._copy.rows()
        found = next((one for one, _ in rows if one[0] == row and one[1] == "key"), None)
        return _whose_key(_account(vault, found) if found else None, secret, self._now())

    def by_password(self, name: str, password: str) -> Account | None:
        """Return whose name and password these are, as `Accounts.by_password`; a `StoreError` as above."""
        rows, vault = self._copy.rows()
        wanted = vault.lookup("operator", name.strip().casefold())
        found = next((one for one, lookup in rows if lookup == wanted), None)
        return _whose_password(_account(vault, found) if found else None, password, self._now(), self._scrypt)

    def get(self, row: str) -> Account | None:
        """Return an account, good or not; a `StoreError` as above."""
        rows, vault = self._copy.rows()
        return next((_account(vault, one)[0] for one, _ in rows if one[0] == row), None)

    def has_any(self) -> bool:
        """Whether somebody could be let in at all."""
        try:
            rows, vault = self._copy.rows()
        except StoreError:
            return False
        return any(_account(vault, one)[0].is_good(self._now()) for one, _ in rows)


def name_of(accounts: Accounts, actor: str) -> str | None:
    """Return the name of an account, ended or not; None for what is none here, or where the store cannot say.

    A log's actor may be something else, such as "cli" or another kiosk's account.
    """
    try:
        account = accounts.get(actor) if len(actor) == 2 * ID_BYTES else None
    except StoreError:
        return None
    return None if account is None else account.name


def _last_signed_in(store: Store) -> dict[str, float]:
    with store.database.read() as connection:
        return dict(
            connection.execute(
                "SELECT json_extract(record, '$.details.id') AS id, max(at) FROM log WHERE kind = 'KEY' "
                "AND json_extract(record, '$.details.act') = ? GROUP BY id",
                (SIGNED_IN,),
            ).fetchall()
        )


def _sealed(vault: Vault, account: Account, verifier: dict[str, str]) -> bytes:
    more: dict[str, Any] = {"scopes": sorted(account.scopes)} if account.scopes else {}
    if account.totp is not None:
        more["totp"] = account.totp
    plain = json.dumps({"name": account.name, **more, **verifier}).encode()
    clear = (account.id, account.kind, account.role.word, account.created_at, account.expires_at, account.revoked_at)
    return vault.seal(plain, _context(*clear))


Found = tuple[Account, dict[str, str]]
"""An account and its verifier."""


def _parts(text: str) -> tuple[str, str]:
    """Return the id and the secret of a key's text; both empty where it is none."""
    prefix, _, rest = text.partition("_")
    row, _, secret = rest.partition("_")
    return (row, secret) if prefix == PREFIX and text.isascii() else ("", "")


def _whose_key(found: Found | None, secret: str, now: float) -> Account | None:
    # Without a row the same is done with nothing, so that both take as long.
    account, verifier = found or (None, {"digest": _digest("")})
    is_right = hmac.compare_digest(verifier["digest"], _digest(secret))
    return account if account is not None and is_right and account.is_good(now) else None


def _whose_password(found: Found | None, password: str, now: float, scrypt: Mapping[str, int]) -> Account | None:
    account, verifier = found or (None, {"salt": "00" * SALT_BYTES, "hash": ""})
    again = _scrypt(password[:LONGEST_PASSWORD], scrypt, bytes.fromhex(verifier["salt"]))
    is_right = hmac.compare_digest(again["hash"], verifier["hash"])
    return account if account is not None and is_right and account.is_good(now) else None


def _account(vault: Vault, found: tuple[Any, ...]) -> Found:
    row, kind, role, created, expires, revoked, _ = found
    verifier = _open(vault, found)
    name, scopes = verifier.pop("name"), frozenset(verifier.pop("scopes", ()))
    totp = verifier.pop("totp", None)
    mark = _digest(verifier.get("digest") or verifier["hash"])[:16]
    return Account(row, kind, Role[role.upper()], name, created, expires, revoked, scopes, mark, totp), verifier


def _open(vault: Vault, found: tuple[Any, ...]) -> dict[str, str]:
    *clear, sealed = found
    try:
        opened: dict[str, str] = json.loads(vault.open(sealed, _context(*clear)))
    except InvalidTag as error:
        raise StoreError(f"access {found[0]} was changed or damaged; run `kiosk store repair`") from error
    return opened


def reseal(connection: sqlite3.Connection, old: Vault, new: Vault) -> None:
    """Seal every row with a new master key, inside the transaction that brings it into force."""
    rows = connection.execute(f"SELECT {COLUMNS} FROM access").fetchall()
    for found in rows:
        plain = _open(old, found)
        is_named = found[1] == "operator" and found[5] is None
        lookup = new.lookup("operator", plain["name"].casefold()) if is_named else None
        sealed = new.seal(json.dumps(plain).encode(), _context(*found[:-1]))
        connection.execute("UPDATE access SET lookup = ?, sealed = ? WHERE id = ?", (lookup, sealed, found[0]))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _scrypt(password: str, cost: Mapping[str, int], salt: bytes | None = None) -> dict[str, str]:
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    hashed = hashlib.scrypt(password.encode("utf-8", "replace"), salt=salt, dklen=32, **cost)
    return {"salt": salt.hex(), "hash": hashed.hex()}


def _checked_name(name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise ConfigError(f"want a name of 1 to {LONGEST_NAME} printable characters")
    return name


def _checked_password(password: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise ConfigError(f"want a password of {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    return password
