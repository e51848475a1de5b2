"""Facts about POST /v3/id-verification/: the real network, a real server, rendered specimens of ICAO Doc 9303."""

import base64
import json
from dataclasses import replace
from io import BytesIO

import cv2
import numpy as np
import pytest
import zxingcpp
from PIL import Image

from kiosk.device.enrol_document import SHOWN_S
from kiosk.documents.mrz import MrzType
from kiosk.entrance.news import Still
from kiosk.networks.documents import ZoneNetwork
from kiosk.networks.inference import read_pack
from kiosk.settings.sections import EnrolmentSettings
from kiosk.testing.documents import Specimen, lines_of
from tests.api.served import A1, A2, B1, serving
from tests.conftest import MODELS
from tests.documents.cards import blank, jpeg, picture_of, score_of_person_a

PASSPORT = Specimen(expiry="350415", optional="ZE184226B")
CARD = Specimen(MrzType.TD1, "STEVENSON", "PETER<JOHN", "D23145890", "740812", "350415", "M")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("documents") / "state") as served:
        yield served


def ask(served, front, back=None, **fields):
    files = {"front_image": ("f.jpg", front)} | ({"back_image": ("b.jpg", back)} if back else {})
    return served.call("POST", "/v3/id-verification/", "device", files=files, data=fields)


def risks(verified, log_type="error"):
    return [one["risk"] for one in verified["warnings"] if one["log_type"] == log_type]


def test_a_passport_is_read_to_the_last_field_and_never_called_genuine(served):
    answer = ask(served, jpeg(picture_of(PASSPORT)), vendor_data="v-1", metadata='{"step": 2}').json()

    verified = answer["id_verification"]
    portrait = Image.open(BytesIO(base64.b64decode(verified.pop("portrait_image"))))
    assert portrait.format == "JPEG"
    assert all(0 <= score <= 100 for score in verified.pop("front_image_quality_score").values())
    zone, warnings = verified.pop("mrz"), verified.pop("warnings")
    assert verified == {
        "status": "Approved",
        "document_type": "Passport",
        "document_number": "L898902C3",
        "personal_number": "ZE184226B",
        "front_image": None,
        "back_image": None,
        "date_of_birth": "1974-08-12",
        "age": 52,
        "expiration_date": "2035-04-15",
        "issuing_state": "UTO",
        "issuing_state_name": "Utopia",
        "first_name": "ANNA MARIA",
        "last_name": "ERIKSSON",
        "full_name": "ANNA MARIA ERIKSSON",
        "gender": "F",
        "nationality": "UTO",
        "barcodes": [],
    }
    assert zone["mrz_string"] == "\n".join(lines_of(PASSPORT))
    assert (zone["mrz_type"], zone["final_hash"], zone["errors"]) == ("TD3", lines_of(PASSPORT)[1][-1], [])
    assert [(one["risk"], one["log_type"]) for one in warnings] == [("DOCUMENT_NOT_AUTHENTICATED", "information")]
    assert "authenticity" in warnings[0]["additional_data"]["not_checked"]
    assert (answer["vendor_data"], answer["metadata"]) == ("v-1", {"step": 2})


def test_what_is_kept_has_no_picture_no_zone_and_masked_numbers(served):
    made = ask(served, jpeg(picture_of(PASSPORT)), vendor_data="v-kept").json()

    saved = served.call("GET", f"/v3/session/{made['request_id']}/decision/", "device").json()

    kept = saved["id_verifications"][0]
    assert (kept["document_number"], kept["personal_number"]) == ("***2C3", "***26B")
    assert (kept["portrait_image"], kept["mrz"]) == (None, None)
    assert "L898902C3" not in json.dumps(saved)
    assert (saved["api_service"], saved["status"]) == ("ID_VERIFICATION", "Approved")


def test_without_saving_nothing_is_kept(served):
    made = ask(served, jpeg(picture_of(PASSPORT)), save_api_request="false").json()

    assert made["id_verification"]["status"] == "Approved"
    assert served.call("GET", f"/v3/session/{made['request_id']}/decision/", "device").status_code == 404


def test_a_card_has_its_zone_on_the_back_and_its_portrait_on_the_front(served):
    back = picture_of(CARD, portrait=None)

    verified = ask(served, jpeg(blank()), jpeg(np.rot90(back, 2).copy())).json()["id_verification"]

    assert (verified["status"], verified["document_type"]) == ("Approved", "Identity Card")
    assert (verified["document_number"], verified["full_name"]) == ("D23145890", "PETER JOHN STEVENSON")
    assert verified["mrz"]["mrz_type"] == "TD1"
    assert verified["portrait_image"] is not None


def test_an_expired_document_is_declined(served):
    verified = ask(served, jpeg(picture_of(Specimen(expiry="120415")))).json()["id_verification"]

    assert (verified["status"], risks(verified)) == ("Declined", ["DOCUMENT_EXPIRED"])


def test_a_wrong_check_digit_declines_unless_the_caller_weighs_it_otherwise(served):
    upper, lower = lines_of(PASSPORT)
    forged = picture_of(PASSPORT, lines=(upper, lower[:13] + "750812" + lower[19:]))  # another year of birth

    declined = ask(served, jpeg(forged)).json()["id_verification"]
    weighed = ask(served, jpeg(forged), invalid_mrz_action="NO_ACTION").json()["id_verification"]

    assert declined["status"] == "Declined"
    assert "MRZ_VALIDATION_FAILED" in risks(declined)
    assert declined["date_of_birth"] is None  # what a wrong check digit covers is not believed
    assert "MRZ_VALIDATION_FAILED" in risks(weighed, "information")


def test_a_licence_is_read_from_its_barcode_and_compared_with_a_zone(served):
    text = (
        "@\n\x1e\rANSI 636000090002DL00410278\nDLDAQL898902C3\nDCSERIKSSON\nDACANNA\nDADMARIA\nDBB08121974\n"
        "DBA04152035\nDBC2\nDCGUSA\r"
    )
    code = np.array(zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.PDF417).to_image(scale=3))
    back = np.full((code.shape[0] + 120, code.shape[1] + 120, 3), 235, np.uint8)
    back[60:-60, 60:-60] = code[..., np.newaxis]

    licence = ask(served, jpeg(blank()), jpeg(back)).json()["id_verification"]
    other = Specimen(number="L898902D1", expiry="350415")
    mixed = ask(served, jpeg(picture_of(other)), jpeg(back)).json()["id_verification"]

    assert (licence["document_type"], licence["document_number"]) == ("Driver's License", "L898902C3")
    assert (licence["status"], licence["barcodes"][0]["type"], licence["mrz"]) == ("Approved", "PDF417", None)
    assert (mixed["status"], risks(mixed)) == ("Declined", ["DATA_INCONSISTENT"])


# ---- what a document fills into an enrolment


def preview(served, front, **live):
    files = {"front_image": ("f.jpg", front)} | {name: ("u.jpg", content) for name, content in live.items()}
    return served.call("POST", "/device/documents", "operator", files=files).json()


def test_an_enrolment_is_filled_from_a_document_and_its_portrait_scored_with_the_photograph(served):
    before = served.device.store.decisions().total

    theirs = preview(served, jpeg(picture_of(PASSPORT)), user_image=A2)
    others = preview(served, jpeg(picture_of(PASSPORT)), user_image=B1)
    alone = preview(served, jpeg(picture_of(PASSPORT)))

    assert {name: theirs[name] for name in ("name", "document_type", "document_number", "is_accepted")} == {
        "name": "ANNA MARIA ERIKSSON",
        "document_type": "Passport",
        "document_number": "L898902C3",
        "is_accepted": True,
    }
    assert theirs["valid_until"].startswith("2035-04-16T00:00:00")  # until the end of the last day
    assert theirs["portrait_score"] >= 70
    assert (others["is_accepted"], others["portrait_score"] < 50) == (False, True)
    assert others["sentence"].startswith("the portrait is somebody else's")
    assert (alone["portrait_score"], alone["has_portrait"], alone["portrait_id"]) == (None, True, None)
    assert served.device.store.decisions().total == before
    assert served.device.store.people.subjects().total == 0


def test_what_speaks_against_a_document_fills_nobody_in(served):
    upper, lower = lines_of(PASSPORT)
    forged = picture_of(PASSPORT, lines=(upper, lower[:13] + "750812" + lower[19:]))

    expired, wrong, none = (
        preview(served, picture) for picture in (jpeg(picture_of(Specimen(expiry="120415"))), jpeg(forged), A1)
    )

    assert (expired["is_accepted"], "DOCUMENT_EXPIRED" in expired["risks"]) == (False, True)
    assert (wrong["is_accepted"], "MRZ_VALIDATION_FAILED" in wrong["risks"]) == (False, True)
    assert (none["is_recognised"], none["is_accepted"]) == (False, False)


def test_what_is_shown_at_the_kiosk_is_read_in_mode_enrol_and_its_portrait_goes_with_the_enrolment(served):
    config = served.device.config
    enrolling = EnrolmentSettings(consent_version="1", consent_text="We keep features of your face.")
    served.kiosk.picture = Still(jpeg(picture_of(PASSPORT)), (1280, 720), 0.1, ())
    agreed = {"consent": {"version": "1"}}
    with served.screen() as screen:
        elsewhere = screen.post("/device/documents/shown")
        served.device.apply(replace(config, entrance=replace(config.entrance, mode="enrol"), enrolment=enrolling))
        try:
            told = screen.post("/device/documents/shown").json()
            unknown = screen.post("/device/enrolments", json={**agreed, "portrait_id": "another"})
            begun = screen.post("/device/enrolments", json={**agreed, "portrait_id": told["portrait_id"]})
            again = screen.post("/device/enrolments", json={**agreed, "portrait_id": told["portrait_id"]})
            late = screen.post("/device/documents/shown").json()
            served.wall.advance(SHOWN_S)
            over = screen.post("/device/enrolments", json={**agreed, "portrait_id": late["portrait_id"]})
        finally:
            served.device.apply(config)

    assert elsewhere.status_code == 409
    assert (told["is_accepted"], told["name"]) == (True, "ANNA MARIA ERIKSSON")
    assert begun.status_code == 201
    for refused in (unknown, again, over):  # once, of the newest document, and not for long
        assert (refused.status_code, list(refused.json())) == (400, ["portrait_id"])
    ((_, *_, portrait),) = served.kiosk.asked
    assert score_of_person_a(served.device, portrait) >= 70


def test_what_shows_no_document_is_not_recognised(served):
    answer = ask(served, A1)

    assert (answer.status_code, answer.json()) == (400, {"error": "COULD_NOT_RECOGNIZE_DOCUMENT"})


def test_what_is_no_picture_is_refused_by_field_and_ten_megabytes_are_the_limit(served):
    broken = ask(served, jpeg(picture_of(PASSPORT)), b"%PDF-1.7 ...")
    large = ask(served, b"\xff\xd8" + bytes(10 * 1024 * 1024))
    missing = served.call("POST", "/v3/id-verification/", "device", files={"x": b"x"})
    wrong = ask(served, A1, invalid_mrz_action="PERHAPS")

    assert list(broken.json()) == ["back_image"]
    assert large.json() == {"front_image": ["File size should not exceed 10 MB"]}
    assert missing.json() == {"front_image": ["No file was submitted."]}
    assert list(wrong.json()) == ["invalid_mrz_action"]
    assert {one.status_code for one in (broken, large, missing, wrong)} == {400}


def test_a_picture_of_more_than_five_megabytes_is_taken(served):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)
    content = cv2.imencode(".png", noise)[1].tobytes()

    assert 5 * 1024 * 1024 < len(content) < 10 * 1024 * 1024
    assert ask(served, content).json() == {"error": "COULD_NOT_RECOGNIZE_DOCUMENT"}


def test_a_kiosk_without_the_network_says_so(tmp_path):
    pack = read_pack(MODELS)
    bare = type(pack)(pack.name, pack.directory, tuple(one for one in pack.models if one.task != "mrz"), pack.scale, {})

    with serving(tmp_path / "state", zone_network=ZoneNetwork(lambda: bare)) as served:
        answer = ask(served, jpeg(picture_of(PASSPORT)))

    assert answer.status_code == 501
    assert "no network that reads documents" in answer.json()["detail"]
