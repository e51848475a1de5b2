"""The command line: what can be asked, who answers, and how the process ends.

Exit codes: 0 an answer, also "Declined"; 1 an error, one line `Error: …` on stderr; 2 a wrong call; 3 refused
(an enrolment of a person who is known, blocked or shown too poorly; a check that failed).
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kiosk import __version__
from kiosk.cli.cloud_arguments import add_cloud
from kiosk.cli.door_arguments import add_door
from kiosk.cli.evaluation.evaluate import add_measurements
from kiosk.cli.fleet.arguments import add_fleet
from kiosk.cli.neighbours.abis_arguments import add_abis
from kiosk.cli.neighbours.mqtt import add_mqtt
from kiosk.cli.neighbours.osdp import add_osdp, add_simulate
from kiosk.cli.parser import Parser, complete
from kiosk.cli.people.arguments import add_keeping, add_passages, add_passes, add_privacy
from kiosk.cli.terminal import hushed
from kiosk.cli.values import read_count, read_days, read_part, read_port, read_skip, read_threshold, read_vendor_data
from kiosk.errors import KioskError
from kiosk.rules.text import shown

if TYPE_CHECKING:
    from kiosk.assembly import Loaded  # every command imports it, or needs none of it: `--help` stays fast

REFUSED = 3
ERASED = "Backups in the state directory are rewritten without the person; copies elsewhere still hold them."
WHO = "the person's number (session_number), session_id or vendor_data"

EPILOG = """\
first steps:
  kiosk match selfie.jpg id_photo.jpg          compare two faces
  kiosk enrol anna.jpg --name "Anna"           enrol a person
  kiosk search visitor.jpg                     who is this?
  kiosk doctor                                 is everything in order?

State directory: --state, else $KIOSK_STATE, else /var/lib/kiosk where it is writable, else ~/.local/share/kiosk.
Settings: --config, else $KIOSK_CONFIG, else /etc/kiosk/kiosk.toml; `kiosk config docs` prints all of them.
`kiosk COMMAND --help` says what a command takes.
"""


def main(arguments: Sequence[str] | None = None, *, loaded: Loaded | None = None) -> int:
    """Run one command; return the exit code. Who runs many of them lends what they share, already loaded."""
    parser = build_parser()
    complete(parser)
    chosen = parser.parse_args(arguments)
    chosen.loaded = loaded
    try:
        with hushed(chosen):
            return int(chosen.run(chosen) or 0)
    except KioskError as error:
        print(f"Error: {shown(str(error))}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `kiosk log export | head`: whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, UnicodeError) as error:  # a report's folder that is not there, a full pipe, a name in no encoding
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        about = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        mend = "; run the command as the account that may" if isinstance(error, PermissionError) else ""
        print(f"Error: {shown(about + reason + mend)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Error: interrupted; everything acknowledged so far is kept", file=sys.stderr)
        return 130  # what shells give for SIGINT


@functools.cache
def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line: one for a process, as it takes 20 ms and keeps nothing of a call."""
    parser = Parser(
        prog="kiosk",
        description="Verify and identify faces on this device, by the rules of Didit's Face Match and Face Search.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kiosk {__version__}")
    parser.add_argument("--state", metavar="DIR", help="directory of database, key and backups")
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings file")
    parser.add_argument("--quiet", action="store_true", help="print only errors and what was asked for")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add = _adder(commands)
    _add_running(add)
    _add_faces(add)
    _add_people(add)
    add_privacy(add, _group, WHO)
    _add_models(add)
    add_measurements(add, _group)
    _add_store(add)
    add_cloud(add, _group)
    add_mqtt(add, _group)
    add_osdp(add, _group)
    add_passages(_group(add, "passage", "who went through the door, and who is inside"), WHO)
    add_passes(_group(add, "pass", "visitor passes: QR codes that the camera reads"), WHO)
    add_abis(add, _group)
    add_fleet(add, _group)
    _add_serve(add)
    return parser


Adder = Callable[..., argparse.ArgumentParser]
Command = Callable[[argparse.Namespace], int | None]


def _adder(commands: argparse._SubParsersAction[Any]) -> Adder:
    """Return a function that adds a command whose code is imported only when it runs: `--help` stays fast."""

    def add(name: str, module: str, sentence: str, *, more: str = "", json: bool = True) -> argparse.ArgumentParser:
        # Values may follow the parent's options, so --state and --config are taken behind the command as well.
        command: argparse.ArgumentParser = commands.add_parser(
            name.rsplit(" ", maxsplit=1)[-1],
            help=sentence,
            description=f"{sentence[0].upper()}{sentence[1:]}. {more}".strip(),
        )
        command.add_argument("--state", metavar="DIR", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        command.add_argument("--config", metavar="FILE", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        command.add_argument("--quiet", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if json:
            command.add_argument("--json", action="store_true", help="print JSON for machines")

        def run(chosen: argparse.Namespace) -> int | None:
            function: Command = getattr(import_module(f"kiosk.cli.{module}"), name.replace(" ", "_").replace("-", "_"))
            return function(chosen)

        command.set_defaults(run=run, command=name)
        return command

    return add


def _group(add: Adder, commands: str, sentence: str) -> Adder:
    group = add(commands, "main", sentence, json=False)
    return _adder(group.add_subparsers(metavar="ACTION", required=True))


def _add_running(add: Adder) -> None:
    run = add(
        "run",
        "run",
        "run the kiosk: camera, decisions, door, API and pages",
        more="Runs until it is stopped (Ctrl-C or SIGTERM). A lost camera is reopened indefinitely; meanwhile nothing "
        "opens. SIGHUP reads changed settings. Under systemd it reports that it is ready and alive.",
        json=False,
    )
    run.add_argument(
        "--demo",
        metavar="DIR",
        type=Path,
        help="use no camera and no door: show the portraits of this folder as people who walk up; print the decisions",
    )
    run.add_argument("--card", metavar="CARD", help="with --demo: the card that its people hold to the reader")
    run.add_argument("--pin", metavar="PIN", help="with --demo: the PIN that its people enter")
    run.add_argument(
        "--existing",
        action="store_true",
        help="end with an error where there is no store, instead of making an empty one",
    )
    run.add_argument(
        "--detect",
        action="store_true",
        help="with --demo: switch attack detection on; the visitors are photographs, so nobody is let in",
    )
    run.add_argument(
        "--loop",
        action="store_true",
        help="with --demo: let the visitors come again and again, also when the output is not a terminal",
    )
    run.add_argument("--verbose", action="store_true", help="with --demo: also write the whole log to stderr")
    door = _group(add, "door", "operate the door of the kiosk that runs on this device")
    add_door(door)
    add_simulate(door)
    shard = _group(add, "shard", "hold a part of a gallery that is larger than one process or machine")
    part = shard(
        "shard run",
        "shard",
        "hold one part of the people and answer searches, until stopped",
        more="Part 1/4 holds every fourth person of the store. Start all parts, and set [search] shards = 4 where "
        "people are searched.",
        json=False,
    )
    part.add_argument("part", metavar="PART/OF", type=read_part, help="which part of how many, such as 1/4")
    part.add_argument(
        "--hub",
        metavar="ADDRESS",
        help="address of the NATS server, such as nats://hub:4222 (default: [search] shards_hub)",
    )
    shard("shard key", "shard", "make the key that shards and whoever asks them share")
    camera = _group(add, "camera", "the cameras of this machine")
    camera("camera list", "camera", "list the cameras of this machine, each as [camera] source names it")
    clock = add(
        "clock",
        "clock",
        "show the kiosk's time, UTC, and whether it is trusted",
        more="A clock that jumped, or is behind the newest record, is trusted again once an operator confirms it.",
    )
    clock.add_argument(
        "act", nargs="?", choices=("confirm",), help="confirm: say that this machine's time is right now"
    )
    health = add(
        "health",
        "run",
        "say whether the running kiosk is armed (may let people in), and if not, why",
        more="Exit 3 when it is not armed, or has stopped reporting.",
    )
    health.add_argument(
        "--file", metavar="FILE", type=Path, help="the kiosk's status file (default: [health] status_file)"
    )
    health.add_argument(
        "--max-age", metavar="S", type=float, default=10.0, help="oldest status accepted, seconds (default 10)"
    )


def _add_faces(add: Adder) -> None:
    match = add(
        "match",
        "faces",
        "compare the faces of two photographs, 1:1",
        more="Exit 0 for every answer, Declined included.",
    )
    match.add_argument("user_image", metavar="USER", type=Path, help="photograph of the person")
    match.add_argument("ref_image", metavar="REF", type=Path, help="photograph to compare it with")
    match.add_argument(
        "--threshold", type=read_threshold, metavar="N", help="decline below this score, 0 to 100 (default 30)"
    )
    match.add_argument("--brief", action="store_true", help="print the result alone, without Didit's answer")
    search = add(
        "search",
        "faces",
        "search the enrolled people for a face, 1:N",
        more="Exit 0 for every answer, Declined included.",
    )
    search.add_argument("user_image", metavar="IMAGE", type=Path, help="photograph of the face")
    search.add_argument(
        "--search-type",
        choices=("most_similar", "blocklisted_or_approved"),
        default="most_similar",
        help="most_similar: everybody, the most similar first; blocklisted_or_approved: only people on the blocklist, "
        "who come first, or on the allowlist",
    )
    search.add_argument(
        "--threshold",
        type=read_threshold,
        metavar="N",
        help="list people from this similarity on, 0 to 100 (default: [search] similarity_threshold, 70)",
    )
    for command in (match, search):
        command.add_argument("--rotate", action="store_true", help="try quarter turns until the face is upright")
        command.add_argument(
            "--vendor-data",
            metavar="X",
            type=read_vendor_data,
            help="your own identifier: stored, and part of the answer",
        )
        command.add_argument("--no-save", action="store_true", help="do not record this decision")


def _add_people(add: Adder) -> None:
    enrol = add(
        "enrol",
        "faces",
        "enrol a person from photographs",
        more="First looks whether the person is known. Exit 3 when the person is enrolled already or blocked, or when "
        "a photograph is too poor.",
    )
    enrol.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="photographs of this person alone")
    enrol.add_argument(
        "--allow-duplicate", action="store_true", help="enrol even if a person who looks the same is enrolled"
    )
    enrol.add_argument("--allowlist", action="store_true", help="also put the person on the allowlist")
    enrol.add_argument(
        "--plan",
        metavar="P",
        help="name of the hours in which the person may enter, see [schedule] week (default: the hours without a name)",
    )
    enrol.add_argument("--valid-from", metavar="DATE", help="first day on which the person may enter, YYYY-MM-DD (UTC)")
    enrol.add_argument(
        "--valid-until", metavar="DATE", help="first day on which the person may no longer enter, as above"
    )
    enrol.add_argument("--retain-until", metavar="DATE", help="day on which the person is erased, as above")
    enrol.add_argument(
        "--document",
        metavar="FRONT",
        type=Path,
        help="a photograph of the person's document: its machine-readable zone fills name, number and --valid-until, "
        "its portrait is compared with the photographs; an option overrides what the document says",
    )
    enrol.add_argument("--document-back", metavar="BACK", type=Path, help="a photograph of the document's other side")
    enrol.add_argument("--yes", action="store_true", help="enrol what the document says without asking")
    _add_details(enrol)

    blocklist = _group(add, "blocklist", "block people, so that the kiosk declines them, and list who is blocked")
    block = blocklist("blocklist add", "faces", "block a face, or a person who is enrolled")
    block.add_argument(
        "what", metavar="IMAGE|ID", help="a photograph, or an enrolled person's number (session_number) or session_id"
    )
    block.add_argument("--reason", help="the reason; encrypted with the person's details")
    _add_details(block)
    remove = blocklist("blocklist remove", "faces", "unblock a person; they stay enrolled")
    remove.add_argument("subject", metavar="ID", help=WHO)
    blocklist("blocklist list", "faces", "list blocked people")

    gallery = _group(add, "gallery", "list, show, import and audit the enrolled people")
    listing = gallery("gallery list", "faces", "list the people in the order of their enrolment")
    listing.add_argument("--limit", type=read_count, default=100, metavar="N", help="most rows to print (default 100)")
    listing.add_argument("--offset", type=read_skip, default=0, metavar="N", help="rows to skip (default 0)")
    listing.add_argument(
        "--find",
        metavar="TEXT",
        help="only people of this name, vendor_data, document or number; a part of it does, whatever case and accents",
    )
    for name, sentence in (
        ("show", "show a person"),
        ("remove", "erase a person, as `kiosk forget` does; prints a signed receipt"),
        ("allow", "put a person on the allowlist, to be found by --search-type blocklisted_or_approved"),
        ("disallow", "take a person off the allowlist"),
    ):
        command = gallery(f"gallery {name}", "faces", sentence, more=ERASED if name == "remove" else "")
        command.add_argument("subject", metavar="ID", help=WHO)
        if name == "remove":
            _add_no_wait(command)
    add_keeping(gallery, WHO)
    forget = add(
        "forget", "faces", "erase a person; prints a signed receipt", more=f"{ERASED} At a terminal it asks first."
    )
    forget.add_argument("subject", metavar="ID", help=WHO)
    _add_no_wait(forget)
    receipt = add("receipt", "faces", "print the receipt of a person who was erased")
    receipt.add_argument("subject", metavar="ID", help="session_number or session_id")

    imports = gallery(
        "gallery import",
        "imports",
        "enrol many people from a folder or a CSV file",
        more="A folder per person, or a CSV with the columns file, name, vendor_data, document_type, document_number; "
        "rows of the same name and vendor_data are one person. An import that was stopped continues when run again.",
    )
    imports.add_argument("source", metavar="DIR|CSV", type=Path, help="folder with a folder per person, or a CSV file")
    imports.add_argument(
        "--report", type=Path, metavar="FILE", help="where to write the CSV report (default: beside the source)"
    )
    imports.add_argument(
        "--workers",
        type=read_skip,
        default=0,
        metavar="N",
        help="photographs processed in parallel (default: one per core)",
    )
    imports.add_argument(
        "--allow-duplicate", action="store_true", help="enrol even people who look like someone enrolled"
    )
    imports.add_argument("--rotate", action="store_true", help="try quarter turns until a face is upright")
    audit = gallery(
        "gallery audit",
        "imports",
        "compare all people with each other",
        more="Finds likely duplicates, photographs unlike their own person, and the people most easily confused.",
    )
    audit.add_argument("--html", type=Path, metavar="FILE", help="also write a report with charts")
    audit.add_argument("--limit", type=read_count, default=20, metavar="N", help="most rows of a table (default 20)")


def _add_details(command: argparse.ArgumentParser) -> None:
    command.add_argument("--rotate", action="store_true", help="try quarter turns until the face is upright")
    command.add_argument("--largest", action="store_true", help="if a photograph shows several faces, take the largest")
    command.add_argument("--name", help="the person's name")
    command.add_argument("--vendor-data", metavar="X", help="your identifier for the person")
    command.add_argument("--document-type", metavar="T", help='for example "Identity Card"')
    command.add_argument(
        "--document-number", metavar="N", help="number of the document; answers show its last three characters only"
    )


def _add_models(add: Adder) -> None:
    models = _group(add, "models", "show, check and download neural networks")
    show = models("models show", "models", "list the models, and what each score means")
    show.add_argument("--svg", type=Path, metavar="FILE", help="also write what each score means as a chart, SVG")
    models("models check", "models", "check every model file against its SHA-256 in the manifest")
    pull = models("models pull", "models", "download another model pack, a set of networks", json=False)
    pull.add_argument("pack", nargs="?", metavar="PACK", help="name of the pack; without one, all are listed")
    pull.add_argument("--to", type=Path, metavar="DIR", help="folder for the pack (default: in the state directory)")
    pull.add_argument(
        "--accept-non-commercial",
        action="store_true",
        help="accept models whose licence forbids commercial use; only if your use is not commercial",
    )
    own = models(
        "models import",
        "models",
        "make a pack of your own from a recogniser (the network that makes templates) in ONNX",
        more="The other networks are the standard pack's. The manifest says licence, input and output of the "
        "recogniser. Then measure its scale: kiosk evaluate match DIR --write-scale.",
        json=False,
    )
    own.add_argument("network", metavar="FILE.onnx", type=Path, help="the recogniser")
    own.add_argument(
        "--manifest",
        metavar="FILE.toml",
        type=Path,
        required=True,
        help="its licence, input and output; see models/README.md",
    )
    own.add_argument("--to", type=Path, metavar="DIR", help="folder for the pack (default: in the state directory)")
    doctor = add(
        "doctor",
        "models",
        "check models, onnxruntime (which runs them), store, settings and clock, and say what to mend",
        more="Runs known portraits through the networks and compares the results. Exit 3 when something is wrong.",
    )
    doctor.add_argument(
        "--door",
        action="store_true",
        help="only try the door's lines, one after the other; asks before each. Stop the kiosk first",
    )
    config = _group(add, "config", "check, show and explain the settings")
    config("config check", "models", "check the settings, and say what is wrong")
    config("config show", "models", "print the settings in force", json=False)
    config("config docs", "models", "print every setting with default, range and meaning", json=False)


def _add_no_wait(forget: argparse.ArgumentParser) -> None:
    forget.add_argument("--yes", action="store_true", help="erase without asking; without a terminal nobody is asked")
    forget.add_argument(
        "--no-wait",
        action="store_true",
        help="return once the person is erased; the search of the files for remains, and the receipt, follow",
    )


def _add_store(add: Adder) -> None:
    add("init", "store", "make the state directory, its key and an empty store")
    log = _group(add, "log", "verify, list, anchor and export the decision log")
    verify = log("log verify", "store", "check every record for changes and gaps; exit 3 if there is one")
    verify.add_argument(
        "--anchor",
        action="append",
        default=[],
        metavar="TEXT|FILE",
        help="also check that the log still has the record of this anchor, or of each anchor in a file, see `kiosk log "
        "anchor`; may be repeated",
    )
    anchor = log(
        "log anchor",
        "store",
        "print an anchor: the newest record's number and hash, signed, to be kept elsewhere",
        more="With it `kiosk log verify --anchor` finds out whether the store was later put back to an older day.",
    )
    anchor.add_argument(
        "--to", type=Path, metavar="FILE", help="also add it as a line to this file, such as one on a stick"
    )
    anchor.add_argument("--qr", action="store_true", help="also show it as a QR code, for a phone")
    log(
        "log accept",
        "store",
        "say that this store is the right one, where other kiosks of its fleet hold a newer record of its log",
        more="A kiosk whose database was put back to an older day opens nothing until then: keys revoked since are in "
        "force again.",
    )
    export = log("log export", "store", "write the whole log to stdout", json=False)
    export.add_argument("--format", choices=("csv", "json"), default="csv", help="form of the output (default csv)")
    listing = log("log list", "store", "list the newest decisions")
    listing.add_argument("--limit", type=read_count, default=20, metavar="N", help="most rows to print (default 20)")
    backup = add("backup", "store", "write an encrypted backup and verify it; the kiosk may run meanwhile")
    backup.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="folder for the backup, such as a USB stick (default: in the state directory)",
    )
    restore = add(
        "restore",
        "store",
        "restore a backup",
        more="Stop the kiosk first. People who were erased after the backup was made are erased again.",
    )
    restore.add_argument("backup", type=Path, metavar="FILE", help="the backup")
    restore.add_argument("--overwrite", action="store_true", help="replace the existing store")
    restore.add_argument(
        "--migrate", action="store_true", help="accept a backup that an older version wrote, and convert it"
    )
    store = _group(add, "store", "check, repair and re-encrypt the database")
    store("store check", "store", "check the whole database; exit 3 if it is damaged")
    repair = store("store repair", "store", "go back to the newest good backup, after saying what that loses")
    repair.add_argument("--yes", action="store_true", help="go back; without --yes only say what would be lost")
    store(
        "store rekey",
        "store",
        "make a new key, and encrypt everything with it",
        more="Stop the kiosk first. Make a new copy of the key afterwards: the old one opens old backups only.",
        json=False,
    )
    sweep = store("store sweep", "store", "erase people whose retention has ended, and old records of log and outbox")
    sweep.add_argument("--trust-clock", action="store_true", help="erase even if the clock is not synchronised")


def _add_serve(add: Adder) -> None:
    serve = add(
        "serve",
        "serve",
        "serve the API and the pages, without camera and door",
        more="Didit's routes are under /v3/: a client of theirs changes its base URL and its key, nothing else.",
        json=False,
    )
    serve.add_argument("--bind", metavar="ADDRESS", help="address to listen on (default: [api] bind)")
    serve.add_argument(
        "--port", type=read_port, metavar="N", help="port to listen on (default: [api] port); 0 for any free one"
    )
    screen = add(
        "screen",
        "serve",
        "print the address by which a browser on this machine becomes the kiosk's screen",
        more='For example: chromium --kiosk "$(kiosk screen)". Keep it secret: it shows the camera\'s picture.',
    )
    screen.add_argument("--renew", action="store_true", help="make a new address; every screen must be opened again")
    setup = add(
        "setup",
        "serve",
        "print the one-time code by which the first operator makes their account in the page",
        more="Once there is an operator or a key it is refused, for good. The page then leads through language, clock, "
        "camera, door and first person.",
    )
    setup.add_argument(
        "--on-screen", action="store_true", help="also show it at the kiosk's screen, to whoever stands there"
    )
    key = _group(add, "key", "manage the keys of programs that call the API")
    create = key("key create", "serve", "make a key and print it, once, in the last line")
    create.add_argument(
        "--role",
        choices=("device", "operator", "admin"),
        required=True,
        help="device: compare, search, and say whose code was shown; operator: also people, decisions and the door; "
        "admin: also settings and keys",
    )
    create.add_argument(
        "--scope",
        action="append",
        choices=("alarm",),
        help="what the key permits beyond its role: alarm, to arm and disarm as an alarm panel does",
    )
    create.add_argument("--name", default="key", help="name of the key in lists")
    create.add_argument("--expires", type=read_days, metavar="DAYS", help="days until the key expires (default: never)")
    key("key list", "serve", "list the keys, without their secret text")
    revoke = key("key revoke", "serve", "revoke a key at once")
    revoke.add_argument("id", metavar="ID", help="id of the key, see `kiosk key list`")
    operator = _group(add, "operator", "manage the people who may sign in to the operator's page")
    role = operator("operator add", "serve", "add an operator; the password is asked for, or read from stdin")
    role.add_argument(
        "--role",
        choices=("operator", "admin"),
        default="operator",
        help="operator: people, decisions and the door (default); admin: also settings and keys",
    )
    password = operator("operator password", "serve", "set a new password, and end the operator's sessions")
    password.add_argument(
        "--drop-second-factor", action="store_true", help="also remove the second factor: the telephone is lost"
    )
    for command in (
        role,
        password,
        operator("operator remove", "serve", "remove an operator, and end their sessions"),
    ):
        command.add_argument("name", metavar="NAME", help="name of the operator")
    operator("operator list", "serve", "list the operators")


def run() -> None:
    """Entry point of the `kiosk` command."""
    warnings.simplefilter("ignore")  # libraries' notes to programmers; ours go to stderr as sentences
    end(main())


def end(code: int) -> NoReturn:
    """End the process.

    A thread that is left in a network while the interpreter ends makes the process abort (SIGABRT): Python unwinds it
    through C++ that forbids it. systemd would take a kiosk that was stopped for one that crashed.
    """
    if any(thread.daemon for thread in threading.enumerate()):
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
