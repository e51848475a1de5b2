"""A reader of documents that says what a test tells it, and takes the photograph itself for the portrait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kiosk.device.sessions.documents import ReadDocument
from kiosk.errors import ModelFileError

SPECIMEN: Mapping[str, Any] = {
    "status": "Approved",
    "document_type": "Identity Card",
    "document_number": "SPECIMEN00123",
    "first_name": "PERSON",
    "last_name": "A",
    "full_name": "PERSON A",
    "date_of_birth": "1990-01-01",
    "portrait_image": "cGljdHVyZQ==",
    "warnings": [],
}


class ScriptedDocumentReader:
    """Keeps the `DocumentReader` of sessions. `answers` are given one after the other, the last one again and again."""

    def __init__(self, *answers: Mapping[str, Any] | None) -> None:
        """Take what is read each time; None: nothing can be."""
        self.answers = list(answers or (SPECIMEN,))
        self.fault: str | None = None
        self.has_portrait = True
        self.backs: list[bytes | None] = []

    def __call__(self, front: bytes, back: bytes | None) -> ReadDocument | None:
        """Read a document."""
        if self.fault is not None:
            raise ModelFileError(self.fault)
        self.backs.append(back)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return None if answer is None else ReadDocument(answer, front if self.has_portrait else None)
