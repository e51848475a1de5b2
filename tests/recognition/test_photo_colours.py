"""A photograph decodes to sRGB as its profile means it: against ImageCms, and against the colours' own formulas."""

import io
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from kiosk.errors import ImageError
from kiosk.recognition.formats import profile
from kiosk.recognition.photo import decode
from tests.conftest import GOLDEN

PRO_PHOTO = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585))
DISPLAY_P3 = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.3127, 0.329))
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), (0.3127, 0.329))
RAMP = np.linspace(0.0, 1.0, 1024)
SRGB_LIGHT = np.where(RAMP <= 0.04045, RAMP / 12.92, ((RAMP + 0.055) / 1.055) ** 2.4)
WIDE = {
    "Display P3": (DISPLAY_P3, SRGB_LIGHT),
    "Adobe RGB": (ADOBE_RGB, RAMP**2.19921875),
    "ProPhoto RGB": (PRO_PHOTO, RAMP**1.8),
}
PORTRAIT = Image.open(GOLDEN / "person_a_1.jpg").convert("RGB").crop((0, 0, 200, 160))


def png(picture, **options):
    held = io.BytesIO()
    picture.save(held, "PNG", **options)
    return held.getvalue()


def with_chunk(data, kind, content):
    """Put a part behind the header of a PNG."""
    part = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return data[:33] + part + data[33:]


def difference(data, truth, **options):
    return np.abs(decode(data, **options).astype(int) - np.asarray(truth, int)).max()


def meant(picture, icc):
    return ImageCms.profileToProfile(
        picture, ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )


def by_formula(pixels, chromaticities, light):
    """Return sRGB of D65 colours: numbers to light, from one triangle to the other, and back to numbers."""

    def to_xyz(places):
        columns = np.array([[x / y, 1.0, (1.0 - x - y) / y] for x, y in places]).T
        return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])

    srgb = to_xyz(((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), (0.3127, 0.329)))
    linear = np.interp(np.asarray(pixels) / 255.0, RAMP, light)
    linear = np.clip(linear @ (np.linalg.inv(srgb) @ to_xyz(chromaticities)).T, 0.0, 1.0)
    return 255.0 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("name", list(WIDE))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "TIFF of JPEG", "TIFF of 16 bits", "PNG of 16 bits"])
def test_a_wide_profile_is_what_imagecms_makes_of_it(kind, name):
    icc = profile.written(*WIDE[name])
    held = io.BytesIO()
    if kind == "TIFF of 16 bits":
        deep = np.asarray(PORTRAIT, np.uint16) * 257
        tifffile.imwrite(held, deep, photometric="rgb", extratags=[(34675, 7, len(icc), icc, True)])
    elif kind == "PNG of 16 bits":
        deep_png = imagecodecs.png_encode(np.asarray(PORTRAIT, np.uint16) * 257)
        held.write(with_chunk(deep_png, b"iCCP", b"x\0\0" + zlib.compress(icc)))
    else:
        options: dict[str, Any] = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
        options |= {"compression": "jpeg"} if kind == "TIFF of JPEG" else {}
        PORTRAIT.save(held, kind.split()[0], icc_profile=icc, **options)
    held.seek(0)
    stored = PORTRAIT if "16 bits" in kind else Image.open(held).convert("RGB")

    assert difference(held.getvalue(), meant(stored, icc)) <= 1
    assert difference(held.getvalue(), stored) >= 10


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB"])
def test_a_wide_profile_is_what_its_formula_says(name):
    icc = profile.written(*WIDE[name])

    shown = decode(png(PORTRAIT, icc_profile=icc)).astype(float)

    assert np.abs(shown - by_formula(PORTRAIT, *WIDE[name])).mean() < 0.5
    assert np.abs(shown - by_formula(PORTRAIT, *WIDE[name])).max() <= 6  # the nearest a matrix of 16 bits comes


def lookup(space, entries):
    """Return an ICC profile of press or scanner: Lab of each corner of its colours."""
    inputs = {"CMYK": 4, "GRAY": 1, "RGB ": 3}[space]
    table = b"mft1\0\0\0\0" + bytes([inputs, 3, 2, 0]) + struct.pack(">9i", *(65536, 0, 0, 0, 65536, 0, 0, 0, 65536))
    table += bytes(range(256)) * inputs + bytes(v for lab in entries for v in lab) + bytes(range(256)) * 3
    tags = [(b"A2B0", table), (b"wtpt", b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061))]
    start = 132 + 12 * len(tags)
    directory, body = struct.pack(">I", len(tags)), b""
    for name, content in tags:
        directory += name + struct.pack(">II", start + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    head = struct.pack(">I4sI", start + len(body), b"\0" * 4, 0x02400000) + b"prtr" + space.encode() + b"Lab "
    head = (head + b"\0" * 12 + b"acsp").ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + directory + body


def press():
    """A press whose inks are weaker than the plain formula takes them to be."""
    entries = []
    for number in range(16):
        cyan, magenta, yellow, black = ((number >> bit) & 1 for bit in (3, 2, 1, 0))
        light = (250 - 60 * cyan - 70 * magenta - 20 * yellow) * (0.2 if black else 1.0)
        colour = 0.0 if black else 1.0
        a, b = (-40 * cyan + 70 * magenta) * colour, (-45 * cyan + 80 * yellow) * colour
        entries.append((max(0, round(light)), round(128 + a), max(0, min(255, round(128 + b)))))
    return lookup("CMYK", entries)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_are_what_the_presss_profile_says(kind):
    inks, held = PORTRAIT.convert("CMYK"), io.BytesIO()
    inks.save(held, kind, icc_profile=press())
    held.seek(0)
    stored = Image.open(held)
    stored.load()

    assert difference(held.getvalue(), meant(stored, press())) <= 1
    assert difference(held.getvalue(), stored.convert("RGB")) >= 20


def grey_profile(exponent):
    curve = b"curv\0\0\0\0" + struct.pack(">I1024H", 1024, *np.round(RAMP**exponent * 65535).astype(int)) + b""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    directory = struct.pack(">I4sII4sII", 2, b"wtpt", 156, 20, b"kTRC", 176, len(curve))
    head = struct.pack(">I4sI", 176 + len(curve), b"\0" * 4, 0x02400000) + b"mntrGRAYXYZ "
    head = (head + b"\0" * 12 + b"acsp").ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + directory + white + curve


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_scanners_grey_is_as_light_as_its_profile_says(kind):
    grey, held = PORTRAIT.convert("L"), io.BytesIO()
    grey.save(held, kind, icc_profile=grey_profile(1.0))
    held.seek(0)
    stored = Image.open(held).convert("L")
    light = np.asarray(stored) / 255.0
    truth = 255.0 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)

    assert difference(held.getvalue(), np.repeat(truth[:, :, np.newaxis], 3, axis=2)) <= 2


def test_a_grey_profile_makes_no_deep_colours_grey():
    deep = imagecodecs.png_encode(np.asarray(PORTRAIT, np.uint16) * 257)
    data = with_chunk(deep, b"iCCP", b"x\0\0" + zlib.compress(grey_profile(1.0)))

    assert difference(data, PORTRAIT) <= 1


def test_what_is_transparent_is_grey_under_any_profile():
    clear = PORTRAIT.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    icc = profile.written(*WIDE["Display P3"])
    backdrop = Image.new("RGB", clear.size, (127, 127, 127))
    backdrop.paste(meant(PORTRAIT, icc), mask=clear.getchannel("A"))

    assert difference(png(clear, icc_profile=icc), backdrop) <= 1


@pytest.mark.parametrize(
    "icc",
    [
        pytest.param(profile.written(DISPLAY_P3, RAMP[::-1].copy()), id="white is dark"),
        pytest.param(profile.written(DISPLAY_P3, RAMP * 0.0), id="all is black"),
        pytest.param(profile.written(DISPLAY_P3, RAMP * 0.1), id="white is almost black"),
        pytest.param(profile.written(DISPLAY_P3, np.minimum(1, RAMP * 0 + 0.9)), id="all is light"),
        pytest.param(profile.written(DISPLAY_P3, SRGB_LIGHT)[:300], id="cut short"),
        pytest.param(b"no profile", id="a text"),
        pytest.param(press(), id="a press's, for red, green and blue"),
        pytest.param(grey_profile(1.0), id="a grey one, for red, green and blue"),
        pytest.param(profile.written(profile.SRGB, SRGB_LIGHT), id="sRGB"),
    ],
)
def test_a_profile_that_cannot_be_meant_is_passed_over(icc):
    assert difference(png(PORTRAIT, icc_profile=icc), PORTRAIT) == 0


def test_a_profile_in_many_parts_of_a_jpeg_counts_and_half_of_one_does_not():
    icc = profile.written(*WIDE["Adobe RGB"])
    long = icc + b"\0" * (150_000 - len(icc))
    held = io.BytesIO()
    PORTRAIT.save(held, "JPEG", icc_profile=struct.pack(">I", len(long)) + long[4:], quality=95)
    data = held.getvalue()
    stored = Image.open(io.BytesIO(data)).convert("RGB")
    first = data.index(b"ICC_PROFILE\0\x01")

    assert data.count(b"ICC_PROFILE\0") == 3
    assert difference(data, meant(stored, icc)) <= 1
    assert difference(data[: first + 12] + b"\x07" + data[first + 13 :], stored) == 0


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        pytest.param([(b"cICP", bytes([12, 13, 0, 1]))], "Display P3", id="cICP"),
        pytest.param([(b"gAMA", struct.pack(">I", 45455)), (b"cICP", bytes([12, 13, 0, 1]))], "Display P3", id="first"),
        pytest.param(
            [
                (b"gAMA", struct.pack(">I", 45471)),
                (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)),
            ],
            "Adobe RGB",
            id="gamma and chromaticities",
        ),
        pytest.param([(b"gAMA", struct.pack(">I", 45455)), (b"sRGB", b"\0")], None, id="sRGB"),
        pytest.param([(b"gAMA", struct.pack(">I", 0))], None, id="no gamma"),
        pytest.param([(b"gAMA", b"\0")], None, id="half a gamma"),
        pytest.param([(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", b"\0" * 32)], None, id="no chromaticities"),
        pytest.param([(b"cICP", bytes([99, 99, 0, 1]))], None, id="unknown numbers"),
        pytest.param([(b"iCCP", b"x\0\0" + zlib.compress(b"\0" * 60_000_000, 1))], None, id="a bomb"),
        pytest.param([(b"iCCP", b"x\0\0no zlib")], None, id="a damaged profile"),
    ],
)
def test_a_png_says_its_colours_in_its_own_words(parts, name):
    data = png(PORTRAIT)
    for kind, content in parts:
        data = with_chunk(data, kind, content)
    truth = PORTRAIT if name is None else by_formula(PORTRAIT, *WIDE[name])

    assert np.abs(decode(data) - np.asarray(truth, float)).mean() < (0.6 if name else 0.001)


def test_a_linear_png_is_no_longer_dark():
    light = np.interp(np.asarray(PORTRAIT) / 255.0, RAMP, SRGB_LIGHT)
    data = with_chunk(png(Image.fromarray((light * 255 + 0.5).astype(np.uint8))), b"gAMA", struct.pack(">I", 100_000))

    assert np.abs(decode(data).astype(float) - np.asarray(PORTRAIT)).mean() < 3.0


@pytest.mark.parametrize("transfer", [16, 18])
def test_a_picture_of_high_dynamic_range_shows_a_white_shirt_as_white(transfer):
    code = {16: 148, 18: 191}[transfer]  # of 203 nits
    data = with_chunk(png(Image.new("RGB", (16, 16), (code,) * 3)), b"cICP", bytes([9, transfer, 0, 1]))

    assert decode(data).min() >= 245


@pytest.mark.parametrize(
    ("space", "interoperability", "is_adobe"),
    [(0xFFFF, "R03", True), (2, None, True), (1, "R03", False), (1, "R98", False), (0xFFFF, None, False)],
)
def test_a_camera_that_names_adobe_rgb_in_exif_alone_is_understood(space, interoperability, is_adobe):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = space
    if interoperability:
        exif.get_ifd(0x8769)[0xA005] = {1: interoperability}
    held = io.BytesIO()
    PORTRAIT.save(held, "JPEG", exif=exif, quality=95)
    stored = Image.open(io.BytesIO(held.getvalue())).convert("RGB")
    truth = meant(stored, profile.adobe_rgb()) if is_adobe else stored

    assert difference(held.getvalue(), truth) <= 1


def heic(picture, **options):
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    held = io.BytesIO()
    pillow_heif.from_pillow(picture).save(held, quality=90, **options)
    return held.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_turned_by_its_container_and_never_again_by_its_exif(orientation):
    corner = Image.new("RGB", (128, 64))
    corner.paste((255, 0, 0), (0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = heic(corner, exif=exif.tobytes())  # which the writer says in irot and imir, and no more in EXIF
    told = data.index(b"\x01\x12\0\3\0\0\0\1") + 8
    upright = {1: 0, 2: 1, 3: 3, 4: 2, 5: 0, 6: 1, 7: 3, 8: 2}[orientation]

    for said in (data, data[:told] + bytes([0, orientation]) + data[told + 2 :]):  # as some telephones say both
        picture = decode(said, with_heic=True)

        assert picture.shape[:2] == ((128, 64) if orientation >= 5 else (64, 128))
        quarters = [picture[y, x, 0] > 200 for y in (8, -9) for x in (8, -9)]
        assert quarters == [at == upright for at in range(4)]


def test_heic_shows_its_own_colours_by_profile_and_by_numbers():
    icc = profile.written(*WIDE["Display P3"])
    plain = heic(PORTRAIT)
    at = plain.index(b"colrnclx") + 8
    by_numbers = plain[:at] + struct.pack(">HH", 12, 13) + plain[at + 4 :]
    pixels = Image.fromarray(decode(plain, with_heic=True))

    for data in (heic(PORTRAIT, icc_profile=icc), by_numbers):
        assert difference(data, meant(pixels, icc), with_heic=True) <= 1


@pytest.mark.parametrize("suffix", [b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"], ids=["in its box", "bare"])
def test_jpeg_2000_is_taken_where_heic_is_and_nowhere_else(suffix):
    held = io.BytesIO()
    PORTRAIT.save(held, "JPEG2000", no_jp2=suffix.startswith(b"\xff"))  # lossless
    data = held.getvalue()
    assert data.startswith(suffix)

    np.testing.assert_array_equal(decode(data, with_heic=True), np.asarray(PORTRAIT))
    with pytest.raises(ImageError, match="JPEG 2000"):
        decode(data)
    with pytest.raises(ImageError):
        decode(data[: len(data) // 3], with_heic=True)
