"""Facts about a session's page: the onboarding from start to end, offline, in Chromium with a camera made of a file."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest

from kiosk.settings.config import Config
from kiosk.settings.workflows import SessionSettings
from kiosk.testing.documents import Specimen
from kiosk.testing.scripted_documents import ScriptedDocumentReader
from tests.api.served import serving
from tests.api.test_liveness import PERSON_FILE
from tests.conftest import read
from tests.documents.cards import jpeg, picture_of
from tests.patience import until
from tests.web.browsed import DESKTOP, NEEDED, PHONE, opened, playwright, serious

pytestmark = NEEDED

PASSPORT = Specimen(expiry="350415", optional="ZE184226B")
SCREEN = {"width": 800, "height": 480}
SETTINGS = SessionSettings(
    workflows=(
        "onboarding: liveness > face_search > id_verification > face_match",
        "selfie: liveness",
        "document: id_verification",
    )
)


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    """Give a file that Chromium plays as its camera: one person, in 4:3 as cameras see."""
    image = cv2.cvtColor(read(PERSON_FILE), cv2.COLOR_RGB2BGR)
    scale = 480 / image.shape[0]
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    left = max(0, (640 - small.shape[1]) // 2)
    frame = cv2.copyMakeBorder(small[:, :640], 0, 0, left, max(0, 640 - left - small.shape[1]), cv2.BORDER_REPLICATE)
    path = tmp_path_factory.mktemp("camera") / "person.mjpeg"
    path.write_bytes(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes() * 4)
    return path


@pytest.fixture(scope="module")
def chromium(driver, camera):
    with driver.lent(
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
    ) as browser:
        yield browser


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    config = replace(Config(), sessions=SETTINGS)
    with serving(
        tmp_path_factory.mktemp("session") / "state", config=config, read_document=ScriptedDocumentReader()
    ) as served:
        yield served


def create(served, workflow_id="onboarding", **more):
    return served.call("POST", "/v3/session/", "device", json={"workflow_id": workflow_id, **more}).json()


def decided(served, made):
    return served.call("GET", f"/v3/session/{made['session_id']}/decision/", "device").json()


def take(page):
    page.get_by_role("button", name=re.compile("Take the picture|Foto aufnehmen")).click()


def test_the_onboarding_runs_offline_from_start_to_end_by_the_camera(chromium, served):
    made = create(served, vendor_data="user-1", callback=f"{served.url}/?done=1")
    with opened(chromium, served.url, viewport=PHONE) as (page, watch):
        watch.expects(401)  # the page that the callback leads to asks who is signed in
        page.goto(made["url"])
        page.get_by_role("button", name="I agree, begin").click()
        page.get_by_role("heading", name="Photograph your face").wait_for()
        take(page)
        page.get_by_role("heading", name="Photograph your document").wait_for()
        take(page)
        page.get_by_role("heading", name="Now the back").wait_for()
        page.get_by_role("button", name="There is no back").click()
        page.get_by_role("heading", name="Done, thank you").wait_for()
        page.wait_for_url(re.compile("done=1"))

        assert f"verificationSessionId={made['session_id']}&status=Approved" in page.url
    found = decided(served, made)
    assert found["status"] == "Approved"
    assert [found[name][0]["status"] for name in ("liveness_checks", "face_searches", "id_verifications")] == (
        ["Approved"] * 3
    )
    assert found["face_matches"][0]["score"] >= 90
    listed = served.call("GET", "/v3/sessions/?vendor_data=user-1", "device").json()
    assert listed["results"][0]["session_id"] == made["session_id"]


def test_a_second_tap_takes_no_second_picture(chromium, tmp_path):
    config, reader = replace(Config(), sessions=SETTINGS), ScriptedDocumentReader()
    with (
        serving(tmp_path / "state", config=config, read_document=reader) as served,
        opened(chromium, served.url, viewport=PHONE) as (page, _),
    ):
        page.goto(create(served, "document")["url"])
        page.get_by_role("button", name="I agree, begin").click()
        page.get_by_role("heading", name="Photograph your document").wait_for()
        page.get_by_role("button", name="Take the picture").dblclick()
        page.get_by_role("heading", name="Now the back").wait_for()
        page.get_by_role("button", name="There is no back").click()
        page.get_by_role("heading", name="Done, thank you").wait_for()

    assert reader.backs == [None]


def test_the_onboarding_reads_a_specimen_of_a_document_and_compares_its_portrait(chromium, tmp_path):
    theirs, others, wall = tmp_path / "theirs.jpg", tmp_path / "others.jpg", tmp_path / "wall.jpg"
    theirs.write_bytes(jpeg(picture_of(PASSPORT)))  # its portrait is of the person before the camera
    others.write_bytes(jpeg(picture_of(PASSPORT, portrait="person_b_1.jpg")))
    wall.write_bytes(jpeg(np.full((480, 640, 3), 90, np.uint8)))
    with serving(tmp_path / "state", config=replace(Config(), sessions=SETTINGS), with_documents=True) as served:
        statuses, scores = [], []
        for document in (theirs, others):
            made = create(served, vendor_data="user-1")
            with opened(chromium, served.url, viewport=PHONE) as (page, _):
                page.goto(made["url"])
                page.get_by_role("button", name="I agree, begin").click()
                page.get_by_role("heading", name="Photograph your face").wait_for()
                take(page)
                page.get_by_role("heading", name="Photograph your document").wait_for()
                if document is theirs:
                    page.locator("input[type=file]").set_input_files(wall)
                    page.get_by_role("heading", name="Now the back").wait_for()
                    page.get_by_role("button", name="There is no back").click()
                    page.get_by_role("alert").filter(has_text="could not be read").wait_for()
                page.locator("input[type=file]").set_input_files(document)
                page.get_by_role("heading", name="Now the back").wait_for()
                page.get_by_role("button", name="There is no back").click()
                page.get_by_role("heading", name=re.compile("Done, thank you|This did not work")).wait_for()
            found = decided(served, made)
            statuses.append(found["status"])
            scores.append(found["face_matches"][0]["score"])
            assert found["id_verifications"][0]["full_name"] == "ANNA MARIA ERIKSSON"
            assert found["id_verifications"][0]["document_number"].endswith("2C3")

    assert statuses == ["Approved", "Declined"]
    assert scores[0] >= 70 > scores[1]


def test_a_picture_can_be_chosen_where_there_is_no_camera_and_a_wrong_one_asked_for_again(chromium, served, tmp_path):
    wall = tmp_path / "wall.png"
    wall.write_bytes(cv2.imencode(".png", np.full((200, 200, 3), 90, np.uint8))[1].tobytes())
    made = create(served, "selfie", language="de")
    with opened(chromium, served.url) as (page, _):
        page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
        page.goto(made["url"])
        page.get_by_role("button", name="Ich stimme zu, beginnen").click()
        page.get_by_text("Die Kamera lässt sich hier nicht nutzen").wait_for()

        page.locator("input[type=file]").set_input_files(wall)
        page.get_by_role("alert").filter(has_text="kein Gesicht").wait_for()
        page.locator("input[type=file]").set_input_files(PERSON_FILE)
        page.get_by_role("heading", name="Fertig, vielen Dank").wait_for()
    assert decided(served, made)["status"] == "Approved"


def test_what_a_telephone_goes_on_with_the_first_page_shows_ending(chromium, served):
    made = create(served, "selfie", callback=f"{served.url}/docs", callback_method="completer")
    with (
        opened(chromium, served.url, viewport=SCREEN) as (screen, _),
        opened(chromium, served.url, viewport=PHONE) as (telephone, _),
    ):
        screen.goto(made["url"])
        until(lambda: screen.evaluate("document.querySelector('.code img')?.naturalWidth ?? 0") > 0)
        telephone.goto(f"{made['url']}?continued")
        assert telephone.locator(".code").count() == 0
        telephone.get_by_role("button", name="I agree, begin").click()
        take(telephone)
        telephone.wait_for_url(re.compile("/docs"))
        screen.get_by_role("heading", name="Done, thank you").wait_for()

        assert screen.get_by_role("link", name="Go on").count() == 0  # the telephone was led on


def test_a_link_that_is_none_says_so(chromium, served):
    with opened(chromium, served.url) as (page, watch):
        watch.expects(404)
        page.goto(f"{served.url}/session/none")

        page.get_by_role("heading", name="This link does not work").wait_for()
        assert serious(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, SCREEN, PHONE], ids=["desktop", "screen", "telephone"])
def test_each_view_fits_and_is_without_barriers(chromium, served, size, scheme):
    made = create(served)
    with opened(chromium, served.url, viewport=size, color_scheme=scheme) as (page, _):
        page.goto(made["url"])
        begin = page.get_by_role("button", name="I agree, begin")
        begin.wait_for()
        faults = serious(page)
        begin.click()
        page.locator("video").wait_for()
        faults += serious(page)

        assert faults == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        playwright.expect(page.get_by_role("button", name="Take the picture")).to_be_enabled()
