"""Who was enrolled at two kiosks apart from each other is found by those who hold both; over a hub, and by a stick."""

import json

import numpy as np
import pytest

from kiosk.cli.main import main
from kiosk.device.device import Device
from kiosk.errors import RefusedError, StoreError
from kiosk.fleet.duplicates import DuplicateWatch
from kiosk.fleet.pairs import Pairs
from kiosk.fleet.stick import export, take
from kiosk.fleet.sync import FleetSync
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.settings.config import Config
from kiosk.store.fleet.duplicates import Duplicates
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.networks import fixed_recogniser
from kiosk.types import Template
from tests.patience import until
from tests.store.stored import MODEL, OTHER_MODEL, Clock, template

SCALE = read_pack(standard_pack()).scale


def near(seed, model=MODEL):
    """Give a template of another photograph of the same face."""
    vector = template(seed).vector + 0.2 * template(seed + 1000).vector
    return Template((vector / np.linalg.norm(vector)).astype(np.float32), model)


def watch(kiosk, **more):
    device = Device(fixed_recogniser(template(0), SCALE), kiosk.store, Config(), now=Clock())
    return DuplicateWatch(device, **more)


def enrolled(kiosk, vector, name):
    return kiosk.store.people.enrol(Enrolment([vector], Details(name=name)))


def carry(one, other, path):
    export(one.member, path)
    take(other.member, path)


def test_one_face_of_two_kiosks_is_found_once_both_are_here(kiosks, tmp_path):
    a, b = kiosks
    here = enrolled(a, template(1), "Person A")
    there, _ = enrolled(b, near(1), "Person A."), enrolled(b, template(2), "Person B")
    watch_a, watch_b = watch(a), watch(b)
    assert (watch_a.look(), watch_b.look()) == (0, 0)
    carry(b, a, tmp_path / "stick")
    carry(a, b, tmp_path / "back")

    assert (watch_a.look(), watch_b.look()) == (1, 1)
    assert (watch_a.look(), watch(a).look()) == (0, 0)  # once
    (pair,) = Duplicates(a.store).open()
    assert {pair.first, pair.second} == {here.session_id, there.session_id}
    assert pair.score > 90.0
    Duplicates(b.store).different(pair.first, pair.second, actor="operator")
    carry(b, a, tmp_path / "again")
    assert Duplicates(a.store).open() == ()


def test_the_page_shows_a_pair_with_name_kiosk_and_score_and_what_is_said_there_holds_everywhere(kiosks, tmp_path):
    a, b = kiosks
    first, second = enrolled(a, template(1), "Person A"), enrolled(b, near(1), None)
    enrolled(a, template(2), "Person B")
    enrolled(b, near(2), "Person B.")
    carry(b, a, tmp_path / "stick")
    watch(a).look()
    pairs = Pairs(a.member, a.store)
    shown = pairs.open()

    assert [{one["first"]["kiosk"], one["second"]["kiosk"]} for one in shown] == [{"a", "b"}] * 2
    (row,) = (one for one in shown if first.session_id in {one["first"]["session_id"], one["second"]["session_id"]})
    assert {row["first"]["name"], row["second"]["name"]} == {"Person A", None}
    assert row["score"] > 90.0
    for wrong in ((first.session_id, "nobody"), (first.session_id, first.session_id)):
        with pytest.raises(RefusedError, match="Nobody is asked"):
            pairs.decide(*wrong, details_of=None, actor="operator")
    stays = pairs.decide(second.session_id, first.session_id, details_of=first.session_id, actor="operator")
    assert stays is not None
    assert (stays["name"], stays["references"]) == ("Person A", 2)
    (other,) = pairs.open()
    ids = [other[side]["session_id"] for side in ("first", "second")]
    assert pairs.decide(*ids, details_of=None, actor="operator") is None
    assert pairs.open() == []
    carry(a, b, tmp_path / "back")
    assert [one.session_id for one in b.store.people.subjects().subjects if one.details.name == "Person A"] == [
        stays["session_id"]
    ]
    watch(b).look()
    assert Pairs(b.member, b.store).open() == []


def test_a_reference_that_arrives_later_is_compared_too_and_one_of_another_model_is_not(kiosks, tmp_path):
    a, b = kiosks
    enrolled(a, template(1), "Person A")
    there = enrolled(b, near(1, OTHER_MODEL), "Person A.")
    carry(b, a, tmp_path / "stick")
    watching = watch(a)
    assert watching.look() == 0
    b.store.people.add_reference(there.session_number, near(1))
    carry(b, a, tmp_path / "more")

    assert watching.look() == 1


def test_many_who_arrive_at_once_are_compared_with_everybody(kiosks, tmp_path):
    a, b = kiosks
    for seed in range(5):
        enrolled(a, template(seed), f"Person {seed}")
        enrolled(b, near(seed), f"Person {seed}.")
    carry(b, a, tmp_path / "stick")

    assert watch(a, many=2).look() == 5


def test_a_look_that_fails_is_told_of_and_stops_nothing_else(kiosks):
    a, _ = kiosks
    looks = []

    def fails():
        looks.append("fails")
        raise StoreError("reference 7 was changed or damaged")

    sync = FleetSync(a.store, chores=[fails, lambda: looks.append("works")])
    sync.start()
    try:
        until(lambda: looks.count("works") > 1 and sync.figures()["fault"])
        assert sync.figures()["fault"] == "reference 7 was changed or damaged"
    finally:
        sync.close()


def test_the_thread_of_a_kiosk_looks_by_itself_and_the_command_line_decides(kiosks, tmp_path, capsys):
    a, b = kiosks
    here, there = enrolled(a, template(1), "Person A"), enrolled(b, near(1), "Person A.")
    carry(b, a, tmp_path / "stick")
    sync = FleetSync(a.store, chores=[watch(a).look])
    sync.start()
    try:
        until(lambda: sync.figures()["duplicates"] == 1)
    finally:
        sync.close()

    state = ["--state", str(a.directory)]
    assert main([*state, "fleet", "duplicates", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert {row["first"]["session_id"], row["second"]["session_id"]} == {here.session_id, there.session_id}
    names = [there.session_id, here.session_id]
    assert main([*state, "fleet", "same", *names, "--details-of", names[0]]) == 0
    assert "Person A." in capsys.readouterr().out
    assert main([*state, "fleet", "different", *names]) == 1
    assert main([*state, "fleet", "duplicates"]) == 0
    assert "Nobody was enrolled twice" in capsys.readouterr().out
