"""A person's details as a document states them, from its zone, its barcode, or both."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import date

from kiosk.documents.aamva import Licence
from kiosk.documents.countries import name_of
from kiosk.documents.mrz import Mrz, MrzType
from kiosk.documents.resolve import ResolvedZone

TYPES = {"P": "Passport", "V": "Visa", "I": "Identity Card", "A": "Identity Card", "C": "Identity Card"}
RESIDENCE = {"AR", "IR", "CR"}
OPTIONAL = "optional_data"
COMPARED = ("document_number", "last_name", "first_name", "date_of_birth", "expiration_date")
"""What a zone and a barcode of one document must both say alike."""


@dataclass(frozen=True, slots=True)
class DocumentFacts:
    """What a document says of its holder; None where it does not say, or could not be read for certain."""

    document_type: str | None = None
    document_number: str | None = field(default=None, repr=False)
    personal_number: str | None = field(default=None, repr=False)
    first_name: str | None = field(default=None, repr=False)
    last_name: str | None = field(default=None, repr=False)
    date_of_birth: date | None = field(default=None, repr=False)
    expiration_date: date | None = None
    issuing_state: str | None = None
    gender: str | None = None
    nationality: str | None = None

    @property
    def full_name(self) -> str | None:
        """Return given names and surname."""
        return " ".join(name for name in (self.first_name, self.last_name) if name) or None

    @property
    def issuing_state_name(self) -> str | None:
        """Return the issuing state's name in English."""
        return name_of(self.issuing_state)

    def age_on(self, today: date) -> int | None:
        """Return the holder's age in whole years."""
        born = self.date_of_birth
        if born is None:
            return None
        return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def facts_of_zone(zone: Mrz, resolved: ResolvedZone) -> DocumentFacts:
    """Return what a zone says; what a failed check digit covers, and what was not read for certain, is left out."""
    unread = set(zone.failed) | resolved.doubtful
    is_known = {
        name: name not in unread for name in ("document_number", "birth_date", "expiry_date", "names", OPTIONAL)
    }
    optional = zone.optional_data if is_known[OPTIONAL] else None
    return DocumentFacts(
        document_type=_type_of(zone),
        document_number=zone.document_number if is_known["document_number"] else None,
        personal_number=optional if zone.kind in {MrzType.TD3, MrzType.TD1, MrzType.TD2} else None,
        first_name=zone.given_names if is_known["names"] else None,
        last_name=zone.surname if is_known["names"] else None,
        date_of_birth=zone.birth_date if is_known["birth_date"] else None,
        expiration_date=zone.expiry_date if is_known["expiry_date"] else None,
        issuing_state=zone.country if "country" not in unread and name_of(zone.country) else None,
        gender=zone.sex if "sex" not in unread else None,
        nationality=zone.nationality if "nationality" not in unread and name_of(zone.nationality) else None,
    )


def _type_of(zone: Mrz) -> str:
    return "Residence Permit" if zone.document_type in RESIDENCE else TYPES.get(zone.document_type[:1], "Other")


def facts_of_licence(licence: Licence) -> DocumentFacts:
    """Return what a driving licence's barcode says."""
    return DocumentFacts(
        document_type="Driver's License",
        document_number=licence.document_number,
        first_name=licence.given_names,
        last_name=licence.surname,
        date_of_birth=licence.birth_date,
        expiration_date=licence.expiry_date,
        issuing_state=licence.country,
        gender=licence.sex,
    )


def merged(first: DocumentFacts, second: DocumentFacts) -> DocumentFacts:
    """Return the first's details, and the second's where the first has none."""
    gaps = {one.name: getattr(second, one.name) for one in fields(first) if getattr(first, one.name) is None}
    return replace(first, **gaps)


def differing(first: DocumentFacts, second: DocumentFacts) -> tuple[str, ...]:
    """Return what both say and say differently. Names may be cut short in a zone.

    >>> differing(DocumentFacts(last_name="VAN DER M"), DocumentFacts(last_name="Van der Muellen"))
    ()
    >>> differing(DocumentFacts(document_number="A1"), DocumentFacts(document_number="A2"))
    ('document_number',)
    """
    found = []
    for name in COMPARED:
        one, other = getattr(first, name), getattr(second, name)
        if one is None or other is None:
            continue
        if isinstance(one, str):
            a, b = (_plain(text) for text in (one, other))
            is_alike = a == b or (name.endswith("_name") and (a.startswith(b) or b.startswith(a)))
        else:
            is_alike = one == other
        if not is_alike:
            found.append(name)
    return tuple(found)


def _plain(text: str) -> str:
    return "".join(sign for sign in text.upper() if sign.isalnum())
