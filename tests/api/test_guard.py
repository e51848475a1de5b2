"""Facts about who is let in: each way around keys, roles, sessions, hosts and files is refused."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from kiosk.api import app
from kiosk.api.context import MOST_STREAMS_OF_ONE
from kiosk.api.page_scripts import SCRIPTS, WEB, joined
from kiosk.api.screen_token import screen_token
from kiosk.store.accounts import Role
from tests.api.served import A1, PASSWORD, match_files, serving
from tests.patience import until

KEYED = [one for one in app.OPERATIONS if one.role is not None]
GUARDED = [one for one in KEYED if not one.is_free_here and not one.is_for_screen]
SECRET_NAME = "Person C, <script>alert(1)</script>"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("guard") / "state", api_settings={"wrong_keys": 1000}) as served:
        yield served


@pytest.fixture
def fresh(tmp_path):
    with serving(tmp_path / "state", api_settings={"wrong_keys": 3}) as served:
        yield served


def path_of(operation):
    return re.sub(r"\{\w+(:\w+)?\}", "1", operation.path)


def named(operation):
    return f"{operation.method} {operation.path}"


# ---- keys and roles


@pytest.mark.parametrize("operation", GUARDED, ids=named)
def test_without_a_key_every_guarded_route_answers_401(served, operation):
    answer = served.call(operation.method, path_of(operation))

    assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid API Key."})


@pytest.mark.parametrize("operation", KEYED, ids=named)
def test_a_wrong_key_answers_401_even_where_this_machine_needs_none(served, operation):
    with served.client() as client:
        answer = client.request(operation.method, path_of(operation), headers={"x-api-key": "kiosk_no_no"})

    assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid API Key."})


@pytest.mark.parametrize(
    "operation", [one for one in GUARDED if one.role is not None and one.role > Role.DEVICE], ids=named
)
def test_a_lower_role_answers_403_and_does_nothing(served, operation):
    lower = Role(operation.role - 1).word
    before = served.device.store.log.tail().seq

    answer = served.call(operation.method, path_of(operation), lower)

    assert answer.status_code == 403
    assert served.device.store.log.tail().seq == before


def test_an_expired_key_answers_401(fresh):
    _, text = fresh.application.context.access.accounts.create_key("k", Role.DEVICE, expires_at=fresh.wall.now + 60)
    headers = {"x-api-key": text}
    with fresh.client() as client:
        assert client.get("/v3/sessions/", headers=headers).status_code == 200
        fresh.wall.advance(60)

        assert client.get("/v3/sessions/", headers=headers).status_code == 401


def test_a_key_revoked_a_moment_ago_answers_401(fresh):
    fresh.application.context.access.accounts.revoke(fresh.accounts["device"].id)

    assert fresh.call("GET", "/v3/sessions/", "device").status_code == 401


def test_a_key_may_come_as_a_bearer_as_prometheus_sends_it(served):
    with served.client() as client:
        answer = client.get("/device/health", headers={"authorization": f"Bearer {served.keys['device']}"})

    assert answer.status_code == 200


def test_wrong_keys_lock_their_sender_out_and_a_right_key_still_works(fresh):
    with fresh.client() as client:
        for _ in range(2):
            assert client.get("/v3/sessions/", headers={"x-api-key": "wrong"}).status_code == 401
        locked = [client.get("/v3/sessions/", headers={"x-api-key": "wrong"}) for _ in range(2)]
        right = client.get("/v3/sessions/", headers={"x-api-key": fresh.keys["device"]})
        fresh.monotonic.advance(900)
        later = client.get("/v3/sessions/", headers={"x-api-key": "wrong"})

    assert [(answer.status_code, int(answer.headers["retry-after"])) for answer in locked] == [(429, 901)] * 2
    assert right.status_code == 200
    assert later.status_code == 401


def test_one_guesser_behind_a_proxy_locks_nobody_else_out(fresh):
    def ask(key, client):
        return fresh.call("GET", "/v3/sessions/", headers={"x-api-key": key, "X-Forwarded-For": client}).status_code

    guesses = [ask("wrong", "198.51.100.66") for _ in range(4)]

    assert guesses == [401, 401, 429, 429]
    assert ask(fresh.keys["device"], "203.0.113.7") == 200
    assert ask("wrong", "203.0.113.7") == 401
    assert fresh.call("GET", "/v3/sessions/", "device").status_code == 200


def test_wrong_passwords_lock_the_address_out(fresh):
    sign_in = {"name": "Person C", "password": "not the password"}
    answers = [fresh.call("POST", "/device/session", json=sign_in) for _ in range(3)]

    right = fresh.call("POST", "/device/session", json={"name": "Person C", "password": PASSWORD})

    assert [answer.status_code for answer in answers] == [401] * 3
    assert (right.status_code, int(right.headers["retry-after"])) == (429, 901)


# ---- sessions


def test_wrong_passwords_sent_all_at_once_are_no_more_tries(fresh):
    def guess(number):
        return fresh.call("POST", "/device/session", json={"name": "Person C", "password": f"wrong {number:09}"})

    with ThreadPoolExecutor(30) as pool:
        answers = [one.status_code for one in pool.map(guess, range(30))]

    tried = answers.count(401)
    assert tried + answers.count(429) == 30
    assert tried <= 3 + 1  # two are looked at in parallel


def test_a_session_is_a_cookie_that_scripts_and_other_sites_cannot_use(fresh):
    answer = fresh.call("POST", "/device/session", json={"name": "Person C", "password": PASSWORD})

    told = answer.json()
    assert (told["name"], told["role"], told["language"]) == ("Person C", "admin", "en")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie


def test_a_session_reads_without_and_changes_only_with_its_token(fresh):
    with fresh.signed_in() as (client, token):
        assert client.get("/device/subjects").status_code == 200
        before = client.post("/device/door/release")
        wrong = client.post("/device/door/release", headers={"X-Kiosk-CSRF": "x" * 43})
        right = client.post("/device/door/release", headers=token)

    assert [answer.status_code for answer in (before, wrong, right)] == [403, 403, 200]
    assert fresh.kiosk.asked == [("release", fresh.accounts["person"].id)]


def test_another_sessions_token_is_none(fresh):
    with fresh.signed_in() as (client, _), fresh.signed_in() as (_, token):
        assert client.post("/device/door/release", headers=token).status_code == 403


def test_after_signing_out_the_cookie_opens_nothing(fresh):
    with fresh.signed_in() as (client, token):
        cookie = client.cookies["kiosk_session"]
        assert client.delete("/device/session", headers=token).status_code == 204
        client.cookies.set("kiosk_session", cookie)

        assert client.get("/device/session").status_code == 401


def test_a_key_signs_in_as_well_and_keeps_its_role(fresh):
    with fresh.client() as client:
        session = client.post("/device/session", json={"key": fresh.keys["operator"]}).json()

        assert session["role"] == "operator"
        assert client.get("/device/keys").status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "Person C"},
        {"name": "Person C", "password": None},
        {"name": ["Person C"], "password": PASSWORD},
        {"key": 1},
        {"key": "x", "name": "y", "password": "z"},
    ],
)
def test_half_a_sign_in_is_a_400_and_no_failure_of_an_address(served, body):
    assert served.call("POST", "/device/session", json=body).status_code == 400


# ---- other sites


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null", "http://"])
def test_a_change_that_a_page_of_another_site_sends_is_refused(served, origin):
    answer = served.call("POST", "/device/enrolments", json={"consent": {"version": "1"}}, headers={"origin": origin})

    assert answer.status_code == 403


def test_a_change_that_our_own_page_sends_is_taken(served):
    with served.screen() as client:
        answer = client.post("/device/enrolments", json={"consent": {"version": "1"}}, headers={"origin": served.url})

    assert answer.status_code == 201


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_that_a_browser_sends_unasked_is_no_json(served, kind):
    with served.screen() as client:
        body = b'{"consent": {"version": "1"}}'
        answer = client.post("/device/enrolments", content=body, headers={"content-type": kind})

    assert answer.status_code == 400


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "192.0.2.1", "[", ""])
def test_a_name_made_to_point_here_is_refused(served, host):
    answer = served.call("GET", "/device/screen", headers={"host": host})

    assert answer.status_code == 400


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "[::1]:8080"])
def test_this_machines_own_names_are_taken(served, host):
    assert served.call("GET", "/device/screen", "device", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/device/camera/still.jpg", "/device/screen/preview.mjpg"])
def test_a_program_elsewhere_that_asks_for_decisions_does_not_watch_the_door(served, path):
    answer = served.call("GET", path, "device", headers={"X-Forwarded-For": "192.0.2.7"})

    assert answer.status_code == 403


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_who_comes_through_a_proxy_is_not_the_kiosks_screen(served, header):
    with served.screen() as client:
        assert client.get("/device/screen").status_code == 200
        assert client.get("/device/screen", headers={header: "192.0.2.1"}).status_code == 401


@pytest.mark.parametrize("operation", [one for one in KEYED if one.is_for_screen], ids=named)
def test_a_program_on_this_machine_is_not_the_kiosks_screen(served, operation):
    for cookies in ({}, {"kiosk_screen": ""}, {"kiosk_screen": "guessed"}):
        with served.client(cookies=cookies) as client:
            assert client.request(operation.method, path_of(operation)).status_code == 401


def test_the_address_of_the_screen_becomes_a_cookie_that_scripts_cannot_read(served):
    with served.client() as client:
        wrong = client.get("/kiosk", params={"screen": "guessed"})
        right = client.get(served.screen_url)

    assert (wrong.status_code, wrong.headers.get("set-cookie")) == (403, None)
    assert (right.status_code, right.headers["location"]) == (303, "/kiosk")
    cookie = right.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_a_screen_token_is_kept_for_the_kiosk_alone_and_renewed_when_asked(tmp_path):
    token = screen_token(tmp_path)

    assert screen_token(tmp_path) == token
    assert (tmp_path / "screen.token").stat().st_mode & 0o077 == 0
    assert screen_token(tmp_path, renew=True) != token


@pytest.mark.parametrize("spoil", [lambda path: path.chmod(0o644), lambda path: path.write_text("short")])
def test_a_screen_token_that_others_may_have_read_is_replaced(tmp_path, spoil):
    token = screen_token(tmp_path)
    spoil(tmp_path / "screen.token")

    assert screen_token(tmp_path) != token


def test_only_who_may_end_an_alarm_ends_it(fresh):
    accounts = fresh.application.context.access.accounts
    _, panel = accounts.create_key("panel", Role.DEVICE, scopes=("alarm",))

    def disarm(key):
        headers = {"x-api-key": key}
        return fresh.call("POST", "/device/door/alarm", json={"is_armed": False}, headers=headers).status_code

    assert disarm(fresh.keys["device"]) == 403
    assert fresh.kiosk.asked == []
    assert [disarm(key) for key in (panel, fresh.keys["operator"], fresh.keys["admin"])] == [200] * 3
    assert fresh.call("POST", "/device/door/release", headers={"x-api-key": panel}).status_code == 403


def test_a_key_shows_its_scopes_and_takes_no_other(fresh):
    made = fresh.call("POST", "/device/keys", "admin", json={"name": "panel", "role": "device", "scopes": ["alarm"]})
    wrong = fresh.call("POST", "/device/keys", "admin", json={"name": "x", "role": "device", "scopes": ["door"]})

    assert (made.status_code, made.json()["scopes"]) == (201, ["alarm"])
    assert (wrong.status_code, wrong.json()) == (400, {"scopes": ["Want a list of alarm."]})
    listed = fresh.call("GET", "/device/keys", "admin").json()["keys"]
    assert [one["scopes"] for one in listed if one["name"] == "panel"] == [["alarm"]]


def test_one_caller_cannot_take_the_streams_of_all(served):
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(served.screen())
        opened, begun = [], []
        for _ in range(MOST_STREAMS_OF_ONE + 1):
            answer = stack.enter_context(client.stream("GET", "/device/screen/events"))
            opened.append(answer.status_code)
            begun.append(answer.iter_raw())
            next(begun[-1])
        with served.client("operator") as other, other.stream("GET", "/device/events") as answer:
            assert answer.status_code == 200

    assert opened == [200] * MOST_STREAMS_OF_ONE + [503]


def test_asking_for_a_streams_headers_holds_no_stream(served):
    for _ in range(3 * MOST_STREAMS_OF_ONE):
        assert served.call("HEAD", "/device/events", "operator").status_code == 200


# ---- files and texts


@pytest.mark.parametrize(
    "path",
    [
        "/web/../api/app.py",
        "/web/..%2fapi.py",
        "/web/%2e%2e/api/app.py",
        "/web/%2e%2e%2f%2e%2e%2fpyproject.toml",
        "/web//etc/passwd",
        "/web/%2fetc%2fpasswd",
        "/web/..%5capi.py",
        "/web/operator/index.html%00.css",
        "/web/",
        "/web/.",
        "/media/..%2f..%2fkiosk.key",
    ],
)
def test_no_path_leads_out_of_the_web_folder(served, path):
    url = httpx.URL(served.url).copy_with(raw_path=path.encode())
    with served.client() as client:
        answer = client.get(url)

    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


@pytest.mark.parametrize("page", ["/", "/kiosk"])
def test_pages_come_with_a_policy_that_runs_no_script_but_theirs(served, page):
    answer = served.call("GET", page)

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "onclick" not in answer.text
    assert "<script>" not in answer.text


def test_every_file_of_the_pages_is_given_out_as_what_it_is(served):
    files = [path for path in WEB.rglob("*") if path.is_file() and path.suffix != ".md"]
    with served.client() as client:
        document = client.get("/web/README.md")
        names = {path.relative_to(WEB).as_posix(): path for path in files}
        answers = {name: client.get(f"/web/{name}") for name in names}
        tag = answers["screen/index.html"].headers["etag"]
        again = client.get("/web/screen/index.html", headers={"if-none-match": tag})

    assert files
    for name, answer in answers.items():
        content = joined(name) if name in SCRIPTS else names[name].read_bytes()
        assert (answer.status_code, answer.content) == (200, content)
    assert (again.status_code, again.content) == (304, b"")
    assert document.status_code == 404


@pytest.mark.parametrize("path", ["/", "/v3/sessions/", "/nothing", "/device/session", "/healthz", "/media/x"])
def test_every_answer_has_an_id_and_the_headers_that_browsers_heed(served, path):
    answer = served.call("GET", path)

    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "server" not in answer.headers


def test_a_name_that_is_a_script_comes_back_as_a_text_of_json(served):
    answer = served.call("POST", "/device/subjects", "operator", files={"image": A1}, data={"name": SECRET_NAME})

    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["subject"]["name"] == SECRET_NAME
    served.device.store.people.forget(answer.json()["subject"]["session_number"])


@pytest.mark.parametrize(
    "query",
    [
        "/device/subjects?q=' OR '1'='1",
        "/device/subjects?q=1; DROP TABLE subject",
        '/device/decisions?vendor_data=" OR 1=1 --',
        "/device/decisions?request_id=' UNION SELECT sealed FROM log_private --",
        "/v3/sessions/?vendor_data=%25",
    ],
)
def test_sql_in_a_filter_finds_nobody(served, query):
    answer = served.call("GET", query, "admin")

    assert answer.status_code == 200
    assert (answer.json().get("total", answer.json().get("count"))) == 0


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/device/session", {"name": "\ud800", "password": PASSWORD}),
        ("PATCH", "/device/subjects/1", {"name": "\ud800"}),
        ("POST", "/device/subjects/1/block", {"reason": "\ud800"}),
        ("POST", "/device/door/claim", {"code": "\ud800"}),
        ("POST", "/device/enrolments", {"consent": {"version": "1"}, "name": "\ud800"}),
        ("POST", "/device/keys", {"name": "a", "role": ["admin"]}),
        ("POST", "/device/keys", {"name": "a", "role": {}}),
    ],
)
def test_what_is_json_and_still_no_text_or_word_is_a_400(served, method, path, body):
    asked = len(served.kiosk.asked)
    answer = served.call(method, path, "admin", content=json.dumps(body), headers={"content-type": "application/json"})

    assert answer.status_code == 400
    assert len(served.kiosk.asked) == asked


def test_half_a_character_in_metadata_is_a_400(served):
    answer = served.call(
        "POST", "/v3/face-match/", "device", files=match_files(), data={"metadata": '{"a": "\\ud800"}'}
    )

    assert (answer.status_code, answer.json()) == (400, {"metadata": ["Value must be valid JSON."]})


@pytest.mark.parametrize("wanted", [{"plan": "cleaners"}, {"allowlist": True}])
def test_at_the_kiosk_itself_nobody_chooses_their_own_hours_or_standing(served, wanted):
    said = {"consent": {"version": "2026-11"}, "name": "Person A", **wanted}
    before = len(served.kiosk.asked)
    with served.screen() as client:
        alone = client.post("/device/enrolments", json=said)
    asked = len(served.kiosk.asked)
    helped = served.call("POST", "/device/enrolments", "operator", json=said)

    assert (alone.status_code, list(alone.json())) == (400, list(wanted))
    assert (asked, helped.status_code) == (before, 201)
    assert served.kiosk.asked[-1][4]  # attended: by an operator


@pytest.mark.parametrize("query", ["kind=' OR 1=1", "status=x' --", "session_number=1 OR 1=1"])
def test_sql_where_only_words_or_numbers_are_taken_is_a_400(served, query):
    assert served.call("GET", f"/device/decisions?{query}", "admin").status_code == 400


def test_the_log_says_route_and_status_and_nothing_of_anybody(served, caplog):
    with caplog.at_level(logging.INFO, logger="kiosk.api"):
        data = {"vendor_data": "very-personal", "metadata": json.dumps({"who": "very-personal"})}
        answer = served.call("POST", "/v3/face-match/", "device", files=match_files(), data=data)
        served.call("GET", "/device/subjects?q=very-personal", "operator")
        served.call("GET", "/very-personal", "operator")
        lines = ("route=/v3/face-match/ status=200 ms=", "route=unknown status=404")
        until(lambda: all(line in caplog.text for line in lines))  # each is written once the answer is on its way

    assert f"id={answer.headers['x-request-id']}" in caplog.text
    assert "very-personal" not in caplog.text
    for key in served.keys.values():
        assert key not in caplog.text


def test_a_failure_of_ours_is_a_500_without_its_reason(fresh, caplog):
    def fail(*_, **__):
        raise RuntimeError(f"something about {SECRET_NAME}")

    fresh.device.recogniser = replace(fresh.device.recogniser, find_upright=fail, detect=fail)
    answer = fresh.call("POST", "/v3/face-match/", "device", files=match_files())

    assert answer.status_code == 500
    assert set(answer.json()) == {"detail", "request_id"}
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    until(lambda: "RuntimeError" in caplog.text)
    assert "<script>" not in answer.text + caplog.text


def test_streams_that_end_give_their_places_back(fresh):
    streams = fresh.application.context.streams
    with fresh.screen() as client:
        for _ in range(3 * MOST_STREAMS_OF_ONE):
            with client.stream("GET", "/device/screen/events") as answer:
                assert answer.status_code == 200
                next(answer.iter_raw())
            until(lambda: not streams.is_full("screen"))
    until(lambda: streams.under_way == 0)
