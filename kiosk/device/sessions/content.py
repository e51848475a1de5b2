"""What a session keeps while it is open, as the JSON that the store seals.

No photograph: of a selfie and of a portrait the template stays, which the steps after it compare.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from kiosk.rules.workflow import OF_SELFIE, Picture, SessionStatus, Step
from kiosk.store.open_sessions.sessions import OpenSession
from kiosk.types import Entity, Sample, Template


@dataclass(frozen=True, slots=True)
class Asked:
    """What whoever made a session asked for."""

    workflow_id: str
    steps: tuple[Step, ...]
    vendor_data: str | None = field(default=None, repr=False)
    metadata: Any = field(default=None, repr=False)
    callback: str | None = field(default=None, repr=False)
    callback_method: str | None = None
    language: str | None = None
    expected_details: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Content:
    """An open session."""

    asked: Asked
    created_at: float  # s UTC
    actor: str
    status: SessionStatus = SessionStatus.NOT_STARTED
    results: Mapping[Step, Mapping[str, Any]] = field(default_factory=dict, repr=False)  # blocks of the answer
    attempts: Mapping[Picture, int] = field(default_factory=dict)  # in vain or not
    reason: str | None = None  # the risk that asks for another photograph
    face: Sample | None = field(default=None, repr=False)
    portrait: Sample | None = field(default=None, repr=False)

    def with_results(self, **by_name: Mapping[str, Any]) -> Content:
        """Return it with more results, by the steps' names."""
        return replace(self, results={**self.results, **{Step(name): block for name, block in by_name.items()}})

    @property
    def next_picture(self) -> Picture | None:
        """What the person photographs next; None when everything is there."""
        for step in self.asked.steps:
            if step not in self.results and step in OF_SELFIE:
                return Picture.SELFIE
            if step not in self.results and step is Step.ID_VERIFICATION:
                return Picture.DOCUMENT
        return None

    def statuses(self) -> dict[Step, str]:
        """Return the statuses of the steps that were taken."""
        return {step: str(block.get("status")) for step, block in self.results.items()}


def packed(content: Content) -> dict[str, Any]:
    """Return the JSON of an open session; `vendor_data` stands at its top, where the store looks for it."""
    asked = {**asdict(content.asked), "steps": [step.value for step in content.asked.steps]}
    return {
        "vendor_data": content.asked.vendor_data,
        "asked": asked,
        "created_at": content.created_at,
        "actor": content.actor,
        "status": content.status.value,
        "results": {step.value: block for step, block in content.results.items()},
        "attempts": {picture.value: count for picture, count in content.attempts.items()},
        "reason": content.reason,
        "face": _packed_sample(content.face),
        "portrait": _packed_sample(content.portrait),
    }


def unpacked(session: OpenSession) -> Content:
    """Return what `packed` made into JSON."""
    told = session.content
    asked = {**told["asked"], "steps": tuple(Step(step) for step in told["asked"]["steps"])}
    return Content(
        asked=Asked(**asked),
        created_at=told["created_at"],
        actor=told["actor"],
        status=SessionStatus(told["status"]),
        results={Step(step): block for step, block in told["results"].items()},
        attempts={Picture(picture): count for picture, count in told["attempts"].items()},
        reason=told["reason"],
        face=_unpacked_sample(told["face"]),
        portrait=_unpacked_sample(told["portrait"]),
    )


def over(content: Content, status: SessionStatus) -> Content:
    """Return what is left of a session that ended: what its page still shows, and no finding."""
    asked = replace(content.asked, metadata=None, vendor_data=None, expected_details={})
    return replace(content, asked=asked, status=status, results={}, attempts={}, reason=None, face=None, portrait=None)


def _packed_sample(sample: Sample | None) -> dict[str, Any] | None:
    if sample is None:
        return None
    template = sample.template
    return {
        "entities": [[list(one.bbox), one.confidence, one.age, one.gender] for one in sample.entities],
        "best_angle": sample.best_angle,
        "vector": None if template is None else base64.b64encode(template.vector.astype("<f4").tobytes()).decode(),
        "model": None if template is None else template.model,
        "quality": None if template is None else template.quality,
    }


def _unpacked_sample(told: Mapping[str, Any] | None) -> Sample | None:
    if told is None:
        return None
    entities = tuple(Entity((x1, y1, x2, y2), *rest) for (x1, y1, x2, y2), *rest in told["entities"])
    template = None
    if told["vector"] is not None:
        vector = np.frombuffer(base64.b64decode(told["vector"]), "<f4").astype(np.float32)
        template = Template(vector, told["model"], told["quality"])
    return Sample(entities, told["best_angle"], template)
