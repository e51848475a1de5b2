"""Facts about people who are taken away: as a table or sealed, by administrators alone, and never unrecorded."""

from __future__ import annotations

import base64
import csv
import io

import pytest

from kiosk.device.people_finder import PeopleFinder
from kiosk.device.people_table import ARCHIVE, archived, rows
from kiosk.device.sealed_file import MOST_RECORD, Sealer, unseal
from kiosk.errors import ConfigError, RefusedError
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.subjects import Details, Enrolment
from tests.api.served import A1, NOW, serving

PASSPHRASE = "a stick may be lost"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("exports") / "state") as served:
        details = Details(name="=Person A", document_number="AB123456")
        served.device.store.people.enrol(
            Enrolment(templates=(), details=details, valid_until=NOW + 86400, images=(A1,))
        )
        yield served


def exports(served) -> list[dict[str, str]]:
    page = served.device.store.decisions(DecisionFilter(kinds=(Kind.EXPORT,)))
    return [dict(one.entry.details) for one in page.decisions]


def sealed(served, **options):
    answer = served.call("POST", "/device/people/archive", "admin", json={"passphrase": PASSPHRASE}, **options)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_a_table_has_documents_in_full_runs_nothing_in_a_spreadsheet_and_is_recorded(served):
    before = len(exports(served))

    answer = served.call("GET", "/device/people.csv", "admin")

    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["name"], row["document_number"]) == ("'=Person A", "AB123456")
    assert exports(served)[0] == {"form": "csv"}
    assert len(exports(served)) == before + 1


def test_an_archive_opens_with_its_passphrase_alone_and_is_recorded(served):
    content = sealed(served)

    person, *photographs = unseal(io.BytesIO(content), PASSPHRASE, ARCHIVE)
    assert person["name"] == "=Person A"
    assert b"Person A" not in content
    assert [base64.b64decode(one["photograph"])[:2] for one in photographs] == [b"\xff\xd8"]
    assert [(one["session_number"], one["place"]) for one in photographs] == [(person["session_number"], 1)]
    assert exports(served)[0] == {"form": "archive"}
    with pytest.raises(RefusedError, match="passphrase is wrong"):
        list(unseal(io.BytesIO(content), "another passphrase", ARCHIVE))


def test_a_person_with_more_photographs_than_a_record_holds_is_in_an_archive_that_opens(store):
    images = [bytes([place]) * (MOST_RECORD // 8) for place in range(8)]  # base64 makes them a third larger
    store.people.enrol(Enrolment(templates=(), details=Details(name="Person B"), images=images))

    found = archived(store.people, rows(store.people, PeopleFinder(store), None))
    content = b"".join(Sealer(PASSPHRASE, ARCHIVE).seal(found))

    person, *photographs = unseal(io.BytesIO(content), PASSPHRASE, ARCHIVE)
    assert person["name"] == "Person B"
    assert [base64.b64decode(one["photograph"]) for one in photographs] == images


def test_a_record_that_no_reader_takes_is_never_written():
    pieces = Sealer(PASSPHRASE, ARCHIVE).seal([{"photograph": "A" * MOST_RECORD}])

    with pytest.raises(RefusedError, match="too large"):
        list(pieces)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda content: content[:-1], id="cut at its end"),
        pytest.param(lambda content: content[: content.rindex(b"\0\0\0")], id="without its last record"),
        pytest.param(lambda content: content + b"\0", id="with something behind it"),
        pytest.param(lambda content: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:], id="changed"),
    ],
)
def test_an_archive_that_was_changed_is_refused(served, spoil):
    content = sealed(served)

    with pytest.raises(RefusedError):
        list(unseal(io.BytesIO(spoil(content)), PASSPHRASE, ARCHIVE))


def test_an_archive_of_another_kind_is_refused(served):
    with pytest.raises(ConfigError, match="kiosk-outbox-1"):
        list(unseal(io.BytesIO(sealed(served)), PASSPHRASE, "kiosk-outbox-1"))


def test_a_filter_holds_for_both(served):
    none = {"params": {"is_blocklisted": "true"}}

    assert len(served.call("GET", "/device/people.csv", "admin", **none).text.splitlines()) == 1
    assert list(unseal(io.BytesIO(sealed(served, **none)), PASSPHRASE, ARCHIVE)) == []


@pytest.mark.parametrize(
    ("method", "path", "json"),
    [("GET", "/device/people.csv", None), ("POST", "/device/people/archive", {"passphrase": PASSPHRASE})],
)
def test_an_operator_takes_nobody_away(served, method, path, json):
    before = len(exports(served))

    assert served.call(method, path, "operator", json=json).status_code == 403
    assert len(exports(served)) == before


def test_a_short_passphrase_is_refused_and_nothing_recorded(served):
    before = len(exports(served))

    refused = served.call("POST", "/device/people/archive", "admin", json={"passphrase": "short"})

    assert (refused.status_code, list(refused.json())) == (400, ["passphrase"])
    assert len(exports(served)) == before
