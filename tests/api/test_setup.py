"""Facts about the first run over the API: who may take over a kiosk that nobody owns, and who never."""

from __future__ import annotations

import json
import threading

import pytest

from kiosk.api.server import check_exposure
from kiosk.api.setup_code import MOST_WRONG, NAME, VALID_S, is_pending, is_right, make_code, write_private
from kiosk.errors import ConfigError
from kiosk.settings.network import ApiSettings
from kiosk.store.accounts import Accounts, Role
from tests.api.served import NOW, PASSWORD, QUICK, serving

CLAIM = {"name": "Person A", "password": PASSWORD}


@pytest.fixture
def new(tmp_path):
    """Serve a kiosk that nobody owns."""
    with serving(tmp_path / "state", with_accounts=False, api_settings={"wrong_keys": 1000}) as served:
        yield served


def code_of(served) -> str:
    return make_code(served.device.store.directory, served.wall())


def test_the_code_makes_the_first_operator_once_and_signs_them_in(new):
    code = code_of(new)
    with new.client() as client:
        made = client.post("/device/setup/claim", json={**CLAIM, "code": code.lower().replace("-", " ")})
        about = client.get("/device/session").json()
    again = new.call("POST", "/device/setup/claim", json={**CLAIM, "name": "Person B", "code": code})

    assert (made.status_code, about["name"], about["role"]) == (200, "Person A", "admin")
    assert again.status_code == 409
    assert not (new.device.store.directory / NAME).exists()


def test_without_a_code_nobody_becomes_an_operator(new):
    refused = new.call("POST", "/device/setup/claim", json={**CLAIM, "code": "AAAAA-AAAAA"})

    assert refused.status_code == 400
    assert new.call("GET", "/device/setup").json() == {
        "is_unclaimed": True,
        "has_code": False,
        "steps": None,
        "now": None,
    }


def test_a_strangers_wrong_codes_keep_no_owner_out(new):
    code = code_of(new)
    for _ in range(15):
        wrong = new.call("POST", "/device/setup/claim", json={**CLAIM, "code": "AAAAA-AAAAA"})
        assert wrong.status_code == 400

    assert new.call("POST", "/device/setup/claim", json={**CLAIM, "code": code}).status_code == 200


def test_the_last_of_too_many_wrong_codes_ends_the_right_one(tmp_path):
    code = make_code(tmp_path, NOW)
    kept = json.loads((tmp_path / NAME).read_text())
    write_private(tmp_path / NAME, {**kept, "wrong": MOST_WRONG - 1})

    assert not is_right(tmp_path, "AAAAA-AAAAA", NOW)
    assert not is_right(tmp_path, code, NOW)


def test_wrong_codes_lock_their_sender_out(tmp_path):
    with serving(tmp_path / "state", with_accounts=False, api_settings={"wrong_keys": 2}) as served:
        code = code_of(served)
        for _ in range(2):
            served.call("POST", "/device/setup/claim", json={**CLAIM, "code": "AAAAA-AAAAA"})

        assert served.call("POST", "/device/setup/claim", json={**CLAIM, "code": code}).status_code == 429


def test_a_code_is_good_for_an_hour_and_one_from_the_future_never(new):
    code, directory = code_of(new), new.device.store.directory

    assert is_pending(directory, NOW + VALID_S - 1)
    assert not is_right(directory, code, NOW + VALID_S)
    assert not is_right(directory, code, NOW - 1)  # made by a clock that ran ahead: nobody knows when it ends


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"digest": 1}', "\xff", '{"digest": "a", "expires_at": "x"}'])
def test_a_file_that_is_no_code_opens_nothing(tmp_path, content):
    (tmp_path / NAME).write_text(content, encoding="latin-1")
    (tmp_path / NAME).chmod(0o600)

    assert not is_pending(tmp_path, NOW)
    assert not is_right(tmp_path, "", NOW)


def test_a_code_that_others_on_the_device_may_read_opens_nothing(tmp_path):
    code = make_code(tmp_path, NOW)
    (tmp_path / NAME).chmod(0o644)

    assert not is_right(tmp_path, code, NOW)


def test_the_code_itself_is_in_no_file(tmp_path):
    code = make_code(tmp_path, NOW)

    text = (tmp_path / NAME).read_text()
    assert code not in text
    assert code.replace("-", "") not in text
    assert set(json.loads(text)) == {"digest", "expires_at", "wrong"}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "198.51.100.7"},
        {"X-Forwarded-For": "unknown"},
        {"X-Real-IP": "198.51.100.7"},
        {"Via": "1.1 proxy"},
        {"Forwarded": "for=198.51.100.7"},
    ],
    ids=str,
)
def test_over_a_network_in_clear_text_the_right_code_is_refused_and_stays(new, headers):
    code = code_of(new)

    refused = new.call("POST", "/device/setup/claim", json={**CLAIM, "code": code}, headers=headers)

    assert refused.status_code == 403
    assert new.call("POST", "/device/setup/claim", json={**CLAIM, "code": code}).status_code == 200


def test_a_page_of_another_site_cannot_use_a_code(new):
    code = code_of(new)

    refused = new.call(
        "POST", "/device/setup/claim", json={**CLAIM, "code": code}, headers={"Origin": "https://else.example"}
    )

    assert refused.status_code == 403
    assert new.application.context.access.accounts.is_unclaimed()


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        pytest.param({"password": "short"}, "password", id="a short password"),
        pytest.param({"name": " "}, "name", id="no name"),
        pytest.param({"code": 7}, "code", id="a code that is no text"),
    ],
)
def test_a_slip_costs_no_code(new, changed, field):
    code = code_of(new)

    slip = new.call("POST", "/device/setup/claim", json={**CLAIM, "code": code, **changed})

    assert (slip.status_code, list(slip.json())) == (400, [field])
    assert new.call("POST", "/device/setup/claim", json={**CLAIM, "code": code}).status_code == 200


def test_of_two_who_come_at_once_one_becomes_the_operator(new):
    code, found = code_of(new), []

    def come(name):
        found.append(new.call("POST", "/device/setup/claim", json={**CLAIM, "name": name, "code": code}).status_code)

    threads = [threading.Thread(target=come, args=(name,)) for name in ("Person A", "Person B")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == [200, 409]


@pytest.mark.parametrize("kind", ["key", "operator"])
def test_a_kiosk_never_comes_free_again_though_every_account_was_revoked(new, kind):
    accounts = new.application.context.access.accounts
    if kind == "key":
        account, _ = accounts.create_key("gate", Role.DEVICE)
    else:
        account = accounts.create_operator("Person B", Role.ADMIN, PASSWORD)
    accounts.revoke(account.id)
    code = code_of(new)

    assert new.call("POST", "/device/setup/claim", json={**CLAIM, "code": code}).status_code == 409


def test_the_steps_are_an_administrators_and_outlive_a_restart(new):
    code = code_of(new)
    with new.client() as client:
        session = client.post("/device/setup/claim", json={**CLAIM, "code": code}).json()
        headers = {"X-Kiosk-CSRF": session["csrf"]}
        noted = client.post("/device/setup/steps", json={"step": "camera", "state": "done"}, headers=headers)
        kept = client.get("/device/setup").json()["steps"]
        wrong = client.post("/device/setup/steps", json={"step": "roof", "state": "done"}, headers=headers)
    (new.device.store.directory / "setup.json").write_text("no JSON")

    assert noted.status_code == 200
    assert kept == {"language": "open", "clock": "open", "camera": "done", "door": "open", "person": "open"}
    assert wrong.status_code == 400
    assert new.call("GET", "/device/setup").json()["steps"] is None  # nobody's, without a session
    assert new.call("POST", "/device/setup/steps", json={"step": "camera", "state": "done"}).status_code == 401


def test_a_kiosk_is_reached_from_elsewhere_while_nobody_owns_it_and_not_once_nobody_may_enter(new, tmp_path):
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).touch()
    settings = ApiSettings(
        bind="0.0.0.0",
        tls_certificate=str(tmp_path / "tls.crt"),
        tls_key=str(tmp_path / "tls.key"),
    )
    accounts = Accounts(new.device.store, now=new.wall, scrypt=QUICK)

    check_exposure(settings, accounts, is_claimable=accounts.is_unclaimed())  # without a code
    with pytest.raises(ConfigError, match="tls_certificate"):
        check_exposure(ApiSettings(bind="0.0.0.0"), accounts, is_claimable=True)
    accounts.revoke(accounts.create_operator("Person A", Role.ADMIN, PASSWORD).id)
    with pytest.raises(ConfigError, match="kiosk operator add"):
        check_exposure(settings, accounts, is_claimable=accounts.is_unclaimed())


def test_the_screen_shows_a_code_only_where_that_was_asked_for_and_to_itself_alone(new):
    directory = new.device.store.directory
    with new.screen() as screen:
        code_of(new)
        hidden = screen.get("/device/screen").json()["setup"]
        code = make_code(directory, new.wall(), is_shown=True)
        shown = screen.get("/device/screen").json()["setup"]
        is_right(directory, "AAAAA-AAAAA", new.wall())  # a wrong one leaves it shown
        still = screen.get("/device/screen").json()["setup"]
        new.call("POST", "/device/setup/claim", json={**CLAIM, "code": code})
        after = screen.get("/device/screen").json()["setup"]

    assert hidden == {"code": None, "address": None, "qr": None}
    assert (shown["code"], shown["qr"].startswith("<svg")) == (code, True)
    assert still == shown
    assert after is None


def test_nobody_but_the_screen_reads_the_code_that_it_shows(new):
    make_code(new.device.store.directory, new.wall(), is_shown=True)

    assert new.call("GET", "/device/screen").status_code == 401
    with new.client(cookies={"kiosk_screen": "another-token"}) as other:
        assert other.get("/device/screen").status_code == 401
