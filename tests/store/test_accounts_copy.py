"""Facts about the copy of the accounts: it knows whom the database knows, and nobody who was revoked."""

from __future__ import annotations

import json
import os

import pytest

from kiosk.errors import KeyMissingError, StoreError
from kiosk.store.accounts import Accounts, CopiedAccounts, Role
from kiosk.store.accounts_copy import NAME, AccountsCopy
from kiosk.store.directory import initialise
from kiosk.store.keys import new_key, read_keys

NOW = 1_800_000_000.0
PASSWORD = "a long password"


@pytest.fixture
def store(tmp_path):
    with initialise(tmp_path / "state", now=lambda: NOW) as made:
        yield made


def copied(store, keys=None):
    return CopiedAccounts(AccountsCopy(store.directory, keys or read_keys(store.directory)), now=lambda: NOW)


def test_the_copy_knows_a_key_and_an_operator_from_the_moment_they_are_made(store):
    accounts = Accounts(store, now=lambda: NOW)
    made, key = accounts.create_key("guard", Role.OPERATOR)
    accounts.create_operator("Person A", Role.ADMIN, PASSWORD)

    assert copied(store).by_key(key).id == made.id
    assert copied(store).by_password("person a", PASSWORD).role is Role.ADMIN
    assert copied(store).by_key(key[:-1] + "-") is None
    assert copied(store).by_password("Person A", "another password") is None
    assert copied(store).by_password("Person B", PASSWORD) is None


def test_whoever_was_revoked_or_has_another_password_is_unknown_to_the_copy_at_once(store):
    accounts = Accounts(store, now=lambda: NOW)
    made, key = accounts.create_key("guard", Role.OPERATOR)
    accounts.create_operator("Person A", Role.ADMIN, PASSWORD)
    accounts.revoke(made.id)
    accounts.set_password("Person A", "quite another one")

    assert copied(store).by_key(key) is None
    assert copied(store).by_password("Person A", PASSWORD) is None
    assert copied(store).by_password("Person A", "quite another one") is not None


def test_a_copy_that_cannot_be_written_is_removed(store, monkeypatch):
    accounts = Accounts(store, now=lambda: NOW)
    made, key = accounts.create_key("guard", Role.OPERATOR)
    writing = os.fdopen

    def full(handle, *_, **__):
        os.close(handle)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    accounts.revoke(made.id)
    monkeypatch.setattr(os, "fdopen", writing)

    assert not (store.directory / NAME).exists()
    with pytest.raises(StoreError):
        copied(store).by_key(key)


@pytest.mark.parametrize("edit", ["role", "drop", "junk"])
def test_a_copy_that_was_changed_knows_nobody(store, edit):
    accounts = Accounts(store, now=lambda: NOW)
    _, key = accounts.create_key("guard", Role.DEVICE)
    path = store.directory / NAME
    body = json.loads(path.read_text())
    if edit == "role":
        body["rows"][0][2] = "admin"
    elif edit == "drop":
        body["rows"] = []
    path.write_text("{" if edit == "junk" else json.dumps(body))

    with pytest.raises(StoreError):
        copied(store).by_key(key)


def test_without_the_key_of_the_store_the_copy_tells_nobody_anything(store):
    accounts = Accounts(store, now=lambda: NOW)
    accounts.create_operator("Person A", Role.ADMIN, PASSWORD)

    with pytest.raises(KeyMissingError):
        copied(store, (new_key(),)).by_password("Person A", PASSWORD)
    assert "Person A" not in (store.directory / NAME).read_text()
    assert (store.directory / NAME).stat().st_mode & 0o077 == 0


def test_a_running_kiosk_whose_database_is_gone_goes_by_the_copy(store):
    accounts = Accounts(store, now=lambda: NOW)
    made, key = accounts.create_key("guard", Role.OPERATOR)
    store.close()
    store.database.path.write_bytes(b"\xff" * 8192)

    found = Accounts(store, now=lambda: NOW).by_key(key)
    assert found is not None
    assert found.id == made.id
