"""Kiosks are given another model pack one by one: references of the other pack are kept, and not searched (trap 7)."""

import numpy as np

from kiosk.device.device import Device
from kiosk.fleet.stick import export, take
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.settings.config import Config
from kiosk.store.fleet.document import Document, SharedReference
from kiosk.store.fleet.taking import Arrived
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.networks import fixed_recogniser
from kiosk.types import Template
from tests.store.stored import MODEL, OTHER_MODEL, Clock, template

SCALE = read_pack(standard_pack()).scale
LONGER = 64  # numbers of the other model's templates


def seen(seed, model):
    return template(seed, model, LONGER if model == OTHER_MODEL else 32)


def found(kiosk, seed, model):
    """Say whom a kiosk with a model pack finds for a face, and how many references it searches."""
    probe = seen(seed, model)
    device = Device(fixed_recogniser(probe, SCALE), kiosk.store, Config(), now=Clock())
    people = [one.subject for one in device.find(probe, whatever_dates=True)]
    return [kiosk.store.people.subject(number).details.name for number in people], device.gallery.references


def test_a_reference_of_another_pack_is_kept_and_found_once_the_kiosk_has_that_pack(kiosks, tmp_path):
    old, new = kiosks  # `new` has another model pack already
    ann = old.store.people.enrol(Enrolment([seen(1, MODEL)], Details(name="Person A")))
    export(old.member, tmp_path / "stick")
    take(new.member, tmp_path / "stick")
    assert new.of(ann.session_id).references == 1
    assert found(new, 1, OTHER_MODEL) == ([], 0)
    new.store.people.add_reference(new.of(ann.session_id).session_number, seen(1, OTHER_MODEL))
    export(new.member, tmp_path / "back")
    take(old.member, tmp_path / "back")

    assert found(new, 1, OTHER_MODEL) == (["Person A"], 1)
    assert found(old, 1, MODEL) == (["Person A"], 1)
    assert old.of(ann.session_id).references == 2
    assert found(old, 1, OTHER_MODEL) == (["Person A"], 1)  # after its own change of packs
    assert old.member.shared.digests() == new.member.shared.digests()


def test_faces_of_two_packs_never_compare_whatever_their_numbers(kiosks, tmp_path):
    old, new = kiosks
    vector = template(1).vector
    old.store.people.enrol(Enrolment([Template(vector, MODEL)], Details(name="Person A")))
    new.store.people.enrol(Enrolment([Template(np.array(vector), OTHER_MODEL)], Details(name="Person B")))
    export(old.member, tmp_path / "stick")
    take(new.member, tmp_path / "stick")

    assert found(new, 1, MODEL) == (["Person A"], 1)


def test_the_first_template_that_arrives_does_not_say_how_long_those_of_the_own_pack_are(kiosks):
    """At a kiosk without people: all that came after would be refused, and nobody could be enrolled or searched."""
    old, new = kiosks
    assert found(new, 1, MODEL) == ([], 0)
    forged = SharedReference(MODEL, template(3, MODEL, 8).vector.tobytes(), None, 0.0)
    done = new.member.shared.apply([Arrived("p", old.member.id, 1, Document(references={forged.id: forged}), b"")])
    new.store.people.enrol(Enrolment([seen(1, MODEL)], Details(name="Person A")))

    assert len(done.refused) == 1
    assert found(new, 1, MODEL) == (["Person A"], 1)
