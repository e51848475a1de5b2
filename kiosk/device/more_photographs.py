"""One more photograph of somebody enrolled: a stranger's would let the stranger in, so it has to be theirs."""

from __future__ import annotations

import numpy as np

from kiosk.device.device import Device
from kiosk.device.enrol import SAME_PERSON_SCORE, EnrolmentResult, assess
from kiosk.recognition.match import compare
from kiosk.store.subjects import Subject
from kiosk.types import Template


def add_photograph(
    device: Device,
    subject: Subject,
    photograph: bytes,
    *,
    rotate: bool = False,
    take_largest: bool = False,
    actor: str = "",
) -> EnrolmentResult | Subject:
    """Add a photograph to a person; return them as they are then, or why nothing was added.

    Args:
        device: whose networks and store.
        subject: the person.
        photograph: of this person alone.
        rotate: try quarter turns.
        take_largest: of several faces take the largest.
        actor: who asks, for the log.

    Raises:
        ImageError: it is no picture we take.
    """
    outcome = assess(device, photograph, rotate=rotate, take_largest=take_largest, with_heic=True).outcome
    if isinstance(outcome, EnrolmentResult):
        return outcome
    if (objection := _not_theirs(device, subject, outcome.template)) is not None:
        return objection
    device.store.people.add_reference(
        subject.session_number, outcome.template, quality=outcome.quality, image=outcome.photograph, actor=actor
    )
    return device.store.people.subject(subject.session_number) or subject


def _not_theirs(device: Device, subject: Subject, template: Template) -> EnrolmentResult | None:
    held = device.gallery.references_of(subject.session_number)
    vectors = device.store.references.vectors(list(held), template.model) if held else np.zeros((0, 0), np.float32)
    scores = [
        device.scale.similarity_percentage(compare(template, Template(vector, template.model)))
        for vector in vectors
        if not np.isnan(vector[0])  # a row of NaN is gone
    ]
    if scores and max(scores) < SAME_PERSON_SCORE:
        return EnrolmentResult("mixed", f"this seems to be somebody else (similarity {max(scores)})")
    for one in device.find(template, whatever_dates=True):
        if one.is_blocklisted and one.subject != subject.session_number:
            return EnrolmentResult("blocklisted", f"the face is on the blocklist (number {one.subject})", of=one)
    return None
