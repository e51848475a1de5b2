import io

import numpy as np
import pytest
from PIL import Image

from kiosk.recognition.formats import jpeg_pixels

RNG = np.random.default_rng(0)
COARSE = RNG.integers(0, 256, (13, 17, 3), dtype=np.uint8)
PICTURE = Image.fromarray(COARSE).resize((131, 101), Image.Resampling.BICUBIC)  # odd edges, as halving rounds


def jpeg(mode="RGB", **options):
    held = io.BytesIO()
    PICTURE.convert(mode).save(held, "JPEG", **options)
    return held.getvalue()


def by_pillow(data, factor):
    """The same by Pillow; None where it refuses the file."""
    picture = Image.open(io.BytesIO(data))
    if factor == 2:
        picture.draft(None, (picture.width // 2, picture.height // 2))
    try:
        picture.load()
    except OSError:
        return None
    return np.asarray(picture.convert("RGB"))


KINDS = {
    "ordinary": jpeg(),
    "every colour at full size": jpeg(subsampling=0),
    "half the colours": jpeg(subsampling=1),
    "progressive": jpeg(progressive=True),
    "grey": jpeg("L"),
    "colours as they are": jpeg(keep_rgb=True),
    "restart marks": jpeg(restart_marker_blocks=3),
    "something behind its end": jpeg() + b"more",
}


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_the_pixels_are_pillows(kind, factor):
    pixels = np.zeros(((101 + factor - 1) // factor, (131 + factor - 1) // factor, 3), np.uint8)

    assert jpeg_pixels.fill(pixels, KINDS[kind])

    np.testing.assert_array_equal(pixels, by_pillow(KINDS[kind], factor))


@pytest.mark.parametrize("shape", [(101, 132, 3), (100, 131, 3), (202, 131, 3)])
def test_memory_of_another_size_is_not_filled(shape):
    assert not jpeg_pixels.fill(np.zeros(shape, np.uint8), KINDS["ordinary"])


@pytest.mark.parametrize("kind", ["ordinary", "progressive"])
def test_a_file_that_is_cut_anywhere_is_left_to_pillow(kind):
    data = KINDS[kind]
    pixels = np.zeros((101, 131, 3), np.uint8)

    assert not [end for end in range(0, len(data), 7) if jpeg_pixels.fill(pixels, data[:end])]
    assert not jpeg_pixels.fill(pixels, data[:-2])  # its end alone is missing


def test_a_changed_file_that_counts_as_sound_is_sound_to_pillow_too_and_shows_the_same():
    taken = 0
    for data in (KINDS["ordinary"], KINDS["progressive"], KINDS["restart marks"]):
        for _ in range(300):
            changed = bytearray(data)
            for at in RNG.integers(2, len(data), RNG.integers(1, 4)):
                changed[at] = RNG.integers(0, 256)
            try:
                size = Image.open(io.BytesIO(changed)).size
            except OSError:  # Pillow opens it first, and what it does not open comes no further
                continue
            pixels = np.zeros((size[1], size[0], 3), np.uint8) if size[0] * size[1] < 1_000_000 else None
            if pixels is None or not jpeg_pixels.fill(pixels, bytes(changed)):
                continue
            taken += 1
            expected = by_pillow(bytes(changed), 1)
            assert expected is not None
            np.testing.assert_array_equal(pixels, expected)

    assert taken > 50  # bytes of the tables and of colours make another picture, not a damaged one
