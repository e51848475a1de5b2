"""Facts about the server: who does little cannot hold it, what is full says so, and it stops when told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kiosk.api import app, server
from kiosk.api.queue import CallQueue, FullError
from kiosk.errors import ConfigError
from kiosk.settings.network import ApiSettings
from kiosk.store.accounts import Accounts, Role
from kiosk.store.directory import initialise
from tests.api.served import NOW, match_files, serving
from tests.patience import BUSY_S, LIMIT_S, until


@pytest.fixture
def served(tmp_path):
    with serving(tmp_path / "state", api_settings={"body_timeout_s": 30.0, "queue": 1}) as served:
        yield served


@pytest.fixture
def hasty(tmp_path):
    """Give a server that waits for no body."""
    with serving(tmp_path / "state", api_settings={"body_timeout_s": 1.0}) as served:
        yield served


def connected(served):
    line = socket.create_connection(served.server.address.removeprefix("http://").split(":"))
    line.settimeout(LIMIT_S)
    return line


def head(served, length=100_000, role="device"):
    return (
        f"POST /v3/face-match/ HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: {served.keys[role]}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def is_ended(line):
    """Say whether the other side ends a connection without a word."""
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


def is_gone(line):
    """Send a little more of a body; say whether the connection is gone."""
    try:
        line.sendall(bytes(100))
    except OSError:
        return True
    return False


# ---- those who do little


def test_a_body_that_does_not_come_is_a_408(hasty):
    with connected(hasty) as line:
        line.sendall(head(hasty) + b"--b\r\n")

        assert line.recv(4096).startswith(b"HTTP/1.1 408 ")


def dripped(hasty):
    """Send a body byte by byte; return the answer, or nothing where a byte came after it and took it away."""
    began, answer = time.monotonic(), b""
    with contextlib.suppress(ConnectionError), connected(hasty) as line:
        line.sendall(head(hasty) + b'--b\r\nContent-Disposition: form-data; name="user_image"\r\n\r\n')
        line.settimeout(0.1)
        while not answer and time.monotonic() - began < LIMIT_S:
            line.sendall(b"-")
            try:
                answer = line.recv(4096)
            except TimeoutError:
                continue
    return answer


def test_a_body_that_drips_is_cut_off_in_the_same_time(hasty):
    until(lambda: dripped(hasty).startswith(b"HTTP/1.1 408 "))
    until(lambda: hasty.application.context.memory.held == 0)


def test_half_a_call_from_who_hung_up_leaves_nothing_behind(served):
    for _ in range(20):
        with connected(served) as line:
            line.sendall(
                head(served) + b'--b\r\nContent-Disposition: form-data; name="user_image"\r\n\r\n' + bytes(20_000)
            )
            line.shutdown(socket.SHUT_WR)

    assert served.call("POST", "/v3/face-match/", "device", files=match_files()).status_code == 200
    until(lambda: served.application.context.memory.held == 0)


def recognised(served):
    """Return a whole call for the recogniser, as bytes."""
    made = httpx.Request("POST", f"{served.server.address}/v3/face-match/", files=match_files())
    content = made.read()
    first = head(served, length=len(content)).replace(b"boundary=b\r", f"boundary={boundary(made)}\r".encode())
    return first + content


def boundary(made):
    return made.headers["content-type"].partition("boundary=")[2]


def rest_of(line):
    said = b""
    while more := line.recv(65_536):
        said += more
    return said


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_a_caller_that_has_nothing_more_to_say_is_answered(served, version):
    going_on = threading.Event()
    queue = served.application.context.queue
    work = [queue.submit(going_on.wait) for _ in range(queue.threads)]
    with connected(served) as line:
        line.sendall(recognised(served).replace(b"HTTP/1.1", version, 1))
        line.shutdown(socket.SHUT_WR)
        until(lambda: queue.waiting == 1)
        going_on.set()

        said = rest_of(line)

    interim, _, answer = said.rpartition(b"HTTP/1.1 200 ")
    assert b'"Approved"' in answer
    assert interim in (b"", b"HTTP/1.1 100 Continue\r\n\r\n")
    assert version == b"HTTP/1.1" or interim == b""
    assert all(one.result(LIMIT_S) for one in work)


def test_two_calls_in_a_row_are_answered_after_the_half_close(served):
    asked = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with connected(served) as line:
        line.sendall(asked * 2)
        line.shutdown(socket.SHUT_WR)

        assert rest_of(line).count(b"HTTP/1.1 200 ") == 2


def test_who_hung_up_behind_a_whole_call_loses_the_place_in_the_queue(served):
    going_on = threading.Event()
    queue = served.application.context.queue
    work = [queue.submit(going_on.wait) for _ in range(queue.threads)]
    try:
        with connected(served) as line:
            line.sendall(recognised(served))
            until(lambda: queue.waiting == 1)

        until(lambda: queue.waiting == 0)
    finally:
        going_on.set()
    assert all(one.result(LIMIT_S) for one in work)


@pytest.mark.parametrize("beginning", [b"", b"GET /healthz HT"], ids=["silent", "half a head"])
def test_a_connection_that_asks_nothing_is_closed(tmp_path, beginning):
    with serving(tmp_path / "state", server_settings={"head_s": 0.3}) as served, connected(served) as line:
        with contextlib.suppress(ConnectionError):  # a busy machine sends half a head when it is closed already
            line.sendall(beginning)

        assert is_ended(line)


def test_the_rest_of_a_refused_body_holds_no_connection(tmp_path):
    more = {"head_s": 3.0}  # for the whole head too: a machine that stands still for as long is asked again

    def is_refused(served):
        told = b""
        with contextlib.suppress(ConnectionError), connected(served) as line:
            line.sendall(head(served, length=10**9).replace(served.keys["device"].encode(), b"wrong"))
            told = line.recv(4096)
            until(lambda: is_gone(line))
        return told.startswith(b"HTTP/1.1 401 ")

    with serving(tmp_path / "state", server_settings=more) as served:
        until(lambda: is_refused(served))


def test_one_address_has_only_so_many_connections(served):
    lines = [connected(served) for _ in range(server.MOST_OF_ONE)]
    try:
        with connected(served) as one_more:
            assert is_ended(one_more)
    finally:
        for line in lines:
            line.close()
    until(lambda: _answers(served))


def _answers(served):
    try:
        return served.call("GET", "/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def test_many_who_do_little_change_nothing_for_the_others(served):
    lines = [connected(served) for _ in range(40)]
    try:
        for place, line in enumerate(lines):
            line.sendall(b"" if place % 2 else head(served) + b"--b\r\n")

        assert served.call("POST", "/v3/face-match/", "operator", files=match_files()).status_code == 200
    finally:
        for line in lines:
            line.close()


def test_a_head_without_end_is_refused(served):
    with connected(served) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 100_000)

        assert line.recv(4096).startswith(b"HTTP/1.1 400 ")


def other_end(line):
    """Return the server's socket of a connection; the server is in this process."""
    for place in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError), contextlib.ExitStack() as kept:  # closed meanwhile, or without another end
            if str(place.readlink()).startswith("socket:"):
                found = kept.enter_context(socket.socket(fileno=os.dup(int(place.name))))
                if found.getpeername() == line.getsockname():
                    kept.pop_all()
                    return found
    return None


def test_an_answer_is_not_held_back_for_the_readers_acknowledgement(served):
    with connected(served) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.1 200 ")
        with other_end(line) as found:
            # with Nagle's algorithm each answer would take 40 ms and more
            assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# ---- those who send what two readers may read as two things, or what costs more than it weighs


@pytest.mark.parametrize(
    ("version", "more"),
    [
        ("1.1", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
        ("1.1", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
        ("1.1", "Content-Length: 4\r\nContent-Length: 5\r\n"),
        ("1.1", "Transfer-Encoding: chunked, identity\r\n"),
        ("1.0", "Transfer-Encoding: chunked\r\n"),
        ("1.1", "Content-Length : 4\r\n"),
    ],
)
def test_a_call_whose_end_two_readers_see_elsewhere_is_refused_with_what_is_behind_it(served, version, more):
    behind = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with connected(served) as line:
        line.sendall(f"POST /device/session HTTP/{version}\r\nHost: 127.0.0.1\r\n{more}\r\n0\r\n\r\n".encode() + behind)

        said = rest_of(line)

    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("key", ["device", None])
def test_a_body_in_crumbs_is_refused_after_a_thousand(served, key):
    first = head(served).replace(b"Content-Length: 100000", b"Transfer-Encoding: chunked")
    if key is None:
        first = first.replace(served.keys["device"].encode(), b"wrong")
    with connected(served) as line:
        line.sendall(first)
        until(lambda: is_refused(line, b"1\r\nx\r\n" * 1_000))

    until(lambda: served.application.context.memory.held == 0)
    assert _answers(served)


def is_refused(line, more):
    try:
        line.sendall(more)
    except OSError:
        return True
    return False


def test_a_body_in_small_chunks_is_taken(served):
    made = httpx.Request("POST", f"{served.server.address}/v3/face-match/", files=match_files())
    content = made.read()
    pieces = (content[at : at + 100] for at in range(0, len(content), 100))

    answer = served.call(
        "POST", "/v3/face-match/", "device", content=pieces, headers={"content-type": made.headers["content-type"]}
    )

    assert answer.status_code == 200


def test_guessers_of_passwords_hold_up_neither_a_key_nor_the_door(served):
    wrong = {"name": "Person C", "password": "wrong"}
    passwords, going_on = served.application.context.passwords, threading.Event()
    for _ in range(passwords._max_workers):
        passwords.submit(going_on.wait)  # one guess a thread that takes as long as this lasts
    with ThreadPoolExecutor(40) as pool:
        try:
            guesses = [pool.submit(served.call, "POST", "/device/session", json=wrong) for _ in range(40)]
            until(lambda: passwords._work_queue.qsize() > 4)

            released = served.call("POST", "/device/door/release", "operator")

            is_behind = any(guess.done() for guess in guesses)
        finally:
            going_on.set()
        statuses = {guess.result(LIMIT_S).status_code for guess in guesses}
    assert released.status_code == 200
    assert not is_behind
    assert statuses == {401, 429}


# ---- the line before the recogniser


def busy_until(event, served):
    """Fill the recogniser's threads and line with work that waits for an event."""
    line = served.application.context.queue
    return [line.submit(event.wait) for _ in range(line.threads + 1)]


def test_a_full_line_answers_503_and_says_when_to_come_back(served):
    going_on = threading.Event()
    work = busy_until(going_on, served)
    try:
        answer = served.call("POST", "/v3/face-match/", "device", files=match_files())
    finally:
        going_on.set()

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert list(answer.json()) == ["detail"]
    for one in work:
        one.result(LIMIT_S)
    assert served.call("POST", "/v3/face-match/", "device", files=match_files()).status_code == 200


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/device/health", "/system/healthcheck/", "/device/screen"]
)
def test_while_the_recogniser_is_busy_everything_else_answers(served, path):
    going_on = threading.Event()
    busy_until(going_on, served)
    try:
        assert served.call("GET", path, "device").status_code == 200
        assert served.call("POST", "/device/door/release", "operator").status_code == 200
    finally:
        going_on.set()


def test_who_hangs_up_loses_the_place_in_the_line(tmp_path):
    with serving(tmp_path / "state", api_settings={"queue": 8}) as served:
        going_on = threading.Event()
        line = served.application.context.queue
        held = [line.submit(going_on.wait) for _ in range(line.threads)]
        try:
            with connected(served) as caller, served.client("device") as client:
                call = client.build_request("POST", "/v3/face-match/", files=match_files())
                said = "".join(f"{name}: {value}\r\n" for name, value in call.headers.items())
                caller.sendall(f"POST /v3/face-match/ HTTP/1.1\r\n{said}\r\n".encode() + call.read())
                until(lambda: line.waiting == 1)
            until(lambda: line.waiting == 0)
        finally:
            going_on.set()
        for one in held:
            one.result(LIMIT_S)
        assert served.device.store.decisions().total == 0


def test_the_wait_that_is_told_grows_with_the_line():
    going_on = threading.Event()
    line = CallQueue(1, 2)
    try:
        for _ in range(3):
            line.submit(going_on.wait)
        with pytest.raises(FullError) as full:
            line.submit(going_on.wait)
    finally:
        going_on.set()
        line.close()

    assert full.value.wait_s == pytest.approx(3 * line.mean_s, rel=1.0)


# ---- start and stop


def test_the_server_stops_within_two_seconds_with_streams_open(tmp_path):
    with serving(tmp_path / "state") as served, served.client("operator") as client:
        with client.stream("GET", "/device/events") as stream:
            next(stream.iter_raw())
            began = time.monotonic()
            served.application.close()
            served.server.close()
            took = time.monotonic() - began

        assert took < BUSY_S
        until(lambda: not served.server.is_alive)
        with pytest.raises(httpx.TransportError):
            served.call("GET", "/healthz")


def test_a_call_that_a_stop_cuts_off_is_answered_and_is_no_fault_in_the_log(caplog):
    begun = threading.Event()

    async def endless(_scope, _receive, _send):
        begun.set()
        await asyncio.Event().wait()

    stopping = app.Server(endless, replace(ApiSettings(), port=0))
    stopping.start()
    with ThreadPoolExecutor(1) as pool:
        called = pool.submit(httpx.get, stopping.address, trust_env=False, timeout=LIMIT_S)
        assert begun.wait(LIMIT_S)
        stopping.close()
        answer = called.result(LIMIT_S)

    assert (answer.status_code, answer.json()) == (503, {"detail": "The kiosk is stopping."})
    assert [record.exc_info for record in caplog.records if record.exc_info] == []


def test_a_taken_port_is_named_with_its_cure(served):
    settings = replace(ApiSettings(), port=int(served.url.rpartition(":")[2]))

    with pytest.raises(ConfigError, match="choose another"):
        app.Server(served.application, settings).start()


@pytest.fixture
def accounts(tmp_path):
    with initialise(tmp_path / "bare", now=lambda: NOW) as store:
        yield Accounts(store, now=lambda: NOW)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Give a certificate for this machine, made here, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "kiosk.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "kiosk.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"tls_certificate": str(folder / "kiosk.crt"), "tls_key": str(folder / "kiosk.pem")}


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.0.2.1", "kiosk.example"])
def test_beyond_loopback_nothing_is_served_without_tls(accounts, bind):
    accounts.create_key("k", Role.ADMIN)

    with pytest.raises(ConfigError, match="tls_certificate"):
        app.check_exposure(replace(ApiSettings(), bind=bind), accounts)


def test_beyond_loopback_nothing_is_served_with_nobody_to_let_in(accounts, certificate):
    settings = replace(ApiSettings(), bind="0.0.0.0", **certificate)

    with pytest.raises(ConfigError, match="kiosk key create"):
        app.check_exposure(settings, accounts)
    accounts.create_key("k", Role.ADMIN)
    app.check_exposure(settings, accounts)


def test_half_of_tls_or_a_missing_file_is_refused(accounts, certificate):
    with pytest.raises(ConfigError, match="both"):
        app.check_exposure(replace(ApiSettings(), tls_key=certificate["tls_key"]), accounts)
    with pytest.raises(ConfigError, match="no file"):
        app.check_exposure(replace(ApiSettings(), tls_certificate="/none", tls_key=certificate["tls_key"]), accounts)


def test_a_certificate_with_another_key_is_refused_at_the_start(served, certificate, tmp_path):
    other = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "other.pem").write_bytes(
        other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    settings = replace(
        ApiSettings(), port=0, tls_certificate=certificate["tls_certificate"], tls_key=str(tmp_path / "other.pem")
    )

    with pytest.raises(ConfigError, match="cannot be used"):
        app.Server(served.application, settings).start()


def test_under_tls_the_cookie_travels_under_tls_only(tmp_path, certificate):
    trusted = ssl.create_default_context(cafile=certificate["tls_certificate"])
    with serving(tmp_path / "state", api_settings=certificate) as served:
        port = served.url.rpartition(":")[2]
        with httpx.Client(
            base_url=f"https://localhost:{port}", verify=trusted, trust_env=False, timeout=LIMIT_S
        ) as client:
            answer = client.post("/device/session", json={"key": served.keys["operator"]})
            read = client.get("/device/session")

    assert served.url.startswith("https://")
    assert "secure" in answer.headers["set-cookie"].lower()
    assert read.json()["role"] == "operator"


def test_a_thread_that_is_late_to_end_keeps_its_socket_until_then(tmp_path, monkeypatch):
    ended, failed = threading.Event(), []
    monkeypatch.setattr(threading, "excepthook", lambda told: failed.append(told.exc_value))
    with serving(tmp_path / "state", server_settings={"grace_s": 0.0}) as served:  # nobody waits for it
        late_server: Any = served.server
        shutting = late_server._server.shutdown

        async def late(**given):
            assert await asyncio.get_running_loop().run_in_executor(None, ended.wait, LIMIT_S)
            await shutting(**given)

        late_server._server.shutdown = late
        late_server.close()
        descriptor = late_server._socket.fileno()
        ended.set()
        until(lambda: not served.server.is_alive)

        assert descriptor >= 0
        assert failed == []
        assert late_server._socket.fileno() == -1
