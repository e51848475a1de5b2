"""Facts about the way to a server: whose certificates count, what goes through a proxy, IPv6; all over real sockets."""

import base64
import contextlib
import http.server
import socket
import socketserver
import ssl
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kiosk.cloud.client import CallRefusedError
from kiosk.cloud.credentials import API_KEY, PROXY, checked
from kiosk.cloud.sync import connect
from kiosk.cloud.wire import NoAnswerError
from kiosk.errors import ConfigError
from kiosk.settings.network import CloudSettings
from tests.patience import LIMIT_S, reserved_port

KEY = "key-of-the-kiosk"
PASSWORD = "pass-word-1"
FAR = "https://cloud.example"  # a name that no resolver knows: only the proxy can find it
NOW = datetime.now(timezone.utc)
TODAY = (NOW - timedelta(days=1), NOW + timedelta(days=1))
USES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
SIGNS = x509.KeyUsage(
    **dict.fromkeys(USES, False), key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False
)


class Authority:
    """A certificate authority of one's own."""

    def __init__(self, directory):
        self.directory, self.key = directory, ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example CA")])
        own = self._builder(self.name, self.key, TODAY).add_extension(x509.BasicConstraints(True, None), critical=True)
        own = own.add_extension(SIGNS, critical=True)
        self.file = str(directory / "ca.pem")
        (directory / "ca.pem").write_bytes(self._signed(own))

    def context(self, *names, valid=TODAY):
        """What a server needs to be called by those names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        made = self._builder(subject, key, valid).add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
        plain = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self.directory / f"{x509.random_serial_number()}.pem"
        path.write_bytes(self._signed(made) + plain)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _builder(self, subject, key, valid):
        builder = x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number(), *valid)
        by = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())  # from Python 3.13 on a must
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return builder.add_extension(own, critical=False).add_extension(by, critical=False)

    def _signed(self, builder):
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers the two calls of these tests as Didit does."""

    server: Any

    def do_GET(self):
        self.server.heard.append((self.path, self.headers["x-api-key"]))
        body = b'{"status": "ok", "balance": "1.00"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Tunnelling(socketserver.StreamRequestHandler):
    """A forward proxy: CONNECT, where the name and password are right, to where the server's routes lead."""

    server: Any

    def handle(self):
        lines: list[str] = []
        while (line := self.rfile.readline().strip().decode()) or not lines:
            lines.append(line)
            if not line:
                return
        method, target, _ = lines[0].split()
        self.server.heard.append((method, target))
        given = [line for line in lines if line.lower().startswith("proxy-authorization:")]
        if self.server.wants and (not given or given[0].split()[-1] != self.server.wants):
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        port = self.server.routes.get(target)
        if port is None:
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as onward:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pour, args=(onward, self.connection), daemon=True)
            back.start()
            pour(self.connection, onward)
            back.join(LIMIT_S)


def pour(source, target):
    with contextlib.suppress(OSError):  # either end may leave
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def running(handler, *, address="127.0.0.1", context=None, **more):
    class Server(socketserver.ThreadingTCPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        daemon_threads = True

    with Server((address, 0), handler) as made:
        server: Any = made
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.heard, server.port = [], server.server_address[1]
        vars(server).update(more)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(LIMIT_S)


class Secrets(dict[str, str]):
    """Credentials without a store."""

    read = dict.get


@contextlib.contextmanager
def cloud(base_url, *, credential=None, **settings):
    secrets: Any = Secrets({API_KEY: KEY} | ({PROXY: checked(PROXY, credential)} if credential else {}))
    wire, made = connect(CloudSettings(base_url=base_url, account_url=base_url, **settings), secrets, now=time.time)
    try:
        yield made
    finally:
        wire.close()


def refusal(base_url, **settings):
    """What a call says that finds no server."""
    with cloud(base_url, **settings) as asked, pytest.raises(NoAnswerError) as refused:
        asked.balance()
    assert not refused.value.may_have_arrived
    assert PASSWORD not in f"{refused.value!r} {refused.value}"
    return str(refused.value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(authority):
    with running(Answering, context=authority.context("localhost", "cloud.example")) as opened:
        yield opened


@pytest.fixture
def proxy(server):
    with running(Tunnelling, routes={"cloud.example:443": server.port}, wants="") as opened:
        yield opened


@pytest.fixture
def guarded(proxy):
    proxy.wants = base64.b64encode(f"kiosk:{PASSWORD}".encode()).decode()
    return proxy


class Pouring(socketserver.StreamRequestHandler):
    """A server whose answer has no end worth waiting for: 2 GB, in one piece, in chunks, or until it hangs up."""

    server: Any

    def handle(self):
        while self.rfile.readline().strip():
            pass
        head, piece = self.server.poured
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        with contextlib.suppress(OSError):  # the caller leaves
            while self.server.sent < 2 << 30:
                self.wfile.write(piece)
                self.server.sent += len(piece)


MILLION = b"[" * 1_000_000


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        pytest.param(b"Content-Length: 2147483648\r\n", MILLION, id="2 GB"),
        pytest.param(b"Transfer-Encoding: chunked\r\n", b"f4240\r\n" + MILLION + b"\r\n", id="chunks"),
        pytest.param(b"Connection: close\r\n", MILLION, id="no length"),
    ],
)
def test_an_answer_of_2_gb_is_given_up_after_2_mb(head, piece):
    with running(Pouring, poured=(head, piece), sent=0) as server, cloud(f"http://127.0.0.1:{server.port}") as asked:
        for ask in (asked.balance, lambda: asked.entries("list", 0)):
            with pytest.raises(NoAnswerError, match="the answer has over 2000000 bytes"):
                ask()

    assert server.sent < 100_000_000  # two calls, with what lies in the sockets between


def test_a_head_without_end_is_no_answer():
    with (
        running(Pouring, poured=(b"X: ", MILLION), sent=0) as server,
        cloud(f"http://127.0.0.1:{server.port}") as asked,
        pytest.raises(NoAnswerError),
    ):
        asked.balance()

    assert server.sent < 100_000_000


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "192.168.0.1", "2130706433"]
)
def test_a_lists_picture_is_not_fetched_from_this_machine_or_its_network(authority, server, host):
    with cloud(FAR, ca_file=authority.file) as asked, pytest.raises(CallRefusedError, match="of the public network"):
        asked.image(f"https://{host}:{server.port}/picture.jpg")

    assert server.heard == []


def test_a_picture_at_no_address_holds_nothing_up(authority):
    with cloud(FAR, ca_file=authority.file) as asked, pytest.raises(CallRefusedError):
        asked.image("https://[::1/picture.jpg")


def test_a_lists_picture_is_fetched_from_the_clouds_own_machine_wherever_that_is(authority, server):
    with cloud(f"https://localhost:{server.port}", ca_file=authority.file) as asked:
        assert asked.image(f"https://localhost:{server.port}/picture.jpg")

    assert len(server.heard) == 1


# ---- certificates


def test_a_server_whose_authority_is_in_the_ca_file_is_called(authority, server):
    with cloud(f"https://localhost:{server.port}", ca_file=authority.file) as asked:
        assert asked.balance() == 1

    assert server.heard == [("/v3/billing/balance/", KEY)]


def test_a_server_of_an_unknown_authority_never_sees_the_key(server):
    said = refusal(f"https://localhost:{server.port}")

    assert said == "the certificate of the server is not trusted; [cloud] ca_file names others"
    assert server.heard == []


def test_a_certificate_for_another_name_is_refused(authority, server):
    said = refusal(f"https://127.0.0.1:{server.port}", ca_file=authority.file)

    assert said == "the certificate of the server is for another name than its address has"
    assert server.heard == []


@pytest.mark.parametrize("days", [-10, 10], ids=["outdated", "not yet valid"])
def test_a_certificate_of_another_time_makes_the_clock_suspect(authority, days):
    valid = tuple(moment + timedelta(days=days) for moment in TODAY)
    with running(Answering, context=authority.context("localhost", valid=valid)) as server:
        said = refusal(f"https://localhost:{server.port}", ca_file=authority.file)

    assert said == "the certificate of the server is not valid today; is the clock right?"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file or directory"), (b"none", "no certificates in it")]
)  # fmt: skip
def test_a_ca_file_without_certificates_is_named(tmp_path, content, said):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=rf"^\[cloud\] ca_file {path}: {said}$"), cloud(FAR, ca_file=str(path)):
        pass


# ---- proxies


def test_a_call_goes_through_the_proxy_which_also_looks_the_name_up(authority, server, proxy):
    with cloud(FAR, ca_file=authority.file, proxy=f"http://127.0.0.1:{proxy.port}") as asked:
        assert asked.balance() == 1

    assert proxy.heard == [("CONNECT", "cloud.example:443")]
    assert server.heard == [("/v3/billing/balance/", KEY)]


def test_a_proxy_is_given_its_name_and_password_and_never_the_key(authority, server, guarded):
    credential = f"http://kiosk:{PASSWORD}@127.0.0.1:{guarded.port}"
    with cloud(FAR, ca_file=authority.file, credential=credential) as asked:
        assert asked.balance() == 1

    assert server.heard == [("/v3/billing/balance/", KEY)]


def test_a_proxy_with_a_certificate_of_the_ca_file_is_used(authority, server):
    routes, context = {"cloud.example:443": server.port}, authority.context("localhost")
    with (
        running(Tunnelling, context=context, routes=routes, wants="") as proxy,
        cloud(FAR, ca_file=authority.file, proxy=f"https://localhost:{proxy.port}") as asked,
    ):
        assert asked.balance() == 1

    assert server.heard == [("/v3/billing/balance/", KEY)]


@pytest.mark.parametrize("given", ["", f"kiosk:not-{PASSWORD}@"], ids=["none", "wrong"])
def test_a_password_that_the_proxy_refuses_is_asked_for_and_not_shown(authority, guarded, given):
    said = refusal(FAR, ca_file=authority.file, credential=f"http://{given}127.0.0.1:{guarded.port}")

    assert said == "the proxy refuses the name and password (HTTP 407); give another credential cloud_proxy"


def test_a_proxy_that_finds_no_server_is_named(authority, proxy):
    said = refusal("https://other.example", ca_file=authority.file, proxy=f"http://127.0.0.1:{proxy.port}")

    assert said == "the proxy does not let the call through (HTTP 502)"


def test_a_proxy_that_is_not_there_is_named(authority):
    with reserved_port() as port:
        said = refusal(FAR, ca_file=authority.file, credential=f"http://kiosk:{PASSWORD}@127.0.0.1:{port}")

    assert said.startswith("the proxy or the server behind it cannot be reached (")


def test_a_proxy_that_shows_a_certificate_of_its_own_is_not_trusted(proxy):
    said = refusal(FAR, proxy=f"http://127.0.0.1:{proxy.port}")

    assert said == "the certificate of the proxy or the server behind it is not trusted; [cloud] ca_file names others"


def test_a_call_to_this_machine_in_clear_goes_past_the_proxy(proxy):
    with (
        running(Answering) as here,
        cloud(f"http://127.0.0.1:{here.port}", proxy=f"http://127.0.0.1:{proxy.port}") as asked,
    ):
        assert asked.balance() == 1

    assert proxy.heard == []


def test_proxies_and_certificates_of_the_environment_are_ignored(monkeypatch, authority, server, proxy):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with cloud(f"https://localhost:{server.port}", ca_file=authority.file) as asked:
        assert asked.balance() == 1

    assert proxy.heard == []


@pytest.mark.parametrize(
    "address",
    ["proxy:3128", "socks5://proxy:1080", "http://", "http://[::1", "http://proxy:99999", f"http://a:{PASSWORD}@h"],
)
def test_a_proxy_in_the_settings_is_an_address_without_password(address):
    with pytest.raises(ConfigError, match="proxy: want http://host:port") as refused:
        CloudSettings(proxy=address)

    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    "address", [f"kiosk:{PASSWORD}@proxy:3128", f"socks5://a:{PASSWORD}@h", f"http://a:{PASSWORD}@"]
)
def test_a_credential_that_is_no_proxy_is_refused_and_not_shown(address):
    with pytest.raises(ConfigError, match="cloud_proxy: want http://name:password@host:port") as refused:
        checked(PROXY, address)

    assert PASSWORD not in str(refused.value)


def test_an_address_that_only_looks_like_a_proxys_fails_the_call_and_not_its_thread(authority):
    said = refusal(FAR, ca_file=authority.file, credential=f"http://a:{PASSWORD}@999.1.1.1:3128")

    assert said.startswith("no address of a server: ")


# ---- IPv6


@pytest.fixture
def here6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError as error:
        pytest.skip(f"no IPv6 on this machine's loopback: {error}")
    with running(Answering, address="::1") as opened:
        yield opened


def test_this_machine_is_called_by_its_ipv6_address(here6):
    with cloud(f"http://[::1]:{here6.port}") as asked:
        assert asked.balance() == 1

    assert here6.heard == [("/v3/billing/balance/", KEY)]


@pytest.mark.usefixtures("here6")
def test_a_proxy_is_reached_by_its_ipv6_address(authority, server):
    with (
        running(Tunnelling, address="::1", routes={"cloud.example:443": server.port}, wants="") as proxy,
        cloud(FAR, ca_file=authority.file, proxy=f"http://[::1]:{proxy.port}") as asked,
    ):
        assert asked.balance() == 1

    assert proxy.heard == [("CONNECT", "cloud.example:443")]
