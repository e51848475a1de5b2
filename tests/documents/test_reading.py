"""Facts about reading a zone: cells, doubtful characters, votes, and a dozen shots through the real network."""

import functools
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from kiosk.documents.alphabet import ALPHABET
from kiosk.documents.facts import facts_of_zone
from kiosk.documents.mrz import LAYOUTS, MrzType, parse
from kiosk.documents.reading import ZoneReading, lay_into_cells, read_zone, vote
from kiosk.documents.resolve import resolve
from kiosk.errors import ModelFileError
from kiosk.networks.documents import ZoneNetwork
from kiosk.networks.inference import read_pack
from kiosk.testing.documents import Scene, Specimen, lines_of, shot
from tests.conftest import MODELS
from tests.documents.cards import picture_of

TODAY = date(2026, 11, 29)


@functools.cache
def network():
    return ZoneNetwork(lambda: read_pack(MODELS))


def said_by(resolved):
    """Return the details of lines that were read."""
    zone = parse(resolved.lines, TODAY)
    assert zone is not None
    return facts_of_zone(zone, resolved)


def read_zone_of(picture):
    reading = read_zone(picture, network())
    assert reading is not None
    return resolve(reading)


def voted(readings):
    together = vote(readings)
    assert together is not None
    return together


def read_as(lines, kind=MrzType.TD3, **seen):
    """Return a reading that is sure of these lines but for `seen`: at_1_9={"0": 0.6, "O": 0.4} is line 1, place 9."""
    cells = np.full((len(lines), len(lines[0]), len(ALPHABET)), 1e-6)
    for row, line in enumerate(lines):
        for at, sign in enumerate(line):
            cells[row, at, ALPHABET.index(sign)] = 1.0
    for place, shares in seen.items():
        row, at = map(int, place.removeprefix("at_").split("_"))
        cells[row, at] = 1e-6
        for sign, share in shares.items():
            cells[row, at, ALPHABET.index(sign)] = share
    return ZoneReading(LAYOUTS[kind], cells)


LINES = lines_of(Specimen(number="L8989O2C3"))  # the sixth character is the letter


def test_a_letter_in_a_date_and_a_digit_in_a_name_are_their_lookalikes():
    found = resolve(read_as(LINES, at_1_13={"O": 0.9, "7": 0.1}, at_0_5={"3": 0.2, "E": 0.8}))

    assert found.lines[0] == LINES[0]
    assert "date" not in found.lines[1]
    assert found.lines[1][13] in "07"


def test_an_o_that_was_read_as_zero_is_put_right_by_its_check_digit():
    found = resolve(read_as(LINES, at_1_5={"0": 0.95, "O": 0.05}))

    assert (found.lines, found.repaired, found.is_ambiguous) == (LINES, 1, False)


def test_of_two_likely_repairs_neither_is_made_and_the_number_is_left_out():
    # 1 and I at two places of one weight: each alone would satisfy the check digit
    lines = lines_of(Specimen(number="I89I90AAA"))
    reading = read_as(lines, at_1_0={"1": 0.6, "I": 0.4}, at_1_3={"1": 0.6, "I": 0.4})
    one_wrong = resolve(replace(reading, cells=reading.cells))

    twin = read_as(lines_of(Specimen(number="I89190AAA")), at_1_0={"1": 0.6, "I": 0.4}, at_1_3={"1": 0.6, "I": 0.4})
    either = resolve(twin)

    assert one_wrong.lines == lines
    assert either.is_ambiguous
    assert "document_number" in either.doubtful


def test_characters_that_count_the_same_are_not_decided_by_a_check_digit():
    lines = lines_of(Specimen(number="L8989G2C3"))  # G counts 16, 6 counts 6

    found = resolve(read_as(lines, at_1_5={"6": 0.55, "G": 0.45}))

    assert "document_number" in found.doubtful


def test_a_doubtful_letter_makes_the_name_unread_and_nothing_else():
    reading = read_as(LINES, at_0_6={"R": 0.6, "K": 0.4})

    resolved = resolve(reading)
    facts = said_by(resolved)

    assert (facts.full_name, facts.document_number) == (None, "L8989O2C3")


def test_pictures_vote_cell_by_cell():
    blurred = read_as(LINES, at_0_6={"K": 0.6, "R": 0.4})
    clear = read_as(LINES)

    assert vote([]) is None
    assert resolve(voted([blurred, clear, clear])).lines == LINES
    other = read_as(lines_of(Specimen(MrzType.TD2)), MrzType.TD2)
    assert voted([other, clear, clear]).layout.kind is MrzType.TD3


def test_a_run_of_fillers_has_as_many_as_its_width_says():
    steps = np.zeros((44 * 4, 1 + len(ALPHABET)))
    steps[:, 0] = 1.0
    for at, sign in enumerate(LINES[0]):
        if at in {37, 38}:
            continue  # swallowed by the network
        steps[4 * at + 1, 0] = 0.0
        steps[4 * at + 1, 1 + ALPHABET.index(sign)] = 1.0

    row = lay_into_cells(steps)

    assert row is not None
    assert len(row.cells) == 44
    assert row.sureness < 1.0


@pytest.mark.parametrize("content", [np.zeros((0, 38)), np.zeros((10, 38)), np.full((200, 38), 1 / 38)])
def test_what_is_no_line_of_a_zone_has_no_cells(content):
    padded = content if len(content) else np.zeros((1, 38))

    assert lay_into_cells(padded) is None


READ = ("document_number", "first_name", "last_name", "date_of_birth", "expiration_date", "nationality")


def test_a_dozen_shots_are_read_right_or_not_at_all():
    wrong, refused = [], 0
    for seed in range(12):
        kind = list(MrzType)[seed % 5]
        picture, lines = shot(1000 + seed, kind, (1280, 720))
        truth = said_by(resolve(read_as(lines, kind)))
        reading = read_zone(picture, network())
        if reading is None:
            refused += 1
            continue
        resolved = resolve(reading)
        found = said_by(resolved)
        wrong += [(seed, name) for name in READ if getattr(found, name) not in {None, getattr(truth, name)}]

    assert wrong == []
    assert refused <= 2


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_card_may_lie_on_any_side(quarters):
    specimen = Specimen(MrzType.TD1, "STEVENSON", "PETER<JOHN", "D23145890")
    picture = picture_of(specimen, Scene((1280, 720), share=0.9, quarter_turns=quarters), portrait=None)

    assert read_zone_of(picture).lines == lines_of(specimen)


def test_a_picture_without_a_zone_gives_none():
    flat = np.full((480, 640, 3), 128, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)

    assert read_zone(flat, network()) is None
    assert read_zone(noise, network()) is None
    assert read_zone(np.zeros((1, 1, 3), np.uint8), network()) is None


def test_a_changed_file_is_refused_when_it_is_used():
    pack = read_pack(MODELS)
    changed = replace(pack.spec("mrz"), sha256="0" * 64)
    other = replace(pack, models=(changed,))

    with pytest.raises(ModelFileError, match="was changed or damaged"):
        ZoneNetwork(lambda: other).run(np.zeros((1, 48, 96, 3), np.uint8))
