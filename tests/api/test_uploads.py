"""Facts about forms as they arrive: what RFC 2046 says is ignored, is."""

import asyncio

import pytest

from kiosk.api.uploads import MemoryBudget, read_form

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

    return asyncio.run(read_form(chunks(), b"mark", ["photo"], room=MemoryBudget(1 << 20)))


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
