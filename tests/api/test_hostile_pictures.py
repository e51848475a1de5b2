"""A picture made to stop the recogniser stops neither other calls nor the end of the process."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from kiosk.decoding.confinement import Limits
from kiosk.decoding.decoder import Decoder
from kiosk.entrance.news import Still
from tests.api.served import A1, A2, match_files, serving
from tests.conftest import ROOT
from tests.decoding import hostile_reader
from tests.decoding.bombs import scan_bomb, slow_picture
from tests.decoding.test_decoder import is_busy
from tests.documents.cards import jpeg
from tests.patience import BUSY_S, LIMIT_S, PROCESS_S, until

FORMS = [
    ("/v3/face-match/", {"user_image": None, "ref_image": A2}, "user_image"),
    ("/v3/face-search/", {"user_image": None}, "user_image"),
    ("/device/subjects", {"image": None}, "image"),
    ("/device/blocklist", {"image": None}, "image"),
    ("/device/quality", {"image": None}, "image"),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("hostile") / "state") as made:
        made.device.decoder.close()
        made.device.decoder = Decoder(Limits(processor_s=0.3, wall_s=LIMIT_S))
        yield made


@pytest.mark.parametrize(("path", "files", "field"), FORMS)
@pytest.mark.parametrize(
    ("picture", "said"),
    [
        pytest.param(scan_bomb(7000, 3000), "scans or more", id="scan bomb"),
        pytest.param(b"\xff\xd8" + b"\xff" * 4_900_000, "padding", id="padding"),
        pytest.param(slow_picture(), "0.3 s of processor time", id="slow"),
    ],
)
def test_every_call_that_takes_a_picture_answers_400_with_the_reason(served, path, files, field, picture, said):
    role = "device" if path.startswith("/v3") else "operator"
    sent = {name: ("a.jpg", content or picture) for name, content in files.items()}

    answer = served.call("POST", path, role, files=sent)

    assert answer.status_code == 400
    (sentence,) = answer.json()[field]
    assert sentence.startswith("Invalid image: ")
    assert said in sentence


@pytest.mark.parametrize(("path", "files", "field"), FORMS)
def test_a_bomb_is_refused_without_a_place_in_the_queue_of_the_recogniser(served, path, files, field):
    role = "device" if path.startswith("/v3") else "operator"
    sent = {name: ("a.jpg", content or scan_bomb(7000, 3000)) for name, content in files.items()}
    queue = served.application.context.queue
    going_on = threading.Event()
    work = [queue.submit(going_on.wait) for _ in range(queue.threads)]
    try:
        answer = served.call("POST", path, role, files=sent)
        is_held_up = not any(one.done() for one in work)
    finally:
        going_on.set()

    assert answer.status_code == 400
    assert "scans or more" in answer.json()[field][0]
    assert is_held_up


@pytest.mark.parametrize(
    ("level", "said"),
    [
        pytest.param(hostile_reader.CRASHES, "the reader of codes crashed on it (signal 11)", id="crash"),
        pytest.param(hostile_reader.RUNS_ON, "0.3 s of processor time to search for codes", id="loop"),
    ],
)
def test_a_document_that_the_reader_of_codes_fails_on_is_refused_by_its_side_and_the_next_is_read(
    tmp_path, monkeypatch, level, said
):
    hostile_reader.stand_in(tmp_path, monkeypatch)
    bad = jpeg(np.dstack([hostile_reader.plate(level)] * 3))
    with serving(tmp_path / "state") as served:
        served.device.decoder = Decoder(Limits(processor_s=0.3, wall_s=LIMIT_S))

        def ask(path, role, **files):
            sent = {name: ("a.jpg", content) for name, content in files.items()}
            return served.call("POST", path, role, files=sent)

        verified = ask("/v3/id-verification/", "device", front_image=A1, back_image=bad)
        previewed = ask("/device/documents", "operator", front_image=bad)
        entrance = replace(served.device.config.entrance, mode="enrol")
        served.device.apply(replace(served.device.config, entrance=entrance))
        served.kiosk.picture = Still(bad, (96, 64), 0.1, ())
        shown = served.call("POST", "/device/documents/shown", "operator")
        after = ask("/v3/id-verification/", "device", front_image=A1)
        health = served.call("GET", "/system/healthcheck/")

    assert (verified.status_code, list(verified.json())) == (400, ["back_image"])
    assert said in verified.json()["back_image"][0]
    assert said in previewed.json()["front_image"][0]
    assert shown.status_code == 409
    assert said in shown.text
    assert after.json() == {"error": "COULD_NOT_RECOGNIZE_DOCUMENT"}, "a portrait is no document, and was read"
    assert health.status_code == 200


def test_an_import_says_it_in_a_row(served):
    files = [("file", (f"Person {one}/1.jpg", content)) for one, content in (("A", slow_picture()), ("B", A1))]
    begun = served.call("POST", "/device/imports", "operator", files=files).json()["id"]

    def state():
        return served.call("GET", f"/device/imports/{begun}", "operator").json()

    until(lambda: state()["state"] == "done")
    assert state()["people"] == {"unreadable": 1, "added": 1}


def test_others_are_answered_while_one_picture_is_decoded(tmp_path):
    with serving(tmp_path / "state", with_desk=False) as served:
        served.device.decoder.close()
        served.device.decoder = Decoder(Limits(processor_s=LIMIT_S, wall_s=LIMIT_S))
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(served.call, "POST", "/v3/face-match/", "device", files=match_files(slow_picture()))
            until(lambda: any(is_busy(pid) for pid in served.device.decoder.processes))

            for _ in range(3):
                assert served.call("POST", "/v3/face-match/", "device", files=match_files()).status_code == 200

            assert not slow.done()
            served.device.decoder.close()
            assert slow.result(BUSY_S).status_code == 503


def test_sigterm_ends_a_server_that_decodes_a_slow_picture(tmp_path):
    """The picture would take its decoder longer than the whole test may."""
    environment = {"KIOSK_STATE": str(tmp_path / "state"), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}

    def kiosk(*words):
        command = [sys.executable, "-m", "kiosk", *words]
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    with kiosk("init") as made:
        made.communicate(timeout=PROCESS_S)
    with kiosk("key", "create", "--role", "device") as made:
        key = made.communicate(timeout=PROCESS_S)[0].splitlines()[-1]
    with kiosk("serve", "--port", "0") as process:
        try:
            address = process.stdout.readline().split()[-1]

            def post():
                files = match_files(slow_picture(), slow_picture())
                with httpx.Client(trust_env=False, timeout=LIMIT_S, headers={"x-api-key": key}) as client:
                    while process.poll() is None:
                        try:
                            client.post(f"{address}/v3/face-match/", files=files)
                        except httpx.HTTPError:
                            return

            sender = threading.Thread(target=post)
            sender.start()
            workers = children(process.pid)
            until(lambda: any(is_busy(pid) for pid in children(process.pid)))
            workers = children(process.pid)
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=BUSY_S)
            sender.join(LIMIT_S)
        finally:
            process.kill()

    assert process.returncode == 0
    assert "Traceback" not in log
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def children(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


@pytest.mark.parametrize("name", ["Person A\n#2", "x\u202ey", "\x1b[31m"])
def test_a_name_that_cannot_be_seen_is_refused_wherever_one_is_given(served, name):
    people = served.call("POST", "/device/subjects", "operator", files={"image": A1}, data={"name": name})
    screen = served.call("POST", "/device/enrolments", "operator", json={"name": name, "consent": {"version": "1"}})

    assert people.status_code == screen.status_code == 400
    assert "cannot be seen" in people.json()["name"][0]
    assert "cannot be seen" in screen.json()["name"][0]
