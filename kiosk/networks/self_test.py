"""Golden vectors: whether the networks give on this machine what they gave where they were measured.

Fixed faces go through the real networks on the real runtime and must come out as they did where the models were
measured. That finds a damaged driver, swapped colour channels, a runtime whose kernels are wrong on this processor:
faults that a digest cannot see.
"""

from __future__ import annotations

import base64

import numpy as np

from kiosk.errors import ModelFileError
from kiosk.networks.inference import Pack
from kiosk.recognition.match import compare
from kiosk.recognition.photo import decode
from kiosk.recognition.pipeline import Recogniser
from kiosk.types import Template

LEAST_COSINE = 0.99
"""Between a golden face's stored and fresh vector; rounding of other processors' kernels stays above 0.999."""


def self_test(pack: Pack, recogniser: Recogniser) -> str:
    """Run the golden faces through the real networks.

    Returns:
        What was seen, as a sentence.

    Raises:
        ModelFileError: a face was not found, came out differently, or two people came together.
    """
    faces = pack.golden.get("face", [])
    fresh: list[tuple[str, Template]] = []
    cosines = []
    for face in faces:
        try:
            image = decode((pack.directory / face["file"]).read_bytes())
        except OSError as error:
            raise ModelFileError(f"golden face {face['file']}: {error.strerror}") from error
        sample = recogniser.analyse(image)
        if sample.template is None:
            raise ModelFileError(f"no face was found in golden face {face['file']}")
        stored = Template(np.frombuffer(base64.b64decode(face["template"]), np.float32), recogniser.model)
        cosines.append(compare(sample.template, stored))
        if cosines[-1] < LEAST_COSINE:
            raise ModelFileError(
                f"golden face {face['file']} came out with cosine {cosines[-1]:.4f} to itself, want {LEAST_COSINE}"
            )
        fresh.append((face["person"], sample.template))
    mated = [compare(a, b) for i, (p, a) in enumerate(fresh) for q, b in fresh[:i] if p == q]
    strangers = [compare(a, b) for i, (p, a) in enumerate(fresh) for q, b in fresh[:i] if p != q]
    if not mated or not strangers:
        raise ModelFileError("the pack's golden faces hold no two of one person and no two people: nothing was shown")
    if max(strangers) >= min(mated) or recogniser.scale.score(max(strangers)) >= 50:  # noqa: PLR2004  1 in 100
        raise ModelFileError(
            f"two people came together: cosine {max(strangers):.3f}, one person's photographs {min(mated):.3f}"
        )
    return (
        f"{len(faces)} portraits of the pack came out as stored (cosine {min(cosines):.4f} or more), "
        f"one person's score {recogniser.scale.score(min(mated))}, "
        f"two people's {recogniser.scale.score(max(strangers))}"
    )
