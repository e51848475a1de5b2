"""Facts about the OpenAPI document: it is true, and no body whatever brings the kiosk down."""

from __future__ import annotations

import gc
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image

from kiosk.api import app
from kiosk.device.enrol import enrol_person
from kiosk.store.subjects import Details, Enrolment
from tests.api.served import A1, B1, serving
from tests.patience import PROCESS_S, until

STREAMS = {
    "/device/events",
    "/device/screen/events",
    "/device/screen/preview.mjpg",
}  # without an end; test_kiosk.py
CALLED = sorted((one.method, re.sub(r":\w+", "", one.path)) for one in app.OPERATIONS if one.path not in STREAMS)
EXAMPLES = int(os.environ.get("KIOSK_TEST_EXAMPLES", "5"))  # of each operation; raise it by hand for a long look
MUTANTS = int(os.environ.get("KIOSK_TEST_MUTANTS", "200"))
TRACEBACK = re.compile(r"Traceback|File \"|site-packages|\.py\b")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("openapi") / "state", api_settings={"wrong_keys": 1000}) as served:
        for photograph, name in ((A1, "Person A"), (B1, "Person B")):
            enrol_person(served.device, [photograph], Enrolment(templates=(), details=Details(name=name)))
        yield served


@pytest.fixture(scope="module")
def document(served):
    return served.call("GET", "/openapi.json").json()


@pytest.fixture(scope="module")
def promised(document):
    import schemathesis  # half a second, for these tests alone: every process collects every module

    return schemathesis.openapi.from_dict(document)


@pytest.fixture(scope="module")
def checks():
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    return [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
        checks.unsupported_method,
    ]


def test_the_document_is_of_version_3_1_and_names_every_route(document):
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}

    assert document["openapi"] == "3.1.0"
    assert told == {(one.method, re.sub(r":\w+", "", one.path)) for one in app.OPERATIONS}


@pytest.mark.parametrize(("method", "path"), CALLED, ids=str)
def test_no_call_gets_an_undocumented_answer_nor_a_5xx(served, promised, checks, method, path):
    headers = {"x-api-key": served.keys["admin"]}

    @given(case=promised[path][method].as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def hold(case):
        case.call_and_validate(base_url=served.url, headers=headers, checks=checks, timeout=PROCESS_S)

    hold()


# ---- any body whatever


def mutated(rng, body):
    """Return a body with a few bytes flipped, cut out, doubled or put in."""
    content = bytearray(body)
    for _ in range(rng.integers(1, 6)):
        if not content:
            break
        place = int(rng.integers(0, len(content)))
        length = int(rng.integers(1, 64))
        kind = rng.integers(0, 5)
        if kind == 0:
            content[place] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            del content[place : place + length]
        elif kind == 2:
            content[place:place] = content[place : place + length]
        elif kind == 3:
            content[place:place] = rng.integers(0, 256, length, np.uint8).tobytes()
        else:
            del content[place:]
    return bytes(content)


def pictures():
    """Return small pictures of every kind that is taken, and of some that are not."""
    image = Image.open(io.BytesIO(A1)).resize((160, 160))
    found = []
    for kind, more in (
        ("JPEG", {}),
        ("PNG", {}),
        ("WEBP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("GIF", {}),
    ):
        content = io.BytesIO()
        image.save(content, kind, **more)
        found.append(content.getvalue())
    return found


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the kernel tells no process's memory here")
def test_mutated_forms_and_pictures_bring_nothing_down_and_take_no_memory(served):
    rng = np.random.default_rng(0)
    shots = pictures()
    client = served.client("device")

    def body():
        one, other = (shots[int(rng.integers(0, len(shots)))] for _ in range(2))
        if rng.random() < 0.5:  # the pictures, or else the form around them
            one, other = mutated(rng, one), mutated(rng, other)
        told = (
            b'--b\r\nContent-Disposition: form-data; name="face_match_score_decline_threshold"\r\n\r\n50\r\n'
            b'--b\r\nContent-Disposition: form-data; name="user_image"; filename="a.jpg"\r\n\r\n%s\r\n'
            b'--b\r\nContent-Disposition: form-data; name="ref_image"; filename="b.jpg"\r\n'
            b"Content-Type: image/jpeg\r\n\r\n%s\r\n--b--\r\n" % (one, other)
        )
        return told if rng.random() < 0.5 else mutated(rng, told)

    def send(count):
        statuses = set()
        for _ in range(count):
            answer = client.post(
                "/v3/face-match/", content=body(), headers={"content-type": "multipart/form-data; boundary=b"}
            )
            assert answer.status_code in {200, 400}, answer.text
            assert not TRACEBACK.search(answer.text), answer.text
            statuses.add(answer.status_code)
        return statuses

    with client:
        send(50)  # until caches and pools have their size
        gc.collect()
        before = resident_mb()
        statuses = send(MUTANTS)
        gc.collect()
        after = resident_mb()

    assert statuses == {200, 400}
    assert after - before < 30
    until(lambda: served.application.context.memory.held == 0)  # given back once the last answer is sent
    assert served.application.context.queue.waiting == 0
