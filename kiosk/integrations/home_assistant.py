"""This kiosk as Home Assistant shows it: entities announced by MQTT discovery, and the one message they read.

Source: home-assistant.io, "MQTT discovery" and the pages of lock, binary_sensor, sensor, event and image. One message
an entity, which every version since 2023.8 takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from kiosk import __version__
from kiosk.entrance.news import Health
from kiosk.rules.conditions import Condition
from kiosk.settings.neighbours import MqttSettings
from kiosk.types import Status

ONLINE, OFFLINE = "online", "offline"
RELEASE = b"UNLOCK"  # the one message that asks for anything; Home Assistant's word
GRANTED = "granted"
"""The door opened for this decision. An approval alone is no entry: a call's photographs may be approved anywhere."""
EVENTS = (GRANTED, *(status.value.lower().replace(" ", "_") for status in Status), "refused")
MOST_SENTENCE = 255  # characters of a state in Home Assistant


def topic(settings: MqttSettings, leaf: str) -> str:
    """Return a topic of this kiosk: "availability", "state", "decision", "still" or "lock/set".

    >>> topic(MqttSettings(device_id="front"), "state")
    'face_kiosk/front/state'
    """
    return f"{settings.topic}/{settings.device_id}/{leaf}"


def discovery(settings: MqttSettings) -> Iterator[tuple[str, str]]:
    """Yield each entity's topic and announcement; an empty one takes an entity away that the settings switched off."""
    if not settings.discovery_topic:
        return
    for component, key, about in _entities(settings):
        place = f"{settings.discovery_topic}/{component}/{_node(settings)}/{key}/config"
        yield place, "" if about is None else json.dumps({**_common(settings, key), **about})


def _node(settings: MqttSettings) -> str:
    """Return this kiosk's name among all devices of the broker."""
    return f"{settings.topic.replace('/', '_')}_{settings.device_id}"


def _common(settings: MqttSettings, key: str) -> dict[str, Any]:
    return {
        "unique_id": f"{_node(settings)}_{key}",
        "object_id": f"{settings.device_id}_{key}",
        "availability_topic": topic(settings, "availability"),
        "device": {
            "identifiers": [_node(settings)],
            "name": settings.device_id,
            "manufacturer": "face-kiosk",
            "model": "Face verification kiosk",
            "sw_version": __version__,
        },
    }


def _entities(settings: MqttSettings) -> Iterator[tuple[str, str, dict[str, Any] | None]]:
    """Yield component, key and what is particular to it; None: not with these settings."""
    state = topic(settings, "state")

    def shown(name: str, field: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "state_topic": state, "value_template": f"{{{{ value_json.{field} }}}}", **more}

    def told(name: str, field: str, **more: Any) -> dict[str, Any]:
        return shown(name, field, **more) | {"value_template": f"{{{{ 'ON' if value_json.{field} else 'OFF' }}}}"}

    lock = shown("Lock", "lock", state_locked="LOCKED", state_unlocked="UNLOCKED")
    yield (
        "lock",
        "lock",
        {**lock, "command_topic": topic(settings, "lock/set"), "payload_unlock": RELEASE.decode(), "optimistic": False}
        if settings.may_release
        else None,
    )
    # Home Assistant knows no lock without a command: where none is taken, the same state is a sensor.
    unlocked = told("Lock", "is_unlocked", device_class="lock")
    yield "binary_sensor", "unlocked", None if settings.may_release else unlocked
    yield (
        "binary_sensor",
        "contact",
        {
            **told("Door contact", "is_open", device_class="door"),
            # without a contact the state is not known, and an entity that said "closed" would be believed
            "value_template": "{{ None if value_json.is_open is none else 'ON' if value_json.is_open else 'OFF' }}",
        },
    )
    yield "binary_sensor", "alarm", told("Door alarm", "is_alarm", device_class="safety")
    yield "binary_sensor", "lockdown", told("Locked down", "is_locked_down", icon="mdi:lock-alert")
    yield "binary_sensor", "armed", told("Lets people in", "is_armed", icon="mdi:door-sliding")
    yield "sensor", "status", shown("Status", "status", json_attributes_topic=state, icon="mdi:information-outline")
    yield "sensor", "people", shown("People enrolled", "people", state_class="measurement", icon="mdi:account-group")
    yield (
        "sensor",
        "decided",
        shown("Decisions since the start", "decided", state_class="total_increasing", icon="mdi:counter"),
    )
    yield (
        "sensor",
        "attack_detection",
        shown("Detection of attacks", "attack_detection", entity_category="diagnostic", icon="mdi:shield-account"),
    )
    for key, name, unit, kind in (
        ("waiting", "Waiting to be sent", None, None),
        ("disk_free_mb", "Disk free", "MB", "data_size"),
        ("memory_mb", "Memory", "MB", "data_size"),
        ("uptime_s", "Running for", "s", "duration"),
        ("dropped", "Messages dropped", None, None),
    ):
        more = {"unit_of_measurement": unit, "device_class": kind} if unit else {}
        yield "sensor", key, shown(name, key, entity_category="diagnostic", **more)
    yield (
        "event",
        "decision",
        {
            "name": "Decision",
            "state_topic": topic(settings, "decision"),
            "event_types": list(EVENTS),
            "icon": "mdi:face-recognition",
        },
    )
    picture = {"name": "Camera", "image_topic": topic(settings, "still"), "content_type": "image/jpeg"}
    yield "image", "camera", picture if settings.publish_still else None


def state_message(health: Health, *, level: str, dropped: int) -> str:
    """Return what the entities read: JSON.

    Args:
        health: how the kiosk is.
        level: of the detection of presentation attacks.
        dropped: messages that the broker did not take in time.
    """
    figures, door = health.figures, health.figures.get("door")
    where = door["state"] if door else "unknown"
    reasons = [state.condition for state in health.states if state.leaves != "open"]
    status = "armed" if health.is_armed else f"closed: {', '.join(reasons)}" if reasons else "closed"
    return json.dumps(
        {
            "lock": None if door is None else "UNLOCKED" if door["is_unlocked"] else "LOCKED",
            "is_unlocked": bool(door and door["is_unlocked"]),
            "is_open": None if where == "unknown" else where != "closed",
            "is_alarm": where in {"forced_open", "door_open_too_long"},
            "door": where,
            "is_armed": health.is_armed,
            "is_locked_down": any(state.condition == Condition.LOCKDOWN.value for state in health.states),
            "mode": health.mode,
            "status": status[:MOST_SENTENCE],
            "reasons": [{"condition": one.condition, "sentence": one.sentence} for one in health.states],
            "people": _number(figures.get("gallery"), "people"),
            "decided": figures.get("decided"),
            "attack_detection": level,
            "waiting": _number(figures.get("outbox"), "waiting"),
            "disk_free_mb": figures.get("disk_free_mb"),
            "memory_mb": figures.get("memory_mb"),
            "uptime_s": figures.get("uptime_s"),
            "version": figures.get("version"),
            "dropped": dropped,
        }
    )


def _number(figures: Any, name: str) -> Any:
    return figures.get(name) if isinstance(figures, Mapping) else None


def decision_message(decision: Mapping[str, Any], *, with_person: bool) -> str:
    """Return a decision as an event of Home Assistant: JSON; without name and number unless `with_person`.

    Args:
        decision: as `PublishedDecision.as_dict` has it.
        with_person: whether the settings let the person be named.

    >>> from kiosk.entrance.news import PublishedDecision
    >>> told = PublishedDecision("a", "identification", "Approved", 91.0, (), False, 5.0, 7, "Person A", True).as_dict()
    >>> decision_message(told, with_person=False)
    '{"event_type": "granted", "request_id": "a", "kind": "identification", "score": 91.0, "opened": true, "at": 5.0}'
    """
    event = GRANTED if decision["opened"] else str(decision["status"]).lower().replace(" ", "_")
    said = {
        "event_type": event if event in EVENTS else "refused",
        **{name: decision[name] for name in ("request_id", "kind", "score", "opened", "at")},
    }
    if with_person:
        said |= {"session_number": decision["session_number"], "name": decision["name"]}
    return json.dumps(said)
