"""Name and password for a network camera, as it asks for them: HTTP Digest (RFC 7616) and Basic (RFC 7617).

Python's own handler looks at the first question only and knows no SHA-256, so it fails at cameras that ask for
SHA-256 first and take MD5 as well.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_HASHES: Mapping[str, str] = {"sha-512-256": "sha512_256", "sha-256": "sha256", "md5": "md5"}  # best first
_CHALLENGE = re.compile(r"\s*,?\s*([A-Za-z][\w!#$%&\'*+.^`|~-]*)(?=\s+[\w-]+\s*=|\s*(?:,|$))")
_PARAMETER = re.compile(r'\s*,?\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in which a server asks."""

    scheme: str  # lower case
    values: Mapping[str, str]  # names in lower case

    @property
    def algorithm(self) -> str:
        """The digest's hash, lower case, without -sess."""
        return self.values.get("algorithm", "md5").lower().removesuffix("-sess")

    @property
    def is_answerable(self) -> bool:
        """Whether this kiosk can answer it."""
        if self.scheme == "basic":
            return True
        known = _HASHES.get(self.algorithm, "")
        return self.scheme == "digest" and "nonce" in self.values and known in hashlib.algorithms_available


def read_challenges(headers: Sequence[str]) -> list[Challenge]:
    """Read the WWW-Authenticate headers of one answer; each may hold several challenges."""
    found = []
    for header in headers:
        at = 0
        while scheme := _CHALLENGE.match(header, at):
            at = scheme.end()
            values = {}
            while one := _PARAMETER.match(header, at):
                quoted = re.sub(r"\\(.)", r"\1", one[2]) if one[2] is not None else one[3]
                values[one[1].lower()] = quoted
                at = one.end()
            found.append(Challenge(scheme[1].lower(), values))
    return found


def in_order(challenges: Sequence[Challenge]) -> list[Challenge]:
    """Return what can be answered, strongest first; Basic, which shows the password, only where no Digest is asked."""
    ranks = list(_HASHES)
    digests = [one for one in challenges if one.scheme == "digest"]
    answerable = [one for one in (digests or challenges) if one.is_answerable]
    return sorted(answerable, key=lambda one: ranks.index(one.algorithm) if one.scheme == "digest" else len(ranks))


def answer(
    challenge: Challenge,
    user: str,
    password: str,
    *,
    path: str,
    count: int = 1,
    method: str = "GET",
    chance: Callable[[], str] = lambda: secrets.token_hex(8),
) -> str:
    """Return the Authorization header.

    Args:
        challenge: one that is answerable.
        user: without a colon.
        password: as it is.
        path: of the request, with its query.
        count: how often this challenge was answered, this time included.
        method: of the request; its body is empty.
        chance: gives the client's nonce.

    >>> answer(Challenge("basic", {}), "user", "pa$s", path="/")
    'Basic dXNlcjpwYSRz'
    """
    if challenge.scheme == "basic":
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    values, name = challenge.values, _HASHES[challenge.algorithm]

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

    realm, nonce, mine, uses = values.get("realm", ""), values["nonce"], chance(), f"{count:08x}"
    secret = digest(f"{user}:{realm}:{password}")
    if values.get("algorithm", "").lower().endswith("-sess"):
        secret = digest(f"{secret}:{nonce}:{mine}")
    offered = {one.strip().lower() for one in values.get("qop", "").split(",")} & {"auth", "auth-int"}
    qop = "auth" if "auth" in offered else next(iter(offered), "")
    what = digest(f"{method}:{path}:{digest('')}" if qop == "auth-int" else f"{method}:{path}")
    middle = f"{nonce}:{uses}:{mine}:{qop}" if qop else nonce
    shown = digest(f"{user}:{realm}") if values.get("userhash", "").lower() == "true" else user
    quoted = {"username": shown, "realm": realm, "nonce": nonce, "uri": path}
    quoted |= {"response": digest(f"{secret}:{middle}:{what}")}
    quoted |= {"opaque": values["opaque"]} if "opaque" in values else {}
    plain = {"algorithm": values["algorithm"]} if "algorithm" in values else {}
    if qop or values.get("algorithm", "").lower().endswith("-sess"):
        quoted |= {"cnonce": mine}
    plain |= {"qop": qop, "nc": uses} if qop else {}
    plain |= {"userhash": "true"} if shown != user else {}
    escaped = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in quoted.items()}
    return "Digest " + ", ".join(
        [
            *(f'{name}="{value}"' for name, value in escaped.items()),
            *(f"{name}={value}" for name, value in plain.items()),
        ]
    )
