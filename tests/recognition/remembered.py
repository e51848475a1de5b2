"""Networks that look once at each picture: actors who stand still show the same few frames again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kiosk.recognition.pipeline import Recogniser
from kiosk.types import Session


def remembered(networks: Recogniser) -> Recogniser:
    """Return networks that give the same as these, and work only where the picture or the face is another."""
    return replace(
        networks,
        glance=_remembered(networks.glance),
        refine=_remembered(networks.refine),
        trace=_remembered(networks.trace),
        extract=_remembered(networks.extract),
    )


class RememberedSession:
    """A network that works once on each input."""

    def __init__(self, session: Session) -> None:
        self.run = _remembered(session.run)


def _remembered(work: Callable[..., Any] | None) -> Any:
    assert work is not None
    known: dict[tuple[int, ...], Any] = {}

    def once(image, *faces):
        looked_at = [image, *(part for face in faces for part in (face.box, face.landmarks))]
        key = tuple(hash(part.tobytes()) for part in looked_at)  # Python's own, the fastest by far
        if key not in known:
            known[key] = work(image, *faces)
        found = known[key]
        return list(found) if isinstance(found, list) else found

    return once
