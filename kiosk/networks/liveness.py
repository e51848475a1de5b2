"""From pack and settings to what judges a presentation: the network, the limits, and whether both still work.

The golden pictures are portraits as a camera sees the person and as it sees a print: each must come out on its own
side of the operating point. That finds a damaged runtime, which a digest cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kiosk.errors import ModelFileError
from kiosk.networks.inference import DEFAULT_PROVIDERS, Note, Pack, open_session
from kiosk.recognition.challenges import ChallengeLimits
from kiosk.recognition.cues import CueLimits, SpoofNetwork
from kiosk.recognition.judgement import LivenessLimits
from kiosk.recognition.photo import decode
from kiosk.settings.sections import PadSettings
from kiosk.types import Face, RgbImage


def load_spoof_network(
    pack: Pack, *, threads: int = 1, providers: Sequence[str] = DEFAULT_PROVIDERS, note: Note | None = None
) -> SpoofNetwork:
    """Check and load the network that tells pictures of faces from faces.

    Raises:
        ModelFileError: the pack has none, or it is missing, changed, or cannot run here.
    """
    spec = pack.spec("liveness")
    session = open_session(spec, threads=threads, providers=providers, note=note)
    return SpoofNetwork(network=session, model=spec.sha256, **spec.options)


def liveness_limits(settings: PadSettings) -> LivenessLimits:
    """Return the section [pad] as the judgement takes it."""
    return LivenessLimits(
        challenges=ChallengeLimits(
            turn_deg=settings.turn_deg, mouth_open=settings.mouth_open, answer_s=settings.answer_s
        ),
        cues=CueLimits(network_low=settings.network_low, face_share_high=settings.face_share_high),
    )


def is_calibrated(settings: PadSettings, model: str) -> bool:
    """Whether the operating point was set on this site for the network of this digest."""
    return settings.calibrated_for == model


def check_golden_pictures(
    pack: Pack,
    network: SpoofNetwork,
    detect: Callable[[RgbImage], list[Face]],
    limits: CueLimits | None = None,
) -> str:
    """Judge the pack's golden pictures.

    Returns:
        What was seen, as a sentence.

    Raises:
        ModelFileError: a picture is missing, shows no face, or comes out on the wrong side; nothing may open.
    """
    low = (limits or CueLimits()).network_low
    shares: dict[str, list[float]] = {"bona_fide": [], "attack": []}
    for picture in pack.golden.get("presentation", []):
        try:
            image = decode((pack.directory / picture["file"]).read_bytes())
        except OSError as error:
            raise ModelFileError(f"golden picture {picture['file']}: {error.strerror}") from error
        faces = detect(image)
        if not faces:
            raise ModelFileError(f"no face was found in golden picture {picture['file']}")
        share = network.judge(image, faces[0])
        if (share >= low) != (picture["kind"] == "bona_fide"):
            raise ModelFileError(
                f"golden picture {picture['file']} ({picture['kind']}) came out with {share:.2f}, the limit is {low}"
            )
        shares[picture["kind"]].append(share)
    if not all(shares.values()):
        raise ModelFileError(
            "the pack's golden pictures hold no bona fide or no attack presentation: nothing was shown"
        )
    return (
        f"{len(shares['bona_fide'])} photographs of people came out at {min(shares['bona_fide']):.2f} or more, "
        f"{len(shares['attack'])} of attacks at {max(shares['attack']):.2f} or less"
    )
