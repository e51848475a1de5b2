"""Commands of the local API: serve, screen, setup, key, operator."""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import signal
import sys
import time
from dataclasses import replace

from kiosk import assembly
from kiosk.api.access import about_account
from kiosk.api.screen_token import screen_token
from kiosk.api.setup_code import VALID_S, address_of, make_code
from kiosk.cli.terminal import print_code
from kiosk.didit import contract
from kiosk.errors import ConfigError, RefusedError
from kiosk.health.ending import end_within
from kiosk.health.outlet import wait_for_no_reader
from kiosk.health.supervisor import Flag
from kiosk.rules.text import shown
from kiosk.store.accounts import Account, Accounts, Role
from kiosk.store.remote_lists import Lists

DAY_S = 86400.0


def serve(chosen: argparse.Namespace) -> None:
    """Serve API and pages without camera and door, until SIGINT or SIGTERM."""
    from kiosk.api import app  # noqa: PLC0415  0.3 s with the next three, which no other command should pay
    from kiosk.cloud.sync import Sync  # noqa: PLC0415  see above
    from kiosk.device.documents import reader_of  # noqa: PLC0415  see above
    from kiosk.device.site import SiteWatch  # noqa: PLC0415  see above

    wait_for_no_reader()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(name)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    sources = assembly.settings_sources(chosen)
    config = assembly.load_settings(chosen)
    given = {"bind": chosen.bind, "port": chosen.port}
    settings = replace(config.api, **{name: value for name, value in given.items() if value is not None})
    clock = assembly.make_clock(config)
    with assembly.open_device(chosen, threads=1, clock=clock) as device:
        device.apply(replace(config, api=settings))
        accounts = Accounts(device.store, now=clock)
        app.check_exposure(settings, accounts, is_claimable=accounts.is_unclaimed())
        sync = Sync(device, config.cloud, assembly.credentials_directory(), now=clock) if config.cloud.is_used else None
        Lists(device.store).keep_only(config.cloud.lists, clock())  # without any nobody would pull, and see to it
        application = app.build(
            device,
            cloud=sync.view if sync is not None else None,
            detector=assembly.make_detection(config, device.recogniser),
            read_document=reader_of(device),
            pass_keys=assembly.pass_keys(device.store),
            sources=sources,
            forgotten=lambda: assembly.scrub_backups(device.store),
            confirm_clock=lambda actor: assembly.confirm_clock(device.store, clock, actor=actor),
            now=clock,
            scale_measured=assembly.scale_measured(config),
        )
        server = app.Server(application, settings)
        stopped = Flag()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        server.start()
        if sync is not None:
            sync.start()
        try:
            print(f"Serving at {server.address}", flush=True)
            site = SiteWatch(device)
            while server.is_alive and not stopped.wait(0.2):
                site.look()
        finally:
            if stopped.is_set():
                end_within()
            device.decoder.close()  # a stranger's picture must not hold up the end
            application.close()
            server.close()
            if sync is not None:
                sync.close()


def screen(chosen: argparse.Namespace) -> None:
    """Print the address by which a browser on this machine becomes the kiosk's screen."""
    settings = assembly.load_settings(chosen).api
    token = screen_token(assembly.state_of(chosen), renew=chosen.renew)
    scheme = "https" if settings.tls_certificate else "http"
    address = f"{scheme}://127.0.0.1:{settings.port}/kiosk?screen={token}"
    print(json.dumps({"address": address}) if chosen.json else address)
    if chosen.renew:
        assembly.note("a running kiosk takes the new token from its next start on")


def setup(chosen: argparse.Namespace) -> None:
    """Make the one-time code by which the first operator makes their account in the page."""
    settings = assembly.load_settings(chosen).api
    now = time.time()
    with assembly.open_store(chosen, assembly.load_settings(chosen)) as store:
        if not Accounts(store, now=time.time).is_unclaimed():
            raise ConfigError("this kiosk has its operators already; another is made with `kiosk operator add`")
        code = make_code(store.directory, now, is_shown=chosen.on_screen)
    page, is_reachable = address_of(settings, settings.port)
    address = f"{page}/#/setup?code={code}"
    if chosen.json:
        print(json.dumps({"code": code, "address": address, "valid_s": VALID_S, "is_reachable": is_reachable}))
        return
    print(f"One-time code, good for {VALID_S / 60:g} minutes: {code}")
    print(f"The first operator opens {address}")
    if is_reachable:
        print("or photographs this with a telephone that is in the same network:")
        print_code(address)
    else:
        assembly.note(
            "only a browser on the device itself can open it. For a telephone, give the kiosk a certificate "
            "(provision.sh --tls) and set [api] bind"
        )


def key_create(chosen: argparse.Namespace) -> None:
    """Make a key; its text is the last line, alone."""
    expires = None if chosen.expires is None else time.time() + chosen.expires * DAY_S
    with assembly.open_store(chosen, assembly.load_settings(chosen)) as store:
        account, text = Accounts(store, now=time.time).create_key(
            chosen.name, Role[chosen.role.upper()], scopes=chosen.scope or (), expires_at=expires, actor="cli"
        )
    if chosen.json:
        print(json.dumps({**_about(account), "key": text}, indent=2))
        return
    scopes = f", scope {', '.join(sorted(account.scopes))}" if account.scopes else ""
    print(f"Key {account.id}, role {account.role.word}{scopes}, {_until(account)}. It is shown this once:")
    print(text)


def key_list(chosen: argparse.Namespace) -> None:
    """List keys."""
    _list(chosen, "key")


def key_revoke(chosen: argparse.Namespace) -> None:
    """End a key."""
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        try:
            account = Accounts(store, now=time.time).revoke(chosen.id, kind="key", actor="cli")
        except RefusedError as error:
            raise RefusedError(f"{error}; `kiosk key list` shows their ids") from None
    print(json.dumps(_about(account), indent=2) if chosen.json else f"{account.id} is revoked")


def operator_add(chosen: argparse.Namespace) -> None:
    """Make an operator's account."""
    with assembly.open_store(chosen, assembly.load_settings(chosen)) as store:
        account = Accounts(store, now=time.time).create_operator(
            chosen.name, Role[chosen.role.upper()], _password(), actor="cli"
        )
    print(
        json.dumps(_about(account), indent=2) if chosen.json else f"{account.name} may sign in as {account.role.word}"
    )


def operator_password(chosen: argparse.Namespace) -> None:
    """Give an operator another password."""
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        accounts = Accounts(store, now=time.time)
        accounts.named(chosen.name)  # before a password is asked for that nobody could have
        account = accounts.set_password(chosen.name, _password(), actor="cli")
        if chosen.drop_second_factor:
            account = accounts.set_totp(account.id, None, actor="cli")
    print(json.dumps(_about(account), indent=2) if chosen.json else f"{account.id} has a new password; sessions ended")


def operator_list(chosen: argparse.Namespace) -> None:
    """List operators."""
    _list(chosen, "operator")


def operator_remove(chosen: argparse.Namespace) -> None:
    """End an operator's account."""
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        account = Accounts(store, now=time.time).remove_operator(chosen.name, actor="cli")
    print(json.dumps(_about(account), indent=2) if chosen.json else f"{account.id} may not sign in any more")


def _password() -> str:
    """Ask for a password, or read a line from a pipe; never an argument, which other users could see."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise ConfigError("the passwords differ; nothing was stored")
    return password


def _list(chosen: argparse.Namespace, kind: str) -> None:
    with assembly.open_store(chosen, assembly.load_settings(chosen), create=False) as store:
        accounts = Accounts(store, now=time.time).all(kind)
    if chosen.json:
        print(json.dumps([_about(account) for account in accounts], indent=2, ensure_ascii=False))
        return
    if not accounts:
        make = "kiosk operator add NAME" if kind == "operator" else "kiosk key create --role device"
        print(f"There is no {kind} yet; `{make}` makes one.")
    for account in accounts:
        print(f"{account.id}  {account.role.word:<8}  {_until(account):<28}  {shown(account.name)}")


def _until(account: Account) -> str:
    if account.revoked_at is not None:
        return f"revoked {contract.timestamp(account.revoked_at)[:19]}Z"
    if account.expires_at is None:
        return "no expiry"
    word = "until" if account.is_good(time.time()) else "expired"
    return f"{word} {contract.timestamp(account.expires_at)[:19]}Z"


def _about(account: Account) -> dict[str, object]:
    revoked_at = None if account.revoked_at is None else contract.timestamp(account.revoked_at)
    return {**about_account(account), "revoked_at": revoked_at}
