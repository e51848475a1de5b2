"""What Home Assistant is told: entities by the settings, never a person unless they say so."""

import json

import pytest

from kiosk.entrance.news import Health, PublishedDecision
from kiosk.errors import ConfigError
from kiosk.integrations.home_assistant import EVENTS, decision_message, discovery, state_message
from kiosk.rules.conditions import Degradation
from kiosk.settings.neighbours import MqttSettings

DECIDED = PublishedDecision("r1", "identification", "Approved", 91.0, (), False, 5.0, 7, "Person A", is_opened=True)


def announced(**settings):
    return {place: json.loads(text) for place, text in discovery(MqttSettings(host="h", **settings)) if text}


def health(door=None, states=(), **figures):
    return Health(not states, "identify", states, {"door": door, **figures})


def test_every_entity_is_one_of_this_kiosk_and_goes_with_it():
    found = announced(device_id="front")
    by_id = {about["unique_id"] for about in found.values()}

    assert len(by_id) == len(found) >= 12
    assert {about["availability_topic"] for about in found.values()} == {"face_kiosk/front/availability"}
    assert {tuple(about["device"]["identifiers"]) for about in found.values()} == {("face_kiosk_front",)}
    assert by_id.isdisjoint(about["unique_id"] for about in announced(device_id="back").values())


def test_without_leave_to_release_nothing_offers_a_button():
    places = announced()

    assert not any("command_topic" in about for about in places.values())
    assert not any(place.startswith("homeassistant/lock/") for place in places)
    locks = announced(may_release=True, tls=True, user="u")
    assert [about["command_topic"] for about in locks.values() if "command_topic" in about] == [
        "face_kiosk/kiosk/lock/set"
    ]


def test_what_is_switched_off_is_taken_away_from_home_assistant():
    empty = {place for place, text in discovery(MqttSettings(host="h")) if not text}

    assert {place.split("/")[1] for place in empty} == {"lock", "image"}
    assert list(discovery(MqttSettings(host="h", discovery_topic=""))) == []


def test_a_person_is_named_only_where_the_settings_say_so():
    plain = json.loads(decision_message(DECIDED.as_dict(), with_person=False))

    assert plain == {
        "event_type": "granted",
        "request_id": "r1",
        "kind": "identification",
        "score": 91.0,
        "opened": True,
        "at": 5.0,
    }
    assert json.loads(decision_message(DECIDED.as_dict(), with_person=True))["name"] == "Person A"


@pytest.mark.parametrize(
    ("status", "opened", "event"),
    [
        ("Approved", True, "granted"),
        ("Approved", False, "approved"),
        ("In Review", False, "in_review"),
        ("Declined", False, "declined"),
        ("whatever comes later", False, "refused"),
    ],
)
def test_only_a_door_that_opened_is_an_entry(status, opened, event):
    told = {**DECIDED.as_dict(), "status": status, "opened": opened}

    assert json.loads(decision_message(told, with_person=False))["event_type"] == event
    assert event in EVENTS


@pytest.mark.parametrize(
    ("door", "lock", "is_open", "is_alarm"),
    [
        (None, None, None, False),
        ({"state": "unknown", "is_unlocked": False}, "LOCKED", None, False),
        ({"state": "closed", "is_unlocked": True}, "UNLOCKED", False, False),
        ({"state": "open", "is_unlocked": True}, "UNLOCKED", True, False),
        ({"state": "forced_open", "is_unlocked": False}, "LOCKED", True, True),
        ({"state": "door_open_too_long", "is_unlocked": False}, "LOCKED", True, True),
    ],
)
def test_the_door_is_told_as_it_is(door, lock, is_open, is_alarm):
    told = json.loads(state_message(health(door), level="active", dropped=0))

    assert (told["lock"], told["is_open"], told["is_alarm"]) == (lock, is_open, is_alarm)


def test_why_nobody_is_let_in_is_a_state_that_home_assistant_takes():
    states = tuple(Degradation(f"camera_lost_{n}", "Look at the cable.", "closed", 1.0) for n in range(40))
    told = json.loads(state_message(health(states=states), level="off", dropped=3))

    assert told["status"].startswith("closed: camera_lost_0, ")
    assert len(told["status"]) <= 255
    assert told["reasons"][0]["sentence"] == "Look at the cable."
    assert (told["is_armed"], told["attack_detection"], told["dropped"]) == (False, "off", 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"device_id": "a/b"},
        {"device_id": "+"},
        {"topic": "a/#"},
        {"topic": ""},
        {"ca_file": "x.pem"},
        {"tls": True, "certificate": "x.pem"},
        {"may_release": True},
        {"may_release": True, "host": "broker.example", "user": "u"},
        {"may_release": True, "host": "127.0.0.1"},
        {"may_release": True, "host": "127.0.0.1", "user": "u", "release_account": ""},
    ],
)
def test_settings_that_would_let_a_stranger_in_are_refused(wrong):
    with pytest.raises(ConfigError):
        MqttSettings(**wrong)
