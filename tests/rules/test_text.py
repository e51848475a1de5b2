"""Text from strangers stays on its line, hides nothing, and is no formula."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.rules.text import cell, objection, shown


@pytest.mark.parametrize(
    "text", ["Ann\n#2", "a\tb", "\x1b[31m", "a\u202eb", "a\u2028b", "a\u200bb", "\0", "caf\udce9", "\x85"]
)
def test_what_cannot_be_seen_is_escaped_and_no_name(text):
    assert shown(text).isprintable()
    assert shown(text) != text
    assert objection(text) is not None


@pytest.mark.parametrize(
    "text", ["Ann", "José", "O'Brien", "山田太郎", "محمد", "नेहा", "می‌خواهم", "Anna-Lena Müller (2)", ""]
)
def test_names_of_all_scripts_are_names(text):
    assert objection(text) is None
    assert shown(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "=1",
        "+1",
        "-1",
        "@a",
        " =1",
        "\n=1",
        "\t1",
        "\r1",
        "\uff1d1",
        "\uff0b1",
        "\uff20a",
        "\u200b=1",
        "\ufeff=1",
        "\u00a0=1",
    ],
)
def test_a_formula_is_put_behind_an_apostrophe(text):
    assert str(cell(text)).startswith("'")


@given(st.lists(st.sampled_from(["Ann", "=1+1", "-1", "@a", "\uff1d1", " ", '"', ";", ",", "|", "\t"]), max_size=8))
def test_no_cell_is_a_formula_whatever_separates_cells_for_whoever_opens_the_table(parts):
    line = io.StringIO()
    csv.writer(line).writerow([17, cell("".join(parts)), "end"])

    for separator in ";,|\t":
        (row,) = csv.reader(io.StringIO(line.getvalue(), newline=""), delimiter=separator)
        assert [one for one in row if one.strip()[:1] in {*"=+-@", "\uff1d"}] == []


@given(st.text())
def test_a_cell_is_one_line_and_comes_back_from_a_table(text):
    line = io.StringIO()
    csv.writer(line).writerow([cell(text), cell(text)])

    (row,) = csv.reader(io.StringIO(line.getvalue(), newline=""))

    assert row == [cell(text)] * 2
    assert len(line.getvalue().splitlines()) == 1
    assert not str(cell(text)).lstrip()[:1] or str(cell(text)).lstrip()[0] not in "=+-@"
