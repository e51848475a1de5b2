"""A pass in front of a real camera process: demo frames, zxing-cpp behind its walls, the running kiosk, the relay."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from kiosk.capture.process import Camera
from kiosk.daemon.kiosk import Kiosk
from kiosk.daemon.pass_watch import PassWatch
from kiosk.decoding.decoder import Decoder
from kiosk.device.device import Device
from kiosk.device.passes.issue import issue_pass
from kiosk.device.passes.keys import DeviceKeys
from kiosk.device.passes.picture import as_png
from kiosk.entrance.news import Topic
from kiosk.errors import ImageError, StoppingError
from kiosk.health.clock import Clock
from kiosk.settings.sections import CameraSettings
from kiosk.testing.fakes import RecordedLines
from tests.daemon.test_kiosk import PATIENT
from tests.entrance.staged import Stage, config
from tests.patience import PROCESS_S, until

pytest.importorskip("zxingcpp", reason="zxing-cpp is not installed; it is in the extra `documents`")


def test_a_pass_in_the_cameras_picture_opens_once_and_is_used_up_then(tmp_path):
    clock = Clock(1e6, is_synced=lambda: True)
    unused = Stage(tmp_path / "unused")
    unused.close()
    nobody = replace(unused.device.recogniser, glance=lambda _image: [])
    stage = Stage(tmp_path, config(passes={"enabled": True, "ask": "nothing"}))
    now = clock()
    kept = issue_pass(
        stage.store,
        DeviceKeys(stage.store),
        stage.config.passes,
        label="",
        valid_from=now - 60.0,
        valid_until=now + 3600.0,
        uses=1,
        visitor=None,
        doors=(),
        now=now,
        actor="test",
    )
    portrait = tmp_path / "pass.png"
    portrait.write_bytes(as_png(kept))
    nothing = tmp_path / "nothing.png"  # between two visits of the pass, so that it is out of sight
    cv2.imwrite(str(nothing), np.full((200, 200, 3), 90, np.uint8))
    lines, news = RecordedLines(), []
    kiosk = Kiosk(
        Device(nobody, stage.store, stage.config, now=clock),
        lambda tell: Camera(
            CameraSettings(
                source="demo:?width=640&height=480&fps=15&loop=1",
                lost_after_s=60.0,  # a machine that runs other tests stands still now and then
                open_within_s=60.0,
            ),
            [portrait, nothing],
            tell=tell,
        ),
        lines=lines,
        clock=clock,
        self_test=lambda: "as stored",
        pace=PATIENT,
    )
    kiosk.news.listen(lambda one: news.append(dict(one.data)) if one.topic is Topic.DOOR else None)
    watch = PassWatch(kiosk.judge, 5.0)
    kiosk.start()
    watch.start()
    try:
        until(lambda: lines.pulses == 1, PROCESS_S)
        # The next visit of the same picture.
        until(lambda: any(one.get("why") == "pass_used_up" for one in news), PROCESS_S)
    finally:
        watch.close()
        kiosk.close()

    assert [one["what"] for one in news if "pass" in one][:1] == ["pass_opened"]
    assert lines.pulses == 1
    figures = watch.figures()
    assert figures["faults"] == 0
    assert figures["found"] >= 2
    stage.close()


@pytest.fixture(scope="module")
def reader():
    with Decoder(most=1, reads_codes=True) as made:
        yield made


def test_a_picture_without_a_code_says_nothing(reader):
    assert reader.codes(np.full((480, 640), 200, np.uint8)) == ()
    assert reader.codes(np.random.default_rng(0).integers(0, 256, (480, 640), np.uint8)) == ()


@pytest.mark.parametrize("shape", [(1, 1), (1, 60_000), (3, 5)])
def test_odd_shapes_are_searched_too(reader, shape):
    assert reader.codes(np.zeros(shape, np.uint8)) == ()


def test_a_picture_of_no_size_that_is_taken_is_refused_before_a_process_has_it(reader):
    with pytest.raises(ImageError, match="not searched"):
        reader.codes(np.zeros((1, 70_000), np.uint8))


def test_the_process_that_reads_codes_has_both_walls(reader, caplog):
    reader.codes(np.zeros((9, 9), np.uint8))
    assert [record for record in caplog.records if "walls_missing" in record.message] == []


def test_a_reader_that_was_closed_says_so():
    closed = Decoder(most=1, reads_codes=True)
    closed.close()
    with pytest.raises(StoppingError):
        closed.codes(np.zeros((9, 9), np.uint8))
