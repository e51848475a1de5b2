"""Facts about pages of other sites: those named may call with a key, with nothing else, and no others may."""

import pytest

from kiosk.errors import ConfigError
from kiosk.settings.network import ApiSettings
from tests.api.served import A1, A2, match_files, serving

APP, OTHER = "https://app.example", "https://other.example"
ALLOW, CREDENTIALS = "access-control-allow-origin", "access-control-allow-credentials"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    directory = tmp_path_factory.mktemp("origins") / "state"
    with serving(directory, api_settings={"allowed_origins": (APP, "http://localhost:5173")}) as served:
        yield served


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("closed") / "state") as served:
        yield served


def asked(served, path="/v3/face-match/", origin=APP, **more):
    """Ask as a browser does before it sends a page's call."""
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key",
        **more,
    }
    return served.call("OPTIONS", path, headers=headers)


def test_a_named_sites_page_may_ask_send_and_read(served):
    before = asked(served)
    answer = served.call("POST", "/v3/face-match/", "device", files=match_files(A1, A2), headers={"origin": APP})

    assert (before.status_code, before.content) == (204, b"")
    assert before.headers[ALLOW] == answer.headers[ALLOW] == APP
    assert before.headers["access-control-allow-methods"] == "POST"
    assert "x-api-key" in before.headers["access-control-allow-headers"].lower()
    assert answer.status_code == 200
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "X-RateLimit-Remaining" in answer.headers["access-control-expose-headers"]
    assert "origin" in answer.headers["vary"].lower()


def test_all_methods_of_a_path_are_named(served):
    assert asked(served, "/device/settings").headers["access-control-allow-methods"] == "GET, PATCH"


def test_what_goes_wrong_can_be_read_by_the_page_too(served):
    with served.client() as client:
        wrong_key = client.get("/v3/sessions/", headers={"origin": APP, "x-api-key": "wrong"})
        no_path = client.get("/v3/nothing/", headers={"origin": APP})
        no_file = client.post("/v3/face-search/", headers={"origin": APP, "x-api-key": served.keys["device"]})

    assert [one.status_code for one in (wrong_key, no_path, no_file)] == [401, 404, 400]
    assert {one.headers[ALLOW] for one in (wrong_key, no_path, no_file)} == {APP}


@pytest.mark.parametrize(
    "origin", [OTHER, "http://app.example", "https://app.example:444", "null", APP + ".evil.example"]
)
def test_another_site_is_told_nothing_and_changes_nothing(served, origin):
    before = asked(served, origin=origin)
    answer = served.call("POST", "/v3/face-match/", "device", files=match_files(A1, A2), headers={"origin": origin})

    assert (before.status_code, answer.status_code) == (405, 403)
    assert ALLOW not in before.headers
    assert ALLOW not in answer.headers


def test_by_default_no_other_site_may_call(closed):
    answer = closed.call("POST", "/v3/face-match/", "device", files=match_files(A1, A2), headers={"origin": APP})

    assert (asked(closed).status_code, answer.status_code) == (405, 403)
    assert ALLOW not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_a_session_counts_for_nothing_from_another_site(served):
    with served.signed_in() as (client, token):
        here = client.get("/device/subjects")
        there = client.get("/device/subjects", headers={"origin": APP})
        change = client.post("/device/audit", headers={"origin": APP, **token})

    assert [one.status_code for one in (here, there, change)] == [200, 401, 403]
    assert CREDENTIALS not in there.headers


def test_neither_the_screens_cookie_nor_this_machine_counts_from_another_site(served):
    with served.screen() as client:
        here = client.get("/device/screen")
        there = client.get("/device/screen", headers={"origin": APP})

    assert (here.status_code, there.status_code) == (200, 401)


@pytest.mark.parametrize(
    ("site", "mode", "counts"),
    [
        ("same-origin", "cors", True),
        ("none", "navigate", True),
        ("same-site", "navigate", True),  # a link on a page of the kiosk's neighbour
        ("same-site", "no-cors", False),  # a picture or script of a page at another port
        ("same-site", "cors", False),
        ("cross-site", "no-cors", False),
    ],
)
def test_cookies_count_for_nothing_in_what_a_page_at_another_port_loads(served, site, mode, counts):
    headers = {"sec-fetch-site": site, "sec-fetch-mode": mode}
    with served.signed_in() as (client, _), served.screen() as screen:
        keys = client.get("/device/keys", headers=headers)
        shown = screen.get("/device/screen", headers=headers)

    assert [one.status_code for one in (keys, shown)] == ([200, 200] if counts else [401, 401])


def test_nobody_signs_in_from_another_site(served):
    body = {"name": "Person C", "password": "correct horse battery"}

    assert served.call("POST", "/device/session", json=body, headers={"origin": APP}).status_code == 403


def test_a_page_from_the_internet_may_call_into_the_local_network(served):
    answer = asked(served, **{"access-control-request-private-network": "true"})

    assert answer.headers["access-control-allow-private-network"] == "true"


def test_the_kiosks_own_pages_are_no_other_site(served):
    answer = served.call("POST", "/v3/face-search/", "device", files={"user_image": A1}, headers={"origin": served.url})

    assert answer.status_code == 200
    assert ALLOW not in answer.headers


@pytest.mark.parametrize(
    "origin", ["*", "app.example", "https://app.example/", "https://app.example/path", "https://*.example", "null", ""]
)
def test_an_origin_that_is_none_stops_the_start(origin):
    with pytest.raises(ConfigError, match="want https://host"):
        ApiSettings(allowed_origins=(origin,))
