"""Facts about what is shown to people who build on the kiosk: every example runs, and so does the skill."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kiosk.api.page_scripts import WEB
from kiosk.device.enrol import enrol_person
from kiosk.settings.config import Config
from kiosk.settings.workflows import SessionSettings
from kiosk.store.subjects import Details, Enrolment
from tests.api.node import NODE
from tests.api.served import B1, serving
from tests.api.test_liveness import PERSON
from tests.conftest import GOLDEN

EXAMPLES = json.loads((WEB / "docs" / "examples.json").read_text(encoding="utf-8"))
SKILL = WEB.parent / "skill"
USER, REFERENCE, KNOWN = (str(GOLDEN / f"person_{name}.jpg") for name in ("a_1", "a_2", "b_1"))
PROGRAMS: dict[str, list[str | None]] = {
    "curl": ["bash", "-euc"],
    "python": [sys.executable, "-c"],
    "javascript": [NODE, "--input-type=module", "-e"],
}
NEEDED = {"curl": "curl", "python": sys.executable, "javascript": "node"}

# Didit's own samples, unchanged but for host, key and files, which are variables here.
DIDITS_PYTHON = """
import os
import requests

response = requests.post(
    os.environ["KIOSK_URL"] + "/v3/face-match/",
    headers={"x-api-key": os.environ["KIOSK_API_KEY"]},
    files={
        "user_image": ("selfie.jpg", open("selfie.jpg", "rb"), "image/jpeg"),
        "ref_image": ("id_photo.jpg", open("id_photo.jpg", "rb"), "image/jpeg"),
    },
    data={"face_match_score_decline_threshold": "50"},
)
print(response.text)
"""
DIDITS_JAVASCRIPT = """
import { openAsBlob } from "node:fs";
const selfieFile = await openAsBlob("selfie.jpg");
const referenceFile = await openAsBlob("id_photo.jpg");
const formData = new FormData();
formData.append("user_image", selfieFile);
formData.append("ref_image", referenceFile);
formData.append("face_match_score_decline_threshold", "50");

const response = await fetch(`${process.env.KIOSK_URL}/v3/face-match/`, {
  method: "POST",
  headers: { "x-api-key": process.env.KIOSK_API_KEY },
  body: formData,
});
console.log(await response.text());
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    config = replace(Config(), sessions=SessionSettings(workflows=("selfie: liveness",)))
    with serving(tmp_path_factory.mktemp("examples") / "state", config=config) as served:
        enrol_person(served.device, [B1], Enrolment(templates=(), details=Details(vendor_data="user-1")))
        yield served


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "selfie.jpg").write_bytes(PERSON)
    (folder / "id_photo.jpg").write_bytes(PERSON)
    return folder


def run(served, folder, language, text):
    if shutil.which(NEEDED[language]) is None:
        pytest.skip(f"there is no {NEEDED[language]} here")
    environment = {**os.environ, "KIOSK_URL": served.url, "KIOSK_API_KEY": served.keys["device"], "NO_PROXY": "*"}
    command = [str(part) for part in PROGRAMS[language]]
    done = subprocess.run(
        [*command, text], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("language", list(PROGRAMS))
@pytest.mark.parametrize("name", list(EXAMPLES))
def test_an_example_runs(served, folder, name, language):
    answer = run(served, folder, language, EXAMPLES[name][language])

    block = {"match_faces": "face_match", "search_faces": "face_search", "passive_liveness": "liveness"}.get(name)
    if name == "create_session":
        assert (answer["status"], answer["vendor_data"]) == ("Not Started", "user-123")
    else:
        assert answer[block or "age_estimation"]["status"] == "Approved"


def test_each_example_is_of_a_call_that_is_served_and_in_each_language(served):
    document = served.call("GET", "/openapi.json").json()
    known = {one["operationId"] for methods in document["paths"].values() for one in methods.values()}

    assert set(EXAMPLES) <= known
    assert all(set(languages) == set(PROGRAMS) for languages in EXAMPLES.values())


@pytest.mark.parametrize(("language", "text"), [("python", DIDITS_PYTHON), ("javascript", DIDITS_JAVASCRIPT)])
def test_the_seeds_own_samples_run(served, folder, language, text):
    assert run(served, folder, language, text)["face_match"]["status"] == "Approved"


def script(served, name, *arguments, key="device"):
    environment = {
        **os.environ,
        "DIDIT_API_BASE_URL": f"{served.url}/v3",
        "DIDIT_API_KEY": served.keys.get(key, "wrong"),
        "NO_PROXY": "*",
    }
    command = [sys.executable, str(SKILL / "scripts" / name), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_skills_scripts_answer_as_the_seeds_do(served):
    match = script(served, "match_faces.py", USER, REFERENCE, "--threshold", "50", "--rotate", "--vendor-data", "x")
    search = script(served, "search_faces.py", KNOWN, "--rotate")

    assert match.returncode == search.returncode == 0, match.stderr + search.stderr
    body, _, last = match.stdout.rstrip().rpartition("\n\n")
    assert json.loads(body)["vendor_data"] == "x"
    assert re.fullmatch(r"--- Result: Approved \| Score: \d+/100 ---", last)
    assert "--- 1 match(es) found ---" in search.stdout
    assert "| user-1 | session " in search.stdout.splitlines()[-1]


def test_a_script_of_the_skill_says_what_is_wrong_on_stderr(served):
    wrong_key = script(served, "match_faces.py", USER, REFERENCE, key="wrong")
    no_file = script(served, "search_faces.py", "/none.jpg")

    assert (wrong_key.returncode, no_file.returncode) == (1, 1)
    assert wrong_key.stderr.startswith("Error: 401")
    assert no_file.stderr.startswith("Error: ")


def test_the_skill_names_calls_that_are_served_and_scripts_that_are_there(served):
    text = (SKILL / "SKILL.md").read_text(encoding="utf-8")
    served_paths = set(served.call("GET", "/openapi.json").json()["paths"]) | {"/v3/id-verification/"}

    assert text.startswith("---\nname: face-kiosk\n")
    assert set(re.findall(r"`(?:GET|POST) (/\S+)`", text)) <= served_paths
    assert set(re.findall(r"scripts/(\w+\.py)", text)) == {path.name for path in (SKILL / "scripts").glob("*.py")}
    assert Path(SKILL / "SKILL.md").is_relative_to(WEB.parent)  # within the package, so it is in the wheel
