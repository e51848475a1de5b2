"""The crops of faces that a reviewer is shown beside a decision In Review; only where `[review] keep_probe` says so."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from kiosk.device.device import Device
from kiosk.errors import ImageError
from kiosk.recognition.image import portrait
from kiosk.types import Sample, Status

PROBE, REFERENCE = "probe", "reference"
NAMES: Mapping[str, str] = MappingProxyType({"user_image": PROBE, "ref_image": REFERENCE})
"""What a call's photographs are called beside a decision."""


def crops_of_call(
    device: Device, status: str, samples: Mapping[str, Sample], photographs: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Return the faces of a call's photographs; none where nobody has to look, or the setting does not allow it."""
    if status != Status.IN_REVIEW.value or not device.config.review.keep_probe:
        return {}
    crops = {}
    for field, sample in samples.items():
        if not sample.entities or field not in photographs:
            continue
        try:
            image = device.decoder(photographs[field])
        except ImageError:  # it was decoded a moment ago; without it the reviewer sees the scores alone
            continue
        crops[NAMES[field]] = portrait(image, np.array(sample.entities[0].bbox, np.float32))
    return crops
