import contextlib
import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from kiosk.errors import ImageError
from kiosk.recognition.photo import MAX_BYTES, decode

RED = np.full((40, 60, 3), (250, 10, 20), np.uint8)


def encoded(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def bomb(width, height):
    """A PNG whose header claims a size and whose few bytes would unpack to it."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_four_formats_decode_to_rgb(kind):
    options = {"lossless": True} if kind == "WEBP" else {}

    picture = decode(encoded(Image.fromarray(RED), kind, **options))

    assert picture.shape == (40, 60, 3)
    assert picture.dtype == np.uint8
    assert np.abs(picture.astype(int) - RED).max() <= 4


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (39, 59)), (6, (0, 39)), (8, (59, 0))])
def test_exif_orientation_is_honoured(orientation, corner):
    marked = np.zeros((40, 60, 3), np.uint8)
    marked[:12, :12] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation

    picture = decode(encoded(Image.fromarray(marked), "JPEG", exif=exif, quality=95))

    assert picture.shape[:2] == ((40, 60) if orientation in (1, 3) else (60, 40))
    assert picture[corner].min() > 200


def test_what_is_transparent_becomes_grey_whatever_colour_lies_under_it():
    hidden = np.dstack([RED, np.zeros((40, 60), np.uint8)])

    assert decode(encoded(Image.fromarray(hidden), "PNG")).tolist() == np.full((40, 60, 3), 127).tolist()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK"])
def test_grey_palette_and_print_colours_are_taken(mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"

    assert decode(encoded(Image.fromarray(RED).convert(mode), kind)).shape == (40, 60, 3)


def test_sixteen_bits_keep_their_shades():
    ramp = np.repeat(np.linspace(0, 65535, 60, dtype=np.uint16)[np.newaxis], 40, axis=0)

    picture = decode(encoded(Image.fromarray(ramp), "PNG"))

    assert picture[0, [0, 30, 59], 0].tolist() == [0, 130, 255]


def test_a_file_at_the_limit_is_taken_and_one_byte_more_is_not():
    picture = encoded(Image.fromarray(RED), "PNG")

    assert decode(picture + b"\0" * (MAX_BYTES - len(picture))).shape == (40, 60, 3)
    with pytest.raises(ImageError, match=r"^File size should not exceed 5 MB$"):
        decode(picture + b"\0" * (MAX_BYTES - len(picture) + 1))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"just some words\n", "a text file", id="text"),
        pytest.param("words … and a dash —\n".encode(), "a text file", id="text with other letters"),
        pytest.param(b"%PDF-1.7\n%", "a PDF", id="PDF"),
        pytest.param(b"GIF89a" + b"\0" * 40, "a GIF", id="GIF"),
        pytest.param(b"\0\1\2\3" * 20, "begins with 00 01 02 03", id="noise"),
        pytest.param(b"\xff\xd8\xff\xe0", "Invalid image", id="a JPEG of four bytes"),
    ],
)
def test_what_is_no_picture_is_named(data, said):
    with pytest.raises(ImageError, match=said):
        decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_truncated_file_is_refused_wherever_it_was_cut(kind):
    rng = np.random.default_rng(0)
    whole = encoded(Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)), kind)

    for share in (0.1, 0.5, 0.9):
        with pytest.raises(ImageError, match="Invalid image"):
            decode(whole[: int(len(whole) * share)])


def test_a_bomb_is_refused_before_its_memory_is_spent():
    data = bomb(30_000, 30_000)
    tracemalloc.start()

    with pytest.raises(ImageError, match="pixels"):
        decode(data)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_mutated_files_never_raise_anything_else():
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8))
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        whole = encoded(picture, kind)
        for _ in range(150):
            broken = bytearray(whole)
            for at in rng.integers(0, len(broken), rng.integers(1, 12)):
                broken[at] = rng.integers(0, 256)
            with contextlib.suppress(ImageError):
                assert decode(bytes(broken)).ndim == 3


def test_the_development_sets_bad_files_each_get_their_sentence(shared_faces):
    good = {"einstein.jpeg", "einstein.png", "einstein.webp", "rgba.png"}

    for path in sorted((shared_faces / "bad_input").iterdir()):
        if path.name in good:
            assert decode(path.read_bytes()).ndim == 3
        else:
            with pytest.raises(ImageError, match="Invalid image: "):
                decode(path.read_bytes())


@pytest.mark.parametrize("progressive", [False, True])
def test_a_large_jpeg_decodes_at_half_its_edges_where_that_will_do(progressive):
    smooth = Image.fromarray(RED).resize((3001, 2000), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(smooth, "JPEG", exif=exif, quality=90, progressive=progressive)

    half, whole = decode(data, halved=True), decode(data)

    assert (whole.shape[:2], half.shape[:2]) == ((3001, 2000), (1501, 1000))
    shrunk = np.asarray(Image.fromarray(whole).resize((1000, 1501), Image.Resampling.BOX))
    assert np.abs(half.astype(int) - shrunk)[5:-5, 5:-5].max() <= 8
    with pytest.raises(ImageError, match="truncated"):
        decode(data[: len(data) * 2 // 3], halved=True)


def test_a_small_jpeg_and_a_large_png_keep_their_pixels():
    small = encoded(Image.fromarray(RED), "JPEG")
    large = encoded(Image.new("RGB", (3000, 2001), "teal"), "PNG")

    assert decode(small, halved=True).shape == (40, 60, 3)
    assert decode(large, halved=True).shape == (2001, 3000, 3)
