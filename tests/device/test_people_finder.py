"""Facts about finding people by what is sealed of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kiosk.device.people_finder import PeopleFinder
from kiosk.store.subjects import Details, Enrolment, SubjectFilter

PEOPLE = [
    Details(name="Anna Müller", vendor_data="staff-17", document_number="AB-123 456"),
    Details(name="Jo\u0301se Łukasz", vendor_data="staff-2"),
    Details(name="MARIANNE Anders", vendor_data="visitor-99"),
    Details(name="Mueller, Bernd"),
    Details(),
]


@pytest.fixture
def finder(store):
    for details in PEOPLE:
        store.people.enrol(Enrolment(templates=(), details=details))
    return PeopleFinder(store)


def found(finder, text, **more):
    return [one.session_number for one in finder.find(text, **{"limit": 10, "offset": 0, **more}).subjects]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        pytest.param("anna", [1], id="a name, whatever its case"),
        pytest.param("ann", [1, 3], id="a part, beginnings first"),
        pytest.param("müller anna", [1], id="words in any order"),
        pytest.param("muller", [1], id="without the accent"),
        pytest.param("Mueller", [4, 1], id="written out"),
        pytest.param("jose lukasz", [2], id="letters that only look accented"),
        pytest.param("staff", [1, 2], id="a part of the code"),
        pytest.param("STAFF-2", [2], id="a code"),
        pytest.param("ab123", [1], id="a part of the document number, however it is spaced"),
        pytest.param("AB-123 456", [1], id="the document number"),
        pytest.param("5", [5], id="a number"),
        pytest.param("anna lukasz", [], id="words of two people"),
        pytest.param("   ", [], id="blanks"),
        pytest.param("", [], id="nothing"),
        pytest.param("\n", [], id="a line end"),
        pytest.param("\udcff", [], id="what is no text"),
    ],
)
def test_people_are_found_by_what_is_known_of_them(finder, text, numbers):
    assert found(finder, text) == numbers


def test_the_index_follows_every_change(finder, store):
    assert found(finder, "carla") == []

    store.people.enrol(Enrolment(templates=(), details=Details(name="Carla")))
    assert found(finder, "carla") == [6]
    store.people.patch(6, lambda one: replace(one, details=Details(name="Doris")))
    assert (found(finder, "carla"), found(finder, "doris")) == ([], [6])


def test_whoever_is_forgotten_leaves_the_index_at_once(finder, store):
    found(finder, "anna")

    store.people.forget(1)
    finder.follow()

    assert not any("anna m" in text for text in finder._texts.values())
    assert found(finder, "anna") == []


def test_nothing_is_opened_before_somebody_searches(finder):
    finder.follow()

    assert finder._texts is None


def test_filters_and_pages_count_only_who_fits(finder, store):
    store.people.block(1)

    assert found(finder, "müller", wanted=SubjectFilter(is_blocklisted=True)) == [1]
    page = finder.find("müller", limit=1, offset=1)
    assert (page.total, [one.session_number for one in page.subjects]) == (2, [4])


def test_nothing_of_the_index_reaches_the_disk(finder, store):
    found(finder, "marianne")

    for path in store.directory.rglob("*"):
        if path.is_file():
            assert b"marianne" not in path.read_bytes().lower()


def test_people_of_a_group_are_found_alone_or_by_their_words_too(store):
    for name, groups in (("Person A", ("staff",)), ("Person B", ("staff", "cleaners")), ("Person C", ())):
        store.people.enrol(Enrolment(templates=(), details=Details(name=name, groups=groups)))
    finder = PeopleFinder(store)

    assert finder.groups() == {"cleaners": 1, "staff": 2}
    assert found(finder, None, group="staff") == [1, 2]
    assert found(finder, "person b", group="staff") == [2]
    assert found(finder, "person c", group="staff") == []
    assert found(finder, "3", group="staff") == []  # a number found whole is no way around the group
    assert found(finder, None, group="nobody's") == []


def test_groups_follow_what_becomes_of_people(store):
    for name in ("Person A", "Person B"):
        store.people.enrol(Enrolment(templates=(), details=Details(name=name, groups=("staff",))))
    finder = PeopleFinder(store)
    assert finder.groups() == {"staff": 2}

    store.people.patch(1, lambda one: replace(one, details=replace(one.details, groups=("cleaners",))))
    store.people.forget(2)

    assert finder.groups() == {"cleaners": 1}
