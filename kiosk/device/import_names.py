"""What of a folder or an archive is a photograph, whose it is, and what is passed over: one rule for every import."""

from __future__ import annotations

from kiosk.recognition.formats import jpeg, kinds, png, tiff
from kiosk.rules import text

SUFFIXES = frozenset((".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif"))
"""What photographs are usually called; whether it is one the bytes decide."""

HEAD_BYTES = kinds.HEAD_BYTES
_STARTS = (jpeg.SIGNATURE, png.SIGNATURE, *tiff.SIGNATURES)
_SYSTEM = frozenset(
    ("__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "#recycle", "system volume information", "lost+found")
)


def passed_over(name: str) -> str | None:
    """Say why a file or folder is no person's, by its name; None where it may be."""
    if name.startswith("._"):
        return "passed over: the other half of a file, as macOS keeps it"
    if name.startswith("."):
        return "passed over: it begins with a dot, so it is hidden"
    if name.startswith("@"):
        return "passed over: it begins with @, as folders of thumbnails do"
    return "passed over: it belongs to an operating system" if name.lower() in _SYSTEM else None


def name_objection(name: str) -> str | None:
    """Say why nobody can be called so, and what to do; None where somebody can."""
    found = text.objection(name)
    return None if found is None else f"the name {found}; rename it"


def is_photograph(name: str, head: bytes) -> bool:
    """Say whether a file is to be tried: by its name, or by how it begins."""
    dot = name.rfind(".")
    if dot >= 0 and name[dot:].lower() in SUFFIXES:
        return True
    is_webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    return head.startswith(_STARTS) or is_webp or kinds.is_heic(head)


def not_taken(head: bytes) -> str:
    """Say what a file that is no photograph is."""
    if not head:
        return "no photograph: the file is empty"
    kind, advice = kinds.describe(head)
    return f"no photograph: {kind}{advice and '; '}{advice}"
