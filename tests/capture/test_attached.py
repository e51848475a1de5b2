"""Facts about the names of cameras that are plugged in: the kernel's and udev's folders are laid out as on a Pi."""

import json

import pytest

from kiosk.capture.attached import attached
from kiosk.capture.sources import parse_source
from kiosk.cli.main import main

BY_ID = "usb-046d_HD_Pro_Webcam_C920_1A2B3C4D-video-index0"
BY_PATH = "platform-xhci-hcd.0-usb-0:1:1.0-video-index0"


class Machine:
    """A machine by the folders in which its kernel and udev name cameras."""

    def __init__(self, folder):
        self.system, self.devices = folder / "sys", folder / "dev"
        self.system.mkdir()
        self.devices.mkdir()

    def plug(self, number, name, *, index="0", by_id="", by_path=""):
        """Plug a camera in: its number, its name, and udev's names of it."""
        folder = self.system / f"video{number}"
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n", encoding="utf-8")
        (folder / "index").write_text(f"{index}\n", encoding="ascii")
        (self.devices / f"video{number}").touch()
        for kind, link in (("by-id", by_id), ("by-path", by_path)):
            if link:
                (self.devices / "v4l" / kind).mkdir(parents=True, exist_ok=True)
                (self.devices / "v4l" / kind / link).symlink_to(f"../../video{number}")

    def look(self):
        return attached(self.system, self.devices)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_a_camera_is_named_by_what_stays_after_a_boot(machine):
    machine.plug(2, "HD Pro Webcam C920", by_id=BY_ID, by_path=BY_PATH)

    (camera,) = machine.look()

    assert camera.source == f"v4l2:{machine.devices}/v4l/by-id/{BY_ID}"
    assert camera.others == (f"v4l2:{machine.devices}/v4l/by-path/{BY_PATH}", f"v4l2:{machine.devices}/video2")
    assert camera.is_lasting


def test_a_camera_without_a_serial_number_is_named_by_its_socket(machine):
    machine.plug(0, "USB Camera", by_path=BY_PATH)

    assert machine.look()[0].source == f"v4l2:{machine.devices}/v4l/by-path/{BY_PATH}"


def test_a_camera_that_udev_does_not_name_has_its_number_and_is_said_not_to_last(machine):
    machine.plug(0, "Virtual Camera")

    (camera,) = machine.look()

    assert (camera.source, camera.is_lasting) == (f"v4l2:{machine.devices}/video0", False)


def test_the_same_name_is_the_same_camera_after_its_number_changed(machine):
    machine.plug(0, "Another")
    machine.plug(1, "HD Pro Webcam C920", by_id=BY_ID)
    before = machine.look()[1].source

    (machine.devices / "v4l" / "by-id" / BY_ID).unlink()
    (machine.devices / "v4l" / "by-id" / BY_ID).symlink_to("../../video0")

    assert machine.look()[0].source == before


def test_a_source_keeps_a_lasting_name_as_it_is(machine):
    machine.plug(0, "HD Pro Webcam C920", by_id=BY_ID)
    source = machine.look()[0].source

    assert parse_source(source).address == source.removeprefix("v4l2:")


def test_the_metadata_of_a_camera_is_no_camera_and_numbers_count_as_numbers(machine):
    machine.plug(10, "Ten")
    machine.plug(2, "Two")
    machine.plug(3, "Two", index="1")

    assert [one.name for one in machine.look()] == ["Two", "Ten"]


def test_a_machine_without_cameras_has_none(tmp_path):
    assert attached(tmp_path / "nothing", tmp_path) == []


def test_the_list_is_printed_for_people_and_machines(capsys):
    assert main(["camera", "list"]) == 0
    assert capsys.readouterr().out
    assert main(["camera", "list", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), list)
