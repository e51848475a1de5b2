"""Commands about models and settings: models, doctor, config."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from kiosk import assembly
from kiosk.cli import doctor as doctor_module
from kiosk.cli.door import asked_lines
from kiosk.cli.main import REFUSED
from kiosk.cli.start_checks import list_mistakes
from kiosk.cli.terminal import BAD, GOOD, confirmed, emphasised
from kiosk.errors import ModelFileError
from kiosk.evaluation.scale_plot import as_svg, as_text
from kiosk.networks.download import KNOWN_PACKS, download
from kiosk.networks.inference import Pack, checked, standard_pack
from kiosk.networks.own_pack import import_pack, read_description
from kiosk.rules.text import shown
from kiosk.settings import config as config_module

MEGABYTE = 1e6


def models_show(chosen: argparse.Namespace) -> None:
    """List the models, print and plot the score scale."""
    pack = assembly.load_pack(assembly.load_settings(chosen))
    if chosen.svg is not None:
        chosen.svg.write_text(as_svg(pack), encoding="utf-8")
    if chosen.json:
        print(json.dumps(_about(pack), indent=2))
        return
    print(f"Pack {pack.name} in {pack.directory}\n")
    for model in pack.models:
        size = model.path.stat().st_size / MEGABYTE if model.path.exists() else 0.0
        source = model.about.get("source", {})
        origin = f"{source.get('registry', '')} {source.get('package', '')} {source.get('version', '')}".strip()
        print(f"  {model.task:<11} {model.path.name:<22} {size:5.1f} MB  {model.licence:<11} {origin}")
        print(f"              {model.about.get('precision', '')}  sha256 {model.sha256[:16]}…")
        if training := model.about.get("training_data"):
            print(f"              trained on: {training}")
    print("\n" + as_text(pack))
    if chosen.svg is not None:
        print(f"Drawn into {chosen.svg}")


def models_check(chosen: argparse.Namespace) -> int:
    """Hold every model file against its digest."""
    pack = assembly.load_pack(assembly.load_settings(chosen))
    faults = []
    for model in pack.models:
        if model.is_optional and not model.path.exists():
            continue
        try:
            checked(model)
        except ModelFileError as error:
            faults.append(str(error))
    if chosen.json:
        print(json.dumps({"pack": pack.name, "models": len(pack.models), "faults": faults}, indent=2))
    else:
        print("\n".join(faults) or f"{len(pack.models)} model files of pack {pack.name} are unchanged")
    return REFUSED if faults else 0


def models_pull(chosen: argparse.Namespace) -> None:
    """Download another model pack."""
    if chosen.pack is None:
        for pack in KNOWN_PACKS.values():
            print(f"{pack.name:<14} {pack.sentence}")
        return
    if chosen.pack not in KNOWN_PACKS:
        raise ModelFileError(f"no pack {chosen.pack!r} is known; known: {', '.join(KNOWN_PACKS)}")
    wanted = KNOWN_PACKS[chosen.pack]
    for file in wanted.files:
        print(f"{file.name}: {file.licence}", file=sys.stderr)
    target = chosen.to or _packs(chosen) / wanted.name
    download(wanted, target, standard_pack(), accept_non_commercial=chosen.accept_non_commercial)
    print(f'In {target}; to use it, set [models] pack = "{target}" in kiosk.toml')
    print("Templates of two models never compare: people enrolled so far must be enrolled again with this one.")


def _packs(chosen: argparse.Namespace) -> Path:
    """Return the folder of packs in the state directory, which no group may write to: the key will lie there."""
    state = assembly.state_of(chosen)
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ModelFileError(f"cannot make {state}: {error.strerror}") from error
    return state / "models"


def models_import(chosen: argparse.Namespace) -> None:
    """Make a pack of the owner's own from a recogniser in ONNX and what they say of it."""
    told = read_description(chosen.manifest)
    target = chosen.to or _packs(chosen) / told["name"]
    seen = import_pack(chosen.network, told, target)
    print(f"{seen}\nIn {target}; to use it, set [models] pack = {json.dumps(str(target))} in kiosk.toml")
    if not told["commercial"]:
        print("Its licence forbids commercial use: it also needs [models] accept_non_commercial = true")
    print("Its scores mean nothing before they are measured: kiosk evaluate match DIR --write-scale")
    print("Templates of two models never compare: people enrolled so far must be enrolled again with this one.")


def doctor(chosen: argparse.Namespace) -> int:
    """Check everything and say what to mend."""
    if chosen.door:
        wanted = asked_lines(assembly.load_settings(chosen).door, confirmed)
    else:
        wanted = doctor_module.examine(chosen)
    findings = []
    for finding in wanted:
        findings.append(finding)
        if not chosen.json:
            mark = emphasised("ok  ", GOOD) if finding.is_good else emphasised("BAD ", BAD)
            print(f"{mark} {finding.what}: {finding.sentence}")
            if finding.cure:
                print(f"     mend: {finding.cure}")
    if chosen.json:
        print(json.dumps([finding.as_dict() for finding in findings], indent=2))
    return 0 if all(finding.is_good for finding in findings) else REFUSED


def config_check(chosen: argparse.Namespace) -> int:
    """Check the settings as a start does; list every mistake."""
    mistakes = list_mistakes(chosen)
    if chosen.json:
        told = [{"file": str(one.file or ""), "line": one.line, "sentence": one.sentence} for one in mistakes]
        print(json.dumps({"ok": not mistakes, **({"mistakes": told} if told else {})}))
    else:
        for one in mistakes:
            print(f"Error: {shown(str(one))}", file=sys.stderr)
        if not mistakes:
            print("The settings are right.")
    return 1 if mistakes else 0


def config_show(chosen: argparse.Namespace) -> None:
    """Print the settings in force."""
    print(config_module.show(assembly.load_settings(chosen)), end="")


def config_docs(chosen: argparse.Namespace) -> None:  # noqa: ARG001  every command takes its options
    """Print every setting with its default and meaning."""
    print(config_module.describe(), end="")


def _about(pack: Pack) -> dict[str, Any]:
    return {
        "pack": pack.name,
        "directory": str(pack.directory),
        "models": [
            {
                "task": model.task,
                "file": model.path.name,
                "sha256": model.sha256,
                "licence": model.licence,
                "training_data": model.about.get("training_data"),
            }
            for model in pack.models
        ],
        "scale": {
            "cosine": pack.scale.cosines,
            "minus_log10_fmr": pack.scale.rarities,
            **{name: value for name, value in pack.measured.items() if name not in ("cosine", "rarity")},
        },
    }
