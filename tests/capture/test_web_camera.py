"""Facts about network cameras over HTTP, as cameras are: each stream gives live frames or one clear sentence."""

import contextlib
import hashlib
import itertools
import re
import socket
import threading
import time

import cv2
import numpy as np
import pytest

from kiosk.capture.jpegs import Splitter
from kiosk.capture.passwords import answer, in_order, read_challenges
from kiosk.capture.sources import parse_source, shots
from kiosk.errors import CameraLostError
from tests.patience import LIMIT_S, until

PICTURES = 4
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"


def picture(number):
    image = np.random.default_rng(number).integers(60, 200, (6, 8, 3), np.uint8)
    return cv2.resize(image, (64, 48), interpolation=cv2.INTER_LINEAR)


def jpeg(number, *options):
    return cv2.imencode(".jpg", picture(number), list(options))[1].tobytes()


def is_picture(image, number):
    return bool(np.abs(image.astype(int) - picture(number)[:, :, ::-1]).mean() < 10)


def part(data, *, mark=b"--frame", length=0, head=b"Content-Type: image/jpeg\r\n"):
    told = b"" if length is None else b"Content-Length: %d\r\n" % (len(data) + length)
    return mark + b"\r\n" + head + told + b"\r\n" + data + b"\r\n"


class Camera:
    """A camera whose bytes are a script: for each connection its request's headers → what is sent, piece by piece."""

    def __init__(self, script):
        self.script, self.requests = script, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with connection, contextlib.suppress(OSError):
            connection.settimeout(LIMIT_S)
            request = b""
            while b"\r\n\r\n" not in request:
                more = connection.recv(4096)
                if not more:
                    return
                request += more
            self.requests.append(request)
            for piece in self.script(request):
                connection.sendall(piece)

    def close(self):
        self.listener.close()


@pytest.fixture
def camera():
    with contextlib.ExitStack() as opened:

        def begin(script):
            made = Camera(script)
            opened.callback(made.close)
            return made

        yield begin


def watched(source, numbers):
    """Read until each of these pictures was seen, in this order."""
    with contextlib.closing(shots(parse_source(source))) as frames:
        for number in numbers:
            assert any(is_picture(image, number) for image, _ in itertools.islice(frames, 50)), number


def lockstep(make, head=HEAD, ahead=1):
    """Send a picture once the one before it was read, so that each must be seen."""
    seen = threading.Semaphore(ahead)

    def script(_request):
        yield head
        for number in range(PICTURES + 2):
            if not seen.acquire(timeout=LIMIT_S):
                return  # whoever read has what it wanted
            yield make(number)

    return script, seen


PREVIEW = b"\xff\xe1\x00\x0c\xff\xd8\xff\xd9\xff\xd8\xff\xc0\xff\xd9"
STREAMS = {
    "as announced": part,
    "two more dashes than announced": lambda data: part(data, mark=b"----frame"),
    "no dashes": lambda data: part(data, mark=b"frame"),
    "another mark than announced": lambda data: part(data, mark=b"--myboundary"),
    "no length": lambda data: part(data, length=None),
    "no mark and no headers": lambda data: data,
    "headers without a mark": lambda data: b"Content-Type: image/jpeg\r\n\r\n" + data,
    "line feeds alone": lambda data: b"--frame\nContent-Type: image/jpeg\n\n" + data + b"\n",
    "no end marker": lambda data: part(data[:-2]),
    "no end marker, no length": lambda data: part(data[:-2], length=None),
    "no end marker, another mark": lambda data: part(data[:-2], mark=b"myboundary", length=None),
    "no end marker, no mark": lambda data: data[:-2],
    "length 2 too small": lambda data: part(data, length=-2),
    "length 7 too small": lambda data: part(data, length=-7),
    "length 2 too large": lambda data: part(data, length=2),
    "length 30 too large": lambda data: part(data, length=30),
    "length 0": lambda data: part(data, length=-len(data)),
    "length too small and no end marker": lambda data: part(data[:-2], length=-5),
    "length that is no number": lambda data: part(data, length=None, head=b"Content-Length: many\r\n"),
    "blanks between": lambda data: b"\r\n\r\n  \r\n" + part(data) + b"\r\n\r\n",
    "zeros behind": lambda data: part(data + bytes(500)),
    "a preview inside": lambda data: part(data[:2] + PREVIEW + data[2:]),
    "fill bytes between the segments": lambda data: part(data[:2] + b"\xff\xff" + data[2:]),
}


SHOWN_BY_THE_NEXT = {
    "no end marker, no length",
    "no end marker, another mark",
    "no end marker, no mark",
    "length too small and no end marker",
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_live_whatever_stands_around_its_pictures(camera, name):
    script, seen = lockstep(lambda number: STREAMS[name](jpeg(number)), ahead=1 + (name in SHOWN_BY_THE_NEXT))
    made = camera(script)

    with contextlib.closing(shots(parse_source(f"http://{made.place}/stream"))) as frames:
        for number in range(PICTURES):
            image, moment = next(frames)
            assert is_picture(image, number)
            assert moment <= time.monotonic()
            seen.release()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="nothing before the first mark"),
        pytest.param(b"ICY 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n", id="ICY"),
        pytest.param(b"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n", id="no status line"),
        pytest.param(b"Server: camera\r\nContent-Type: image/jpeg\r\n\r\n", id="no status line, a picture's type"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n", id="no type"),
        pytest.param(b"HTTP/1.1 200\r\nContent-Type: multipart/mixed\r\n\r\n", id="another multipart, no boundary"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n", id="octets"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n", id="a picture's type"),
    ],
)
def test_a_stream_is_live_whatever_its_head_is(camera, head):
    script, seen = lockstep(lambda number: part(jpeg(number)), head)
    made = camera(script)

    with contextlib.closing(shots(parse_source(f"http://{made.place}/"))) as frames:
        for number in range(PICTURES):
            assert is_picture(next(frames)[0], number)
            seen.release()


def test_a_camera_that_gives_one_picture_a_call_is_asked_again_and_again(camera):
    numbers = itertools.count()

    def script(_request):
        data = jpeg(next(numbers) // 3)  # each is given three times
        yield b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) + data

    made = camera(script)

    with contextlib.closing(shots(parse_source(f"http://{made.place}/snapshot.jpg"))) as frames:
        assert [is_picture(next(frames)[0], number) for number in range(3)] == [True] * 3


def endless(data):
    """Send the same until the reader hangs up."""
    return itertools.chain([HEAD], itertools.repeat(data))


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        pytest.param(endless(part(jpeg(1)[: len(jpeg(1)) * 2 // 3])), "cut off or damaged", id="cut pictures"),
        pytest.param(endless(part(jpeg(1)[:-40])), "cut off or damaged", id="pictures cut at their end"),
        pytest.param([HEAD, *[bytes(1 << 20)] * 20], "no JPEG in .* set the camera to motion JPEG", id="no JPEG"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n"], "answers with video/mp4, want", id="mp4"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 5\r\n\r\nhello"],
            "its answer holds no JPEG",
            id="a snapshot that is none",
        ),
        pytest.param(
            [b"HTTP/1.1 401 No\r\nWWW-Authenticate: Digest nonce=1\r\nContent-Length: 0\r\n\r\n"],
            "want its name and password: http://name:password@host",
            id="a password is wanted",
        ),
        pytest.param([b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"], "HTTP Error 503", id="busy"),
        pytest.param([], "cannot be opened", id="hangs up"),
        pytest.param([HEAD], "stream ended", id="nothing"),
    ],
)
def test_a_stream_that_cannot_be_live_says_why(camera, sent, said):
    made = camera(lambda _request: sent)

    with pytest.raises(CameraLostError, match=said):
        next(shots(parse_source(f"http://{made.place}/stream")))


# Pictures out of bytes


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)])
@pytest.mark.parametrize("has_end", [True, False])
def test_pictures_are_found_however_the_stream_arrives(size, options, has_end):
    whole = [jpeg(number, *options) for number in range(5)]
    stream = b"".join(part(data if has_end else data[:-2], length=-3) for data in whole) + b"--frame--\r\n"
    splitter = Splitter()

    found = [
        one for at in range(0, len(stream), size) for one in splitter.take(stream[at : at + size], float(at))
    ] + splitter.finish()

    assert [one.data for one in found] == [data if has_end else data[:-2] for data in whole]
    assert all(is_picture(one.decode(), number) for number, one in enumerate(found))


@pytest.mark.parametrize("missing", [3, 4, 6, 10, 20, 50, 100, 300])
@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_a_picture_that_is_cut_is_no_picture(missing, options):
    stream = part(jpeg(0, *options)[:-missing], length=None) + part(jpeg(1))

    cut, whole = Splitter().take(stream, 0.0)

    image = cut.decode()
    assert image is None or (missing == 3 and is_picture(image, 0))  # the last byte may hold nothing but filling
    assert is_picture(whole.decode(), 1)


def test_a_picture_without_its_end_is_as_old_as_its_beginning():
    splitter = Splitter()

    assert splitter.take(part(jpeg(0)[:-2], length=None), 1.0) == []
    (late,) = splitter.take(part(jpeg(1)), 2.0)[:1]

    assert late.came_at == 1.0


@pytest.mark.parametrize("seed", range(20))
def test_any_bytes_give_pictures_or_an_error_that_is_expected(seed):
    rng = np.random.default_rng(seed)
    stream = bytearray(b"".join(part(jpeg(number)) for number in range(6)))
    for at in rng.integers(0, len(stream), 60):
        stream[at] = rng.integers(0, 256)
    splitter = Splitter()

    with contextlib.suppress(ValueError):
        found = splitter.take(bytes(stream), 0.0) + splitter.finish()
        assert all(one.data.startswith(b"\xff\xd8\xff") for one in found)
        assert len(found) <= 12


# Passwords


def test_the_answers_are_those_of_rfc_7616():
    header = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    (challenge,) = read_challenges([header])

    given = answer(
        challenge,
        "Mufasa",
        "Circle of Life",
        path="/dir/index.html",
        chance=lambda: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )

    assert 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"' in given


def test_several_challenges_are_read_from_one_header_and_from_many():
    found = read_challenges(
        ['Basic realm="a, b", Digest realm="x", nonce="1", algorithm=MD5', "Negotiate", 'Digest nonce="2"']
    )

    assert [(one.scheme, one.values.get("nonce")) for one in found] == [
        ("basic", None),
        ("digest", "1"),
        ("negotiate", None),
        ("digest", "2"),
    ]
    assert found[0].values == {"realm": "a, b"}
    assert [one.scheme for one in in_order(found)] == ["digest", "digest"]  # never Basic where a Digest is asked for


def expected(header, password, names):
    """Work out a digest as a camera does, apart from the code under test."""
    said = {key: quoted or plain for key, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^ ,]+))', header)}

    def digest(text):
        return hashlib.new(names[said.get("algorithm", "MD5")], text.encode()).hexdigest()

    secret = digest(f"user:camera:{password}")
    if said.get("algorithm", "").endswith("-sess"):
        secret = digest(f"{secret}:{said['nonce']}:{said['cnonce']}")
    what = digest(f"GET:{said['uri']}")
    if "qop" in said:
        return said, digest(f"{secret}:{said['nonce']}:{said['nc']}:{said['cnonce']}:{said['qop']}:{what}")
    return said, digest(f"{secret}:{said['nonce']}:{what}")


SHA_256, MD5 = 'Digest {} algorithm=SHA-256, qop="auth"', 'Digest {} algorithm=MD5, qop="auth"'
NAMES = {"MD5": "md5", "MD5-sess": "md5", "SHA-256": "sha256", "SHA-256-sess": "sha256"}


@pytest.mark.parametrize(
    ("challenges", "taken"),
    [
        pytest.param([SHA_256, MD5], "SHA-256", id="SHA-256 first"),
        pytest.param([f"{SHA_256}, {MD5}"], "MD5", id="in one header, only MD5 works"),
        pytest.param(['Digest {} algorithm=MD5-sess, qop="auth"'], "MD5-sess", id="MD5-sess"),
        pytest.param(['Digest {} algorithm=SHA-256-sess, qop="auth"'], "SHA-256-sess", id="SHA-256-sess"),
        pytest.param(["Digest {}"], None, id="as RFC 2069"),
        pytest.param(['Basic realm="camera"', 'Digest {} qop="auth"'], None, id="Basic before Digest"),
        pytest.param(["Negotiate", 'Digest {} algorithm=NEW-1, qop="auth"', MD5], "MD5", id="unknown ones before"),
    ],
)
def test_a_camera_that_asks_for_a_digest_is_answered(camera, challenges, taken):
    def script(request):
        header = re.search(rb"\r\nAuthorization: ([^\r]*)", request)
        if header is not None:
            said, response = expected(header[1].decode(), "pa$s", NAMES)
            if said.get("algorithm") == taken and said["response"] == response and said["uri"] == "/s?x=1":
                yield HEAD + part(jpeg(1)) + part(jpeg(2))
                return
        asked = "".join(f"WWW-Authenticate: {one}\r\n" for one in challenges)
        asked = asked.replace("{}", 'realm="camera", nonce="abc",').replace(",\r", "\r")
        yield f"HTTP/1.1 401 Unauthorized\r\n{asked}Content-Length: 0\r\n\r\n".encode()

    made = camera(script)

    watched(f"http://user:pa%24s@{made.place}/s?x=1", [2])
    with pytest.raises(CameraLostError, match="401") as refused:
        next(shots(parse_source(f"http://user:geheim@{made.place}/s?x=1")))
    assert "geheim" not in str(refused.value)


def test_a_camera_asked_again_and_again_is_given_the_password_at_once_and_a_stale_question_is_answered_anew(camera):
    uses = []

    def script(request):
        header = re.search(rb"\r\nAuthorization: ([^\r]*)", request)
        said = expected(header[1].decode(), "pass", NAMES)[0] if header else {}
        uses.append((said.get("nonce"), said.get("nc")))
        nonce = "one" if len(uses) < 4 else "two"
        if said.get("nonce") == nonce:
            data = jpeg(len(uses))
            yield b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + data
            return
        yield (
            b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="camera", nonce="%s", qop="auth", stale=%s\r\n\r\n'
            % (nonce.encode(), b"true" if header else b"false")
        )

    made = camera(script)
    with contextlib.closing(shots(parse_source(f"http://user:pass@{made.place}/"))) as frames:
        for _ in range(4):
            next(frames)

    assert uses[:6] == [
        (None, None),
        ("one", "00000001"),
        ("one", "00000002"),
        ("one", "00000003"),
        ("two", "00000001"),
        ("two", "00000002"),
    ]


def test_the_password_does_not_go_to_where_a_camera_points(camera):
    thief = camera(
        lambda _request: [b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n']
    )
    moved = camera(lambda _request: [f"HTTP/1.1 302 Found\r\nLocation: http://{thief.place}/\r\n\r\n".encode()])

    with pytest.raises(CameraLostError, match="401"):
        next(shots(parse_source(f"http://user:geheim@{moved.place}/")))

    until(lambda: len(thief.requests) == 1)
    assert b"Authorization" not in thief.requests[0]
