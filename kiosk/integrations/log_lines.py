"""What a site's log server is sent: a line of RFC 5424 for each decision, act of the door and state; pure.

Sources: RFC 5424 (header and structured data), ArcSight's "Common Event Format" version 0 (extension and escaping).
Nobody is named in a line: a request_id leads to the decision in the kiosk's own log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from kiosk import __version__
from kiosk.entrance.news import News, Topic

AUTHPRIV = 10  # facility of RFC 5424: security and authorisation
NOTICE, WARNING, ALERT = 5, 4, 1  # severities of RFC 5424
CEF_SEVERITY = {NOTICE: 3, WARNING: 6, ALERT: 9}
ENTERPRISE = "kiosk@32473"  # the number that RFC 5612 keeps for documents: this project has none of its own
LONGEST_NAME = 48  # of host and application in RFC 5424, kept short
DOOR_ALARMS = frozenset({"forced_open", "door_open_too_long", "door_fault", "pulse_cut", "fire_release"})


@dataclass(frozen=True, slots=True)
class Event:
    """One line to be sent."""

    at: float  # seconds UTC
    kind: str  # "decision", "door", "state", "duress"
    severity: int  # of RFC 5424
    sentence: str
    facts: Mapping[str, str]


def event_of(news: News) -> Event | None:
    """Return what a piece of news is to a log server; None where it is for screens alone."""
    data = news.data
    if news.topic is Topic.DECISION:
        severity = ALERT if data["is_alarm"] else NOTICE if data["opened"] else WARNING
        names = ("request_id", "kind", "status", "score", "opened")
        facts = {name: _text(data[name]) for name in names} | {"reasons": ",".join(data["reasons"])}
        opened = "opened" if data["opened"] else "not opened"
        return Event(data["at"], "decision", severity, f"{data['kind']} {data['status']}, door {opened}", facts)
    if news.topic is Topic.DOOR:
        severity = ALERT if data["what"] in DOOR_ALARMS else NOTICE
        facts = {name: _text(data[name]) for name in ("what", "state", "decision")}
        return Event(data["at"], "door", severity, f"door {data['what']}", facts)
    if news.topic is Topic.DURESS:
        facts = {"request_id": _text(data["request_id"])}
        return Event(data["at"], "duress", ALERT, "PIN entered under duress", facts)
    if news.topic is Topic.HEALTH:
        states = ",".join(state["condition"] for state in data["states"])
        facts = {"armed": _text(data["is_armed"]), "states": states}
        sentence = "lets people in" if data["is_armed"] else f"closed: {states or 'starting'}"
        return Event(news.at, "state", NOTICE if data["is_armed"] else WARNING, sentence, facts)
    return None


def rfc5424(event: Event, *, host: str, form: str) -> bytes:
    r"""Return the line, without a frame or an end.

    Args:
        event: what happened.
        host: this kiosk's name.
        form: "rfc5424", facts as structured data, or "cef", the message in ArcSight's form.

    >>> event = Event(0.0, "door", ALERT, "door forced_open", {"what": "forced]open"})
    >>> rfc5424(event, host="front", form="rfc5424")
    b'<81>1 1970-01-01T00:00:00.000Z front kiosk - door [kiosk@32473 what="forced\\]open"] door forced_open'
    """
    stamp = datetime.fromtimestamp(event.at, tz=timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    header = f"<{AUTHPRIV * 8 + event.severity}>1 {stamp} {_name(host)} kiosk - {event.kind}"
    if form == "cef":
        return f"{header} - {cef(event)}".encode()
    facts = "".join(f' {name}="{_quoted(text)}"' for name, text in event.facts.items())
    return f"{header} [{ENTERPRISE}{facts}] {event.sentence}".encode()


def cef(event: Event) -> str:
    r"""Return the event in the Common Event Format.

    >>> cef(Event(1.5, "door", ALERT, "door forced|open", {"what": "a=b", "state": ""})).split("|", 4)[4]
    'door|door forced\\|open|9|rt=1500 what=a\\=b'
    """
    facts = {"rt": str(round(event.at * 1000)), **event.facts}
    extension = " ".join(f"{_key(name)}={_value(text)}" for name, text in facts.items() if text)
    sentence = event.sentence.replace("\\", "\\\\").replace("|", "\\|")
    severity = CEF_SEVERITY[event.severity]
    return f"CEF:0|face-kiosk|kiosk|{__version__}|{event.kind}|{sentence}|{severity}|{extension}"


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    return _visible(text).replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _value(text: str) -> str:
    return _visible(text).replace("\\", "\\\\").replace("=", "\\=")


def _visible(text: str) -> str:
    """Return the text without what could end a line, or begin one."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _key(name: str) -> str:
    return name.replace("_", "")  # CEF's keys are letters and digits


def _name(host: str) -> str:
    return "".join(sign for sign in host if "!" <= sign <= "~")[:LONGEST_NAME] or "-"
