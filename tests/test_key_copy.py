"""The copy of the device's key on a stick: of no use without its passphrase, and whole with it."""

import json
import secrets
import subprocess
import sys

import pytest

from kiosk.store.keys import KEY_NAME, read_key
from tests.appliance.machine import SCRIPTS

PHRASE = "six words that come to mind"


def copier(*words):
    done = subprocess.run(
        [sys.executable, "-I", SCRIPTS / "key_copy.py", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def phrase(tmp_path):
    path = tmp_path / "phrase"
    path.write_text(f"{PHRASE}\n")
    return path


@pytest.fixture
def copied(tmp_path, phrase):
    """Give the key as provision.sh makes it, and its copy."""
    key, copy = tmp_path / "made", tmp_path / "kiosk-door.key-copy"
    key.write_text(f"{secrets.token_hex(32)}\n")
    assert copier("seal", key, copy, "--passphrase-file", phrase) == (0, "", "")
    return key.read_text(), copy


def test_a_key_comes_back_from_its_copy_and_opens_what_it_opened(copied, phrase, tmp_path):
    key, copy = copied

    code, said, _ = copier("open", copy, "--passphrase-file", phrase)

    assert (code, said) == (0, key)
    (tmp_path / "state").mkdir(mode=0o700)
    restored = tmp_path / "state" / KEY_NAME
    restored.write_text(said)
    restored.chmod(0o600)
    assert read_key(restored).check


def test_nothing_of_the_key_stands_in_its_copy_and_two_copies_differ(copied, phrase, tmp_path):
    key, copy = copied
    (tmp_path / "again").write_text(key)
    assert copier("seal", tmp_path / "again", tmp_path / "other", "--passphrase-file", phrase)[0] == 0

    assert key.strip() not in copy.read_text()
    one, other = (json.loads(path.read_text()) for path in (copy, tmp_path / "other"))
    assert {name for name in one if one[name] != other[name]} == {"salt", "nonce", "sealed"}
    assert (one["rounds"], one["block"], one["parallel"]) == (131072, 8, 1)


def test_another_passphrase_opens_nothing(copied, tmp_path):
    _, copy = copied
    (tmp_path / "wrong").write_text("six other words came to mind\n")

    code, said, why = copier("open", copy, "--passphrase-file", tmp_path / "wrong")

    assert (code, said) == (1, "")
    assert "the passphrase is wrong, or the copy is damaged" in why


@pytest.mark.parametrize("name", ["salt", "nonce", "sealed"])
def test_a_copy_with_a_changed_digit_opens_nothing(name, copied, phrase):
    _, copy = copied
    about = json.loads(copy.read_text())
    about[name] = ("1" if about[name][0] == "0" else "0") + about[name][1:]
    copy.write_text(json.dumps(about))

    code, said, why = copier("open", copy, "--passphrase-file", phrase)

    assert (code, said) == (1, "")
    assert "damaged" in why


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 64,
        "[]",
        "{}",
        '{"form": "kiosk key copy 2", "sealed": "00", "rounds": 2}',
        '{"form": "kiosk key copy 1", "sealed": "00", "rounds": 1e9}',
        '{"form": "kiosk key copy 1", "sealed": 7}',
    ],
)
def test_what_is_no_copy_is_refused_in_one_line(text, phrase, tmp_path):
    (tmp_path / "copy").write_text(text)

    code, said, why = copier("open", tmp_path / "copy", "--passphrase-file", phrase)

    assert (code, said) == (1, "")
    assert why.startswith("Error: ")
    assert why.count("\n") == 1


def test_a_short_passphrase_makes_no_copy(tmp_path):
    (tmp_path / "short").write_text("secret\n")
    (tmp_path / "key").write_text("00" * 32)

    code, _, why = copier("seal", tmp_path / "key", tmp_path / "copy", "--passphrase-file", tmp_path / "short")

    assert code == 1
    assert "at least 12 characters" in why
    assert not (tmp_path / "copy").exists()


def test_a_copy_and_its_restore_exclude_one_another(tmp_path):
    (tmp_path / "copy").touch()
    words = ["--key", "host", "--copy", "none", "--restore", tmp_path / "copy"]

    done = subprocess.run(
        ["bash", SCRIPTS / "provision.sh", *map(str, words)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "leave --copy out" in done.stderr
