"""Does anybody wait at the door for an MQTT broker that is killed, or hangs, while people enter?

    python benchmarks/broker_lost.py

The number that would change a decision: fewer than 20 of 20 people decided, or a p95 of the door that is more than a
tenth above that with a broker. Twenty people come three times: with a real mosquitto on loopback, with one that is
killed at the fifth, and with one that is stopped at the fifth and hangs. Faces are scripted; store, records, relay and
the MQTT client are the real ones. What is measured is the frame that decides (search, record on the disk, relay,
news), and apart from it what the client keeps whoever tells it, which is all that a broker could hold up.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.about import about_device, about_run, store
from benchmarks.home_assistant import PASSWORD, broker, free_port, until
from kiosk.integrations.mqtt import Mqtt
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.settings.neighbours import MqttSettings
from kiosk.testing.scripted_kiosk import ScriptedKiosk
from tests.entrance.staged import Stage, template

PEOPLE, WARM_UP, LOST_AT, ROUNDS = 20, 3, 5, 5
KINDS = {"broker": None, "killed": signal.SIGKILL, "hangs": signal.SIGSTOP}
STEP_S = 0.1


def evening(folder: Path, sign: signal.Signals | None) -> tuple[list[float], list[float], int]:
    """Let people enter; return how long each frame took that opened, and each word to the client, ms; and its drops."""
    with ExitStack() as parts:
        port = free_port()
        running = broker(folder / "broker", port, parts)
        stage = Stage(folder)
        parts.callback(stage.close)
        people = [template(seed) for seed in range(1, PEOPLE + WARM_UP + 1)]
        for number, person in enumerate(people):
            stage.enrol(person, name=f"Person {number}")
        kiosk = ScriptedKiosk(time.time)
        kiosk.news = stage.broadcast
        settings = MqttSettings(host="127.0.0.1", port=port, user="kiosk", device_id="front")
        mqtt = Mqtt(kiosk, settings, password=PASSWORD, level="off")
        marks: list[float] = []
        told: list[float] = []
        stage.broadcast.listen(lambda _news: marks.append(time.perf_counter()))  # told before the client, and after it
        mqtt.start()
        stage.broadcast.listen(lambda _news: told.append((time.perf_counter() - marks[-1]) * 1000.0))
        parts.callback(mqtt.close)
        until(lambda: mqtt.figures()["is_connected"])
        took: list[float] = []
        for number, person in enumerate(people):
            if sign is not None and number == WARM_UP + LOST_AT:
                running.send_signal(sign)
            stage.show(seconds=2.0)
            for _ in range(20):
                before = stage.lines.pulses
                stage.clock.advance(STEP_S)
                stage.wall.advance(STEP_S)
                stage.door.tick()
                frame = stage.frame(person)
                began = time.perf_counter()
                stage.judge.take(frame, stage.clock.now)
                took_ms = (time.perf_counter() - began) * 1000.0
                if stage.lines.pulses > before and number >= WARM_UP:
                    took.append(took_ms)
        if sign is signal.SIGSTOP:
            running.send_signal(signal.SIGCONT)
        return took, told, mqtt.figures()["dropped"]


def main() -> None:
    """Measure, and write what was seen."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    took: dict[str, list[float]] = {name: [] for name in KINDS}
    told: dict[str, list[float]] = {name: [] for name in KINDS}
    runs: dict[str, list[int]] = {name: [] for name in KINDS}
    dropped = dict.fromkeys(KINDS, 0)
    for _ in range(ROUNDS):  # one after the other, so that what else the machine does is nobody's alone
        for name, sign in KINDS.items():
            folder = Path(tempfile.mkdtemp(prefix="kiosk-broker-"))
            times, words, lost = evening(folder, sign)
            shutil.rmtree(folder)
            took[name] += times
            told[name] += words
            runs[name].append(len(times))
            dropped[name] += lost
    found = {}
    for name, times in took.items():
        p50, p95 = (round(float(one), 2) for one in np.percentile(times, [50, 95]))
        client_ms = round(float(np.percentile(told[name], 95)), 3)
        found[name] = {"decided": runs[name], "p50_ms": p50, "p95_ms": p95, "client_p95_ms": client_ms}
        found[name]["dropped"] = dropped[name]
        print(name, found[name], flush=True)
    result = {
        **about_run(
            "does anybody wait at the door for a broker that is lost",
            read_pack(standard_pack()),
            command="python benchmarks/broker_lost.py",
        ),
        **about_device(["paho-mqtt"]),
        "runs": found,
    }
    store("broker_lost", result)


if __name__ == "__main__":
    main()
