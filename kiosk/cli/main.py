"""The command line: what can be asked, who answers, and how the process ends.

Exit codes: 0 an answer, also "Declined"; 1 an error, one line `Error: …` on stderr; 2 a wrong call; 3 refused
(an enrolment of somebody known, blocklisted or unfit; a check that failed).
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from kiosk import __version__
from kiosk.didit.contract import parse_threshold
from kiosk.errors import KioskError

REFUSED = 3

EPILOG = """\
first steps:
  kiosk match selfie.jpg id_photo.jpg          compare two faces
  kiosk enrol anna.jpg --name "Anna"           make somebody known
  kiosk search visitor.jpg                     who is this?
  kiosk doctor                                 is everything in order?

State lives in --state, $KIOSK_STATE, /var/lib/kiosk where writable, or ~/.local/share/kiosk.
Settings come from --config, $KIOSK_CONFIG or /etc/kiosk/kiosk.toml; `kiosk config docs` prints them all.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = build_parser()
    chosen = parser.parse_args(arguments)
    try:
        return int(chosen.run(chosen) or 0)
    except KioskError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `kiosk log export | head`: whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, UnicodeError) as error:  # a report's folder that is not there, a full pipe, a name in no encoding
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        about = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        print(f"Error: {about}{reason}".encode("ascii", "backslashreplace").decode(), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Error: interrupted; everything acknowledged so far is kept", file=sys.stderr)
        return 130  # what shells give for SIGINT


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="kiosk",
        description="Face verification on the device, by the rules of Didit's Face Match and Face Search.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kiosk {__version__}")
    parser.add_argument("--state", metavar="DIR", help="the state directory")
    parser.add_argument("--config", metavar="FILE", type=Path, help="kiosk.toml")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add = _adder(commands)
    _add_running(add)
    _add_faces(add)
    _add_people(add)
    _add_models(add)
    _add_store(add)
    _add_cloud(add)
    _add_serve(add)
    return parser


Adder = Callable[..., argparse.ArgumentParser]
Command = Callable[[argparse.Namespace], int | None]


def _adder(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> Adder:
    """Return a function that adds a command whose code is imported only when it runs: `--help` stays fast."""

    def add(name: str, module: str, sentence: str, *, more: str = "", json: bool = True) -> argparse.ArgumentParser:
        # Values may follow the parent's options, so --state and --config are taken behind the command as well.
        command = commands.add_parser(
            name.rsplit(" ", maxsplit=1)[-1],
            help=sentence,
            description=f"{sentence[0].upper()}{sentence[1:]}. {more}".strip(),
        )
        command.add_argument("--state", metavar="DIR", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        command.add_argument("--config", metavar="FILE", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if json:
            command.add_argument("--json", action="store_true", help="print JSON for machines")

        def run(chosen: argparse.Namespace) -> int | None:
            function: Command = getattr(import_module(f"kiosk.cli.{module}"), name.replace(" ", "_").replace("-", "_"))
            return function(chosen)

        command.set_defaults(run=run)
        return command

    return add


def _group(add: Adder, commands: str, sentence: str) -> Adder:
    group = add(commands, "main", sentence, json=False)
    return _adder(group.add_subparsers(metavar="ACTION", required=True))


def _add_running(add: Adder) -> None:
    run = add(
        "run",
        "run",
        "watch the camera, decide about whoever steps up, drive the door",
        more="The daemon: it runs until it is told to stop, reopens a lost camera for ever, and opens nothing unless "
        "all is well. SIGHUP takes changed settings. Under systemd it feeds the watchdog.",
        json=False,
    )
    run.add_argument(
        "--demo",
        metavar="DIR",
        type=Path,
        help="without camera and door: people from a folder of portraits walk up; decisions are printed",
    )
    run.add_argument("--verbose", action="store_true", help="in a demo, log everything to stderr too")
    health = add("health", "run", "say how the running kiosk is", more="Exit 3 when it is not armed or hangs.")
    health.add_argument("--file", metavar="FILE", type=Path, help="its status file (default: of the settings)")
    health.add_argument(
        "--max-age", metavar="S", type=float, default=10.0, help="oldest status that counts, s (default 10)"
    )


def _add_faces(add: Adder) -> None:
    match = add("match", "faces", "compare two faces, 1:1", more="Exit 0 on any answer, also Declined.")
    match.add_argument("user_image", metavar="USER", type=Path, help="the person's picture")
    match.add_argument("ref_image", metavar="REF", type=Path, help="the reference to compare it with")
    match.add_argument(
        "--threshold", type=_threshold, metavar="N", help="decline below this score, 0 to 100 (default 30)"
    )
    search = add("search", "faces", "look for a face among everyone enrolled, 1:N")
    search.add_argument("user_image", metavar="IMAGE", type=Path, help="the picture")
    search.add_argument(
        "--search-type",
        choices=("most_similar", "blocklisted_or_approved"),
        default="most_similar",
        help="everybody by likeness, or the blocklisted first and then the approved",
    )
    for command in (match, search):
        command.add_argument("--rotate", action="store_true", help="try quarter turns to find an upright face")
        command.add_argument("--vendor-data", metavar="X", help="your identifier; stored and echoed")
        command.add_argument("--no-save", action="store_true", help="leave no record of this decision")


def _threshold(text: str) -> int:
    try:
        return parse_threshold(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    """Read a number of rows: 1 to the largest that SQLite takes."""
    if not text.isdecimal() or not 1 <= int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"want a whole number of 1 or more, got {text!r}")
    return int(text)


def _skip(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:  # noqa: PLR2004  the largest port there is
        raise argparse.ArgumentTypeError(f"want a port, 0 to 65535, got {text!r}")
    return int(text)


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 36_525:  # noqa: PLR2004  a century
        raise argparse.ArgumentTypeError(f"want 1 to 36525 days, got {text!r}")
    return int(text)


def _add_people(add: Adder) -> None:
    enrol = add(
        "enrol",
        "faces",
        "make a person known",
        more="Searches first: somebody enrolled already, on the blocklist, or shown too poorly is refused with exit 3.",
    )
    enrol.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="photographs of this one person")
    enrol.add_argument("--allow-duplicate", action="store_true", help="enrol although a look-alike is enrolled")
    enrol.add_argument("--allowlist", action="store_true", help="mark the person as allowlisted")
    enrol.add_argument("--plan", metavar="P", help="whose hours hold for the person at a door, see [schedule] week")
    enrol.add_argument("--valid-from", metavar="DATE", help="first day, YYYY-MM-DD (UTC)")
    enrol.add_argument("--valid-until", metavar="DATE", help="first day on which it holds no more")
    enrol.add_argument("--retain-until", metavar="DATE", help="day on which the person is forgotten")
    _add_details(enrol)

    blocklist = _group(add, "blocklist", "people who must not pass")
    block = blocklist("blocklist add", "faces", "block a face or an enrolled person")
    block.add_argument("what", metavar="IMAGE|ID", help="a picture, a session_number, or a session_id")
    block.add_argument("--reason", help="why; sealed with the person's details")
    _add_details(block)
    remove = blocklist("blocklist remove", "faces", "unblock a person, who stays enrolled")
    remove.add_argument("subject", metavar="ID", help="session_number, session_id or vendor_data")
    blocklist("blocklist list", "faces", "list blocked people")

    gallery = _group(add, "gallery", "the people enrolled")
    listing = gallery("gallery list", "faces", "list people in order of enrolment")
    listing.add_argument("--limit", type=_count, default=100, metavar="N", help="longest list (default 100)")
    listing.add_argument("--offset", type=_skip, default=0, metavar="N", help="leave out the first N")
    for name, sentence in (
        ("show", "show a person"),
        ("remove", "forget a person for good; prints the signed receipt"),
        ("allow", "put a person on the allowlist"),
        ("disallow", "take a person off the allowlist"),
    ):
        command = gallery(f"gallery {name}", "faces", sentence)
        command.add_argument("subject", metavar="ID", help="session_number, session_id or vendor_data")
    forget = add("forget", "faces", "forget a person for good; prints the signed receipt")
    forget.add_argument("subject", metavar="ID", help="session_number, session_id or vendor_data")

    imports = gallery(
        "gallery import",
        "imports",
        "enrol many people from a folder tree or a CSV file",
        more="A folder per person, or a CSV with the columns file, name, vendor_data, document_type, document_number; "
        "rows of the same name and vendor_data are one person. Can be stopped and run again: it goes on where it was.",
    )
    imports.add_argument("source", metavar="DIR|CSV", type=Path)
    imports.add_argument("--report", type=Path, metavar="FILE", help="CSV report (default: beside the source's name)")
    imports.add_argument("--workers", type=_skip, default=0, metavar="N", help="photographs at a time (default: cores)")
    imports.add_argument("--allow-duplicate", action="store_true", help="enrol look-alikes of people enrolled")
    imports.add_argument("--rotate", action="store_true", help="try quarter turns to find upright faces")
    audit = gallery(
        "gallery audit",
        "imports",
        "compare everyone with everyone",
        more="Finds likely duplicates, references that look unlike their own person, and the most confusable people.",
    )
    audit.add_argument("--html", type=Path, metavar="FILE", help="also write a report with pictures of the figures")
    audit.add_argument("--limit", type=_count, default=20, metavar="N", help="rows a table (default 20)")


def _add_details(command: argparse.ArgumentParser) -> None:
    command.add_argument("--rotate", action="store_true", help="try quarter turns to find an upright face")
    command.add_argument("--largest", action="store_true", help="of several faces in a picture take the largest")
    command.add_argument("--name", help="the person's name")
    command.add_argument("--vendor-data", metavar="X", help="your identifier for the person")
    command.add_argument("--document-type", metavar="T", help='for instance "Identity Card"')
    command.add_argument("--document-number", metavar="N", help="answers show its last three characters only")


def _add_models(add: Adder) -> None:
    models = _group(add, "models", "the networks and what their scores mean")
    show = models("models show", "models", "list the models, print and plot the score scale")
    show.add_argument("--svg", type=Path, metavar="FILE", help="also draw the scale into an SVG file")
    models("models check", "models", "hold every model file against its digest")
    pull = models("models pull", "models", "download another model pack from its makers' public addresses", json=False)
    pull.add_argument("pack", nargs="?", help="its name; without it, the packs are listed")
    pull.add_argument("--to", type=Path, metavar="DIR", help="where to put it (default: in the state directory)")
    pull.add_argument(
        "--accept-non-commercial",
        action="store_true",
        help="take models whose licence forbids commercial use; only if yours is none",
    )
    add(
        "doctor",
        "models",
        "check models, runtime and store, and say what to mend",
        more="Fixed faces run through the real networks and must come out as stored. Exit 3 when something is wrong.",
    )
    config = _group(add, "config", "settings")
    config("config check", "models", "say whether the settings are right")
    config("config show", "models", "print the settings in force", json=False)
    config("config docs", "models", "print every setting with its default and meaning", json=False)


def _add_cloud(add: Adder) -> None:
    cloud = _group(add, "cloud", "Didit's account, and what leaves this device")
    for name, sentence in (
        ("register", "open an account; asks for a password, Didit sends a code"),
        ("verify", "confirm the address with the code; keeps the API key"),
        ("login", "fetch the API key of an account that is there already"),
    ):
        command = cloud(f"cloud {name}", "cloud", sentence, more="Secrets are asked for, or read from a pipe.")
        command.add_argument("--email", required=True, metavar="ADDRESS", help="of the account")
        if name == "verify":
            command.add_argument("--code", required=True, metavar="CODE", help="the six characters of the e-mail")
    cloud("cloud key", "cloud", "keep an API key from Didit's console; asks for it, or reads a pipe")
    cloud("cloud secret", "cloud", "keep the secret of webhooks; asks for it, or reads a pipe")
    cloud("cloud balance", "cloud", "print the account's credits")
    top_up = cloud("cloud top-up", "cloud", "print a link and a QR code where a person can pay")
    top_up.add_argument("--amount", type=_count, default=50, metavar="DOLLARS", help="50 or more (default 50)")
    cloud("cloud status", "cloud", "say what waits and how the way there is; exit 3 when sending has stopped")
    confirm = cloud("cloud confirm-list", "cloud", "confirm that a list lost most of its entries, which unblocks them")
    confirm.add_argument("list", metavar="LIST", help="its id, as `kiosk cloud status` prints it")
    rows = cloud("cloud outbox", "cloud", "list what waits, came or was refused")
    rows.add_argument("--which", choices=("waiting", "sending", "sent", "rejected", "superseded"))
    rows.add_argument("--limit", type=_count, default=100, metavar="N", help="longest list (default 100)")
    rows.add_argument("--offset", type=_skip, default=0, metavar="N", help="leave out the first N")
    retry = cloud("cloud retry", "cloud", "put a parked row back into the queue")
    retry.add_argument("row", type=_count, metavar="ROW", help="its number, as `kiosk cloud outbox` prints it")
    send = cloud("cloud send", "cloud", "send what waits, where no kiosk runs that does; exit 3 if something is left")
    send.add_argument("--within", type=_count, default=600, metavar="S", help="longest time (default 600 s)")
    export = cloud("cloud export", "cloud", "write what is not sent to a USB stick, encrypted; it stays queued too")
    export.add_argument("--to", type=Path, required=True, metavar="DIR", help="the stick's folder")
    decrypt = cloud("cloud decrypt", "cloud", "read an exported file, on any machine")
    decrypt.add_argument("file", type=Path, metavar="FILE")
    decrypt.add_argument("--to", type=Path, required=True, metavar="DIR", help="where its rows and photographs go")
    fake = add("fake-cloud", "cloud", "stand in for Didit on this machine, for trying things out", json=False)
    fake.add_argument("--port", type=_skip, default=0, metavar="N", help="port (default: a free one)")
    fake.add_argument("--generation", choices=("seed", "newer"), default="newer", help="of Didit's contract")
    fake.add_argument("--credits", default="100.00", metavar="DOLLARS", help="of the account (default 100.00)")
    fake.add_argument(
        "--fault", action="append", metavar="NAME[:N]", help="how the next N calls fail, such as reset or done-hang:3"
    )


def _add_store(add: Adder) -> None:
    add("init", "store", "make the state directory, its key and an empty store")
    log = _group(add, "log", "the decision log")
    verify = log("log verify", "store", "find any edit, gap or cut; exit 3 if there is one")
    verify.add_argument(
        "--anchor",
        action="append",
        default=[],
        metavar="TEXT|FILE",
        help="the log must hold what this anchor names, or all anchors of a file; can be given several times",
    )
    anchor = log(
        "log anchor", "store", "print the newest record's number and hash, signed: to be kept where the device is not"
    )
    anchor.add_argument("--to", type=Path, metavar="FILE", help="also add it to a file, such as one on a stick")
    anchor.add_argument("--qr", action="store_true", help="also show it as a QR code, for a phone")
    export = log("log export", "store", "write the log to stdout", json=False)
    export.add_argument("--format", choices=("csv", "json"), default="csv")
    listing = log("log list", "store", "list the newest decisions")
    listing.add_argument("--limit", type=_count, default=20, metavar="N")
    backup = add("backup", "store", "write an encrypted, verified backup while everything runs")
    backup.add_argument(
        "--to", type=Path, metavar="DIR", help="another folder than the state's own, such as a USB stick"
    )
    restore = add(
        "restore",
        "store",
        "put a backup back",
        more="People forgotten since stay forgotten. Stop the kiosk first.",
    )
    restore.add_argument("backup", type=Path, metavar="FILE")
    restore.add_argument("--overwrite", action="store_true", help="replace the store that is there")
    restore.add_argument(
        "--migrate", action="store_true", help="take a backup of an older schema and bring it up to date"
    )
    store = _group(add, "store", "the database")
    store("store check", "store", "hold the whole database against its checks; exit 3 if it is damaged")
    repair = store("store repair", "store", "go back to the newest good backup; says what that would lose")
    repair.add_argument("--yes", action="store_true", help="do it; without this it only says")
    store("store rekey", "store", "make a new key and seal everything anew", json=False)
    sweep = store("store sweep", "store", "forget everyone whose retention has ended")
    sweep.add_argument("--trust-clock", action="store_true", help="do it by a clock that nobody vouches for")


def _add_serve(add: Adder) -> None:
    serve = add(
        "serve",
        "serve",
        "serve the API and its pages, without camera and door",
        more="Didit's routes lie under /v3/: a client of theirs changes its base URL and nothing else.",
        json=False,
    )
    serve.add_argument("--bind", metavar="ADDRESS", help="where to listen (default: [api] bind)")
    serve.add_argument("--port", type=_port, metavar="N", help="port (default: [api] port); 0 for any free one")
    screen = add(
        "screen",
        "serve",
        "print the address by which a browser on this machine becomes the kiosk's screen",
        more='For example: chromium --kiosk "$(kiosk screen)". Keep it secret: it shows the camera\'s picture.',
    )
    screen.add_argument("--renew", action="store_true", help="make a new address; every screen must be opened again")
    key = _group(add, "key", "keys of programs that call the API")
    create = key("key create", "serve", "make a key; its text is the last line printed, and kept nowhere")
    create.add_argument("--role", choices=("device", "operator", "admin"), required=True, help="what it may do")
    create.add_argument(
        "--scope",
        action="append",
        choices=("alarm",),
        help="what it may do beyond its role: alarm, to arm and disarm as an alarm panel does",
    )
    create.add_argument("--name", default="key", help="what lists call it")
    create.add_argument("--expires", type=_days, metavar="DAYS", help="days it is good for (default: no end)")
    key("key list", "serve", "list keys; their texts are kept nowhere")
    revoke = key("key revoke", "serve", "end a key at once")
    revoke.add_argument("id", metavar="ID", help="as `kiosk key list` shows it")
    operator = _group(add, "operator", "people who sign in to the operator's page")
    role = operator("operator add", "serve", "make an account; the password is asked for, or a line of stdin")
    role.add_argument("--role", choices=("operator", "admin"), default="operator", help="what they may do")
    for command in (
        role,
        operator("operator password", "serve", "give an operator another password; sessions end"),
        operator("operator remove", "serve", "end an operator's account at once"),
    ):
        command.add_argument("name", metavar="NAME")
    operator("operator list", "serve", "list operators")


def run() -> None:
    """Entry point of the `kiosk` command."""
    warnings.simplefilter("ignore")  # libraries' notes to programmers; ours go to stderr as sentences
    sys.exit(main())


if __name__ == "__main__":
    run()
