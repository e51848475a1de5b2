"""What is no photograph we take is named, with what to do about it."""

import base64
import io
import struct

import pytest
from PIL import Image

from kiosk.errors import ImageError
from kiosk.recognition.photo import decode
from tests.decoding.bombs import photograph


def box(major, *brands):
    return struct.pack(">I4s4sI", 16 + 4 * len(brands), b"ftyp", major, 0) + b"".join(brands) + b"\0" * 64


def tiff(*tags, order="<"):
    """Return a TIFF of one directory: (number, type, value) each."""
    forms = {1: "HHIB3x", 3: "HHIH2x", 4: "HHII"}
    entries = b"".join(struct.pack(order + forms[kind], tag, kind, 1, value) for tag, kind, value in sorted(tags))
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(tags))
    return start + entries + b"\0" * 64


PNG = photograph(kind="PNG")
KINDS = [
    *(
        pytest.param(box(brand, b"mif1", brand), "a HEIC photograph", "Most Compatible", id=f"HEIC {brand.decode()}")
        for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2")
    ),
    pytest.param(box(b"mif1", b"mif1", b"heic", b"avif"), "a HEIC photograph", "JPEG", id="HEIC that is also AVIF"),
    pytest.param(box(b"avif", b"mif1"), "an AVIF picture", "save it as JPEG", id="AVIF"),
    pytest.param(box(b"avis", b"msf1"), "an AVIF picture", "save it as JPEG", id="AVIF sequence"),
    pytest.param(box(b"mif1", b"mif1", b"avif"), "an AVIF picture", "save it as JPEG", id="AVIF by its second brand"),
    pytest.param(b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 64, "a JPEG 2000 picture", "save it as JPEG", id="JPEG 2000"),
    pytest.param(b"\xff\x4f\xff\x51" + b"\0" * 64, "a JPEG 2000 picture", "save it as JPEG", id="JPEG 2000 stream"),
    pytest.param(b"\xff\x0a" + b"\x01" * 64, "a JPEG XL picture", "save it as JPEG", id="JPEG XL stream"),
    pytest.param(b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 64, "a JPEG XL picture", "save it as JPEG", id="JPEG XL"),
    pytest.param(b"II\xbc\x01" + b"\0" * 64, "a JPEG XR picture", "save it as JPEG", id="JPEG XR"),
    pytest.param(box(b"crx ", b"crx ", b"isom"), "a camera's RAW file", "develop it", id="Canon CR3"),
    pytest.param(b"FUJIFILMCCD-RAW 0201", "a camera's RAW file", "develop it", id="Fujifilm RAF"),
    pytest.param(b"II*\0\x10\0\0\0CR\2\0" + b"\0" * 99, "a camera's RAW file", "develop it", id="Canon CR2"),
    pytest.param(tiff((50706, 1, 1), (262, 3, 2)), "a camera's RAW file", "develop it", id="DNG"),
    pytest.param(tiff((262, 3, 32803), order=">"), "a camera's RAW file", "develop it", id="colour filter array"),
    pytest.param(tiff((254, 4, 1), (271, 1, 0), (330, 4, 8)), "a camera's RAW file", "develop it", id="Nikon NEF"),
    pytest.param(b"%PDF-1.7\n", "a PDF", "save the picture in it", id="PDF"),
    pytest.param(box(b"isom", b"mp41"), "a video", "one frame", id="MP4"),
    pytest.param(box(b"qt  "), "a video", "one frame", id="QuickTime"),
    pytest.param(b"\x1aE\xdf\xa3" + b"\0" * 64, "a video", "one frame", id="Matroska and WebM"),
    pytest.param(b"RIFF\0\0\0\0AVI LIST" + b"\0" * 64, "a video", "one frame", id="AVI"),
    pytest.param(b"\0\0\0\x08wide" + b"\0" * 64, "a video", "one frame", id="old QuickTime"),
    pytest.param(b"RIFF\0\0\0\0WAVEfmt " + b"\0" * 64, "sound", "photograph", id="WAV"),
    pytest.param(base64.b64encode(PNG), "a photograph as base64 text", "decode it", id="base64"),
    pytest.param(base64.encodebytes(PNG), "a photograph as base64 text", "decode it", id="base64 in lines"),
    pytest.param(b"data:image/png;base64," + base64.b64encode(PNG), "base64", "decode it", id="data URL"),
    pytest.param(b"\n data:image/jpeg;base64,/9j/4AAQ", "base64", "decode it", id="short data URL behind blanks"),
    pytest.param(b'{"image": "abc"}', "JSON text", "bytes", id="JSON"),
    pytest.param(b"<!DOCTYPE html><html>", "HTML", "not the page", id="HTML"),
    pytest.param(
        b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">', "SVG", "save it as JPEG", id="SVG"
    ),
    pytest.param(b"PK\x03\x04" + b"\0" * 64, "a ZIP archive", "unpack it", id="ZIP"),
    pytest.param(b"8BPS\0\1" + b"\0" * 64, "a Photoshop document", "save it as JPEG", id="PSD"),
    pytest.param(b"\0" * 128 + b"DICM" + b"\0" * 64, "a DICOM picture", "save it as JPEG", id="DICOM"),
    pytest.param(b"P6\n8 8\n255\n" + b"\0" * 192, "a netpbm picture", "save it as JPEG", id="PPM"),
    pytest.param(b"\0" * 64, "a file of zeros", "copy", id="zeros"),
]


@pytest.mark.parametrize(("data", "kind", "advice"), KINDS)
def test_what_was_sent_is_named_with_what_to_do(data, kind, advice):
    with pytest.raises(ImageError, match=r"^Invalid image: .* is not JPEG, PNG, WebP or TIFF; ") as caught:
        decode(data)

    assert kind in str(caught.value)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"\xff\xd8" + b"\xff\xc1\x00\x0b\x0c" + b"\0\x40\0\x40\1\1\x11\0", "12 bits", id="12 bits"),
        pytest.param(b"\xff\xd8" + b"\xff\xc3\x00\x0b\x08" + b"\0\x40\0\x40\1\1\x11\0", "lossless", id="lossless"),
        pytest.param(b"\xff\xd8" + b"\xff\xf7\x00\x0b\x08" + b"\0\x40\0\x40\1\1\x11\0", "JPEG-LS", id="JPEG-LS"),
        pytest.param(PNG[:8] + b"\0\0\0\4CgBI\x50\0\x20\2" + PNG[8:], "Apple's own variant", id="CgBI"),
        pytest.param(tiff((262, 3, 32844)), "LogLuv", id="LogLuv"),
        pytest.param(tiff((262, 3, 6)), "subsampled YCbCr", id="subsampled YCbCr"),
        *(
            pytest.param(tiff((259, 3, number), (262, 3, 2)), f"compressed with {name};", id=f"TIFF of {name}")
            for number, name in ((34712, "JPEG 2000"), (50002, "JPEG XL"), (50001, "WebP"), (34887, "LERC"))
        ),
        pytest.param(tiff((259, 3, 4711), (262, 3, 2)), "compressed with method 4711;", id="TIFF of a method unknown"),
        pytest.param(b"\xef\xbb\xbf\xff\xd8\xff\xe0" + b"\0" * 50, "3 other bytes before it", id="JPEG behind a BOM"),
        pytest.param(b"\r\n" + PNG, "a PNG with 2 other bytes before it", id="PNG behind a line end"),
    ],
)
def test_kinds_of_our_formats_that_are_not_taken_are_named(data, said):
    with pytest.raises(ImageError, match=said):
        decode(data)


def test_heic_is_decoded_where_it_is_asked_for_and_named_elsewhere():
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    held = io.BytesIO()
    truth = Image.open(io.BytesIO(photograph(256, 192)))
    pillow_heif.from_pillow(truth).save(held, quality=95)

    picture = decode(held.getvalue(), with_heic=True)

    assert picture.shape == (192, 256, 3)
    assert abs(picture.astype(int) - truth).mean() < 8  # lossy, with half the colour
    with pytest.raises(ImageError, match="a HEIC photograph"):
        decode(held.getvalue())
