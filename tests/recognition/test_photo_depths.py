"""The decode table: formats, bit depths, colour models and orientations, against the pixels another library wrote."""

import io
import itertools
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from kiosk.errors import ImageError
from kiosk.recognition.photo import decode

HEIGHT, WIDTH = 64, 96
_ROWS, _COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
COLOUR = np.stack([_COLUMNS / 95, _ROWS / 63, (_ROWS + _COLUMNS) / 158], axis=2)  # levels, 0 to 1
GREY = COLOUR[:, :, 2]
OPAQUE, HALF = np.ones_like(GREY), np.full_like(GREY, 0.5)
BACKDROP = 127 / 255
MOST = {"u1": 255, "u2": 65535, "u4": 2**32 - 1, "f2": 1, "f4": 1, "f8": 1}
COMPRESSIONS = [None, "zlib", "lzw", "packbits", "zstd", "lzma"]


def tiff(samples, **options):
    held = io.BytesIO()
    tifffile.imwrite(held, samples, **options)
    return held.getvalue()


def numbers(levels, kind, most=None):
    scaled = levels * (most or MOST[kind])
    return (scaled if kind[0] == "f" else np.round(scaled)).astype(kind)


def assert_shows(data, levels, tolerance=1.01):
    """Check that a file decodes to levels, 0 to 1, of grey (H, W) or colour (H, W, 3)."""
    truth = np.repeat(levels[:, :, np.newaxis], 3, axis=2) if levels.ndim == 2 else levels
    picture = decode(data)
    assert picture.shape == truth.shape
    assert np.abs(picture - truth * 255).max() <= tolerance


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("kind", list(MOST))
def test_tiff_of_every_container_shows_what_was_written(kind, compression):
    """In both byte orders, strips and tiles, with and without predictor, interleaved and in planes."""
    predictors = (False,) if compression in {None, "packbits"} else (False, True)
    count = 0
    for order, tile, predictor in itertools.product("<>", (None, (32, 32)), predictors):
        options = {"compression": compression, "byteorder": order, "predictor": predictor, "tile": tile}
        options |= {} if tile else {"rowsperstrip": 10}
        grey, colour = numbers(GREY, kind), numbers(COLOUR, kind)
        assert_shows(tiff(grey, photometric="minisblack", **options), GREY)
        assert_shows(tiff(numbers(1.0 - GREY, kind), photometric="miniswhite", **options), GREY)
        assert_shows(tiff(colour, photometric="rgb", **options), COLOUR)
        planes = np.moveaxis(colour, 2, 0)
        assert_shows(tiff(planes, photometric="rgb", planarconfig="separate", **options), COLOUR)
        count += 4
    assert count == 16 * len(predictors)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib", "jpeg"])
def test_bigtiff_of_either_byte_order_is_what_the_same_picture_is_as_a_small_one(order, compression):
    kinds = [(numbers(COLOUR, "u1"), "rgb")]
    if compression != "jpeg":
        kinds += [(numbers(1.0 - GREY, "u2"), "miniswhite"), (numbers(GREY, "f4"), "minisblack")]
    for samples, photometric in kinds:
        for more in ({"tile": (32, 32)}, {"rowsperstrip": 8}, {"extratags": [(274, "H", 1, 6, True)]}):
            options = {"photometric": photometric, "compression": compression, **more}
            small, large = tiff(samples, **options), tiff(samples, bigtiff=True, byteorder=order, **options)
            assert large[:4] in {b"II+\0", b"MM\0+"}
            np.testing.assert_array_equal(decode(large), decode(small))


def test_a_damaged_bigtiff_is_refused_and_raises_nothing_else():
    good = tiff(numbers(COLOUR, "u1"), photometric="rgb", bigtiff=True, byteorder=">")
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(500):
        bad = bytearray(good)
        for place in rng.integers(4, 400, 3):
            bad[place] = rng.integers(256)
        try:
            decode(bytes(bad))
        except ImageError:
            refused += 1
    assert refused > 100


def test_signed_samples_reach_white_at_half_of_their_container():
    for kind, most in (("i1", 127), ("i2", 32767)):
        assert_shows(tiff(numbers(GREY, kind, most), photometric="minisblack"), GREY, 2)


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 9, 10, 11, 12, 13, 14, 15, 17, 20, 24, 31])
def test_tiff_of_packed_samples_shows_what_was_written(bits):
    most = (1 << bits) - 1
    kind = "u1" if bits <= 8 else "u2" if bits <= 16 else "u4"
    grey = numbers(GREY, kind, most)
    levels = grey / most

    assert_shows(tiff(grey, photometric="minisblack", bitspersample=bits, rowsperstrip=7), levels)
    assert_shows(tiff((most - grey).astype(kind), photometric="miniswhite", bitspersample=bits), levels)
    assert_shows(
        tiff(numbers(COLOUR, kind, most), photometric="rgb", bitspersample=bits), numbers(COLOUR, kind, most) / most
    )


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_a_container_of_16_bits_that_a_camera_filled_from_below_is_not_dark(bits):
    most = (1 << bits) - 1

    assert_shows(tiff(numbers(GREY, "u2", most), photometric="minisblack"), GREY)
    assert_shows(tiff(numbers(1.0 - GREY, "u2", most), photometric="miniswhite"), GREY)
    assert_shows(tiff(numbers(COLOUR, "u2", most), photometric="rgb"), COLOUR)
    for levels, truth in (
        (GREY, GREY),
        (COLOUR, COLOUR),
        (np.dstack([GREY, OPAQUE]), GREY),
        (np.dstack([COLOUR, OPAQUE]), COLOUR),
    ):
        assert_shows(imagecodecs.png_encode(numbers(levels, "u2", most)), truth)


@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize(
    ("levels", "truth"),
    [
        pytest.param(GREY, GREY, id="grey"),
        pytest.param(COLOUR, COLOUR, id="colour"),
        pytest.param(np.dstack([GREY, OPAQUE]), GREY, id="grey and alpha"),
        pytest.param(np.dstack([GREY, HALF]), (GREY + BACKDROP) / 2, id="grey, half of it"),
        pytest.param(np.dstack([COLOUR, OPAQUE]), COLOUR, id="colour and alpha"),
        pytest.param(np.dstack([COLOUR, HALF]), (COLOUR + BACKDROP) / 2, id="colour, half of it"),
    ],
)
def test_png_shows_what_was_written(levels, truth, kind):
    assert_shows(imagecodecs.png_encode(numbers(levels, kind)), truth, tolerance=2.01)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_tiff_with_alpha_says_whether_its_colours_hold_it_already(kind):
    levels = np.dstack([COLOUR, HALF])
    held = np.dstack([COLOUR / 2, HALF])

    assert_shows(
        tiff(numbers(levels, kind), photometric="rgb", extrasamples=["unassalpha"]), (COLOUR + BACKDROP) / 2, 2.01
    )
    assert_shows(
        tiff(numbers(held, kind), photometric="rgb", extrasamples=["assocalpha"]), (COLOUR + BACKDROP) / 2, 2.01
    )
    assert_shows(tiff(numbers(levels, kind), photometric="rgb", extrasamples=["unspecified"]), COLOUR)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_print_colours_show_what_was_written(kind):
    inks = np.dstack([1.0 - COLOUR, np.zeros_like(GREY)])

    assert_shows(tiff(numbers(inks, kind), photometric="separated"), COLOUR)


def test_palettes_of_8_and_16_bits_show_what_was_written():
    index = numbers(GREY, "u1")
    palette = np.repeat(np.linspace(0, 65535, 256).astype("u2")[np.newaxis], 3, axis=0)

    assert_shows(tiff(index, photometric="palette", colormap=palette), GREY)
    assert_shows(tiff(index, photometric="palette", colormap=palette >> 8), GREY)


TURNED = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: np.rot90(image, 1),
}


@pytest.mark.parametrize("orientation", TURNED)
def test_every_orientation_of_every_format_stands_upright(orientation):
    flat = numbers(COLOUR, "u1")
    tall = np.repeat(flat, 20, axis=0)  # of more than one strip
    exif = Image.Exif()
    exif[0x0112] = orientation
    containers: tuple[tuple[str, dict[str, Any]], ...] = (
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "jpeg", "quality": 100}),
        ("JPEG", {"quality": 100, "subsampling": 0}),
    )
    for image, (kind, options) in itertools.product((flat, tall), containers):
        held = io.BytesIO()
        Image.fromarray(image).save(held, kind, exif=exif, **options)
        truth = TURNED[orientation](image) / 255
        assert_shows(held.getvalue(), truth, tolerance=12.0 if "quality" in options else 0.01)
    assert_shows(
        tiff(flat, photometric="rgb", extratags=[(274, 3, 1, orientation, True)]), TURNED[orientation](flat) / 255
    )


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        pytest.param(np.full((8, 8), np.nan, "f4"), "none of them a number", id="nothing but NaN"),
        pytest.param(
            np.linspace(-1, 1, 64, dtype="f4").reshape(8, 8), "floating-point samples from -1 to 1", id="negative"
        ),
        pytest.param(np.linspace(0, 1e9, 64, dtype="f4").reshape(8, 8), "to 1e\\+09", id="huge"),
        pytest.param(np.array([[0.0, np.inf]], "f4"), "to inf", id="infinite"),
        pytest.param(np.array([[0, -5]], "i2"), "signed samples, down to -5", id="signed"),
        pytest.param(np.zeros((8, 8), "c8"), "complex numbers", id="complex"),
    ],
)
def test_numbers_that_are_no_levels_are_refused_with_the_reason(samples, said):
    with pytest.raises(ImageError, match=said):
        decode(tiff(samples, photometric="minisblack"))


def test_some_numbers_that_are_none_count_as_black():
    levels = numbers(GREY, "f4")
    levels[:8, :8] = np.nan

    picture = decode(tiff(levels, photometric="minisblack"))

    assert picture[:8, :8].max() == 0
    assert np.abs(picture[8:, 8:, 0] - GREY[8:, 8:] * 255).max() <= 1.01


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("most", [1, 3.5, 255, 4095, 65535])
def test_floating_point_levels_are_scaled_by_what_they_reach(kind, most):
    assert_shows(tiff((GREY * most).astype(kind), photometric="minisblack"), GREY)


def test_long_texts_and_profiles_are_no_reason_to_refuse_a_png():
    from PIL import PngImagePlugin

    told = PngImagePlugin.PngInfo()
    told.add_text("Comment", "x" * 3_000_000, zip=True)
    held = io.BytesIO()
    profile = np.random.default_rng(0).bytes(2_000_000)
    Image.fromarray(numbers(COLOUR, "u1")).save(held, "PNG", pnginfo=told, icc_profile=profile)

    assert_shows(held.getvalue(), COLOUR)


def test_lab_shows_the_colours_that_were_written():
    from PIL import ImageCms

    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(Image.fromarray(numbers(COLOUR / 2 + 0.25, "u1")), *profiles, outputMode="LAB")
    assert lab is not None
    held = io.BytesIO()
    lab.save(held, "TIFF")

    assert_shows(held.getvalue(), COLOUR / 2 + 0.25, tolerance=10)  # 8 bits of L, a and b


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_costs_no_photograph():
    held = io.BytesIO()
    Image.fromarray(numbers(COLOUR, "u1")).save(held, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f", quality=100)

    assert decode(held.getvalue()).shape == (HEIGHT, WIDTH, 3)


# ---- where an orientation may stand


def app1(content):
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def turn(kind=3, order="<", count=1, *, said=6, thumbnails=None, gap=0):
    """Return EXIF that holds an orientation and nothing else."""
    value = {1: bytes([said, 0, 0, 0]), 2: b"%d\0\0\0" % said, 3: struct.pack(f"{order}HH", said, 0)}
    value[4] = struct.pack(f"{order}I", said)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + gap) + b"\0" * gap
    first = struct.pack(f"{order}HHHI", 1, 0x112, kind, count) + value[kind]
    if thumbnails is None:
        return head + first + b"\0" * 4
    second = struct.pack(f"{order}HHHIHHI", 1, 0x112, 3, 1, thumbnails, 0, 0)
    return head + first + struct.pack(f"{order}I", 8 + gap + 18) + second


def exif(**how):
    return app1(b"Exif\0\0" + turn(**how))


def xmp(said):
    meta = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r xmlns:tiff="t" tiff:Orientation="{said}"/></x:xmpmeta>'
    return b"http://ns.adobe.com/xap/1.0/\0" + meta.encode()


LYING = Image.new("RGB", (96, 64), (200, 100, 50))


def with_parts(*parts, behind=2):
    held = io.BytesIO()
    LYING.save(held, "JPEG")
    data = held.getvalue()
    at = behind if isinstance(behind, int) else data.index(behind)
    return data[:at] + b"".join(parts) + data[at:]


@pytest.mark.parametrize(
    ("data", "is_turned"),
    [
        pytest.param(with_parts(exif(), behind=20), True, id="behind JFIF"),
        pytest.param(with_parts(exif(), behind=b"\xff\xda"), True, id="behind the tables"),
        pytest.param(with_parts(b"\xff\xff\xff", exif()), True, id="behind fill bytes"),
        pytest.param(with_parts(b"\xff\xed\0\x10Photoshop 3.0\0", exif()), True, id="behind Photoshop's part"),
        pytest.param(with_parts(b"\xff\xfe\0\x08Exif\0\0", exif()), True, id="behind a comment that begins as EXIF"),
        pytest.param(with_parts(exif(order=">")), True, id="most significant byte first"),
        pytest.param(with_parts(exif(kind=4, order=">")), True, id="as a long number"),
        pytest.param(with_parts(exif(kind=1)), True, id="as a byte"),
        pytest.param(with_parts(exif(kind=2, count=2)), True, id="as a letter"),
        pytest.param(with_parts(exif(gap=100)), True, id="far behind its header"),
        pytest.param(with_parts(exif(thumbnails=1)), True, id="and the thumbnail upright"),
        pytest.param(with_parts(exif(said=1, thumbnails=6)), False, id="of the thumbnail alone"),
        pytest.param(with_parts(exif(said=1), exif()), False, id="the first of two"),
        pytest.param(with_parts(exif(), app1(xmp(6))), True, id="in XMP besides"),
        pytest.param(with_parts(exif(said=1), app1(xmp(6))), False, id="in XMP otherwise"),
        pytest.param(with_parts(app1(xmp(6))), True, id="in XMP alone"),
        pytest.param(with_parts(exif(said=9)), False, id="a number that means nothing"),
    ],
)
def test_a_jpeg_is_turned_once_wherever_it_says_so(data, is_turned):
    assert decode(data).shape[:2] == ((96, 64) if is_turned else (64, 96))


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(chunk(b"eXIf", turn()), id="eXIf"),
        pytest.param(chunk(b"eXIf", b"Exif\0\0" + turn()), id="eXIf with JPEG's head"),
        *(
            pytest.param(
                chunk(
                    b"zTXt",
                    b"Raw profile type %b\0\0" % name
                    + zlib.compress(b"\n%b\n%8d\n" % (name, len(turn()) + 6) + (b"Exif\0\0" + turn()).hex().encode()),
                ),
                id=f"ImageMagick's {name.decode()}",
            )
            for name in (b"exif", b"APP1")
        ),
        pytest.param(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6)[29:]), id="XMP"),
    ],
)
@pytest.mark.parametrize("is_behind", [False, True])
def test_a_png_is_turned_by_each_of_the_parts_that_may_say_so(part, is_behind):
    held = io.BytesIO()
    LYING.save(held, "PNG")
    data = held.getvalue()
    at = data.index(b"IEND") - 4 if is_behind else 33

    assert decode(data[:at] + part + data[at:]).shape[:2] == (96, 64)
