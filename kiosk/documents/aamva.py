"""The barcode of North American driving licences: PDF417 with AAMVA's elements, each three letters and a value.

Source: AAMVA DL/ID Card Design Standard (2020), annex D, tables D.3. Other barcodes are handed on as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date

LONGEST = 4096  # characters; a PDF417 symbol holds fewer
_HEADER = re.compile(r"^@[\n\r\x1c-\x1e ]*(?:ANSI |AAMVA)")
_ELEMENT = re.compile(r"^(?:DL|ID)?([DZ][A-Z]{2})(.*)$")
SEX = {"1": "M", "2": "F", "9": "X"}
UNTRUNCATED = {"NONE", "UNAVL", "UNAVAIL"}


@dataclass(frozen=True, slots=True)
class Licence:
    """What the barcode of a driving licence or identification card says."""

    surname: str | None = field(repr=False)
    given_names: str | None = field(repr=False)
    document_number: str | None = field(repr=False)
    birth_date: date | None = field(repr=False)
    expiry_date: date | None
    sex: str | None
    country: str | None  # "USA" or "CAN"


def parse(text: str) -> Licence | None:
    r"""Return what AAMVA's elements say; None for any other barcode.

    >>> found = parse("@\n\x1e\rANSI 636000090002DL00410278\nDLDAQD12345678\nDCSERIKSSON\nDACANNA\nDBB08121974")
    >>> found.document_number, found.surname, found.birth_date
    ('D12345678', 'ERIKSSON', datetime.date(1974, 8, 12))
    """
    if len(text) > LONGEST or not _HEADER.match(text):
        return None
    told: dict[str, str] = {}
    for line in re.split(r"[\n\r]+", text):
        # The header's line ends in the first element where the issuer puts no line end between them.
        if found := _ELEMENT.match(line) or re.search(r"(?:DL|ID)(D[A-Z]{2})(.*)$", line[20:]):
            value = found.group(2).strip()
            if value and value.upper() not in UNTRUNCATED:
                told.setdefault(found.group(1), value)
    if not told:
        return None
    country = told.get("DCG")
    given = told.get("DAC") or told.get("DCT", "").replace(",", " ")
    names = " ".join(part for part in (given, told.get("DAD", "")) if part)
    return Licence(
        surname=told.get("DCS") or told.get("DAB"),
        given_names=names or None,
        document_number=told.get("DAQ"),
        birth_date=_date(told.get("DBB"), country),
        expiry_date=_date(told.get("DBA"), country),
        sex=SEX.get(told.get("DBC", "")),
        country=country,
    )


def _date(text: str | None, country: str | None) -> date | None:
    """Return a date: MMDDYYYY in the United States, YYYYMMDD in Canada."""
    if text is None or not re.fullmatch(r"[0-9]{8}", text):
        return None
    year, month, day = (text[:4], text[4:6], text[6:]) if country == "CAN" else (text[4:], text[:2], text[2:4])
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
