"""Secrets of cloud, broker and panel: of systemd's credentials, else sealed in the store; never in argv or log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiosk.errors import ConfigError
from kiosk.settings.network import is_proxy

if TYPE_CHECKING:
    from pathlib import Path

    from kiosk.store.store import Store

API_KEY = "didit_api_key"
WEBHOOK_SECRET = "webhook_secret"  # noqa: S105  its name
PROXY = "cloud_proxy"  # URL with name and password
MQTT_PASSWORD = "mqtt_password"  # noqa: S105  its name
OSDP_KEY = "osdp_key"  # hexadecimal digits
ABIS_PASSWORD = "abis_password"  # noqa: S105  its name
ABIS_SECRET = "abis_secret"  # noqa: S105  its name
MOST_CHARACTERS = 4096


class Credentials:
    """The secrets of one kiosk. Safe in several threads."""

    def __init__(self, store: Store, directory: Path | None = None) -> None:
        """Take the store, and `$CREDENTIALS_DIRECTORY` where systemd names one."""
        self._store = store
        self._directory = directory

    def __repr__(self) -> str:
        return "Credentials()"

    def read(self, name: str) -> str | None:
        """Return a secret; None where there is none.

        Raises:
            ConfigError: systemd's file cannot be read or holds no text.
            StoreError: the sealed one was changed or damaged.
        """
        if self._directory is not None and (path := self._directory / name).exists():
            try:
                return checked(name, path.read_text(encoding="ascii"))
            except (OSError, UnicodeError):
                raise ConfigError(f"the credential {name} cannot be read, or is no text") from None
        return self._store.secrets.read(name)

    def write(self, name: str, text: str) -> None:
        """Seal a secret into the store, in the place of an older one.

        Raises:
            ConfigError: it is none, or systemd hands another in, which would go before it.
        """
        text = checked(name, text)
        if self._directory is not None and (self._directory / name).exists():
            raise ConfigError(f"systemd hands in {name}; change it there")
        self._store.secrets.write(name, text)


def checked(name: str, text: str) -> str:
    """Return a secret without blanks around it.

    Raises:
        ConfigError: it is empty, too long, has a character that no header can carry, or is no proxy's address.
    """
    text = text.strip()
    if not text or len(text) > MOST_CHARACTERS or not all(" " < sign <= "~" for sign in text):
        raise ConfigError(f"{name}: want 1 to {MOST_CHARACTERS} visible characters without blanks")
    if name == PROXY and not is_proxy(text):
        raise ConfigError(f"{name}: want http://name:password@host:port")
    return text
