"""Facts about `kiosk liveness`: one photograph, the sibling script's last line, and what it does not claim."""

import json

import cv2
import numpy as np
import pytest

from kiosk.cli.main import main
from tests.conftest import MODELS

PERSON, PRINT = (MODELS / "golden" / f"presentation_{name}.jpg" for name in ("bona_fide_1", "print"))


@pytest.mark.parametrize(("picture", "status"), [(PERSON, "Approved"), (PRINT, "Declined")])
def test_it_prints_the_answer_and_the_result_and_says_how_little_a_photograph_tells(capsys, picture, status):
    assert main(["liveness", str(picture)]) == 0

    answer, last = capsys.readouterr().out.split("\n\n---")
    judged = json.loads(answer)["liveness"]
    assert (judged["status"], judged["method"]) == (status, "PASSIVE")
    assert last.startswith(f" Result: {status} | Score: {judged['score']}/100")
    assert "a good copy passes" in last


def test_as_json_it_is_one_document(capsys):
    assert main(["liveness", str(PERSON), "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["liveness"]["verdict"] == "bona_fide"


def test_a_picture_without_a_face_is_an_answer_too(capsys, tmp_path):
    wall = tmp_path / "wall.png"
    cv2.imwrite(str(wall), np.full((200, 200, 3), 90, np.uint8))

    assert main(["liveness", str(wall), "--json"]) == 0

    judged = json.loads(capsys.readouterr().out)["liveness"]
    assert (judged["status"], judged["score"], judged["reason"]) == ("Declined", 0.0, "no_face")
