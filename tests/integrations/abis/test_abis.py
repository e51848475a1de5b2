"""MOSIP's messages, answered by the real networks over a real store, in the words of its specification."""

import json

import pytest

from kiosk.device.device import Device
from kiosk.gallery.parts import Gathered
from kiosk.integrations.abis.engine import Abis
from kiosk.integrations.abis.faces import face_pictures
from kiosk.integrations.abis.messages import AbisError, Failure
from kiosk.settings.config import Config
from kiosk.store.directory import initialise
from kiosk.store.subjects import Enrolment
from kiosk.store.vault import Cipher
from kiosk.testing.fakes import ManualClock
from tests.api.served import A1, A2, B1, C1, NOW, decoder
from tests.conftest import networks
from tests.integrations.abis.records import EMPTY, as_jpeg_2000, cbeff, face_record, of_face

AT = "2026-03-29T07:01:24.692Z"
SHARE = "https://mosip.example/datashare/"


class Share:
    """MOSIP's biometrics by their URL."""

    def __init__(self, records):
        self.records = records

    def __call__(self, url):
        if url not in self.records:
            raise AbisError(Failure.NOT_FETCHED)
        return self.records[url]


@pytest.fixture(scope="module")
def records():
    made = {SHARE + name: of_face(photograph) for name, photograph in (("a1", A1), ("a2", A2), ("b1", B1), ("c1", C1))}
    made[SHARE + "empty"] = EMPTY
    made[SHARE + "finger"] = cbeff([("Finger", b"FIR\0...")])
    made[SHARE + "broken"] = b"<BIR><BIR>"
    made[SHARE + "entities"] = b'<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><BIR>&y;</BIR>'
    made[SHARE + "nobody"] = cbeff([("Face", face_record(as_jpeg_2000(A1)[:200]))])
    return made


@pytest.fixture
def abis(tmp_path, records):
    """Give an ABIS in which persons A (a1) and B are, through MOSIP's own messages."""
    clock = ManualClock(NOW)
    store = initialise(tmp_path / "state", now=clock, cipher=Cipher.AES_256_GCM)
    with Device(networks(), store, Config(), now=clock, decoder=decoder()) as device:
        made = Abis(device, Share(records), pending=lambda: 3)
        for name in ("a1", "b1"):
            assert ask(made, "insert", referenceId=f"ref-{name}", referenceURL=SHARE + name)["returnValue"] == "1"
        yield made


def ask(abis, operation, **more):
    plain = {"id": f"mosip.abis.{operation}", "version": "1.1", "requestId": "r-1", "requesttime": AT, **more}
    return abis.answer(json.dumps({name: value for name, value in plain.items() if value is not None}).encode())


def listed(answer):
    assert answer["returnValue"] == "1", answer
    return [row["referenceId"] for row in answer["candidateList"]["candidates"]]


def test_an_insert_is_answered_as_the_specification_has_it(abis):
    answer = ask(abis, "insert", referenceId="ref-c1", referenceURL=SHARE + "c1")

    assert answer == {
        "id": "mosip.abis.insert",
        "requestId": "r-1",
        "responsetime": "2027-01-15T08:00:00.000Z",
        "returnValue": "1",
    }
    assert ask(abis, "referenceCount")["count"] == "3"


def test_somebody_who_was_inserted_twice_is_found_by_identify_and_not_by_insert(abis):
    assert ask(abis, "insert", referenceId="ref-a2", referenceURL=SHARE + "a2")["returnValue"] == "1"
    answer = ask(abis, "identify", referenceId="ref-a2", referenceURL="")
    (row,) = answer["candidateList"]["candidates"]

    assert row["referenceId"] == "ref-a1"
    assert answer["candidateList"]["count"] == "1"
    assert set(row["analytics"]) == {"confidence", "internalScore"}
    assert row["modalities"][0]["biometricType"] == "FID"
    assert all(isinstance(value, str) for value in row["analytics"].values())


def test_identify_searches_by_url_where_no_id_is_given_and_stores_nobody(abis):
    assert listed(ask(abis, "identify", referenceId=None, referenceURL=SHARE + "a2")) == ["ref-a1"]
    assert listed(ask(abis, "identify", referenceId="", referenceURL=SHARE + "c1")) == []
    assert ask(abis, "referenceCount")["count"] == "2"


def test_a_gallery_bounds_whom_identify_may_list(abis):
    def among(*names):
        return {"referenceIds": [{"referenceId": name} for name in names]}

    url = SHARE + "a2"
    assert listed(ask(abis, "identify", referenceURL=url, gallery=among("ref-a1", "ref-unknown"))) == ["ref-a1"]
    assert listed(ask(abis, "identify", referenceURL=url, gallery=among("ref-b1"))) == []
    assert listed(ask(abis, "identify", referenceURL=url, gallery=among())) == []


def test_a_target_fpir_moves_the_threshold_and_the_answer_says_which_rate_it_holds(abis):
    loose, tight = (
        ask(abis, "identify", referenceURL=SHARE + "a2", flags={"targetFPIR": value, "maxResults": "10"})
        for value in ("0", "40")
    )

    assert set(listed(loose)) == {"ref-a1", "ref-b1"}
    assert listed(tight) == ["ref-a1"]
    about = tight["candidateList"]["analytics"]
    assert float(about["statedFPIR"]) == pytest.approx(1e-4, rel=0.1)
    assert float(about["threshold"]) > float(loose["candidateList"]["analytics"]["threshold"])


def test_max_results_bounds_the_list_to_the_best(abis):
    answer = ask(abis, "identify", referenceURL=SHARE + "a2", flags={"targetFPIR": "0", "maxResults": "1"})

    assert listed(answer) == ["ref-a1"]


def test_people_of_the_kiosk_take_no_place_of_mosips(abis):
    """Who was enrolled without a referenceId is nobody MOSIP could be told of, however alike."""
    device = abis._device
    (face,) = abis._references(abis._fetch(SHARE + "a2"))
    for _ in range(6):
        device.store.people.enrol(Enrolment([face.template]))

    assert listed(ask(abis, "identify", referenceURL=SHARE + "a2", flags={"maxResults": "1"})) == ["ref-a1"]
    assert listed(ask(abis, "identify", referenceId="ref-a1", flags={"maxResults": "1"})) == []


def test_a_deleted_reference_is_gone_and_its_id_free(abis):
    assert ask(abis, "delete", referenceId="ref-a1")["returnValue"] == "1"
    assert listed(ask(abis, "identify", referenceURL=SHARE + "a2")) == []
    assert ask(abis, "delete", referenceId="ref-a1")["failureReason"] == "12"
    assert ask(abis, "insert", referenceId="ref-a1", referenceURL=SHARE + "a1")["returnValue"] == "1"


def test_ping_and_pending_jobs_are_answered(abis):
    assert ask(abis, "ping")["returnValue"] == "1"
    assert ask(abis, "pendingJobs")["jobscount"] == "3"


@pytest.mark.parametrize(
    ("operation", "more", "reason"),
    [
        pytest.param("insert", {"referenceId": None, "referenceURL": SHARE + "a1"}, "5", id="no reference id"),
        pytest.param("insert", {"referenceId": "x", "requestId": ""}, "6", id="no request id"),
        pytest.param("insert", {"referenceId": "x", "referenceURL": SHARE + "gone"}, "7", id="not fetched"),
        pytest.param("insert", {"referenceId": "x"}, "8", id="no url"),
        pytest.param("insert", {"referenceId": "x", "requesttime": None}, "9", id="no time"),
        pytest.param("insert", {"referenceId": "ref-a1", "referenceURL": SHARE + "a2"}, "10", id="there already"),
        pytest.param("insert", {"referenceId": "x", "referenceURL": SHARE + "empty"}, "11", id="no data"),
        pytest.param("insert", {"referenceId": "x", "referenceURL": SHARE + "finger"}, "11", id="no face"),
        pytest.param("identify", {"referenceId": "x"}, "12", id="not found"),
        pytest.param("identify", {}, "5", id="nobody to look for"),
        pytest.param("ping", {"version": "7"}, "13", id="version"),
        pytest.param("open", {}, "14", id="id"),
        pytest.param("ping", {"requesttime": "yesterday"}, "15", id="time"),
        pytest.param("insert", {"referenceId": "x", "referenceURL": SHARE + "broken"}, "16", id="no xml"),
        pytest.param("insert", {"referenceId": "x", "referenceURL": SHARE + "entities"}, "16", id="entities"),
        pytest.param("insert", {"referenceId": "x", "referenceURL": SHARE + "nobody"}, "16", id="a damaged picture"),
        pytest.param("identify", {"referenceId": "ref-a1", "flags": {"targetFPIR": "x"}}, "4", id="a flag"),
        pytest.param("identify", {"referenceId": "ref-a1", "gallery": {"referenceIds": [7]}}, "4", id="a gallery"),
        pytest.param("identify", {"referenceId": ["ref-a1"]}, "4", id="an id that is a list"),
        pytest.param("insert", {"referenceId": " ", "referenceURL": SHARE + "c1"}, "5", id="an id of blanks"),
        pytest.param(
            "insert", {"referenceId": "\u2003", "referenceURL": SHARE + "c1"}, "5", id="an id of a wide blank"
        ),
        pytest.param(
            "insert", {"referenceId": "\ud800", "referenceURL": SHARE + "c1"}, "4", id="an id that is no text"
        ),
        pytest.param("insert", {"referenceId": "a\0b", "referenceURL": SHARE + "c1"}, "4", id="an id with a hole"),
        pytest.param("identify", {"referenceId": "ref-a1", "flags": {"maxResults": 10**400}}, "4", id="a vast flag"),
    ],
)
def test_what_is_wrong_is_told_by_the_specifications_number(abis, operation, more, reason):
    answer = ask(abis, operation, **more)

    assert (answer["returnValue"], answer["failureReason"]) == ("2", reason)
    assert ask(abis, "referenceCount")["count"] == "2"


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff\xfe", b"7", b"[" * 5000, b"{" + b" " * (5 << 20) + b"}"])
def test_whatever_is_no_message_is_answered_too(abis, raw):
    assert abis.answer(raw)["failureReason"] == "4"


def test_a_slip_of_ours_is_an_answer_too_and_the_next_message_is_served(abis):
    def fetch(url):
        return [][len(url)]

    slipping = Abis(abis._device, fetch)

    assert ask(slipping, "insert", referenceId="x", referenceURL=SHARE + "a1")["failureReason"] == "3"
    assert ask(slipping, "ping")["returnValue"] == "1"


def test_where_a_shard_is_missing_nobody_is_called_unknown(abis):
    class OneOfTwo:
        """Shards of which one does not answer."""

        def search_all(self, probe, queries, *, now):
            del probe, now
            return Gathered(1, 2, 1, tuple(() for _ in queries), frozenset())

        def close(self):
            """Nothing is held."""

    abis._device.elsewhere = OneOfTwo()

    assert ask(abis, "identify", referenceURL=SHARE + "a2")["failureReason"] == "2"


def test_a_face_record_is_read_past_its_landmarks_and_qualities():
    assert face_pictures(cbeff([("Face", face_record(A1, landmarks=3, qualities=2))])) == [A1]
    assert face_pictures(cbeff([("Face", A1)])) == [A1]


@pytest.mark.parametrize("cut", [1, 17, 30, 60, 500])
def test_a_face_record_that_was_cut_is_refused(cut):
    whole = face_record(A1)

    with pytest.raises(AbisError):
        face_pictures(cbeff([("Face", whole[:cut])]))
    with pytest.raises(AbisError):
        face_pictures(cbeff([("Face", whole[:-cut])]))
