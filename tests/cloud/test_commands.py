"""Facts about `kiosk cloud …` and about what leaves: each command against the stand-in, and nothing by default."""

import io
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from kiosk.cli import main
from kiosk.cloud.credentials import API_KEY, WEBHOOK_SECRET, Credentials
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.outbox import Message
from kiosk.store.remote_lists import Lists
from kiosk.store.subjects import SubjectFilter
from kiosk.testing.fake_cloud import FakeCloud
from kiosk.types import Template
from tests.cloud.cloudy import PACK, decide, device, sent, settings
from tests.conftest import ROOT
from tests.patience import PROCESS_S

EMAIL, PASSWORD = "owner@example.org", "MyStr0ng!Pass"
LIST = "5b3720ed-d429-42ef-b67f-37ea805f48ee"


@pytest.fixture
def fake():
    with FakeCloud() as cloud:
        yield cloud


@pytest.fixture
def run(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KIOSK_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("KIOSK_CLOUD_BASE_URL", fake.url)
    monkeypatch.setenv("KIOSK_CLOUD_ACCOUNT_URL", fake.url)
    initialise(tmp_path / "state", now=lambda: 1_800_000_000.0).close()

    def call(*arguments, secret=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(secret + "\n" if secret else ""))
        code = main.main(["cloud", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def stored_key(tmp_path):
    with open_store(tmp_path / "state", read_keys(tmp_path / "state"), now=lambda: 0.0) as store:
        return Credentials(store).read(API_KEY)


def registered(run, fake):
    assert run("register", "--email", EMAIL, secret=PASSWORD)[0] == 0
    return run("verify", "--email", EMAIL, "--code", fake.code_for(EMAIL).lower())


def test_an_account_is_opened_and_its_key_is_kept_and_never_shown(run, fake, tmp_path):
    code, out, err = registered(run, fake)

    key = stored_key(tmp_path)
    assert code == 0
    assert key in fake.keys
    assert key not in out + err
    assert key.encode() not in (tmp_path / "state" / "kiosk.db").read_bytes()


def test_a_wrong_code_is_said_so(run):
    run("register", "--email", EMAIL, secret=PASSWORD)

    code, _, err = run("verify", "--email", EMAIL, "--code", "WRONG1")

    assert code == 1
    assert "the code is wrong" in err


def test_an_expired_code_is_said_so(run, fake):
    run("register", "--email", EMAIL, secret=PASSWORD)
    fake.outdate_code(EMAIL)

    code, _, err = run("verify", "--email", EMAIL, "--code", fake.code_for(EMAIL))

    assert code == 1
    assert "the code has expired; `kiosk cloud register` sends another" in err


def test_a_weak_password_is_said_so_and_not_repeated(run):
    code, _, err = run("register", "--email", EMAIL, secret="feeble")

    assert code == 1
    assert "too weak" in err
    assert "feeble" not in err


def test_logging_in_fetches_the_key(run, fake, tmp_path):
    registered(run, fake)
    first = stored_key(tmp_path)
    run("key", secret="another")

    code, _, _ = run("login", "--email", EMAIL, secret=PASSWORD)

    assert code == 0
    assert stored_key(tmp_path) == first


def test_a_wrong_password_is_said_so(run, fake):
    registered(run, fake)

    code, _, err = run("login", "--email", EMAIL, secret="Wr0ng!Password")

    assert code == 1
    assert "password is wrong" in err
    assert "Wr0ng!Password" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("register", "--email", EMAIL),
        ("verify", "--email", EMAIL, "--code", "A3K9F2"),
        ("login", "--email", EMAIL),
        ("balance",),
        ("top-up",),
    ],
)
def test_without_a_network_every_command_says_so(run, fake, arguments):
    run("key", secret="k3y")
    fake.go_away()

    code, _, err = run(*arguments, secret=PASSWORD)

    assert code == 1
    assert "Didit cannot be asked" in err
    assert "Is this device on the network?" in err


def test_the_balance_is_printed(run, fake):
    run("key", secret=fake.api_key)

    assert run("balance")[:2] == (0, "100 dollars\n")


def test_a_missing_key_is_said_so(run):
    code, _, err = run("balance")

    assert code == 1
    assert "kiosk cloud login" in err


def test_topping_up_prints_link_and_qr_code(run, fake):
    run("key", secret=fake.api_key)

    code, out, _ = run("top-up", "--amount", "60")

    assert code == 0
    assert "https://checkout.example/" in out
    assert "▄" in out
    assert out.count("\n") > 10


def test_too_small_a_top_up_is_refused_with_didits_words(run, fake):
    run("key", secret=fake.api_key)

    code, _, err = run("top-up", "--amount", "5")

    assert code == 1
    assert "greater than or equal to 50" in err


def test_a_captive_portal_is_no_answer(run, fake):
    run("key", secret=fake.api_key)
    fake.fail("html")

    code, _, err = run("balance")

    assert code == 1
    assert "captive portal" in err


def test_the_status_tells_what_waits(run):
    code, out, _ = run("status", "--json")

    status = json.loads(out)
    assert code == 0
    assert (status["policy"], status["breaker"], status["has_key"]) == ("none", "closed", False)
    assert status["counts"]["waiting"] == 0


@pytest.mark.parametrize(
    ("breaker", "words"),
    [
        (None, "connection: up"),
        ("closed", "connection: up"),
        ("open", "connection: down, tried again later"),
        ("half_open", "connection: being tried"),
        ("stopped", "connection: stopped until the key or the balance is put right"),
    ],
)
def test_the_status_says_closed_of_no_connection_that_is_up(run, tmp_path, monkeypatch, breaker, words):
    monkeypatch.setenv("KIOSK_CLOUD_POLICY", "replay")
    if breaker is not None:
        with open_store(tmp_path / "state", read_keys(tmp_path / "state"), now=time.time) as store:
            store.notes.write(breaker=breaker)

    _, out, _ = run("status")

    assert words in out
    assert "closed" not in out


@pytest.fixture
def waiting(fake, tmp_path, monkeypatch):
    """Have one call wait for Didit, beside somebody blocked by a list that is in force; give its request_id."""
    monkeypatch.setenv("KIOSK_CLOUD_POLICY", "replay")
    monkeypatch.setenv("KIOSK_CLOUD_LISTS", LIST)
    kiosk = device(tmp_path / "state", settings(fake, lists=(LIST,)))
    lists, template = Lists(kiosk.store), Template(np.eye(1, 128, dtype=np.float32)[0], PACK.template_model)
    lists.begin(LIST, 1)
    lists.stage(LIST, "entry-a", template, outcome="new")
    lists.put_into_force(LIST, time.time())
    request_id = decide(kiosk)
    kiosk.store.close()
    return request_id


def is_still_blocked(tmp_path):
    with open_store(tmp_path / "state", read_keys(tmp_path / "state"), now=lambda: 0.0) as store:
        return [one.external_id for one in store.people.subjects(SubjectFilter(is_blocklisted=True)).subjects] == [
            "entry-a"
        ]


def test_sending_once_sends_what_waits_and_leaves_the_lists_in_force(run, fake, waiting, tmp_path):
    run("key", secret=fake.api_key)

    code, out, _ = run("send")

    assert (code, out) == (0, "Everything is sent.\n")
    assert sent(fake) == [waiting]
    assert is_still_blocked(tmp_path)


def test_sending_without_a_key_says_so_and_keeps_what_waits(run, fake, waiting):
    code, out, _ = run("send", "--within", "3")

    assert code == 3
    assert "kiosk cloud login" in out
    assert sent(fake) == []
    assert [(row["request_id"], row["state"]) for row in json.loads(run("outbox", "--json")[1])] == [
        (waiting, "waiting")
    ]


def test_sending_without_a_network_ends_in_time_and_keeps_what_waits(run, fake, waiting):
    run("key", secret=fake.api_key)
    fake.go_away()

    code, out, _ = run("send", "--within", "1")

    assert (code, out.splitlines()[0]) == (3, "1 rows still wait.")
    assert "row 1 (replay) waits" in out
    assert waiting in run("outbox")[1]


def test_a_call_that_is_refused_is_parked_told_and_sent_again_when_asked(run, fake, waiting):
    run("key", secret=fake.api_key)

    most, fake.most_image_bytes = fake.most_image_bytes, 3  # any photograph is too large
    refused = run("send")
    fake.most_image_bytes = most
    (row,) = json.loads(run("outbox", "--which", "rejected", "--json")[1])
    again = run("retry", str(row["id"]))
    after = run("send")
    twice = run("retry", str(row["id"]))

    assert (refused[0], row["request_id"]) == (3, waiting)
    assert "1 were refused and are parked" in refused[1]
    assert again[:2] == (0, f"Row {row['id']} waits again.\n")
    assert after[:2] == (0, "Everything is sent.\n")
    assert sent(fake) == [waiting]
    assert (twice[0], "was not refused" in twice[2]) == (1, True)


def test_the_webhooks_secret_is_kept_and_never_shown(run, tmp_path):
    code, out, err = run("secret", secret="whsec_very-secret")

    with open_store(tmp_path / "state", read_keys(tmp_path / "state"), now=lambda: 0.0) as store:
        assert Credentials(store).read(WEBHOOK_SECRET) == "whsec_very-secret"
    assert code == 0
    assert "very-secret" not in out + err


def test_what_is_not_sent_goes_to_a_stick_and_is_read_elsewhere(run, tmp_path):
    from kiosk.store.chain import Kind
    from kiosk.store.decision_log import NewDecision
    from kiosk.store.outbox import Message

    with open_store(tmp_path / "state", read_keys(tmp_path / "state"), now=lambda: 1_800_000_000.0) as store:
        message = Message("replay", {"fields": {"vendor_data": "visitor-7"}}, {"user_image": b"a photograph"})
        store.record_decision(NewDecision(Kind.FACE_MATCH, "Declined", request_id="r-1", outbox=(message,)))
    (tmp_path / "stick").mkdir()

    code, out, _ = run("export", "--to", str(tmp_path / "stick"), "--json", secret="a long passphrase")
    file = json.loads(out)["file"]
    wrong = run("decrypt", file, "--to", str(tmp_path / "wrong"), secret="another passphrase")
    right = run("decrypt", file, "--to", str(tmp_path / "right"), secret="a long passphrase")

    content = (tmp_path / "stick" / file).read_bytes()
    assert (code, wrong[0], right[0]) == (0, 1, 0)
    assert "passphrase is wrong" in wrong[2]
    assert b"visitor-7" not in content
    assert (tmp_path / "right" / "000001-user_image").read_bytes() == b"a photograph"
    assert json.loads((tmp_path / "right" / "000001.json").read_text())["request_id"] == "r-1"


def test_a_cut_export_is_noticed(run, tmp_path):
    (tmp_path / "stick").mkdir()
    file = json.loads(run("export", "--to", str(tmp_path / "stick"), "--json", secret="a long passphrase")[1])["file"]
    whole = (tmp_path / "stick" / file).read_bytes()
    (tmp_path / "stick" / file).write_bytes(whole[:-3])

    code, _, err = run("decrypt", file, "--to", str(tmp_path / "out"), secret="a long passphrase")

    assert code == 1
    assert "passphrase is wrong, or the file was changed" in err


WATCHED = """
import socket, sys
from pathlib import Path
opened = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.bind"):
        opened.append((event, arguments[1:]))
sys.addaudithook(watch)
from kiosk.cli import main as cli
code = cli.main(["--state", sys.argv[1], "match", sys.argv[2], sys.argv[2], "--vendor-data", "v"])
from kiosk import assembly
from kiosk.cloud.sync import Sync
from kiosk.device.outgoing import NothingLeaves
import time
chosen = cli.build_parser().parse_args(["--state", sys.argv[1], "log", "list"])
config = assembly.load_settings(chosen)
with assembly.open_store(chosen, config) as store:
    class Lent:
        pass
    device = Lent()
    device.store, device.outgoing, device.recogniser = store, NothingLeaves(), None
    sync = Sync(device, config.cloud, now=time.time)
    sync.start()
    wanted, rows = sync.is_wanted, store.outbox.rows()
    sync.close()
assert code == 0 and not wanted and rows == (), (code, wanted, rows)
assert opened == [], opened
print("nothing left")
"""


def test_under_default_settings_nothing_leaves(tmp_path):
    photograph = ROOT / "tests" / "golden" / "person_a_1.jpg"
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(tmp_path / "state"), str(photograph)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PROCESS_S,
    )

    assert done.stdout.endswith("nothing left\n"), done.stderr


def test_sending_tells_how_far_it_is_and_what_waits_for_what(run, fake, tmp_path, monkeypatch):
    monkeypatch.setenv("KIOSK_CLOUD_POLICY", "summary")
    monkeypatch.setenv("KIOSK_CLOUD_WEBHOOK_URL", f"{fake.url}/hook")
    with open_store(tmp_path / "state", read_keys(tmp_path / "state"), now=time.time) as store:
        rows = tuple(Message("summary", {"n": n}, person="vendor_data staff-1") for n in range(2))
        store.record_decision(NewDecision(kind=Kind.IDENTIFY, status="Approved", outbox=rows))
        assert store.outbox.behind() == {2: 1}
    fake.go_away()

    code, out, err = run("send", "--within", "1")

    assert code == 3
    assert "0 of 2 sent" in err
    assert "row 2 (summary) waits for row 1, which is about the same person" in out
    assert "row 1 (summary) waits" in out
    assert json.loads(run("send", "--within", "1", "--json")[1])["left"] == 2  # for programs nothing else is printed
