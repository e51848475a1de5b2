"""Does Home Assistant find the kiosk by itself, may it open the door where a setting says so, and is its end told?

    python benchmarks/home_assistant.py --into /tmp/ha         # installs Home Assistant there the first time: minutes

Not of the default run: it wants the network. A venv of its own gets `homeassistant` from PyPI, whichever version this
Python gets (3.11: 2024.3.3), and a real mosquitto on loopback stands between. Home Assistant runs whole, with an
integration of a few lines beside it that writes down what it knows and calls what it is told to: its web API would want
an account and a browser's sign-in. The kiosk is `kiosk run --demo`, whose door is a simulated one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from benchmarks.about import RESULTS, about_run
from kiosk.networks.inference import read_pack, standard_pack

QUESTION = "does Home Assistant find the kiosk, open its door, and hear of its end"
COMMAND = "python benchmarks/home_assistant.py --into DIR"
GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
PASSWORD = "a-password-of-brokers"
START_S, FACT_S = 600.0, 180.0  # Home Assistant installs what its integrations want as it starts
WANTED = ("lock", "binary_sensor", "sensor", "event")
WATCH = '''
"""Writes down what Home Assistant knows, and calls what it is told to."""
import asyncio, json, pathlib

DOMAIN = "acceptance"


async def async_setup(hass, config):
    place = pathlib.Path(hass.config.path())

    async def watch():
        while True:
            states = {one.entity_id: one.state for one in hass.states.async_all()}
            part = place / "states.part"
            part.write_text(json.dumps(states))
            part.replace(place / "states.json")
            order = place / "order.json"
            if order.exists():
                told = json.loads(order.read_text())
                order.unlink()
                await hass.services.async_call(told["domain"], told["service"], {"entity_id": told["entity"]})
            await asyncio.sleep(0.05)

    hass.async_create_background_task(watch(), "acceptance")
    return True
'''


def until(fact: Callable[[], Any], limit_s: float = FACT_S) -> tuple[Any, float]:
    """Return a fact once it is true, and how long that took, s."""
    began = time.monotonic()
    while not (found := fact()):
        if time.monotonic() - began > limit_s:
            raise SystemExit(f"it did not come true within {limit_s:g} s")
        time.sleep(0.02)
    return found, time.monotonic() - began


def free_port() -> int:
    """Return a port that nobody had a moment ago."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


def installed(into: Path) -> tuple[Path, str]:
    """Return the Python of Home Assistant's venv, made where it is not there, and its version."""
    python = into / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(into / "venv")], check=True)
    version = [str(python), "-c", "import homeassistant.const as c; print(c.__version__)"]
    if subprocess.run(version, capture_output=True, check=False).returncode:
        # uv: pip builds the metadata of a hundred versions before it knows which fit together
        subprocess.run([str(python), "-m", "pip", "install", "-q", "uv"], check=True)
        wanted = ["homeassistant", "setuptools<81"]  # of which older integrations import a part
        subprocess.run([str(python), "-m", "uv", "pip", "install", "-q", *wanted], check=True, env=environment(python))
    told = subprocess.run(version, capture_output=True, text=True, check=True)
    return python, told.stdout.strip()


def environment(python: Path) -> dict[str, str]:
    """Return an environment in which installers mean this venv."""
    found = {**os.environ, "VIRTUAL_ENV": str(python.parent.parent), "PATH": f"{python.parent}:{os.environ['PATH']}"}
    return {name: value for name, value in found.items() if not name.startswith(("KIOSK_", "PYTHON"))}


def broker(folder: Path, port: int, parts: ExitStack) -> subprocess.Popen[bytes]:
    """Start a mosquitto with two users."""
    folder.mkdir(exist_ok=True)
    words = folder / "passwords"
    words.write_text(f"kiosk:{PASSWORD}\nhouse:{PASSWORD}\n")
    passwd = shutil.which("mosquitto_passwd") or "/usr/bin/mosquitto_passwd"
    subprocess.run([passwd, "-U", str(words)], check=True)
    words.chmod(0o644)
    file = folder / "mosquitto.conf"
    file.write_text(f"user root\nlistener {port} 127.0.0.1\nallow_anonymous false\npassword_file {words}\n")
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise SystemExit("no mosquitto here: apt install mosquitto")
    made = subprocess.Popen([program, "-c", str(file)], stderr=subprocess.DEVNULL)
    parts.callback(ended, made)
    return made


def ended(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(15.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def house(python: Path, folder: Path, port: int, parts: ExitStack) -> subprocess.Popen[bytes]:
    """Start Home Assistant with one integration, MQTT, as its own settings page would have stored it."""
    if folder.exists():
        shutil.rmtree(folder)
    (folder / "custom_components" / "acceptance").mkdir(parents=True)
    place = folder / "custom_components" / "acceptance"
    (place / "__init__.py").write_text(WATCH)
    about = {"domain": "acceptance", "name": "Acceptance", "version": "1.0.0", "requirements": [], "codeowners": []}
    (place / "manifest.json").write_text(json.dumps(about))
    http = free_port()
    (folder / "configuration.yaml").write_text(
        f"homeassistant:\n  name: Acceptance\nhttp:\n  server_host: 127.0.0.1\n  server_port: {http}\nacceptance:\n"
    )
    entry = {
        "entry_id": "0123456789abcdef0123456789abcdef",
        "version": 1,
        "minor_version": 1,
        "domain": "mqtt",
        "title": "broker",
        "data": {
            "broker": "127.0.0.1",
            "port": port,
            "username": "house",
            "password": PASSWORD,
            "discovery": True,
            "discovery_prefix": "homeassistant",
        },
        "options": {},
        "pref_disable_new_entities": False,
        "pref_disable_polling": False,
        "source": "user",
        "unique_id": None,
        "disabled_by": None,
    }
    (folder / ".storage").mkdir()
    stored = {"version": 1, "minor_version": 1, "key": "core.config_entries", "data": {"entries": [entry]}}
    (folder / ".storage" / "core.config_entries").write_text(json.dumps(stored))
    log = parts.enter_context((folder / "out.log").open("wb"))
    made = subprocess.Popen(
        [str(python), "-m", "homeassistant", "-c", str(folder)],
        stdout=log,
        stderr=log,
        env=environment(python),
    )
    parts.callback(ended, made)
    return made


class House:
    """What Home Assistant knows, and what it is told to do."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def states(self) -> dict[str, str]:
        """Return the states of the kiosk's entities."""
        try:
            known: dict[str, str] = json.loads((self._folder / "states.json").read_text())
        except (OSError, ValueError):
            return {}
        return {name: state for name, state in known.items() if name.partition(".")[0] in (*WANTED, "image", "camera")}

    def lock(self) -> str:
        """Return the state of the kiosk's lock."""
        return next((state for name, state in self.states().items() if name.startswith("lock.")), "")

    def call(self, service: str) -> None:
        """Have Home Assistant call a service of its lock."""
        entity = next(name for name in self.states() if name.startswith("lock."))
        part = self._folder / "order.part"
        part.write_text(json.dumps({"domain": "lock", "service": service, "entity": entity}))
        part.replace(self._folder / "order.json")


def kiosk(folder: Path, port: int, parts: ExitStack) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """Start a kiosk that Home Assistant may open the door of; return it and its environment."""
    state = folder / "state"
    if state.exists():
        shutil.rmtree(state)
    portraits = folder / "portraits"
    portraits.mkdir(exist_ok=True)
    shutil.copy(GOLDEN / "person_a_2.jpg", portraits)
    settings = {
        "KIOSK_STATE": str(state),
        "KIOSK_MQTT_HOST": "127.0.0.1",
        "KIOSK_MQTT_PORT": str(port),
        "KIOSK_MQTT_USER": "kiosk",
        "KIOSK_MQTT_DEVICE_ID": "front",
        "KIOSK_MQTT_MAY_RELEASE": "true",
        "KIOSK_API_ENABLED": "false",
    }
    chosen = {**os.environ, **settings}
    program = [sys.executable, "-m", "kiosk"]
    person = [*program, "enrol", str(GOLDEN / "person_a_1.jpg"), "--name", "Person A"]
    subprocess.run(person, env=chosen, check=True, capture_output=True)
    subprocess.run([*program, "mqtt", "password"], env=chosen, input=PASSWORD.encode(), check=True, capture_output=True)
    return started(folder, chosen, parts), chosen


def started(folder: Path, chosen: dict[str, str], parts: ExitStack) -> subprocess.Popen[bytes]:
    """Start `kiosk run`; what it says goes into a file."""
    log = parts.enter_context((folder / "kiosk.log").open("ab"))
    made = subprocess.Popen(
        [sys.executable, "-m", "kiosk", "run", "--demo", str(folder / "portraits"), "--loop"],
        stdout=log,
        stderr=log,
        env=chosen,
    )
    parts.callback(ended, made)
    return made


def main() -> None:
    """Run it, and write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, required=True, help="a folder for the venv, which is used again")
    chosen = parser.parse_args()
    chosen.into.mkdir(parents=True, exist_ok=True)
    python, version = installed(chosen.into)
    print(f"Home Assistant {version}", flush=True)
    with ExitStack() as parts:
        port = free_port()
        broker(chosen.into / "broker", port, parts)
        known = House(chosen.into / "house")
        house(python, chosen.into / "house", port, parts)
        _, start_s = until((chosen.into / "house" / "states.json").exists, START_S)
        print(f"it runs after {start_s:.0f} s", flush=True)
        running, settings = kiosk(chosen.into, port, parts)
        until(lambda: known.lock() == "locked", START_S)
        found, _ = until(lambda: all(any(one.startswith(f"{kind}.") for one in known.states()) for kind in WANTED))
        entities = dict(sorted(known.states().items()))
        print(f"{len(entities)} entities: {json.dumps(entities, indent=1)}", flush=True)
        person = next(name for name in entities if name.startswith("event."))
        _, decided_s = until(lambda: known.states().get(person) not in {None, "unknown", "unavailable"})
        print(f"a decision came as an event after {decided_s:.1f} s", flush=True)

        until(lambda: known.lock() == "locked")
        known.call("unlock")
        _, unlocked_s = until(lambda: known.lock() == "unlocked")
        _, locked_s = until(lambda: known.lock() == "locked")
        print(f"unlocked {unlocked_s:.2f} s after the call, locked again {locked_s:.2f} s later", flush=True)

        running.send_signal(signal.SIGKILL)
        _, will_s = until(lambda: set(known.states().values()) == {"unavailable"})
        print(f"all unavailable {will_s:.2f} s after the kiosk was killed", flush=True)
        started(chosen.into, settings, parts)
        _, back_s = until(lambda: known.lock() == "locked")
        print(f"back {back_s:.1f} s after its start", flush=True)
    log = subprocess.run(
        [sys.executable, "-m", "kiosk", "log", "export", "--format", "json"],
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    records = [json.loads(one["record"]) for one in json.loads(log)]
    releases = [one.get("actor") for one in records if one["kind"] == "RELEASE"]
    print(f"releases in the kiosk's log: {releases}", flush=True)
    result = {
        **about_run(QUESTION, read_pack(standard_pack()), command=COMMAND),
        "home_assistant": version,
        "entities": sorted(entities),
        "release_to_unlocked_s": round(unlocked_s, 3),
        "will_s": round(will_s, 3),
        "releases_in_log": releases,
        "found": bool(found),
    }
    (RESULTS / "home_assistant.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
