"""Facts about looking through a JPEG before anything decodes it."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk.errors import ImageError
from kiosk.recognition.formats import jpeg
from kiosk.recognition.photo import MAX_BYTES, MAX_PIXELS
from tests.decoding.bombs import photograph, scan_bomb, segment

MOST_S = 0.3  # 50 ms on a machine of its own, benchmarks/under_attack.py; what went wrong once took seconds
WHOLE = photograph(640, 480)
END = b"\xff\xd9"
SCAN = segment(0xDA, bytes([1, 1, 0, 1, 63, 0x10]))


def in_scan(data):
    """Return a whole photograph with more bytes at the end of its only scan."""
    return WHOLE.removesuffix(END) + data + END


def survey_s(data):
    """Return the processor time of this thread that the refusal of a file, or its passing, takes at best."""
    best = float("inf")
    for _ in range(3):
        begun = time.thread_time()
        with contextlib.suppress(ImageError):
            jpeg.check(data, MAX_PIXELS)
        best = min(best, time.thread_time() - begun)
    return best


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(scan_bomb(7000, 3000), id="3,000 scans"),
        pytest.param(scan_bomb(7000, 1)[:-2] + (SCAN + b"\0" * 4) * 60_000 + END, id="60,000 scans"),
        pytest.param(b"\xff\xd8" + b"\xff" * 4_900_000, id="nothing but FF"),
        pytest.param(in_scan(b"\xff" * 4_900_000), id="FF at the end of a scan"),
        pytest.param(in_scan(b"\xff\x00" * 2_400_000), id="stuffed bytes"),
        pytest.param(in_scan(b"\xff\xd0" * 2_400_000), id="restarts"),
        pytest.param(in_scan(b"\0" * 4_900_000), id="zeros"),
        pytest.param(in_scan((b"\0" * 255 + b"\xff\xc4\0\2") * 490), id="tables among the data"),
        pytest.param(in_scan((b"\xff\0" * 5_000 + b"\xff\xc4\0\2") * 490), id="tables among stuffed bytes"),
    ],
)
def test_looking_through_any_file_is_soon_done(data):
    assert len(data) <= MAX_BYTES
    assert survey_s(data) < MOST_S


@pytest.mark.parametrize("filled", [b"\xff" * 5_000, (b"\0" * 300 + b"\xff" * 300 + b"\xd0") * 20, b"\xff" * 4_900_000])
def test_padding_inside_an_otherwise_whole_file_is_bounded(filled):
    with pytest.raises(ImageError, match="thousands of bytes of padding"):
        jpeg.check(in_scan(filled), MAX_PIXELS)


@pytest.mark.parametrize(
    "filled", [b"\xff" * 4_000, b"\xff\x00" * 100_000, b"\xff\xd0" * 9_000, b"\xff", b"\xff\xff\xd0" * 1_000]
)
def test_what_a_scan_may_hold_is_taken(filled):
    jpeg.check(in_scan(filled), MAX_PIXELS)


def test_ff_after_the_end_and_inside_a_segment_is_no_padding():
    profile = segment(0xE2, b"\xff" * 60_000)

    jpeg.check(WHOLE[:2] + profile + WHOLE[2:] + b"\xff" * 60_000, MAX_PIXELS)


def scans_in(body):
    """Count the scans that come after the first, byte by byte, as the standard lays them out."""
    at, count = 0, 0
    while at + 1 < len(body):
        if body[at] != 0xFF or body[at + 1] in {0, 0xFF, *range(0xD0, 0xD8)}:
            at += 1
            continue
        marker = body[at + 1]
        at += 2
        if marker == 0xD9:
            return count
        if marker in {0x01, 0xD8}:
            continue
        count += marker == 0xDA
        at += max(int.from_bytes(body[at : at + 2], "big"), 2)
    return count


pieces = st.sampled_from(
    [SCAN, b"\xff\xda\0\2", b"\xff\x00", b"\xff\xd3", b"\xff\xff", b"\xff", b"\0", b"\xff\xc4\0\2", b"\xff\x01"]
) | st.integers(1, 3_000).map(bytes)


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=90).map(b"".join))
def test_scans_are_counted_as_a_walk_byte_by_byte_counts_them(body):
    count = 1 + scans_in(body)

    if count <= jpeg.MAX_SCANS:
        jpeg.check(in_scan(body), MAX_PIXELS)
    else:
        with pytest.raises(ImageError, match="65 scans or more"):
            jpeg.check(in_scan(body), MAX_PIXELS)
