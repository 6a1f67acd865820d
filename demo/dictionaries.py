"""The hospital's dictionaries: its doctors, its drugs with their prices, its laboratory items.

Pure: rows go out as tuples in column order of `hospital.sql`. Orders multiply a drug's price as a whole number;
no float takes part in that.
"""

from datetime import datetime
from random import Random
from typing import NamedTuple

from demo import medicine
from demo.texts import clock_text, fen_text, person_name, price_text

DOCTORS_MAX = 160

_staffing = Random("the medical staff of the demonstration")
DOCTORS = tuple((1000 + i, person_name(_staffing, "0")) for i in range(DOCTORS_MAX))


class PricedDrug(NamedTuple):
    """A drug as it is sold today: its code, its price in 1/10000 yuan, and what the word list says of it."""

    code: str
    price: int
    drug: medicine.Drug


def drug_rows(rng: Random, now: datetime) -> list[tuple[object, ...]]:
    """Each drug of each maker. Codes have the shape of 国家医保药品代码 (23 characters): X, ATC group, name,
    form, pack, maker.
    """
    rows: list[tuple[object, ...]] = []
    for i, drug in enumerate(medicine.DRUGS):
        for j, maker in enumerate(medicine.MAKERS):
            code = f"X{drug.atc}D{i + 1:03d}A{i % 9 + 1:03d}01{j + 1:02d}{100 + 37 * i + j:05d}"
            price = drug.price + rng.randrange(-drug.price // 5, drug.price // 5)
            approval = f"国药准字H{20_000_000 + rng.randrange(10**6)}"
            rows.append((
                code, drug.name, drug.form, drug.spec, drug.unit, maker, approval,
                price_text(price), int(rng.random() < 0.95), clock_text(now),
            ))  # fmt: skip
    return rows


def lab_item_rows() -> list[tuple[object, ...]]:
    """The rows of `检验项目字典`."""
    return [
        (
            i.code,
            i.name,
            i.short,
            i.unit,
            i.low,
            i.high,
            i.specimen,
            fen_text(i.price // 100),
            1,
            None if n % 3 else "",
        )
        for n, i in enumerate(medicine.LAB_ITEMS)
    ]
