"""What `kiosk evaluate` understands; each of its commands has a file of its own."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

Adder = Callable[..., argparse.ArgumentParser]


def add_commands(evaluate: Adder) -> None:
    """Add the commands to the group `kiosk evaluate`."""
    match = evaluate(
        "evaluate match",
        "evaluate_match",
        "measure false matches and false non-matches, 1:1",
        more="DIR has a folder for each person. Stopped and run again, it goes on where it was.",
    )
    match.add_argument("--groups", metavar="CSV", type=Path, help="columns person, group: rates within each group too")
    match.add_argument(
        "--html", metavar="FILE", type=Path, help="also write a page with plots and the pairs to look at"
    )
    match.add_argument(
        "--write-scale",
        action="store_true",
        help="put the curve that was measured into the model pack's manifest; for a pack of your own",
    )
    search = evaluate(
        "evaluate search",
        "evaluate_search",
        "measure how often a search lists a stranger and misses somebody enrolled, 1:N",
        more="Half of the people of DIR are enrolled, with one photograph each; all other photographs are searched.",
    )
    evaluate(
        "evaluate site",
        "evaluate_site",
        "tell what scores stand for among the people enrolled here, beside what the shipped scale states",
        more="Everyone enrolled is a stranger to everyone else, so a gallery of some 200 people tells its own rates.",
    )
    for command in (match, search):
        command.add_argument("folder", metavar="DIR", type=Path, help="a folder for each person")
        command.add_argument(
            "--workers", type=int, default=0, metavar="N", help="photographs at a time (default: cores)"
        )
        command.add_argument(
            "--templates",
            metavar="FILE",
            type=Path,
            help="keep what was acquired in this file (default: removed at the end)",
        )
    _add_pad(evaluate)


def _add_pad(evaluate: Adder) -> None:
    pad = evaluate(
        "evaluate pad",
        "pad",
        "judge recorded presentations and attacks; print APCER, BPCER and their bounds",
        more="DIR/bona_fide/PERSON/CLIP/ and DIR/SPECIES/INSTRUMENT/CLIP/ hold clips: frames NN.png, fps.txt and, "
        "where a challenge was asked, challenge.json, as kiosk record pad writes them. Each clip is replayed through "
        "the judge of the door. A clip without a challenge counts as not answered at levels active and strict.",
    )
    pad.add_argument("directory", metavar="DIR", type=Path)
    pad.add_argument(
        "--level", choices=("passive", "active", "strict"), help="judge at this level (default: [pad] level)"
    )
    pad.add_argument("--html", metavar="FILE", type=Path, help="also write a page")
    pad.add_argument(
        "--calibrate",
        action="store_true",
        help="set [pad] network_low from the bona fide clips of every other person, and judge on the other people, on "
        "other days where days are told",
    )
