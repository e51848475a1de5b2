"""The nouns, in the order in which a presentation meets them.

Conventions, everywhere in the core:
    colour   RGB, uint8, (H, W, 3)
    boxes    (4,) float32 xyxy, pixels of the image the face was found in
    points   (5, 2) float32 xy, pixels: right eye, left eye, nose tip, right and left mouth corner
             (right and left are the capture subject's; the right eye has the smaller x)
    scores   two kinds: `cosine` -1..1, and `score` 0..100 on the scale of match.ScoreScale
    time     seconds since 1970-01-01 UTC, handed in as `now`; the core never reads a clock.
             A frame's is the monotonic clock's, which all processes of a machine share
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

RgbImage: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]
SubjectId: TypeAlias = int
"""A person's session_number: handed out by the store, rising in the order of enrolment."""

UNIT_LENGTH_TOLERANCE = 1e-3  # float32 sums of some 300 squares stay well inside it


class Session(Protocol):
    """A loaded model. Declared here by those that need it; kept by networks/inference.py."""

    def run(self, tensor: NDArray[np.generic]) -> list[Floats]:
        """Return the outputs, in the order in which the manifest names them."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture from the camera."""

    image: RgbImage = field(repr=False)  # (H, W, 3) uint8, upright
    captured_at: float  # s, monotonic: by the camera's driver where it tells, else when the picture arrived
    number: int  # rises; has gaps where frames were dropped


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One detected face."""

    box: Floats  # (4,) xyxy px, inside the image
    landmarks: Floats  # (5, 2) px, see the module's head; may lie outside the image
    confidence: float  # the detector's, 0..1; says "a face", never whose

    @property
    def area(self) -> float:
        """Box area in square pixels."""
        x1, y1, x2, y2 = self.box
        return float((x2 - x1) * (y2 - y1))


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """The features of one face, comparable within one model only."""

    vector: Floats = field(repr=False)  # (D,) float32, unit length
    model: str  # digest of the manifest's recogniser; two models never compare
    quality: float | None = None  # 0..100, how well the model knew this face; None where only the vector was kept

    def __post_init__(self) -> None:
        """Refuse a vector that would make every later score wrong."""
        if self.vector.ndim != 1 or self.vector.dtype != np.float32:
            raise ValueError(f"want a (D,) float32 vector, got {self.vector.shape} {self.vector.dtype}")
        length = float(np.linalg.norm(self.vector))
        if not abs(length - 1.0) <= UNIT_LENGTH_TOLERANCE:  # a NaN fails this too
            raise ValueError(f"want a vector of unit length, got {length}")


@dataclass(frozen=True, slots=True)
class Entity:
    """What an answer says of one detected face; Didit's word."""

    bbox: tuple[int, int, int, int]  # xyxy px of the picture as it was found, inside it
    confidence: float  # the detector's, 0..1
    age: float  # years, estimated
    gender: str  # "male" or "female", estimated


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One picture, analysed: every face in it, and the template of the largest."""

    entities: tuple[Entity, ...]  # largest first; empty where there is no face
    best_angle: int  # degrees clockwise that made the face upright; 0 when not asked
    template: Template | None = field(repr=False)  # of the largest face; None where there is none


@dataclass(frozen=True, slots=True)
class Candidate:
    """One person in the answer of a search; a list is best first, one row per person."""

    subject: SubjectId
    cosine: float


class Origin(str, Enum):
    """Who took a decision."""

    DEVICE = "device"
    DEVICE_ASKED = "device_asked"  # the device; the cloud was asked, and may have heard
    CLOUD = "cloud"
    NOBODY = "nobody"  # the networks here failed: if anybody, the cloud decides
    CLOUD_ALONE = "cloud_alone"  # the cloud, as nobody here could

    @property
    def is_cloud(self) -> bool:
        """Whether the cloud took the decision."""
        return self in {Origin.CLOUD, Origin.CLOUD_ALONE}

    @property
    def details(self) -> dict[str, str | bool]:
        """What the log keeps of it among a decision's details.

        >>> [one.details for one in (Origin.DEVICE, Origin.DEVICE_ASKED, Origin.CLOUD_ALONE)]
        [{}, {'asked_cloud': True}, {'unjudged': True, 'decided_by': 'cloud'}]
        """
        unjudged = {"unjudged": True} if self in {Origin.NOBODY, Origin.CLOUD_ALONE} else {}
        asked = {"asked_cloud": True} if self is Origin.DEVICE_ASKED else {}
        decided = {"decided_by": "cloud"} if self.is_cloud else {}
        return {**unjudged, **asked, **decided}


class Status(str, Enum):
    """A decision, in Didit's words."""

    APPROVED = "Approved"
    IN_REVIEW = "In Review"
    DECLINED = "Declined"


class Risk(str, Enum):
    """Why a decision is what it is, in Didit's words; clients key on them."""

    NO_REFERENCE_IMAGE = "NO_REFERENCE_IMAGE"
    NO_FACE_DETECTED = "NO_FACE_DETECTED"
    LOW_FACE_MATCH_SIMILARITY = "LOW_FACE_MATCH_SIMILARITY"
    FACE_IN_BLOCKLIST = "FACE_IN_BLOCKLIST"
    MULTIPLE_FACES_DETECTED = "MULTIPLE_FACES_DETECTED"
    LOW_LIVENESS_SCORE = "LOW_LIVENESS_SCORE"
    LIVENESS_FACE_ATTACK = "LIVENESS_FACE_ATTACK"
    DUPLICATED_FACE = "DUPLICATED_FACE"
    AGE_BELOW_MINIMUM = "AGE_BELOW_MINIMUM"
    AGE_NOT_DETECTED = "AGE_NOT_DETECTED"
    AGE_BELOW_SCALE = "AGE_BELOW_SCALE"  # ours: no word of Didit's
    DOCUMENT_EXPIRED = "DOCUMENT_EXPIRED"
    NAME_NOT_DETECTED = "NAME_NOT_DETECTED"
    DATE_OF_BIRTH_NOT_DETECTED = "DATE_OF_BIRTH_NOT_DETECTED"
    DOCUMENT_NUMBER_NOT_DETECTED = "DOCUMENT_NUMBER_NOT_DETECTED"
    EXPIRATION_DATE_NOT_DETECTED = "EXPIRATION_DATE_NOT_DETECTED"
    MRZ_VALIDATION_FAILED = "MRZ_VALIDATION_FAILED"
    DATA_INCONSISTENT = "DATA_INCONSISTENT"
    PORTRAIT_IMAGE_NOT_DETECTED = "PORTRAIT_IMAGE_NOT_DETECTED"
    DOCUMENT_NOT_AUTHENTICATED = "DOCUMENT_NOT_AUTHENTICATED"  # ours


class LogType(str, Enum):
    """How much a warning weighs, in Didit's words."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class Warned:
    """One warning of a decision; didit/contract.py knows its sentences."""

    risk: Risk
    log_type: LogType
    additional: Mapping[str, str] | None = None  # what Didit's words do not say


class ClockState(str, Enum):
    """How far the time of a record can be trusted."""

    SYNCED = "synced"
    HOLDOVER = "holdover"  # was synced, runs on by itself
    UNTRUSTED = "untrusted"
