"""Facts about what is published: the bytes that pages and other listeners rely on."""

import json

from kiosk.entrance.news import PublishedDecision
from kiosk.entrance.screen import Result, Screen, ScreenState
from kiosk.rules.presentation import Guidance


def test_a_screen_is_published_whole_and_in_one_order():
    shown = Screen(
        ScreenState.RESULT, Guidance.STEP_AWAY, Result.WELCOME, mode="identify", face=(0.25, 0.125, 0.5, 0.75)
    )

    assert json.dumps(shown.as_dict()) == (
        '{"guidance": "step_away", "result": "welcome", "other_way": false, "held_s": 0, "reasons": [], '
        '"state": "result", "mode": "identify", "face": [0.25, 0.125, 0.5, 0.75], "challenge": null, "factor": null, '
        '"is_locked_down": false}'
    )
    assert Screen(ScreenState.CLOSED, reasons=("disk_full",)).as_dict()["reasons"] == ["disk_full"]


def test_a_decision_is_published_whole_and_in_one_order_and_keeps_its_name_out_of_a_traceback():
    decided = PublishedDecision(
        "r-1", "IDENTIFY", "Approved", 88.5, ("matched",), is_alarm=False, at=1.0, session_number=7, name="Person A"
    )

    assert json.dumps(decided.as_dict()) == (
        '{"request_id": "r-1", "kind": "IDENTIFY", "status": "Approved", "score": 88.5, "session_number": 7, '
        '"name": "Person A", "reasons": ["matched"], "opened": false, "is_alarm": false, "at": 1.0}'
    )
    assert "Person A" not in repr(decided)
