"""A pass of one kiosk of a fleet counts at another while the owner names both, and no longer."""

import time

import pytest

from kiosk.device.passes.issue import door_names, issue_pass
from kiosk.device.passes.keys import DeviceKeys, is_signed_well
from kiosk.errors import RefusedError
from kiosk.fleet.doors.pass_keys import FleetPassKeys
from kiosk.rules.passes import PassRule, read_pass

NOW = time.time()


def tell(fleet, *kiosks):
    for kiosk in kiosks:
        kiosk.member.hear_roster(fleet.signed)


def issued(kiosk, keys, *, doors=(), uses=0):
    return issue_pass(
        kiosk.store,
        keys,
        PassRule(ask="nothing"),
        label="",
        valid_from=NOW,
        valid_until=NOW + 60.0,
        uses=uses,
        visitor=None,
        doors=doors,
        now=NOW,
        actor="test",
    )


def test_another_kiosk_believes_a_pass_until_its_issuer_is_taken_off(fleet, make):
    a, b = make("a"), make("b")
    fleet.let_in(a, b)
    tell(fleet, a, b)
    keys_a, keys_b = FleetPassKeys(a.store), FleetPassKeys(b.store)
    kept = issued(a, keys_a, doors=("*",))
    signature = read(kept)

    assert is_signed_well(kept.shown, signature, keys_b)
    assert keys_b.is_of_fleet(kept.shown.issuer)
    assert kept.shown.issuer not in keys_b.here

    fleet.take_off(a)
    tell(fleet, b)
    assert not is_signed_well(kept.shown, signature, keys_b)
    assert not keys_b.is_of_fleet(kept.shown.issuer)


def read(kept):
    return read_pass(kept.text)[1]


def test_doors_are_named_as_the_owner_named_their_kiosks(fleet, make):
    a, b = make("a"), make("b")
    fleet.let_in(a, b)
    tell(fleet, a, b)
    keys_a, keys_b = FleetPassKeys(a.store), FleetPassKeys(b.store)

    kept = issued(a, keys_a, doors=("b",), uses=1)

    assert set(kept.shown.doors) <= keys_b.here
    assert door_names(keys_a, kept.shown) == ["b"]
    with pytest.raises(RefusedError, match="no door is called c; there are: a, b"):
        issued(a, keys_a, doors=("c",))
    with pytest.raises(RefusedError, match="names one door"):
        issued(a, keys_a, doors=("a", "b"), uses=1)


def test_a_kiosk_that_was_not_let_in_yet_issues_for_itself(make):
    a = make("a")

    keys = FleetPassKeys(a.store)
    kept = issued(a, keys)

    assert kept.shown.issuer == DeviceKeys(a.store).issuer
    assert is_signed_well(kept.shown, read(kept), keys)
    assert not keys.is_of_fleet(kept.shown.issuer)


def test_a_pass_of_before_a_kiosk_joined_is_still_its_own(fleet, make):
    a = make("a")
    kept = issued(a, DeviceKeys(a.store))
    fleet.let_in(a)
    tell(fleet, a)

    keys = FleetPassKeys(a.store)

    assert keys.issuer != kept.shown.issuer
    assert is_signed_well(kept.shown, read(kept), keys)
    assert set(kept.shown.doors) <= keys.here
