"""The command evaluate site: what scores stand for among the people enrolled here."""

from __future__ import annotations

import argparse
import json

from kiosk import assembly
from kiosk.device.site import as_dict, measure_here, scores_here
from kiosk.gallery.site_curve import LEAST_PEOPLE


def evaluate_site(chosen: argparse.Namespace) -> None:
    """Compare everyone enrolled with everyone else, and tell the rates beside the shipped scale's."""
    with assembly.open_device(chosen) as device:
        site, scale = measure_here(device), device.scale
    if site is None:
        sentence = f"Fewer than {LEAST_PEOPLE} people are enrolled: they cannot tell yet how alike strangers are here."
        print(json.dumps({"people": None, "sentence": sentence}) if chosen.json else sentence)
        return
    if chosen.json:
        print(json.dumps(as_dict(scale, site), indent=2))
        return
    print(
        f"{site.people:,} people, {site.pairs:,} pairs of strangers; {site.taken_out} pairs too alike were taken out.\n"
    )
    print(f"{'score':>5}{'stated':>16}{'here':>16}{'95 % bound':>16}   holds here from")
    for row in scores_here(scale, site):
        here = f"1 in {1 / row.here:,.0f}" if row.here else "none seen"
        print(
            f"{row.score:>5.0f}{f'1 in {1 / row.stated:,.0f}':>16}{here:>16}{f'1 in {1 / row.bound:,.0f}':>16}"
            f"   {row.holds_from:.1f}"
        )
