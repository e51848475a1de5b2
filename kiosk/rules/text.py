"""Text from strangers, as it is shown: names, notes and whatever else somebody typed or a file was called.

A line end in a name would begin a row that nobody wrote, an escape sequence would recolour a terminal, and a cell that
begins with "=" is run by whoever opens the table.
"""

from __future__ import annotations

import re
import unicodedata

FORMULA = frozenset("=+-@")
APOSTROPHE = "'"  # what follows it in a cell is text
_INNER = re.compile(r'[;,|\t][\s"]*(?=([^\s"]))')
"""What a spreadsheet with another separator takes for the beginning of a cell: in many countries that is ";"."""

_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_JOINERS = frozenset("\u200c\u200d")  # part of words in Persian and of Indian scripts
_PLAIN = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"})  # noqa: RUF001
"""Letters whose mark is no accent that Unicode would take off."""

_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
"""Accents and vowel signs, once a letter is taken apart."""

_BLANK = frozenset(("Cc", "Cf", "Zs", "Zl", "Zp"))


def counted(count: int, one: str, many: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "person", "people"), counted(0, "record", "records"), counted(1200, "record", "records")
    ('1 person', '0 records', '1,200 records')
    """
    return f"{count:,} {one if count == 1 else many}"


def shown(text: str) -> str:
    r"""Return a text that stays on its line and hides nothing: what cannot be seen is escaped.

    >>> print(shown("Ann\n#2 | Person B"), shown("x\u202egpj.exe"), shown("Jos\u00e9"), shown("caf\udce9"))
    Ann\n#2 | Person B x\u202egpj.exe José caf\xe9
    """
    return "".join(_escaped(one) if _is_unseen(one) else one for one in text)


def in_utf8(text: str) -> str:
    r"""Return a text that any reader of JSON takes: bytes of a file's name that are no UTF-8 are escaped.

    >>> print(in_utf8("caf\udce9"))
    caf\xe9
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def as_sentence(said: str) -> str:
    """Return what an error says as a sentence that stands by itself.

    >>> as_sentence("want a name")
    'Want a name.'
    """
    return ended(f"{said[:1].upper()}{said[1:]}")


def ended(said: str) -> str:
    """Return a sentence with its full stop, where it does not end already.

    >>> ended("it stopped"), ended("was it unplugged?")
    ('it stopped.', 'was it unplugged?')
    """
    return said if said.endswith((".", "?", "!")) else f"{said}."


def objection(text: str) -> str | None:
    r"""Say why a text cannot be a name; None where it can.

    >>> objection("Ann"), objection("Ann\t"), objection("caf\udce9")
    (None, 'contains characters that cannot be seen', 'is not in UTF-8')
    """
    if any("\ud800" <= one <= "\udfff" for one in text):
        return "is not in UTF-8"
    return "contains characters that cannot be seen" if any(map(_is_unseen, text)) else None


def cell(value: object) -> object:
    r"""Return a value for a table that spreadsheets open: no text in it is taken for a formula, or for a new row.

    >>> print(cell("=1"), cell(" \n=1"), cell("Ann-Marie"), cell("Ann; =1"), cell(-1.5), cell(None))
    '=1 ' \n=1 Ann-Marie Ann; '=1 -1.5 None
    """
    if not isinstance(value, str):
        return value
    seen = next((one for one in value if unicodedata.category(one) not in _BLANK), "")
    is_formula = _begins_formula(seen) or value[:1] in {"\t", "\r", "\n"}
    text = _INNER.sub(lambda found: found[0] + (APOSTROPHE if _begins_formula(found[1]) else ""), shown(value))
    return f"{APOSTROPHE}{text}" if seen and is_formula else text


def _begins_formula(sign: str) -> bool:
    return unicodedata.normalize("NFKC", sign)[:1] in FORMULA


def composed(text: str) -> str:
    """Return a text in the one form in which equal texts are equal: macOS writes é as two characters."""
    return unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """Return a text as it is compared in a search: without case, accents and doubled blanks.

    >>> folded("José  MÜLLER"), folded("Łukasz Ørsted"), folded("Straße")
    ('jose muller', 'lukasz orsted', 'strasse')
    """
    if not text.isascii():
        text = _MARKS.sub("", unicodedata.normalize("NFKD", text.casefold())).translate(_PLAIN)
    return " ".join(text.lower().split())


def _is_unseen(one: str) -> bool:
    return unicodedata.category(one) in _UNSEEN and one not in _JOINERS


def _escaped(one: str) -> str:
    if "\udc80" <= one <= "\udcff":  # a byte that was no UTF-8, as Python keeps it in file names
        return f"\\x{ord(one) - 0xDC00:02x}"
    return one.encode("unicode_escape", "surrogatepass").decode("ascii")
