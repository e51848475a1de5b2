"""A network camera whose time stamps jump stays a camera: the kiosk goes by when a frame arrives."""

from kiosk.capture.process import Camera
from kiosk.capture.watch import Report, State
from kiosk.settings.sections import CameraSettings
from tests.capture.rtsp_camera import FPS, RATE, RtspCamera
from tests.patience import LIMIT_S

STEP = RATE // FPS
HOUR = 3600 * RATE


def stamp(number):
    """Return a frame's stamp: it wraps, falls an hour back, leaps five ahead, goes to and fro, then stands."""
    if number < 20:
        return 2**32 - 10 * STEP + number * STEP
    if number < 35:
        return 2**31 - HOUR + number * STEP
    if number < 50:
        return 2**31 + 5 * HOUR + number * STEP
    if number < 65:
        return number * STEP + (number % 2) * 100 * RATE
    return 7


def test_frames_whose_stamps_jump_are_each_of_now():
    told: list[Report] = []
    with RtspCamera(stamp) as server:
        source = f"rtsp://127.0.0.1:{server.port}/cam"
        settings = CameraSettings(source=source, warmup_frames=2, lost_after_s=LIMIT_S, open_within_s=LIMIT_S)
        with Camera(settings, tell=told.append) as camera:
            number, times = 0, []
            while server.sent < 85:
                frame = camera.latest(number, LIMIT_S)
                assert frame is not None
                number = frame.number
                times.append(frame.captured_at)

    assert frame is not None
    assert frame.image.shape == (240, 320, 3)
    assert times == sorted(set(times))
    assert State.LOST not in {report.state for report in told}
    assert State.FROZEN not in {report.state for report in told}
