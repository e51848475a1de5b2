"""Biometrics as MOSIP's specification says they are handed over: a token, an address, data sealed for the ABIS."""

import base64
import json
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kiosk.errors import ConfigError
from kiosk.integrations.abis.messages import AbisError, Failure
from kiosk.integrations.abis.share import AUTHENTICATE, SPLITTER, Login, Share, opened

RECORD = b"<BIR>...</BIR>"


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def wrapped(key, session):
    seal = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    return key.public_key().encrypt(session, seal)


def sealed(key, record=RECORD):
    """Seal as of 1.2.0."""
    session, aad = os.urandom(32), os.urandom(32)
    body = aad + AESGCM(session).encrypt(aad[:12], record, aad)
    whole = b"VER_R2" + bytes(32) + wrapped(key, session) + SPLITTER + body
    return base64.urlsafe_b64encode(whole).rstrip(b"=")


def sealed_before(key, record=RECORD):
    """Seal as of 1.1.5.5."""
    session, nonce = os.urandom(32), os.urandom(32)
    whole = bytes(32) + wrapped(key, session) + SPLITTER + AESGCM(session).encrypt(nonce, record, None) + nonce
    return base64.b64encode(whole)


@contextmanager
def mosip(pages):
    """Serve a token that ends after one use, and pages for who has it."""
    served: dict[str, Any] = {"tokens": 0, "asked": []}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served["asked"].append((self.path, body["request"]))
            served["tokens"] += 1
            self.send_response(200)
            self.send_header("Set-Cookie", f"Authorization=token-{served['tokens']}; Path=/; HttpOnly")
            self.end_headers()

        def do_GET(self):
            is_let_in = self.headers["Cookie"] == f"Authorization=token-{served['tokens']}"
            body = pages[self.path] if is_let_in else refusal("KER-ATH-401", "Authentication Failed")
            self.send_response(302 if body == b"elsewhere" else 200)
            if body == b"elsewhere":
                self.send_header("Location", "http://192.0.2.1/")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def refusal(code, words):
    return json.dumps({"response": None, "errors": [{"errorCode": code, "message": words}]}).encode()


def share(url, key=None):
    return Share(Login(url, "mosip-abis-client", "regproc", "abc123"), key)


@pytest.mark.parametrize("seal", [sealed, sealed_before], ids=["1.2.0", "1.1.5.5"])
def test_what_was_sealed_for_the_abis_is_opened_by_its_key_alone(key, seal):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    assert opened(seal(key), key) == RECORD
    for wrong in (other, None):
        with pytest.raises(AbisError):
            opened(seal(key), wrong)


@pytest.mark.parametrize("data", [b"", b"!!", b"AAAA", base64.b64encode(SPLITTER), base64.b64encode(b"x" + SPLITTER)])
def test_whatever_is_not_sealed_so_is_refused(key, data):
    with pytest.raises(AbisError):
        opened(data, key)


def test_a_record_is_fetched_with_a_token_of_this_client_and_a_new_one_where_the_first_has_ended(key):
    with mosip({"/share/1": sealed(key), "/share/2": RECORD}) as (url, served):
        fetch = share(url, key)
        first = fetch(f"{url}/share/1")
        served["tokens"] += 1  # MOSIP forgets the token

        assert (first, fetch(f"{url}/share/2")) == (RECORD, RECORD)
        assert served["asked"][0] == (
            AUTHENTICATE,
            {"appId": "regproc", "clientId": "mosip-abis-client", "secretKey": "abc123"},
        )
        assert len(served["asked"]) == 2


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        pytest.param(refusal("DAT-SER-006", "Data share usage expired"), Failure.EXPIRED, id="expired"),
        pytest.param(refusal("DAT-SER-006", "Data share not found"), Failure.NOT_FETCHED, id="not found"),
        pytest.param(b"elsewhere", Failure.NOT_FETCHED, id="a redirect, which no token follows"),
    ],
)
def test_what_mosip_refuses_has_the_specifications_reason(page, reason):
    with mosip({"/share/1": page}) as (url, _), pytest.raises(AbisError) as told:
        share(url)(f"{url}/share/1")

    assert told.value.reason is reason


@pytest.mark.parametrize("url", ["http://192.0.2.1/x", "file:///etc/passwd", "http://[", "", "http://127.0.0.1:1/x"])
def test_nothing_is_fetched_from_anywhere_else(url):
    with mosip({}) as (here, served), pytest.raises(AbisError):
        share(here)(url)

    assert served["asked"] == []


@pytest.mark.parametrize("url", ["http://mosip.example", "ftp://mosip.example", "mosip.example", ""])
def test_an_address_without_tls_is_taken_of_this_machine_alone(url):
    with pytest.raises(ConfigError):
        share(url)
