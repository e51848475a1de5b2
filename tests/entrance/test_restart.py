"""Facts about what survives the plug being pulled beside the store."""

import os

import pytest

from kiosk.entrance.restart import NAME, RESERVE_NAME, RestartState, read_restart, write_restart
from kiosk.errors import StoreError


def test_what_was_kept_is_read_again_and_a_new_kiosk_knows_nothing(tmp_path):
    assert read_restart(tmp_path) == RestartState()

    write_restart(tmp_path, RestartState({"declines": 3, "held_s": 1.0, "forgotten_s": 2.0}, is_alarm_armed=True))

    assert read_restart(tmp_path) == RestartState(
        {"declines": 3, "held_s": 1.0, "forgotten_s": 2.0}, is_alarm_armed=True
    )
    assert {path.name for path in tmp_path.iterdir()} == {NAME}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"tries": 3, "is_alarm_armed": false}', b'{"tries": null, "is_alarm_armed": 0}'],
)
def test_a_spoilt_file_closes_rather_than_forgives(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)

    standing = read_restart(tmp_path)

    assert (standing.is_spoilt, standing.is_alarm_armed, standing.tries) == (True, True, {})


def test_a_reserve_that_the_disk_does_not_give_back_closes_rather_than_forgets_the_alarm(tmp_path):
    write_restart(tmp_path, RestartState({}, is_alarm_armed=False))
    (tmp_path / RESERVE_NAME).mkdir()  # nobody reads a folder

    assert read_restart(tmp_path).is_alarm_armed


def test_a_write_that_was_cut_short_leaves_the_old_file(tmp_path, monkeypatch):
    write_restart(tmp_path, RestartState(is_alarm_armed=True))

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        write_restart(tmp_path, RestartState(is_alarm_armed=False))

    assert read_restart(tmp_path).is_alarm_armed
