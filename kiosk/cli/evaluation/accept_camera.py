"""Where the acceptance in a terminal has its pictures from: the running kiosk's screen, or the camera itself."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kiosk.api.screen_token import COOKIE, screen_token
from kiosk.capture.process import Camera
from kiosk.errors import CameraLostError, ConfigError, StoreError
from kiosk.recognition.photo import MAX_BYTES, decode
from kiosk.settings.config import Config
from kiosk.store.directory import run_alone
from kiosk.types import RgbImage

FIRST_S, QUIET_S = 15.0, 5.0
PREVIEW = "/device/screen/preview.mjpg"
ANYWHERE = frozenset(("0.0.0.0", "::", "localhost"))  # noqa: S104  looked for, not bound


def is_running(directory: Path) -> bool:
    """Say whether a kiosk runs from a state directory."""
    try:
        with run_alone(directory):
            return False
    except StoreError:
        return True


@contextmanager
def pictures(config: Config, directory: Path) -> Iterator[Iterator[RgbImage]]:
    """Give pictures of the camera, newest first come, until it is left.

    A running kiosk holds its camera, so its own screen's picture is taken: some ten a second.

    Raises:
        CameraLostError: there are none.
        ConfigError: the kiosk's API is not reached from here; the page does the same.
    """
    if not is_running(directory):
        with Camera(config.camera) as camera:
            yield _of_camera(camera)
        return
    api = config.api
    if not api.enabled or api.tls_certificate:
        raise ConfigError(
            "a kiosk runs and holds the camera, and its API cannot be asked from here without TLS; do this step on the "
            "operator's page (Acceptance), or stop the kiosk meanwhile"
        )
    host = "127.0.0.1" if api.bind in ANYWHERE else api.bind
    link = http.client.HTTPConnection(host, api.port, timeout=QUIET_S)
    try:
        link.request("GET", PREVIEW, headers={"Cookie": f"{COOKIE}={screen_token(directory)}"})
        answer = link.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise ConfigError(f"the running kiosk gives no picture: {answer.status} {answer.reason}")
        yield _of_stream(answer)
    except (OSError, http.client.HTTPException) as error:
        raise ConfigError(f"the running kiosk does not answer at {host}:{api.port}: {error}") from error
    finally:
        link.close()


def _of_camera(camera: Camera) -> Iterator[RgbImage]:
    newest, ends = 0, time.monotonic() + FIRST_S
    while True:
        frame = camera.latest(newest, timeout_s=0.5)
        if frame is not None:
            newest, ends = frame.number, time.monotonic() + QUIET_S
            yield frame.image
        elif camera.is_over or time.monotonic() > ends:
            raise CameraLostError(camera.report.sentence)


def _of_stream(answer: http.client.HTTPResponse) -> Iterator[RgbImage]:
    """Read the parts of a multipart stream, each of a stated length."""
    while True:
        length = 0
        while (line := answer.readline(1000)).strip() or not length:
            if not line:
                raise CameraLostError("the running kiosk ended its picture")
            name, _, value = line.decode("ascii", "replace").partition(":")
            if name.lower() == "content-length" and value.strip().isdecimal():
                length = min(int(value), MAX_BYTES)
        yield decode(answer.read(length))
