"""The command evaluate match, and what it shares with evaluate search: acquiring with a progress bar."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from kiosk import __version__, assembly
from kiosk.errors import ConfigError
from kiosk.evaluation.acquire import Acquired, acquire
from kiosk.evaluation.match import Gates
from kiosk.evaluation.match import evaluate_match as evaluate
from kiosk.evaluation.photographs import Photograph, read_groups, read_people
from kiosk.evaluation.report import match_as_html, match_as_text
from kiosk.evaluation.scale import measured_scale, write_scale
from kiosk.networks.inference import MANIFEST_NAME, Pack, standard_pack
from kiosk.networks.own_pack import UNMEASURED
from kiosk.recognition.match import ScoreScale
from kiosk.rules.limits import Limits
from kiosk.settings.config import Config
from kiosk.settings.sections import EntranceSettings


def evaluate_match(chosen: argparse.Namespace) -> None:
    """Measure error rates of 1:1 comparison on photographs whose truth is known."""
    config = assembly.load_settings(chosen)
    pack = assembly.load_pack(config, unmeasured=UNMEASURED if chosen.write_scale else None)
    photographs = read_people(chosen.folder)
    groups = read_groups(chosen.groups, {one.person for one in photographs}) if chosen.groups else {}
    if chosen.write_scale and pack.directory.resolve() == standard_pack().resolve():
        raise ConfigError("the pack that travels with the kiosk keeps its scale; set [models] pack to a pack of yours")
    if chosen.html is not None:
        chosen.html.touch()  # a place that cannot be written is better known before the work than after it
    acquired, notes = acquire_all(chosen, config, pack, photographs)
    gates = Gates(EntranceSettings().verify_threshold, EntranceSettings().age_low)
    report = evaluate(acquired, pack.scale, gates, groups=groups)
    if chosen.write_scale:
        found = measured_scale(report.spread)
        pack = replace(pack, scale=ScoreScale(tuple(found.cosines), tuple(found.rarities)))
        report = evaluate(acquired, pack.scale, gates, groups=groups)  # told by the scale that is written
    if chosen.html is not None:
        chosen.html.write_text(match_as_html(report, pack.scale, pack.name), encoding="utf-8")
    if chosen.write_scale:
        write_scale(pack.directory / MANIFEST_NAME, found, report)
    print(json.dumps(report.as_dict(), indent=2) if chosen.json else match_as_text(report))
    if not chosen.json:
        for written in (chosen.html, pack.directory / MANIFEST_NAME if chosen.write_scale else None):
            if written is not None:
                print(f"--- written: {written} ---")
    remove_notes(chosen, notes)


def acquire_all(
    chosen: argparse.Namespace, config: Config, pack: Pack, photographs: Sequence[Photograph]
) -> tuple[list[Acquired], Path]:
    """Analyse all photographs; return what they gave, and where that is noted."""
    if chosen.workers < 0:
        raise ConfigError(f"want --workers of 0 or more, got {chosen.workers}")
    recogniser = assembly.open_recogniser(
        config, threads=1, pack=pack
    )  # photographs side by side, not one on many threads
    made_by = " ".join([__version__, *(model.sha256[:16] for model in pack.models)])
    name = hashlib.sha256(f"{chosen.folder.resolve()} {made_by}".encode()).hexdigest()[:16]
    notes = chosen.templates or assembly.state_of(chosen) / "evaluation" / f"{name}.jsonl"
    found = acquire(
        recogniser,
        photographs,
        Limits(),
        notes=notes,
        made_by=made_by,
        workers=chosen.workers or os.cpu_count() or 1,
    )
    bar = tqdm(found, total=len(photographs), unit="photo", file=sys.stderr, disable=chosen.json)
    return list(bar), notes


def remove_notes(chosen: argparse.Namespace, notes: Path) -> None:
    """Remove what was noted for going on after a stop, unless it is to be kept."""
    if chosen.templates is None:
        notes.unlink(missing_ok=True)
