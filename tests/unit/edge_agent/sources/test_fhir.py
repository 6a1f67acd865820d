"""FHIR resources: each as json.loads has it, with its own digits; what is broken costs its record alone."""

from __future__ import annotations

import inspect
import io
import json
import random
import sys
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds import decoded, fhir, jsonexact
from edge_agent.sources.kinds.fhir import FhirKind
from edge_agent.sources.kinds.fhirfields import COLUMNS
from edge_agent.sources.kinds.jsoncursor import Cursor
from edge_agent.sources.kinds.kind import Opened
from protocol.errors import Rejected
from protocol.limits import MIB
from tests.servers import SHARED, require_dataset

FOLDER = SHARED / "fhir-r4-synthea-smart" / "R4" / "SYNTHEA"
REAL = sorted(FOLDER.glob("*.json"), key=lambda p: p.name)
NAMES = [c.name for c in COLUMNS]


def read(data: bytes, name: str = "f.json", **rule: Any) -> list[dict[str, Any]]:
    """The records of a file with this content, by column, `problem` among them; absent ones left out."""
    opened = Opened(name, io.BytesIO(data), len(data))
    records = list(FhirKind().records(opened, FileRule(glob="*", kind="fhir", **rule)))
    for column, *values in zip(COLUMNS, *(r.values for r in records), strict=True):
        assert pa.array(values, column.wire).to_pylist() == values
    found = [dict(zip(NAMES, r.values, strict=True)) | {"problem": r.problem} for r in records]
    return [{k: v for k, v in values.items() if v is not None} for values in found]


def refusal(data: bytes, name: str = "f.json") -> str:
    with pytest.raises(Rejected) as caught:
        read(data, name)
    assert caught.value.code == "GC-2008"
    return str(caught.value.facts["problem"])


def exact(text: str) -> Any:
    """With digits and the order of keys."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal, object_pairs_hook=list)


def bundle(*entries: str, before: str = '"type":"collection",', after: str = "") -> bytes:
    return f'{{"resourceType":"Bundle",{before}"entry":[{",".join(entries)}]{after}}}'.encode()


def entry(number: int, more: str = "") -> str:
    return f'{{"fullUrl":"urn:{number}","resource":{{"resourceType":"Basic","id":"{number}"{more}}}}}'


def same_as_loads(data: bytes) -> int:
    """Compares the records of a real bundle with what json.loads gives; how many there are."""
    whole = json.loads(data)
    own, *entries = read(data)
    assert json.loads(own["resource"]) == {k: v for k, v in whole.items() if k != "entry"}
    written = [exact(data.decode())]
    assert len(entries) == len(whole["entry"])
    listed = next(v for k, v in written[0] if k == "entry")
    for number, (record, one, pairs) in enumerate(zip(entries, whole["entry"], listed, strict=True)):
        resource = one["resource"]
        assert json.loads(record["resource"]) == resource
        assert exact(record["resource"]) == dict(pairs)["resource"]
        assert json.loads(record["entry_members"]) == {
            k: v for k, v in one.items() if k not in ("fullUrl", "resource")
        }
        assert record["full_url"] == one["fullUrl"]
        assert (record["entry"], record["bundle_type"]) == (number, whole["type"])
        assert (record["resource_type"], record["resource_id"]) == (resource["resourceType"], resource["id"])
        assert record.get("status") == resource.get("status")
        for column, key in (("subject_reference", "subject"), ("patient_reference", "patient")):
            assert record.get(column) == resource.get(key, {}).get("reference")
        assert record.get("encounter_reference") == resource.get("encounter", {}).get("reference")
        for column, key in (("identifiers", "identifier"), ("code", "code")):
            assert json.loads(record.get(column, "null")) == resource.get(key)
        assert json.loads(record.get("profiles", "null")) == resource.get("meta", {}).get("profile")
        assert "problem" not in record
        if resource["resourceType"] == "Patient":
            name = resource["name"][0]
            assert record["patient_name"] == " ".join([name["family"], *name["given"]])
            assert (record["birth_date"], record["gender"]) == (resource["birthDate"], resource["gender"])
        elif "time" in record:
            place = resource
            for key in record["time_element"].split("."):
                place = place[key]
            assert place == record["time"]
    return len(entries)


def test_the_real_bundles_are_there() -> None:
    require_dataset(FOLDER)
    assert len(REAL) == 24


@pytest.mark.parametrize("number", range(0, 24, 6))
def test_a_real_bundle_is_what_json_loads_gives(number: int) -> None:
    require_dataset(FOLDER)
    assert same_as_loads(REAL[number].read_bytes()) > 0


def test_numbers_keep_their_digits_and_keys_their_order() -> None:
    value = '{ "z":0.10 , "a" : 1e400,"b":-0,"c":12345678901234567890.00 ,"d":"\\u5f20" }'
    text = f'{{"resourceType":"Basic", "code":{value}, "id":"1"}}'
    (found,) = read(text.encode())
    assert found["resource"] == text
    assert found["code"] == '{"z":0.10,"a":1e400,"b":-0,"c":12345678901234567890.00,"d":"张"}'
    own, first = read(
        bundle(f'{{"resource":\n{text} }}', after=',"total":010', before="").replace(b"010", b"10")
    )
    assert (first["resource"], own["bundle_total"]) == (text, "10")
    assert own["resource"] == '{"resourceType":"Bundle","total":10}'
    long = "9" * 5_000  # Python refuses to make an int of it
    (found,) = read(f'{{"resourceType":"Basic","code":{long}}}'.encode())
    assert found["code"] == long


def test_a_bundle_may_say_what_it_is_behind_its_entries() -> None:
    tail = (
        b'{"entry":[{"request":{"method":"DELETE","url":"Basic/1"}},'
        + entry(1).encode()
        + b"]"
        + (b',"timestamp":"2024-01-02T03:04:05Z","id":"b","type":"batch","resourceType":"Bundle"}')
    )
    own, deleted, found = read(tail)
    assert (own["bundle_id"], own["time"], own["time_element"]) == ("b", "2024-01-02T03:04:05Z", "timestamp")
    assert deleted["entry_members"] == '{"request":{"method":"DELETE","url":"Basic/1"}}'
    assert (deleted["entry"], "resource" in deleted, "problem" in deleted) == (0, False, False)
    assert (found["entry"], found["bundle_id"], found["bundle_type"]) == (1, "b", "batch")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2015-02-07T13:28:17.239+02:00", (2015, 2, 7, 11, 28, 17, 239_000)),
        ("2015-02-07T13:28:17Z", (2015, 2, 7, 13, 28, 17)),
        ("2015-02-07T13:28:17.1234567Z", None),
        ("2015-02-07T13:28:17", None),
        ("2015-02-07T13:28Z", None),
        ("2015-02-07", None),
        ("2015-02-30T13:28:17Z", None),
        ("0001-01-01T00:00:00+08:00", None),
    ],
)
def test_a_time_is_one_only_where_it_is_exact(text: str, at: Any) -> None:
    (found,) = read(f'{{"resourceType":"Basic","meta":{{"lastUpdated":"{text}"}}}}'.encode())
    assert found["last_updated"] == text
    assert found.get("last_updated_at") == (at and datetime(*at).replace(tzinfo=UTC))


def test_a_patient_by_name() -> None:
    def named(name: str) -> str | None:
        return read(f'{{"resourceType":"Patient","name":{name}}}'.encode())[0].get("patient_name")

    assert named('[{"text":"张三","family":"张"},{"text":"x"}]') == "张三"
    assert named('[{"given":["三","丰"],"family":"张"}]') == "张 三 丰"
    assert named('{"family":"张"}') == "张"
    for none in ("[]", "[1]", "7", '[{"family":5}]', "null"):
        assert named(none) is None
    (found,) = read(b'{"resourceType":"Group","name":"x","birthDate":"1990","id":5,"status":null}')
    assert set(found) == {"resource_type", "resource"}


def test_bulk_data_is_a_resource_a_line() -> None:
    lines = [
        b'{"resourceType":"Basic","id":"1"}',
        b"",
        b'{"resourceType":"Basic","id":',
        b"[1]",
        bundle(entry(7)),
    ]
    for name, end in (("f.json", b""), ("F.NDJSON", b"\r\n")):
        found = read(b"\r\n".join(lines) + end, name)
        assert [r.get("resource_id") for r in found] == ["1", None, None, None, "7"]
        assert [r.get("problem") for r in found] == [
            None,
            "it breaks off",
            "the line is no resource: it does not begin as one",
            None,
            None,
        ]
    (alone,) = read(lines[0], "f.ndjson")
    assert alone["resource"] == lines[0].decode()
    broken = read(b'{"resourceType"\n' + lines[0], "f.ndjson")
    assert [r.get("resource_id") for r in broken] == [None, "1"]


def test_a_line_that_is_too_long_is_passed_over_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fhir, "RESOURCE_CHARS_MAX", 100_000)
    short, long = b'{"resourceType":"Basic","id":"1"}\n', b"x" * 8 * MIB + b"\n"
    stream = io.BytesIO(short + long + b"y" * 100_001 + b"\n" + short)
    tracemalloc.start()
    try:
        records = list(FhirKind().records(Opened("f.json", stream, 0), FileRule(glob="*", kind="fhir")))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [r.problem for r in records] == [None, *["the line is too long to be held"] * 2, None]
    assert peak < 2 * MIB


def test_what_is_nested_as_deep_as_it_may_is_read_on_any_stack() -> None:
    inner = "[" * 198 + "]" * 198
    (found,) = read(f'{{"resourceType":"Basic","code":{inner}}}'.encode())
    assert (found["code"], "problem" in found) == (inner, False)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 100)
    try:
        with pytest.raises(jsonexact.Malformed):
            jsonexact.decode(inner, 198)
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    ("data", "name", "problem"),
    [
        (b"", "f.json", "it does not begin as one"),
        (b"[1,2]", "f.json", "it does not begin as one"),
        (b'{"a":1}', "f.json", "it has no resourceType"),
        (b'{"resourceType":5}', "f.json", "it has no resourceType"),
        (b'{"entry":[', "f.json", "it breaks off"),
        (b"\xff\xff{", "f.json", "it does not begin as one"),
        (b"", "f.ndjson", "no line begins as one"),
        (b"a log\n" * 100, "f.ndjson", "it does not begin as one"),
    ],
)
def test_what_is_no_resource_is_refused(data: bytes, name: str, problem: str) -> None:
    assert refusal(data, name) == f"it is no FHIR resource: {problem}"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (',"a":1,"a":1', "a key stands twice in one object"),
        (',"a":[{"b":{"c":1,"c":2}}]', "a key stands twice in one object"),
        (',"a":NaN', "it is not JSON"),
        (',"a":-Infinity', "it is not JSON"),
        (',"a":1 2', "it is not JSON"),
        (',"a":[1}', "it is not JSON"),
        (',"a":"\n"', "it is not JSON"),
        (f',"a":{"[" * 300}{"]" * 300}', "lists and objects stand more than 200 deep in each other"),
        (f',"a":[{"1," * 600_000}1]', "it has more than 500,000 values"),
        (f',"a":"{"x" * 2 * MIB}"', "it is too long to be held"),
    ],
)
def test_a_broken_entry_costs_nothing_but_itself(
    more: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fhir, "RESOURCE_CHARS_MAX", 2 * MIB)
    _, first, broken, last = read(bundle(entry(1), entry(2, more), entry(3)))
    assert (first["resource_id"], last["resource_id"], last["entry"]) == ("1", "3", 2)
    assert broken == {"bundle_type": "collection", "entry": 1, "problem": problem}
    (alone,) = read(f'{{"resourceType":"Basic"{more}}}'.encode())
    assert alone.pop("problem") in (
        problem,
        "it is not JSON",
        "it breaks off",
        "a key stands twice in one object",
    )
    assert alone == {"resource_type": "Basic"}


def test_a_bundle_that_ends_early_or_is_followed_says_so() -> None:
    whole = bundle(entry(1), entry(2))
    own, first, last = read(whole[: whole.index(b'"id":"2')])
    assert (own["problem"], first["resource_id"]) == ("it breaks off", "1")
    assert (last["problem"], last["entry"]) == ("the entries end here: it breaks off", 1)
    assert [r.get("problem") for r in read(b"\n" + whole.replace(b",", b",\n") + b"{}")] == [
        "something stands behind it",
        None,
        None,
    ]
    assert [r.get("problem") for r in read(bundle(entry(1) + entry(2)))] == [
        None,
        None,
        "the entries end here: it is not JSON",
    ]
    own, *entries = read(bundle(entry(1), after=',"entry":[' + entry(2) + "]"))
    assert own["problem"] == "a key stands twice in one object"
    assert [r["resource_id"] for r in entries] == ["1", "2"]
    assert read(b'{"resourceType":"Bundle","entry":{"a":1},"id":"b"}')[0]["bundle_id"] == "b"
    deep = read(b'{"resourceType":"Basic","a":' + b"[" * 20_000)
    assert [r["problem"] for r in deep] == ["lists and objects stand too deep in each other"]
    many = "".join(f'"k{i}":1,' for i in range(100))
    assert read(bundle(entry(1), before=many))[0]["problem"] == "it has more than 64 members"


def test_bytes_that_are_no_text_cost_their_resource_alone() -> None:
    data = bundle(entry(1), entry(2, ',"code":"张","status":"ok"'), entry(3)).replace(
        "张".encode(), b"\xd5\xc5"
    )
    _, first, broken, last = read(data)
    assert ("problem" in first, "problem" in last, last["resource_id"]) == (False, False, "3")
    assert broken["problem"] == "it holds bytes or characters that are no text"
    assert (broken["status"], "resource" in broken, broken["resource_id"]) == ("ok", False, "2")
    _, _, broken, _ = read(
        data.replace(b'"code":', b'"\xd5\xc5":').replace(b'"fullUrl":"urn:2"', b'"\xd5":2')
    )
    assert broken["problem"] == "it holds bytes or characters that are no text"
    assert "entry_members" not in broken
    _, _, found, _ = read(data, encoding="gbk")
    assert found["code"] == '"张"'
    (half,) = read(b'{"resourceType":"Basic","id":"\\ud800","code":"\\ud800"}')
    assert half == {
        "resource_type": "Basic",
        "resource": '{"resourceType":"Basic","id":"\\ud800","code":"\\ud800"}',
        "problem": "it holds bytes or characters that are no text",
    }


def test_a_charset_is_found_out_where_the_rule_says_so() -> None:
    text = bundle(entry(1, ',"code":"张三，男，五十二岁，因咳嗽、发热三天入院"')).decode()
    for written in ("utf-8", "gbk", "utf-16-le"):
        found = read(text.encode(written), encoding="auto")[1]
        assert (found["resource"] in text, "张三" in found["code"], "problem" in found) == (True, True, False)
    assert read(text.encode("gbk"))[1]["problem"] == "it holds bytes or characters that are no text"
    assert read(("\ufeff" + text).encode("gb18030"))[1]["resource_id"] == "1"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_counts(encoding: str) -> None:
    assert read(bundle(entry(1)).decode().encode(encoding))[1]["resource_id"] == "1"
    assert read(bundle(entry(1)).decode().encode(encoding)[:-5])[0]["problem"] == "it breaks off"


class Long(io.RawIOBase):
    """A bundle of `count` entries that are made as they are read."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.size = 0
        self.pieces: Iterator[bytes] = iter(())

    def seek(self, at: int, whence: int = 0) -> int:
        head, tail = bundle("#").split(b"#")
        one = entry(1, f',"text":"{"x" * 30_000}"').encode()
        self.pieces = iter([head, *[one + b","] * (self.count - 1), one, tail])
        return 0

    def read(self, count: int = -1) -> bytes:
        piece = next(self.pieces, b"")
        self.size += len(piece)
        return piece


def test_a_long_bundle_takes_the_memory_of_an_entry() -> None:
    stream: Any = Long(200)
    stream.size = 0
    tracemalloc.start()
    try:
        records = FhirKind().records(Opened("f.json", stream, 0), FileRule(glob="*", kind="fhir"))
        count = sum(1 for _ in records)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 201
    assert (stream.size > 12 * 1_000_000, peak < 2 * MIB) == (True, True)


json_plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
json_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
json_values = st.recursive(
    json_plain | json_texts | st.sampled_from(['"', "\\", '\\"{', "]}", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.lists(json_values, max_size=4), st.integers(1, 9), st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_any_value_is_found_whole_through_any_pieces(
    values: list[Any], size: int, escaped: bool, indent: int | str | None
) -> None:
    text = json.dumps(values, ensure_ascii=escaped, indent=indent)
    cursor = Cursor(iter([text[i : i + size] for i in range(0, len(text), size)]))
    extents = [cursor.value(len(text)) for _ in cursor.items()]
    assert [json.loads(e.text or "") for e in extents] == values
    assert (cursor.peek(), cursor.lines) == ("", text.count("\n"))
    for extent, value in zip(extents, values, strict=True):
        held = jsonexact.decode(extent.text or "", extent.depth)
        assert json.loads(jsonexact.encode(held)) == value
        if isinstance(value, dict):
            assert {k: json.loads(v) for k, v in jsonexact.slices(extent.text or "").items()} == value


@given(
    st.sampled_from(["utf-8", "gbk", "gb18030", "utf-16", "utf-8-sig"]),
    st.text(max_size=50),
    st.binary(max_size=3),
    st.integers(1, 7),
)
def test_text_ends_exactly_where_bytes_are_none(encoding: str, text: str, wrong: bytes, size: int) -> None:
    class Slow(io.BytesIO):
        def read(self, count: int | None = -1) -> bytes:
            return super().read(size)

    data = text.encode(encoding, "ignore")
    found: list[str] = []
    try:
        for piece in decoded.pieces(Slow(data + wrong), encoding):
            found.append(piece)  # each before the fault
        assert "".join(found) == (data + wrong).decode(encoding)
    except decoded.Undecoded:
        with pytest.raises(UnicodeDecodeError) as caught:
            (data + wrong).decode(encoding)
        sound = caught.value.object[: caught.value.start]
        assert "".join(found) == sound.decode(encoding.removesuffix("-sig"))


SMALL = bundle(
    entry(1, ',"name":[{"text":"绝密"}],"code":{"a":[0.10,{}]}'), entry(2), after=',"total":2'
).replace(b",", b",\n ")
LINES = b'{"resourceType":"Patient","name":"\xe7\xbb\x9d"}\n' * 3
PIECES = st.sampled_from(
    b'{ } [ ] " \\ , : \n 0 -1e9 null NaN "entry" "resource" \xff \xe7 \\ud800 "resourceType"'.split(b" ")
)


@settings(max_examples=120)
@given(
    st.sampled_from([SMALL, LINES]),
    st.lists(
        st.tuples(st.integers(0, 2**16), st.integers(0, 30), PIECES | st.binary(max_size=3)), max_size=4
    ),
    st.sampled_from(["f.json", "f.ndjson"]),
    st.sampled_from(["utf-8", "gbk", "utf-16"]),
)
def test_changed_bytes_give_records_or_are_refused(
    data: bytes, changes: list[tuple[int, int, bytes]], name: str, encoding: str
) -> None:
    for at, gone, new in changes:
        place = at % (len(data) + 1)
        data = data[:place] + new + data[place + gone :]
    try:
        records = read(data, name, encoding=encoding)
    except Rejected:
        return
    for record in records:
        assert "绝" not in record.get("problem", "")
        if "resource" in record:
            json.loads(record["resource"])
    if "entry" in records[-1] and not any("problem" in r for r in records):
        whole = json.loads(data.decode(encoding).removeprefix("\ufeff"))
        assert len(whole["entry"]) == len(records) - 1


def test_changes_of_a_real_bundle() -> None:
    require_dataset(FOLDER)
    data = min((p.read_bytes() for p in REAL), key=len)[:60_000]
    rng = random.Random(6)
    for _ in range(25):
        at, gone = rng.randrange(len(data)), rng.choice([0, 1, 3, 500])
        records = read(data[:at] + rng.randbytes(rng.choice([0, 1, 4])) + data[at + gone :])
        assert "problem" in records[0]  # it was cut off
