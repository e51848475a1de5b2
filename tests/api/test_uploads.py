"""Facts about forms as they arrive: what RFC 2046 says is ignored, is."""

import asyncio
import contextlib
import time

import pytest

from kiosk.api.uploads import MalformedError, MemoryBudget, read_form

PARTS = [
    ("photo", b"\xff\xd8 \r\n--fram \r\n--frameless? no: " + bytes(range(256))),
    ("note", b"blanks  \t stay in a text"),
]


def body(preamble, blanks):
    lines = [
        b"--mark%s\r\nContent-Disposition: form-data; name=%s\r\n\r\n%s\r\n" % (blanks, name.encode(), content)
        for name, content in PARTS
    ]
    return preamble + b"".join(lines) + b"--mark--" + blanks + b"\r\n"


def read(content, size):
    async def chunks():
        for at in range(0, len(content), size):
            yield content[at : at + size]

    return asyncio.run(read_form(chunks(), b"mark", ["photo"], room=MemoryBudget(1 << 23)))


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
@pytest.mark.parametrize("blanks", [b"", b"  ", b"\t \t"])
@pytest.mark.parametrize(
    "preamble", [b"", b"\r\n", b"This is a multi-part message in MIME format.\r\n", b"--mar\r\n\r\n--\r\n"]
)
def test_text_before_the_first_mark_and_blanks_behind_one_are_ignored(preamble, blanks, size):
    form = read(body(preamble, blanks), size)

    assert form.errors == {}
    assert form.file("photo") == PARTS[0][1]
    assert form.text("note") == PARTS[1][1].decode()


def test_lines_that_are_nearly_marks_are_bounded():
    near = body(b"", b"").replace(PARTS[0][1], b"\r\n--marble" * 20_000)

    with pytest.raises(MalformedError, match="more than 10000 lines that begin as a boundary does"):
        read(near, 100_000)


@pytest.mark.parametrize("filled", [b"\r", b"\r\n", b"\r\n-", b"\r\n--mark \t", b"\r\n--mark", b"--mark\r\n"])
def test_reading_any_body_takes_time_by_its_length(filled):
    def took_s(length, size):
        whole = body(b"", b"").replace(PARTS[0][1], filled * (length // len(filled)))
        begun = time.thread_time()
        with contextlib.suppress(MalformedError):
            read(whole, size)
        return time.thread_time() - begun

    # Sixteen times as long, in pieces a hundred times as large. A copy for each mark made it hundreds of times as slow.
    small = large = float("inf")
    for _ in range(20):
        small, large = min(small, took_s(125_000, 2_500)), min(large, took_s(2_000_000, 250_000))
        if large < 50 * small:
            return
    pytest.fail(f"{large / small:.0f} times as slow")


def test_a_file_that_nobody_chose_was_not_submitted():
    form = read(b'--mark\r\nContent-Disposition: form-data; name="photo"; filename=""\r\n\r\n\r\n--mark--\r\n', 100)

    assert form.files == {}
    form.file("photo")
    assert form.errors == {"photo": ["No file was submitted."]}


def test_an_empty_file_that_somebody_chose_was_submitted():
    form = read(
        b'--mark\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n\r\n--mark--\r\n', 100
    )

    assert form.files == {"photo": [b""]}
