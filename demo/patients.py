"""Invented people: the rows of `patient_info`, with identity numbers that a validator accepts.

Identity numbers follow GB 11643-1999: six digits of region, eight of birth date, a sequence whose parity is the
sex, and a check character by ISO 7064 MOD 11-2. Sex codes are GB/T 2261.1. Chance and the time come in as
arguments, so that a seed makes the same people everywhere.
"""

from datetime import date, datetime, timedelta
from random import Random
from typing import NamedTuple

from demo import names
from demo.texts import clock_text, person_name

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK_CHARACTERS = "10X98765432"
_BIRTH_FIRST = date(1930, 1, 1)


class Patient(NamedTuple):
    """One row of `patient_info`, in the table's column order."""

    patient_id: str
    patient_name: str
    sex_code: str
    birth_date: str | None
    id_card: str | None
    phone: str | None
    nation: str | None
    region_code: str
    address: str | None
    payment_code: str
    blood_type: str | None
    height_cm: float | None
    created_at: str
    updated_at: str


def check_character(first17: str) -> str:
    """The last character of an identity number (0-9 or X), from the 17 digits before it."""
    return _CHECK_CHARACTERS[sum(int(d) * w for d, w in zip(first17, _WEIGHTS, strict=True)) % 11]


def id_card(region_code: str, birth: date, sequence: int) -> str:
    """An identity number of 18 characters; `sequence` is 0-999, odd for men."""
    first17 = f"{region_code}{birth:%Y%m%d}{sequence:03d}"
    return first17 + check_character(first17)


def patient_id(serial: int) -> str:
    """The hospital's own number of a patient; text order is the order of serials."""
    return f"P{serial:010d}"


def new_patient(rng: Random, serial: int, now: datetime) -> Patient:
    """A person who registers at `now` for the first time."""
    sex_code = "1" if rng.random() < 0.48 else "2"
    if rng.random() < 0.01:
        sex_code = rng.choice("09")
    region_code, region = rng.choice(names.REGIONS)
    birth = _BIRTH_FIRST + timedelta(days=int(rng.random() * (now.date() - _BIRTH_FIRST).days))
    sequence = rng.randrange(500) * 2 + (sex_code != "2")
    chance = rng.random()
    return Patient(
        patient_id=patient_id(serial),
        patient_name=person_name(rng, sex_code),
        sex_code=sex_code,
        birth_date=birth.isoformat() if chance > 0.005 else None,
        id_card=_document(chance, id_card(region_code, birth, sequence)),
        phone=f"13{rng.randrange(10**9):09d}" if rng.random() < 0.8 else None,
        nation=rng.choice(names.NATIONS),
        region_code=region_code,
        address=_address(rng, region),
        payment_code=rng.choice(names.PAYMENTS)[0],
        blood_type=rng.choice(("A", "B", "O", "AB", "", None)),
        height_cm=round(rng.gauss(163, 9), 1) if rng.random() < 0.6 else None,
        created_at=clock_text(now),
        updated_at=clock_text(now),
    )


def _document(chance: float, number: str) -> str | None:
    """Most people bring their card; of some the field is NULL, of some the clerk left it empty."""
    if chance < 0.04:
        return None
    return "" if chance < 0.06 else number


def _address(rng: Random, region: str) -> str | None:
    if rng.random() < 0.1:
        return None
    street = rng.choice(names.STREETS)
    number, flat = rng.randrange(1, 400), rng.randrange(101, 2600)
    return f"{region}{street}{number}号{flat}房（{'自有' if flat % 2 else '租住'}）"
