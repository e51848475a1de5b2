"""Bytes of a photograph in, pixels out: the one place where pictures from strangers are opened.

The bytes decide what a picture is, never its name or label. What is in them is surveyed first (formats/jpeg.py,
formats/png.py, formats/tiff.py), so that neither a bomb's memory nor its work is spent; Pillow does the decoding, which
refuses a truncated file where cv2 fills the rest with grey and says nothing, and has the word on every JPEG that is not
sound from end to end (formats/jpeg_pixels.py). Whatever gets past that is stopped by the limits of the process it is
decoded in: kiosk/decoding/.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    ImageCms,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from kiosk.errors import ImageError
from kiosk.recognition.formats import jpeg, jpeg_pixels, kinds, levels, png, profile, tiff
from kiosk.recognition.formats.levels import BACKDROP
from kiosk.recognition.formats.tiff import BLACK_IS_ZERO, RGB, SEPARATED, Layout
from kiosk.types import RgbImage

MAX_BYTES = 5 * 1024 * 1024
"""Largest file taken, Didit's limit."""

DOCUMENT_BYTES = 2 * MAX_BYTES
"""Largest photograph of a document, Didit's limit."""

MAX_PIXELS = 50_000_000
"""Largest picture taken: 150 MB decoded. A 5 MB file of a real camera stays well below it."""

HALVED_PIXELS = 6_000_000
"""From so many pixels on a JPEG may be decoded at half its edges: in a third of the time."""

MAX_SAMPLE_BYTES = 6 * MAX_PIXELS
"""Most bytes of samples a TIFF may unpack to: the largest picture in 16 bits."""

Image.MAX_IMAGE_PIXELS = (
    None  # Pillow would warn at 89 million pixels; the stricter limit above is held before decoding
)

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
PLUGINS = (Jpeg2KImagePlugin, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)
"""Loaded with this module: Pillow would look for them on the disk with the first picture."""

STRIP_ROWS, TURNED_ROWS = 512, 64  # decoded at once; of a strip that is turned, both sides shall lie in the caches
DEEP_BITS = 16
ORIENTATION_TAG = 0x0112  # EXIF
EXIF_IFD, INTEROPERABILITY_IFD, COLOUR_SPACE_TAG = 0x8769, 0xA005, 0xA001
ADOBE_RGB = 2  # of EXIF's colour spaces, as some cameras have it; others say uncalibrated and R03


def too_large(most_bytes: int) -> str:
    """Return the contract's words for a file that is too large."""
    return f"File size should not exceed {most_bytes >> 20} MB"


TOO_LARGE = too_large(MAX_BYTES)
_TAKEN = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"RIFF", "WebP"),
    *((signature, "TIFF") for signature in tiff.SIGNATURES),
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING, _FROM_THE_END = frozenset({5, 6, 7, 8}), frozenset({3, 4, 6, 7})

Room: TypeAlias = Callable[[int, int], RgbImage]


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A picture whose rows can be had as colours, as they lie in the file."""

    width: int
    height: int
    orientation: int  # 1 to 8, as in EXIF
    rows: Callable[[int, int], RgbImage]  # from a row to before another: (n, W, 3) uint8
    laid: RgbImage | None = None  # the picture, where it lies in the memory that was asked for as it is meant


def _at_once(_pixels: int) -> None:
    """Wait for nothing."""


def own_memory(height: int, width: int) -> RgbImage:
    """Return memory for a picture: (H, W, 3) uint8, in this process."""
    return np.empty((height, width, 3), np.uint8)


def decode(
    data: bytes,
    room: Room = own_memory,
    *,
    begin: Callable[[int], None] = _at_once,
    with_heic: bool = False,
    most_bytes: int = MAX_BYTES,
    halved: bool = False,
) -> RgbImage:
    """Return the picture in a file's bytes, upright by its EXIF orientation.

    Args:
        data: JPEG, PNG, WebP or TIFF, at most `most_bytes`. Grey, palette, print colours, alpha (laid over grey), any
            depth and number format of TIFF are taken, 16 bits of PNG; of several pages or frames the first.
        room: gives the memory for the pixels, by height and width.
        begin: called with the number of pixels before memory is spent on them; may wait.
        with_heic: also take HEIC, where pillow-heif is installed, and JPEG 2000, where Pillow has OpenJPEG.
        most_bytes: longest file taken.
        halved: decode a JPEG of HALVED_PIXELS or more at half its edges, rounded up; all of its bytes are read as ever.

    Returns:
        (H, W, 3) uint8 RGB, in the memory of `room`.

    Raises:
        ImageError: too large, no picture of these kinds, damaged, or of more pixels or work than is taken.
    """
    if len(data) > most_bytes:
        raise ImageError(too_large(most_bytes))
    if not data:
        raise ImageError("Invalid image: the file is empty")
    try:
        return _laid(_unpack(data, room, begin, with_heic=with_heic, halved=halved), room)
    except ImageError:
        raise
    except UnidentifiedImageError:
        for signature, kind in _TAKEN:
            if data.startswith(signature):
                raise ImageError(f"Invalid image: a damaged {kind}") from None
        raise _not_taken(data) from None
    except Exception as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            raise ImageError(
                "Invalid image: it takes more memory to decode than a photograph may; save it again"
            ) from None
        said = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"Invalid image: damaged or truncated ({said[:200]})") from error


def survey(data: bytes) -> None:
    """Refuse what can be seen to be no photograph without decoding it; some milliseconds at most.

    Raises:
        ImageError: a JPEG of too many scans, parts or pixels, or full of padding.
    """
    if data.startswith(jpeg.SIGNATURE):
        jpeg.check(data, MAX_PIXELS)


def as_jpeg(image: RgbImage) -> bytes:
    """Return a picture as a JPEG of high quality."""
    held = io.BytesIO()
    Image.fromarray(image).save(held, "JPEG", quality=95)
    return held.getvalue()


def _not_taken(data: bytes) -> ImageError:
    kind, advice = kinds.describe(data)
    return ImageError(f"Invalid image: {kind} is not JPEG, PNG, WebP or TIFF{advice and '; '}{advice}")


def _unpack(data: bytes, room: Room, begin: Callable[[int], None], *, with_heic: bool, halved: bool) -> Unpacked:
    survey(data)
    if data.startswith(jpeg.SIGNATURE):
        picture = _opened(data, begin)
        width, height = picture.size
        if halved and width * height >= HALVED_PIXELS:
            picture.draft(None, (width // 2, height // 2))  # None: its own colours
        return _of_sound_jpeg(picture, data, room) or _of_picture(picture)
    if data.startswith(png.SIGNATURE):
        colours = png.colours(data)
        data = png.trimmed(data)
        bits, colour_type = png.header(data)
        if bits == DEEP_BITS:
            unpacked = _unpack_deep_png(data, begin)
            return _managed(unpacked, _suitable(profile.conversion(colours), "L" if colour_type in {0, 4} else "RGB"))
        picture = _opened(data, begin)
        picture.info["icc_profile"] = colours
        return _of_picture(picture)
    if data.startswith(tiff.SIGNATURES):
        data = tiff.as_classic(data)
        found = tiff.read_tags(data)
        read = _unpack_tiff(data, *found, begin) if found is not None else None
        if read is not None:
            return read
    elif with_heic and (kinds.is_heic(data) or kinds.is_jpeg_2000(data)):
        return _unpack_heic(data, begin) if kinds.is_heic(data) else _of_picture(_opened(data, begin, ("JPEG2000",)))
    elif not (data.startswith(b"RIFF") and data[8:12] == b"WEBP"):
        raise _not_taken(data)
    return _of_picture(_opened(data, begin))


def _opened(data: bytes, begin: Callable[[int], None], formats: tuple[str, ...] = FORMATS) -> Image.Image:
    picture = Image.open(io.BytesIO(data), formats=formats)
    _check_size(*picture.size, begin)
    return picture


def _check_size(width: int, height: int, begin: Callable[[int], None]) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(f"Invalid image: {width} x {height} px, more than the {MAX_PIXELS:,} pixels taken")
    begin(width * height)


def _of_sound_jpeg(picture: Image.Image, data: bytes, room: Room) -> Unpacked | None:
    """Return a JPEG of three colours or of grey, decoded past Pillow; None where Pillow is to see to it."""
    if picture.mode not in {"RGB", "L"}:
        return None
    width, height = picture.size
    orientation = _orientation(picture)
    colours = picture.info.get("icc_profile") or _camera_colours(picture)
    found = _suitable(profile.conversion(colours), picture.mode)
    is_final = orientation == 1 and found is None
    pixels = room(height, width) if is_final else own_memory(height, width)
    if not jpeg_pixels.fill(pixels, data):
        return None
    laid = pixels if is_final else None
    return _managed(Unpacked(width, height, orientation, lambda top, bottom: pixels[top:bottom], laid), found)


def _of_picture(picture: Image.Image) -> Unpacked:
    """Return what Pillow decodes as it is meant; deeper pictures than these do not come here."""
    colours = picture.info.get("icc_profile") or _camera_colours(picture)
    picture.load()
    orientation = _orientation(picture)  # only now: Pillow turns a TIFF itself, and says no more how it lay
    if picture.mode.startswith("I") or picture.mode == "F":
        layout = Layout("<", *picture.size, DEEP_BITS, 1, 1, BLACK_IS_ZERO, 0)
        samples = _of_samples(np.asarray(picture)[:, :, np.newaxis], layout, None, orientation)
        return _managed(samples, profile.conversion(colours))
    is_clear = picture.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in picture.info
    from_lab = None
    if picture.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        from_lab = ImageCms.buildTransform(*profiles, "LAB", "RGB")
    converted = _suitable(profile.conversion(colours), picture.mode)

    def rows(top: int, bottom: int) -> RgbImage:
        # In strips: Pillow hands out all pixels of a picture through two more copies of them.
        strip = picture.crop((0, top, picture.width, bottom))
        if from_lab is not None:
            return np.asarray(ImageCms.applyTransform(strip, from_lab))
        alpha = None
        if is_clear:
            strip = strip.convert("RGBA")
            alpha = strip.getchannel("A")
        if converted is not None:
            mode, convert = converted
            strip = convert(strip if strip.mode == mode else strip.convert("RGB").convert(mode))
        if alpha is not None:
            opaque = Image.new("RGB", strip.size, (BACKDROP, BACKDROP, BACKDROP))
            opaque.paste(strip.convert("RGB"), mask=alpha)
            strip = opaque
        return np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))

    return Unpacked(*picture.size, orientation, rows)


def _suitable(found: tuple[str, profile.Conversion] | None, mode: str) -> tuple[str, profile.Conversion] | None:
    """Return a conversion where its colours are those of the picture: a grey one for grey, inks for inks."""
    if found is None:
        return None
    of_picture = {"1": "L", "L": "L", "LA": "L", "La": "L", "CMYK": "CMYK"}.get(mode, "RGB")
    is_grey_in_rgb = found[0] == "RGB" and of_picture == "L"  # a scanner's one profile for whatever it scans
    return found if found[0] == of_picture or is_grey_in_rgb else None


def _managed(unpacked: Unpacked, found: tuple[str, profile.Conversion] | None) -> Unpacked:
    """Return a picture's rows as sRGB, where they are none; of a grey picture all three colours are alike."""
    if found is None or found[0] == "CMYK":
        return unpacked
    mode, convert = found

    def rows(top: int, bottom: int) -> RgbImage:
        strip = unpacked.rows(top, bottom)
        return np.asarray(convert(Image.fromarray(strip if mode == "RGB" else np.ascontiguousarray(strip[:, :, 0]))))

    return Unpacked(unpacked.width, unpacked.height, unpacked.orientation, rows)


def _camera_colours(picture: Image.Image) -> bytes | None:
    """Return Adobe RGB where a camera says so in EXIF alone, as those do that keep to DCF; None elsewhere."""
    if picture.format == "PNG":  # has words of its own
        return None
    try:
        exif = picture.getexif()
        space = exif.get_ifd(EXIF_IFD).get(COLOUR_SPACE_TAG)
        is_adobe = space == ADOBE_RGB or (
            space not in {None, 1} and str(exif.get_ifd(INTEROPERABILITY_IFD).get(1, "")).startswith("R03")
        )
    except Exception:  # noqa: BLE001  as for the orientation
        return None
    return profile.adobe_rgb() if is_adobe else None


def _orientation(picture: Image.Image) -> int:
    """Return which corner is up; what cannot be read says nothing."""
    try:
        exif = picture.getexif()
        if not exif and isinstance(text := picture.info.get("Raw profile type APP1"), str):  # ImageMagick's name for it
            exif.load(bytes.fromhex("".join(text.split("\n")[3:])))
        said = exif.get(ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001  Pillow raises whatever damaged EXIF leads to, and the picture is none the worse
        return 1
    if isinstance(said, (bytes, str)) and len(said) == 1:  # written as a byte or a letter
        said = said[0] if isinstance(said, bytes) else ord(said) - ord("0")
    return said if isinstance(said, int) and said in _TURNS else 1


def _of_samples(
    values: NDArray[np.generic], layout: Layout, colours: NDArray[np.uint8] | None, orientation: int
) -> Unpacked:
    white = levels.white_of(values[:, :, : layout.colours], layout.bits) if colours is None else 0.0

    def rows(top: int, bottom: int) -> RgbImage:
        return levels.to_rgb(values[top:bottom], white, layout, colours)

    return Unpacked(layout.width, layout.height, orientation, rows)


def _unpack_tiff(data: bytes, order: str, tags: tiff.Tags, begin: Callable[[int], None]) -> Unpacked | None:
    tiff.check(tags, data)
    layout = tiff.layout(order, tags)
    if layout is None:
        return None
    _check_size(layout.width, layout.height, begin)
    values = tiff.read_rows(data, tags, layout, MAX_SAMPLE_BYTES)
    colours = tiff.palette(tags, layout.bits) if layout.photometric == tiff.PALETTE else None
    unpacked = _of_samples(values, layout, colours, tiff.orientation(tags))
    found = profile.conversion(tiff.profile(tags))
    if layout.photometric != SEPARATED:
        is_colour = layout.colours == 3 or colours is not None  # noqa: PLR2004
        return _managed(unpacked, _suitable(found, "RGB" if is_colour else "L"))
    if found is None or found[0] != "CMYK" or layout.has_alpha:
        return unpacked
    white, convert = levels.white_of(values[:, :, : layout.colours], layout.bits), found[1]

    def rows(top: int, bottom: int) -> RgbImage:
        return np.asarray(convert(Image.fromarray(levels.to_inks(values[top:bottom], white), "CMYK")))

    return Unpacked(layout.width, layout.height, unpacked.orientation, rows)


def _unpack_deep_png(data: bytes, begin: Callable[[int], None]) -> Unpacked:
    """Read a PNG of 16 bits a sample, which Pillow cuts down to 8: twice, for the high and the low bytes."""
    picture = _opened(data, begin)
    orientation = _orientation(picture)
    colour_type = png.header(data)[1]
    if colour_type == 0:
        values: NDArray[np.generic] = np.asarray(picture)[:, :, np.newaxis]
        if isinstance(clear := picture.info.get("transparency"), int):  # one level that is transparent
            opaque = np.where(values == clear, 0, values.max(initial=0)).astype(values.dtype)
            values = np.concatenate([values, opaque], axis=2)
    elif colour_type == 4:  # noqa: PLR2004  grey and alpha: 4 bytes a pixel, as RGBA of 8 bits has
        four = np.asarray(_opened(png.relabelled(data, bits=8, colour_type=6), _at_once))
        values = four.view(">u2")
    else:
        high = np.asarray(picture)
        if high.max(initial=0) >= 64 or colour_type not in {2, 6}:  # noqa: PLR2004  more than 14 bits: the high bytes do
            return _of_picture(picture)
        low = _opened(data, _at_once)
        tiles = low.tile  # type: ignore[attr-defined]  # an ImageFile's
        low.tile = [one._replace(args=str(one.args).replace("16B", "16L")) for one in tiles]  # type: ignore[attr-defined]
        values = high.astype(np.uint16) << 8 | np.asarray(low)
    samples = values.shape[2]
    photometric, extra = (RGB, samples - 3) if samples >= 3 else (BLACK_IS_ZERO, samples - 1)  # noqa: PLR2004
    layout = Layout(">", *picture.size, DEEP_BITS, samples, 1, photometric, 2 * extra)
    return _of_samples(values, layout, None, orientation)


def _unpack_heic(data: bytes, begin: Callable[[int], None]) -> Unpacked:
    try:
        from pillow_heif import open_heif  # noqa: PLC0415  an extra
    except ImportError:
        kind, advice = kinds.describe(data)
        raise ImageError(
            f"Invalid image: {kind} needs the extra heic (pip install 'face-kiosk[heic]'); or {advice}"
        ) from None
    try:
        heif = open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
        _check_size(heif.size[0], heif.size[1], begin)
        picture = heif.to_pillow()  # libheif turns it upright itself, and its EXIF says no more how it lay
        if isinstance(said := picture.info.get("nclx_profile"), dict) and not picture.info.get("icc_profile"):
            points = int(said.get("color_primaries", 2)), int(said.get("transfer_characteristics", 2))
            picture.info["icc_profile"] = profile.of_code_points(*points)
        return _of_picture(picture)
    except (EOFError, OSError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise ImageError(f"Invalid image: a damaged HEIC photograph ({said}); save it as JPEG") from error


def _laid(unpacked: Unpacked, room: Room) -> RgbImage:
    """Write a picture's rows into memory, each where it belongs when the picture stands upright."""
    if unpacked.laid is not None:
        return unpacked.laid
    height, width, orientation = unpacked.height, unpacked.width, unpacked.orientation
    is_lying = orientation in _LYING
    pixels = room(width, height) if is_lying else room(height, width)
    step = TURNED_ROWS if orientation in _TURNS else STRIP_ROWS
    for top in range(0, height, step):
        bottom = min(top + step, height)
        strip = unpacked.rows(top, bottom)
        if orientation in _TURNS:
            strip = np.asarray(Image.fromarray(strip).transpose(_TURNS[orientation]))
        where = slice(height - bottom, height - top) if orientation in _FROM_THE_END else slice(top, bottom)
        if is_lying:
            pixels[:, where] = strip
        else:
            pixels[where] = strip
    return pixels
