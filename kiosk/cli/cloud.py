"""Commands about the cloud: account, key, status, queue, export, and the stand-in for demonstrations."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from kiosk import assembly
from kiosk.cli.main import REFUSED
from kiosk.cli.terminal import print_code
from kiosk.cloud import export as exporting
from kiosk.cloud.client import BusyError, CallRefusedError, Cloud, KeyRefusedError, NoCreditsError
from kiosk.cloud.credentials import API_KEY, WEBHOOK_SECRET, Credentials
from kiosk.cloud.sync import Sync, connect
from kiosk.cloud.view import CloudView
from kiosk.cloud.wire import NoAnswerError
from kiosk.device.device import Device
from kiosk.errors import CloudError, ConfigError
from kiosk.settings.config import Config
from kiosk.store.outbox import OutboxState
from kiosk.store.remote_lists import Lists
from kiosk.store.store import Store

PROGRESS_S = 1.0  # between two lines about how far sending is
MOST_TOLD = 10  # rows that wait, named one by one
CONNECTION = {
    "closed": "up",
    "open": "down, tried again later",
    "half_open": "being tried",
    "stopped": "stopped until the key or the balance is put right",
}
"""Words for what the sender notes of its breaker."""


def cloud_register(chosen: argparse.Namespace) -> None:
    """Open an account."""
    password = read_secret("A password for the new account")
    with _online(chosen) as (cloud, _):
        _saying("the registration was refused", lambda: cloud.register(chosen.email, password))
    _say(chosen, {"email": chosen.email}, f"A code is on its way to {chosen.email}: `kiosk cloud verify` takes it.")


def cloud_verify(chosen: argparse.Namespace) -> None:
    """Confirm the address; keep the key."""
    code = chosen.code.strip().upper()
    with _online(chosen) as (cloud, credentials):
        try:
            key = cloud.verify(chosen.email, code)
        except (CallRefusedError, KeyRefusedError) as error:
            is_old = "expired" in str(error).lower()
            what = "the code has expired; `kiosk cloud register` sends another" if is_old else "the code is wrong"
            raise CloudError(f"{what} ({error})") from None
        credentials.write(API_KEY, key)
    _say(chosen, {"email": chosen.email}, "The account is open; its API key is kept sealed on this device.")


def cloud_login(chosen: argparse.Namespace) -> None:
    """Fetch the key of an account."""
    password = read_secret("Password")
    with _online(chosen) as (cloud, credentials):
        try:
            key = cloud.log_in(chosen.email, password)
        except (CallRefusedError, KeyRefusedError) as error:
            raise CloudError(f"the e-mail address or the password is wrong ({error})") from None
        credentials.write(API_KEY, key)
    _say(chosen, {"email": chosen.email}, "Logged in; the account's API key is kept sealed on this device.")


def cloud_key(chosen: argparse.Namespace) -> None:
    """Keep an API key that was made in the console."""
    keep_secret(chosen, API_KEY, "API key")


def cloud_secret(chosen: argparse.Namespace) -> None:
    """Keep the secret that webhooks are signed with."""
    keep_secret(chosen, WEBHOOK_SECRET, "Webhook secret")


def cloud_balance(chosen: argparse.Namespace) -> None:
    """Print the account's credits."""
    with _online(chosen) as (cloud, _):
        balance = _saying("the balance cannot be read", cloud.balance)
    _say(chosen, {"balance": str(balance)}, f"{balance.normalize():f} dollars")


def cloud_top_up(chosen: argparse.Namespace) -> None:
    """Print where a person can pay."""
    with _online(chosen) as (cloud, _):
        link = _saying("the top-up was refused", lambda: cloud.top_up(chosen.amount))
    if chosen.json:
        print(json.dumps({"checkout_url": link}))
        return
    print_code(link)
    print(f"Pay {chosen.amount} dollars here: {link}")


def cloud_status(chosen: argparse.Namespace) -> int:
    """Print how it is."""
    config = assembly.load_settings(chosen)
    with assembly.open_store(chosen, config, create=False) as store:
        credentials = Credentials(store, assembly.credentials_directory())
        status = CloudView(store, config.cloud, credentials, now=time.time).status()
        status["has_key"] = credentials.read(API_KEY) is not None
    if chosen.json:
        print(json.dumps(status, indent=2))
        return REFUSED if status["alarm"] else 0
    counts = ", ".join(f"{count} {state}" for state, count in status["counts"].items() if count) or "nothing"
    print(f"Sent from this device: {status['policy']}; API key: {'kept' if status['has_key'] else 'none'}")
    connection = CONNECTION[status["breaker"]] if config.cloud.is_used else "not used"
    print(f"Outbox: {counts}; connection: {connection}")
    if status["oldest_waiting_s"] is not None:
        print(f"The oldest has waited for {status['oldest_waiting_s'] / 3600:.1f} h")
    for name, label in (("last_success", "Last success"), ("last_error", "Last error"), ("clock_skew_s", "Clock skew")):
        if status[name] is not None:
            print(f"{label}: {status[name]}{' s' if name == 'clock_skew_s' else ''}")
    for one in status["lists"]:
        print(f"List {one['list']}: {one['entries']} entries, {one['unusable']} unusable, as of {one['complete_at']}")
    for one in status["held_lists"]:
        print(
            f"List {one['list']} lost {one['vanished']} of its entries on {one['since']}. Nobody was unblocked. "
            f"If that is right, confirm it: kiosk cloud confirm-list {one['list']}"
        )
    if status["alarm"]:
        print(f"ALARM: {status['alarm']}")
    return REFUSED if status["alarm"] else 0


def cloud_confirm_list(chosen: argparse.Namespace) -> None:
    """Confirm that a list lost most of its entries."""
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        held = Lists(store).confirm(chosen.list)
    sentence = f"confirmed: the next reading of list {held.list} unblocks {held.vanished} entries"
    _say(chosen, {"list": held.list, "vanished": held.vanished}, sentence)


def cloud_outbox(chosen: argparse.Namespace) -> None:
    """List rows of the outbox."""
    config = assembly.load_settings(chosen)
    with assembly.open_store(chosen, config, create=False) as store:
        view = CloudView(store, config.cloud, Credentials(store, assembly.credentials_directory()), now=time.time)
        rows = view.rows(chosen.which, chosen.limit, chosen.offset)
    if chosen.json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        print("No row of the outbox is in this state." if chosen.which else "The outbox is empty.")
    for row in rows:
        about = row["remote_request_id"] or row["last_error"] or ""
        print(f"{row['id']:>8}  {row['state']:<10} {row['policy']:<8} {row['request_id']}  {row['attempts']}x  {about}")


def cloud_retry(chosen: argparse.Namespace) -> None:
    """Put a parked row back into the queue."""
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        store.outbox.release(chosen.row, time.time())
    _say(chosen, {"row": chosen.row}, f"Row {chosen.row} waits again.")


def cloud_send(chosen: argparse.Namespace) -> int:
    """Send what waits, once, and end."""
    config = assembly.load_settings(chosen)
    if not config.cloud.is_sending:
        raise ConfigError("[cloud] policy is none: nothing leaves the device")
    with assembly.open_store(chosen, config, create=False) as store:
        sync = Sync(
            _without_models(store, config),
            replace(config.cloud, lists=()),
            assembly.credentials_directory(),
            now=time.time,
        )
        end = time.monotonic() + chosen.within
        parked = -store.outbox.counts()[OutboxState.REJECTED]

        progress = _Progress(chosen)

        def is_over() -> bool:
            counts = store.outbox.counts()
            progress.tell(counts[OutboxState.WAITING] + counts[OutboxState.SENDING])
            is_empty = not counts[OutboxState.WAITING] + counts[OutboxState.SENDING]
            return is_empty or sync.alarm is not None or time.monotonic() > end

        try:
            sync.run_once(is_over)
        finally:
            sync.close()
        counts, alarm = store.outbox.counts(), sync.alarm
        waiting = [] if chosen.json else _waiting_for(store)
    left, parked = counts[OutboxState.WAITING] + counts[OutboxState.SENDING], parked + counts[OutboxState.REJECTED]
    said = [alarm] if alarm else []
    if left:
        said.append(f"{left} rows still wait.")
    if parked:
        said.append(f"{parked} were refused and are parked; `kiosk cloud outbox --which rejected` says why.")
    _say(chosen, {"left": left, "parked": parked, "alarm": alarm}, " ".join(said) or "Everything is sent.")
    for sentence in waiting:
        print(f"  {sentence}")
    return REFUSED if left or parked else 0


def cloud_export(chosen: argparse.Namespace) -> None:
    """Write what is not sent to a stick."""
    passphrase = read_secret("A passphrase for the file", is_new=True)
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        path, count = exporting.export(store, chosen.to, passphrase, now=time.time())
    _say(chosen, {"file": str(path), "rows": count}, f"{count} rows in {path}; they stay in the queue as well.")


def cloud_decrypt(chosen: argparse.Namespace) -> None:
    """Read an exported file into a folder."""
    passphrase = read_secret("The file's passphrase")
    count = 0
    chosen.to.mkdir(parents=True, exist_ok=True)
    for count, row in enumerate(exporting.read(chosen.file, passphrase), 1):
        for name, content in row.pop("photographs").items():
            (chosen.to / f"{count:06}-{name}").write_bytes(content)
        (chosen.to / f"{count:06}.json").write_text(json.dumps(row, indent=2), encoding="utf-8")
    _say(chosen, {"rows": count}, f"{count} rows in {chosen.to}")


def fake_cloud(chosen: argparse.Namespace) -> None:
    """Stand in for Didit on this machine."""
    from kiosk.testing.fake_cloud import FakeCloud  # only for this command  # noqa: PLC0415

    with FakeCloud(generation=chosen.generation, port=chosen.port, credits_=chosen.credits) as fake:
        for fault in chosen.fault or ():
            name, _, times = fault.partition(":")
            try:
                fake.fail(name, times=int(times or 1))
            except ValueError as error:
                raise ConfigError(f"--fault {fault}: {error}") from None
        print(f"A stand-in for Didit at {fake.url}; API key {fake.api_key}", flush=True)
        print(f"To have a kiosk use it: export KIOSK_CLOUD_BASE_URL={fake.url} KIOSK_CLOUD_ACCOUNT_URL={fake.url}")
        print(
            f"GET {fake.url}/fake/state shows what it holds; POST /fake/faults makes it fail. Ctrl-C ends it.",
            flush=True,
        )
        try:
            while True:
                time.sleep(3600.0)  # its threads serve
        except KeyboardInterrupt:
            print("ended")


# ---- parts


class _Progress:
    """Tells somebody who waits at a terminal how much is sent."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self._is_told = not chosen.json
        self._first: int | None = None
        self._last = -1
        self._told_at = float("-inf")

    def tell(self, left: int) -> None:
        """Say how much is left, at most once a second and only where it changed."""
        if self._first is None:
            self._first = left
        now = time.monotonic()
        if self._is_told and self._first and left != self._last and now - self._told_at >= PROGRESS_S:
            print(f"{self._first - left} of {self._first} sent", file=sys.stderr, flush=True)
            self._last, self._told_at = left, now


def _waiting_for(store: Store) -> list[str]:
    """Say of each row that waits what it waits for; of many the first."""
    behind, breaker = store.outbox.behind(), store.notes.read().get("breaker")
    rows = [
        row
        for state in (OutboxState.SENDING, OutboxState.WAITING)
        for row in store.outbox.rows(state, limit=MOST_TOLD + 1, offset=0)
    ]
    said = []
    for row in rows[:MOST_TOLD]:
        if row.id in behind:
            why = f"for row {behind[row.id]}, which is about the same person"
        elif row.attempts:
            moment = time.strftime("%H:%M:%S", time.localtime(row.next_attempt_at))
            why = f"until {moment}, tried {row.attempts}x: {row.last_error or 'no answer yet'}"
        elif breaker not in {None, "closed"}:
            why = f"for the connection: {CONNECTION[breaker]}"
        else:
            why = "for its turn"
        said.append(f"row {row.id} ({row.policy}) waits {why}")
    if len(rows) > MOST_TOLD:
        said.append("`kiosk cloud outbox --which waiting` lists the others.")
    return said


@contextmanager
def _online(chosen: argparse.Namespace) -> Iterator[tuple[Cloud, Credentials]]:
    config = assembly.load_settings(chosen)
    with assembly.open_store(chosen, config) as store:
        credentials = Credentials(store, assembly.credentials_directory())
        wire, cloud = connect(config.cloud, credentials, now=time.time)
        try:
            yield cloud, credentials
        except NoAnswerError as error:
            raise CloudError(f"Didit cannot be asked: {error}. Is this device on the network?") from None
        except BusyError as error:
            raise CloudError(f"Didit is busy ({error}); try again in {error.retry_after_s:.0f} s") from None
        except KeyRefusedError as error:
            mend = "" if "`kiosk cloud" in str(error) else "; `kiosk cloud login` or `kiosk cloud key` gives another"
            raise CloudError(f"Didit answers no call without a valid API key: {error}{mend}") from None
        except NoCreditsError as error:
            raise CloudError(f"the account has no credits ({error}); see `kiosk cloud top-up`") from None
        finally:
            wire.close()


def _saying(what: str, call: Any) -> Any:
    try:
        return call()
    except CallRefusedError as error:
        raise CloudError(f"{what} ({error})") from None


def keep_secret(chosen: argparse.Namespace, name: str, label: str) -> None:
    """Read a secret, and keep it sealed."""
    secret = read_secret(label)
    with assembly.open_store(chosen, assembly.load_settings(chosen)) as store:
        Credentials(store, assembly.credentials_directory()).write(name, secret)
    _say(chosen, {"kept": name}, f"{label} kept, sealed.")


def read_secret(label: str, *, is_new: bool = False) -> str:
    """Read a secret from a terminal without showing it, or from a pipe; never from the command line."""
    if not sys.stdin.isatty():
        text = sys.stdin.readline(8192).rstrip("\r\n")
    else:
        text = getpass.getpass(f"{label}: ")
        if is_new and getpass.getpass("Once more: ") != text:
            raise ConfigError("the two entries differ; nothing was stored")
    if not text:
        raise ConfigError(f"{label}: nothing was given; type it, or pipe it in")
    return text


def _say(chosen: argparse.Namespace, facts: dict[str, Any], sentence: str) -> None:
    print(json.dumps(facts) if chosen.json else sentence)


def _without_models(store: Store, config: Config) -> Device:
    """Return a device that only lends its store: sending wants no networks."""
    networks: Any = None  # no list is pulled here, so nothing is embedded
    return Device(networks, store, config, now=time.time)
