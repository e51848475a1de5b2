"""Is everything in order? Models by golden vectors, runtime, settings, store, disk, clock; each with its cure."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import time
from collections.abc import Iterator

import numpy as np

from kiosk import assembly
from kiosk.capture.sandbox import available_walls
from kiosk.cli.door import machine_model, wiring_findings
from kiosk.cli.finding import Finding
from kiosk.cli.neighbours.findings import neighbour_findings
from kiosk.decoding.codes import can_read_codes
from kiosk.device.site import measure_stored
from kiosk.device.thresholds import gallery_figures, listing_threshold
from kiosk.errors import KioskError
from kiosk.health.clock import EARLIEST_S
from kiosk.networks.documents import TASK
from kiosk.networks.inference import Pack, checked
from kiosk.networks.liveness import check_golden_pictures, is_calibrated, load_spoof_network
from kiosk.networks.self_test import self_test
from kiosk.recognition.pipeline import Recogniser
from kiosk.rules.text import counted
from kiosk.settings.config import Config
from kiosk.store.directory import DATABASE_NAME
from kiosk.store.durable import is_read_only, read_only
from kiosk.store.store import HEAD_NAME, Store
from kiosk.store.upkeep.check import inspect
from kiosk.types import ClockState

UNSYNCHRONISED = {
    "open": "hours and dates keep everybody out whom they concern ([degraded] clock_untrusted)",
    "log_only": "the door opens for nobody until it is (timedatectl set-ntp true)",
    "closed": "nobody is judged until it is (timedatectl set-ntp true)",
}
"""What a clock that is not synchronised leaves, by [degraded] clock_untrusted."""
ROUNDED = 0.99  # figures are shown to three digits
LEAST_FREE_BYTES = 200e6


def examine(chosen: argparse.Namespace) -> Iterator[Finding]:
    """Look at everything; a fault in one place hides nothing in another."""
    try:
        config = assembly.load_settings(chosen)
    except KioskError as error:
        yield Finding("settings", False, str(error), "kiosk config docs prints every setting")
        config = Config()
    else:
        yield Finding("settings", True, "right")
    yield from _models(config)
    yield from _store(chosen, config)
    yield from neighbour_findings(chosen, config)
    yield _disk(chosen)
    yield _clock(config)
    yield _walls()
    yield from wiring_findings(config.door, machine_model())


def _models(config: Config) -> Iterator[Finding]:
    try:
        pack = assembly.load_pack(config)
        started = time.perf_counter()
        recogniser = assembly.open_recogniser(config)
        took_ms = (time.perf_counter() - started) * 1000
    except KioskError as error:
        yield Finding(
            "models",
            False,
            str(error),
            "put the model files back: install the kiosk again, or `git checkout models` in a checkout",
        )
        return
    yield Finding("models", True, f"pack {pack.name}, {len(pack.models)} files unchanged, loaded in {took_ms:.0f} ms")
    yield Finding("runtime", True, runtime_words())
    if (years := pack.measured.get("holds_from_age")) is not None:
        yield _age(config, float(years))
    try:
        yield Finding("golden faces", True, self_test(pack, recogniser))
    except KioskError as error:
        yield Finding("golden faces", False, str(error), "install onnxruntime again, in another version if need be")
    yield _documents(pack)
    if config.pad.chosen_level != "off":
        yield _presentations(pack, config, recogniser)


def _documents(pack: Pack) -> Finding:
    """Say whether documents can be read; a kiosk that reads none does without the network."""
    spec = next((model for model in pack.models if model.task == TASK), None)
    if spec is None or not spec.path.exists():
        missing = f"pack {pack.name} has no network that reads them" if spec is None else f"{spec.path} is not there"
        return Finding("documents", True, f"not read: {missing}. Calls are answered 501, and details are typed in")
    try:
        checked(spec)
    except KioskError as error:
        return Finding("documents", False, str(error), "restore the file, or remove it if no documents are read here")
    size = f"{spec.path.name} unchanged, loaded with the first document"
    codes = "barcodes too" if can_read_codes() else "no barcodes: the extra `documents` is not installed"
    return Finding("documents", True, f"{size}; {codes}")


def _presentations(pack: Pack, config: Config, recogniser: Recogniser) -> Finding:
    """Look whether the network still tells people from pictures of them."""
    try:
        said = check_golden_pictures(pack, load_spoof_network(pack), recogniser.detect)
    except KioskError as error:
        return Finding("golden presentations", False, str(error), "restore the model files, or set [pad] level = off")
    is_own = is_calibrated(config.pad, pack.spec("liveness").sha256)
    about = "calibrated for this site" if is_own else "not calibrated for this site: kiosk evaluate pad --calibrate"
    return Finding("golden presentations", True, f"{said}; level {config.pad.chosen_level}, {about}")


def _age(config: Config, years: float) -> Finding:
    """Say from which age scores hold, and whether the door sends younger people to review."""
    said = f"scores hold from about {years:.0f} years; younger strangers reach them far more often"
    if config.entrance.age_low >= years:
        return Finding("age", True, f"{said}, and the door sends them to review")
    return Finding("age", False, f"{said}, and the door lets them in", f"set [entrance] age_low = {years:.0f} or more")


def runtime_words() -> str:
    """Return what runs the networks, in a line."""
    import onnxruntime  # noqa: PLC0415  0.1 s

    return (
        f"onnxruntime {onnxruntime.__version__}, NumPy {np.__version__}, Python {platform.python_version()}, "
        f"{platform.machine()}"
    )


def _store(chosen: argparse.Namespace, config: Config) -> Iterator[Finding]:
    directory = assembly.state_of(chosen)
    nearest = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if nearest.is_dir() and is_read_only(nearest) and (directory / DATABASE_NAME).exists():
        yield Finding("store", False, read_only(directory), "mount it writable, or replace the card")
        return
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        yield Finding("store", False, f"{nearest} is not a folder that can be written to", "give another with --state")
        return
    if not (directory / DATABASE_NAME).exists():
        yield Finding("store", True, f"none yet in {directory}; the first command that needs one makes it")
        return
    try:
        with assembly.open_store(chosen, config, create=False) as store:
            people = store.people.subjects(limit=1).total
            references = store.references.count()
            gallery = _gallery(config, store, people, references)
            verdict = store.verify_log(every_signature=False)
            found = inspect(store.database, directory / HEAD_NAME, assembly.load_keys(directory))
            for notice in store.notices:
                yield Finding("store", True, notice)
    except KioskError as error:
        yield Finding("store", False, str(error), "kiosk store check, then kiosk store repair")
        return
    if found.is_sound:
        yield Finding("store", True, f"{directory}: {counted(people, 'person', 'people')}, sound")
    else:
        yield Finding("store", False, "; ".join(found.damage), "kiosk store repair says what can be done")
    cure = "" if verdict.is_intact else "kiosk log verify lists the faults; kiosk store repair goes back to a backup"
    faults = (
        "" if verdict.is_intact else f", {counted(verdict.fault_count, 'fault', 'faults')}: {'; '.join(verdict.faults)}"
    )
    yield gallery
    yield Finding("decision log", verdict.is_intact, counted(verdict.records, "record", "records") + faults, cure)


def _gallery(config: Config, store: Store, people: int, references: int) -> Finding:
    """Say what the search threshold means at this size, and whether the gallery has outgrown the model."""
    try:
        pack = assembly.load_pack(config)
    except KioskError as error:
        return Finding("gallery", False, str(error), "see models")
    is_shipped = config.entrance.scale == "shipped"
    site = None if is_shipped else measure_stored(store, pack.template_model, pack.scale)
    listed = listing_threshold(config.search, pack.scale, references, site)
    figures = gallery_figures(pack.scale, references, listed, site)
    sentence = (
        f"{counted(people, 'person', 'people')}, {counted(references, 'reference', 'references')}; "
        f"at similarity {listed} a stranger's search is expected to list "
        f"{figures['expected_false_positives']:g} people (FPIR {figures['fpir']:g})"
        + ("" if site is None else f", as alike as the {site.people} people compared here are")
    )
    held = config.search.hold_fpir
    if 0.0 < held < figures["fpir"] * ROUNDED:
        cure = f"no threshold keeps FPIR {held:g} with so many references: set a larger [search] hold_fpir"
        return Finding("gallery", False, sentence, cure)
    if figures["fpir"] <= config.search.warn_fpir:
        return Finding("gallery", True, sentence)
    cure = "raise [search] similarity_threshold, or set [search] hold_fpir so that it rises with the gallery"
    return Finding("gallery", False, sentence, cure)


def _disk(chosen: argparse.Namespace) -> Finding:
    directory = assembly.state_of(chosen)
    while not directory.exists():
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    return Finding(
        "disk",
        free >= LEAST_FREE_BYTES,
        f"{free / 1e6:,.0f} MB free at {directory}",
        "" if free >= LEAST_FREE_BYTES else "make room: nothing is enrolled or decided on a full disk",
    )


def _clock(config: Config) -> Finding:
    """Say what time it is; a clock that nobody keeps in time is told of, as it may be so on purpose."""
    is_set = time.time() >= EARLIEST_S
    is_trusted = not is_set or assembly.make_clock(config).state() is not ClockState.UNTRUSTED
    return Finding(
        "clock",
        is_set,
        time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        + ("" if is_trusted else f"; not synchronised: {UNSYNCHRONISED[config.degraded.clock_untrusted]}"),
        "" if is_set else "set the clock: timedatectl set-ntp true, or fit a real-time clock",
    )


def _walls() -> Finding:
    """Say what shuts in the process that captures; a kernel without is no fault of the installation's."""
    found = available_walls()
    if "no landlock" in found:
        return Finding(
            "camera process",
            True,
            f"confined by {found}: a decoder taken over could open the kiosk's files; Linux 5.13 has Landlock",
        )
    return Finding("camera process", True, f"confined by {found}")
