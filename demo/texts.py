"""What doctors and clerks type: histories, diagnoses, admission records; and how this HIS writes money and time.

Pure: chance and the time come in, text goes out. Money is counted in whole units (fen for fees, 1/10000 yuan for
prices) and becomes decimal text here; what the database makes of that text is the database's affair, as in life.
"""

from datetime import datetime, timedelta
from random import Random
from typing import TypeVar

from demo import medicine, names

T = TypeVar("T")


def pick(rng: Random, items: tuple[T, ...]) -> T:
    """One of `items`; a third of the time of `Random.choice`, which matters at a million picks."""
    return items[int(rng.random() * len(items))]


def clock_text(moment: datetime) -> str:
    """A local time without zone: `2026-03-02 08:00:00`."""
    return moment.isoformat(" ", "seconds")


def fen_text(fen: int) -> str:
    """Whole fen as yuan with two decimals."""
    return f"{fen // 100}.{fen % 100:02d}"


def price_text(price: int) -> str:
    """Units of 1/10000 yuan as yuan with four decimals."""
    return f"{price // 10_000}.{price % 10_000:04d}"


def person_name(rng: Random, sex_code: str) -> str:
    """A name; about one in 150 is rare, with characters or a shape that few programs were tested with."""
    if rng.random() < 1 / 150:
        return pick(rng, names.RARE_NAMES)
    male = sex_code == "1" or (sex_code != "2" and rng.random() < 0.5)
    return pick(rng, names.SURNAMES) + pick(rng, names.GIVEN_NAMES_MALE if male else names.GIVEN_NAMES_FEMALE)


def present_illness(rng: Random, complaint: str) -> str:
    """现病史: some sentences, with full-width figures here and there."""
    celsius, pulse = 36 + int(rng.random() * 30) / 10, 60 + int(rng.random() * 50)
    systolic, diastolic = 100 + int(rng.random() * 60), 60 + int(rng.random() * 30)
    return (
        f"患者{pick(rng, medicine.TRIGGERS)}出现“{complaint}”，{pick(rng, medicine.COURSES)}。"
        f"{pick(rng, medicine.NEGATIVES)}。查体：T {celsius:.1f}℃，P {pulse}次/分，"
        f"ＢＰ {systolic}／{diastolic}ｍｍＨｇ；{pick(rng, medicine.FINDINGS)}。"
    )


def diagnosis_text(rng: Random, name: str) -> str:
    """诊断 as a doctor types it, on lines of its own at times."""
    if rng.random() < 0.3:
        return (
            f"1. {name}\n2. {pick(rng, medicine.DIAGNOSES).name}（？）\n建议：{pick(rng, medicine.ADVICE)}。"
        )
    return name if rng.random() < 0.6 else f"{name}；{pick(rng, medicine.ADVICE)}"


def progress_note(rng: Random, at: datetime, day: int) -> str:
    """One entry of a course of illness (病程记录), about 500 bytes."""
    return (
        f"{clock_text(at + timedelta(days=day))}　病程记录（第{day + 1}日）\n"
        f"{present_illness(rng, pick(rng, medicine.DIAGNOSES).complaint)}\n"
        f"处理：{pick(rng, medicine.ADVICE)}。医师签名：{person_name(rng, '0')}\n\n"
    )


def admission_text(rng: Random, at: datetime, bytes_min: int) -> str:
    """An admission record (入院记录) of at least `bytes_min` bytes of UTF-8."""
    parts, size, day = ["入　院　记　录\n\n"], 0, 0
    while size < bytes_min:
        parts.append(progress_note(rng, at, day))
        size, day = size + len(parts[-1].encode()), day + 1
    return "".join(parts)


def scan_bytes(rng: Random, size_bytes: int) -> bytes:
    """Bytes that begin and end as a JPEG does and do not compress, as scans don't."""
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + rng.randbytes(size_bytes - 13) + b"\xff\xd9"
