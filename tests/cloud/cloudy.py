"""What the tests of the cloud share: a kiosk without models, decisions to send, a sender with short waits."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kiosk.cloud.connection import Pace
from kiosk.cloud.credentials import API_KEY, Credentials
from kiosk.cloud.policy import Policy
from kiosk.cloud.sync import Sync
from kiosk.device.device import Device
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.settings.config import Config
from kiosk.settings.network import CloudSettings
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NewDecision
from kiosk.store.directory import DATABASE_NAME, initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.outbox import OutboxState
from kiosk.testing.fake_cloud import FakeCloud
from kiosk.testing.networks import fixed_recogniser
from kiosk.types import Template
from tests.patience import LIMIT_S

QUICK = Pace(
    first_s=0.02,
    longest_s=0.2,
    look_after_s=(0.02, 0.05, 0.1),
    stopped_s=0.2,
    recover_s=0.02,
    again_s=0.05,
    between_s=0.0,
)
PACK = read_pack(standard_pack())


def settings(fake: FakeCloud, **more) -> CloudSettings:
    wanted = {"policy": "replay", "api_consent": "owner", "writes_per_minute": 300, "probe_every_s": 1.0}
    return CloudSettings(base_url=fake.url, account_url=fake.url, **{**wanted, **more})


def device(directory: Path, chosen: CloudSettings, *, now: Callable[[], float] = time.time) -> Device:
    if not (directory / DATABASE_NAME).exists():
        initialise(directory, now=now).close()
    vector = np.eye(1, 128, dtype=np.float32)[0]
    template = Template(vector, PACK.template_model)
    networks = fixed_recogniser(template, PACK.scale)
    store = open_store(directory, read_keys(directory), now=now)
    return Device(networks, store, Config(cloud=chosen), now=now, outgoing=Policy(store, chosen, now=now))


def sync(kiosk: Device, fake: FakeCloud, *, now: Callable[[], float] = time.time, pace: Pace = QUICK, **more) -> Sync:
    if fake.keys:
        Credentials(kiosk.store).write(API_KEY, fake.api_key)
    return Sync(kiosk, kiosk.config.cloud, now=now, rng=random.Random(0), pace=pace, **more)


def decide(kiosk: Device, number: int = 0, *, vendor_data: str | None = None, status: str = "Declined", **more) -> str:
    request_id = str(uuid.uuid4())
    decision = NewDecision(
        Kind.FACE_MATCH, status, score=12, thresholds={"decline": 30}, vendor_data=vendor_data, request_id=request_id,
        **more,
    )  # fmt: skip
    kiosk.save(decision, {"user_image": f"user {number}".encode(), "ref_image": b"reference"})
    return request_id


def drain(syncing: Sync, *, within_s: float = LIMIT_S) -> None:
    """Send in this thread until nothing waits."""
    outbox, end = syncing.sender._store.outbox, time.monotonic() + within_s
    syncing.run_once(
        lambda: (
            not any(outbox.counts()[s] for s in (OutboxState.WAITING, OutboxState.SENDING)) or time.monotonic() > end
        )
    )


def sent(fake: FakeCloud) -> list[str]:
    """The request_ids that the cloud has, oldest first."""
    return [str((one.metadata or {}).get("request_id")) for one in fake.sessions]
