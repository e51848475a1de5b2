"""What both ends of an OSDP line share: the library, the key, and a channel over a serial port.

The library is libosdp. PyPI has another package, `osdp`, which writes into the same folder: whichever was installed
last is what Python finds, so a kiosk that sees both refuses to start with either.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib import metadata
from typing import Any

from kiosk.errors import ConfigError
from kiosk.integrations.serial_line import SerialLine

KEY_BYTES = 16
VENDOR, MODEL, SERIAL, VERSION = 0x0A0017, 1, 1, 1  # what the reader says of itself; the vendor is a local address
PUBLIC_KEY = bytes(range(0x30, 0x40))
"""SCBK-D, which the standard publishes: whoever has it reads and writes the line. Never a kiosk's key."""


def load_library(version_of: Callable[[str], str] = metadata.version) -> Any:
    """Return libosdp's module, silenced: it writes to the standard error output otherwise.

    Args:
        version_of: of an installed distribution; raises `PackageNotFoundError` where there is none.

    Raises:
        ConfigError: it is missing, or PyPI's `osdp` is installed beside it.
    """
    try:
        beside = version_of("osdp")
    except metadata.PackageNotFoundError:
        pass
    else:
        raise ConfigError(
            f"the package osdp {beside} is installed and overwrites libosdp, which [osdp] needs; "
            "pip uninstall osdp && pip install --force-reinstall 'face-kiosk[osdp]'"
        )
    try:
        library: Any = importlib.import_module("osdp")  # only where a port is named
    except ImportError:
        raise ConfigError("[osdp] port is set and libosdp is missing; pip install 'face-kiosk[osdp]'") from None
    library_system: Any = importlib.import_module("osdp_sys")
    library_system.set_loglevel(library.LogLevel.Emergency)
    return library


def read_key(text: str | None) -> bytes:
    """Return the key of the secure channel.

    Raises:
        ConfigError: there is none, or it is the public one.
    """
    if text is None:
        raise ConfigError("[osdp] port is set, and no key of the secure channel is kept; see `kiosk osdp key`")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"a key of OSDP's secure channel has {2 * KEY_BYTES} hexadecimal digits")
    if key == PUBLIC_KEY or len(set(key)) == 1:
        raise ConfigError("this key is public (SCBK-D) or guessed at once; `kiosk osdp key --new` makes another")
    return key


def make_channel(library: Any, line: SerialLine) -> Any:
    """Return libosdp's view of a port."""

    class Channel(library.Channel):  # type: ignore[misc]  # its base is known only once it is loaded
        """Reads and writes the port."""

        def read(self, max_bytes: int) -> bytes:
            return line.read(max_bytes)

        def write(self, buf: bytes) -> int:
            return line.write(bytes(buf))

        def flush(self) -> None:
            """Do nothing: the library flushes before each command, and a reply would be lost."""

    return Channel()


def make_reader(library: Any, address: int, key: bytes | None, line: SerialLine) -> Any:
    """Return libosdp's context of a reader; without a key it takes SCBK-D, which all know, until it is set one."""
    abilities = library.PDCapabilities(
        [
            (library.Capability.CardDataFormat, 1, 1),
            (library.Capability.LEDControl, 4, 1),
            (library.Capability.AudibleControl, 2, 1),
            (library.Capability.CommunicationSecurity, 1, 1),
            (library.Capability.CheckCharacter, 1, 1),
            (library.Capability.ContactStatusMonitoring, 1, 1),
        ]
    )
    # nothing but the handshake goes in clear
    flags = [library.LibFlag.InstallMode if key is None else library.LibFlag.EnforceSecure]
    about = library.PDInfo(
        address,
        make_channel(library, line),
        scbk=key,
        flags=flags,
        name="kiosk",
        id=library.PdId(VERSION, MODEL, VENDOR, SERIAL, VERSION),
    )
    return library.PeripheralDevice(about, abilities, log_level=library.LogLevel.Emergency).ctx
