"""The pictures of faces in a CBEFF record as MOSIP writes it: XML of biometric records, each with an ISO face image.

Sources: MOSIP documentation, "CBEFF XML" (element names); ISO/IEC 19794-5:2011 table 2, by way of MOSIP's bio-utils
(lengths of a face record's headers). Nothing is decoded here: that is the confined decoder's.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from kiosk.integrations.abis.messages import AbisError, Failure

MOST_RECORDS = 64  # ten fingers, two eyes, some faces
LARGEST_XML = 32 << 20
_ISO = b"FAC\0"
_VERSION = b"030\0"
_HEADER, _REPRESENTATION, _QUALITY, _LANDMARK, _FACIAL, _IMAGE = 17, 19, 5, 8, 17, 11
_JPEG, _JPEG_2000 = b"\xff\xd8\xff", (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")


def face_pictures(cbeff: bytes) -> list[bytes]:
    """Return the pictures of faces in a record, JPEG or JPEG 2000, in their order.

    Raises:
        AbisError: it is no CBEFF record of MOSIP's, or there is no face in it.
    """
    found = [picture for data in _face_records(_tree(cbeff)) for picture in _pictures(data)]
    if not found:
        raise AbisError(Failure.NO_DATA)
    return found


def _tree(cbeff: bytes) -> ET.Element:
    """Parse XML that declares nothing: without entities there is none that grows, and none that reads files."""
    if not cbeff.strip():
        raise AbisError(Failure.NO_DATA)
    try:
        text = cbeff.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AbisError(Failure.INVALID_CBEFF) from None
    if len(cbeff) > LARGEST_XML or "<!" in text.replace("<!--", ""):
        raise AbisError(Failure.INVALID_CBEFF)
    try:
        return ET.fromstring(text)  # noqa: S314  as above
    except (ET.ParseError, ValueError, RecursionError):
        raise AbisError(Failure.INVALID_CBEFF) from None


def _face_records(root: ET.Element) -> Iterator[bytes]:
    if _name(root) != "BIR":
        raise AbisError(Failure.INVALID_CBEFF)
    for count, record in enumerate(one for one in root.iter() if _name(one) == "BIR"):
        if count > MOST_RECORDS:
            raise AbisError(Failure.INVALID_CBEFF)
        info, data = (next((each for each in record if _name(each) == name), None) for name in ("BDBInfo", "BDB"))
        kinds = [] if info is None else [each.text or "" for each in info if _name(each) == "Type"]
        if data is not None and data.text and any("face" in kind.casefold().split() for kind in kinds):
            try:
                yield base64.b64decode("".join(data.text.split()), validate=True)
            except (binascii.Error, ValueError):
                raise AbisError(Failure.INVALID_CBEFF) from None


def _name(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _pictures(data: bytes) -> Iterator[bytes]:
    """Yield the pictures of an ISO face record; a bare picture is taken as it is."""
    if data.startswith((_JPEG, *_JPEG_2000)):
        yield data
        return
    if not data.startswith(_ISO + _VERSION) or len(data) < _HEADER:
        raise AbisError(Failure.INVALID_CBEFF)
    is_certified, at = data[14] != 0, _HEADER
    for _ in range(int.from_bytes(data[12:14], "big")):
        end = at + int.from_bytes(data[at : at + 4], "big")
        inside = at + _REPRESENTATION
        if inside > len(data) or end > len(data) or end <= at or is_certified:  # certificates: none was ever seen
            raise AbisError(Failure.INVALID_CBEFF)
        inside += _QUALITY * data[inside - 1]
        landmarks = int.from_bytes(data[inside : inside + 2], "big")
        inside += _FACIAL + _LANDMARK * landmarks + _IMAGE
        length = int.from_bytes(data[inside : inside + 4], "big")
        picture = data[inside + 4 : inside + 4 + length]
        if not length or inside + 4 + length > end or not picture.startswith((_JPEG, *_JPEG_2000)):
            raise AbisError(Failure.INVALID_CBEFF)
        yield picture
        at = end
