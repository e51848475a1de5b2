"""The sections of kiosk.toml about the door's neighbours.

[mqtt] is what a house's automation hears and may ask, [syslog] what a site's log server is sent, [osdp] the line to an
access control panel, or to readers, [wiegand] a reader on two wires, [factors] what is asked in addition to the face.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from kiosk.errors import ConfigError
from kiosk.rules.addresses import is_host, is_loopback
from kiosk.rules.factors import read_factors
from kiosk.setting import setting

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
LAST_ADDRESS = 126  # of OSDP; 127 is everybody's
_TOPIC = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """[mqtt]: what Home Assistant, or any client of the broker, hears of this kiosk; by default nothing."""

    host: str = setting("", "Name or address of the MQTT broker; empty: nothing is published.")
    port: int = setting(1883, "Port of the broker; with tls usually 8883.", low=1, high=65535)
    tls: bool = setting(False, "Speak TLS with the broker, and check its certificate and name.")
    ca_file: str = setting("", "PEM file of certificates to trust instead of the system's.")
    certificate: str = setting("", "PEM file of this kiosk's client certificate, where the broker asks for one.")
    certificate_key: str = setting("", "PEM file of that certificate's key.")
    user: str = setting("", "User at the broker; `kiosk mqtt password` keeps the password, sealed.")
    device_id: str = setting("kiosk", "Name of this kiosk in topics; letters, digits, _ and -, one for each kiosk.")
    topic: str = setting("face_kiosk", "Topic below which this kiosk publishes.")
    discovery_topic: str = setting("homeassistant", "Topic of Home Assistant's discovery; empty: none is published.")
    publish_person: bool = setting(False, "Publish the name and number of the person decided about.")
    publish_still: bool = setting(False, "Publish the newest camera picture once in still_every_s; never retained.")
    still_every_s: float = setting(10.0, "How often that picture is published.", low=1.0, high=3600.0, unit="s")
    may_release: bool = setting(False, "Let the broker's clients release the door; every release is in the log.")
    release_account: str = setting("home-assistant", "Name under which the log keeps such a release.")

    def __post_init__(self) -> None:
        """Refuse what would publish to the wrong place, or let a stranger release the door."""
        if self.host and not is_host(self.host):
            raise ConfigError(f"[mqtt] host has {self.host!r}; want the name or the address of a machine")
        for name in ("device_id", "release_account"):
            if not _NAME.fullmatch(getattr(self, name)):
                raise ConfigError(f"[mqtt] {name} has {getattr(self, name)!r}; want 1 to 64 letters, digits, _ and -")
        for name in ("topic", "discovery_topic"):
            text = getattr(self, name)
            if not _TOPIC.fullmatch(text) and (text or name == "topic"):
                raise ConfigError(f"[mqtt] {name} has {text!r}; want levels of letters, digits, _ and - between /")
        if (self.ca_file or self.certificate) and not self.tls:
            raise ConfigError("[mqtt] ca_file and certificate need tls = true")
        if bool(self.certificate) != bool(self.certificate_key):
            raise ConfigError("[mqtt] certificate and certificate_key belong together; set both or neither")
        if self.may_release and not self.tls and not is_loopback(self.host):
            raise ConfigError(
                "[mqtt] may_release needs tls = true: without TLS anybody on the network can read the password and "
                "release the door"
            )
        if self.may_release and not (self.user or self.certificate):
            raise ConfigError(
                "[mqtt] may_release needs user or certificate: a broker that takes anybody would let anybody in"
            )

    @property
    def is_used(self) -> bool:
        """Whether anything is published."""
        return bool(self.host)


@dataclass(frozen=True, slots=True)
class SyslogSettings:
    """[syslog]: a site's log server, which is sent what happens; by default none is."""

    host: str = setting("", "Name or address of the log server; empty: nothing is sent.")
    port: int = setting(514, "Port of the log server; with TLS usually 6514.", low=1, high=65535)
    protocol: str = setting(
        "udp",
        "How lines are sent; only tls keeps them from being read or changed on the way.",
        choices=("udp", "tcp", "tls"),
    )
    ca_file: str = setting("", "PEM file of certificates to trust instead of the system's, for tls.")
    form: str = setting(
        "rfc5424",
        "Form of a line: facts as structured data, or ArcSight's Common Event Format.",
        choices=("rfc5424", "cef"),
    )
    name: str = setting("", "Name of this kiosk in each line; empty: the machine's.")

    def __post_init__(self) -> None:
        """Refuse a certificate that nothing would check, and a server that there cannot be."""
        if self.host and not is_host(self.host):
            raise ConfigError(f"[syslog] host has {self.host!r}; want the name or the address of a machine")
        if self.ca_file and self.protocol != "tls":
            raise ConfigError('[syslog] ca_file needs protocol = "tls"')

    @property
    def is_used(self) -> bool:
        """Whether anything is sent."""
        return bool(self.host)


@dataclass(frozen=True, slots=True)
class OsdpSettings:
    """[osdp]: a serial line to an access control panel, whose reader this kiosk is, or to readers; by default none."""

    port: str = setting("", "Serial port of the line, for instance /dev/ttyUSB0; empty for none.")
    role: str = setting(
        "reader",
        "What the kiosk is on this line: the reader of a panel that opens the door (reader), or the panel of readers "
        "and keypads (panel).",
        choices=("reader", "panel"),
    )
    baud: int = setting(9600, "Speed of the line.", choices=(9600, 19200, 38400, 57600, 115200, 230400))
    address: int = setting(0, "Address of this kiosk as a reader.", low=0, high=126)
    readers: tuple[str, ...] = setting(
        (), 'Addresses of the readers, for role panel, such as "1"; each has the same key.', may_be_empty=True
    )

    relay: bool = setting(
        False, "Open by the readers' own relay too, for [door] pulse_s; for a strike that is wired to a reader."
    )
    keypad: bool = setting(
        False,
        "After a person's card was told, show the keypad and send what is entered to the panel, which asks for the "
        "PIN; for role reader.",
    )
    duress_input: bool = setting(
        False, "Tell the panel of an entry under duress, silently: input 0 of this reader goes on; for role reader."
    )

    def __post_init__(self) -> None:
        """Refuse addresses that no reader has."""
        for text in self.readers:
            if not (text.isascii() and text.isdigit() and int(text) <= LAST_ADDRESS):
                raise ConfigError(f"[osdp] readers has {text!r}; want addresses from 0 to {LAST_ADDRESS}")
        if len(set(self.addresses)) < len(self.readers):
            raise ConfigError("[osdp] readers: two have the same address")
        if self.is_used and self.role == "panel" and not self.readers:
            raise ConfigError("[osdp] role panel needs the addresses of its readers: set [osdp] readers")

    @property
    def addresses(self) -> tuple[int, ...]:
        """The readers' addresses."""
        return tuple(int(text) for text in self.readers)

    @property
    def is_used(self) -> bool:
        """Whether there is such a line."""
        return bool(self.port)


@dataclass(frozen=True, slots=True)
class WiegandSettings:
    """[wiegand]: a card reader on two lines of a GPIO chip; by default none. OSDP is the safer line."""

    chip: str = setting("", "GPIO device of the lines, for instance /dev/gpiochip0; empty for none.")
    d0: int = setting(-1, "Line of D0, pulled down for a zero; 3.3 V at the chip.", low=-1, high=1023, unit="offset")
    d1: int = setting(-1, "Line of D1, pulled down for a one.", low=-1, high=1023, unit="offset")

    def __post_init__(self) -> None:
        """Refuse a wiring that cannot be."""
        if bool(self.chip) != (self.d0 >= 0) or bool(self.chip) != (self.d1 >= 0):
            raise ConfigError("[wiegand]: want chip, d0 and d1, or none of them")
        if self.chip and self.d0 == self.d1:
            raise ConfigError("[wiegand]: d0 and d1 are two lines")

    @property
    def is_used(self) -> bool:
        """Whether there is such a reader."""
        return bool(self.chip)


@dataclass(frozen=True, slots=True)
class FactorSettings:
    """[factors]: what is asked in addition to the face, and when; by default nothing."""

    pin: tuple[str, ...] = setting(
        (),
        "Hours in which a PIN is asked for, as [schedule] week has them; after a plan's name, for its people alone.",
        may_be_empty=True,
    )
    card: tuple[str, ...] = setting(
        (), "Hours in which the person's own card is asked for, at a reader of [osdp].", may_be_empty=True
    )
    entry_s: float = setting(
        30.0, "How long a person has for it, standing in front of the camera.", low=5.0, high=120.0, unit="s"
    )
    tries: int = setting(3, "Wrong PINs or cards until the person is declined.", low=1, high=10, unit="tries")
    duress_url: str = setting(
        "",
        "Where an entry under duress is reported, silently: https://…, signed with the webhook secret; empty: nowhere.",
    )

    def __post_init__(self) -> None:
        """Refuse lines that cannot be read."""
        try:
            read_factors("UTC", pin=self.pin, card=self.card)
        except ValueError as error:
            raise ConfigError(f"[factors]: {error}") from None
        if self.duress_url:
            parts = urlsplit(self.duress_url)
            is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
            if not is_safe or not parts.hostname or "@" in parts.netloc:
                raise ConfigError(
                    "[factors] duress_url: want https://HOST/... without name and password (http on this device alone)"
                )
