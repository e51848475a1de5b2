"""Facts about the check of settings: every mistake at once, each with its line and the nearest right name."""

import json

import pytest

from kiosk.cli.main import main
from kiosk.settings.config import Sources
from kiosk.settings.mistakes import find_mistakes

MANY = """\
[camera]
source = "/dev/video0"
rotatoin = 90

[serch]
x = 1

[search]
warn_fpir = 3
bind = "0.0.0.0"

[api]
bind = "0.0.0.0"

[models]
pack = "/nowhere"

[presentation]
keep_s = 0.2
"""

pytestmark = pytest.mark.usefixtures("state")


@pytest.fixture
def check(tmp_path, capsys):
    """Check a file's text; return the exit code and each line that was said."""

    def run(text, *options):
        path = tmp_path / "kiosk.toml"
        path.write_text(text, encoding="utf-8")
        code = main(["--config", str(path), "config", "check", *options])
        told = capsys.readouterr()
        return code, [line.replace(f"{path}", "FILE") for line in (told.out + told.err).splitlines()]

    return run


def test_every_mistake_is_listed_with_its_line_and_the_nearest_right_name(check, monkeypatch):
    monkeypatch.setenv("KIOSK_MATCH_DECLINE_TRESHOLD", "4")

    code, lines = check(MANY)

    wanted = {
        "KIOSK_MATCH_DECLINE_TRESHOLD names no setting": "did you mean KIOSK_MATCH_DECLINE_THRESHOLD?",
        "FILE:2: [camera] source: that is no camera": "did you mean v4l2:/dev/video0?",
        "FILE:3: [camera] has no rotatoin": "did you mean rotation?",
        "FILE:5: there is no section [serch]": "did you mean search?",
        "FILE:9: [search] warn_fpir: want 0.0 to 1.0": "got 3.0",
        "FILE:10: [search] has no bind": "it belongs into [api]",
        "FILE:13: [api]: 0.0.0.0 can be reached from elsewhere": "or bind to 127.0.0.1",
        "FILE:16: no model pack at /nowhere": "set [models] pack",
        "FILE:18: [presentation]: want 0 <= gather_s < keep_s": "",
    }
    assert code == 1
    assert len(lines) == len(wanted)
    for line, (begin, end) in zip(lines, wanted.items(), strict=True):
        assert line.startswith(f"Error: {begin}")
        assert line.endswith(end)


def test_mistakes_are_told_to_programs_too(check):
    code, (line,) = check("[match]\n\ndecline_threshold = 101\n", "--json")

    told = json.loads(line)
    assert (code, told["ok"], told["mistakes"][0]["line"]) == (1, False, 3)
    assert "want 0 to 100, got 101" in told["mistakes"][0]["sentence"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("/dev/video0", "did you mean v4l2:/dev/video0?", id="a path"),
        pytest.param("0", "did you mean v4l2:/dev/video0?", id="a number"),
        pytest.param("libcamera:0", "did you mean picamera2:?", id="libcamera"),
        pytest.param("picamera:0", "did you mean picamera2:?", id="picamera"),
        pytest.param("picamera2:x", "such as picamera2:0", id="no number"),
        pytest.param("rtmp://192.0.2.7/live", "did you mean rtsp:?", id="rtmp"),
        pytest.param("rtsp://user:geheim#w@192.0.2.7/stream", "write # as %23", id="a hash in a password"),
        pytest.param("rtsp://user:geheim/w@192.0.2.7/stream", "/ as %2F", id="a slash in a password"),
    ],
)
def test_a_source_that_a_start_refuses_is_refused_by_the_check_with_a_hint(check, source, said):
    code, (line,) = check(f'[camera]\nsource = "{source}"\n')

    assert code == 1
    assert line.startswith("Error: FILE:2: [camera] source: ")
    assert said in line
    assert "geheim" not in line


@pytest.mark.parametrize(
    "source", ["v4l2:/dev/video0", "rtsp://user:p%23w@192.0.2.7/stream", "http://192.0.2.7/a.mjpg"]
)
def test_a_source_that_a_start_takes_passes(check, source):
    assert check(f'[camera]\nsource = "{source}"\n') == (0, ["The settings are right."])


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        pytest.param("[match]\n[camera\n", "Error: FILE:2: is not TOML", id="broken"),
        pytest.param("models = 3\n", "Error: FILE:1: want a section [models]", id="no section"),
        pytest.param("[door]\nrelay = 4\n", "Error: FILE:1: [door]: want both a chip", id="settings that do not fit"),
        pytest.param("[api]\ntls_key = '/none'\n", "Error: FILE:1: [api]: want both tls_certificate", id="half of TLS"),
    ],
)
def test_one_mistake_is_told_with_its_line(check, text, begin):
    code, (line,) = check(text)

    assert code == 1
    assert line.startswith(begin)


def test_a_key_that_others_can_read_is_a_mistake(check, state):
    state.mkdir()
    (state / "kiosk.key").write_text("0" * 64)
    (state / "kiosk.key").chmod(0o644)

    code, (line,) = check("")

    assert code == 1
    assert "kiosk.key" in line


def test_nobody_to_let_in_is_a_mistake_once_the_kiosk_had_an_owner(check, tmp_path, capsys):
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("")
    settings = f'[api]\nbind = "0.0.0.0"\ntls_certificate = "{tmp_path}/cert.pem"\ntls_key = "{tmp_path}/key.pem"\n'
    assert main(["init"]) == 0
    unclaimed, _ = check(settings)
    assert main(["key", "create", "--role", "admin", "--json"]) == 0
    owned, _ = check(settings)
    assert main(["key", "list", "--json"]) == 0
    (key,) = json.loads(capsys.readouterr().out)
    assert main(["key", "revoke", key["id"]]) == 0

    code, lines = check(settings)

    assert (unclaimed, owned, code) == (0, 0, 1)
    assert "kiosk key create --role admin" in lines[-1]


def test_what_operators_changed_is_checked_with_its_own_file(tmp_path):
    changes = tmp_path / "settings.toml"
    changes.write_text("[match]\ndecline_threshold = -1\n")

    (one,) = find_mistakes(Sources(None, changes, {})).mistakes

    assert (one.file, one.line) == (changes, 2)
