"""The command line as a stranger meets it: the real models on real photographs, in a state of its own."""

import csv
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kiosk.cli.main import build_parser
from kiosk.cli.store import store_sweep
from kiosk.store.directory import open_store
from kiosk.store.keys import KEY_NAME, new_key, read_keys
from tests.store.stored import DAY, enrolment, raw

ROOT = Path(__file__).parent.parent.parent
GOLDEN = ROOT / "tests" / "golden"
pytestmark = pytest.mark.usefixtures("state")
A1, A2, B = (str(GOLDEN / f"person_{name}.jpg") for name in ("a_1", "a_2", "b_1"))


@pytest.fixture
def sweep(capsys):
    """Run `kiosk store sweep` with a kernel that says whether it keeps the clock; return as `kiosk` does."""

    def run(*arguments, is_kept):
        chosen = build_parser().parse_args(arguments)
        code = store_sweep(chosen, is_synced=lambda: is_kept, was_set=lambda _within_s: False)
        captured = capsys.readouterr()
        return code or 0, captured.out, captured.err

    return run


def answered(out):
    return json.loads(out)


def test_a_match_prints_the_answer_and_the_seeds_last_line(kiosk):
    code, out, _ = kiosk("match", A1, A2)

    body, _, last = out.partition("\n\n")
    answer = json.loads(body)
    assert code == 0
    assert answer["face_match"]["status"] == "Approved"
    assert last == f"--- Result: Approved | Score: {answer['face_match']['score']}/100 ---\n"
    assert answer["face_match"]["score"] >= 70


def test_two_people_are_declined_and_that_is_an_answer(kiosk):
    code, out, _ = kiosk("match", A1, B, "--threshold", "50", "--json", "--vendor-data", "visit 7")

    answer = answered(out)
    assert code == 0
    assert answer["face_match"]["status"] == "Declined"
    assert answer["face_match"]["score"] < 30
    assert answer["face_match"]["warnings"][0]["risk"] == "LOW_FACE_MATCH_SIMILARITY"
    assert answer["vendor_data"] == "visit 7"


def test_swapping_the_pictures_does_not_change_the_score(kiosk):
    one = answered(kiosk("match", A1, A2, "--json")[1])
    other = answered(kiosk("match", A2, A1, "--json")[1])

    assert one["face_match"]["score"] == other["face_match"]["score"]
    assert one["face_match"]["user_image"] == other["face_match"]["ref_image"]


def test_a_picture_without_a_face_is_an_answer_too(kiosk, tmp_path):
    blank = tmp_path / "blank.png"
    Image.new("RGB", (1, 1)).save(blank)

    code, out, _ = kiosk("match", A1, blank)

    assert code == 0
    assert '"score": null' in out
    assert out.endswith("--- Result: Declined | Score: none ---\n")
    assert "NO_REFERENCE_IMAGE" in out


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_picture_is_turned_back(kiosk, tmp_path, turn):
    turned = tmp_path / "turned.png"
    Image.open(A2).rotate(-turn, expand=True).save(turned)
    upright = answered(kiosk("match", A1, A2, "--json", "--rotate")[1])["face_match"]

    found = answered(kiosk("match", A1, turned, "--json", "--rotate")[1])["face_match"]

    assert found["ref_image"]["best_angle"] == 360 - turn
    assert abs(found["score"] - upright["score"]) <= 3
    assert upright["ref_image"]["best_angle"] == 0


def test_a_person_enrolled_is_found_by_another_photograph(kiosk):
    kiosk("enrol", A1, "--name", "Person A", "--vendor-data", "a-1", "--document-number", "AB123456")

    code, out, _ = kiosk("search", A2, "--json")

    found = answered(out)["face_search"]
    assert code == 0
    assert (found["status"], found["total_matches"]) == ("In Review", 1)
    (row,) = found["matches"]
    assert row["user_details"] == {"name": "Person A", "document_type": None, "document_number": "***456"}
    assert (row["vendor_data"], row["session_number"], row["is_blocklisted"]) == ("a-1", 1, False)
    assert row["similarity_percentage"] >= 70.0
    assert isinstance(found["user_image"]["entities"][0]["age"], str)


def test_a_stranger_is_found_nowhere(kiosk):
    kiosk("enrol", A1)

    _, out, _ = kiosk("search", B)

    assert '"status": "Approved"' in out
    assert out.endswith("--- 0 match(es) found ---\n")


def test_somebody_enrolled_already_is_not_enrolled_again_unless_asked(kiosk):
    kiosk("enrol", A1)

    code, out, err = kiosk("enrol", A2)
    allowed = kiosk("enrol", A2, "--allow-duplicate")[0]

    assert (code, out) == (3, "")
    assert err.startswith("Refused: already enrolled as number 1")
    assert allowed == 0


def test_a_blocked_face_declines_and_cannot_be_enrolled(kiosk):
    kiosk("blocklist", "add", B, "--name", "Person B")

    _, out, _ = kiosk("search", B)
    code, _, err = kiosk("enrol", B, "--allow-duplicate")

    assert '"risk": "FACE_IN_BLOCKLIST"' in out
    assert "BLOCKLISTED" in out.splitlines()[-1]
    assert code == 3
    assert "on the blocklist" in err


def test_blocking_by_number_and_unblocking(kiosk):
    kiosk("enrol", A1)

    kiosk("blocklist", "add", "1", "--reason", "badge lost")
    blocked = kiosk("blocklist", "list", "--json")[1]
    declined = answered(kiosk("search", A2, "--json")[1])["face_search"]["status"]
    kiosk("blocklist", "remove", "1")
    after = answered(kiosk("search", A2, "--json")[1])["face_search"]["status"]

    assert [row["session_number"] for row in json.loads(blocked)["subjects"]] == [1]
    assert (declined, after) == ("Declined", "In Review")


def test_a_forgotten_person_is_found_no_more_and_gets_a_receipt(kiosk):
    kiosk("enrol", A1, "--name", "Person A")

    _, receipt, _ = kiosk("forget", "1")
    _, out, _ = kiosk("search", A2)

    assert json.loads(receipt)["receipt"]["session_number"] == 1
    assert out.endswith("--- 0 match(es) found ---\n")


def test_forgetting_takes_a_person_out_of_the_backups_beside_the_store_too(kiosk):
    kiosk("enrol", A1, "--name", "Person A")
    kiosk("backup")

    _, _, err = kiosk("forget", "1")
    again = kiosk("store", "sweep")

    assert "without the people forgotten" in err
    assert "rewrote" not in again[2]


@pytest.mark.parametrize(
    ("is_kept", "settings", "options", "forgotten"),
    [
        (False, "", [], False),
        (True, "", [], True),
        (False, "", ["--trust-clock"], True),
        (False, '[degraded]\nclock_untrusted = "open"\n', [], True),
    ],
    ids=["nobodys", "kept", "trusted", "kept_by_hand"],
)
def test_a_clock_that_is_not_synchronised_erases_nobody(
    kiosk, sweep, state, tmp_path, is_kept, settings, options, forgotten
):
    kiosk("init")
    with open_store(state, read_keys(state), now=time.time) as store:
        store.people.enrol(replace(enrolment(1), retention_until=time.time() - DAY))
    (tmp_path / "kiosk.toml").write_text(settings)

    code, _, err = sweep("--config", str(tmp_path / "kiosk.toml"), "store", "sweep", *options, is_kept=is_kept)

    assert (code, "this clock is not synchronised" in err) == ((0, False) if forgotten else (3, True))
    assert kiosk("gallery", "show", "1")[0] == (1 if forgotten else 0)


def test_a_sweep_that_forgets_nobody_needs_no_clock(kiosk, sweep):
    kiosk("enrol", A1, "--name", "Person A")

    assert sweep("store", "sweep", is_kept=False)[:2] == (0, "--- 0 forgotten ---\n")


def test_photographs_of_two_people_are_not_one_persons(kiosk):
    code, _, err = kiosk("enrol", A1, B)

    assert code == 3
    assert "seem to show two people" in err


def test_several_photographs_make_several_references(kiosk):
    kiosk("enrol", A1, A2, "--name", "Person A")

    shown = json.loads(kiosk("gallery", "show", "1")[1])

    assert (shown["references"], shown["images"], shown["name"]) == (2, 0, "Person A")


def test_a_group_photograph_is_not_enrolled_and_says_where_the_faces_are(kiosk, tmp_path):
    one, other = (Image.open(path).resize((300, 375)) for path in (A1, B))
    both = Image.new("RGB", (600, 375))
    both.paste(one, (0, 0))
    both.paste(other, (300, 0))
    both.save(tmp_path / "both.png")

    refused = kiosk("enrol", tmp_path / "both.png")
    largest = kiosk("enrol", tmp_path / "both.png", "--largest")
    searched = answered(kiosk("search", tmp_path / "both.png", "--json")[1])["face_search"]

    assert refused[0] == 3
    assert "2 faces (boxes " in refused[2]
    assert largest[0] == 0
    assert "MULTIPLE_FACES_DETECTED" in [warning["risk"] for warning in searched["warnings"]]
    assert len(searched["user_image"]["entities"]) == 2


def test_a_decision_is_saved_unless_asked_not_to(kiosk):
    kiosk("match", A1, B, "--vendor-data", "kept")
    kiosk("match", A1, B, "--no-save")

    listed = json.loads(kiosk("log", "list", "--json")[1])
    verified = kiosk("log", "verify")

    assert [row["vendor_data"] for row in listed["decisions"]] == ["kept"]
    assert verified[0] == 0
    assert "each signed and in its place" in verified[1]


def test_the_log_can_be_exported(kiosk):
    kiosk("match", A1, B)

    rows = list(csv.DictReader(kiosk("log", "export")[1].splitlines()))

    assert [row["kind"] for row in rows] == ["INIT", "FACE_MATCH"]
    assert rows[1]["status"] == "Declined"


def png(width, height):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"no picture\n", "a text file is not JPEG, PNG, WebP or TIFF", id="text"),
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"\0" * (5 * 1024 * 1024 + 1), "File size should not exceed 5 MB", id="5 MB and a byte"),
        pytest.param(png(30_000, 30_000), "pixels", id="30 000 x 30 000"),
        pytest.param(Path(A1).read_bytes()[:9000], "damaged or truncated", id="truncated"),
        pytest.param(None, "No such file or directory", id="not there"),
    ],
)
@pytest.mark.parametrize("place", ["user", "reference", "search", "enrol"])
def test_a_bad_picture_is_one_line_that_names_it(kiosk, tmp_path, content, said, place):
    bad = tmp_path / "bad.jpg"
    if content is not None:
        bad.write_bytes(content)
    command = {
        "user": ("match", bad, A1),
        "reference": ("match", A1, bad),
        "search": ("search", bad),
        "enrol": ("enrol", bad),
    }

    code, out, err = kiosk(*command[place])

    assert (code, out) == (1, "")
    (line,) = [line for line in err.splitlines() if not line.startswith("Note: ")]
    assert line.startswith(f"Error: {bad}: ")
    assert said in line


@pytest.mark.parametrize("threshold", ["-1", "101"])
def test_a_threshold_out_of_range_is_refused(kiosk, threshold):
    with pytest.raises(SystemExit) as ended:
        kiosk("match", A1, B, "--threshold", threshold)

    assert ended.value.code == 2


def test_a_wrong_setting_stops_the_start(kiosk, monkeypatch):
    monkeypatch.setenv("KIOSK_SEARCH_SIMILARITY_THRESHOLD", "700")

    code, _, err = kiosk("search", A1)

    assert code == 1
    assert err.startswith("Error: KIOSK_SEARCH_SIMILARITY_THRESHOLD: want 0.0 to 100.0")


def test_a_store_whose_key_is_gone_is_refused_in_one_line(kiosk, state):
    kiosk("enrol", A1)
    (state / "kiosk.key").unlink()

    code, _, err = kiosk("search", A1)

    assert code == 1
    assert len(err.splitlines()) == 1
    assert "key" in err


def test_a_store_is_made_with_the_key_that_lies_there_already(kiosk, state):  # provision.sh --key file made it
    state.mkdir(mode=0o700, exist_ok=True)  # one that the group may write to, as a umask of 002 makes it, is refused
    new_key().write(state / KEY_NAME)
    made = (state / KEY_NAME).read_text()

    assert kiosk("init")[0] == 0
    assert (state / KEY_NAME).read_text() == made
    open_store(state, read_keys(state), now=time.time).close()


def test_doctor_finds_everything_in_order(kiosk):
    kiosk("init")

    code, out, _ = kiosk("doctor", "--json")

    findings = {finding["what"]: finding for finding in json.loads(out)}
    assert code == 0, out
    assert {"settings", "models", "runtime", "golden faces", "store", "decision log", "disk", "clock"} <= set(findings)


def test_models_show_prints_the_scale_and_draws_it(kiosk, tmp_path):
    code, out, _ = kiosk("models", "show", "--svg", tmp_path / "scale.svg")

    assert code == 0
    assert "sface.onnx" in out
    assert "1 in 10,000" in out
    assert (tmp_path / "scale.svg").read_text().startswith("<svg")
    assert kiosk("models", "check")[0] == 0


def test_a_folder_tree_is_imported_and_a_second_run_does_nothing_again(kiosk, tmp_path):
    tree = tmp_path / "people"
    for name, files in {"Person A": (A1, A2), "Person B": (B,), "Twin of A": (A2,)}.items():
        (tree / name).mkdir(parents=True)
        for number, file in enumerate(files):
            (tree / name / f"{number}.jpg").write_bytes(Path(file).read_bytes())
    (tree / "Person B" / "broken.jpg").write_bytes(b"nothing")
    Image.new("RGB", (64, 64)).save(tree / "nobody.png")

    code, out, _ = kiosk("gallery", "import", tree, "--json")
    rows = list(csv.DictReader(Path(json.loads(out)["report"]).read_text(encoding="utf-8").splitlines()))
    again = json.loads(kiosk("gallery", "import", tree, "--json")[1])

    outcomes = {(Path(row["file"]).parent.name, Path(row["file"]).name): row["outcome"] for row in rows}
    assert code == 0
    assert outcomes == {
        ("Person A", "0.jpg"): "added",
        ("Person A", "1.jpg"): "added",
        ("Person B", "0.jpg"): "added",
        ("Person B", "broken.jpg"): "unreadable",
        ("Twin of A", "0.jpg"): "duplicate",
        ("people", "nobody.png"): "no_face",
    }
    assert json.loads(kiosk("gallery", "list", "--json")[1])["total"] == 2
    # A finished run begins anew: everybody is known now.
    assert again["photographs"] == {"duplicate": 4, "unreadable": 1, "no_face": 1}


def test_a_csv_is_imported_with_what_it_says(kiosk, tmp_path):
    for name, file in (("one.jpg", A1), ("two.jpg", A2), ("three.jpg", B)):
        (tmp_path / name).write_bytes(Path(file).read_bytes())
    table = tmp_path / "people.csv"
    table.write_text(
        "file,name,vendor_data,document_number\n"
        "one.jpg,Person A,a,AB123456\ntwo.jpg,Person A,a,AB123456\nthree.jpg,Person B,b,\n"
    )

    kiosk("gallery", "import", table)
    listed = json.loads(kiosk("gallery", "list", "--json")[1])["subjects"]

    assert [(row["name"], row["vendor_data"], row["document_number"], row["references"]) for row in listed] == [
        ("Person A", "a", "***456", 2),
        ("Person B", "b", None, 1),
    ]


def test_an_audit_finds_a_person_enrolled_twice(kiosk, tmp_path):
    kiosk("enrol", A1)
    kiosk("enrol", A2, "--allow-duplicate")
    kiosk("enrol", B)

    code, out, _ = kiosk("gallery", "audit", "--json", "--html", tmp_path / "audit.html")

    report = json.loads(out)
    assert code == 0
    assert [pair[1:] for pair in report["duplicates"]] == [[1, 2]]
    assert "<svg" in (tmp_path / "audit.html").read_text(encoding="utf-8")


def test_a_backup_comes_back(kiosk, tmp_path):
    kiosk("enrol", A1, "--name", "Person A")
    written = json.loads(kiosk("backup", "--to", tmp_path / "stick", "--json")[1])["path"]
    kiosk("enrol", B)

    refused = kiosk("restore", written)
    code, out, _ = kiosk("restore", written, "--overwrite")

    assert refused[0] == 1
    assert code == 0
    assert "1 ENROL" in out
    assert json.loads(kiosk("gallery", "list", "--json")[1])["total"] == 1
    assert kiosk("log", "verify")[0] == 0


def test_python_dash_m_kiosk_works_in_a_process_of_its_own():
    said = subprocess.run(
        [sys.executable, "-m", "kiosk", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ},
    )

    assert (said.returncode, said.stdout.split()[0]) == (0, "kiosk")


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["serve", "--help"], ["numpy", "cv2", "onnxruntime", "cryptography", "sqlite3"]),
        (["door", "release"], ["cv2", "onnxruntime", "cryptography", "sqlite3"]),
        (["log", "list"], ["cv2", "onnxruntime"]),
    ],
)
def test_a_command_loads_only_what_it_needs(arguments, unneeded, state):
    asked = f"""
import sys
from contextlib import suppress
from kiosk.cli.main import main
with suppress(SystemExit):
    main({["--state", str(state), *arguments]!r})
print([name for name in {unneeded!r} if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)

    assert answer.stdout.splitlines()[-1] == "[]"


def test_no_error_ever_shows_a_traceback(kiosk, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(20):
        path = tmp_path / f"{number}.jpg"
        content = bytearray(Path(B).read_bytes())
        for at in rng.integers(0, len(content), 40):
            content[at] = rng.integers(0, 256)
        path.write_bytes(bytes(content))

        code, _, err = kiosk("search", path, "--no-save")

        assert code in (0, 1)
        assert "Traceback" not in err


def test_doctor_says_when_the_gallery_has_outgrown_the_model(kiosk, monkeypatch):
    kiosk("enrol", A1)
    monkeypatch.setenv("KIOSK_SEARCH_SIMILARITY_THRESHOLD", "20")

    code, out, _ = kiosk("doctor", "--json")

    (gallery,) = [finding for finding in json.loads(out) if finding["what"] == "gallery"]
    assert code == 3
    assert not gallery["is_good"]
    assert "hold_fpir" in gallery["cure"]


def test_a_held_fpir_raises_the_threshold(kiosk, monkeypatch):
    kiosk("enrol", A1)
    before = answered(kiosk("search", A2, "--json")[1])["device"]
    monkeypatch.setenv("KIOSK_SEARCH_HOLD_FPIR", "0.00001")

    after = answered(kiosk("search", A2, "--json")[1])["device"]

    assert (before["similarity_threshold"], after["similarity_threshold"]) == (70.0, 80.0)
    assert after["fpir"] <= 1.001e-5
    assert after["expected_false_positives"] == pytest.approx(after["fmr_at_threshold"])


def test_an_expired_person_is_found_no_more_but_a_blocked_one_is(kiosk):
    kiosk("enrol", A1, "--valid-until", "2020-01-01")

    expired = answered(kiosk("search", A2, "--json")[1])["face_search"]["total_matches"]
    kiosk("blocklist", "add", "1")
    blocked = answered(kiosk("search", A2, "--json")[1])["face_search"]

    assert expired == 0
    assert (blocked["status"], blocked["total_matches"]) == ("Declined", 1)


def test_a_narrow_search_lists_the_blocked_first(kiosk):
    kiosk("enrol", A2)
    kiosk("enrol", A1, "--allow-duplicate")
    kiosk("blocklist", "add", "1")

    found = answered(kiosk("search", A1, "--json", "--search-type", "blocklisted_or_approved")[1])["face_search"]
    usual = answered(kiosk("search", A1, "--json")[1])["face_search"]

    assert [row["session_number"] for row in found["matches"]] == [1, 2]
    assert [row["session_number"] for row in usual["matches"]] == [2, 1]
    assert found["status"] == usual["status"] == "Declined"


def test_four_processes_enrolling_one_face_store_one(state):
    command = [sys.executable, "-m", "kiosk", "enrol", A1]
    subprocess.run(
        [sys.executable, "-m", "kiosk", "init"], cwd=ROOT, env={**os.environ}, check=True, capture_output=True
    )

    running = [subprocess.Popen(command, cwd=ROOT, env={**os.environ}, stderr=subprocess.PIPE) for _ in range(4)]
    codes = sorted((process.communicate(), process.returncode)[1] for process in running)

    assert codes == [0, 3, 3, 3]
    assert state.is_dir()


def test_somebody_known_from_tomorrow_on_is_known(kiosk):
    kiosk("enrol", A1, "--valid-from", "2990-01-01")

    assert kiosk("enrol", A2)[0] == 3


def test_a_number_is_never_somebodys_vendor_data(kiosk):
    kiosk("enrol", A1, "--vendor-data", "7", "--document-number", "")

    assert kiosk("forget", "7")[0] == 1
    assert kiosk("forget", "")[0] == 1
    assert kiosk("forget", "--", "---")[0] == 1
    assert json.loads(kiosk("gallery", "list", "--json")[1])["total"] == 1


def test_a_cut_log_shows_even_when_its_head_file_went_with_it(kiosk, state):
    kiosk("match", A1, B)
    (state / "ledger.head").unlink()

    code, out, err = kiosk("log", "verify")

    assert code == 3
    assert "head file was missing" in out
    assert "head file was missing" in err


def test_a_damaged_database_answers_nothing(kiosk, state):
    kiosk("enrol", A1)
    with (state / "kiosk.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 64)

    code, out, err = kiosk("search", A2)

    assert (code, out) == (1, "")
    assert "damaged" in err or "malformed" in err


def test_doctor_sees_a_person_removed_behind_its_back(kiosk, state):
    kiosk("blocklist", "add", A1)
    with raw(state) as connection:
        connection.execute("DELETE FROM reference")
        connection.execute("DELETE FROM subject")

    code, out, _ = kiosk("doctor", "--json")

    assert code == 3
    assert "never forgotten" in out


def test_commands_that_only_read_make_no_store(kiosk, state):
    codes = [kiosk(*command)[0] for command in (("gallery", "list"), ("forget", "1"), ("blocklist", "list"))]

    assert codes == [1, 1, 1]
    assert not state.exists()


def test_a_report_never_overwrites_its_source(kiosk, tmp_path):
    table = tmp_path / "people.csv"
    table.write_text("file\nnone.jpg\n")

    assert kiosk("gallery", "import", table, "--report", table)[0] == 1
    assert table.read_text() == "file\nnone.jpg\n"


@pytest.mark.parametrize(
    "command",
    [
        ("gallery", "audit", "--html", "/nonexistent/a.html"),
        ("models", "show", "--svg", "/nonexistent/a.svg"),
        ("enrol", A1, "--name", "bad\udcff"),
        ("match", "/dev/zero", A1),
    ],
)
def test_what_cannot_be_read_or_written_is_one_line(kiosk, command):
    kiosk("init")

    code, _, err = kiosk(*command)

    assert code == 1
    assert err.startswith("Error: ")
    assert len(err.splitlines()) == 1


def test_a_pipe_is_a_picture_file_too(tmp_path):
    said = subprocess.run(
        ["bash", "-c", f'exec "{sys.executable}" -m kiosk --state "{tmp_path}/s" match <(cat "{A1}") "{A2}" --no-save'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ},
    )

    assert said.stdout.endswith("/100 ---\n"), said.stderr


def test_the_log_exports_as_one_json_document(kiosk):
    kiosk("match", A1, B)

    rows = json.loads(kiosk("log", "export", "--format", "json")[1])

    assert [json.loads(row["record"])["kind"] for row in rows] == ["INIT", "FACE_MATCH"]


@pytest.mark.parametrize(
    "dates",
    [
        ("--valid-from", "2990-01-02", "--valid-until", "2990-01-01"),
        ("--retain-until", "2001-01-01"),
        ("--valid-from", "soon"),
    ],
)
def test_dates_that_make_no_sense_are_refused(kiosk, dates):
    code, _, err = kiosk("enrol", A1, *dates)

    assert code == 1
    assert "want a day" in err


def test_blocking_the_face_of_somebody_enrolled_says_who_that_is(kiosk):
    kiosk("enrol", A1)

    code, _, err = kiosk("blocklist", "add", A2)

    assert code == 0
    assert "similar to number 1, who was not changed" in err


def test_a_backup_of_an_older_key_is_named_when_somebody_is_forgotten(kiosk):
    kiosk("enrol", A1)
    kiosk("backup")
    kiosk("store", "rekey")

    _, _, err = kiosk("forget", "1")

    assert "made with an older key, so not rewritten: kiosk-" in err


def test_doctor_says_when_an_fpir_cannot_be_held(kiosk, monkeypatch):
    kiosk("enrol", A1)
    monkeypatch.setenv("KIOSK_SEARCH_HOLD_FPIR", "1e-12")

    code, out, _ = kiosk("doctor", "--json")

    (gallery,) = [finding for finding in json.loads(out) if finding["what"] == "gallery"]
    assert code == 3
    assert "no threshold keeps FPIR 1e-12" in gallery["cure"]


LEFT = """
import threading
import numpy as np
from kiosk.cli.main import end
from kiosk.networks.inference import load_recogniser, read_pack, standard_pack

recogniser, looked = load_recogniser(read_pack(standard_pack())), threading.Event()

def look():
    while True:
        recogniser.glance(np.zeros((480, 640, 3), np.uint8))
        looked.set()

for _ in range(4):
    threading.Thread(target=look, daemon=True).start()
looked.wait()
print("said", end="")
end(3)
"""


def test_a_process_with_threads_that_are_left_in_a_network_ends_with_its_code():
    done = subprocess.run([sys.executable, "-c", LEFT], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (3, "said", "")
