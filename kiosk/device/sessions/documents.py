"""Who reads identity documents for a session: declared here, where it is needed; a kiosk may have none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

NO_READER = "document step not available: model not installed"
UNREAD: Mapping[str, Any] = {
    "status": "Declined",
    "warnings": [
        {
            "risk": "COULD_NOT_RECOGNIZE_DOCUMENT",
            "log_type": "error",
            "short_description": "Document not recognised",
            "long_description": "No identity document could be recognised in the photographs.",
        }
    ],
}
"""What is said of a document that nothing could be read of."""


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document that was read."""

    answer: Mapping[str, Any] = field(repr=False)  # `id_verification` as Didit words it, with its status
    portrait: bytes | None = field(default=None, repr=False)  # a picture of the portrait, JPEG or PNG


class DocumentReader(Protocol):
    """Reads a document. Safe in several threads."""

    def __call__(self, front: bytes, back: bytes | None) -> ReadDocument | None:
        """Read the photographs of a document; None where they show none that can be read.

        Raises:
            ImageError: a photograph is no picture we take.
            ModelFileError: the networks failed.
        """
