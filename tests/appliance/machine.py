"""A machine for the updater: the real scripts at their real paths, in a mount namespace with layers of its own.

`/opt`, `/etc`, `/run`, `/usr/local` and `/var/lib` are those of this machine with a writable layer over each that
lies in a temporary folder, so what is installed there stays between calls and this machine has none of it. The
service manager and the package that a release brings are small stand-ins; the updater, its checks, its links and
its judgement are the product's.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import cryptography

from tests.patience import until

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = ROOT / "firmware_scripts"
MINISIGN = SCRIPTS / "minisign.py"
APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
LAYERED = ("/opt", "/etc", "/run", "/usr/local", "/var/lib")
SHARE = "/opt/kiosk/current/share/kiosk/firmware_scripts"

SYSTEMCTL = """#!/bin/bash
# As much of systemctl as an update asks for. The kiosk "runs" when its command says so.
pid=/run/kiosk/pid
mkdir -p /run/kiosk
runs() { [ -e $pid ]; }
start() { if /opt/kiosk/current/bin/kiosk run; then echo $RANDOM >$pid; else rm -f $pid; fi; }
case "$*" in
  --version) echo "systemd 252 (252)" ;;
  "restart --no-block kiosk.service" | "start --no-block kiosk.service") start ;;
  "stop kiosk.service") rm -f $pid ;;
  "start confirm-kiosk.service")
    [ ! -e /opt/kiosk/switching ] || /opt/kiosk/previous/share/kiosk/firmware_scripts/confirm.sh --steady-s 1
    ;;
  "is-failed --quiet kiosk.service") ! runs ;;
  "is-active kiosk.service") if runs; then echo active; else echo failed; fi ;;
  "show --property=MainPID --value kiosk.service")
    cat $pid
    printf '{"at": %s, "states": []}' "$(date +%s)" >/run/kiosk/status.json
    ;;
esac
"""
SYSTEMD_RUN = """#!/bin/bash
# Run what comes after the options, as systemd-run would in a unit of its own.
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""
KIOSK = '''"""The kiosk of a release that is only installed, switched to and asked whether it runs."""
import sys
from pathlib import Path

VERSION, IS_BROKEN = {version!r}, {is_broken!r}
STATE = Path("/var/lib/kiosk")

def run():
    said = sys.argv[1:]
    if said == ["version"]:
        print(VERSION)
    if said == ["run"] and IS_BROKEN:
        sys.exit(70)
    if said == ["backup"]:
        (STATE / "backups").mkdir(exist_ok=True)
        (STATE / "backups" / f"{{VERSION}}.backup").write_bytes((STATE / "kiosk.db").read_bytes())
'''
# Python, whose ensurepip takes six seconds of a processor: virtual environments are led to one pip for all of them, a
# copy of this one's, or where that has none, of the first that ensurepip made. Each would else have 16 MB of its own.
PYTHON = """#!/bin/sh
if [ "$1 $2" != "-m venv" ]; then exec {python} "$@"; fi
for place; do :; done
if [ -d {kept} ]; then
  {python} "$@" --without-pip && echo {kept} >"$place/lib/python{version}/site-packages/kept_pip.pth"
else
  {python} "$@" && mkdir {kept} && cp -a "$place/lib/python{version}/site-packages/." {kept}
fi
"""
# Waits before the command that matches, until the machine loses its power or is let go on; each bash of the updater
# reads it first.
CUT = """
set -T
cut_here() {
  case "$BASH_COMMAND" in
    $CUT_AT) echo "$BASH_COMMAND" >>"$CUT_REACHED"; until [ -e "$CUT_REACHED.go" ]; do sleep 0.05; done ;;
  esac
}
trap cut_here DEBUG
"""


def make_wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """Write a wheel of a few files."""
    about = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text.encode())}\n")
    files[f"{about}/RECORD"] = "".join(rows) + f"{about}/RECORD,,\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)  # without the time, so that the same release is the same file
    return wheel


def _keep_pip(folder: Path) -> None:
    """Copy this environment's pip, as it lies in site-packages, compiled as it is."""
    try:
        pip = distribution("pip")
    except PackageNotFoundError:
        return
    for part in {file.parts[0] for file in pip.files or ()} - {".."}:
        shutil.copytree(str(pip.locate_file(part)), folder / part)


class Machine:
    """A machine that keeps what is installed on it, and can lose its power."""

    def __init__(self, folder: Path, like: Machine | None = None) -> None:
        """Make a machine with nothing installed, or one with all that another has."""
        self.folder = folder
        self.programs = folder / "programs"
        for layer in LAYERED:
            (folder / "work" / layer[1:]).mkdir(parents=True)
        if like is not None:
            for part in ("upper", "programs", "cut.sh"):
                subprocess.run(["cp", "-a", str(like.folder / part), str(folder)], check=True)
            return
        self.programs.mkdir()
        for name, text in {"systemctl": SYSTEMCTL, "systemd-run": SYSTEMD_RUN, "journalctl": "#!/bin/sh\n"}.items():
            self._program(name, text)
        python, kept = shlex.quote(sys.executable), shlex.quote(str(folder / "pip"))
        version = ".".join(map(str, sys.version_info[:2]))
        self._program("python3", PYTHON.format(python=python, kept=kept, version=version))
        _keep_pip(folder / "pip")
        (folder / "cut.sh").write_text(CUT, encoding="utf-8")
        for layer in LAYERED:
            self.at(layer).mkdir(parents=True)
        self.at("/run/systemd/system").mkdir(parents=True)
        self.at("/var/lib/kiosk").mkdir(parents=True)
        self.at("/var/lib/kiosk/kiosk.db").write_text("everybody", encoding="utf-8")
        self.at("/etc/kiosk").mkdir(parents=True)
        self.at("/etc/kiosk/kiosk.toml").write_text("", encoding="utf-8")

    def _program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text, encoding="utf-8")
        (self.programs / name).chmod(0o755)

    def at(self, path: str) -> Path:
        """Return where a path of the machine lies on this one."""
        return self.folder / "upper" / path.lstrip("/")

    def start(self, command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command of the machine's shell; whatever it started ends with it."""
        mounts = "".join(
            f"mount -t overlay overlay -o lowerdir={layer},upperdir={self.at(layer)},"
            f"workdir={self.folder}/work{layer} {layer}\n"
            for layer in LAYERED
        )
        return subprocess.Popen(
            [
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "bash",
                "-c",
                f"set -e\n{mounts}\n{command}\nexit $?",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"PATH": f"{self.programs}:{os.environ['PATH']}", "HOME": "/root", **environment},
        )

    def run(self, command: str, **environment: str) -> tuple[int, str]:
        """Run a command to its end; return its exit status and what it said."""
        process = self.start(command, **environment)
        said, _ = process.communicate()
        return process.returncode, said

    def update(self, *words: object) -> tuple[int, str]:
        """Run the installed release's update.sh."""
        return self.run(" ".join([f"{SHARE}/update.sh", *map(str, words)]))

    def stop_before(
        self, command: str, *words: object, script: str = "update.sh"
    ) -> tuple[subprocess.Popen[str], Path]:
        """Start update.sh and wait until it is about to run a command.

        Args:
            command: as bash has it (BASH_COMMAND), a pattern of the shell.
            words: for the script.
            script: another one that runs update.sh.

        Returns:
            The process that stands still there; and a file that, once made, lets it go on.
        """
        reached = self.folder / f"reached-{len(list(self.folder.glob('reached-*')))}"
        process = self.start(
            " ".join([f"{SHARE}/{script}", *map(str, words)]),
            BASH_ENV=str(self.folder / "cut.sh"),
            CUT_AT=command,
            CUT_REACHED=str(reached),
        )
        until(lambda: reached.exists() or process.poll() is not None, limit_s=120.0)
        if not reached.exists():
            raise AssertionError(f"it ended before {command}: {process.communicate()[0]}")
        return process, self.folder / f"{reached.name}.go"

    def cut_before(self, command: str, *words: object, script: str = "update.sh") -> None:
        """Start update.sh and take the power away when it is about to run a command."""
        process, _ = self.stop_before(command, *words, script=script)
        process.kill()  # unshare's child is PID 1 of all it started, and dies with it
        process.communicate()

    def boot(self) -> None:
        """Do what the units do at a start of the machine: the kiosk, and confirm-kiosk where there is the mark."""
        code, said = self.run("systemctl start --no-block kiosk.service; systemctl start confirm-kiosk.service || true")
        assert code == 0, said

    def install(self, bundle: Path) -> None:
        """Put the first release in place, as install.sh does when the system's packages are there."""
        place = self.folder / "first"
        with tarfile.open(bundle) as archive:
            archive.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)  # which Python 3.13 asks for
            archive.extractall(place)
        (root,) = place.iterdir()
        code, said = self.run(
            f'set -euo pipefail; root={root}; scripts="$root/firmware_scripts"\n'
            '. "$scripts/common.sh"; . "$scripts/appliance.sh"\n'
            'wheelhouse="$root/wheels"; stage_release; switch_link "releases/$release" "$opt/current"; put_system\n'
            "systemctl start --no-block kiosk.service"
        )
        assert code == 0, said

    @property
    def installed(self) -> str:
        """The version that the link names, asked of the release itself."""
        code, said = self.run("/opt/kiosk/current/bin/kiosk version")
        assert code == 0, said
        return said.strip()

    @property
    def records(self) -> list[dict[str, str]]:
        """What is kept of updates."""
        path = self.at("/opt/kiosk/updates.log")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


class Maker:
    """Whoever makes releases: a pair of keys, and bundles in the form of bundle.sh."""

    def __init__(self, folder: Path, key: Path | None = None) -> None:
        """Make a pair of keys in a new folder, or take one that is there."""
        self.folder = folder
        folder.mkdir()
        if key is None:
            self._minisign("make-key", folder, "--no-passphrase")
        self.key = key or folder / "kiosk-release.key"
        self.public = self.key.with_suffix(".pub")

    def _minisign(self, *words: object) -> None:
        subprocess.run([sys.executable, "-I", str(MINISIGN), *map(str, words)], check=True, stdout=subprocess.DEVNULL)

    def sign(self, bundle: Path) -> None:
        """Write the signature beside a bundle."""
        self._minisign("sign", bundle, "--key", self.key, "--comment", bundle.name)

    def bundle(
        self, version: str, *, is_broken: bool = False, brings: Path | None = None, has_key: bool = True
    ) -> Path:
        """Make a signed bundle.

        Args:
            version: of the release.
            is_broken: it installs and passes its own check, and dies when it is started.
            brings: another public key than the one it is signed with.
            has_key: whether it brings any.
        """
        name = f"kiosk-{version}-any"
        place = self.folder / name
        (place / "wheels").mkdir(parents=True)
        make_wheel(
            place,
            "face_kiosk",
            version,
            {
                "kiosk/__init__.py": KIOSK.format(version=version, is_broken=is_broken),
                "kiosk/store/__init__.py": "",
                "kiosk/store/schema.py": "VERSION = 1\n",
                # The updater's check of signatures wants cryptography, which is installed where the tests run.
                "kiosk_tests.pth": f"{Path(cryptography.__file__).parent.parent}\n",
                f"face_kiosk-{version}.dist-info/entry_points.txt": "[console_scripts]\nkiosk = kiosk:run\n",
            },
        )
        other = make_wheel(place / "wheels", "nothing", "1", {"nothing.py": ""})
        for part in ("systemd", "firmware_scripts"):
            shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
        with (place / "systemd" / "kiosk.service").open("a", encoding="utf-8") as unit:
            unit.write(f"# release {version}\n")
        digest = hashlib.sha256(other.read_bytes()).hexdigest()
        lock = place / "firmware_scripts" / "requirements.lock"
        lock.write_text(f"nothing==1 --hash=sha256:{digest}\n", encoding="utf-8")
        if has_key:
            shutil.copy(brings or self.public, place / "release.pub")
        sums = [
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  ./{path.relative_to(place)}\n"
            for path in sorted(place.rglob("*"))
            if path.is_file()
        ]
        (place / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
        bundle = self.folder / f"{name}.tar.gz"
        with tarfile.open(bundle, "w:gz") as archive:
            archive.add(place, arcname=name)
        shutil.rmtree(place)
        self.sign(bundle)
        return bundle
