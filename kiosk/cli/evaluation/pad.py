"""Commands about presentation attacks: liveness, evaluate pad, record pad."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from tqdm import tqdm

from kiosk import assembly
from kiosk.capture.process import Camera
from kiosk.errors import CameraLostError, ConfigError, ImageError
from kiosk.evaluation.pad_calibrate import operating_point, split_clips
from kiosk.evaluation.pad_clips import BONA_FIDE, Clip, find_clips
from kiosk.evaluation.pad_record import clip_folder, record_clip
from kiosk.evaluation.pad_replay import Judge, Played, play, summarise
from kiosk.evaluation.pad_report import as_html, as_text
from kiosk.networks.liveness import liveness_limits
from kiosk.recognition.challenges import Challenge, Kind, Side
from kiosk.recognition.judgement import Verdict
from kiosk.recognition.liveness_photo import judge_photograph
from kiosk.recognition.pad_levels import Level
from kiosk.recognition.photo import decode
from kiosk.rules.text import counted
from kiosk.settings.config import Config
from kiosk.types import Frame

CHALLENGES = {
    "turn-left": Challenge(Kind.TURN, Side.LEFT),
    "turn-right": Challenge(Kind.TURN, Side.RIGHT),
    "mouth": Challenge(Kind.MOUTH),
    "none": None,
}
FIRST_FRAME_S = 15.0
SENTENCES = {
    Verdict.BONA_FIDE: "the network takes it for a person",
    Verdict.ATTACK: "the network takes it for a picture of a person",
    Verdict.UNDETERMINED: "it cannot be judged",
}
WEAKNESS = "One photograph says little: a good copy passes. The door asks for a movement at levels active and strict."


def liveness(chosen: argparse.Namespace) -> None:
    """Judge one photograph by the passive cue."""
    content = assembly.read_file(chosen.image)
    config = assembly.load_settings(chosen)
    judge = _judge(chosen, config)
    recogniser, network = judge.recogniser, judge.network
    try:
        image = decode(content)
    except ImageError as error:
        raise ImageError(f"{chosen.image}: {error}") from None
    faces, angle = recogniser.find_upright(image) if chosen.rotate else (recogniser.detect(image), 0)
    answer: dict[str, object] = {"method": "PASSIVE", "faces": len(faces), "model": network.model}
    if not faces:
        answer |= {"status": "Declined", "score": 0.0, "verdict": Verdict.UNDETERMINED.value, "reason": "no_face"}
        sentence = "there is no face in it"
    else:
        found = judge_photograph(recogniser.turn(image, angle), faces[0], network, judge.limits.cues)
        status = "Approved" if found.verdict is Verdict.BONA_FIDE else "Declined"
        answer |= {"status": status, "score": found.score, "verdict": found.verdict.value}
        answer |= {"reason": found.reason.value if found.reason else None}
        sentence = SENTENCES[found.verdict]
        if found.verdict is Verdict.UNDETERMINED:
            sentence += ": it is cut too tightly around the face"
    print(json.dumps({"liveness": answer}, indent=2))
    if not chosen.json:
        print(f"\n--- Result: {answer['status']} | Score: {answer['score']}/100 | {sentence} ---\n{WEAKNESS}")


def evaluate_pad(chosen: argparse.Namespace) -> None:
    """Judge a folder of recorded presentations."""
    clips = find_clips(chosen.directory)
    config = assembly.load_settings(chosen)
    level = Level(chosen.level or config.pad.chosen_level)
    if level is Level.OFF:
        raise ConfigError("level off judges nothing; give --level passive, active or strict")
    if chosen.html is not None:
        with chosen.html.open("ab"):  # a place that cannot be written is better known before the work than after it
            pass
    judge = _judge(chosen, config)
    calibration: dict[str, Any] | None = None
    if chosen.calibrate:
        split = split_clips(clips)
        low = operating_point(_play_all(split.setting, judge, Level.PASSIVE, chosen, "setting"))
        judge = replace(judge, limits=replace(judge.limits, cues=replace(judge.limits.cues, network_low=low)))
        clips = list(split.judging)
        calibration = {
            "network_low": low,
            "calibrated_for": judge.network.model,
            "set_with": sorted({clip.source for clip in split.setting}),
            "judged_on": sorted({clip.source for clip in clips if not clip.is_attack}),
        }
    report = summarise(_play_all(clips, judge, level, chosen, "judging"), level, judge)
    if calibration is not None:
        report["calibration"] = calibration
    if chosen.html is not None:
        chosen.html.write_text(as_html(report), encoding="utf-8")
    if chosen.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
        return
    print(as_text(report))
    if calibration is not None:
        print(
            f"\nSet with {counted(len(split.setting), 'clip', 'clips')} of "
            f"{counted(len(calibration['set_with']), 'person', 'people')}, judged on others. In "
            f"kiosk.toml:\n[pad]\nnetwork_low = {judge.limits.cues.network_low}\n"
            f'calibrated_for = "{judge.network.model}"'
        )


def _judge(chosen: argparse.Namespace, config: Config) -> Judge:
    loaded = assembly.loaded_for(chosen)
    return Judge(
        recogniser=assembly.open_recogniser(config, load=loaded.recogniser),
        network=loaded.spoof_network(assembly.load_pack(config)),
        limits=liveness_limits(config.pad),
        same_person_score=config.presentation.same_person_score,
        verify_score=config.entrance.verify_threshold,
    )


def _play_all(
    clips: list[Clip] | tuple[Clip, ...], judge: Judge, level: Level, chosen: argparse.Namespace, what: str
) -> list[Played]:
    with tqdm(clips, unit="clip", desc=what, file=sys.stderr, disable=chosen.json) as bar:
        return [play(clip, judge, level) for clip in bar]


def record_pad(chosen: argparse.Namespace) -> None:
    """Record labelled presentations through the camera."""
    is_bona_fide = chosen.species == BONA_FIDE
    source = chosen.person if is_bona_fide else chosen.instrument
    if not source:
        wanted = "--person" if is_bona_fide else "--instrument"
        raise ConfigError(f"--species {chosen.species} needs {wanted} NAME: rates are told apart by it")
    config = assembly.load_settings(chosen)
    challenge = CHALLENGES[chosen.challenge]
    about = {
        "camera": str(config.camera.source).split("?")[0] if "@" not in config.camera.source else "network camera",
        "light": chosen.light or "",
        "day": datetime.now(timezone.utc).date().isoformat(),
    }
    about = {name: value for name, value in about.items() if value}
    with Camera(config.camera) as camera:
        for number in range(chosen.clips):
            if number and sys.stdin.isatty():
                input(f"Clip {number + 1} of {chosen.clips}: press Enter when ready. ")
            folder = clip_folder(chosen.to, chosen.species, source)
            written = record_clip(_frames(camera), folder, chosen.seconds, challenge, about, print)
            print(f"{folder}: {written} frames")


def _frames(camera: Camera) -> Iterator[Frame]:
    """Give the camera's frames until it is lost."""
    newest, waits_until = 0, time.monotonic() + FIRST_FRAME_S
    while True:
        frame = camera.latest(newest, timeout_s=0.5)
        if frame is not None:
            newest, waits_until = frame.number, time.monotonic() + 2.0
            yield frame
        elif camera.is_over:
            return
        elif time.monotonic() > waits_until:
            raise CameraLostError(camera.report.sentence)
