"""What `kiosk liveness`, `record`, `evaluate` and `accept` understand; each has a file of its own."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from kiosk.cli.values import read_count, read_seconds, read_skip

Adder = Callable[..., argparse.ArgumentParser]
Group = Callable[[Adder, str, str], Adder]


def add_measurements(add: Adder, group: Group) -> None:
    """Add the commands; `group` makes one that has others below it."""
    _add_liveness(add, group)
    evaluate = group(add, "evaluate", "measure error rates on photographs and recordings of known people")
    _add_evaluations(evaluate)
    _add_pad(evaluate)
    _add_accept(add)


def _add_evaluations(evaluate: Adder) -> None:
    match = evaluate(
        "evaluate match",
        "evaluation.evaluate_match",
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
        "evaluation.evaluate_search",
        "measure how often a search lists a stranger, and how often it misses an enrolled person, 1:N",
        more="Half of the people of DIR are enrolled, with one photograph each; all other photographs are searched.",
    )
    evaluate(
        "evaluate site",
        "evaluation.evaluate_site",
        "print the share of strangers who reach each score among the people enrolled here, beside the shipped scale's",
        more="Everyone enrolled is a stranger to everyone else, so from 200 people on their own rates can be measured.",
    )
    for command in (match, search):
        command.add_argument("folder", metavar="DIR", type=Path, help="a folder for each person")
        command.add_argument(
            "--workers",
            type=read_skip,
            default=0,
            metavar="N",
            help="photographs processed in parallel (default: one per core)",
        )
        command.add_argument(
            "--templates",
            metavar="FILE",
            type=Path,
            help="keep the templates (numbers that stand for each face) in this file, so that the next run need not "
            "make them (default: deleted at the end)",
        )


def _add_pad(evaluate: Adder) -> None:
    pad = evaluate(
        "evaluate pad",
        "evaluation.pad",
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
    pad.add_argument("--html", metavar="FILE", type=Path, help="also write the figures as a page")
    pad.add_argument(
        "--calibrate",
        action="store_true",
        help="choose [pad] network_low for this site by half of the people recorded, print the rates of the other half "
        "(those of other days where there are some), and say what to write into kiosk.toml",
    )


def _add_liveness(add: Adder, group: Group) -> None:
    liveness = add(
        "liveness",
        "evaluation.pad",
        "say whether a photograph shows a person or a picture of one",
        more="One network judges the picture alone, and a good copy passes; the picture must also show what is around "
        "the face. Exit 0 for every answer, Declined included.",
    )
    liveness.add_argument("image", metavar="IMAGE", type=Path, help="the photograph")
    liveness.add_argument("--rotate", action="store_true", help="try quarter turns until the face is upright")
    record = group(add, "record", "record people and attacks in front of the camera, for `kiosk evaluate pad`")
    clip = record(
        "record pad",
        "evaluation.pad",
        "record a person or an attack (a photograph, a screen, a mask) in front of the camera",
        more="The recordings serve to measure presentation-attack detection (pad). Stop the kiosk first: a camera "
        "serves one program. After one second this terminal says what the person is to do. Recordings are personal "
        "data: tell whomever you record, and delete them once they are evaluated.",
        json=False,
    )
    clip.add_argument(
        "--species",
        required=True,
        help="what is recorded: bona_fide for a real person, else the kind of attack, such as print or phone",
    )
    clip.add_argument("--person", metavar="NAME", help="who is recorded, with --species bona_fide")
    clip.add_argument("--instrument", metavar="NAME", help="which print or device is recorded, with an attack")
    clip.add_argument("--to", metavar="DIR", type=Path, required=True, help="folder for the recordings")
    clip.add_argument(
        "--challenge",
        choices=("turn-left", "turn-right", "mouth", "none"),
        default="none",
        help="movement that the person is asked for (default none); left and right are the person's own",
    )
    clip.add_argument(
        "--seconds", type=read_seconds, default=6.0, metavar="S", help="length of a clip, 2 to 60 seconds (default 6)"
    )
    clip.add_argument(
        "--clips", type=read_count, default=1, metavar="N", help="how many, one after the other (default 1)"
    )
    clip.add_argument(
        "--light", metavar="TEXT", help="what the light was, such as 'office, evening'; kept beside the clip"
    )


def _add_accept(add: Adder) -> None:
    accept = add(
        "accept",
        "evaluation.accept",
        "lead an installer through the acceptance test of this kiosk at its door, and write the signed report",
        more="Stopped at any point, it goes on where it was; the operator's page leads through the same steps.",
    )
    accept.add_argument("--status", action="store_true", help="say how far it is")
    accept.add_argument("--report", metavar="FILE", type=Path, help="write the report (HTML) and its signature beside")
    accept.add_argument("--language", choices=("en", "de"), default="en", help="of the report (default: en)")
    accept.add_argument("--verify", metavar="FILE", type=Path, help="check a report against its signature")
    accept.add_argument("--restart", action="store_true", help="start over; what was noted is kept under another name")
    accept.add_argument(
        "--goal",
        action="append",
        default=[],
        metavar="STEP=PERCENT",
        help="rate to show: people (default 5), strangers (5) or attacks (15); may be repeated",
    )
    accept.add_argument(
        "--step",
        choices=("camera", "light", "people", "strangers", "timing", "attacks", "watchdog", "power"),
        help="do this step now, out of turn",
    )
