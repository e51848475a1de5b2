"""Specimen documents before a simulated camera: material for tests, and for measuring the reader of their zones.

The people are the specimens of ICAO Doc 9303 and nobody else. The letters are those of ocr_b.png, drawn once from
Debian's fonts-ocr-b (Norbert Schwarz: "freely use, modify and/or distribute this file, without limitation"). A card is
drawn flat, then seen in perspective, with shadows, glare, blur and noise. It states no rate for real cameras.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kiosk.documents.alphabet import ALPHABET, DIGITS, FILLER, LETTERS
from kiosk.documents.mrz import LAYOUTS, MrzType, check_digit
from kiosk.types import Floats, RgbImage

GLYPHS = Path(__file__).with_name("ocr_b.png")
GLYPH_WH = (48, 64)
PITCH_MM, LINE_MM = 2.54, 4.23  # ten characters and six lines an inch
PX_PER_MM = 12.0
SIZE_MM = {
    MrzType.TD1: (85.6, 54.0),
    MrzType.TD2: (105.0, 74.0),
    MrzType.TD3: (125.0, 88.0),
    MrzType.MRV_A: (120.0, 80.0),
    MrzType.MRV_B: (105.0, 74.0),
}
DOCUMENT_TYPE = {
    MrzType.TD1: "I<",
    MrzType.TD2: "I<",
    MrzType.TD3: "P<",
    MrzType.MRV_A: "V<",
    MrzType.MRV_B: "V<",
}
SPECIMENS = (  # surname, given names: the examples of Doc 9303
    ("ERIKSSON", "ANNA<MARIA"),
    ("STEVENSON", "PETER<JOHN"),
    ("VAN<DER<MUELLEN", "MARTIN"),
    ("PAPANDROPOULOUS", "JONATHON<ALEC"),
    ("NILAVADHANANANDA", "CHAYAPA<DEJTHAMRONG"),
    ("BENNELONG<WOOLOOMOOLOO", "DINGO"),
)


@dataclass(frozen=True, slots=True)
class Specimen:
    """What a specimen's zone says."""

    kind: MrzType = MrzType.TD3
    surname: str = "ERIKSSON"
    given_names: str = "ANNA<MARIA"
    number: str = "L898902C3"
    birth: str = "740812"
    expiry: str = "350415"
    sex: str = "F"
    country: str = "UTO"
    optional: str = ""


def lines_of(specimen: Specimen) -> tuple[str, ...]:
    """Return the zone's lines with their check digits.

    >>> lines_of(Specimen(expiry="120415", optional="ZE184226B"))[1]
    'L898902C36UTO7408122F1204159ZE184226B<<<<<10'
    """
    layout = LAYOUTS[specimen.kind]
    rows = [[FILLER] * layout.length for _ in range(layout.lines)]

    def put(name: str, text: str) -> None:
        span = layout.fields[name]
        for at, sign in enumerate(text[: span.end - span.start]):
            rows[span.line][span.start + at] = sign

    put("document_type", DOCUMENT_TYPE[specimen.kind])
    put("country", specimen.country)
    put("nationality", specimen.country)
    put("names", f"{specimen.surname}<<{specimen.given_names}")
    put("document_number", specimen.number)
    put("birth_date", specimen.birth)
    put("expiry_date", specimen.expiry)
    put("sex", specimen.sex)
    put("optional_data", specimen.optional)
    for check in layout.checks:
        told = "".join(span.of(["".join(row) for row in rows]) for span in check.spans)
        rows[check.digit.line][check.digit.start] = check_digit(told)
    return tuple("".join(row) for row in rows)


def draw_specimen(rng: np.random.Generator, kind: MrzType) -> Specimen:
    """Return a specimen person with a number and dates by chance."""
    surname, given = SPECIMENS[int(rng.integers(len(SPECIMENS)))]
    number = "".join(rng.choice(list(LETTERS + DIGITS * 3), 9))
    birth = f"{rng.integers(30, 100):02d}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}"
    expiry = f"{rng.integers(27, 36):02d}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}"
    optional = "".join(rng.choice(list(LETTERS + DIGITS * 3), 7)) if rng.random() < 0.5 else ""  # noqa: PLR2004  a coin
    return Specimen(kind, surname, given, number, birth, expiry, str(rng.choice(list("MF<"))), optional=optional)


@lru_cache(maxsize=4)
def _glyphs(width: int, height: int) -> dict[str, NDArray[np.float32]]:
    """Return how much ink covers each px of a character, 0..1."""
    sheet = np.asarray(cv2.imread(str(GLYPHS), cv2.IMREAD_GRAYSCALE), np.uint8)
    found = {}
    for at, sign in enumerate(ALPHABET):
        glyph = sheet[:, at * GLYPH_WH[0] : (at + 1) * GLYPH_WH[0]]
        small = np.asarray(cv2.resize(glyph, (width, height), interpolation=cv2.INTER_AREA), np.float32)
        found[sign] = np.asarray((255 - small[..., np.newaxis]) / 255, np.float32)
    return found


def draw_card(
    lines: tuple[str, ...], kind: MrzType, rng: np.random.Generator, portrait: RgbImage | None = None
) -> RgbImage:
    """Draw a document flat, at 12 px a millimetre: pattern, some printed words, a portrait, and the zone."""
    width, height = (round(side * PX_PER_MM) for side in SIZE_MM[kind])
    y, x = np.mgrid[:height, :width].astype(np.float32)
    tint = rng.uniform(200, 245, 3)
    waves = 7 * np.sin(x / rng.uniform(18, 40) + 4 * np.sin(y / rng.uniform(60, 120))) + 5 * np.sin(y / 11 + x / 90)
    card = np.clip(tint[np.newaxis, np.newaxis] + waves[..., np.newaxis] * rng.uniform(0.6, 1.4, 3), 0, 255)
    card = np.ascontiguousarray(card.astype(np.uint8))
    for row, words in enumerate(
        ("UTOPIA", "SPECIMEN", "Surname / Nom", "Given names / Prenoms", "Date of birth", "Sex")
    ):
        corner = (round(width * 0.42), round(height * (0.12 + 0.085 * row)))
        cv2.putText(card, words, corner, cv2.FONT_HERSHEY_SIMPLEX, 1.1, (40, 40, 70), 2, cv2.LINE_AA)
    if portrait is not None:
        edge_h = round(height * 0.5)
        edge_w = round(edge_h * portrait.shape[1] / portrait.shape[0])
        small = cv2.resize(portrait, (edge_w, edge_h), interpolation=cv2.INTER_AREA)
        card[round(height * 0.12) :][:edge_h, round(width * 0.05) :][:, :edge_w] = small
    glyph_w, glyph_h = round(PITCH_MM * PX_PER_MM), round(PITCH_MM * PX_PER_MM * GLYPH_WH[1] / GLYPH_WH[0])
    left = (width - glyph_w * len(lines[0])) // 2
    bottom = height - round((4.5 if len(lines) == 2 else 3.5) * PX_PER_MM)  # noqa: PLR2004
    ink = rng.uniform(10, 60)
    for row, line in enumerate(lines):
        top = bottom - glyph_h - round((len(lines) - 1 - row) * LINE_MM * PX_PER_MM)
        for at, sign in enumerate(line):
            cover = _glyphs(glyph_w, glyph_h)[sign]
            part = card[top : top + glyph_h, left + at * glyph_w : left + (at + 1) * glyph_w]
            part[:] = (part * (1 - cover) + ink * cover).astype(np.uint8)
    return card


@dataclass(frozen=True, slots=True)
class Scene:
    """How a document is held before the camera."""

    size_wh: tuple[int, int] = (1280, 720)
    share: float = 0.8  # of the picture's width, or of what the height allows
    tilt_deg: float = 0.0
    perspective: float = 0.0  # shift of each corner, as a share of the card's width
    bend: float = 0.0  # sag of a page, as a share of the card's width
    blur_px: float = 0.5  # at 1280 px of width
    motion_px: float = 0.0
    noise: float = 3.0
    glare: float = 0.0  # strength of a bright spot
    shadow: float = 0.0  # darkening at the far side
    jpeg: int = 88
    quarter_turns: int = 0  # clockwise


def draw_scene(rng: np.random.Generator, size_wh: tuple[int, int]) -> Scene:
    """Return a scene by chance: what a visitor does who holds a document out, not at its best and not hopeless."""
    return Scene(
        size_wh,
        share=float(rng.uniform(0.72, 0.95)),
        tilt_deg=float(rng.normal(0, 4)),
        perspective=float(rng.uniform(0, 0.035)),
        bend=float(rng.uniform(0, 0.012)) if rng.random() < 0.3 else 0.0,  # noqa: PLR2004
        blur_px=float(rng.uniform(0.4, 1.1)),
        motion_px=float(rng.uniform(0, 2.5)) if rng.random() < 0.3 else 0.0,  # noqa: PLR2004
        noise=float(rng.uniform(2, 9)),
        glare=float(rng.uniform(0.3, 0.9)) if rng.random() < 0.3 else 0.0,  # noqa: PLR2004
        shadow=float(rng.uniform(0, 0.55)),
        jpeg=int(rng.integers(70, 95)),
        quarter_turns=int(rng.choice([0, 0, 0, 0, 0, 0, 0, 1, 2, 3])),
    )


def photograph(card: RgbImage, scene: Scene, rng: np.random.Generator) -> RgbImage:
    """Return what a camera sees of a flat document, (H, W, 3) uint8 RGB."""
    width, height = scene.size_wh
    tall, wide = card.shape[:2]
    if scene.bend:
        card = _bent(card, scene.bend)
    scale = min(scene.share * width / wide, scene.share * height / tall)
    turn = np.deg2rad(scene.tilt_deg)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    corners = np.array([[0, 0], [wide, 0], [wide, tall], [0, tall]], np.float64)
    there = (corners - [wide / 2, tall / 2]) @ matrix.T
    there += rng.uniform(-1, 1, (4, 2)) * scene.perspective * wide * scale
    there *= min(1.0, *(np.array([width, height]) * 0.49 / np.abs(there).max(axis=0)))
    there += np.array([width / 2, height / 2])
    shrink = max(1, int(1 / (2 * scale)))  # bilinear sampling reads 2 x 2 pixels
    small = cv2.resize(card, (wide // shrink, tall // shrink), interpolation=cv2.INTER_AREA)
    source = corners * [small.shape[1] / wide, small.shape[0] / tall]
    plane = cv2.getPerspectiveTransform(source.astype(np.float32), there.astype(np.float32))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    table = np.clip(70 + 20 * np.sin(x / 37 + y / 53)[..., np.newaxis] + rng.uniform(-20, 20, 3), 0, 255)
    seen = table.astype(np.uint8)
    cv2.warpPerspective(
        small, plane, (width, height), dst=seen, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_TRANSPARENT
    )
    light = seen.astype(np.float32)
    across = (np.cos(a := rng.uniform(0, 2 * np.pi)) * (x / width - 0.5) + np.sin(a) * (y / height - 0.5)) + 0.5
    light *= (1 - scene.shadow * np.clip(across, 0, 1))[..., np.newaxis]
    if scene.glare:
        at = rng.uniform(0.2, 0.8, 2) * [width, height]
        spot = np.exp(-(((x - at[0]) / (0.13 * width)) ** 2 + ((y - at[1]) / (0.13 * width)) ** 2))
        light += (255 - light) * (scene.glare * spot)[..., np.newaxis]
    light = cv2.GaussianBlur(light, (0, 0), max(0.3, scene.blur_px * width / 1280))
    if scene.motion_px >= 1:
        light = _moved(light, scene.motion_px * width / 1280, rng.uniform(0, np.pi))
    light += scene.noise * rng.standard_normal(light.shape, np.float32)
    picture = np.clip(light, 0, 255).astype(np.uint8)
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, scene.jpeg])
    return np.ascontiguousarray(
        np.rot90(np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8), -scene.quarter_turns)
    )


def _bent(card: RgbImage, bend: float) -> RgbImage:
    tall, wide = card.shape[:2]
    y, x = np.mgrid[:tall, :wide].astype(np.float32)
    sag = bend * wide * (1 - (2 * x / wide - 1) ** 2)
    return np.asarray(cv2.remap(card, x, y - sag.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _moved(light: Floats, length: float, direction: float) -> Floats:
    side = 2 * int(np.ceil(length)) + 1
    kernel = np.zeros((side, side), np.float32)
    for step in np.linspace(-length / 2, length / 2, 16):
        kernel[round(side // 2 + step * np.sin(direction)), round(side // 2 + step * np.cos(direction))] += 1
    return np.asarray(cv2.filter2D(light, -1, kernel / kernel.sum()))


def shot(
    seed: int, kind: MrzType, size_wh: tuple[int, int], portrait: RgbImage | None = None
) -> tuple[RgbImage, tuple[str, ...]]:
    """Return a photograph of a specimen by chance, and the lines of its zone."""
    rng = np.random.default_rng(seed)
    lines = lines_of(draw_specimen(rng, kind))
    card = draw_card(lines, kind, rng, portrait)
    return photograph(card, draw_scene(rng, size_wh), rng), lines
