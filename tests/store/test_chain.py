"""Facts about the chain: what an edit, a gap or another order looks like."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from kiosk.store import chain
from kiosk.store.chain import Entry, Head, Kind, Signed
from kiosk.store.keys import Key
from kiosk.store.vault import Cipher, Vault
from kiosk.types import ClockState

VAULT = Vault(Key(bytes(32)), Cipher.AES_256_GCM)
OTHER = Vault(Key(bytes(31) + b"\1"), Cipher.AES_256_GCM)


def links(length: int, start: list[Signed] | None = None, vault: Vault = VAULT) -> list[Signed]:
    """Make a log of INIT and matches."""
    log = list(start or [])
    for _ in range(length):
        log.append(follow(log, Kind.FACE_MATCH if log else Kind.INIT, vault=vault))
    return log


def follow(
    log: list[Signed],
    kind: Kind,
    *,
    vault: Vault = VAULT,
    seq: int | None = None,
    details: dict[str, object] | None = None,
) -> Signed:
    entry = Entry(
        seq=seq or (log[-1].seq + 1 if log else 1),
        at=1000.0 + len(log),
        kind=kind,
        request_id=f"r{len(log)}",
        prev_hash=log[-1].hash.hex() if log else chain.NO_HASH,
        clock=ClockState.SYNCED,
        status="Approved",
        score=80,
        details=details or ({"public_key": vault.public_key.hex()} if kind is Kind.INIT else {}),
    )
    return chain.sign_entry(entry, vault.sign)


def reworded(signed: Signed, *, rehash: bool) -> Signed:
    record = signed.record.replace('"score":80', '"score":99')
    digest = hashlib.sha256(record.encode()).digest()
    return replace(signed, record=record, hash=digest if rehash else signed.hash)


def test_an_untouched_log_is_intact() -> None:
    verdict = chain.verify(links(20), public_key=VAULT.public_key)

    assert verdict.is_intact
    assert (verdict.records, verdict.last_seq) == (20, 20)


def test_a_record_reads_back_as_it_was() -> None:
    entry = Entry(
        7,
        12.5,
        Kind.FACE_SEARCH,
        "id",
        "ab",
        ClockState.HOLDOVER,
        status="Declined",
        score=81.2,
        session_number=3,
        warnings=("FACE_IN_BLOCKLIST",),
        thresholds={"similarity": 70.0},
        model="m",
        gallery_size=9,
        vendor="cd",
        actor="cli",
        details={"é": [1, None]},
    )

    assert chain.parse(chain.to_record(entry)) == entry


@pytest.mark.parametrize("record", ["", "{}", "[]", "7", '{"v":2}', '{"v":1,"seq":1}'])
def test_what_is_no_record_is_a_value_error(record: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        chain.parse(record)


def without(at: int) -> Callable[[list[Signed]], list[Signed]]:
    return lambda log: log[:at] + log[at + 1 :]


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        pytest.param(
            lambda log: [*log[:4], reworded(log[4], rehash=False), *log[5:]],
            "record 5 was edited",
            id="a changed score",
        ),
        pytest.param(
            lambda log: [*log[:4], reworded(log[4], rehash=True), *log[5:]],
            "record 5 is not signed by this device",
            id="a changed score, hashed anew",
        ),
        pytest.param(
            lambda log: [
                *log[:4],
                chain.sign_entry(replace(log[4].entry, score=99), VAULT.sign),
                *log[5:],
            ],
            "record 6 does not follow the record before it",
            id="a changed score, signed anew",
        ),
        pytest.param(without(4), "records 5 to 5 are missing", id="one removed"),
        pytest.param(without(0), "records 1 to 1 are missing", id="the first removed"),
        pytest.param(
            lambda log: [*log[:4], log[5], log[4], *log[6:]],
            "record 5 comes after record 6",
            id="two swapped",
        ),
        pytest.param(
            lambda log: [*log[:5], log[4], *log[5:]],
            "record 5 comes after record 5",
            id="one repeated",
        ),
        pytest.param(
            lambda log: [*log[:4], replace(log[4], signature=bytes(64)), *log[5:]],
            "record 5 is not signed by this device",
            id="a signature wiped",
        ),
        pytest.param(
            lambda log: [*log[:4], replace(log[4], record="{}"), *log[5:]],
            "record 5 cannot be read",
            id="nonsense",
        ),
        pytest.param(
            lambda log: [*log[:4], replace(log[3], seq=5), *log[5:]],
            "record 4 stands in the place of record 5",
            id="another record's copy",
        ),
        pytest.param(lambda _: [], "the log is empty", id="nothing left"),
        pytest.param(
            lambda _: links(9, vault=OTHER),
            "the log was signed with another device's key",
            id="a whole log by another device",
        ),
        pytest.param(
            lambda log: [*log, follow(log, Kind.FACE_MATCH, seq=20)],
            "records 10 to 19 are missing",
            id="a jump",
        ),
        pytest.param(
            lambda log: [*log, follow(log, Kind.LOSS, seq=20)],
            "records 10 to 19 are missing",
            id="a jump that the device noticed",
        ),
    ],
)
def test_tampering_is_found_and_named(tamper: Callable[[list[Signed]], list[Signed]], fault: str) -> None:
    verdict = chain.verify(tamper(links(9)), public_key=VAULT.public_key)

    assert not verdict.is_intact
    assert fault in verdict.faults


def test_every_bit_of_a_record_counts() -> None:
    log = links(3)
    for bit in range(0, 8 * len(log[1].record), 5):
        content = bytearray(log[1].record.encode())
        content[bit // 8] ^= 1 << bit % 8
        damaged = replace(log[1], record=content.decode("latin-1"))

        assert not chain.verify([log[0], damaged, log[2]]).is_intact


def test_a_cut_off_end_is_what_the_chain_alone_cannot_show() -> None:
    assert chain.verify(links(9)[:5], public_key=VAULT.public_key).is_intact


def test_a_gap_that_a_restore_declares_is_a_note() -> None:
    log = links(5)
    log.append(follow(log, Kind.RESTORE, seq=9, details={"replaces": [6, 8]}))

    verdict = chain.verify(links(2, log), public_key=VAULT.public_key)

    assert verdict.is_intact
    assert verdict.notes == ("records 6 to 8 are missing: given up by the restore in record 9",)


def test_a_restore_excuses_no_other_gap_than_its_own() -> None:
    log = links(5)
    log.append(follow(log, Kind.RESTORE, seq=9, details={"replaces": [7, 8]}))

    assert "records 6 to 8 are missing" in chain.verify(log).faults


def test_a_new_key_is_taken_over_from_the_old_one() -> None:
    log = links(4)
    log.append(follow(log, Kind.REKEY, details={"next_public_key": OTHER.public_key.hex()}))
    log = links(3, log, vault=OTHER)

    for every in (True, False):
        verdict = chain.verify(log, public_key=OTHER.public_key, every_signature=every)
        assert verdict.is_intact


def test_a_new_key_that_the_old_one_did_not_name_is_refused() -> None:
    log = links(4)
    forged = follow(log, Kind.REKEY, vault=OTHER, details={"next_public_key": OTHER.public_key.hex()})

    verdict = chain.verify([*log, forged], public_key=OTHER.public_key, every_signature=False)

    assert "record 5 is not signed by this device" in verdict.faults


def test_the_last_signature_alone_finds_a_log_that_was_made_up() -> None:
    log = links(9)
    forged = [chain.sign_entry(signed.entry, OTHER.sign) for signed in log]

    verdict = chain.verify(forged, public_key=VAULT.public_key, every_signature=False)

    assert verdict.faults == ("record 9 is not signed by this device",)


def test_a_receipt_holds_until_a_letter_changes() -> None:
    text = chain.sign_receipt({"act": "forget", "session_number": 7}, VAULT.sign)

    assert chain.receipt_holds(text, VAULT.public_key)
    assert not chain.receipt_holds(text.replace("7", "8", 1), VAULT.public_key)
    assert not chain.receipt_holds(text, OTHER.public_key)
    assert not chain.receipt_holds("nonsense", VAULT.public_key)


def test_a_signed_record_is_no_receipt() -> None:
    signed = links(1)[0]
    text = chain.canonical({"receipt": {}, "signature": signed.signature.hex()})

    assert not chain.receipt_holds(text, VAULT.public_key)


def test_the_newest_whole_slot_is_the_head() -> None:
    old, new = (chain.encode_head(Head(seq, "ab" * 32, 5), VAULT.mac) for seq in (8, 9))

    assert chain.decode_head(old + new, VAULT.mac) == Head(9, "ab" * 32, 5)
    assert chain.decode_head(new + old, VAULT.mac) == Head(9, "ab" * 32, 5)
    assert chain.decode_head(old + new[:100], VAULT.mac) == Head(8, "ab" * 32, 5)
    assert chain.decode_head(old + new, OTHER.mac) is None
    assert chain.decode_head(b"", VAULT.mac) is None


def test_a_head_fits_its_slot_at_any_size() -> None:
    head = Head(2**63 - 1, "f" * 64, 2**63 - 1)

    assert len(chain.encode_head(head, VAULT.mac)) == chain.SLOT_BYTES


def test_a_commitment_needs_its_salt() -> None:
    assert chain.commit(b"a" * 16, "ann") != chain.commit(b"b" * 16, "ann")
    assert chain.commit(b"a" * 16, "ann") == chain.commit(b"a" * 16, "ann")
