"""How MOSIP hands biometrics over: an address that needs a token, and data sealed for the ABIS's own key.

Source: MOSIP documentation, "ABIS API", sections Reference URL and DataShare URL (versions 1.1.5 and 1.2.0). Nothing
here was tried against a MOSIP: what is tested is that this reads what that document describes.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kiosk.errors import ConfigError
from kiosk.integrations.abis.messages import AbisError, Failure

SPLITTER = b"#KEY_SPLITTER#"
VERSION = b"VER_R2"
THUMBPRINT_BYTES, AAD_BYTES, NONCE_BYTES = 32, 32, 12
LARGEST_BYTES = 64 << 20
ANSWER_S = 30.0
AUTHENTICATE = "/v1/authmanager/authenticate/clientidsecretkey"
_EXPIRED, _NO_TOKEN = "Data share usage expired", {"KER-ATH-401", "KER-ATH-403"}  # with DAT-SER-006, as is "not found"

log = logging.getLogger("kiosk.abis")


@dataclass(frozen=True, slots=True)
class Login:
    """Who an ABIS is to MOSIP."""

    base_url: str  # such as https://api-internal.mosip.example; biometrics are fetched from there alone
    client_id: str
    app_id: str
    secret: str = field(repr=False)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses: a token must not follow an address that an answer names."""

    def redirect_request(self, *_: object) -> None:
        return None


class Share:
    """Fetches the record behind a referenceURL. Safe in several threads."""

    def __init__(self, login: Login, key: RSAPrivateKey | None) -> None:
        """Take who we are, and the key that MOSIP seals for; None: the data comes as it is.

        Raises:
            ConfigError: the address is none that is fetched from.
        """
        parts = urlsplit(login.base_url)
        is_here = parts.hostname in {"127.0.0.1", "localhost"}
        if not parts.hostname or parts.scheme not in {"https", "http"} or (parts.scheme == "http" and not is_here):
            raise ConfigError(f"want MOSIP's address such as https://api.mosip.example, got {login.base_url!r}")
        self._login, self._key, self._origin = login, key, (parts.scheme, parts.netloc)
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._lock = threading.Lock()
        self._token: str | None = None

    def __repr__(self) -> str:
        return "Share()"

    def __call__(self, url: str) -> bytes:
        """Return the CBEFF record behind an address of MOSIP's.

        Raises:
            AbisError: it cannot be fetched or opened, or has expired.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            raise AbisError(Failure.NOT_FETCHED) from None
        if (parts.scheme, parts.netloc) != self._origin:
            log.warning("abis refused to fetch from host=%r", str(parts.hostname))
            raise AbisError(Failure.NOT_FETCHED)
        data, codes, said = self._get(url, self._kept_token())
        if codes & _NO_TOKEN:
            data, codes, said = self._get(url, self._new_token())
        if codes:
            log.warning("abis fetch refused codes=%s", ",".join(sorted(codes)))
            raise AbisError(Failure.EXPIRED if _EXPIRED in said else Failure.NOT_FETCHED)
        if data.lstrip().startswith(b"<"):
            return data
        return opened(data, self._key)

    def _get(self, url: str, token: str) -> tuple[bytes, set[str], str]:
        """Return what an address has, and the error codes instead, which MOSIP sends with a status of 200."""
        request = urllib.request.Request(url, headers={"Cookie": f"Authorization={token}"})  # noqa: S310  see __init__
        data = self._send(request)[0]
        try:
            plain = json.loads(data) if data.lstrip()[:1] == b"{" else {}
        except ValueError:
            plain = {}
        errors = plain.get("errors") if isinstance(plain, dict) else None
        rows = [one for one in errors or () if isinstance(one, dict)] if isinstance(errors, list) else []
        return data, {str(one.get("errorCode")) for one in rows}, " ".join(str(one.get("message")) for one in rows)

    def _kept_token(self) -> str:
        with self._lock:
            token = self._token
        return token if token is not None else self._new_token()

    def _new_token(self) -> str:
        login = self._login
        body = {"appId": login.app_id, "clientId": login.client_id, "secretKey": login.secret}
        request = urllib.request.Request(  # noqa: S310  see __init__
            login.base_url.rstrip("/") + AUTHENTICATE,
            json.dumps({"id": "string", "metadata": {}, "request": body, "version": "string"}).encode(),
            {"Content-Type": "application/json"},
        )
        cookies = self._send(request)[1]
        for cookie in cookies:
            name, _, value = cookie.split(";")[0].replace(": ", "=").partition("=")
            if name.strip().casefold() == "authorization" and value.strip():
                with self._lock:
                    self._token = value.strip()
                return value.strip()
        log.warning("abis has no token from %s", AUTHENTICATE)
        raise AbisError(Failure.NOT_FETCHED)

    def _send(self, request: urllib.request.Request) -> tuple[bytes, list[str]]:
        try:
            with self._opener.open(request, timeout=ANSWER_S) as answer:
                data = answer.read(LARGEST_BYTES + 1)
                cookies = answer.headers.get_all("Set-Cookie") or []
        except (OSError, ValueError) as error:  # urllib's errors are OSErrors
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
            reason = getattr(error, "reason", None) or type(error).__name__
            log.warning("abis fetch failed reason=%r", str(reason))
            raise AbisError(Failure.NOT_FETCHED) from None
        if len(data) > LARGEST_BYTES:
            raise AbisError(Failure.NOT_FETCHED)
        return data, cookies


def opened(data: bytes, key: RSAPrivateKey | None) -> bytes:
    """Return the record in what MOSIP sealed, as of 1.2.0 or as before.

    Args:
        data: base64, of an RSA-sealed AES key, a word, and what that key seals.
        key: the ABIS's own.

    Raises:
        AbisError: it is not for this key, was changed, or is of another form.
    """
    text = data.strip().strip(b'"').replace(b"+", b"-").replace(b"/", b"_")
    try:
        whole = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise AbisError(Failure.NOT_FETCHED) from None
    head, splitter, body = whole.partition(SPLITTER)
    if key is None or not splitter:
        log.warning("abis got sealed data reason=%s", "no key is set" if key is None else "of another form")
        raise AbisError(Failure.NOT_FETCHED)
    is_new = head.startswith(VERSION)
    wrapped = head[len(VERSION) * is_new + THUMBPRINT_BYTES :]
    try:
        session = AESGCM(key.decrypt(wrapped, OAEP(MGF1(hashes.SHA256()), hashes.SHA256(), None)))
        if is_new:
            aad = body[:AAD_BYTES]
            return session.decrypt(aad[:NONCE_BYTES], body[AAD_BYTES:], aad)
        return session.decrypt(body[-AAD_BYTES:], body[:-AAD_BYTES], None)  # a nonce of 32 bytes lies behind
    except (ValueError, InvalidTag):
        log.warning("abis cannot open what was fetched: sealed for another key, or changed")
        raise AbisError(Failure.NOT_FETCHED) from None
