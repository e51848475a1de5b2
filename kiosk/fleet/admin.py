"""The owner's side: a key that lies on no kiosk and no hub, and what is done with it.

Everything is derived from one secret of 32 bytes, kept in a file that a passphrase opens (scrypt, AES-256-GCM). The
file never changes, so one copy in a safe is enough.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.x509.oid import NameOID

from kiosk.errors import ConfigError, RefusedError
from kiosk.fleet.identity import Card, Identity, bytes_of, id_of, text_of
from kiosk.fleet.roster import ADMIN, Former, Member, Roster
from kiosk.rules.text import objection, shown
from kiosk.store.durable import sync_directory

SCRYPT_N = 1 << 16  # 64 MB and 0.2 s here: a guess costs as much
LONGEST_LIFE = dt.datetime(2400, 1, 1)  # noqa: DTZ001  certificates: a kiosk's clock may be anything
FIRST_DAY = dt.datetime(1970, 1, 2)  # noqa: DTZ001  as above


@dataclass(frozen=True, slots=True)
class Invitation:
    """What every kiosk and hub of a fleet is given; nothing in it is secret, but it must not be changed on its way."""

    name: str
    admin: bytes  # public keys of the owner
    transport: bytes
    certificate: str  # PEM, which the hubs' certificates are signed with
    hubs: tuple[str, ...]

    @property
    def fleet(self) -> str:
        """The fleet's id."""
        return id_of(self.admin)

    def dump(self) -> str:
        """Return it as JSON."""
        plain = {
            "kiosk_fleet": 1,
            "name": self.name,
            "admin": text_of(self.admin),
            "transport": text_of(self.transport),
            "certificate": self.certificate,
            "hubs": list(self.hubs),
        }
        return json.dumps(plain, indent=2) + "\n"


def read_invitation(text: str) -> Invitation:
    """Read what `Invitation.dump` wrote.

    Raises:
        RefusedError: it is none.
    """
    try:
        plain: dict[str, Any] = json.loads(text)
        return Invitation(
            str(plain["name"]),
            bytes_of(plain["admin"]),
            bytes_of(plain["transport"]),
            str(plain["certificate"]),
            tuple(map(str, plain["hubs"])),
        )
    except (ValueError, KeyError, TypeError):
        raise RefusedError("this is no fleet.json, as `kiosk fleet init` writes it") from None


class Admin:
    """The owner's key, opened."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.identity = Identity("owner", *(self._derive(use) for use in ("sign", "seal", "transport")))
        self._authority = Ed25519PrivateKey.from_private_bytes(self._derive("authority"))

    def __repr__(self) -> str:
        return f"Admin({self.identity.card.id})"

    def _derive(self, use: str) -> bytes:
        return HKDF(hashes.SHA256(), 32, salt=None, info=f"kiosk fleet {use}".encode()).derive(self._secret)

    @property
    def fleet(self) -> str:
        """The fleet's id."""
        return self.identity.card.id

    def invitation(self, name: str, hubs: Iterable[str]) -> Invitation:
        """Return what the kiosks and hubs are given."""
        card = self.identity.card
        certificate = _certificate(self.fleet, self._authority, self._authority, self.fleet, ())
        return Invitation(name, card.sign, card.transport, certificate, tuple(hubs))

    def hub_certificate(self, hosts: Iterable[str]) -> tuple[str, str]:
        """Return certificate and key of a hub, as PEM."""
        key = Ed25519PrivateKey.generate()
        plain = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        return _certificate("hub", key, self._authority, self.fleet, tuple(hosts)), plain

    # ---- rosters

    def first(self) -> Roster:
        """Return the roster of a fleet without kiosks."""
        empty = Roster(self.fleet, 1, 1, {}, {}, {}, ())
        return empty.with_epoch(os.urandom(32), None, self.identity.card.seal)

    def add(self, roster: Roster, card: Card) -> Roster:
        """Return the roster with one more kiosk, which may read what is older, too.

        Raises:
            RefusedError: it belongs already, was taken off, or has a name that cannot be seen.
        """
        if said := objection(card.name):
            raise RefusedError(
                f"the name {shown(card.name)} {said}. On that kiosk run `kiosk fleet leave`, then join with --name"
            )
        if card.id in roster.members:
            raise RefusedError(f"{roster.members[card.id].card.name} ({card.id}) belongs to the fleet already")
        if card.id in roster.former:
            raise RefusedError(
                f"{card.name} ({card.id}) was taken off; its keys are believed no more. On that kiosk run "
                "`kiosk fleet leave`, then join again"
            )
        number = roster.number + 1
        members = {**roster.members, card.id: Member(card, number)}
        return self._rewrapped(replace(roster, number=number, members=members))

    def remove(self, roster: Roster, kiosk: str) -> Roster:
        """Return the roster without a kiosk, and with a new epoch, whose key it does not get.

        Raises:
            RefusedError: no such kiosk belongs.
        """
        if kiosk not in roster.members:
            raise RefusedError(f"no kiosk {kiosk} belongs to the fleet; `kiosk fleet members` lists them")
        before = self._key(roster)
        number, gone = roster.number + 1, roster.members[kiosk]
        new = replace(
            roster,
            number=number,
            epoch=roster.epoch + 1,
            members={name: one for name, one in roster.members.items() if name != kiosk},
            former={**roster.former, kiosk: Former(gone.card, number, None)},
        )
        return new.with_epoch(os.urandom(32), before, self.identity.card.seal)

    def accept(self, roster: Roster, accepted: dict[str, frozenset[bytes]]) -> Roster:
        """Return the roster that names what is believed of former kiosks."""
        former = {
            name: replace(one, accepted=accepted[name]) if name in accepted and one.accepted is None else one
            for name, one in roster.former.items()
        }
        return replace(roster, number=roster.number + 1, former=former)

    def _rewrapped(self, roster: Roster) -> Roster:
        return roster.with_epoch(self._key(roster), None, self.identity.card.seal)

    def _key(self, roster: Roster) -> bytes:
        keys = roster.keys_for(ADMIN, self.identity.seal)
        if roster.epoch not in keys:
            raise RefusedError("this roster's key was not made for this owner's key")
        return keys[roster.epoch]

    def sign(self, roster: Roster) -> bytes:
        """Return a roster as it travels."""
        return roster.sign(self.identity.sign)

    # ---- the file

    def write(self, path: Path, passphrase: str, *, cost: int = SCRYPT_N) -> None:
        """Write the key to a new 0600 file that the passphrase opens.

        Raises:
            ConfigError: there is a file already, or the place cannot be written.
        """
        salt, nonce = os.urandom(16), os.urandom(12)
        sealed = AESGCM(_stretched(passphrase, salt, cost)).encrypt(nonce, self._secret, self.fleet.encode())
        plain = {
            "kiosk_fleet_owner": 1,
            "fleet": self.fleet,
            "scrypt_n": cost,
            "salt": text_of(salt),
            "sealed": text_of(nonce + sealed),
        }
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(json.dumps(plain, indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            sync_directory(path.parent)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; the owner's key was not written") from error


def new_admin() -> Admin:
    """Return a fresh owner's key."""
    return Admin(os.urandom(32))


def read_admin(path: Path, passphrase: str) -> Admin:
    """Open the owner's key.

    Raises:
        ConfigError: no such file, or it is none.
        RefusedError: the passphrase is wrong.
    """
    try:
        plain = json.loads(path.read_bytes())
        cost, salt, sealed = int(plain["scrypt_n"]), bytes_of(plain["salt"]), bytes_of(plain["sealed"])
        if not (1 << 10 <= cost <= 1 << 20):
            raise ValueError("a cost that no file of ours has")
        key = _stretched(passphrase, salt, cost)
        return Admin(AESGCM(key).decrypt(sealed[:12], sealed[12:], str(plain["fleet"]).encode()))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} is no owner's key, as `kiosk fleet init` writes it") from None
    except InvalidTag:
        raise RefusedError("the passphrase is wrong, or the file was changed") from None


def _stretched(passphrase: str, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(passphrase.encode())


def _certificate(
    subject: str, key: Ed25519PrivateKey, signer: Ed25519PrivateKey, issuer: str, hosts: tuple[str, ...]
) -> str:
    is_authority = key is signer
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(1 if is_authority else x509.random_serial_number())  # the same each time it is derived
        .not_valid_before(FIRST_DAY)
        .not_valid_after(LONGEST_LIFE)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_authority,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=is_authority,
                crl_sign=is_authority,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if is_authority:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    else:
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(names, critical=False).add_extension(identifier, critical=False)
    return builder.sign(signer, None).public_bytes(serialization.Encoding.PEM).decode()


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


__all__ = ["Admin", "Invitation", "new_admin", "read_admin", "read_invitation"]
