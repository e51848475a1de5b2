"""The sections of kiosk.toml about networks: [api] is what others may ask here, [cloud] what is asked of Didit.

[fleet] is what the owner's kiosks share.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from dataclasses import dataclass
from urllib.parse import urlsplit

from kiosk.errors import ConfigError
from kiosk.setting import setting
from kiosk.settings.languages import LANGUAGES

_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """[api]: the local HTTP interface and its pages."""

    enabled: bool = setting(True, "Serve the API and the pages while the kiosk runs.")
    bind: str = setting("127.0.0.1", "Address to listen at; any other than loopback needs TLS and a key.")
    port: int = setting(8080, "Port to listen at.", low=1, high=65535)
    tls_certificate: str = setting("", "PEM file of the certificate, with its chain.")
    tls_key: str = setting("", "PEM file of the certificate's key.")
    writes_per_minute: int = setting(300, "Calls that change or decide, per minute and key.", low=1, high=100_000)
    reads_per_minute: int = setting(600, "Calls that only read, per minute and key.", low=1, high=100_000)
    queue: int = setting(
        8,
        "Calls with photographs that may wait for the recogniser; further ones are refused with 503.",
        low=1,
        high=1000,
    )
    body_timeout_s: float = setting(
        20.0, "Time a caller has for sending the whole of a call.", low=1.0, high=600.0, unit="s"
    )
    wrong_keys: int = setting(10, "Wrong keys or passwords after which an address is locked out.", low=1, high=1000)
    lockout_s: float = setting(900.0, "How long it stays locked out.", low=1.0, high=86400.0, unit="s")
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "Addresses or networks of reverse proxies whose X-Forwarded-For is believed; one on this device always is.",
        may_be_empty=True,
    )
    session_h: float = setting(12.0, "How long an operator stays signed in.", low=0.1, high=168.0, unit="h")
    language: str = setting("en", "Language of the pages until a visitor chooses another.", choices=LANGUAGES)
    allowed_origins: tuple[str, ...] = setting(
        (),
        "Origins of other sites, such as https://app.example, whose pages may call from a browser with a key; cookies "
        "are never taken from there.",
        may_be_empty=True,
    )

    def __post_init__(self) -> None:
        """A proxy is an address or a network, never a name; an origin is one site."""
        for origin in self.allowed_origins:
            if not _ORIGIN.fullmatch(origin):
                raise ConfigError(
                    f"allowed_origins has {origin!r}; want https://host or http://host:port, each site by itself, "
                    "without a path and without *"
                )
        for text in self.trusted_proxies:
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError:
                raise ConfigError(
                    f"[api] trusted_proxies has {text!r}; want an address such as 192.0.2.7 or a network such as "
                    "192.0.2.0/24"
                ) from None


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """[cloud]: what may leave the device, and what is asked of Didit; by default nothing."""

    base_url: str = setting("https://verification.didit.me", "Didit's API.")
    account_url: str = setting("https://apx.didit.me", "Didit's accounts.")
    policy: str = setting(
        "none",
        "What is sent of each saved decision: nothing, its summary to your webhook, or the call itself to Didit.",
        choices=("none", "summary", "replay"),
    )
    webhook_url: str = setting("", "Where summaries go, signed with the webhook secret.")
    fallback: bool = setting(
        False,
        "Ask Didit where the device cannot decide: networks that fail, a result in review, an unknown person. For the "
        "door and the API; the commands `kiosk match` and `kiosk search` never ask.",
    )
    fallback_s: float = setting(3.0, "Time for Didit's answer in such a case.", low=0.2, high=30.0, unit="s")
    second_opinion: bool = setting(False, "Ask Didit later about decisions in review.")
    lists: tuple[str, ...] = setting((), "UUIDs of Didit face lists to block here.", may_be_empty=True)
    lists_every_s: float = setting(3600.0, "How often they are pulled.", low=10.0, high=604800.0, unit="s")
    writes_per_minute: int = setting(60, "Most billed calls to Didit per minute.", low=1, high=300)
    probe_every_s: float = setting(
        60.0, "How often Didit is asked whether it answers, while nothing is sent.", low=1.0, high=86400.0, unit="s"
    )
    api_consent: str = setting(
        "call",
        "Photographs of an API call leave when its metadata says consent = true (call), or always, as you hold the "
        "consents yourself (owner).",
        choices=("call", "owner"),
    )
    consent_versions: tuple[str, ...] = setting(
        (),
        "Names of the consent texts, as in [enrolment] consent_version, that agree to photographs going to Didit.",
        may_be_empty=True,
    )
    keep_days: float = setting(
        90.0, "How long something waits to be sent before it is dropped.", low=1.0, high=3650.0, unit="days"
    )
    outbox_mb: float = setting(
        1024.0, "Room for photographs that wait; beyond it they are not kept.", low=1.0, high=1e6, unit="MB"
    )
    proxy: str = setting(
        "", "Proxy for calls to the cloud, such as http://proxy:3128; with a password, in the credential cloud_proxy."
    )
    ca_file: str = setting("", "PEM file of certificates to trust instead of the system's.")
    send_reviews: bool = setting(
        False, "Send operators' reviews, with their reasons, to Didit: of calls that were sent there."
    )
    block_list: str = setting(
        "",
        "UUID of the Didit face list to which whoever is blocked here is added, where the person agreed to "
        "photographs leaving (consent_versions) and one is kept; empty for none.",
    )

    @property
    def is_used(self) -> bool:
        """Whether anything is ever sent, asked or pulled; by default nothing is."""
        return self.is_sending or self.fallback or bool(self.lists)

    @property
    def is_sending(self) -> bool:
        """Whether anything is ever put into the outbox."""
        return self.policy != "none" or self.second_opinion or self.send_reviews or bool(self.block_list)

    def __post_init__(self) -> None:
        """Refuse a policy without what it needs."""
        if self.policy == "summary" and not self.webhook_url:
            raise ConfigError("[cloud]: policy summary needs a webhook_url")
        for name in ("base_url", "account_url", "webhook_url"):
            if (url := getattr(self, name)) and not _is_safe(url):
                raise ConfigError(
                    f"[cloud] {name}: want https://host, without name or password (http:// only to this machine)"
                )
        if self.proxy and (not is_proxy(self.proxy) or "@" in self.proxy):
            raise ConfigError(
                "[cloud] proxy: want http://host:port; a password belongs into the credential cloud_proxy"
            )
        for name, entry in (*(("lists", one) for one in self.lists), ("block_list", self.block_list)):
            try:
                uuid.UUID(entry or str(uuid.NAMESPACE_DNS))
            except ValueError:
                raise ConfigError(f"[cloud] {name}: want UUIDs, got {entry!r}") from None


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """[fleet]: the owner's other kiosks, once this one has joined them with `kiosk fleet join`."""

    enabled: bool = setting(True, "Be in touch with the fleet that this kiosk belongs to, where it belongs to one.")
    site_hubs: tuple[str, ...] = setting(
        (),
        "Hubs of this site, such as tls://192.0.2.7:4222, beside those that the fleet names: kiosks of one site go on "
        "sharing while the way out is down.",
        may_be_empty=True,
    )
    decisions: bool = setting(
        False, "Send each decision, sealed, to the log at the fleet's hub that the owner reads with kiosk fleet log."
    )

    def __post_init__(self) -> None:
        """A hub is reached by TLS, at a host."""
        for url in self.site_hubs:
            parts = urlsplit(url)
            if parts.scheme != "tls" or not parts.hostname or parts.username:
                raise ConfigError(f"[fleet] site_hubs has {url!r}; want an address such as tls://192.0.2.7:4222")


def is_proxy(url: str) -> bool:
    """Say whether that is the address of a proxy, with or without name and password.

    >>> is_proxy("http://name:password@proxy:3128"), is_proxy("proxy:3128"), is_proxy("http://[::1")
    (True, False, False)
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return bool(host) and parts.scheme in {"http", "https"}


def _is_safe(url: str) -> bool:
    """Say whether a key may be sent there: encrypted, or on this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    is_here = host in {"127.0.0.1", "::1", "localhost"}
    return bool(host) and not parts.username and (parts.scheme == "https" or (parts.scheme == "http" and is_here))
