"""The command evaluate match, and what it shares with evaluate search: acquiring with a progress bar."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from kiosk.rules.text import shown
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
        with chosen.html.open("ab"):  # a place that cannot be written is better known before the work than after it
            pass
    gates = Gates(EntranceSettings().verify_threshold, EntranceSettings().age_low)
    with all_acquired(chosen, config, pack, photographs) as acquired:
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
                    print(f"--- written: {shown(str(written))} ---")


@contextmanager
def all_acquired(
    chosen: argparse.Namespace, config: Config, pack: Pack, photographs: Sequence[Photograph]
) -> Iterator[list[Acquired]]:
    """Analyse all photographs and lend what they gave; what was noted of them is removed behind the answer.

    It stays only where a further run would go on with it: stopped, or the answer could not be written. Templates are
    personal data, and where nothing can be told from these photographs nobody would come back for them.
    """
    if chosen.workers < 0:
        raise ConfigError(f"want --workers of 0 or more, got {chosen.workers}")
    made_by = " ".join([__version__, *(model.sha256[:16] for model in pack.models)])
    notes = chosen.templates or _notes(chosen, made_by)
    acquired = _acquire_all(chosen, config, pack, photographs, notes=notes, made_by=made_by)
    try:
        yield acquired
    except (ConfigError, BrokenPipeError):
        _remove(chosen, notes)
        raise
    _remove(chosen, notes)


def _notes(chosen: argparse.Namespace, made_by: str) -> Path:
    """Return the file of notes in the state directory, which no group may write to: the key will lie there."""
    state = assembly.state_of(chosen)
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make {state}: {error.strerror}") from error
    name = hashlib.sha256(f"{chosen.folder.resolve()} {made_by}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return state / "evaluation" / f"{name}.jsonl"


def _acquire_all(
    chosen: argparse.Namespace,
    config: Config,
    pack: Pack,
    photographs: Sequence[Photograph],
    *,
    notes: Path,
    made_by: str,
) -> list[Acquired]:
    # photographs side by side, not one on many threads
    recogniser = assembly.open_recogniser(config, threads=1, pack=pack)
    found = acquire(
        recogniser,
        photographs,
        Limits(),
        notes=notes,
        made_by=made_by,
        workers=chosen.workers or os.cpu_count() or 1,
    )
    bar = tqdm(found, total=len(photographs), unit="photo", file=sys.stderr, disable=chosen.json)
    return list(bar)


def _remove(chosen: argparse.Namespace, notes: Path) -> None:
    if chosen.templates is None:
        notes.unlink(missing_ok=True)
