"""CBEFF records as MOSIP writes them, around photographs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

from PIL import Image

EMPTY = b'<BIR xmlns="http://standards.iso.org/iso-iec/19785/-3/ed-2/"><BIRInfo/></BIR>'


def as_jpeg_2000(photograph: bytes) -> bytes:
    held = io.BytesIO()
    Image.open(io.BytesIO(photograph)).convert("RGB").save(held, "JPEG2000", quality_mode="rates", quality_layers=[10])
    return held.getvalue()


def face_record(picture: bytes, *, landmarks: int = 0, qualities: int = 1) -> bytes:
    """Return an ISO/IEC 19794-5:2011 record of one picture; every length is told as it is."""
    inside = bytes(9 + 1 + 2 + 2) + bytes([qualities]) + bytes(5 * qualities)
    inside += landmarks.to_bytes(2, "big") + bytes(15) + bytes(8 * landmarks)
    inside += bytes(11) + len(picture).to_bytes(4, "big") + picture
    representation = (len(inside) + 4).to_bytes(4, "big") + inside
    return b"FAC\x00030\x00" + (17 + len(representation)).to_bytes(4, "big") + b"\0\1\0\0\0" + representation


def cbeff(records: Iterable[tuple[str, bytes]]) -> bytes:
    """Return the XML around some records: their kind, such as Face or Finger, and their bytes."""
    inner = "".join(
        "<BIR><Version><Major>1</Major><Minor>1</Minor></Version><BIRInfo><Integrity>false</Integrity></BIRInfo>"
        f"<BDBInfo><Format><Organization>Mosip</Organization><Type>8</Type></Format><Type>{kind}</Type>"
        "<Level>Raw</Level><Purpose>Enroll</Purpose></BDBInfo>"
        f"<BDB>{base64.b64encode(data).decode()}</BDB></BIR>"
        for kind, data in records
    )
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<BIR xmlns="http://standards.iso.org/iso-iec/19785/-3/ed-2/">'
    return f"{head}<BIRInfo><Integrity>false</Integrity></BIRInfo><!-- face -->{inner}</BIR>".encode()


def of_face(photograph: bytes) -> bytes:
    """Return the record that MOSIP hands over for a photograph."""
    return cbeff([("Finger", b"FIR\0..."), ("Face", face_record(as_jpeg_2000(photograph)))])
