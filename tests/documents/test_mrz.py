"""Facts about machine-readable zones: the specimens of ICAO Doc 9303, their check digits, names and dates."""

from datetime import date

import pytest

from kiosk.documents.aamva import parse as parse_licence
from kiosk.documents.facts import DocumentFacts, differing, facts_of_zone
from kiosk.documents.judge import DECLINE, NO_ACTION, Actions, Findings, judge
from kiosk.documents.mrz import MrzType, birth_date, check_digit, expiry_date, parse
from kiosk.documents.resolve import ResolvedZone
from kiosk.testing.documents import Specimen, lines_of
from kiosk.types import LogType, Risk

TODAY = date(2026, 11, 29)
TD3 = ("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10")
TD2 = ("I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "D231458907UTO7408122F1204159<<<<<<<6")
TD1 = ("I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F1204159UTO<<<<<<<<<<<6", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<")
MRV_A = ("V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L8988901C4XXX4009078F96121096ZE184226B<<<<<<")
MRV_B = ("V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "L8988901C4XXX4009078F9612109<<<<<<<<")


def zone_of(lines):
    found = parse(lines, TODAY)
    assert found is not None
    return found


def plain(lines, doubtful=()):
    return facts_of_zone(zone_of(lines), ResolvedZone(lines, 0, is_ambiguous=False, doubtful=frozenset(doubtful)))


@pytest.mark.parametrize("lines", [TD3, TD2, TD1, MRV_A, MRV_B], ids=["TD3", "TD2", "TD1", "MRV-A", "MRV-B"])
def test_the_specimens_of_doc_9303_are_valid_and_say_the_same(lines, request):
    zone = zone_of(lines)

    assert zone is not None
    assert (zone.kind.value, zone.is_valid) == (request.node.callspec.id, True)
    assert (zone.surname, zone.given_names, zone.sex) == ("ERIKSSON", "ANNA MARIA", "F")


def test_a_passport_says_who_its_holder_is():
    facts = plain(TD3)

    assert (facts.document_number, facts.personal_number) == ("L898902C3", "ZE184226B")
    assert (facts.date_of_birth, facts.expiration_date) == (date(1974, 8, 12), date(2012, 4, 15))
    assert (facts.issuing_state_name, facts.full_name, facts.age_on(TODAY)) == ("Utopia", "ANNA MARIA ERIKSSON", 52)


@pytest.mark.parametrize("at", [at for at, sign in enumerate(TD3[1]) if sign.isdigit()][::2])
def test_one_wrong_digit_anywhere_under_a_check_digit_is_found(at):
    upper, lower = TD3
    wrong = str((int(lower[at]) + 1) % 10)

    assert not zone_of((upper, lower[:at] + wrong + lower[at + 1 :])).is_valid


def test_a_number_of_more_than_nine_characters_goes_on_in_the_optional_data():
    number = "D23145890734"
    digit = check_digit(number)
    first = f"I<UTO{number[:9]}<{number[9:]}{digit}<<<<<<<<<<<"
    second = "7408122F1204159UTO<<<<<<<<<<<"
    whole = check_digit(first[5:] + second[:7] + second[8:15] + second[18:29])

    zone = zone_of((first, second + whole, TD1[2]))

    assert (zone.document_number, zone.failed, zone.optional_data) == (number, (), None)


@pytest.mark.parametrize(
    "lines",
    [(), TD3[:1], TD1[:2], (TD3[0], TD3[1][:-1]), (TD3[0].lower(), TD3[1]), (TD3[0].replace("U", "Ü"), TD3[1])],
    ids=["nothing", "one line", "two of three", "too short", "small letters", "another letter"],
)
def test_what_has_no_layout_is_no_zone(lines):
    assert parse(lines, TODAY) is None


def test_nobody_is_born_in_the_future_and_no_day_is_made_up():
    assert birth_date("261130", TODAY) == date(1926, 11, 30)
    assert birth_date("261129", TODAY) == TODAY
    assert birth_date("000229", TODAY) == date(2000, 2, 29)
    assert birth_date("19<<<<", TODAY) is None
    assert birth_date("740231", TODAY) is None
    assert expiry_date("760101", TODAY) == date(2076, 1, 1)
    assert expiry_date("990101", TODAY) == date(1999, 1, 1)


def test_what_was_not_read_for_certain_is_left_out():
    facts = plain(TD3, doubtful=["names", "document_number"])

    assert (facts.full_name, facts.document_number, facts.date_of_birth) == (None, None, date(1974, 8, 12))


def test_zone_and_barcode_that_differ_are_named():
    zone = DocumentFacts(document_number="L898902C3", last_name="VAN DER MUELLEN", date_of_birth=date(1974, 8, 12))

    assert differing(zone, DocumentFacts(document_number="L-898902-C3", last_name="van der Muellen-Meyer")) == ()
    assert differing(zone, DocumentFacts(document_number="L898902C4", date_of_birth=date(1974, 8, 13))) == (
        "document_number",
        "date_of_birth",
    )


def test_findings_weigh_as_the_caller_says_and_authenticity_is_always_told():
    facts, findings = plain(lines_of(Specimen())), Findings(failed=("final",), inconsistent=("document_number",))

    strict = judge(facts, findings, Actions(), TODAY)
    lenient = judge(facts, findings, Actions(NO_ACTION, NO_ACTION), TODAY)
    dateless = judge(DocumentFacts(last_name="A"), Findings(), Actions(expiration_date_not_detected=DECLINE), TODAY)

    errors = [one.risk for one in strict if one.log_type is LogType.ERROR]
    assert errors == [Risk.MRZ_VALIDATION_FAILED, Risk.DATA_INCONSISTENT]
    assert {one.log_type for one in lenient} == {LogType.INFORMATION}
    assert Risk.EXPIRATION_DATE_NOT_DETECTED in [one.risk for one in dateless if one.log_type is LogType.ERROR]
    assert all(found[-1].risk is Risk.DOCUMENT_NOT_AUTHENTICATED for found in (strict, lenient, dateless))


def test_a_canadian_licence_has_its_dates_the_other_way_round():
    head = "@\n\x1e\rANSI 636012030001DL00310440\n"

    found = parse_licence(head + "DLDCAG\nDBB19740812\nDBA20350415\nDAQE1234\nDCSERIKSSON\nDACANNA\nDCGCAN\nDBC9\r")

    assert found is not None
    assert (found.birth_date, found.expiry_date, found.sex) == (date(1974, 8, 12), date(2035, 4, 15), "X")


@pytest.mark.parametrize("text", ["", "https://example.org", "@\nANSI", "A" * 5000, "@\n\x1e\rANSI " + "D" * 4090])
def test_any_other_barcode_is_no_licence(text):
    assert parse_licence(text) is None


def test_a_specimen_is_drawn_for_every_layout():
    assert all(zone_of(lines_of(Specimen(kind))).is_valid for kind in MrzType)
