"""`kiosk pass`, and what `kiosk doctor` says of the neighbours."""

import argparse
import json
import stat
import time

import numpy as np
import pytest
from PIL import Image

from kiosk.cli.neighbours.findings import neighbour_findings
from kiosk.device.passes.keys import DeviceKeys
from kiosk.rules.passes import read_pass
from tests.cli.commanded import command
from tests.entrance.staged import config

zxingcpp = pytest.importorskip("zxingcpp", reason="zxing-cpp is not installed; it is in the extra `documents`")
NOTHING = {"KIOSK_PASSES_ASK": "nothing"}


@pytest.fixture
def ask(store):
    def run(*words, environment=NOTHING):
        return command("--state", str(store.directory), "pass", *words, environment=environment)

    return run


def in_days(days):
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() + days * 86400.0))


def test_a_pass_is_issued_into_private_files_that_a_camera_reads(ask, store, tmp_path):
    files = {kind: tmp_path / f"pass.{kind}" for kind in ("png", "svg", "page")}
    options = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]

    said = ask("issue", "--label", "a <plumber>", "--until", in_days(2), *options, "--json")

    code = json.loads(said.stdout)["code"]
    assert read_pass(code)[0].issuer == DeviceKeys(store).issuer
    (read,) = zxingcpp.read_barcodes(np.asarray(Image.open(files["png"]).convert("L")))
    assert read.text == code
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    page = files["page"].read_text()
    assert "a &lt;plumber&gt;" in page
    assert "<svg" in page
    again = ask("issue", "--until", in_days(2), "--png", str(files["png"]))
    assert (again.returncode, "is there already" in again.stderr) == (1, True)


def test_passes_are_listed_without_codes_and_revoked_by_name_or_code(ask, store):
    ask("issue", "--label", "a plumber", "--until", in_days(2))
    ask("issue", "--until", in_days(3), "--uses", "0")
    codes = [one.text for one in store.passes.every()]

    listed = ask("list").stdout
    name = store.passes.every()[0].shown.name
    assert ask("revoke", name).stdout == f"{name}: revoked at this kiosk\n"
    assert ask("revoke", codes[1]).returncode == 0

    assert "a plumber" in listed
    assert not any(code in listed for code in codes)
    assert [row["state"] for row in json.loads(ask("list", "--json").stdout)] == ["revoked", "revoked"]
    assert ask("revoke", "00").returncode == 1
    assert ask("revoke", "FKP1:AAAA").returncode == 1
    assert ask("show", name, "--json").returncode == 0
    assert ask("show", "00").returncode == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--until", "soon"), "want a time such as"),
        (("--until", "2020-01-01"), "ended already"),
        (("--until", "2099-01-01"), "31 days at most"),
        (("--until", "NEXT", "--uses", "-1"), "uses"),
        (("--until", "NEXT", "--door", "nowhere"), "no door is called nowhere"),
        (("--until", "NEXT", "--visitor", "nobody"), "nobody is enrolled"),
    ],
)
def test_a_pass_that_cannot_be_is_refused_in_one_line(ask, store, words, said):
    found = ask("issue", *(in_days(2) if word == "NEXT" else word for word in words))

    assert found.returncode == 1
    assert said in found.stderr
    assert store.passes.every() == ()


def test_where_a_face_is_asked_for_a_pass_without_a_visitor_is_refused(ask):
    assert "want the visitor it is for" in ask("issue", "--until", in_days(2), environment={}).stderr


@pytest.mark.parametrize(
    ("sections", "about", "is_right", "said"),
    [
        ({"factors": {"card": ("mon-sun 00:00-24:00",)}}, "factors", False, "no reader is set up"),
        (
            {"factors": {"pin": ("mon-sun 00:00-24:00",)}, "api": {"enabled": False}},
            "factors",
            False,
            "neither a screen nor a keypad",
        ),
        (
            {"factors": {"pin": ("mon-sun 00:00-24:00",)}, "entrance": {"mode": "screen"}},
            "factors",
            False,
            "lets nobody in",
        ),
        ({"factors": {"pin": ("mon-sun 00:00-24:00",)}}, "factors", True, "pin beside the face"),
        ({"wiegand": {"chip": "/dev/nowhere", "d0": 1, "d1": 2}}, "wiegand", False, "/dev/nowhere is not there"),
        (
            {
                "wiegand": {"chip": "/dev/gpiochip9", "d0": 1, "d1": 2},
                "door": {"chip": "/dev/gpiochip9", "relay": 17, "exit": 2},
            },
            "wiegand",
            False,
            "line 2 is both d1 of the reader and [door] exit",
        ),
        ({"passage": {"direction": "out", "two_persons": True}}, "passage", False, "a way out"),
        ({"passage": {"direction": "in", "occupancy": 5}}, "passage", True, "5 people at most"),
        ({"passage": {"direction": "in"}, "entrance": {"mode": "enrol"}}, "passage", False, "no passage is kept"),
        ({"passes": {"enabled": True}}, "passes", True, "with the visitor's face"),
        ({"passes": {"enabled": True}, "entrance": {"mode": "screen"}}, "passes", False, "looks at no passes"),
        (
            {"passes": {"enabled": True, "ask": "nothing"}, "passage": {"direction": "in", "occupancy": 5}},
            "passes",
            False,
            "a pass without a face is refused",
        ),
    ],
)
def test_the_doctor_says_what_of_the_neighbours_is_wrong_and_how_to_mend_it(sections, about, is_right, said):
    found = [one for one in neighbour_findings(argparse.Namespace(), config(**sections)) if one.what == about]

    assert [one.is_good for one in found] == [is_right]
    assert said in found[0].sentence
    assert bool(found[0].cure) is not is_right


def test_the_doctor_says_nothing_of_neighbours_that_are_not_there():
    assert list(neighbour_findings(argparse.Namespace(), config())) == []
