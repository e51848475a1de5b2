"""What the tests of cameras share."""

import cv2
import pytest

from tests.capture.frames import picture


@pytest.fixture
def folder(tmp_path):
    """Return a folder of ten pictures, which a camera replays."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(10):
        cv2.imwrite(str(folder / f"{number}.png"), picture(number))
    return folder
