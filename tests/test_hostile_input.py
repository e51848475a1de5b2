"""Whatever arrives is read, or refused with the error that its reader states; nothing else ever comes out.

`KIOSK_TEST_INPUTS=20000 pytest tests/test_hostile_input.py` looks for longer. A failing input that was found is kept
in `FOUND_BEFORE`, so that its kind stays mended. Photographs have tests of their own in tests/recognition and
tests/decoding. benchmarks/fuzz.py runs them all within the memory that the kiosk's unit has.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kiosk.api import app
from kiosk.api.uploads import (
    MalformedError,
    MemoryBudget,
    MemoryFullError,
    TooLargeError,
    boundary_of,
    read_form,
    release,
)
from kiosk.cloud import export
from kiosk.didit import answers, webhooks
from kiosk.didit.answers import Service
from kiosk.documents import aamva, mrz
from kiosk.entrance.restart import NAME, read_restart
from kiosk.errors import CloudError, ConfigError, RefusedError, StoreError
from kiosk.settings.config import Config, load_config
from kiosk.store import chain
from kiosk.store.directory import initialise
from kiosk.store.fleet import document
from kiosk.store.fleet import people as fleet_people
from kiosk.store.keys import Key
from kiosk.store.store import Store
from kiosk.store.upkeep import anchor, backup
from kiosk.store.vault import Cipher, Vault
from tests.api.served import Served, serving
from tests.didit.test_answers import SEED_MATCH, SEED_SEARCH

INPUTS = int(os.environ.get("KIOSK_TEST_INPUTS", "150"))  # of each kind
CALLS = int(os.environ.get("KIOSK_TEST_CALLS", "6"))  # of each route: each is a call over a socket
NOW = 1_800_000_000
TODAY = date(2026, 1, 1)
SECRET = "of the webhooks"
BOUNDARY = b"photographs"
LONGEST_FILE, LONGEST_BODY, ROOM = 2_000, 6_000, 4_000  # bytes; small, so that inputs meet them

look = settings(max_examples=INPUTS, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)

# ---- what is sent

numbers = st.one_of(
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**400, -(10**400)]),
    st.floats(),
    st.sampled_from([1e308, 5e-324, -0.0]),
)
texts = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(categories=["Cs", "Cc", "Nd", "Zs"]), max_size=12),
    st.sampled_from(["[" * 900, "[" * 9_000, '{"a":' * 2_000, "=1+1", "\n=1", "1e999", "٣", "\x00", "-" * 5_000]),
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def nested(depth: int) -> Any:
    """Return lists within lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


deep = st.sampled_from([100, 200, 300, 400, 600, 900]).map(nested)


@st.composite
def bent(draw: Any, seed: Any) -> Any:
    """Return a good body of which a few parts are something else, gone, or there twice."""
    value = copy.deepcopy(seed)
    for _ in range(draw(st.integers(0, 3))):
        holder: Any = value
        while True:
            places = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not places:
                break
            place = draw(st.sampled_from(places))
            if isinstance(holder[place], (dict, list)) and holder[place] and draw(st.booleans()):
                holder = holder[place]
                continue
            if isinstance(holder, dict) and draw(st.integers(0, 5)) == 0:
                del holder[place]
            else:
                holder[place] = draw(values | deep)
            break
    return value


def written(value: Any) -> bytes:
    return json.dumps(value).encode()


@st.composite
def cut_and_flipped(draw: Any, whole: st.SearchStrategy[bytes]) -> bytes:
    """Return bytes of which some are others, or gone."""
    content = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 3))):
        if content:
            place = draw(st.integers(0, len(content) - 1))
            if draw(st.booleans()):
                content[place] = draw(st.integers(0, 255))
            else:
                del content[place : place + draw(st.integers(1, 30))]
    return bytes(content)


# ---- who reads it, and what may come out of them


async def _chunks(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def read_multipart(content: bytes, size: int = 64) -> None:
    room = MemoryBudget(ROOM)
    reading = read_form(
        _chunks(content, size),
        BOUNDARY,
        ("user_image", "ref_image"),
        room=room,
        most_file_bytes=LONGEST_FILE,
        most_bytes=LONGEST_BODY,
        most_files=2,
    )
    with contextlib.suppress(MalformedError, MemoryFullError, TooLargeError):
        form = asyncio.run(reading)
        form.file("user_image")
        form.flag("save_api_request", default=True)
        form.threshold("face_match_score_decline_threshold")
        form.choice("search_type", ("most_similar",), default="most_similar")
        form.metadata("metadata")
        json.dumps(form.errors).encode()
        release(form, room)
    assert room.held == 0, "memory is given back whatever came"


def read_content_type(content: bytes) -> None:
    boundary_of(content.decode("latin-1"))


CLOUD_READERS: tuple[Callable[[Any], object], ...] = (
    lambda said: answers.read_opinion(Service.FACE_MATCH, said),
    lambda said: answers.read_opinion(Service.FACE_SEARCH, said),
    answers.read_sessions,
    answers.read_session,
    answers.read_entries,
    answers.read_balance,
    answers.read_checkout,
    answers.first_of,
    lambda said: answers.text_of(said, "data", "api_key"),
)


def read_cloud_answer(content: bytes) -> None:
    assert answers.sentence(content, "key").isprintable()
    try:
        said = answers.parse(content)
    except CloudError:
        return
    for read in CLOUD_READERS:
        with contextlib.suppress(CloudError):
            read(said)


def read_webhook(content: bytes) -> None:
    """Check it as it came, and signed by somebody who knows the secret."""
    headers = {"x-signature-v2": "0" * 64, "x-timestamp": str(NOW)}
    with pytest.raises(RefusedError):
        webhooks.verified(content, headers, SECRET, now=float(NOW))
    try:
        said = json.loads(content)
        signature = hmac.new(SECRET.encode(), webhooks.canonical(said), hashlib.sha256).hexdigest()
        at = str(said["timestamp"]) if isinstance(said, dict) and "timestamp" in said else str(NOW)
    except (ValueError, RecursionError):
        return
    with contextlib.suppress(RefusedError):
        webhooks.verified(content, {"x-signature-v2": signature, "x-timestamp": at}, SECRET, now=float(NOW))


DEVICE = Vault(Key(bytes(32)), Cipher.AES_256_GCM).public_key


def read_log_record(content: bytes) -> None:
    text = content.decode("utf-8", "surrogateescape")
    assert not chain.receipt_holds(text, DEVICE)
    with contextlib.suppress(ValueError):
        chain.parse(text)
    chain.verify([chain.Signed(seq, text, bytes(32), bytes(64)) for seq in (1, 3)])


def read_anchor(content: bytes) -> None:
    with contextlib.suppress(ConfigError):
        anchor.read(content.decode("utf-8", "replace"))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def people(scratch: Path) -> Iterator[Store]:
    with initialise(scratch / "state", now=lambda: float(NOW)) as store:
        yield store


def read_backup(content: bytes, scratch: Path) -> None:
    path = scratch / "file.backup"
    path.write_bytes(backup.MAGIC + len(content).to_bytes(4, "big") + content)
    with contextlib.suppress(StoreError):
        backup.read_header(path)


def read_export(content: bytes, scratch: Path) -> None:
    path = scratch / "file.export"
    path.write_bytes(content)
    with contextlib.suppress(ConfigError, RefusedError):
        list(export.read(path, "passphrase"))


def read_kept_state(content: bytes, scratch: Path) -> None:
    (scratch / NAME).write_bytes(content)
    read_restart(scratch)


def read_settings(content: bytes, scratch: Path) -> None:
    path = scratch / "kiosk.toml"
    path.write_bytes(content)
    with contextlib.suppress(ConfigError):
        load_config(path, {})


def read_zone(content: bytes) -> None:
    text = content.decode("latin-1")
    found = mrz.parse(text.splitlines(), TODAY)
    assert found is None or found.text
    aamva.parse(text)


def read_word_of_a_kiosk(content: bytes) -> None:
    try:
        said = document.unpack(content)
    except ValueError:
        return
    with contextlib.suppress(fleet_people.ForgedError):
        fleet_people.check(said, {})


# ---- what failed once, by its reader

RECORD = {"v": 1, "seq": 1, "at": 1.0, "kind": "INIT", "request_id": "r", "prev_hash": chain.NO_HASH, "clock": "synced"}
DEEP = b"[" * 600 + b"]" * 600
HUGE = b"1" + b"0" * 400
FOUND_BEFORE = [
    pytest.param(read_cloud_answer, b'{"detail": ' + DEEP + b"}", id="a sentence of lists in lists"),
    pytest.param(
        read_cloud_answer,
        json.dumps(SEED_MATCH).encode().replace(b'"score": 80', b'"score": ' + HUGE),
        id="a score of 401 digits",
    ),
    pytest.param(
        read_cloud_answer,
        written({"session_id": "one", "metadata": "[" * 100_000}),
        id="metadata of brackets",
    ),
    pytest.param(read_webhook, b'{"timestamp": ' + HUGE + b"}", id="a signed time of 401 digits"),
    pytest.param(read_log_record, b"[" * 100_000, id="a record of brackets"),
    pytest.param(
        read_log_record,
        written({**RECORD, "seq": 3, "kind": "RESTORE", "details": ["replaces"]}),
        id="a restore whose details are a list",
    ),
    pytest.param(read_log_record, b"\xff", id="a record of half a character"),
    pytest.param(
        read_log_record,
        b'{"receipt": {"act": "\\ud800"}, "signature": "' + b"00" * 64 + b'"}',
        id="a receipt of half a character",
    ),
]
FILES_FOUND_BEFORE = [
    pytest.param(read_backup, b"[" * 60_000, id="a backup's head of brackets"),
    pytest.param(read_kept_state, b"[" * 100_000, id="a kept state of brackets"),
    pytest.param(read_export, b"[" * 4_000, id="an export's head of brackets"),
    pytest.param(read_export, b'{"n": Infinity, "r": 8, "p": 1}', id="an export of infinite cost"),
]


@pytest.mark.parametrize(("read", "content"), FOUND_BEFORE)
def test_what_failed_once_is_read_or_refused(read: Callable[[bytes], None], content: bytes) -> None:
    read(content)


@pytest.mark.parametrize(("read", "content"), FILES_FOUND_BEFORE)
def test_a_file_that_failed_once_is_read_or_refused(
    read: Callable[[bytes, Path], None], content: bytes, scratch: Path
) -> None:
    read(content, scratch)


# ---- what comes by chance


@st.composite
def forms(draw: Any) -> bytes:
    """Return a multipart body: good, odd and broken parts."""
    body = b""
    for _ in range(draw(st.integers(0, 6))):
        name = draw(
            st.sampled_from([b"user_image", b"ref_image", b"metadata", b"search_type", b"x" * 300, b"", b"\xff"])
        )
        head = draw(
            st.sampled_from([b'Content-Disposition: form-data; name="%s"', b"content-disposition: form-data; name=%s"])
            | st.just(b'Content-Disposition: form-data; name="%s"; filename="a.jpg"\r\nContent-Type: image/jpeg')
            | st.just(b"X: %s")
        )
        content = draw(st.binary(max_size=200) | values.map(written) | st.just(b"x" * 3_000))
        body += b"--" + BOUNDARY + b"\r\n" + head % name + b"\r\n\r\n" + content + b"\r\n"
    end: bytes = draw(st.sampled_from([b"--\r\n", b"--", b"\r\n", b""]))
    return bytes(body) + b"--" + BOUNDARY + end


@look
@given(cut_and_flipped(forms()), st.sampled_from([1, 7, 64, 10_000]))
def test_any_multipart_body_is_a_form_or_a_stated_error(content: bytes, size: int) -> None:
    read_multipart(content, size)


@look
@given(st.binary(max_size=80) | cut_and_flipped(st.just(b'multipart/form-data; boundary="a"; charset=utf-8')))
def test_any_content_type_has_a_boundary_or_none(content: bytes) -> None:
    read_content_type(content)


SESSIONS = {"results": [{"session_id": "s", "status": "Approved", "metadata": '{"kiosk": 1}'}], "next": None}
ENTRIES = {"count": 1, "results": [{"uuid": "e", "metadata": {"reference_image_url": "https://a/b.jpg"}}]}
OTHERS = {"balance": "12.50", "checkout_url": "https://pay/1", "detail": "Not found.", "data": {"api_key": "k"}}
cloud_bodies = st.one_of(values, *(bent(seed) for seed in (SEED_MATCH, SEED_SEARCH, SESSIONS, ENTRIES, OTHERS)))


@look
@given(cut_and_flipped(cloud_bodies.map(written)) | st.binary(max_size=60))
def test_any_answer_of_a_cloud_is_read_or_a_cloud_error(content: bytes) -> None:
    read_cloud_answer(content)


@look
@given(
    cut_and_flipped((values | bent({"timestamp": NOW, "status": "Approved", "score": 88.0, "b": [1.5]})).map(written))
)
def test_any_webhook_is_read_or_refused(content: bytes) -> None:
    read_webhook(content)


ACTS = (
    ("INIT", {"public_key": "00" * 32}),
    ("REKEY", {"next_public_key": "00" * 32}),
    ("RESTORE", {"replaces": [2, 2], "last_hash": "0"}),
    ("LOSS", {"lost": [2, 2], "head": "missing"}),
)


@look
@given(
    cut_and_flipped(
        st.one_of(
            [bent({**RECORD, "kind": kind, "details": details, "warnings": ["a"]}) for kind, details in ACTS]
        ).map(written)
        | bent({"receipt": {"act": "forget"}, "signature": "00" * 64}).map(written)
    )
)
def test_any_record_of_a_log_is_read_or_a_fault(content: bytes) -> None:
    read_log_record(content)


@look
@given(
    cut_and_flipped(
        st.just(f"kiosk-anchor-1 {'0' * 36} 12 {'a' * 64} 2027-01-15T08:00:00Z {'A' * 86}".encode())
        | texts.map(lambda text: text.encode("utf-8", "replace"))
    )
)
def test_any_line_is_an_anchor_or_none(content: bytes) -> None:
    read_anchor(content)


@look
@given(text=texts | st.text(st.characters(), max_size=30) | numbers.map(str))
def test_any_code_that_a_reader_sends_finds_somebody_or_nobody(people: Store, text: str) -> None:
    assert people.people.find(text) == ()


HEADER = {
    "created_at": 1.0,
    "label": "a",
    "schema": 1,
    "cipher": "AES-256-GCM",
    "key_check": "0",
    "store_id": "s",
    "log_seq": 1,
    "log_hash": "0",
    "session_number": 1,
    "subjects": 1,
    "scrubbed_to": 0,
    "key": "00",
}


@look
@given(cut_and_flipped((values | bent(HEADER)).map(written)))
def test_any_file_is_a_backup_or_a_store_error(scratch: Path, content: bytes) -> None:
    read_backup(content, scratch)


EXPORT_HEAD = {"format": export.FORMAT, "n": 2, "r": 8, "p": 1, "salt": "00"}


@look
@given(cut_and_flipped((values | bent(EXPORT_HEAD)).map(written)), st.binary(max_size=60))
def test_any_file_is_an_export_or_a_stated_error(scratch: Path, head: bytes, rest: bytes) -> None:
    read_export(head + b"\n" + rest, scratch)


@look
@given(cut_and_flipped((values | bent({"tries": {"a": [1.0]}, "is_alarm_armed": False})).map(written)))
def test_any_kept_state_is_read_or_taken_as_armed(scratch: Path, content: bytes) -> None:
    read_kept_state(content, scratch)


SETTINGS = [(section.name, one.name) for section in fields(Config) for one in fields(getattr(Config(), section.name))]


@st.composite
def files_of_settings(draw: Any) -> bytes:
    """Return a file of settings that there are, with whatever for their values."""
    chosen = draw(st.lists(st.tuples(st.sampled_from(SETTINGS), values), max_size=6))
    lines = [f"[{section}]\n{name} = {json.dumps(value)}\n" for (section, name), value in chosen]
    return "".join(lines).encode()


@look
@given(cut_and_flipped(files_of_settings()))
def test_any_file_is_settings_or_a_config_error(scratch: Path, content: bytes) -> None:
    read_settings(content, scratch)


ZONES = (
    "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10",
    "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<",
    "@\n\x1e\rANSI 636000090002DL00410278\nDLDAQD12345678\nDCSERIKSSON\nDACANNA\nDBB08121974",
)


@look
@given(cut_and_flipped(st.sampled_from(ZONES).map(str.encode) | st.text("AZ09<\n", max_size=90).map(str.encode)))
def test_any_lines_of_a_document_are_read_or_no_zone(content: bytes) -> None:
    read_zone(content)


SAID = {
    "registers": {
        "status": [1, "b", "Approved"],
        "dates": [1, "b", [None, 1.0, 2.0]],
        "made": [1, "b", [0.0, "x", None]],
    },
    "references": [["m", "AACAPwAAAAA=", None, 1.0]],
    "blocks": {"a": "reason"},
    "lifted": ["b"],
}


@look
@given(cut_and_flipped((values | bent(SAID) | bent({"forgotten": 1})).map(written)))
def test_any_word_of_another_kiosk_is_read_or_refused(content: bytes) -> None:
    read_word_of_a_kiosk(content)


# ---- JSON bodies, over a socket

WITH_JSON = [one for one in app.OPERATIONS if one.json is not None and one.path != "/device/session"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with serving(tmp_path_factory.mktemp("served") / "state", api_settings={"wrong_keys": 10_000}) as served:
        yield served


@pytest.mark.parametrize("operation", WITH_JSON, ids=lambda one: f"{one.method} {one.path}")
def test_any_json_body_is_taken_or_refused_with_a_stated_answer(served: Served, operation: Any) -> None:
    names = list((operation.json or {}).get("properties", {})) or ["anything"]
    bodies = st.dictionaries(st.sampled_from(names) | texts, values, max_size=len(names) + 1) | values | deep
    path = operation.path.replace("{", "").replace("}", "").split(":")[0]
    path = "/".join("1" if part in {"number", "session_number"} else part for part in path.split("/"))
    stated = {*operation.answers, 400, 401, 403, 404, 408, 409, 413, 415, 429}
    with served.client("admin") as client:

        @settings(look, max_examples=CALLS)
        @given(cut_and_flipped(bodies.map(written)))
        def send(content: bytes) -> None:
            answered = client.request(
                operation.method, path, content=content, headers={"content-type": "application/json"}
            )
            assert answered.status_code in stated, (operation.path, content, answered.text)
            is_table = path == "/device/people.csv" and answered.status_code == 200  # a file to save, not JSON
            if is_table:
                assert answered.headers["content-type"].startswith("text/csv")
            elif answered.content:
                assert isinstance(answered.json(), dict)

        send()
