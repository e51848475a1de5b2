"""Facts about the commands of the API: serve, key, operator."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from kiosk.api.totp import new_secret
from kiosk.store.accounts import Accounts
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from tests.cli.commanded import command
from tests.conftest import ROOT
from tests.patience import LIMIT_S, PROCESS_S

PASSWORD = "correct horse battery"


@pytest.fixture
def state(tmp_path):
    initialise(tmp_path / "state", now=time.time).close()
    return {"KIOSK_STATE": str(tmp_path / "state")}


@pytest.fixture
def kiosk(state):
    """Give a function that runs a command of the kiosk on a store of its own."""

    def run(*words, stdin=""):
        return command(*words, answers=stdin, environment=state)

    return run


def test_a_key_is_the_last_line_alone_and_is_listed_without_its_text(kiosk):
    made = kiosk("key", "create", "--role", "device", "--name", "gate", "--expires", "2")
    key = made.stdout.splitlines()[-1]

    listed = kiosk("key", "list")

    assert (made.returncode, key.count("_") >= 2, " " in key) == (0, True, False)
    assert "gate" in listed.stdout
    assert key not in listed.stdout + made.stderr


def test_the_first_operators_code_is_printed_until_there_is_an_account_and_never_again(kiosk):
    made = kiosk("setup")
    told = json.loads(kiosk("setup", "--json").stdout)
    kiosk("operator", "add", "Person C", "--role", "admin", stdin=PASSWORD + "\n")
    late = kiosk("setup")

    assert "only a browser on the device itself" in made.stderr  # [api] bind is loopback
    assert f"http://127.0.0.1:8080/#/setup?code={told['code']}" == told["address"]
    assert told["code"] not in made.stdout  # each makes a new one
    assert (late.returncode, "operators already" in late.stderr, "code" in late.stdout) == (1, True, False)


def test_an_operator_is_not_ended_as_a_key(kiosk):
    kiosk("operator", "add", "Person C", "--role", "admin", stdin=PASSWORD + "\n")
    (person,) = json.loads(kiosk("operator", "list", "--json").stdout)

    refused = kiosk("key", "revoke", person["id"])

    assert (refused.returncode, "no valid key" in refused.stderr) == (1, True)


def test_a_lost_telephone_is_dropped_with_another_password(kiosk, state):
    kiosk("operator", "add", "Person C", "--role", "admin", stdin=PASSWORD + "\n")
    directory = Path(state["KIOSK_STATE"])
    with open_store(directory, read_keys(directory), now=time.time) as store:
        accounts = Accounts(store, now=time.time)
        (person,) = accounts.all("operator")
        accounts.set_totp(person.id, new_secret())
        kiosk("operator", "password", "Person C", stdin=PASSWORD + "\n")
        (kept,) = accounts.all("operator")
        kiosk("operator", "password", "Person C", "--drop-second-factor", stdin=PASSWORD + "\n")
        (dropped,) = accounts.all("operator")

    assert kept.totp is not None
    assert dropped.totp is None


def test_an_operators_password_comes_by_stdin_and_is_shown_nowhere(kiosk):
    made = kiosk("operator", "add", "Person C", "--role", "admin", stdin=PASSWORD + "\n")
    again = kiosk("operator", "add", "person c", stdin=PASSWORD + "\n")
    short = kiosk("operator", "add", "Person D", stdin="short\n")

    assert (made.returncode, again.returncode, short.returncode) == (0, 1, 1)
    assert "of this name" in again.stderr
    assert "characters" in short.stderr
    assert PASSWORD not in made.stdout + made.stderr + again.stderr
    (listed,) = json.loads(kiosk("operator", "list", "--json").stdout)
    assert (listed["name"], listed["role"]) == ("Person C", "admin")


def test_a_revoked_key_is_told_and_another_id_refused(kiosk):
    made = json.loads(kiosk("key", "create", "--role", "admin", "--json").stdout)

    assert kiosk("key", "revoke", made["id"]).returncode == 0
    assert "revoked" in kiosk("key", "list").stdout
    assert kiosk("key", "revoke", made["id"]).returncode == 1


def test_serve_refuses_to_be_reached_from_elsewhere_in_clear_text(kiosk):
    run = kiosk("serve", "--bind", "0.0.0.0", "--port", "0")

    assert run.returncode == 1
    assert "tls_certificate" in run.stderr


def test_serve_answers_a_key_made_by_the_command_line_and_ends_on_sigterm(kiosk, state):
    key = kiosk("key", "create", "--role", "device").stdout.splitlines()[-1]
    serve = [sys.executable, "-m", "kiosk", "serve", "--port", "0"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KIOSK_")}
    with subprocess.Popen(
        serve, cwd=ROOT, env={**kept, **state}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            files = {
                name: (ROOT / "tests" / "golden" / "person_a_1.jpg").read_bytes()
                for name in ("user_image", "ref_image")
            }
            answer = httpx.post(
                f"{address}/v3/face-match/", headers={"x-api-key": key}, files=files, trust_env=False, timeout=LIMIT_S
            )
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=PROCESS_S)
        finally:
            process.kill()

    assert answer.json()["face_match"]["score"] == 100
    assert process.returncode == 0
    assert "Traceback" not in log
    assert key not in log
