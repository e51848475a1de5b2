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
        more="A false match is a pair of strangers that matches; a false non-match is a pair of one person that does "
        "not. A run that was stopped continues when it is run again.",
    )
    match.add_argument(
        "--groups",
        metavar="CSV",
        type=Path,
        help="file with the columns person and group: print each group's rates too",
    )
    match.add_argument(
        "--html", metavar="FILE", type=Path, help="also write a page with plots and the pairs that came out wrong"
    )
    match.add_argument(
        "--write-scale",
        action="store_true",
        help="write the measured score scale into the manifest of your own model pack",
    )
    search = evaluate(
        "evaluate search",
        "evaluate_search",
        "measure how often a search lists a stranger, and how often it misses an enrolled person, 1:N",
        more="Half of the people of DIR are enrolled, with one photograph each; all other photographs are searched.",
    )
    evaluate(
        "evaluate site",
        "evaluate_site",
        "print the share of strangers who reach each score among the people enrolled here, beside the shipped scale's",
        more="Everyone enrolled is a stranger to everyone else, so from 200 people on their own rates can be measured.",
    )
    for command in (match, search):
        command.add_argument("folder", metavar="DIR", type=Path, help="a folder for each person")
        command.add_argument(
            "--workers",
            type=int,
            default=0,
            metavar="N",
            help="photographs processed in parallel (default: one per core)",
        )
        command.add_argument(
            "--templates",
            metavar="FILE",
            type=Path,
            help="keep the templates in this file, so that the next run need not make them (default: deleted at the "
            "end)",
        )
    _add_pad(evaluate)


def _add_pad(evaluate: Adder) -> None:
    pad = evaluate(
        "evaluate pad",
        "pad",
        "replay recordings; print how many attacks were accepted (APCER) and how many people refused (BPCER)",
        more="Each rate comes with its 95 % bound. DIR/bona_fide/PERSON/CLIP/ and DIR/SPECIES/INSTRUMENT/CLIP/ hold "
        "the recordings: frames NN.png, fps.txt and, where a movement was asked for, challenge.json, as `kiosk record "
        "pad` writes them. They are judged as at the door. At levels active and strict a recording without a "
        "challenge counts as one whose challenge was not answered.",
    )
    pad.add_argument("directory", metavar="DIR", type=Path, help="folder of recordings")
    pad.add_argument(
        "--level", choices=("passive", "active", "strict"), help="judge at this level (default: [pad] level)"
    )
    pad.add_argument("--html", metavar="FILE", type=Path, help="also write a page")
    pad.add_argument(
        "--calibrate",
        action="store_true",
        help="choose [pad] network_low for this site by half of the people recorded, print the rates of the other half "
        "(those of other days where there are some), and say what to write into kiosk.toml",
    )
