"""Facts about operators over the API: roles, sessions, and a second factor that a password alone does not replace."""

from __future__ import annotations

import base64
from contextlib import contextmanager

import httpx
import pytest

from kiosk.api.access import RESTART_S, Access, Caller
from kiosk.api.emergency import Emergency
from kiosk.api.server import Server
from kiosk.api.totp import STEP_S, code_at, counter_of, new_secret
from kiosk.store.accounts import Role
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter, NewDecision
from kiosk.store.subjects import Details, Enrolment
from tests.api.served import NOW, PASSWORD, serving

OTHER = "another horse battery"
OWN = {"own_password": PASSWORD}
RFC = base64.b32encode(b"12345678901234567890").decode()


@pytest.fixture
def served(tmp_path):
    with serving(tmp_path / "state", api_settings={"wrong_keys": 1000}) as served:
        yield served


@contextmanager
def signed_in(served, name="Person C", password=PASSWORD, **more):
    with served.client() as client:
        answer = client.post("/device/session", json={"name": name, "password": password, **more})
        assert answer.status_code == 200, answer.text
        client.headers["X-Kiosk-CSRF"] = answer.json()["csrf"]
        yield client


def with_factor(served):
    """Give Person C a second factor; return its secret."""
    with signed_in(served) as client:
        secret = client.post("/device/session/second-factor", json={"password": PASSWORD}).json()["secret"]
        code = code_at(secret, int(served.wall() // STEP_S))
        assert client.put("/device/session/second-factor", json={"code": code}).status_code == 204
    return secret


def try_sign_in(served, **more):
    return served.call("POST", "/device/session", json={"name": "Person C", "password": PASSWORD, **more})


# ---- the codes


@pytest.mark.parametrize(
    ("at", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_the_standards_own_table(at, code):
    assert code_at(RFC, at // STEP_S) == code


@pytest.mark.parametrize(("steps", "is_taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)], ids=str)
def test_a_telephones_clock_may_be_off_by_one_step(steps, is_taken):
    code = code_at(RFC, int(NOW // STEP_S) + steps)

    assert (counter_of(RFC, code, NOW) is not None) is is_taken


@pytest.mark.parametrize("text", ["", "12345", "1234567", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666"])
def test_what_is_no_code_is_none(text):
    assert counter_of(new_secret(), text, NOW) is None


# ---- signing in with a second factor


def test_with_a_second_factor_the_password_alone_opens_nothing(served):
    secret = with_factor(served)
    served.wall.advance(2 * STEP_S)

    bare = try_sign_in(served)
    wrong = try_sign_in(served, code="000000")
    right = try_sign_in(served, code=code_at(secret, int(served.wall() // STEP_S)))

    assert [(one.status_code, one.json().get("wants_code")) for one in (bare, wrong)] == [(401, True), (401, True)]
    assert "set-cookie" not in bare.headers
    assert right.status_code == 200
    assert right.json()["has_second_factor"] is True


def test_a_code_serves_once(served):
    secret = with_factor(served)
    served.wall.advance(2 * STEP_S)
    code = code_at(secret, int(served.wall() // STEP_S))

    assert [try_sign_in(served, code=code).status_code for _ in range(2)] == [200, 401]


def test_the_code_that_confirmed_a_second_factor_signs_nobody_in(served):
    served.wall.advance(2 * STEP_S)  # else it is one of before the start
    secret = with_factor(served)

    assert try_sign_in(served, code=code_at(secret, int(served.wall() // STEP_S))).status_code == 401


@pytest.mark.parametrize(("steps", "status"), [(-1, 401), (0, 401), (1, 401), (2, 200)])
def test_a_code_of_before_a_start_is_not_taken_after_it(served, steps, status):
    """The server has just started: nobody remembers who used a code a moment before."""
    secret, person = new_secret(), served.accounts["person"]
    served.application.context.access.accounts.set_totp(person.id, secret)
    code = code_at(secret, int(served.wall() // STEP_S) + steps)
    served.wall.advance(STEP_S * max(0, steps - 1))

    assert try_sign_in(served, code=code).status_code == status


def test_a_right_code_that_a_start_keeps_out_counts_as_no_wrong_try_and_says_how_long_to_wait(tmp_path):
    with serving(tmp_path / "state", api_settings={"wrong_keys": 2}) as served:
        secret, person = new_secret(), served.accounts["person"]
        served.application.context.access.accounts.set_totp(person.id, secret)
        step = int(served.wall() // STEP_S)
        early = [try_sign_in(served, code=code_at(secret, step)) for _ in range(4)]
        wait_s = int(early[0].headers["Retry-After"])
        served.wall.advance(wait_s)
        after = try_sign_in(served, code=code_at(secret, int(served.wall() // STEP_S)))

    assert {one.status_code for one in early} == {401}
    assert "only just started" in early[0].json()["detail"]
    assert early[0].json()["wants_code"] is True
    assert 0 < wait_s <= 2 * STEP_S
    assert after.status_code == 200


def test_a_wrong_code_right_after_a_start_counts(tmp_path):
    with serving(tmp_path / "state", api_settings={"wrong_keys": 2}) as served:
        served.application.context.access.accounts.set_totp(served.accounts["person"].id, new_secret())
        tried = [try_sign_in(served, code="none") for _ in range(3)]

    assert [one.status_code for one in tried] == [401, 401, 429]


def test_a_clock_that_ran_ahead_at_the_start_keeps_codes_out_for_a_minute_and_a_half_alone(served):
    secret, person = new_secret(), served.accounts["person"]
    served.application.context.access.accounts.set_totp(person.id, secret)
    served.wall.advance(-3600)  # as NTP sets it

    before = try_sign_in(served, code=code_at(secret, int(served.wall() // STEP_S)))
    served.monotonic.advance(RESTART_S)
    after = try_sign_in(served, code=code_at(secret, int(served.wall() // STEP_S)))

    assert (before.status_code, after.status_code) == (401, 200)


def test_confirming_a_second_factor_ends_every_other_session(served):
    with signed_in(served) as other, signed_in(served) as client:
        secret = client.post("/device/session/second-factor", json={"password": PASSWORD}).json()["secret"]
        client.put("/device/session/second-factor", json={"code": code_at(secret, int(served.wall() // STEP_S))})
        left = [one.get("/device/session").status_code for one in (other, client)]

    assert left == [401, 200]


@pytest.mark.parametrize("path", ["second-factor", "second-factor/remove"])
def test_a_second_factor_is_replaced_or_removed_by_its_code_alone(served, path):
    secret = with_factor(served)
    access, account = served.application.context.access, served.accounts["person"]
    served.wall.advance(2 * STEP_S)
    token, session = access.open_session(Caller(access.accounts.get(account.id)))
    with served.client(cookies={"kiosk_session": token}) as client:
        client.headers["X-Kiosk-CSRF"] = session.csrf
        code = code_at(secret, int(served.wall() // STEP_S))
        tried = [
            client.post(f"/device/session/{path}", json={"password": PASSWORD, **more})
            for more in ({}, {"code": "000000"}, {"code": code})
        ]

    assert [one.status_code // 100 for one in tried] == [4, 4, 2]
    assert [list(one.json()) for one in tried[:2]] == [["code"], ["code"]]


def test_an_administrators_open_page_changes_neither_its_own_password_nor_second_factor(served):
    secret = with_factor(served)
    served.wall.advance(2 * STEP_S)
    address = f"/device/operators/{served.accounts['person'].id}"
    with signed_in(served, code=code_at(secret, int(served.wall() // STEP_S))) as client:
        password = client.patch(address, json={"password": OTHER})
        factor = client.delete(f"{address}/second-factor")

    assert (password.status_code, factor.status_code) == (403, 403)
    assert "/device/session/password" in password.text
    kept = served.application.context.access.accounts.by_password("Person C", PASSWORD)
    assert kept is not None
    assert kept.totp == secret


def test_a_wrong_password_is_not_told_apart_by_a_second_factor(served):
    with_factor(served)

    wrong = served.call("POST", "/device/session", json={"name": "Person C", "password": "wrong horse battery"})

    assert (wrong.status_code, "wants_code" in wrong.json()) == (401, False)


def test_wrong_codes_lock_the_account_whatever_address_they_come_from(tmp_path):
    with serving(tmp_path / "state", api_settings={"wrong_keys": 3}) as served:
        secret = with_factor(served)
        served.wall.advance(2 * STEP_S)
        for place in range(3):
            headers = {"X-Forwarded-For": f"198.51.100.{place}"}
            served.call(
                "POST",
                "/device/session",
                json={"name": "Person C", "password": PASSWORD, "code": "000000"},
                headers=headers,
            )

        code = code_at(secret, int(served.wall() // STEP_S))
        assert try_sign_in(served, code=code).status_code == 429


def test_before_the_kiosk_has_started_a_password_alone_releases_nothing_where_there_is_a_second_factor(served):
    released: list[str] = []
    accounts, settings = served.application.context.access.accounts, served.device.config.api
    access = Access(accounts, settings, now=served.wall, monotonic=served.monotonic)
    emergency = Emergency(access, settings, release=released.append, health=dict)
    server = Server(emergency, settings)
    server.start()
    try:
        with httpx.Client(base_url=server.address, auth=("Person C", PASSWORD), trust_env=False) as client:
            before = client.post("/device/door/release").status_code
            with_factor(served)
            after = client.post("/device/door/release").status_code
            by_key = client.post("/device/door/release", headers={"x-api-key": served.keys["operator"]}).status_code
    finally:
        server.close()

    assert (before, after, by_key) == (200, 403, 200)
    assert len(released) == 2


def test_a_second_factor_counts_only_once_a_code_of_it_was_given(served):
    with signed_in(served) as client:
        client.post("/device/session/second-factor", json={"password": PASSWORD})
        wrong = client.put("/device/session/second-factor", json={"code": "000000"})

    assert (wrong.status_code, list(wrong.json())) == (400, ["code"])
    assert try_sign_in(served).status_code == 200


def test_an_open_page_without_the_password_changes_no_second_factor(served):
    with_factor(served)
    access, account = served.application.context.access, served.accounts["person"]
    token, session = access.open_session(Caller(access.accounts.get(account.id)))  # of a browser left open
    with served.client(cookies={"kiosk_session": token}) as client:
        client.headers["X-Kiosk-CSRF"] = session.csrf
        begun = client.post("/device/session/second-factor", json={"password": "wrong horse battery"})
        removed = client.post("/device/session/second-factor/remove", json={"password": "wrong horse battery"})

    assert (begun.status_code, removed.status_code) == (400, 400)
    assert served.application.context.access.accounts.get(account.id).totp is not None


def test_a_second_factor_outlives_another_password_and_a_restart(served):
    secret = with_factor(served)
    accounts = served.application.context.access.accounts

    accounts.set_password("Person C", OTHER)

    assert accounts.by_password("Person C", OTHER).totp == secret


def test_the_secret_of_a_second_factor_is_in_no_answer_and_no_record(served):
    secret = with_factor(served)
    served.wall.advance(2 * STEP_S)
    with signed_in(served, code=code_at(secret, int(served.wall() // STEP_S))) as client:
        told = client.get("/device/operators").text + client.get("/device/session").text
    log = "".join(served.device.store.export_log("json"))

    assert secret not in told
    assert secret not in log
    kept = (path.read_bytes() for path in served.device.store.directory.iterdir() if path.is_file())
    assert not any(secret.encode() in content for content in kept)


# ---- roles, sessions


def test_an_administrator_makes_changes_and_removes_operators(served):
    with signed_in(served) as client:
        json = {"role": "operator", "password": OTHER, **OWN}
        made = client.post("/device/operators", json={"name": "Person A", **json})
        twice = client.post("/device/operators", json={"name": "person a", **json})
        address = f"/device/operators/{made.json()['id']}"
        raised = client.patch(address, json={"role": "admin", **OWN})
        with signed_in(served, "Person A", OTHER) as theirs:
            removed = client.request("DELETE", address, json=OWN)
            after = theirs.get("/device/session")

    assert (made.status_code, raised.json()["role"], removed.status_code) == (201, "admin", 204)
    assert (twice.status_code, list(twice.json())) == (400, ["name"])
    assert after.status_code == 401


def test_an_open_page_changes_nobodys_rights_and_takes_nobody_away_without_its_own_password(served):
    accounts = served.application.context.access.accounts
    other = accounts.create_operator("Person B", Role.OPERATOR, OTHER)
    accounts.set_totp(other.id, new_secret())
    key, _ = accounts.create_key("gate", Role.DEVICE)
    person = {"name": "Person A", "role": "admin", "password": OTHER}
    acts = [
        ("POST", "/device/operators", person, 201),
        ("POST", "/device/operators", {**person, "name": "Person E", "role": "operator"}, 201),
        ("PATCH", f"/device/operators/{other.id}", {"role": "admin"}, 200),
        ("PATCH", f"/device/operators/{other.id}", {"password": PASSWORD}, 200),
        ("DELETE", f"/device/operators/{other.id}/second-factor", {}, 204),
        ("DELETE", f"/device/operators/{other.id}", {}, 204),
        ("POST", "/device/keys", {"name": "anything", "role": "admin"}, 201),
        ("POST", "/device/keys", {"name": "anything", "role": "device"}, 201),
        ("DELETE", f"/device/keys/{key.id}", {}, 204),
        ("POST", "/device/people.csv", {}, 200),
        ("POST", "/device/people/archive", {"passphrase": "a stick may be lost"}, 200),
    ]
    with signed_in(served) as client:
        for method, path, json, done in acts:
            without = client.request(method, path, json=json)
            wrong = client.request(method, path, json={**json, "own_password": OTHER})
            right = client.request(method, path, json={**json, **OWN})

            assert [(one.status_code, list(one.json())) for one in (without, wrong)] == [(400, ["own_password"])] * 2
            assert right.status_code == done
        assert client.delete(f"/device/keys/{key.id}").status_code == 400  # a call without a body proves nothing
        assert client.get("/device/people.csv").status_code == 403

    as_key = served.call("POST", "/device/operators", "admin", json={**person, "name": "Person D"})
    assert as_key.status_code == 201  # a key is given with each call


def test_an_open_page_of_a_second_factor_wants_its_code_too(served):
    secret = with_factor(served)
    served.wall.advance(2 * STEP_S)
    with signed_in(served, code=code_at(secret, int(served.wall() // STEP_S))) as client:
        served.wall.advance(2 * STEP_S)
        json = {"name": "Person A", "role": "admin", "password": OTHER, **OWN}
        without = client.post("/device/operators", json=json)
        wrong = client.post("/device/operators", json={**json, "own_code": "000000"})
        right = client.post(
            "/device/operators", json={**json, "own_code": code_at(secret, int(served.wall() // STEP_S))}
        )

    assert [(one.status_code, list(one.json())) for one in (without, wrong)] == [(400, ["own_code"])] * 2
    assert right.status_code == 201


def test_a_session_that_a_key_opened_gives_the_key_once_more(served):
    with served.client() as client:
        client.headers["X-Kiosk-CSRF"] = client.post("/device/session", json={"key": served.keys["admin"]}).json()[
            "csrf"
        ]
        json = {"name": "Person A", "role": "admin", "password": OTHER}
        answers = [
            client.post("/device/operators", json={**json, **more})
            for more in ({}, {"own_password": served.keys["operator"]}, {"own_password": served.keys["admin"]})
        ]

    assert [one.status_code for one in answers] == [400, 400, 201]


def test_the_last_administrator_stays_one(served):
    person = served.accounts["person"]
    with signed_in(served) as client:
        lowered = client.patch(f"/device/operators/{person.id}", json={"role": "operator", **OWN})
        removed = client.request("DELETE", f"/device/operators/{person.id}", json=OWN)
        as_key = client.request("DELETE", f"/device/keys/{person.id}", json=OWN)

    assert (lowered.status_code, removed.status_code, as_key.status_code) == (409, 409, 404)
    assert served.application.context.access.accounts.get(person.id).role is Role.ADMIN


def test_a_lost_telephone_is_taken_away_by_another_administrator(served):
    with_factor(served)
    accounts = served.application.context.access.accounts
    accounts.create_operator("Person B", Role.ADMIN, OTHER)

    with signed_in(served, "Person B", OTHER) as client:
        address = f"/device/operators/{served.accounts['person'].id}/second-factor"
        client.request("DELETE", address, json={"own_password": OTHER})

    assert try_sign_in(served).status_code == 200


def test_sessions_are_listed_without_their_cookie_and_ended_but_for_ones_own(served):
    person = served.accounts["person"]
    with signed_in(served) as other, signed_in(served) as client:
        (told,) = client.get("/device/operators").json()["operators"]
        client.delete(f"/device/operators/{person.id}/sessions")
        left = [one.get("/device/session").status_code for one in (other, client)]

    assert len(told["sessions"]) == 2
    assert client.cookies["kiosk_session"] not in str(told)
    assert told["last_used_at"] is not None
    assert left == [401, 200]


def test_every_sign_in_is_in_the_log_by_the_account_and_never_by_name(served):
    with signed_in(served):
        pass

    records = served.device.store.decisions(DecisionFilter(kinds=(Kind.KEY,))).decisions
    newest = records[0].entry
    assert (newest.details["act"], newest.details["id"]) == ("signed_in", served.accounts["person"].id)
    assert "Person C" not in str(newest)


def test_ones_own_password_is_changed_by_who_knows_it_and_ends_every_session(served):
    with signed_in(served) as client:
        wrong = client.post("/device/session/password", json={"password": "wrong horse battery", "new_password": OTHER})
        short = client.post("/device/session/password", json={"password": PASSWORD, "new_password": "short"})
        done = client.post("/device/session/password", json={"password": PASSWORD, "new_password": OTHER})
        after = client.get("/device/session").status_code

    assert [one.status_code for one in (wrong, short, done)] == [400, 400, 204]
    assert after == 401
    with signed_in(served, password=OTHER):
        pass


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/device/operators"),
        ("POST", "/device/operators"),
        ("PATCH", "/device/operators/x"),
        ("DELETE", "/device/operators/x"),
        ("DELETE", "/device/operators/x/sessions"),
        ("DELETE", "/device/operators/x/second-factor"),
    ],
)
def test_an_operator_manages_no_operators(served, method, path):
    assert served.call(method, path, "operator", json={}).status_code == 403


def test_a_key_has_neither_password_nor_second_factor(served):
    begun = served.call("POST", "/device/session/second-factor", "admin", json={"password": PASSWORD})

    assert begun.status_code == 403


def test_decisions_name_who_reviewed_them(served):
    account = served.accounts["person"]
    served.device.store.record_act(Kind.RELEASE, actor=account.id)
    served.device.store.record_act(Kind.DOOR, actor="door")

    (released,) = served.call("GET", "/device/decisions?kind=RELEASE", "operator").json()["decisions"]
    (opened,) = served.call("GET", "/device/decisions?kind=DOOR", "operator").json()["decisions"]

    assert (released["actor_name"], opened["actor_name"]) == ("Person C", None)


def test_a_damaged_account_or_person_takes_no_list_of_decisions_away(served):
    account, store = served.accounts["person"], served.device.store
    number = store.people.enrol(Enrolment([], Details(name="Person A"))).session_number
    store.record_act(Kind.RELEASE, actor=account.id)
    candidates = {"matches": [{"session_number": number, "session_id": "none"}]}
    waiting = NewDecision(
        Kind.FACE_SEARCH, "In Review", session_number=number, subjects=(number,), answer={"face_search": candidates}
    )
    request_id = store.record_decision(waiting).request_id
    with store.database.write() as connection:
        connection.execute("UPDATE access SET created_at = created_at + 1 WHERE id = ?", (account.id,))
        connection.execute(
            "UPDATE subject SET retention_until = retention_until + 1 WHERE session_number = ?", (number,)
        )

    (released,) = served.call("GET", "/device/decisions?kind=RELEASE", "operator").json()["decisions"]
    (searched,) = served.call("GET", "/device/decisions?kind=FACE_SEARCH", "operator").json()["decisions"]
    (review,) = served.call("GET", "/device/reviews", "operator").json()["reviews"]
    alone = served.call("GET", f"/device/decisions/{request_id}", "operator")

    assert alone.status_code == 200
    assert (released["actor"], released["actor_name"]) == (account.id, None)
    assert (searched["session_number"], searched["name"]) == (number, None)
    assert (review["request_id"], review["considered"]["candidates"]) == (request_id, [])
