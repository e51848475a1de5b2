"""What the owner orders with an update: version, digests and who comes first, signed as every order is.

A fleet may have several kinds of machines, so an update has a bundle for each: bundle.sh's files, by processor and
Python. Each is named with its digest and those of its pieces, so that what a hub holds is checked piece by piece. The
signature of whoever makes releases travels with it: it is the device's updater that checks that one, as ever.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kiosk.errors import ConfigError, RefusedError
from kiosk.fleet.orders import UPDATE, Order

PIECE = 1 << 20  # bytes; what a kiosk holds in memory at once
MOST_BYTES = 1 << 30  # of a bundle
MOST_BUNDLES = 8
LONGEST_SIGNATURE = 4096  # as minisign.py has it
WITHIN_S = 3600.0  # in which a kiosk must have said how an update went
SHORTEST_S, LONGEST_S = 60.0, 7 * 86400.0
_NAME = re.compile(
    r"kiosk-(?P<version>[0-9][0-9a-z.]{0,30})-(?P<arch>[a-z0-9_]{1,20})-python(?P<python>3\.\d{1,2})\.tar\.gz"
)
_VERSION = re.compile(r"(\d{1,9}(?:\.\d{1,9}){0,5})(?:(a|b|rc)(\d{1,9}))?")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Bundle:
    """One signed file of a release."""

    name: str  # kiosk-VERSION-ARCH-pythonX.Y.tar.gz
    size: int  # bytes
    digest: str  # SHA-256, hex
    pieces: tuple[str, ...]  # SHA-256 of each PIECE bytes, hex
    signature: str = field(repr=False)  # text of the .minisig

    @property
    def version(self) -> str:
        """Of the release."""
        return _parts(self.name)["version"]

    def fits(self, arch: str, python: str) -> bool:
        """Whether it is for such a processor and Python, such as aarch64 and 3.13."""
        parts = _parts(self.name)
        return (parts["arch"], parts["python"]) == (arch, python)

    def plain(self) -> dict[str, Any]:
        """Return it as an order carries it."""
        return {
            "name": self.name,
            "size": self.size,
            "digest": self.digest,
            "pieces": list(self.pieces),
            "signature": self.signature,
        }


@dataclass(frozen=True, slots=True)
class Update:
    """An update as it was ordered."""

    revision: int  # of the order
    version: str
    first: str  # the kiosk that takes it before any other
    bundles: tuple[Bundle, ...]
    at_once: int = 1  # kiosks that install at one time, after the first
    within_s: float = WITHIN_S
    is_stopped: bool = False  # the owner let it be: nobody begins any more

    def bundle_for(self, arch: str, python: str) -> Bundle | None:
        """Return the bundle for a machine; None where there is none."""
        return next((one for one in self.bundles if one.fits(arch, python)), None)

    def plain(self) -> dict[str, Any]:
        """Return it as an order carries it."""
        return {
            "version": self.version,
            "first": self.first,
            "bundles": [one.plain() for one in self.bundles],
            "at_once": self.at_once,
            "within_s": self.within_s,
            "is_stopped": self.is_stopped,
        }


def update_of(order: Order) -> Update:
    """Read an order.

    Raises:
        RefusedError: it is no update that this program knows.
    """
    try:
        body = order.body
        bundles = tuple(_bundle(one) for one in body["bundles"])
        found = Update(
            order.revision,
            str(body["version"]),
            str(body["first"]),
            bundles,
            int(body["at_once"]),
            float(body["within_s"]),
            bool(body["is_stopped"]),
        )
        rank(found.version)
        if {one.version for one in bundles} - {found.version} or not len(bundles) <= MOST_BUNDLES:
            raise ValueError("bundles of another release")
        if not (found.at_once >= 1 and SHORTEST_S <= found.within_s <= LONGEST_S):
            raise ValueError("out of range")
    except (KeyError, AttributeError, TypeError, ValueError, OverflowError):
        raise RefusedError(f"the fleet's {UPDATE} {order.revision} is none that this program knows") from None
    return found


def _bundle(plain: Mapping[str, Any]) -> Bundle:
    found = Bundle(
        str(plain["name"]),
        int(plain["size"]),
        str(plain["digest"]),
        tuple(map(str, plain["pieces"])),
        str(plain["signature"]),
    )
    _parts(found.name)
    if not 0 < found.size <= MOST_BYTES or len(found.pieces) != -(-found.size // PIECE):
        raise ValueError("as many pieces as there are bytes for")
    if not all(map(_DIGEST.fullmatch, (found.digest, *found.pieces))) or len(found.signature) > LONGEST_SIGNATURE:
        raise ValueError("no digest")
    return found


def read_bundle(path: Path) -> Bundle:
    """Return what is said of a bundle that bundle.sh made, with its signature beside it.

    Raises:
        ConfigError: it is none, has no signature, or is too large.
    """
    signature_path = path.with_name(f"{path.name}.minisig")
    whole, pieces, size = hashlib.sha256(), [], 0
    try:
        _parts(path.name)
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                whole.update(piece)
                pieces.append(hashlib.sha256(piece).hexdigest())
                size += len(piece)
                if size > MOST_BYTES:
                    raise ConfigError(f"{path} is larger than the {MOST_BYTES >> 20} MB that a fleet carries")
        with signature_path.open("rb") as file:
            signature = file.read(LONGEST_SIGNATURE + 1).decode("utf-8")
    except OSError as error:
        raise ConfigError(
            f"{error.filename or path}: {error.strerror}; want a bundle of bundle.sh with its .minisig beside it"
        ) from error
    except ValueError:
        raise ConfigError(
            f"{path} is no signed bundle of bundle.sh; its name is such as kiosk-0.9.2-aarch64-python3.13.tar.gz"
        ) from None
    if not size or not signature or len(signature) > LONGEST_SIGNATURE:
        raise ConfigError(f"{path} or its signature {signature_path.name} is empty or too long")
    return Bundle(path.name, size, whole.hexdigest(), tuple(pieces), signature)


def rank(version: str) -> tuple[tuple[int, ...], str, int]:
    """Return what orders versions; raises ValueError for one that cannot be compared. As update.sh compares.

    >>> rank("0.10.0") > rank("0.9.9"), rank("1.0") > rank("1.0rc2"), rank("1.0.0") == rank("1.0")
    (True, True, True)
    """
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ValueError(f"{version} is no version: want numbers with dots, such as 0.9.1 or 0.9.1rc1")
    numbers = list(map(int, found[1].split(".")))
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers), found[2] or "release", int(found[3] or 0)  # in the order of the alphabet


def newest(versions: Sequence[str]) -> str:
    """Return the newest of some versions."""
    return max(versions, key=rank)


def _parts(name: str) -> dict[str, str]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"{name} is no name of a bundle")
    rank(found["version"])
    return found.groupdict()
