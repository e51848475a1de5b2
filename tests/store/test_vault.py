"""Facts about keys and sealing."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from kiosk.errors import KeyMissingError, StoreError
from kiosk.store.durable import open_private
from kiosk.store.keys import KEY_NAME, NEXT_KEY_NAME, Key, new_key, read_key, read_keys
from kiosk.store.vault import SEALED_BYTES, Cipher, InvalidTag, Vault, fastest_cipher, vault_for

SECRET = bytes(range(32))
KEY = Key(SECRET)


@pytest.fixture(params=list(Cipher))
def vault(request: pytest.FixtureRequest) -> Vault:
    return Vault(KEY, request.param)


def test_what_was_sealed_opens_in_its_own_place(vault: Vault) -> None:
    sealed = vault.seal(b"vector", b"reference|1")

    assert vault.open(sealed, b"reference|1") == b"vector"
    assert len(sealed) == len(b"vector") + SEALED_BYTES


def test_a_sealed_value_opens_in_no_other_place(vault: Vault) -> None:
    sealed = vault.seal(b"vector", b"reference|1")

    with pytest.raises(InvalidTag):
        vault.open(sealed, b"reference|2")


def test_every_flipped_bit_of_a_sealed_value_shows(vault: Vault) -> None:
    sealed = vault.seal(b"v", b"row")

    for bit in range(8 * len(sealed)):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidTag):
            vault.open(bytes(damaged), b"row")


def test_sealing_twice_gives_different_bytes(vault: Vault) -> None:
    assert vault.seal(b"name", b"row") != vault.seal(b"name", b"row")


def test_a_backup_key_and_a_row_are_sealed_with_different_keys(vault: Vault) -> None:
    with pytest.raises(InvalidTag):
        vault.open(vault.wrap(b"secret", b"here"), b"here")

    assert vault.unwrap(vault.wrap(b"secret", b"here"), b"here") == b"secret"


def test_a_lookup_depends_on_key_kind_and_text() -> None:
    vault, other = Vault(KEY, Cipher.AES_256_GCM), Vault(new_key(), Cipher.AES_256_GCM)

    found = {
        vault.lookup("vendor_data", "ann"),
        vault.lookup("document", "ann"),
        vault.lookup("vendor_data", "bob"),
        other.lookup("vendor_data", "ann"),
    }

    assert len(found) == 4
    assert vault.lookup("vendor_data", "ann") in found


def test_both_ciphers_share_signing_key_and_lookups() -> None:
    one, two = Vault(KEY, Cipher.AES_256_GCM), Vault(KEY, Cipher.CHACHA20_POLY1305)

    assert one.public_key == two.public_key
    assert one.lookup("document", "x") == two.lookup("document", "x")


def test_no_repr_shows_a_key() -> None:
    shown = repr(KEY) + repr(Vault(KEY, Cipher.AES_256_GCM)) + str(KEY)

    assert SECRET.hex() not in shown
    assert repr(SECRET) not in shown


def test_a_key_file_is_for_its_owner_only_and_reads_back(tmp_path: Path) -> None:
    KEY.write(tmp_path / KEY_NAME)

    assert (tmp_path / KEY_NAME).stat().st_mode & 0o777 == 0o600
    assert read_key(tmp_path / KEY_NAME).check == KEY.check


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    KEY.write(tmp_path / KEY_NAME)

    with pytest.raises(StoreError, match="never overwritten"):
        new_key().write(tmp_path / KEY_NAME)

    assert read_key(tmp_path / KEY_NAME).check == KEY.check


def test_a_credential_may_be_bare_bytes(tmp_path: Path) -> None:
    (tmp_path / KEY_NAME).write_bytes(SECRET)
    (tmp_path / KEY_NAME).chmod(0o400)

    assert read_key(tmp_path / KEY_NAME).check == KEY.check


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(SECRET[:31], id="a byte short"),
        pytest.param(b"not hexadecimal at all, but 64 characters long: 0123456789abcdefgh", id="text"),
        pytest.param(SECRET.hex().encode()[:-1], id="a digit short"),
    ],
)
def test_a_file_that_holds_no_key_is_refused_without_quoting_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / KEY_NAME
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(KeyMissingError, match="holds no key") as caught:
        read_key(path)

    assert caught.value.__cause__ is None
    assert not content or content.decode("latin-1") not in str(caught.value)


@pytest.mark.parametrize("bit", [0o040, 0o020, 0o010, 0o004, 0o002, 0o001], ids=lambda bit: f"{0o600 | bit:o}")
def test_a_key_with_any_right_of_others_is_refused_and_says_how_to_mend_it(tmp_path: Path, bit: int) -> None:
    path = tmp_path / KEY_NAME
    KEY.write(path)
    path.chmod(0o600 | bit)

    with pytest.raises(KeyMissingError, match=f"chmod 600 {path}"):
        read_keys(tmp_path)

    path.chmod(0o600)
    assert [key.check for key in read_keys(tmp_path)] == [KEY.check]


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_key_that_only_its_owner_has_rights_to_is_taken(tmp_path: Path, mode: int) -> None:
    KEY.write(tmp_path / KEY_NAME)
    (tmp_path / KEY_NAME).chmod(mode)

    assert read_key(tmp_path / KEY_NAME).check == KEY.check


@pytest.mark.parametrize("mode", [0o770, 0o720, 0o702, 0o777])
def test_a_key_in_a_folder_that_others_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    KEY.write(tmp_path / KEY_NAME)
    tmp_path.chmod(mode)

    with pytest.raises(KeyMissingError, match=f"chmod go-w {tmp_path}"):
        read_keys(tmp_path)

    tmp_path.chmod(mode | 0o1000)  # sticky: nobody removes what is another's
    assert [key.check for key in read_keys(tmp_path)] == [KEY.check]


@pytest.mark.parametrize("is_there", [True, False], ids=["to a key", "to nothing"])
def test_a_link_instead_of_a_key_is_refused(tmp_path: Path, is_there: bool) -> None:  # noqa: FBT001 -- a parameter
    other = tmp_path / "elsewhere"
    if is_there:
        KEY.write(other)
    (tmp_path / KEY_NAME).symlink_to(other)

    with pytest.raises(KeyMissingError, match="is a link"):
        read_keys(tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_refused_and_nobody_waits_for_it(tmp_path: Path, make: Callable[..., None]) -> None:
    make(tmp_path / KEY_NAME, 0o600)

    with pytest.raises(KeyMissingError, match="is not a file"):
        read_keys(tmp_path)


def test_a_key_that_belongs_to_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    KEY.write(tmp_path / KEY_NAME)
    os.chown(tmp_path / KEY_NAME, 12345, -1)

    with pytest.raises(KeyMissingError, match="belongs to user 12345"):
        read_keys(tmp_path)


def test_root_reads_the_key_of_a_store_that_is_another_account_s_own(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    KEY.write(tmp_path / KEY_NAME)
    for path in (tmp_path, tmp_path / KEY_NAME):
        os.chown(path, 12345, -1)

    assert [key.check for key in read_keys(tmp_path)] == [KEY.check]


def test_a_credential_may_show_the_mask_of_its_access_list_and_nothing_for_everyone(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    KEY.write(credentials / KEY_NAME)
    (credentials / KEY_NAME).chmod(0o440)  # as systemd makes it, with user:kiosk:r--

    assert [key.check for key in read_keys(tmp_path, credentials)] == [KEY.check]

    (credentials / KEY_NAME).chmod(0o444)
    with pytest.raises(KeyMissingError, match="everyone may read"):
        read_keys(tmp_path, credentials)


def test_the_credential_comes_before_the_file(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    new_key().write(tmp_path / KEY_NAME)
    KEY.write(credentials / KEY_NAME)

    assert [key.check for key in read_keys(tmp_path, credentials)] == [KEY.check]


def test_a_credential_directory_without_our_key_is_passed_over(tmp_path: Path) -> None:
    KEY.write(tmp_path / KEY_NAME)

    assert [key.check for key in read_keys(tmp_path, tmp_path / "nothing")] == [KEY.check]


def test_during_a_rekey_both_keys_are_offered(tmp_path: Path) -> None:
    next_key = new_key()
    KEY.write(tmp_path / KEY_NAME)
    next_key.write(tmp_path / NEXT_KEY_NAME)

    keys = read_keys(tmp_path)
    vault, place = vault_for(keys, next_key.check, Cipher.AES_256_GCM)

    assert (vault.check, place) == (next_key.check, 1)


def test_no_key_anywhere_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(KeyMissingError, match=r"no kiosk\.key") as caught:
        read_keys(tmp_path)

    assert "\n" not in str(caught.value)


def test_another_key_is_refused() -> None:
    with pytest.raises(KeyMissingError, match="not the one that this store was written with"):
        vault_for((new_key(),), KEY.check, Cipher.AES_256_GCM)


def test_the_cipher_that_took_less_time_is_chosen() -> None:
    ticks = iter([tick for _ in range(9) for tick in (0, 9)] + [tick for _ in range(9) for tick in (0, 5)])

    assert fastest_cipher(lambda: next(ticks)) is Cipher.CHACHA20_POLY1305


def test_a_key_cut_off_while_it_was_written_does_not_shut_the_store(tmp_path: Path) -> None:
    key = new_key()
    key.write(tmp_path / KEY_NAME)
    (tmp_path / f".{NEXT_KEY_NAME}.part").write_bytes(b"0123")  # the crash drill's finding: half a key

    assert len(read_keys(tmp_path)) == 1
    new_key().write(tmp_path / NEXT_KEY_NAME)

    assert len(read_keys(tmp_path)) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [KEY_NAME, NEXT_KEY_NAME]


def test_a_key_that_finds_no_room_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(StoreError, match="cannot write the key"):
            new_key().write(tmp_path / KEY_NAME)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list(tmp_path.iterdir()) == []


def test_files_beside_the_store_are_for_its_owner_only_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with open_private(tmp_path / ".running") as file:
            file.write("1")
    finally:
        os.umask(before)

    assert (tmp_path / ".running").stat().st_mode & 0o777 == 0o600
