"""Facts about `kiosk enrol --document`: the real networks, rendered specimens of ICAO Doc 9303."""

import json

import pytest

from kiosk.networks.documents import TASK
from kiosk.networks.inference import read_pack
from kiosk.testing.documents import Specimen
from tests.conftest import GOLDEN, MODELS
from tests.documents.cards import jpeg, picture_of

A2, B = GOLDEN / "person_a_2.jpg", GOLDEN / "person_b_1.jpg"
PASSPORT = Specimen(expiry="350415", optional="ZE184226B")  # its portrait is person A's
pytestmark = pytest.mark.usefixtures("state")


@pytest.fixture
def passport(tmp_path):
    path = tmp_path / "passport.jpg"
    path.write_bytes(jpeg(picture_of(PASSPORT)))
    return path


def people(kiosk):
    return json.loads(kiosk("gallery", "list", "--json")[1])


def test_a_document_fills_an_enrolment_but_for_what_was_said(kiosk, passport):
    code, _, err = kiosk("enrol", A2, "--name", "Person A", "--document", passport, "--yes")

    assert code == 0
    (one,) = people(kiosk)["subjects"]
    assert (one["name"], one["document_type"], one["document_number"]) == ("Person A", "Passport", "***2C3")
    assert "2035-04-1" in err.partition("may enter until")[2]  # the last day, in the time zone of the machine
    assert "whether the document is authentic" in err
    score = int(err.partition("score ")[2].partition("/100")[0])
    assert score >= 70
    assert "L898902C3" not in err


def test_nobody_is_enrolled_with_somebody_elses_or_an_expired_document_or_none(kiosk, passport, tmp_path):
    expired = tmp_path / "expired.jpg"
    expired.write_bytes(jpeg(picture_of(Specimen(expiry="120415"))))

    others = kiosk("enrol", B, "--document", passport, "--yes")
    old = kiosk("enrol", A2, "--document", expired, "--yes")
    none = kiosk("enrol", A2, "--document", A2, "--yes")

    assert [one[0] for one in (others, old, none)] == [3, 3, 3]
    assert "the portrait is somebody else's" in others[2]
    assert "DOCUMENT_EXPIRED" in old[2]
    assert "no document was recognised" in none[2]
    assert people(kiosk)["subjects"] == []


def test_what_was_read_is_confirmed_at_a_terminal_or_by_an_option(kiosk, passport):
    unasked = kiosk("enrol", A2, "--document", passport)
    alone = kiosk("enrol", A2, "--document-back", passport)

    assert (unasked[0], "run it in a terminal, or give --yes" in unasked[2]) == (1, True)
    assert (alone[0], "give its front too, as --document" in alone[2]) == (1, True)


def test_doctor_says_whether_documents_are_read_and_what_a_missing_file_means(kiosk, tmp_path, monkeypatch):
    def found():
        code, out, _ = kiosk("doctor", "--json")
        (one,) = [finding for finding in json.loads(out) if finding["what"] == "documents"]
        return code, one["is_good"], one["sentence"]

    name = read_pack(MODELS).spec(TASK).path.name
    present = found()
    pack = tmp_path / "pack"
    pack.mkdir()
    for path in MODELS.iterdir():
        if path.name != name:
            (pack / path.name).symlink_to(path)
    monkeypatch.setenv("KIOSK_MODELS_PACK", str(pack))
    absent = found()
    (pack / name).write_bytes(b"something else")
    damaged = found()

    assert present[:2] == (0, True)
    assert f"{name} unchanged" in present[2]
    assert absent[:2] == (0, True)
    assert "not read" in absent[2]
    assert damaged[:2] == (3, False)
    assert "is not the file in" in damaged[2]
