"""Facts about keys, operators, sessions, lock-out and the limits of a minute."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from kiosk.api.access import MOST_ADDRESSES, PROXIED, Access, Limiter, Sender, is_csrf_right, sender_of
from kiosk.api.totp import new_secret
from kiosk.errors import ConfigError, RefusedError, StoreError
from kiosk.settings.network import ApiSettings
from kiosk.store.accounts import Accounts, Role
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import read_keys
from kiosk.store.upkeep import rekey
from tests.api.served import QUICK
from tests.store.stored import Clock, files_with, raw

PASSWORD = "correct horse battery"
HERE = Sender("192.0.2.7")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def store(directory, clock):
    with initialise(directory, now=clock) as store:
        yield store


@pytest.fixture
def accounts(store, clock):
    return Accounts(store, now=clock, scrypt=QUICK)


@pytest.fixture
def access(accounts, clock):
    return Access(accounts, replace(ApiSettings(), wrong_keys=3, lockout_s=60.0), now=clock, monotonic=clock)


# ---- keys


def test_a_key_names_its_role(accounts):
    account, text = accounts.create_key("front desk", Role.OPERATOR)

    found = accounts.by_key(text)
    assert (found.id, found.role, found.name) == (account.id, Role.OPERATOR, "front desk")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"), id="its last letter differs"),
        pytest.param(lambda text: text[:-1], id="one letter short"),
        pytest.param(lambda text: text + "A", id="one letter long"),
        pytest.param(lambda text: text.replace("kiosk", "other", 1), id="another prefix"),
        pytest.param(lambda _: "", id="empty"),
        pytest.param(lambda _: "kiosk__", id="no id"),
        pytest.param(lambda text: text.rpartition("_")[0], id="no secret"),
        pytest.param(lambda _: "kiosk_' OR 1=1 --_x", id="SQL"),
        pytest.param(lambda _: "kiösk_ü_ü", id="not ASCII"),
    ],
)
def test_anything_but_the_whole_key_is_no_key(accounts, change):
    _, text = accounts.create_key("k", Role.DEVICE)

    assert accounts.by_key(change(text)) is None


def test_a_key_ends_at_its_expiry_to_the_second(accounts, clock):
    _, text = accounts.create_key("k", Role.DEVICE, expires_at=clock.now + 10)

    clock.advance(9.9)
    assert accounts.by_key(text) is not None
    clock.advance(0.1)
    assert accounts.by_key(text) is None


def test_a_key_cannot_be_made_for_the_past(accounts, clock):
    with pytest.raises(ConfigError, match="future"):
        accounts.create_key("k", Role.DEVICE, expires_at=clock.now)


def test_a_revoked_key_opens_nothing_and_cannot_be_revoked_again(accounts):
    account, text = accounts.create_key("k", Role.DEVICE)

    accounts.revoke(account.id)

    assert accounts.by_key(text) is None
    assert accounts.all("key")[0].revoked_at is not None
    with pytest.raises(RefusedError, match="no valid key"):
        accounts.revoke(account.id)


def test_neither_key_nor_password_nor_name_lies_readable_on_the_disk(accounts, directory, store):
    _, text = accounts.create_key("Front-Desk-Name", Role.DEVICE)
    accounts.create_operator("Person-Quite-Unique", Role.ADMIN, PASSWORD)
    store.database.clear_wal()

    for needle in (text, text.split("_", 2)[2], "Front-Desk-Name", "Person-Quite-Unique", PASSWORD):
        assert files_with(directory, needle.encode()) == []


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param("role = 'admin'", id="a higher role"),
        pytest.param("expires_at = NULL", id="no expiry"),
        pytest.param("revoked_at = NULL", id="not revoked"),
    ],
)
def test_a_row_edited_in_the_file_opens_nothing(accounts, directory, clock, edit):
    account, text = accounts.create_key("k", Role.DEVICE, expires_at=clock.now + 10)
    accounts.revoke(account.id)
    with raw(directory) as connection:
        connection.execute(f"UPDATE access SET {edit}")

    with pytest.raises(StoreError, match="changed or damaged"):
        accounts.by_key(text)


def test_each_change_is_recorded_with_ids_and_no_names(accounts, store):
    account, text = accounts.create_key("Secret Name", Role.ADMIN, actor="cli")
    accounts.revoke(account.id, actor="cli")

    entries = [one.entry for one in store.decisions(DecisionFilter(kinds=(Kind.KEY,))).decisions]
    assert [entry.details["act"] for entry in entries] == ["revoked", "created"]
    assert {entry.details["id"] for entry in entries} == {account.id}
    assert "Secret Name" not in "".join(store.export_log("json"))
    assert text not in "".join(store.export_log("json"))


def test_keys_and_operators_live_on_under_a_new_master_key(accounts, store, directory, clock):
    _, text = accounts.create_key("k", Role.DEVICE)
    accounts.create_operator("Person C", Role.ADMIN, PASSWORD)
    gone = accounts.create_operator("Person B", Role.OPERATOR, PASSWORD)
    accounts.revoke(gone.id)
    store.close()

    rekey.rekey(directory, read_keys(directory), now=clock)

    with open_store(directory, read_keys(directory), now=clock) as again:
        renewed = Accounts(again, now=clock, scrypt=QUICK)
        assert renewed.by_key(text) is not None
        assert renewed.by_password("Person C", PASSWORD) is not None
        assert renewed.by_password("Person B", PASSWORD) is None
        renewed.create_operator("Person B", Role.OPERATOR, PASSWORD)


# ---- operators


def test_an_operator_is_known_by_name_in_any_case_and_password(accounts):
    accounts.create_operator(" Person C ", Role.OPERATOR, PASSWORD)

    assert accounts.by_password("person c", PASSWORD).role is Role.OPERATOR
    assert accounts.by_password("Person C", PASSWORD.upper()) is None
    assert accounts.by_password("Person D", PASSWORD) is None


def test_a_password_costs_what_it_should_unless_it_is_told_otherwise(store, clock, accounts):
    costly = Accounts(store, now=clock)

    costly.create_operator("Person C", Role.OPERATOR, PASSWORD)

    assert costly.by_password("Person C", PASSWORD) is not None
    assert accounts.by_password("Person C", PASSWORD) is None  # by another cost it is another hash


def test_two_operators_cannot_share_a_name_until_one_is_removed(accounts):
    accounts.create_operator("Person C", Role.OPERATOR, PASSWORD)

    with pytest.raises(RefusedError, match="of this name"):
        accounts.create_operator("PERSON C", Role.ADMIN, PASSWORD)
    accounts.remove_operator("Person C")
    assert accounts.create_operator("Person C", Role.ADMIN, PASSWORD).role is Role.ADMIN


def at_once(*calls):
    """Make calls at the same time, each in a thread of its own; return what came, the refusals too."""
    begin = Barrier(len(calls))

    def make(call):
        begin.wait()
        try:
            return call()
        except (RefusedError, StoreError) as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(make, calls))


def test_of_two_administrators_who_are_removed_at_once_one_stays(accounts):
    keeper = accounts.create_operator("Person 0", Role.ADMIN, PASSWORD)
    for number in range(1, 9):
        other = accounts.create_operator(f"Person {number}", Role.ADMIN, PASSWORD)

        came = at_once(lambda: accounts.remove(keeper.id), lambda: accounts.remove(other.id))  # noqa: B023  made here

        assert sum(isinstance(one, RefusedError) for one in came) == 1
        (keeper,) = (one for one in accounts.all("operator") if one.revoked_at is None)


def test_an_operators_account_is_not_ended_as_a_key(accounts):
    account = accounts.create_operator("Person C", Role.ADMIN, PASSWORD)

    with pytest.raises(RefusedError, match="no valid key"):
        accounts.revoke(account.id, kind="key")
    assert accounts.get(account.id).revoked_at is None


def test_of_many_who_take_one_name_at_once_one_gets_it_and_the_others_are_told_why(accounts):
    came = at_once(*[lambda: accounts.create_operator("Person C", Role.OPERATOR, PASSWORD)] * 6)

    assert sorted(type(one).__name__ for one in came) == ["Account", *["RefusedError"] * 5]
    assert all("of this name" in str(one) for one in came if isinstance(one, RefusedError))


@pytest.mark.parametrize(
    ("name", "password", "role"),
    [
        pytest.param("", PASSWORD, Role.ADMIN, id="no name"),
        pytest.param("a\nb", PASSWORD, Role.ADMIN, id="a name of two lines"),
        pytest.param("x" * 101, PASSWORD, Role.ADMIN, id="a long name"),
        pytest.param("Person C", "123456789", Role.ADMIN, id="a short password"),
        pytest.param("Person C", "x" * 1025, Role.ADMIN, id="an endless password"),
        pytest.param("Person C", PASSWORD, Role.DEVICE, id="the role of a program"),
    ],
)
def test_an_account_that_will_not_do_is_refused(accounts, name, password, role):
    with pytest.raises(ConfigError, match=r"want|role"):
        accounts.create_operator(name, role, password)
    assert accounts.all("operator") == ()


# ---- sessions


def test_a_session_ends_after_its_hours(access, accounts, clock):
    accounts.create_operator("Person C", Role.ADMIN, PASSWORD)
    token, caller = access.open_session(access.by_password("Person C", PASSWORD, HERE))

    clock.advance(12 * 3600 - 1)
    assert access.by_session(token).csrf == caller.csrf
    clock.advance(1)
    assert access.by_session(token) is None


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(lambda accounts, _: accounts.remove_operator("Person C"), id="the account is removed"),
        pytest.param(lambda accounts, _: accounts.set_password("Person C", PASSWORD + "!"), id="a new password"),
        pytest.param(lambda _, access: access.close_session(access.token), id="signed out"),
    ],
)
def test_a_session_ends_with_what_opened_it(accounts, clock, ending):
    class Signed(Access):
        token = ""

    access = Signed(accounts, ApiSettings(), now=clock, monotonic=clock)
    accounts.create_operator("Person C", Role.ADMIN, PASSWORD)
    caller = access.by_password("Person C", PASSWORD, HERE)
    assert caller is not None
    access.token, _ = access.open_session(caller)
    assert access.by_session(access.token) is not None

    ending(accounts, access)

    assert access.by_session(access.token) is None


def test_who_was_known_by_the_old_password_is_not_signed_in_by_the_time_there_is_another(access, accounts):
    accounts.create_operator("Person C", Role.OPERATOR, PASSWORD)
    caller = access.by_password("Person C", PASSWORD, HERE)
    accounts.set_password("Person C", PASSWORD[::-1])

    token, _ = access.open_session(caller)

    assert access.by_session(token) is None


def test_a_session_opened_by_a_key_does_not_outlive_the_key(access, accounts, clock):
    _, text = accounts.create_key("k", Role.ADMIN, expires_at=clock.now + 60)

    token, caller = access.open_session(access.by_key(text, HERE))

    assert caller.expires_at == clock.now + 60
    clock.advance(60)
    assert access.by_session(token) is None


def test_only_the_sessions_own_token_is_right(access, accounts):
    _, text = accounts.create_key("k", Role.ADMIN)
    by_key = access.by_key(text, HERE)
    _, one = access.open_session(by_key)
    _, other = access.open_session(by_key)

    assert is_csrf_right(one, one.csrf)
    assert not is_csrf_right(one, other.csrf)
    assert not is_csrf_right(one, "")
    assert not is_csrf_right(by_key, "")


# ---- lock-out


def test_wrong_keys_lock_their_address_out_and_no_other(access, clock):
    for _ in range(2):
        access.by_key("kiosk_no_no", HERE)
        clock.advance(1)
    assert access.locked_s(HERE) == 0.0

    access.by_key("kiosk_no_no", HERE)

    assert access.locked_s(HERE) == 60.0
    assert access.locked_s(Sender("192.0.2.8")) == 0.0
    clock.advance(60)
    assert access.locked_s(HERE) == 0.0


def test_strangers_push_no_accounts_count_of_wrong_codes_out(access, accounts):
    person = accounts.create_operator("Person C", Role.ADMIN, PASSWORD)
    person = accounts.set_totp(person.id, new_secret())
    for _ in range(3):
        access.by_code(person, "none", HERE)
    for number in range(MOST_ADDRESSES + 1):
        access.count_wrong(Sender(f"2001:db8:{number:x}::1"))

    assert access.code_locked_s(person) > 0.0


def test_a_right_key_between_wrong_ones_forgives_nothing(access, accounts):
    _, text = accounts.create_key("k", Role.DEVICE)

    for key in ("no", "no", text, "no"):
        access.by_key(key, HERE)

    assert access.locked_s(HERE) > 0.0


def test_wrong_passwords_count_with_wrong_keys(access):
    access.by_key("no", HERE)
    access.by_password("Person C", "no", HERE)
    access.by_password("Person C", "no", HERE)

    assert access.locked_s(HERE) > 0.0


def test_clients_of_one_proxy_are_locked_out_one_by_one(access):
    for _ in range(3):
        access.by_key("no", Sender("198.51.100.66", proxy="127.0.0.1"))

    assert access.locked_s(Sender("198.51.100.66", proxy="127.0.0.1")) > 0.0
    assert access.locked_s(Sender("203.0.113.7", proxy="127.0.0.1")) == 0.0
    assert access.locked_s(Sender("127.0.0.1")) == 0.0


def test_who_writes_another_address_into_each_call_is_locked_out_with_the_proxy(access):
    for last in range(3 * PROXIED):
        access.by_password("Person C", "no", Sender(f"198.51.100.{last}", proxy="127.0.0.1"))

    assert access.locked_s(Sender("203.0.113.7", proxy="127.0.0.1")) > 0.0
    assert access.locked_s(Sender("127.0.0.1")) == 0.0


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "proxies", "address"),
    [
        pytest.param("127.0.0.1", "", (), "127.0.0.1", id="no header"),
        pytest.param("127.0.0.1", "198.51.100.66", (), "198.51.100.66", id="a proxy on this machine"),
        pytest.param("::1", "2001:db8::7", (), "2001:db8::7", id="IPv6"),
        pytest.param("192.0.2.1", "198.51.100.66", (), "192.0.2.1", id="a stranger's header counts for nothing"),
        pytest.param("192.0.2.1", "198.51.100.66", ("192.0.2.0/24",), "198.51.100.66", id="a proxy of the settings"),
        pytest.param("127.0.0.1", "203.0.113.9, 198.51.100.66", (), "198.51.100.66", id="what a client wrote itself"),
        pytest.param("127.0.0.1", "198.51.100.66, 192.0.2.2", ("192.0.2.2",), "198.51.100.66", id="two proxies"),
        pytest.param("127.0.0.1", "nonsense", (), "127.0.0.1", id="no address"),
        pytest.param("127.0.0.1", "unknown, 198.51.100.66:4711", (), "198.51.100.66", id="with a port"),
        pytest.param("127.0.0.1", "[2001:db8::7]:4711", (), "2001:db8::7", id="IPv6 with a port"),
    ],
)
def test_a_call_counts_with_its_client(peer, forwarded_for, proxies, address):
    assert sender_of(peer, forwarded_for, proxies).address == address


def test_a_whole_ipv6_network_is_one_sender(access):
    for last in range(3):
        access.by_key("no", Sender(f"2001:db8::{last}"))

    assert access.locked_s(Sender("2001:db8::ffff")) > 0.0
    assert access.locked_s(Sender("2001:db8:1::1")) == 0.0


# ---- limits


def test_a_limit_counts_down_and_begins_again_after_a_minute(clock):
    limiter = Limiter(2, now=clock, monotonic=clock)

    first, second, third = (limiter.take("a") for _ in range(3))

    assert (first.remaining, second.remaining, third.remaining) == (1, 0, 0)
    assert (first.wait_s, second.wait_s, third.wait_s) == (0.0, 0.0, 60.0)
    assert third.headers["Retry-After"] == "60"
    assert third.headers["X-RateLimit-Reset"] == str(int(clock.now + 60))
    clock.advance(60)
    assert limiter.take("a").remaining == 1


def test_one_callers_limit_is_not_anothers(clock):
    limiter = Limiter(1, now=clock, monotonic=clock)
    limiter.take("a")

    assert limiter.take("a").wait_s > 0.0
    assert limiter.take("b").wait_s == 0.0


def test_the_tables_of_callers_stay_bounded(clock):
    limiter = Limiter(1, now=clock, monotonic=clock)

    for number in range(10_000):
        limiter.take(str(number))

    assert len(limiter._windows._rows) == 4096


def test_of_a_header_with_thousands_of_proxies_only_the_last_are_read():
    sender = sender_of("127.0.0.1", "198.51.100.66," + "127.0.0.1," * 20_000 + "127.0.0.1", ())

    assert sender == Sender("127.0.0.1", "127.0.0.1")
