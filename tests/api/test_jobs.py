"""Facts about long work: what a ZIP may claim, and what becomes of work that fails."""

import io
import logging
import struct
import threading
import tracemalloc
import zipfile
from functools import partial
from types import SimpleNamespace

import pytest

from kiosk.api.jobs import REMEMBERED, Jobs
from kiosk.api.operation import Refusal
from kiosk.api.routes.imports import _from_zip
from kiosk.errors import RefusedError, StoreError
from tests.api.served import A1, serving
from tests.patience import LIMIT_S, until


def claiming(files):
    """A ZIP that is nothing but a list of so many files."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0)
    listed = (entry + b"a.jpg") * files
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, files & 0xFFFF, files & 0xFFFF, len(listed), 0, 0)
    return io.BytesIO(listed + end)


def test_a_zip_that_claims_millions_of_files_is_refused_before_they_take_memory():
    archive = claiming(400_000)
    tracemalloc.start()
    with pytest.raises(Refusal) as refused:
        _from_zip(archive)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert refused.value.status == 400
    assert peak_bytes < 10e6


def test_an_upload_leaves_the_disk_room_that_the_door_needs(tmp_path, monkeypatch):
    def nearly_full(_path):
        return SimpleNamespace(free=300e6)

    with serving(tmp_path / "state") as served:
        with monkeypatch.context() as full:
            full.setattr("kiosk.api.routes.imports.shutil.disk_usage", nearly_full)
            refused = served.call("POST", "/device/imports", "operator", files={"file": ("Person A/1.jpg", A1)})
        taken = served.call("POST", "/device/imports", "operator", files={"file": ("Person A/1.jpg", A1)})

    assert (refused.status_code, taken.status_code) == (503, 202)
    assert "No space left" in refused.json()["detail"]


@pytest.mark.parametrize("comment", [b"", b"holiday"])
def test_an_ordinary_zip_gives_a_person_for_each_folder(comment):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("Person A/1.jpg", "Person A/2.jpg", "Person B/1.png", "read me.txt"):
            archive.writestr(name, b"x")
        archive.comment = comment

    assert [(item.name, len(item.files)) for item in _from_zip(file).items] == [("Person A", 2), ("Person B", 1)]


@pytest.mark.parametrize("error", [StoreError("disk full"), ZeroDivisionError("Person A")])
def test_work_that_fails_says_so_in_its_state_and_in_the_log_without_naming_anybody(caplog, error):
    jobs = Jobs(threading.Event())

    def work(_job):
        raise error

    with caplog.at_level(logging.ERROR):
        job = jobs.start("import", work)
        jobs._pool.shutdown(wait=True)

    assert (job.state, job.sentence) == ("failed", "the kiosk could not go on; its log says why")
    assert type(error).__name__ in caplog.text
    assert "Person A" not in caplog.text


def test_a_call_that_comes_while_the_api_stops_is_told_to_come_back(tmp_path, caplog):
    with serving(tmp_path / "state") as served:
        served.application.close()
        answer = served.call("GET", "/readyz")

    assert (answer.status_code, answer.json()) == (503, {"detail": "The kiosk is stopping."})
    assert "Traceback" not in caplog.text
    assert "failed" not in caplog.text


def test_work_that_was_stopped_is_not_called_done():
    jobs = Jobs(threading.Event())

    def work(job):
        job.state, job.sentence = "failed", "the kiosk was stopped"

    job = jobs.start("import", work)
    jobs._pool.shutdown(wait=True)

    assert job.state == "failed"


def test_work_that_a_stop_overtakes_before_it_begins_lets_go_of_what_it_holds():
    jobs, may_end, file = Jobs(threading.Event()), threading.Event(), io.BytesIO()

    def wait(_job):
        may_end.wait(LIMIT_S)

    for kind in ("audit", "another"):  # as many as there are threads
        jobs.start(kind, wait)
    job = jobs.start("import", wait, unbegun=file.close)
    jobs.close()
    may_end.set()

    assert (file.closed, job.state, job.sentence) == (True, "failed", "the kiosk was stopped before this began")


def test_work_that_runs_is_not_forgotten_however_much_ended_since():
    jobs, may_end = Jobs(threading.Event()), threading.Event()

    def wait(_job):
        may_end.wait(LIMIT_S)

    running = jobs.start("import", wait)

    def has_ended(job):
        return job.state == "done"

    for _ in range(3 * REMEMBERED):
        ended = jobs.start("audit", lambda _job: None)
        until(partial(has_ended, ended))

    try:
        assert jobs.get("import", running.id) is running
        with pytest.raises(RefusedError, match="another import"):
            jobs.start("import", lambda _job: None)
    finally:
        may_end.set()
        jobs.close()
    assert len(jobs._jobs) <= REMEMBERED


def test_an_archive_loses_nobody():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in (
            ("Person A/1.jfif", b"x"),
            ("Person A/._1.jpg", b"x"),
            ("Person B/scan", b"\xff\xd8\xff"),
            ("Person C/notes.txt", b"hello"),
            ("Person D/", b""),
            ("Ann\n#2/1.jpg", b"x"),
            ("Jos\u00e9/1.jpg", b"x"),
            ("Jose\u0301/1.jpg", b"x"),
            ("@eaDir/1.jpg", b"x"),
            ("__MACOSX/Person A/._1.jpg", b"x"),
            ("__MACOSX/Person A/._2.jpg", b"x"),
        ):
            archive.writestr(name, content)

    found = _from_zip(file)

    assert [(item.name, len(item.files)) for item in found.items] == [
        ("Jos\u00e9", 1),
        ("Person A", 1),
        ("Person B", 1),
    ]
    assert {(aside.file, aside.outcome) for aside in found.asides} == {
        ("Person A/._1.jpg", "passed_over"),
        ("@eaDir", "passed_over"),
        ("__MACOSX", "passed_over"),
        ("Person C/notes.txt", "passed_over"),
        ("Person C", "no_photograph"),
        ("Person D", "no_photograph"),
        (r"Ann\n#2/1.jpg", "bad_name"),
        ("Jos\u00e9/1.jpg", "bad_name"),
    }
