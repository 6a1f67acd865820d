"""docs/protocol.md and docs/errors.md say what the code does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest
from pydantic import BaseModel

from protocol import batch, canonical, change, delivery, envelope, limits, messages, topics
from protocol.errors import CATALOGUE
from protocol.schema import Column, TableSchema, wire_from_json
from protocol.signing import SUITES

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "protocol.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """From a heading that begins with `title` to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}.*?(?=^#+ |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[0]


def tables(title: str) -> list[list[list[str]]]:
    """The tables of a section: rows of cells, their headings first, without backquotes."""
    out: list[list[list[str]]] = [[]]
    for line in section(title).splitlines():
        if line.startswith("|---"):
            continue
        if line.startswith("|"):
            out[-1].append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
        elif out[-1]:
            out.append([])
    return [table for table in out if table]


def column(table: list[list[str]], number: int = 0) -> list[str]:
    return [row[number] for row in table[1:]]


def test_transitions() -> None:
    drawn = re.findall(r"^ +(\w+) --> (\w+): (.+)$", TEXT, re.MULTILINE)
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == {
        (before.value, after.value, event.value) for (before, event), after in delivery.TRANSITIONS.items()
    }
    assert f"[*] --> {delivery.Outbound(1).phase.value}" in TEXT


def test_times_of_delivery() -> None:
    text = " ".join(section("9. Delivery").split())
    assert delivery.HELLO_SECONDS == delivery.RESEND_SECONDS
    assert f"It lasts {delivery.RESEND_SECONDS:.0f} s" in text
    assert f"up to {delivery.BACKOFF_FACTOR_MAX:.0f} times" in text
    assert f"After {delivery.SILENCES_MAX} in a row" in text


def test_verdicts() -> None:
    assert set(column(tables("9. Delivery")[-1], 2)) == {v.name.lower() for v in delivery.Verdict}


def test_limits() -> None:
    (table,) = tables("10. Limits")
    quoted = {name: int(value.replace(",", "")) for name, value, _ in table[1:]}
    units = {"KIB", "MIB"}
    assert quoted == {n: v for n, v in vars(limits).items() if n.isupper() and n not in units}


def test_kinds() -> None:
    fields, kinds, _ = tables("2. Envelope")
    assert {name: int(number) for name, number, *_ in kinds[1:]} == {k.name.lower(): k for k in envelope.Kind}
    assert column(fields)[:5] == ["magic", "version", "suite", "kind", "flags"]
    assert fields[1][2] == envelope.MAGIC.decode()
    assert int(fields[2][2]) == envelope.FORMAT


def test_header_table_is_the_order_of_the_bytes() -> None:
    samples = {"short": b"\x03abc", "long": b"\x00\x03abc"}
    head = b"GCEV\x01\x01\x02\x00"
    for name, size, _ in tables("2. Envelope")[0][6:]:
        match name:
            case "previous":
                head += b"\x00"
            case "extension":
                head += b"\x00\x00"
            case "plain_bytes" | "cipher_bytes" | "epoch" | "sequence":
                head += (0 if name == "cipher_bytes" else 1).to_bytes(int(size), "big")
            case _:
                head += samples[size]
    parsed = envelope.parse(head + b"\x00\x00")
    assert parsed.header_bytes == head
    assert parsed.header.to_bytes() == head


def test_suites_and_domains() -> None:
    numbers = {int(n) for n in column(tables("1. Conventions")[0])}
    assert numbers == {*SUITES, 254}
    for domain in (envelope.DOMAIN, messages.DOMAIN):
        assert f'"{domain[:-1].decode()}" ‖ 00' in TEXT


def test_codes_exist() -> None:
    assert set(re.findall(r"GC-\d{4}", TEXT)) <= set(CATALOGUE)


@pytest.mark.parametrize(
    ("title", "model"),
    [("3.2 Batch", batch.BatchHeader), ("3.3 Mark", batch.MarkHeader), ("3.4 Piece", batch.PieceHeader)],
)
def test_inner_headers(title: str, model: type[BaseModel]) -> None:
    every = tables("3.1 Every header")[0]
    rows = every[1:] + tables(title)[0][1:]
    members = {f.alias or name: f for name, f in model.model_fields.items()}
    assert {row[0] for row in rows} == set(members)
    defaults: dict[str, object] = {"false": False, "null": None, "[]": (), "{}": {}}
    for name, _, default, _ in rows:
        assert members[name].is_required() == (default == ""), name
        if default:
            assert members[name].default == defaults[default], name


def test_marks_and_reasons() -> None:
    assert column(tables("3.3 Mark")[1]) == [kind.value for kind in change.MarkKind]
    reasons = {v for n, v in vars(change).items() if n.startswith("ASIDE_")}
    assert set(column(tables("4. Rows")[1])) == reasons


def test_system_columns() -> None:
    table = tables("4. Rows")[0]
    assert column(table) == [*(f.name for f in change.WIRE_SYSTEM), *change.WIRE_EXTRAS]
    assert column(table, 2) == ["never"] * len(change.WIRE_SYSTEM) + ["extra"] * len(change.WIRE_EXTRAS)
    ops = set(re.findall(r"(?:ASCII: |, )([a-z]) ", table[1][3]))
    assert ops == {op.value for op in change.Op} - {"m"}


def test_canonical_tags() -> None:
    samples = {
        "bool": True,
        "int64": 1,
        "float64": 1.0,
        "string": "a",
        "binary": b"a",
        "date32": 1,
        "timestamp": 1,
        "timestamp_tz": 1,
    }
    expected = {"null": b"\x00", "decimal": b"\x04", "list": b"\x0a", "struct": b"\x0b"}
    for wire, value in samples.items():
        expected[wire] = canonical.encode_column(pa.array([value], wire_from_json(wire)))[0][:1]
    documented = {
        word: bytes.fromhex(tag)
        for tag, words, _ in tables("5. Canonical")[0][1:]
        for word in words.split(", ")
        if word in expected
    }
    assert documented == expected


def test_the_sample_schema_is_a_schema() -> None:
    (sample,) = re.findall(r"^    (\{\"columns.*\})$", section("6. Schema"), re.MULTILINE)
    schema = TableSchema.from_bytes(sample.encode())
    assert schema.columns == (Column("id", pa.int64(), "bigint"),)
    names = section("6. Schema")
    for word in re.findall(r"^`(bool .*)`,", names, re.MULTILINE)[0].split():
        wire_from_json(word)


def test_messages() -> None:
    models = {model.type: model for model in messages.Payload.__subclasses__()}
    table = tables("7. Messages")[0]
    assert {int(number) for number in column(table, 1)} == set(messages.MessageType)
    for name, number, _, members in table[1:]:
        type_ = messages.MessageType(int(number))
        assert name == type_.name.lower()
        assert members.split() == list(models[type_].model_fields), name
    (streams,) = re.findall(r"at most 256 of \{`([a-z ]+)`\}", TEXT)
    assert streams.split() == list(messages.StreamHead.model_fields)


def test_topics() -> None:
    agent = "0" * 32
    shown = {topic.replace("<agent>", agent) for topic in column(tables("8. Topics")[0])}
    assert shown == {topics.up(agent), topics.down(agent), topics.state(agent), topics.CENTRE_STATE}


# ---- docs/errors.md ----


@pytest.fixture(scope="module")
def make_errors() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_errors", DOCS / "make_errors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_errors_page_is_what_the_catalogue_says(make_errors: ModuleType) -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    assert page == make_errors.text(), "run `python docs/make_errors.py`"
    assert re.findall(r"^\| (GC-\d{4}) ", page, re.MULTILINE) == list(CATALOGUE)
