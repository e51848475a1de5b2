"""An anchor: the newest record of the decision log, written down where whoever holds the device cannot reach.

    kiosk-anchor-1 STORE_ID SEQ HASH TIME SIGNATURE

The head file shows a log that was cut off, but not a database and a head file that were both put back to an older
day: that is a good log of that day, and it brings revoked keys back. Whoever keeps an anchor elsewhere (on a phone by
QR code, on a stick, in a file of another machine) finds it: the log must still hold the record that the anchor names.
One anchor vouches for all records before it, as each record holds the hash of the one before.

A record that was removed for its age ([store] log_days) cannot be compared any more; an anchor made within that time
can. So a rollback would have to stay unnoticed for as long, and whoever keeps anchors makes a new one more often.

The signature is the device's, so that nobody makes an anchor that never was, and a misread character shows.
A device with a TPM could hold the newest seq in a monotonic counter of it (TPM2_NV_Increment) and compare at each
start, beside the head file in `directory.open_store`; then a rollback would show without anybody's help.
"""

from __future__ import annotations

import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from kiosk.errors import ConfigError, StoreError
from kiosk.store import chain
from kiosk.store.chain import Kind
from kiosk.store.durable import sync_directory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kiosk.store.chain import Entry, Signed
    from kiosk.store.checkpoint import Checkpoint
    from kiosk.store.store import Store

NAME = "kiosk-anchor-1"
_DOMAIN = b"kiosk-anchor-1\0"  # a signature of one kind of thing is none of another
_SHAPE = re.compile(
    r"kiosk-anchor-1 ([0-9a-f-]{36}) ([1-9][0-9]{0,17}) ([0-9a-f]{64}) ([0-9T:.-]{19,26}Z) ([A-Za-z0-9_-]{86})"
)
REMOVED = ", which was removed for its age ([store] log_days): it cannot be compared any more"
LONGEST_LINE = 400  # characters; more is no anchor
MOST_BYTES = 1 << 20  # of a file of anchors: one a day for ten years


@dataclass(frozen=True, slots=True)
class Anchor:
    """One record of a log, vouched for at a time."""

    store_id: str
    seq: int
    hash: str  # hexadecimal SHA-256 of the record
    at: str  # when it was made, by the device's clock
    signature: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The anchor as one line; `read` takes it back."""
        signature = urlsafe_b64encode(self.signature).decode().rstrip("=")
        return f"{_body(self.store_id, self.seq, self.hash, self.at)} {signature}"

    def is_signed_with(self, public_key: bytes) -> bool:
        """Say whether the device with this public key made it."""
        body = _body(self.store_id, self.seq, self.hash, self.at)
        return chain.is_signature(public_key, self.signature, _DOMAIN + body.encode())


def _body(store_id: str, seq: int, digest: str, at: str) -> str:
    return f"{NAME} {store_id} {seq} {digest} {at}"


def make(store: Store, now: float) -> Anchor:
    """Return an anchor of the newest record; `now` is s UTC."""
    tail = store.log.tail()
    if tail is None:
        raise StoreError("the decision log is empty; run `kiosk store check`")
    at = datetime.fromtimestamp(now, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    body = _body(store.identity, tail.seq, tail.hash.hex(), at)
    return Anchor(store.identity, tail.seq, tail.hash.hex(), at, store.vault.sign(_DOMAIN + body.encode()))


def read(text: str) -> Anchor:
    """Read an anchor's line; blanks around it do not count.

    Raises:
        ConfigError: it is none.
    """
    found = _SHAPE.fullmatch(text.strip()) if len(text) <= LONGEST_LINE else None
    if found is None:
        raise ConfigError(
            f"{text.strip()[:60]!r} is no anchor: want the whole line that `kiosk log anchor` printed, "
            f"which begins with {NAME}"
        )
    store_id, seq, digest, at, signature = found.groups()
    return Anchor(store_id, int(seq), digest, at, urlsafe_b64decode(signature + "=="))


def read_file(path: Path) -> tuple[Anchor, ...]:
    """Read the anchors of a file, one a line; empty lines and lines that begin with # do not count.

    Raises:
        ConfigError: it cannot be read, a line is no anchor, or there is none.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        lines = content.decode("utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give an anchor's text, or a file of anchors") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no file of anchors") from None
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{path} is no file of anchors: it is longer than {MOST_BYTES} bytes")
    anchors = tuple(read(line) for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not anchors:
        raise ConfigError(f"{path} holds no anchor")
    return anchors


def append(path: Path, anchor: Anchor) -> None:
    """Add an anchor to a file, so that it survives a power cut.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(handle).st_size
            is_torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"  # a cut left half a line
            _append_whole(handle, b"\n" * is_torn + anchor.text.encode() + b"\n", size)
        finally:
            os.close(handle)
        sync_directory(path.parent)
    except OSError as error:
        raise ConfigError(f"the anchor cannot be written to {path}: {error.strerror}") from error


def _append_whole(handle: int, content: bytes, size: int) -> None:
    """Write to the end of a file of so many bytes; where it does not take all, leave it as it was."""
    try:
        while content:
            content = content[os.write(handle, content) :]
        os.fsync(handle)
    except OSError:
        with suppress(OSError):
            os.ftruncate(handle, size)  # half a line is no anchor, and none of the file would be taken
        raise


@dataclass(frozen=True, slots=True)
class Comparison:
    """What anchors kept elsewhere say of a log."""

    held: int  # anchors whose record the log holds
    faults: tuple[str, ...]
    beyond: tuple[str, ...]  # anchors whose record was removed for its age: they say nothing any more


def compare(store: Store, anchors: Sequence[Anchor]) -> Comparison:
    """Hold a log against anchors.

    That the log itself is unbroken is `Store.verify_log`'s to say; both together leave no way to change what an
    anchor vouches for. Where nothing is left to compare, that is a fault: whoever asked must not take it for a yes.
    """
    if not anchors:
        return Comparison(0, (), ())
    log = _Log(store.identity, {anchor.seq for anchor in anchors}, store.log.checkpoint())
    for signed in store.log.records():
        log.add(signed)
    faults = tuple(fault for anchor in anchors if (fault := log.fault(anchor)) is not None)
    beyond = tuple(log.about(anchor) + REMOVED for anchor in anchors if log.is_beyond(anchor))
    if len(beyond) == len(anchors):
        faults += ("no anchor names a record that is still there: use a newer one",)
    return Comparison(len(anchors) - len(beyond) - len(faults), faults, beyond)


def faults(store: Store, anchors: Sequence[Anchor]) -> tuple[str, ...]:
    """Return what is wrong with a log by anchors kept elsewhere; nothing when it holds all they name."""
    return compare(store, anchors).faults


class _Log:
    """What of a log tells whether it holds what anchors name."""

    def __init__(self, store_id: str, wanted: set[int], checkpoint: Checkpoint | None) -> None:
        self._store_id, self._wanted = store_id, wanted
        self._through = checkpoint.through if checkpoint is not None else 0
        self._hashes: dict[int, str] = {}
        self._keys: list[bytes] = []
        self._restores: list[Entry] = []
        self._last = 0

    def add(self, signed: Signed) -> None:
        """Take the next record."""
        self._last = signed.seq
        if signed.seq in self._wanted:
            self._hashes[signed.seq] = signed.hash.hex()
        try:
            entry = signed.entry
        except ValueError:
            return  # `verify_log` names it
        if entry.kind in (Kind.INIT, Kind.REKEY):
            self._keys += chain.keys_in(entry)
        elif entry.kind is Kind.RESTORE:
            self._restores.append(entry)

    def about(self, anchor: Anchor) -> str:
        """Return how a sentence about an anchor begins."""
        return f"the anchor of {anchor.at} names record {anchor.seq}"

    def is_beyond(self, anchor: Anchor) -> bool:
        """Say whether an anchor of this log names a record that was removed for its age."""
        is_gone = anchor.seq <= self._through and anchor.seq not in self._hashes
        return is_gone and self.fault(anchor) is None

    def fault(self, anchor: Anchor) -> str | None:
        """Return what is wrong by one anchor, in a sentence; None where nothing speaks against it."""
        about = self.about(anchor)
        if anchor.store_id != self._store_id:
            return f"{about} of another store ({anchor.store_id}); this one is {self._store_id}"
        if not any(anchor.is_signed_with(key) for key in self._keys):
            return (
                f"{about}, but no key of this log signed it: it was misread or made up, "
                "or the store was put back to before it was given a new key"
            )
        found = self._hashes.get(anchor.seq)
        if found == anchor.hash:
            return None
        if restore := next((one for one in self._restores if gives_up(one, anchor.seq)), None):
            return f"{about}, which the restore in record {restore.seq} gave up"
        if found is not None:
            return f"{about}, and another record stands there: the store was put back to an older state and went on"
        is_removed = anchor.seq <= self._through  # see `is_beyond`
        return (
            None
            if is_removed
            else (
                f"{about}, and the log ends at record {self._last}: the store was put back to an older state. "
                "Keys revoked since are in force again: look at `kiosk key list` before anybody uses it"
            )
        )


def gives_up(entry: Entry, seq: int) -> bool:
    """Say whether a record of a restore gave up another record."""
    replaced = entry.details.get("replaces")
    return (
        isinstance(replaced, list)
        and len(replaced) == len(("first", "last"))
        and all(type(number) is int for number in replaced)
        and replaced[0] <= seq <= replaced[1]
    )
