"""The command evaluate search."""

from __future__ import annotations

import argparse
import json

from kiosk import assembly
from kiosk.cli.evaluation.evaluate_match import all_acquired
from kiosk.evaluation.photographs import read_people
from kiosk.evaluation.report import search_as_text
from kiosk.evaluation.search import evaluate_search as evaluate


def evaluate_search(chosen: argparse.Namespace) -> None:
    """Measure error rates of 1:N search, open set."""
    config = assembly.load_settings(chosen)
    pack = assembly.load_pack(config)
    with all_acquired(chosen, config, pack, read_people(chosen.folder)) as acquired:
        report = evaluate(acquired, pack.scale)
        print(json.dumps(report.as_dict(), indent=2) if chosen.json else search_as_text(report))
