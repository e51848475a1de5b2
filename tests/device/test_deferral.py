"""Facts about calls that fail here and are answered by the cloud: a real API, a stand-in for Didit, broken networks."""

from dataclasses import replace

import pytest

from kiosk.cloud.credentials import API_KEY, Credentials
from kiosk.cloud.policy import Policy
from kiosk.cloud.sync import Sync
from kiosk.errors import ModelFileError
from kiosk.testing.fake_cloud import FakeCloud
from tests.api.served import A1, A2, serving
from tests.cloud.cloudy import settings

CONSENT = '{"consent": true}'


def broken(*_, **__):
    raise ModelFileError("sface.onnx: onnxruntime failed")


@pytest.fixture
def fake():
    with FakeCloud(score_of=lambda *_: 91.5) as cloud:
        yield cloud


@pytest.fixture
def kiosk(tmp_path, fake):
    """A served kiosk whose networks fail, with a cloud it may ask."""
    with serving(tmp_path / "state") as kiosk:
        device = kiosk.device
        chosen = settings(fake, policy="none", fallback=True, fallback_s=30.0, api_consent="call")
        device.config = replace(device.config, cloud=chosen)
        device.outgoing = Policy(device.store, chosen, now=kiosk.wall)
        device.recogniser = replace(device.recogniser, detect=broken, find_upright=broken)
        Credentials(device.store).write(API_KEY, fake.api_key)
        syncing = Sync(device, chosen, now=kiosk.wall)
        yield kiosk
        syncing.close()


def match(kiosk, **data):
    files = {"user_image": ("a.jpg", A1), "ref_image": ("b.jpg", A2)}
    return kiosk.call("POST", "/v3/face-match/", "device", files=files, data=data)


def test_a_match_is_answered_by_the_cloud_in_the_same_shape_and_saved_as_its_word(kiosk, fake):
    answer = match(kiosk, metadata=CONSENT, vendor_data="v-1", rotate_image="true")

    told = answer.json()
    assert answer.status_code == 200
    assert (told["face_match"]["status"], told["face_match"]["score"]) == ("Approved", 91)
    assert set(told["face_match"]) == {"status", "score", "user_image", "ref_image", "warnings"}
    assert told["device"]["decided_by"] == "cloud"
    (logged,) = kiosk.device.store.decisions().decisions
    assert (logged.entry.status, logged.entry.details["decided_by"]) == ("Approved", "cloud")
    assert logged.entry.details["unjudged"] is True
    assert len(fake.sessions) == 1


def test_a_search_is_answered_by_the_cloud_too(kiosk, fake):
    answer = kiosk.call(
        "POST", "/v3/face-search/", "device", files={"user_image": ("a.jpg", A1)}, data={"metadata": CONSENT}
    )

    assert answer.status_code == 200
    assert answer.json()["face_search"]["total_matches"] == len(answer.json()["face_search"]["matches"])
    assert len(fake.sessions) == 1


@pytest.mark.parametrize("data", [{}, {"metadata": CONSENT, "save_api_request": "false"}])
def test_without_consent_or_with_nothing_to_be_kept_the_device_says_that_it_cannot(kiosk, fake, data):
    answer = match(kiosk, **data)

    assert answer.status_code == 503
    assert fake.sessions == ()
    assert kiosk.device.store.decisions().total == 0


def test_no_answer_of_the_cloud_is_no_answer(kiosk, fake):
    fake.fail("500", path="/v3/face-match/")

    answer = match(kiosk, metadata=CONSENT)

    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert kiosk.device.store.decisions().total == 0
