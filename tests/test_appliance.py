"""The appliance: units, lock lists and scripts, held to what systemd, pip and the shell say of them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UNITS = ROOT / "systemd"
SCRIPTS = ROOT / "firmware_scripts"
SERVICES = sorted(UNITS.glob("*.service"))
RUN_BY_HAND = sorted(
    path for path in SCRIPTS.glob("*.sh") if os.access(path, os.X_OK) and path.name != "kiosk_command.sh"
)  # that one passes --help on
MOST_EXPOSURE = 1.3
LEFT_OPEN_BY_CONFIRM = {  # each with its reason in the unit
    "RootDirectory=/RootImage=",
    "User=/DynamicUser=",
    "CapabilityBoundingSet=~CAP_(DAC_*|FOWNER|IPC_OWNER)",
    "RestrictAddressFamilies=~AF_UNIX",
    "PrivateUsers=",
    "DeviceAllow=",
}
LOCKS = [SCRIPTS / "requirements.lock", SCRIPTS / "build.lock", SCRIPTS / "tools.lock"]


def tool(name):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed here")
    return path


def said_by(*command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **more)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copied(tmp_path):
    """Give the units with programs that exist, as on a device."""
    folder = tmp_path / "systemd"
    shutil.copytree(UNITS, folder)
    for path in folder.glob("*.service"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"/opt/kiosk/\S+", "/bin/true", text), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "unit", [path.name for path in sorted(UNITS.glob("*.service")) + sorted(UNITS.glob("*.timer"))]
)
def test_systemd_finds_nothing_to_say_about_a_unit(unit, copied):
    code, said = said_by(tool("systemd-analyze"), "verify", "--man=no", copied / unit)

    about_ours = [line for line in said.splitlines() if "kiosk" in line]  # the machine's own units may have faults
    assert about_ours == [], "an unknown key is only warned of, and then does nothing"
    assert code == 0


@pytest.mark.parametrize("unit", [path.name for path in SERVICES])
def test_a_unit_is_exposed_to_1_3_at_most(unit):
    code, said = said_by(tool("systemd-analyze"), "security", "--offline=true", "--no-pager", UNITS / unit)

    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert exposure is not None, said
    assert float(exposure[1]) <= MOST_EXPOSURE
    assert code == 0


def test_what_the_judge_of_updates_leaves_open_is_what_it_gives_reasons_for():
    _, said = said_by(
        tool("systemd-analyze"), "security", "--offline=true", "--no-pager", UNITS / "confirm-kiosk.service"
    )

    left = {line.split()[1] for line in said.splitlines() if line.startswith("✗")}
    assert left <= LEFT_OPEN_BY_CONFIRM


@pytest.mark.parametrize("unit", [path.name for path in SERVICES])
def test_every_unit_has_limits_of_memory_and_tasks_that_swap_does_not_undo(unit):
    settings = settings_of(unit)
    if unit in ("kiosk-backup.service", "kiosk-health.service", "kiosk-sweep.service"):
        settings += settings_of("kiosk-.service.d/task.conf")

    names = {line.partition("=")[0]: line.partition("=")[2] for line in settings}
    assert names["MemoryMax"] not in ("", "infinity")
    assert names["MemorySwapMax"] == "0"
    assert "TasksMax" in names
    assert names["LimitCORE"] == "0"


def test_the_check_of_units_would_see_an_unknown_key(copied):
    unit = copied / "kiosk.service"
    unit.write_text(
        unit.read_text(encoding="utf-8").replace("[Service]", "[Service]\nRestartStepz=3"), encoding="utf-8"
    )

    _, said = said_by(tool("systemd-analyze"), "verify", "--man=no", unit)

    assert "kiosk.service" in said
    assert "RestartStepz" in said


def settings_of(unit):
    lines = (UNITS / unit).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith(("#", "["))]


@pytest.mark.parametrize(
    "setting",
    [
        "Type=notify",
        "WatchdogSec=5s",
        "WatchdogSignal=SIGKILL",
        "MemoryMax=1G",
        "MemorySwapMax=0",
        "CPUWeight=1000",
        "SystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self",
        "ExecStopPost=/opt/kiosk/current/bin/python -m kiosk.door --safe",
        "LimitCORE=0",
        "DevicePolicy=closed",
        "LoadCredentialEncrypted=kiosk.key",
        "StateDirectoryMode=0700",
    ],
)
def test_the_kiosk_is_supervised_and_shut_in(setting):
    assert setting in settings_of("kiosk.service")


def test_the_kiosk_may_use_cameras_and_the_door_and_no_other_device():
    allowed = {line for line in settings_of("kiosk.service") if line.startswith("DeviceAllow=")}

    assert allowed == {
        "DeviceAllow=char-video4linux rw",
        "DeviceAllow=char-media rw",
        "DeviceAllow=char-dma_heap rw",
        "DeviceAllow=char-gpiochip rw",
    }


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_of_a_device_is_locked_by_hash(lock):
    text = lock.read_text(encoding="utf-8")
    pins = re.split(r"\n(?=[a-z0-9])", "\n".join(line for line in text.splitlines() if not line.startswith("#")))

    assert len(pins) > 5
    for pin in pins:
        assert re.match(r"[a-z0-9-]+==\S+", pin), pin
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", pin), pin


def test_no_script_installs_a_package_without_its_hash():
    for script in SCRIPTS.glob("*.sh"):
        text = script.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            is_use = re.search(r"-m pip .*\b(install|wheel|download)\b", line) or '"${pip[@]}"' in line
            is_ours = "--editable" in line or "pip=(" in line  # a checkout's own code; the words of a later line
            if is_use and not is_ours:
                assert re.search("--require-hashes|--no-index|--no-deps --no-build", line), f"{script.name}: {line}"


def test_every_dependency_of_the_kiosk_is_in_the_lock():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = re.search(r"\ndependencies = \[\n(.*?)\n\]", project, re.DOTALL)
    assert wanted is not None
    names = re.findall(r'^ *"([A-Za-z0-9-]+)', wanted[1], re.MULTILINE)
    locked = set(re.findall(r"^([a-z0-9-]+)==", LOCKS[0].read_text(encoding="utf-8"), re.MULTILINE))

    assert "onnxruntime" in names
    assert {*names, "gpiod"} - locked == set()


@pytest.mark.parametrize("script", RUN_BY_HAND, ids=lambda path: path.name)
def test_a_script_says_how_it_is_used(script):
    code, said = said_by("bash", script, "--help")

    assert code == 0
    assert script.name in said
    assert "set -e" not in said


@pytest.mark.parametrize("script", ["install", "provision", "update", "uninstall", "bundle"])
def test_a_script_refuses_what_it_does_not_know(script):
    code, said = said_by("bash", SCRIPTS / f"{script}.sh", "--everything")

    assert code == 1
    assert "does not know '--everything'" in said


@pytest.mark.parametrize("script", ["install", "update"])
def test_a_script_refuses_a_folder_that_is_not_there(script):
    code, said = said_by("bash", SCRIPTS / f"{script}.sh", "--wheelhouse", "/nowhere")

    assert code == 1
    assert "--wheelhouse wants a folder, got '/nowhere'" in said


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["FOLDER"], "say with which key to sign"),
        (["FOLDER", "--key", "FOLDER/lone.key"], "has no public half beside it"),
        (["FOLDER", "--key", "FOLDER/nothing.key"], "--key wants a file"),
        (["FOLDER", "--unsigned", "--key", "FOLDER/lone.key"], "--unsigned goes without --key"),
        (["--make-key", "FOLDER/nowhere"], "--make-key wants a folder"),
    ],
)
def test_no_bundle_is_packed_before_it_is_clear_who_signs_it(words, why, tmp_path):
    (tmp_path / "lone.key").touch()

    code, said = said_by("bash", SCRIPTS / "bundle.sh", *(word.replace("FOLDER", str(tmp_path)) for word in words))

    assert code == 1
    assert why in said
    assert [path.name for path in tmp_path.iterdir()] == ["lone.key"]


@pytest.mark.parametrize(
    ("newer", "older", "is_so"),
    [
        ("0.9.2", "0.9.1", True),
        ("0.10.0", "0.9.9", True),
        ("1.0", "1.0rc2", True),
        ("1.0rc10", "1.0rc9", True),
        ("1.0b1", "1.0a7", True),
        ("1.0.0", "1.0", False),
        ("0.9.1", "0.9.1", False),
        ("0.9.1", "0.9.2", False),
        ("1.0rc1", "1.0", False),
        ("1.0.dev3", "0.9", False),
        ("newest", "0.9", False),
    ],
)
def test_a_version_is_newer_by_its_numbers_and_one_that_cannot_be_compared_is_not(newer, older, is_so, tmp_path):
    code, said = functions(f"if is_newer {newer} {older}; then echo newer; else echo not; fi", tmp_path)

    assert code == 0
    assert ("newer" in said.splitlines(), "not" in said.splitlines()) == (is_so, not is_so)


def test_nothing_is_installed_into_a_folder_that_is_no_system(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("install.sh asks for root first")

    code, said = said_by("bash", SCRIPTS / "install.sh", "--root", tmp_path)

    assert code == 1
    assert "is no Linux system" in said
    assert [path.name for path in tmp_path.iterdir()] == []


def test_shellcheck_finds_nothing():
    folders = (SCRIPTS, ROOT / "benchmarks", ROOT / "tests" / "appliance")
    scripts = [script for folder in folders for script in sorted(folder.glob("*.sh"))]

    code, said = said_by(tool("shellcheck"), "--external-sources", *scripts, cwd=ROOT)

    assert (code, said) == (0, "")


def functions(script, target, *, of="appliance.sh"):
    """Run lines of shell with the appliance's functions, in another root."""
    begun = f"set -euo pipefail; root={shlex.quote(str(ROOT))}"
    lines = f'{begun}; . "$root/firmware_scripts/common.sh"; . "$root/firmware_scripts/{of}"'
    return said_by("bash", "-c", f"{lines}; target={shlex.quote(str(target))}; {script}")


def test_a_link_is_switched_in_one_step_and_leaves_nothing_beside(tmp_path):
    for release in ("old", "new"):
        (tmp_path / "releases" / release).mkdir(parents=True)

    code, said = functions("switch_link releases/old /current; switch_link releases/new /current", tmp_path)

    assert (code, said) == (0, "")
    assert (tmp_path / "current").readlink() == Path("releases/new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "releases"]


@pytest.mark.parametrize(
    ("status", "faults"),
    [
        ('{"at": NOW, "states": []}', []),
        ('{"at": NOW, "states": [{"condition": "clock_untrusted"}, {"condition": "pad_off"}]}', []),
        ('{"at": NOW, "states": [{"condition": "camera_lost"}]}', ["camera_lost"]),
        ('{"at": NOW, "states": [{"condition": "pad_failed"}, {"condition": "pad_passive"}]}', ["pad_failed"]),
        ('{"at": 0, "states": []}', ["silent"]),
        ("{", ["silent"]),
        (None, ["silent"]),
    ],
)
def test_only_what_a_release_can_be_to_blame_for_counts_against_it(status, faults, tmp_path):
    path = tmp_path / "status.json"
    script = f"status={path}; faults"
    if status is not None:
        script = f"printf '%s' '{status}' | sed \"s/NOW/$(date +%s)/\" >{path}; {script}"

    code, said = functions(script, tmp_path)

    assert code == 0
    assert said.split() == faults


def test_a_release_is_checked_without_the_store_and_its_sealed_key(tmp_path):
    sealed = tmp_path / "state"
    sealed.mkdir()
    (sealed / "kiosk.db").touch()  # its key lies elsewhere, as on a provisioned device
    (tmp_path / "kiosk.toml").touch()
    command = tmp_path / "releases" / "1" / "bin" / "kiosk"
    command.parent.mkdir(parents=True)
    command.write_text(
        f"#!/bin/sh\ncase $1 in doctor) exit 0;; esac\nexport KIOSK_STATE=${{KIOSK_STATE:-{sealed}}}\n"
        f'exec {shlex.quote(sys.executable)} -m kiosk "$@"\n'
    )
    command.chmod(0o755)

    code, said = functions(f"opt={tmp_path} config={tmp_path}/kiosk.toml; self_test 1", "")

    assert (code, said) == (0, "")


def test_releases_that_nothing_points_to_are_pruned(tmp_path):
    for release in ("1", "2", "3"):
        (tmp_path / "releases" / release).mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/3")
    (tmp_path / "previous").symlink_to("releases/2")

    code, said = functions(f"opt={tmp_path}; prune_releases", "")

    assert (code, said) == (0, "")
    assert sorted(path.name for path in (tmp_path / "releases").iterdir()) == ["2", "3"]


def test_the_camera_check_names_a_camera_that_gives_frames_and_one_that_does_not(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for name in ("person_a_1.jpg", "person_b_1.jpg"):
        shutil.copy(ROOT / "tests" / "golden" / name, frames)

    code, said = said_by(
        sys.executable,
        SCRIPTS / "camera_check.py",
        f"dir:{frames}?fps=10&loop=1",
        "v4l2:/dev/video99",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert code == 0
    assert "frames/s" in said
    assert "no frames:" in said.split("v4l2:/dev/video99")[1]
    assert f'source = "dir:{frames}?fps=10&loop=1"' in said


def test_every_test_that_the_threat_model_names_is_there():
    text = (ROOT / ".github" / "SECURITY.md").read_text(encoding="utf-8")
    cells = [line.split("|")[-2] for line in text.splitlines() if line.startswith("| ") and "`tests/" in line]

    assert len(cells) > 10
    for cell in cells:
        for path, names in re.findall(r"`(tests/[\w/]+\.(?:py|sh))`([^`]*)", cell):
            tests = (ROOT / path).read_text(encoding="utf-8")
            for name in re.findall(r"[a-z0-9]+(?:_[a-z0-9]+){3,}", names):
                assert f"def test_{name}" in tests, f"{path}: {name}"


@pytest.mark.slow
@pytest.mark.hardware
@pytest.mark.parametrize("drill", ["boot.sh", "arm64.sh"])
def test_the_drill_holds(drill, tmp_path):
    if not os.environ.get("KIOSK_DRILLS"):
        pytest.skip("takes ten minutes, root and two gigabytes: KIOSK_DRILLS=1")
    if os.geteuid() != 0:
        pytest.skip("a drill mounts and boots: it wants root")
    tool("apt-get")

    code, said = said_by("bash", ROOT / "tests" / "appliance" / drill, cwd=tmp_path)

    assert code == 0, said[-4000:]
