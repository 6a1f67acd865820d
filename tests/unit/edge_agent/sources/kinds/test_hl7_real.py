"""The public HL7 v2 files: all values as a simple splitter has them; changed at random, rows or a refusal."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.hl7 import Hl7Kind
from edge_agent.sources.kinds.kind import Opened, Record
from protocol.errors import Rejected
from tests.servers import SHARED, require_dataset

FOLDER = SHARED / "hl7v2-ccda-ms-fhir-converter" / "Hl7v2"
KIND = Hl7Kind()
FILES = 139


def read(data: bytes, encoding: str = "utf-8") -> list[Record]:
    rule = FileRule(glob="*", kind="hl7", encoding=encoding)
    return list(KIND.records(Opened("f.hl7", io.BytesIO(data), len(data)), rule))


def split(text: str) -> list[list[object]]:
    """A message of these files, all of which have LF, the usual delimiters and no escape sequence but \\T\\."""
    segments = []
    for line in text.split("\n"):
        if line:
            name, *fields = line.split("|")
            parts: list[object] = [nested(field, "~^&") for field in fields]
            segments.append(
                [name, [[["|"]]], [[[fields[0]]]], *parts[1:]] if name == "MSH" else [name, *parts]
            )
    return segments


def nested(text: str, delimiters: str) -> object:
    if not delimiters:
        return text.replace("\\T\\", "&")
    return [nested(part, delimiters[1:]) for part in text.split(delimiters[0])] if text else []


def dig(segments: list[list[object]], name: str, number: int) -> object:
    """The first value of a field of the first segment of that name."""
    found: object = next((s[number] for s in segments if s[0] == name and len(s) > number), [])
    while isinstance(found, list):
        found = found[0] if found else None
    return found or None


def files() -> list[Path]:
    found = sorted(require_dataset(FOLDER).glob("*.hl7"))
    assert len(found) == FILES
    return found


def test_every_value_of_every_file_is_what_a_simple_splitter_says() -> None:
    outcomes: Counter[tuple[str | None, object]] = Counter()
    for path in files():
        data = path.read_bytes()
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
        (record,) = read(data)
        row = dict(zip((c.name for c in KIND.columns), record.values, strict=True))
        expected = split(text)
        assert json.loads(row["message"]) == expected, path.name
        assert row["segments"] == len(expected), path.name
        assert row["text"] == text.rstrip("\n"), path.name
        head = text.split("\n", 1)[0].split("|") + [""] * 20
        plain = [head[i] or None for i in (8, 6, 2, 3, 4, 5, 9, 10, 11, 17)]
        names = "message_type message_time sending_application sending_facility receiving_application"
        names += " receiving_facility control_id processing_id version charset"
        assert [row[name] for name in names.split()] == plain, path.name
        values = [dig(expected, *at) for at in (("PID", 3), ("PID", 18), ("PV1", 19))]
        assert [row[n] for n in ("patient_id", "account_number", "visit_number")] == values, path.name
        outcomes[record.problem, row["encoding"]] += 1
    assert outcomes == {(None, "utf-8"): FILES - 1, (None, "ascii"): 1}


def test_all_files_in_one_are_the_same_messages() -> None:
    each = [path.read_bytes() for path in files()]
    together = read(b"\n".join(each))
    assert [r.values for r in together] == [r.values for data in each for r in read(data)]


SAMPLES = (
    b"MSH|^~\\&|A|B|C|D|20240101||ADT^A01|1|P|2.4\rPID|1||7^^^H~8||\\T\\x||1970|M\rZXX|a\\X0D\\b\rOBX|1|TX|||a\nb\r",
    "FHS|^~\\&|A\rBHS|^~\\&|A\rMSH|^~\\&|检验||||2024||ORU^R01|2|P|2.5||||||GBK\rPID|1||9||张三\rBTS|1\rFTS|1\r".encode(
        "gbk"
    ),
    "\x0bMSH|^~\\&|A|B\r\nPID|1||张\r\n\x1c\r\x0bMSH$%*!#$A$B\nOBR$1$x%y\n\x1c\r".encode(),
    "MSH|^~\\&|A||||2024||ADT^A01|3|P|2.3\nPID|1||7||李四\nPV1|1|I\n".encode("utf-16"),
    "MSH|^~\\&|A||||||ADT|4|P|2.5||||||~ISO IR87\rPID|1||7||山田\r".encode("iso2022_jp"),
)


TOKENS = (
    b"\r",
    b"\n",
    b"|",
    b"^",
    b"\\",
    b"\\X",
    b"\x0b",
    b"\x1c\r",
    b"\rMSH|^~\\&|",
    b"\rBHS|^~\\&",
    b"\rBTS|1",
    b"\xff",
    b"\0",
    b"\x1b$B",
)


def changed(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Cut, repeated, mixed with another file, or with something in it that means something to HL7."""
    at, until = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    match rng.randrange(6):
        case 0:
            return data[:until] + data[at:]
        case 1:
            return data[: at + rng.randrange(9)] + data[at + rng.randrange(40) :]
        case 2:
            other = rng.choice(others)
            return data[:until] + other[rng.randrange(len(other)) :]
        case 3:
            return data[:at] + rng.randbytes(rng.randrange(1, 4)) + data[at + 1 :]
    return data[:at] + rng.choice(TOKENS) + data[at:]


@settings(max_examples=250)
@given(st.integers(0, 2**64), st.sampled_from(["utf-8", "gb18030", "latin-1", "utf-16", "utf-7"]))
def test_whatever_a_file_is_changed_to_it_gives_rows_or_a_refusal(seed: int, encoding: str) -> None:
    rng = random.Random(seed)
    corpus = [*SAMPLES]
    if FOLDER.exists():
        corpus.append(rng.choice(sorted(FOLDER.glob("*.hl7"))).read_bytes())
    data = rng.choice(corpus)
    for _ in range(rng.randint(1, 5)):
        data = changed(data, rng, corpus)
    refusal, found = None, []
    try:
        found = read(data, encoding)
    except Rejected as fault:
        refusal = fault.code
    assert refusal == (None if found else "GC-2008"), "the bytes of a file land with a row of it"
    for column, values in zip(KIND.columns, zip(*(r.values for r in found), strict=True), strict=False):
        assert pa.array(values, column.wire).to_pylist() == list(values), column.name
    for record in found:
        message = dict(zip((c.name for c in KIND.columns), record.values, strict=True))["message"]
        assert record.problem or isinstance(json.loads(message), list)


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_samples_are_whole(sample: bytes) -> None:
    assert [record.problem for record in read(sample) if record.problem] == []
