"""Facts about connections that never say anything: under TLS too they hold no descriptors that the door needs."""

from __future__ import annotations

import contextlib
import socket
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kiosk.api import server
from tests.api.served import serving
from tests.patience import LIMIT_S, until


@pytest.fixture
def certificate(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    (tmp_path / "kiosk.crt").write_bytes(made.public_bytes(encoding))
    plain = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "kiosk.pem").write_bytes(plain)
    return {"tls_certificate": str(tmp_path / "kiosk.crt"), "tls_key": str(tmp_path / "kiosk.pem")}


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_whoever_begins_no_handshake_holds_few_descriptors_and_the_next_is_served(tmp_path, certificate):
    trusted = ssl.create_default_context(cafile=certificate["tls_certificate"])
    with serving(tmp_path / "state", api_settings=certificate) as served, contextlib.ExitStack() as lines:
        port = int(served.url.rpartition(":")[2])
        before = descriptors()
        silent = [
            lines.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(server.MOST_OF_ONE + 100)
        ]
        silent[-1].settimeout(LIMIT_S)
        with contextlib.suppress(ConnectionResetError):
            assert silent[-1].recv(1) == b""
        until(lambda: descriptors() - before - len(silent) <= server.MOST_OF_ONE + 1)

        lines.close()
        until(lambda: descriptors() <= before)
        with httpx.Client(
            base_url=f"https://localhost:{port}", verify=trusted, trust_env=False, timeout=LIMIT_S
        ) as client:
            assert client.get("/healthz").text == "ok\n"
