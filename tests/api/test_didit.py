"""Facts about Didit's routes: what a client of theirs sends is taken, and what it gets is theirs."""

from __future__ import annotations

import io
import json
import socket
import struct
import uuid
import zlib
from dataclasses import replace

import pytest
from PIL import Image

from kiosk.device.enrol import enrol_person
from kiosk.device.outgoing import NothingLeaves
from kiosk.settings.config import Config
from kiosk.settings.sections import SearchSettings, StoreSettings
from kiosk.store.subjects import Details, Enrolment
from tests.api.served import A1, A2, B1, C1, NOW, match_files, serving
from tests.patience import LIMIT_S, until

BOUNDARY = "x-x-x"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("api") / "state") as served:
        yield served


@pytest.fixture
def fresh(tmp_path):
    config = Config(store=StoreSettings(keep_images=True), search=SearchSettings(allow_multiple_faces=True))
    with serving(tmp_path / "state", config=config) as served:
        yield served


def multipart(*parts, end=True):
    """Return a body from (headers, content) pairs, exactly as written here."""
    lines = b"".join(
        b"--%s\r\n%s\r\n\r\n%s\r\n" % (BOUNDARY.encode(), headers.encode(), content) for headers, content in parts
    )
    return lines + (b"--%s--\r\n" % BOUNDARY.encode() if end else b"")


def part(name, content, *, filename=None, kind=None):
    told = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    return told + (f"\r\nContent-Type: {kind}" if kind else ""), content


def send(served, body, path="/v3/face-match/", kind=f"multipart/form-data; boundary={BOUNDARY}"):
    return served.call("POST", path, "device", content=body, headers={"content-type": kind})


def test_a_body_with_a_content_encoding_is_415(served):
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}", "content-encoding": "gzip"}

    answer = served.call("POST", "/v3/face-match/", "device", content=b"\x1f\x8b", headers=headers)

    assert answer.status_code == 415
    assert "send it as it is" in answer.text


def png(width, height):
    """Return a PNG whose header promises this size and whose pixels are one line."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * (3 * width + 1)))
        + chunk(b"IEND", b"")
    )


def picture(size=(1, 1), kind="PNG"):
    content = io.BytesIO()
    Image.new("RGB", size).save(content, kind)
    return content.getvalue()


# ---- face match


def test_one_person_is_approved_and_the_answer_is_the_seeds(served):
    answer = served.call("POST", "/v3/face-match/", "device", files=match_files())

    assert answer.status_code == 200
    body = answer.json()
    assert uuid.UUID(body["request_id"])
    found = body["face_match"]
    assert list(found) == ["status", "score", "user_image", "ref_image", "warnings"]
    assert (found["status"], found["warnings"]) == ("Approved", [])
    assert type(found["score"]) is int
    assert found["score"] >= 90
    entity = found["user_image"]["entities"][0]
    assert list(entity) == ["age", "bbox", "confidence", "gender"]
    assert body["created_at"].endswith("Z")


def test_two_people_are_declined_with_the_contracts_warning(served):
    answer = served.call(
        "POST",
        "/v3/face-match/",
        "device",
        files=match_files(A1, B1),
        data={"face_match_score_decline_threshold": "50"},
    )

    found = answer.json()["face_match"]
    assert found["status"] == "Declined"
    assert [one["risk"] for one in found["warnings"]] == ["LOW_FACE_MATCH_SIMILARITY"]


def test_a_picture_of_one_pixel_is_an_answer_and_no_error(served):
    answer = served.call("POST", "/v3/face-match/", "device", files=match_files(picture(), A1))

    assert answer.status_code == 200
    assert (answer.json()["face_match"]["status"], answer.json()["face_match"]["score"]) == ("Declined", None)


@pytest.mark.parametrize(("threshold", "status"), [("90", "Approved"), ("99.5", "Declined")])
def test_a_threshold_may_have_decimals(served, threshold, status):
    data = {"face_match_score_decline_threshold": threshold, "rotate_image": "no", "save_api_request": "ON"}

    found = served.call("POST", "/v3/face-match/", "device", files=match_files(), data=data).json()

    assert found["face_match"]["score"] < 99.5
    assert found["face_match"]["status"] == status
    assert found["device"]["decline_threshold"] == float(threshold)


def test_blank_fields_are_absent_from_the_answer_and_from_the_list(served):
    data = {"vendor_data": " ", "metadata": "", "search_type": "", "rotate_image": ""}

    given = served.call("POST", "/v3/face-search/", "device", files={"user_image": C1}, data=data).json()

    assert not {"vendor_data", "metadata"} & set(given)
    assert served.call("GET", f"/v3/session/{given['request_id']}/decision/", "device").json()["vendor_data"] is None


def test_the_longest_vendor_data_that_is_taken_is_found_again(served):
    longest = "\U0001f600" * 1000
    data = {"vendor_data": longest}
    given = served.call("POST", "/v3/face-match/", "device", files=match_files(), data=data)

    found = served.call("GET", "/v3/sessions/", "device", params={"vendor_data": longest})

    assert given.status_code == 200
    assert found.json()["count"] == 1
    assert served.call("GET", "/v3/sessions/", "device", params={"vendor_data": "v" * 1001}).status_code == 400


def test_what_was_echoed_comes_back(served):
    metadata = {"a": [1, None, "ü"], "b": {"c": 1.5}}

    answer = served.call(
        "POST",
        "/v3/face-match/",
        "device",
        files=match_files(),
        data={"vendor_data": "ü-1", "metadata": json.dumps(metadata)},
    ).json()

    assert (answer["vendor_data"], answer["metadata"]) == ("ü-1", metadata)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([part("user_image", A1, filename="a"), part("ref_image", A2, filename="b")], id="no Content-Type"),
        pytest.param([part("user_image", A1), part("ref_image", A2)], id="no file name"),
        pytest.param(
            [
                part("user_image", A1, filename="a.txt", kind="text/plain"),
                part("ref_image", A2, filename="b.png", kind="image/png"),
            ],
            id="a wrong Content-Type and name",
        ),
        pytest.param(
            [part("face_match_score_decline_threshold", b"99"), part("user_image", A1), part("ref_image", A2)],
            id="a number before",
        ),
        pytest.param(
            [part("user_image", A1), part("ref_image", A2), part("face_match_score_decline_threshold", b"99.0")],
            id="a number behind",
        ),
        pytest.param(
            [part("user_image", b"no picture"), part("user_image", A1), part("ref_image", A2)],
            id="the last of two counts",
        ),
        pytest.param([part("unknown", b"x"), part("user_image", A1), part("ref_image", A2)], id="an unknown field"),
        pytest.param(
            [part("document", b"\xff" * 40_000, filename="d.pdf"), part("user_image", A1), part("ref_image", A2)],
            id="an unknown file, longer than any text",
        ),
        pytest.param([part("note", b"\xff"), part("user_image", A1), part("ref_image", A2)], id="an unknown text"),
        pytest.param(
            [
                part("user_image", A1),
                part("ref_image", A2),
                *(part(name, b" ") for name in ("face_match_score_decline_threshold", "rotate_image", "metadata")),
                *(part(name, b"") for name in ("save_api_request", "vendor_data")),
            ],
            id="blank fields",
        ),
    ],
)
def test_forms_as_clients_write_them_are_taken(served, parts):
    answer = send(served, multipart(*parts))

    assert answer.status_code == 200, answer.text
    assert answer.json()["face_match"]["score"] >= 90


@pytest.mark.parametrize("path", ["/v3/face-match/", "/v3/face-match"])
def test_the_slash_at_the_end_may_be_left_out_as_a_redirect_would_lose_the_body(served, path):
    assert served.call("POST", path, "device", files=match_files()).status_code == 200


# ---- what is wrong with a call, field by field


@pytest.mark.parametrize(
    ("parts", "errors"),
    [
        pytest.param([part("user_image", A1)], {"ref_image": ["No file was submitted."]}, id="a file is missing"),
        pytest.param(
            [part("vendor_data", b"x")],
            {"user_image": ["No file was submitted."], "ref_image": ["No file was submitted."]},
            id="both are missing",
        ),
        pytest.param(
            [part("user_image", b"\0" * (5 * 1024 * 1024 + 1)), part("ref_image", A1)],
            {"user_image": ["File size should not exceed 5 MB"]},
            id="a byte over 5 MB",
        ),
        pytest.param(
            [part("user_image", A1), part("ref_image", A2), part("face_match_score_decline_threshold", b"101")],
            {"face_match_score_decline_threshold": ["Ensure this value is between 0 and 100."]},
            id="a threshold out of range",
        ),
        *(
            pytest.param(
                [
                    part("user_image", A1),
                    part("ref_image", A2),
                    part("face_match_score_decline_threshold", text.encode()),
                ],
                {"face_match_score_decline_threshold": ["A valid number is required."]},
                id=f"a threshold written {text}",
            )
            for text in ("1e1", "1_0", "\u0665\u0660", "nan")
        ),
        pytest.param(
            [part("user_image", A1), part("ref_image", A2), part("vendor_data", b"v" * 1001)],
            {"vendor_data": ["Ensure this field has no more than 1000 characters."]},
            id="a long vendor_data",
        ),
        pytest.param(
            [part("user_image", A1), part("ref_image", A2), part("vendor_data", b"a\0")],
            {"vendor_data": ["Null characters are not allowed."]},
            id="a vendor_data with a zero",
        ),
        pytest.param(
            [part("user_image", A1), part("ref_image", A2), part("rotate_image", b"perhaps")],
            {"rotate_image": ["Must be a valid boolean."]},
            id="an odd boolean",
        ),
        pytest.param(
            [part("user_image", A1), part("ref_image", A2), part("metadata", b"[1]")],
            {"metadata": ["Value must be a JSON object."]},
            id="metadata that is no object",
        ),
        pytest.param(
            [part("user_image", A1), part("ref_image", A2), part("metadata", b'{"a":NaN}')],
            {"metadata": ["Value must be valid JSON."]},
            id="metadata that nobody could read again",
        ),
        pytest.param(
            [part("user_image", A1), part("ref_image", A2), part("vendor_data", b"\xff")],
            {"vendor_data": ["Not a valid string."]},
            id="a text that is none",
        ),
        pytest.param(
            [part("user_image", A1), part("rotate_image", b"2"), part("metadata", b"{")],
            {
                "ref_image": ["No file was submitted."],
                "rotate_image": ["Must be a valid boolean."],
                "metadata": ["Value must be valid JSON."],
            },
            id="everything at once",
        ),
    ],
)
def test_a_wrong_field_is_a_400_in_the_contracts_words(served, parts, errors):
    answer = send(served, multipart(*parts))

    assert (answer.status_code, answer.json()) == (400, errors)


def test_a_file_of_exactly_5_mb_is_looked_at(served):
    answer = send(
        served, multipart(part("user_image", A1 + b"\0" * (5 * 1024 * 1024 - len(A1))), part("ref_image", A2))
    )

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("content", "word"),
    [
        pytest.param(b"", "empty", id="nothing"),
        pytest.param(b"%PDF-1.7", "PDF", id="a PDF"),
        pytest.param(b"<svg onload='alert(1)'/>", "SVG", id="an SVG"),
        pytest.param(A1[: len(A1) // 2], "damaged", id="half a photograph"),
        pytest.param(png(50_000, 50_000), "pixels", id="a bomb"),
    ],
)
def test_bytes_that_are_no_picture_say_what_was_found(served, content, word):
    answer = send(served, multipart(part("user_image", content), part("ref_image", b"GIF89a")))

    assert answer.status_code == 400
    assert word in answer.json()["user_image"][0]
    assert "GIF" in answer.json()["ref_image"][0]


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        pytest.param("application/json", b"{}", 400, id="JSON"),
        pytest.param("", b"", 400, id="nothing"),
        pytest.param("multipart/form-data", b"x", 400, id="no boundary"),
        pytest.param(f"multipart/form-data; boundary={BOUNDARY}", b"garbage", 400, id="garbage"),
        pytest.param(
            f"multipart/form-data; boundary={BOUNDARY}",
            multipart(part("user_image", A1), end=False),
            400,
            id="cut short",
        ),
        pytest.param(
            f"multipart/form-data; boundary={BOUNDARY}", multipart(*[part("a", b"")] * 65), 400, id="too many parts"
        ),
        pytest.param(
            f"multipart/form-data; boundary={BOUNDARY}", multipart(("X: " + "y" * 9000, b"")), 400, id="endless headers"
        ),
        pytest.param(
            f"multipart/form-data; boundary={BOUNDARY}", multipart(("Content-Type: text/plain", b"")), 400, id="no name"
        ),
    ],
)
def test_a_body_that_is_no_form_is_a_400(served, kind, body, status):
    assert send(served, body, kind=kind).status_code == status


def test_a_body_far_over_two_images_is_refused_before_it_is_read(served):
    with socket.create_connection(served.server.address.removeprefix("http://").split(":")) as line:
        line.sendall(
            f"POST /v3/face-match/ HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: {served.keys['device']}\r\n"
            f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {10**12}\r\n\r\n".encode()
        )
        line.settimeout(LIMIT_S)

        assert line.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_unknown_length_is_cut_where_it_is_too_long(served):
    def chunks():
        yield multipart(part("user_image", b""), end=False)
        for _ in range(400):
            yield bytes(65_536)

    answer = served.call(
        "POST",
        "/v3/face-match/",
        "device",
        content=chunks(),
        headers={"content-type": f"multipart/form-data; boundary={BOUNDARY}"},
    )

    assert answer.status_code == 413
    until(lambda: served.application.context.memory.held == 0)


def test_expect_100_continue_is_answered_before_the_body_is_sent(served):
    body = multipart(part("user_image", A1), part("ref_image", A2))
    with socket.create_connection(served.server.address.removeprefix("http://").split(":")) as line:
        line.settimeout(LIMIT_S)
        line.sendall(
            f"POST /v3/face-match/ HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: {served.keys['device']}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nConnection: close\r\nExpect: 100-continue\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
        )
        assert line.recv(4096).startswith(b"HTTP/1.1 100 ")
        line.sendall(body)

        assert b"HTTP/1.1 200 " in line.recv(4096)


def test_a_wrong_key_with_expect_100_continue_costs_no_body(served):
    with socket.create_connection(served.server.address.removeprefix("http://").split(":")) as line:
        line.settimeout(LIMIT_S)
        line.sendall(
            b"POST /v3/face-match/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Expect: 100-continue\r\nContent-Length: 1000000\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"
        )

        assert line.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_one_connection_serves_many_calls(served):
    with served.client("device") as client:
        answers = [client.post("/v3/face-match/", files=match_files()) for _ in range(3)]
        ports = {answer.extensions["network_stream"].get_extra_info("client_addr") for answer in answers}

    assert [answer.status_code for answer in answers] == [200] * 3
    assert len(ports) == 1


# ---- face search


def enrolled(served, photograph, **more):
    known = {
        "details": Details(name=more.pop("name", "Person A"), document_number="AB123456", vendor_data="user-1"),
        **more,
    }
    return enrol_person(served.device, [photograph], Enrolment(templates=(), **known)).subject


def test_a_search_lists_who_is_known_with_the_number_masked(fresh):
    person = enrolled(fresh, A1)

    found = fresh.call("POST", "/v3/face-search/", "device", files={"user_image": A2}).json()["face_search"]

    assert (found["status"], found["total_matches"]) == ("In Review", 1)
    row = found["matches"][0]
    assert (row["session_id"], row["session_number"]) == (person.session_id, 1)
    assert row["user_details"] == {"name": "Person A", "document_type": None, "document_number": "***456"}
    assert type(found["user_image"]["entities"][0]["age"]) is str


def test_a_blocked_person_is_declined(fresh):
    enrolled(fresh, A1, is_blocklisted=True)

    found = fresh.call("POST", "/v3/face-search/", "device", files={"user_image": A2}).json()["face_search"]

    assert found["status"] == "Declined"
    assert found["warnings"][0]["risk"] == "FACE_IN_BLOCKLIST"


def test_a_stranger_is_approved_with_no_matches(fresh):
    enrolled(fresh, A1)

    found = fresh.call("POST", "/v3/face-search/", "device", files={"user_image": C1}).json()["face_search"]

    assert (found["status"], found["matches"]) == ("Approved", [])


def test_an_unknown_search_type_is_refused(fresh):
    answer = fresh.call("POST", "/v3/face-search/", "device", files={"user_image": A1}, data={"search_type": "any"})

    assert (answer.status_code, answer.json()) == (400, {"search_type": ['"any" is not a valid choice.']})


def test_the_link_to_a_kept_photograph_opens_for_an_hour_and_then_no_more(fresh):
    enrolled(fresh, A1)
    found = fresh.call("POST", "/v3/face-search/", "device", files={"user_image": A2}).json()["face_search"]
    url = found["matches"][0]["match_image_url"]

    photograph = fresh.call("GET", url)
    assert (photograph.content, photograph.headers["content-type"]) == (A1, "image/jpeg")

    fresh.wall.advance(3599)
    assert fresh.call("GET", url).status_code == 200
    fresh.wall.advance(1)
    replayed = fresh.call("GET", url)
    assert (replayed.status_code, replayed.json()) == (404, {"detail": "Not found."})


@pytest.mark.parametrize("place", [0, 5, -1])
def test_a_link_changed_in_one_letter_opens_nothing(fresh, place):
    enrolled(fresh, A1)
    found = fresh.call("POST", "/v3/face-search/", "device", files={"user_image": A2}).json()["face_search"]
    token = found["matches"][0]["match_image_url"].rpartition("/")[2]
    letters = list(token)
    letters[place] = "A" if letters[place] != "A" else "Q"

    assert fresh.call("GET", "/media/" + "".join(letters)).status_code == 404


def test_where_no_photograph_is_kept_there_is_no_link(served):
    enrolled(served, A1, name="Person A")

    found = served.call("POST", "/v3/face-search/", "device", files={"user_image": A2}).json()["face_search"]

    assert found["matches"][0]["match_image_url"] is None
    served.device.store.people.forget(found["matches"][0]["session_number"])


def test_a_link_is_dead_once_its_person_is_forgotten(fresh):
    enrolled(fresh, A1)
    found = fresh.call("POST", "/v3/face-search/", "device", files={"user_image": A2}).json()["face_search"]

    fresh.device.store.people.forget(1)

    assert fresh.call("GET", found["matches"][0]["match_image_url"]).status_code == 404


# ---- what was saved


def test_a_saved_call_can_be_read_again(fresh):
    given = fresh.call("POST", "/v3/face-match/", "device", files=match_files(), data={"vendor_data": "v"}).json()

    read = fresh.call("GET", f"/v3/session/{given['request_id']}/decision/", "device").json()

    assert (read["session_id"], read["status"], read["vendor_data"]) == (given["request_id"], "Approved", "v")
    assert read["face_match"] == given["face_match"]
    assert read["face_matches"] == [given["face_match"]]


def test_a_call_that_was_not_to_be_saved_is_not_there(fresh):
    given = fresh.call(
        "POST", "/v3/face-match/", "device", files=match_files(), data={"save_api_request": "false"}
    ).json()

    read = fresh.call("GET", f"/v3/session/{given['request_id']}/decision/", "device")

    assert (read.status_code, read.json()) == (404, {"detail": "Not found."})
    assert fresh.call("GET", "/v3/sessions/", "device").json()["count"] == 0


def test_a_saved_search_is_gone_once_somebody_in_it_is_forgotten(fresh):
    enrolled(fresh, A1)
    given = fresh.call("POST", "/v3/face-search/", "device", files={"user_image": A2}).json()

    fresh.device.store.people.forget(1)

    assert fresh.call("GET", f"/v3/session/{given['request_id']}/decision/", "device").status_code == 404


def test_the_photographs_of_a_call_reach_the_outbox_with_the_keys_id(tmp_path):
    seen = []

    class Watched(NothingLeaves):
        def __call__(self, decision, photographs):
            seen.append((decision.actor, dict(photographs)))
            return ()

    with serving(tmp_path / "state") as served:
        served.device.outgoing = Watched()
        served.call("POST", "/v3/face-match/", "device", files=match_files())

        assert seen == [(served.accounts["device"].id, {"user_image": A1, "ref_image": A2})]


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """Give a server with five saved calls, an hour apart."""
    with serving(tmp_path_factory.mktemp("listed") / "state") as served:
        for number in range(5):
            search = number % 2
            path = "/v3/face-search/" if search else "/v3/face-match/"
            files = {"user_image": C1} if search else match_files(A1, A2 if number else B1)
            answer = served.call("POST", path, "device", files=files, data={"vendor_data": f"v{number % 3}"})
            assert answer.status_code == 200
            served.wall.advance(3600)
        yield served


@pytest.mark.parametrize(
    ("query", "count"),
    [
        pytest.param("", 5, id="all"),
        pytest.param("?vendor_data=v0", 2, id="by vendor_data"),
        pytest.param("?api_service=FACE_MATCH", 3, id="by service"),
        pytest.param("?api_service=FACE_SEARCH&vendor_data=v1", 1, id="by both"),
        pytest.param("?status=Approved", 4, id="by status"),
        pytest.param("?status=Declined", 1, id="by another status"),
        pytest.param("?date_from=2027-01-15T10:00:00Z", 3, id="from a time on"),
        pytest.param("?date_to=2027-01-15T10:00:00Z", 2, id="before a time"),
        pytest.param("?vendor_data=' OR 1=1 --", 0, id="SQL"),
    ],
)
def test_saved_calls_are_found_by_filters(listed, query, count):
    answer = listed.call("GET", f"/v3/sessions/{query}", "device").json()

    assert NOW == 1_800_000_000.0  # 2027-01-15T08:00:00Z, which the times above are from
    assert (answer["count"], len(answer["results"])) == (count, count)


def test_pages_lead_to_one_another_by_their_links(listed):
    with listed.client("device") as client:
        page = client.get("/v3/sessions/?limit=2").json()
        found = [one["session_id"] for one in page["results"]]
        while page["next"]:
            page = client.get(page["next"]).json()
            found += [one["session_id"] for one in page["results"]]
        before = client.get(page["previous"]).json()

    assert len(set(found)) == len(found) == 5
    assert [one["session_id"] for one in before["results"]] == found[2:4]


@pytest.mark.parametrize(
    ("limit", "rows"), [("0", 1), ("-7", 1), ("3", 3), ("501", 5), ("9" * 900, 5), ("", 5), (" ", 5)]
)
def test_a_limit_out_of_range_is_the_nearest_within(listed, limit, rows):
    assert len(listed.call("GET", "/v3/sessions/", "device", params={"limit": limit}).json()["results"]) == rows


def test_the_document_says_which_parameters_of_didits_are_not_served(listed):
    operation = listed.call("GET", "/openapi.json").json()["paths"]["/v3/sessions/"]["get"]

    told = {one["name"] for one in operation["parameters"]}
    for name in ("session_kind", "country", "workflow_id", "search"):
        assert name in operation["summary"]
        assert name not in told
        assert listed.call("GET", f"/v3/sessions/?{name}=ESP", "device").json()["count"] == 5


@pytest.mark.parametrize(
    "query", ["limit=x", "limit=1_0", "limit=1e1", "limit=\u0665", "offset=-1", "date_from=soon", "api_service=ANY"]
)
def test_a_filter_that_makes_no_sense_is_a_400(listed, query):
    answer = listed.call("GET", f"/v3/sessions/?{query}", "device")

    assert answer.status_code == 400
    assert list(answer.json()) == [query.partition("=")[0]]


# ---- around it


@pytest.mark.parametrize("path", ["/system/healthcheck", "/system/healthcheck/"])
def test_the_healthcheck_needs_no_key(served, path):
    answer = served.call("GET", path)

    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert answer.json()["timestamp"].endswith("Z")


def test_the_healthcheck_fails_with_the_store(tmp_path):
    with serving(tmp_path / "state") as served:
        served.device.store.close()

        answer = served.call("GET", "/system/healthcheck")

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", ["/v3/nothing/", "/v3/", "/x", "/v3/session//decision/"])
def test_an_unknown_path_is_the_contracts_404(served, path):
    answer = served.call("GET", path, "device")

    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


def test_another_method_is_told_which_there_are(served):
    answer = served.call("GET", "/v3/face-match/", "device")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_store_that_fails_is_a_503_that_names_no_file(tmp_path):
    with serving(tmp_path / "state") as served:
        served.device.store.close()

        answer = served.call("GET", "/v3/sessions/", "device")

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "state" not in answer.text


def test_over_the_limit_is_a_429_with_the_contracts_headers(tmp_path):
    with serving(tmp_path / "state", api_settings={"reads_per_minute": 2}) as served, served.client("device") as client:
        answers = [client.get("/v3/sessions/") for _ in range(3)]
        other = served.call("GET", "/v3/sessions/", "operator")
        served.monotonic.advance(60)
        later = client.get("/v3/sessions/")

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert (answers[2].headers["x-ratelimit-limit"], answers[2].headers["retry-after"]) == ("2", "60")
    assert int(answers[2].headers["x-ratelimit-reset"]) == NOW + 60
    assert list(answers[2].json()) == ["detail"]
    assert (other.status_code, later.status_code) == (200, 200)


def test_thresholds_changed_in_the_settings_hold_from_the_next_call(tmp_path):
    with serving(tmp_path / "state") as served:
        served.device.config = replace(
            served.device.config, match=replace(served.device.config.match, decline_threshold=100)
        )

        answer = served.call("POST", "/v3/face-match/", "device", files=match_files())

    assert answer.json()["face_match"]["status"] == "Declined"
