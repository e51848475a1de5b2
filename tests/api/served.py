"""What the tests of the API share: a real server with the real models on a loopback port, and a kiosk to ask."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from kiosk.api import app
from kiosk.decoding.confinement import Limits
from kiosk.decoding.decoder import Decoder
from kiosk.device.device import Device
from kiosk.device.documents import reader_of
from kiosk.networks.detection import Detection
from kiosk.networks.documents import ZoneNetwork
from kiosk.networks.inference import read_pack
from kiosk.recognition.cues import CueLimits
from kiosk.recognition.pipeline import Recogniser
from kiosk.settings.config import Config
from kiosk.store.accounts import Account, Accounts, Role
from kiosk.store.directory import initialise
from kiosk.store.vault import Cipher
from kiosk.testing.fakes import ManualClock
from kiosk.testing.scripted_kiosk import ScriptedKiosk
from tests.conftest import GOLDEN, MODELS, networks
from tests.patience import LIMIT_S, PROCESS_S, until
from tests.recognition.remembered import remembered

NOW = 1_800_000_000.0
PASSWORD = "correct horse battery"
A1, A2, B1, C1 = (
    (GOLDEN / name).read_bytes() for name in ("person_a_1.jpg", "person_a_2.jpg", "person_b_1.jpg", "person_c_1.jpg")
)
QUICK = {"n": 16, "r": 8, "p": 1}  # scrypt's; what a password costs is shown in test_access.py
SCREEN_TOKEN = "of-the-kiosks-own-screen"
TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak no TLS: each would read all certificate authorities anew, which costs more than its calls."""


class LentDecoder(Decoder):
    """A decoder that goes on when a kiosk ends: its process costs more than all the pictures of a test."""

    def close(self) -> None:
        """Be there for the next kiosk; the processes end with this one."""


@functools.cache
def decoder() -> Decoder:
    return LentDecoder(Limits(wall_s=LIMIT_S))


@functools.cache
def recogniser() -> Recogniser:
    """Return the networks; what they said of a photograph that one test sent they say to the next at once."""
    return remembered(networks())


@functools.cache
def zones() -> ZoneNetwork:
    return ZoneNetwork(lambda: read_pack(MODELS))


@functools.cache
def detection() -> Detection:
    return Detection(lambda: read_pack(MODELS), recogniser().detect, CueLimits())


@dataclass
class Served:
    """A server under test."""

    url: str
    device: Device
    application: app.Application
    server: app.Server
    monotonic: ManualClock
    wall: ManualClock
    kiosk: Any  # a ScriptedKiosk, or None where there is no door
    keys: dict[str, str] = field(repr=False)
    accounts: dict[str, Account]

    @property
    def screen_url(self) -> str:
        """The address by which a browser becomes the kiosk's screen."""
        return f"{self.url}/kiosk?screen={SCREEN_TOKEN}"

    def screen(self) -> httpx.Client:
        """Return a client with the cookie of the kiosk's screen."""
        return self.client(cookies={"kiosk_screen": SCREEN_TOKEN})

    def client(self, role: str | None = None, **options: Any) -> httpx.Client:
        """Return a client with the key of a role, or without one."""
        headers = {"x-api-key": self.keys[role]} if role else {}
        options = {"verify": TRUSTS_NOBODY, "timeout": PROCESS_S, "trust_env": False, **options}
        return httpx.Client(base_url=self.url, headers=headers, **options)

    def call(self, method: str, path: str, role: str | None = None, **options: Any) -> httpx.Response:
        with self.client(role) as client:
            return client.request(method, path, **options)

    @contextmanager
    def signed_in(self) -> Iterator[tuple[httpx.Client, dict[str, str]]]:
        """Give a client with an admin's cookie, and the header that changes want."""
        with self.client() as client:
            session = client.post("/device/session", json={"name": "Person C", "password": PASSWORD}).json()
            yield client, {"X-Kiosk-CSRF": session["csrf"]}


@contextmanager
def serving(
    directory: Path,
    *,
    config: Config | None = None,
    api_settings: Mapping[str, Any] | None = None,
    server_settings: Mapping[str, float] | None = None,
    with_desk: bool = True,
    with_documents: bool = False,
    with_accounts: bool = True,
    zone_network: ZoneNetwork | None = None,
    **more: Any,
) -> Iterator[Served]:
    """Serve from a fresh store; the clocks stand until a test moves them. Sessions read documents where asked to.

    Without accounts nobody owns the kiosk yet.
    """
    wall, monotonic = ManualClock(NOW), ManualClock()
    config = config or Config()
    generous = {"port": 0, "writes_per_minute": 100_000, "reads_per_minute": 100_000, **(api_settings or {})}
    settings = replace(config.api, **generous)
    config = replace(config, api=settings)
    store = initialise(directory, now=wall, cipher=Cipher.AES_256_GCM)
    kiosk = ScriptedKiosk(wall) if with_desk else None
    more.setdefault("detector", detection())
    with Device(recogniser(), store, config, now=wall, decoder=decoder(), zones=zone_network or zones()) as device:
        if with_documents:
            more["read_document"] = reader_of(device)
        accounts = Accounts(store, now=wall, scrypt=QUICK)
        application = app.build(
            device, accounts=accounts, kiosk=kiosk, screen_token=SCREEN_TOKEN, now=wall, monotonic=monotonic, **more
        )
        known = application.context.access.accounts
        made = {role.word: known.create_key(role.word, role) for role in Role if with_accounts}
        people = {word: account for word, (account, _) in made.items()}
        if with_accounts:
            people["person"] = known.create_operator("Person C", Role.ADMIN, PASSWORD)
        server = app.Server(application, settings, **(server_settings or {}))
        server.start()
        try:
            yield Served(
                server.address,
                device,
                application,
                server,
                monotonic,
                wall,
                kiosk,
                {word: text for word, (_, text) in made.items()},
                people,
            )
        finally:
            application.close()
            server.close()
            jobs = application.context.jobs._jobs
            # A thread that ended later would disturb whichever test comes next.
            until(lambda: not server.is_alive and all(job.state != "running" for job in jobs.values()), PROCESS_S)


def match_files(user: bytes = A1, reference: bytes = A2) -> dict[str, tuple[str, bytes]]:
    return {"user_image": ("a.jpg", user), "ref_image": ("b.jpg", reference)}
