"""What bytes that are no photograph we take seem to be, and what whoever sent them can do.

A sender can mend a sentence that names HEIC; nobody can mend "a file that begins with 00 00 00 24".
"""

from __future__ import annotations

import codecs
import re

HEAD_BYTES = 512  # enough to tell text from noise
BYTES_BEFORE = 64  # a mark of a text's encoding, line ends, the rest of a form: what a program put before a photograph
FTYP_BYTES = 256  # of a box of brands; real ones list a dozen

SAVE = "save it as JPEG"
_TELEPHONE = f'set the telephone\'s camera to JPEG ("Most Compatible"), or {SAVE}'
_DEVELOP = "develop it, and save it as JPEG"
_STILL = "take a photograph, or save one frame as JPEG"
_SHOT = "save the picture in it as JPEG"

HEIC, AVIF, VIDEO, RAW = "a HEIC photograph (HEIF)", "an AVIF picture", "a video", "a camera's RAW file"
_HEIC_BRANDS = frozenset(b"heic heix heim heis hevc hevx hevm hevs heif mif1 mif2 msf1 miaf MiHE MiHB".split())
_AVIF_BRANDS = frozenset(b"avif avis avio MA1A MA1B".split())
_JPEG_2000_BRANDS = frozenset(b"jp2  jpx  jpm  mjp2 jph ".split())
_AUDIO = frozenset((b"M4A ", b"M4B ", b"M4P "))

_BASE64_HEADS = (b"/9j/", b"iVBORw0KGgo", b"UklGR", b"SUkqA", b"TU0AK", b"AAAA", b"R0lGOD", b"Qk0", b"JVBERi")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-\s]{64,}={0,2}\s*\Z")

_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF", "a PDF", _SHOT),
    (b"%!PS", "a PostScript file", _SHOT),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file", _SHOT),
    (b"GIF8", "a GIF", SAVE),
    (b"BM", "a BMP", SAVE),
    (b"8BPS", "a Photoshop document", SAVE),
    (b"\0\0\x01\0", "an icon", SAVE),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture", SAVE),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture", SAVE),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture", SAVE),
    (b"\xff\x0a", "a JPEG XL picture", SAVE),
    (b"II\xbc\x01", "a JPEG XR picture", SAVE),
    (b"FUJIFILMCCD-RAW", RAW, _DEVELOP),
    (b"FOVb", RAW, _DEVELOP),
    (b"\0MRM", RAW, _DEVELOP),
    (b"IIRO", RAW, _DEVELOP),
    (b"IIRS", RAW, _DEVELOP),
    (b"MMOR", RAW, _DEVELOP),
    (b"IIU\0", RAW, _DEVELOP),
    (b"II\x1a\0\0\0HEAPCCDR", RAW, _DEVELOP),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture", SAVE),
    (b"#?RADIANCE", "a Radiance HDR picture", SAVE),
    (b"#?RGBE", "a Radiance HDR picture", SAVE),
    (b"BPG\xfb", "a BPG picture", SAVE),
    (b"FLIF", "a FLIF picture", SAVE),
    (b"qoif", "a QOI picture", SAVE),
    (b"DDS ", "a DirectDraw texture", SAVE),
    (b"SIMPLE  =", "a FITS picture", SAVE),
    (b"\x1aE\xdf\xa3", VIDEO, _STILL),
    (b"FLV\x01", VIDEO, _STILL),
    (b"\0\0\x01\xba", VIDEO, _STILL),
    (b"\0\0\x01\xb3", VIDEO, _STILL),
    (b"OggS", "sound or a video", _STILL),
    (b"0&\xb2u\x8ef\xcf\x11", "sound or a video", _STILL),
    (b"ID3", "sound", _STILL),
    (b"fLaC", "sound", _STILL),
    (b"PK\x03\x04", "a ZIP archive", "unpack it, and send the photographs in it"),
    (b"PK\x05\x06", "an empty ZIP archive", "send photographs"),
    (b"Rar!", "a RAR archive", "unpack it, and send the photographs in it"),
    (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it, and send the photographs in it"),
    (b"\x1f\x8b", "gzip data", "unpack it first"),
    (b"BZh", "bzip2 data", "unpack it first"),
    (b"\xfd7zXZ", "xz data", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "zstd data", "unpack it first"),
    (b"\xd0\xcf\x11\xe0", "an Office document", _SHOT),
    (b"\x7fELF", "a program", "send a photograph"),
    (b"MZ", "a program", "send a photograph"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the photograph it stands for"),
)
_RIFF = {b"AVI ": (VIDEO, _STILL), b"WAVE": ("sound", _STILL), b"RMID": ("sound", _STILL)}
_AT = (  # signatures that do not lie at the start
    (4, b"moov", VIDEO, _STILL),
    (4, b"mdat", VIDEO, _STILL),
    (4, b"wide", VIDEO, _STILL),
    (128, b"DICM", "a DICOM picture", SAVE),
    (257, b"ustar", "a tar archive", "unpack it, and send the photographs in it"),
    (12, b"MPO", "a damaged JPEG", SAVE),
)


def describe(data: bytes) -> tuple[str, str]:
    """Return what the bytes seem to be, and what can be done: "" where nobody can say."""
    if data[4:8] == b"ftyp":
        return _of_brands(data)
    if data[:4] in {b"RIFF", b"RIFX"} and data[8:12] in _RIFF:
        return _RIFF[data[8:12]]
    for signature, kind, advice in _SIGNATURES:
        if data.startswith(signature):
            return kind, advice
    for at, signature, kind, advice in _AT:
        if data[at : at + len(signature)] == signature:
            return kind, advice
    if re.match(rb"P[1-7F][\s#]", data):
        return "a netpbm picture", SAVE
    return _behind_others(data) or _of_text(data)


def _behind_others(data: bytes) -> tuple[str, str] | None:
    """Name a photograph that a program put other bytes before; None where there is none."""
    for signature, kind in ((b"\xff\xd8\xff", "a JPEG"), (b"\x89PNG\r\n\x1a\n", "a PNG")):
        if 0 < (at := data[:HEAD_BYTES].find(signature)) <= BYTES_BEFORE:
            return f"{kind} with {at} other bytes before it", "send its file as it is"
    return None


def is_heic(data: bytes) -> bool:
    """Say whether the bytes claim to be HEIC, by any of its brands."""
    return data[4:8] == b"ftyp" and _of_brands(data)[0] == HEIC


def is_jpeg_2000(data: bytes) -> bool:
    """Say whether the bytes claim to be JPEG 2000, in its box or bare, as passports and identity systems have it."""
    return data.startswith((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"))


def _of_brands(data: bytes) -> tuple[str, str]:
    """Name a file of the ISO base media family by its brands; the box's length is the sender's word."""
    end = min(int.from_bytes(data[:4], "big") or FTYP_BYTES, FTYP_BYTES, len(data))
    major = data[8:12]
    brands = {major, *(data[at : at + 4] for at in range(16, end - 3, 4))}
    if major in _AVIF_BRANDS or (brands & _AVIF_BRANDS and not brands & {b"heic", b"heix", b"hevc", b"hevx"}):
        return AVIF, SAVE
    if major in _HEIC_BRANDS or (brands & _HEIC_BRANDS and not major.startswith((b"mp4", b"iso", b"qt"))):
        return HEIC, _TELEPHONE
    if major in _JPEG_2000_BRANDS:
        return "a JPEG 2000 picture", SAVE
    if major == b"jxl ":
        return "a JPEG XL picture", SAVE
    if major == b"crx ":
        return RAW, _DEVELOP
    return ("sound", _STILL) if major in _AUDIO else (VIDEO, _STILL)


def _of_text(data: bytes) -> tuple[str, str]:  # noqa: PLR0911  a list of kinds
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) and b"\0" in data[:8]:
        return "a text file in UTF-16", "send the photograph itself"
    head = data[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:5].lower() == b"data:":
        return "a data: URL (a photograph as base64 text)", "decode it, and send its bytes"
    if head.startswith(_BASE64_HEADS) and _BASE64.match(head.rstrip(b"=\n\r ") + b"\n"):
        return "a photograph as base64 text", "decode it, and send its bytes"
    if re.match(rb"<(\?xml[^>]*>\s*(<!--.*?-->\s*)*(<!DOCTYPE svg[^>]*>\s*)?)?<?svg", head, re.IGNORECASE | re.DOTALL):
        return "text such as HTML, XML or SVG", SAVE
    if head.startswith(b"<"):
        return "text such as HTML, XML or SVG", "send the photograph itself, not the page"
    if head.startswith((b"{", b"[")) and _is_text(head):
        return "JSON text", "send the photograph's bytes"
    if head and _is_text(head):
        if _BASE64.match(head.strip() + b"\n") and not re.search(rb"\s", head[:60]):
            return "base64 text", "decode it, and send its bytes"
        return "a text file", "send a photograph"
    if not data.strip(b"\0"):
        return "a file of zeros", "copy the photograph again"
    return f"a file that begins with {data[:4].hex(' ')}", ""


def _is_text(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # the last letter may be cut
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    return all(character.isprintable() or character.isspace() for character in text)
