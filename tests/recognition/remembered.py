"""Networks that look once at each picture.

Actors who stand still show the same few frames again and again, and callers of the API the same few photographs.
"""

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
        detect=_remembered(networks.detect),
        glance=_remembered(networks.glance),
        find_upright=_remembered(networks.find_upright),
        refine=_remembered(networks.refine),
        trace=_remembered(networks.trace),
        extract=_remembered(networks.extract),
        extract_with_mirror=_remembered(networks.extract_with_mirror),
        describe=_remembered(networks.describe),
    )


class RememberedSession:
    """A network that works once on each input."""

    def __init__(self, session: Session) -> None:
        self.run = _remembered(session.run)


def _remembered(work: Callable[..., Any] | None) -> Any:
    assert work is not None
    known: dict[tuple[Any, ...], Any] = {}

    def once(image, *faces):
        looked_at = [image, *(part for face in faces for part in (face.box, face.landmarks))]
        key = (image.shape, *(hash(part.tobytes()) for part in looked_at))  # Python's own, the fastest by far
        if key not in known:
            known[key] = work(image, *faces)
        return _own(known[key])

    return once


def _own(found: Any) -> Any:
    """Return lists that the caller may change."""
    if isinstance(found, tuple):
        return tuple(_own(part) for part in found)
    return list(found) if isinstance(found, list) else found
