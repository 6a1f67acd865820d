"""What is authentic and cannot land, from an enrolled agent that lies: journaled and receipted as anything else, then
its table or its stream is parked with a code. The other tables and streams land meanwhile, and the process goes on.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from itertools import permutations

import pyarrow as pa
import pytest
import zstandard

from protocol import ipc
from protocol.change import MarkKind
from protocol.envelope import Kind
from protocol.limits import BATCH_HEADER_BYTES_MAX, MIB, NESTING_DEPTH_MAX, PLAIN_BYTES_MAX
from protocol.names import TableName
from protocol.schema import Column, TableSchema, canonical_json
from tests.unit.central_ingest.sender import CAPTURED, VISITS, a_batch, a_piece, table

from .centre import EVIL, Centre, bounded
from .forging import batch_of, body_of, head_of, inner, send_frame, word, zeros

INFLATED_BYTES_MAX = 3 * PLAIN_BYTES_MAX
"""One envelope's content, and copies of it while it is looked at."""
TEXTS = TableSchema(TableName("db", None, "texts"), (Column("t", pa.string()),))
NAMES = pa.array(["amoxicillin", "aspirin"] * 8)


def lands_beside(centre: Centre) -> None:
    """Another table of the same stream goes on."""
    drugs = table("drugs", "name")
    centre.takes(
        centre.evil.send(Kind.SCHEMA, drugs.content), centre.evil.send(Kind.BATCH, a_batch(drugs, [7]))
    )
    assert centre.versions(EVIL, drugs.table) == [(1, centre.evil.head.seq, 0)]


# what is inflated


@pytest.mark.parametrize("size", [64 * MIB, 256 * MIB], ids=["64 MiB", "256 MiB"])
def test_decompression_bomb(centre: Centre, size: int) -> None:
    """The frame declares what it is; the header says something harmless."""
    bomb = zeros(size)
    assert len(bomb) < 64 * 1024
    with bounded(INFLATED_BYTES_MAX):
        centre.parks(send_frame(centre.evil, Kind.BATCH, bomb, 1_000), code="GC-5007")


def test_decompression_bomb_that_declares_less_than_it_holds(centre: Centre) -> None:
    bomb = zeros(64 * MIB)
    assert bomb[4] >> 6 == 2, "four bytes of content size follow the descriptor"
    at = 5 if bomb[4] & 0x20 else 6
    lie = word(bomb, at, 1_000)
    assert zstandard.get_frame_parameters(lie).content_size == 1_000
    with bounded(INFLATED_BYTES_MAX):
        centre.parks(send_frame(centre.evil, Kind.BATCH, lie, 1_000), code="GC-5006")


@pytest.mark.parametrize(
    ("frame", "declared", "code"),
    [
        (zstandard.ZstdCompressor(write_content_size=False).compress(bytes(MIB)), MIB, "GC-5007"),
        (zeros(MIB) + zeros(MIB), MIB, "GC-5006"),
        (zeros(MIB), MIB - 1, "GC-5007"),
        (zeros(MIB)[:-3], MIB, "GC-5006"),
        (b"\x50\x2a\x4d\x18" + struct.pack("<I", 8) + bytes(8), 0, "GC-5006"),
        (b"", 0, "GC-5006"),
    ],
    ids=["no size", "two frames", "another size", "cut", "a skippable frame", "nothing"],
)
def test_frame_that_is_not_what_it_declares(centre: Centre, frame: bytes, declared: int, code: str) -> None:
    with bounded(INFLATED_BYTES_MAX):
        centre.parks(send_frame(centre.evil, Kind.BATCH, frame, declared), code=code)


def test_a_bomb_inside_arrow(centre: Centre) -> None:
    """Arrow's own compression would inflate what we have bounded."""
    wide = pa.RecordBatch.from_pydict({"t": pa.array(["x" * 60_000] * 100)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, wide.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(wide)
    body = sink.getvalue().to_pybytes()[wide.schema.serialize().size : -8]
    poison = inner(head_of(batch_of(TEXTS, wide)), body)
    assert len(poison) < 64 * 1024
    centre.evil.send(Kind.SCHEMA, TEXTS.content)
    with bounded(INFLATED_BYTES_MAX):
        centre.parks(
            centre.evil.sent[1], centre.evil.send(Kind.BATCH, poison), code="GC-5006", table=TEXTS.table
        )
    lands_beside(centre)


def test_a_dictionary_that_expands_without_end(centre: Centre) -> None:
    """65,536 rows that all name one long value: 4 GiB once it is written out."""
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 65_536, pa.int32()), pa.array(["x" * 65_000]))
    poison = batch_of(TEXTS, pa.RecordBatch.from_pydict({"t": values}))
    first = centre.evil.send(Kind.SCHEMA, TEXTS.content)
    pool = pa.default_memory_pool()
    most, before = pool.max_memory(), pool.bytes_allocated()
    centre.parks(first, centre.evil.send(Kind.BATCH, poison), code="GC-5007", table=TEXTS.table)
    assert pool.bytes_allocated() - before < MIB
    assert pool.max_memory() <= max(most, before + INFLATED_BYTES_MAX)
    lands_beside(centre)


# Arrow


def corrupt_offsets(body: bytes, value: int) -> bytes:
    """The last offset of the text column, which `amoxicillin` ends."""
    text = body.index(b"amoxicillin")
    (at,) = (i for i in range(0, text, 4) if struct.unpack_from("<3i", body, i) == (0, 11, 18))
    return word(body, at + 8, value)


@pytest.mark.parametrize("value", [-1, 2**31 - 1, 100_000, 5], ids=str)
def test_arrow_bytes_with_corrupted_offsets(centre: Centre, value: int) -> None:
    good = batch_of(TEXTS, pa.RecordBatch.from_pydict({"t": NAMES}))
    poison = inner(head_of(good), corrupt_offsets(body_of(good), value))
    first = centre.evil.send(Kind.SCHEMA, TEXTS.content)
    centre.parks(first, centre.evil.send(Kind.BATCH, poison), code="GC-5006", table=TEXTS.table)
    lands_beside(centre)


def dictionaries(what: str) -> bytes:
    """A batch whose dictionary is not what its column needs."""
    values = NAMES.dictionary_encode()
    good = batch_of(TEXTS, pa.RecordBatch.from_pydict({"t": values}))
    head, body = head_of(good), body_of(good)
    (size,) = struct.unpack_from("<i", body, 4)
    end = body.index(b"\xff\xff\xff\xff", 8 + size)
    match what:
        case "missing":
            return inner(head, body[end:])
        case "twice":
            return inner(head, body[:end] + body)
        case "behind its batch":
            return inner(head, body[end:] + body[:end])
        case "not announced":
            return inner({k: v for k, v in head.items() if k != "dictionaries"}, body)
        case "announced of a column that has none":
            plain = batch_of(TEXTS, pa.RecordBatch.from_pydict({"t": NAMES}))
            return inner(head_of(plain) | {"dictionaries": [0]}, body_of(plain))
        case "of a column that is not there":
            return inner(head | {"dictionaries": [0, 9]}, body)
        case "named twice":
            return inner(head | {"dictionaries": [0, 0]}, body)
    index = body.index(struct.pack("<4i", 0, 1, 0, 1))
    return inner(head, word(body, index + 8, {"index too high": 2, "index below zero": -1}[what]))


@pytest.mark.parametrize(
    "what",
    [
        "missing",
        "twice",
        "behind its batch",
        "not announced",
        "announced of a column that has none",
        "of a column that is not there",
        "named twice",
        "index too high",
        "index below zero",
    ],
)
def test_dictionaries_gone_wrong(centre: Centre, what: str) -> None:
    first = centre.evil.send(Kind.SCHEMA, TEXTS.content)
    poison = centre.evil.send(Kind.BATCH, dictionaries(what))
    centre.parks(first, poison, code="GC-5006", table=TEXTS.table)
    lands_beside(centre)


def test_nesting_gone_wrong(centre: Centre) -> None:
    """Lists of lists whose offsets leave what they point into."""
    nested = TableSchema(TableName("db", None, "nested"), (Column("l", pa.list_(pa.list_(pa.int32()))),))
    good = batch_of(
        nested, pa.RecordBatch.from_pydict({"l": pa.array([[[1], [2, 3]], [[4]]], nested.columns[0].wire)})
    )
    body = body_of(good)
    at = body.index(struct.pack("<3i", 0, 2, 3))
    first = centre.evil.send(Kind.SCHEMA, nested.content)
    poison = centre.evil.send(Kind.BATCH, inner(head_of(good), word(body, at + 8, 300)))
    centre.parks(first, poison, code="GC-5006", table=nested.table)
    lands_beside(centre)


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 1},
        {"rows": 65_537},
        {"rows": 0},
        {"extras": ["_gc_epoch"]},
        {"extras": ["_gc_aside", "_gc_aside"]},
    ],
    ids=str,
)
def test_a_batch_that_lies_about_its_rows(centre: Centre, changes: dict[str, object]) -> None:
    """Where its header breaks the model the table is not known, and the stream is parked."""
    poison = batch_of(TEXTS, pa.RecordBatch.from_pydict({"t": NAMES}), **changes)
    first = centre.evil.send(Kind.SCHEMA, TEXTS.content)
    known = changes.get("rows") not in (0, 65_537)
    centre.parks(
        first, centre.evil.send(Kind.BATCH, poison), code="GC-5006", table=TEXTS.table if known else None
    )


@pytest.mark.parametrize("op", [0, ord("m"), ord("x"), 255])
def test_an_operation_that_is_none(centre: Centre, op: int) -> None:
    good = batch_of(TEXTS, pa.RecordBatch.from_pydict({"t": NAMES}))
    body = body_of(good).replace(b"c" * 16, bytes([op]) * 16)
    first = centre.evil.send(Kind.SCHEMA, TEXTS.content)
    poison = centre.evil.send(Kind.BATCH, inner(head_of(good), body))
    centre.parks(first, poison, code="GC-5006", table=TEXTS.table)


# schemas


def test_a_schema_that_does_not_match_its_fingerprint(centre: Centre) -> None:
    """The batch names the fingerprint of a schema that was never sent, or of another table's."""
    first = centre.evil.send(Kind.SCHEMA, VISITS.content)
    other = batch_of(TEXTS, pa.RecordBatch.from_pydict({"t": NAMES}), schema=VISITS.fingerprint.hex())
    centre.parks(first, centre.evil.send(Kind.BATCH, other), code="GC-5006", table=TEXTS.table)
    lands_beside(centre)


def test_rows_under_a_schema_that_is_not_theirs(centre: Centre) -> None:
    numbers = TableSchema(TEXTS.table, (Column("t", pa.decimal128(38, 2)),))
    first = centre.evil.send(Kind.SCHEMA, numbers.content)
    poison = batch_of(TEXTS, pa.RecordBatch.from_pydict({"t": NAMES}), schema=numbers.fingerprint.hex())
    centre.parks(first, centre.evil.send(Kind.BATCH, poison), code="GC-5006", table=TEXTS.table)


def document(**changes: object) -> dict[str, object]:
    said: dict[str, object] = json.loads(TEXTS.content)
    return said | changes


def deep(depth: int) -> object:
    wire: object = "int8"
    for _ in range(depth):
        wire = ["list", wire]
    return wire


def wide(fields: int) -> object:
    return ["struct", [[str(number), "int8"] for number in range(fields)]]


def column(name: str, wire: object) -> dict[str, object]:
    return {"meta": {}, "name": name, "source_type": "", "wire": wire}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (json.dumps(document()).encode(), "GC-5006"),
        (TEXTS.content + b" ", "GC-5006"),
        (json.dumps(document(columns=[column("a", deep(NESTING_DEPTH_MAX + 1))])).encode(), "GC-5007"),
        (b'{"columns":' + b"[" * 100_000, "GC-5006"),
        (b"[" * 2_000_000, "GC-5006"),
        (b"[" + b"[]," * 60_000 + b"[]]", "GC-5006"),
        (b"9" * 1_000_000, "GC-5006"),
        (json.dumps(document(columns=[column("a", "int8")] * 2)).encode(), "GC-5006"),
        (json.dumps(document(columns=[column(str(i), "int8") for i in range(4_097)])).encode(), "GC-5006"),
        (json.dumps(document(columns=[column("a", ["decimal", 39, 0])])).encode(), "GC-5006"),
        (b"TableSchema", "GC-5006"),
        (canonical_json(document(columns=[column("a", wide(10_000))])), "GC-5007"),
        (bytes(2 * MIB + 1), "GC-5007"),
    ],
    ids=[
        "not canonical",
        "a blank behind it",
        "too deep",
        "cut and deep",
        "nothing but depth",
        "lists without end",
        "a number without end",
        "a column twice",
        "too many columns",
        "an impossible decimal",
        "no JSON",
        "too many fields nested",
        "too long",
    ],
)
def test_a_schema_that_is_none(centre: Centre, content: bytes, code: str) -> None:
    with bounded(8 * INFLATED_BYTES_MAX):
        centre.parks(centre.evil.send(Kind.SCHEMA, content), code=code)


# marks


def mark(**changes: object) -> bytes:
    said: dict[str, object] = {
        "captured": CAPTURED,
        "mark": "truncate",
        "table": ["db", None, "visits"],
        "facts": {},
    }
    return inner(json.dumps(said | changes).encode())


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"tables": "x"},
        {"tables": ["x"], "part": 1},
        {
            "tables": [{"table": ["a", None, "b"], "columns": 5, "rows": 1, "captured": True, "reason": ""}],
            "part": 1,
        },
        {"tables": [{"table": [], "columns": [], "rows": 1, "captured": True, "reason": ""}], "part": 1},
        {
            "tables": [
                {"table": ["a", None, "b"], "columns": [], "rows": 2**63, "captured": 1, "reason": ""}
            ],
            "part": 1,
        },
    ],
    ids=["nothing", "text", "no lines", "columns", "no name", "rows"],
)
def test_inventory_nonsense(centre: Centre, facts: dict[str, object]) -> None:
    poison = centre.evil.send(Kind.MARK, mark(mark="inventory", table=None, facts=facts))
    centre.parks(poison, code="GC-5006")


@pytest.mark.parametrize(
    "poison",
    [
        mark(mark="explode"),
        mark(table=["db", None, ""]),
        mark(table=["db", None, "x" * 1_025]),
        mark(table=["db", None, "\ud800"]),
        mark(more=1),
        mark(captured=2**63),
        mark() + b"x",
        inner(b'{"captured":1,"facts":{"a":NaN},"mark":"truncate","table":["d",null,"t"]}'),
        inner(b'{"captured":1,"facts":{"a":' + b"9" * 5_000 + b'},"mark":"truncate","table":["d",null,"t"]}'),
        inner(b'{"captured":1,"facts":{"a":' + b"[" * 100_000 + b'},"mark":"truncate","table":["d",null,"t"]}'),
        struct.pack(">I", BATCH_HEADER_BYTES_MAX + 1) + bytes(BATCH_HEADER_BYTES_MAX + 1),
        struct.pack(">I", 2**32 - 1) + b"{}",
        b"\0\0\0",
        b"",
    ],
    ids=[
        "kind", "no name", "long name", "half a character", "unknown member", "time", "trailing", "NaN", "number",
        "depth", "long header", "longer than itself", "no header", "nothing",
    ],
)  # fmt: skip
def test_mark_nonsense(centre: Centre, poison: bytes) -> None:
    centre.evil.send(Kind.MARK, poison)
    with bounded(INFLATED_BYTES_MAX):
        too_long = (len(poison) > 4 and struct.unpack_from(">I", poison)[0] > len(poison) - 4) or poison[
            :2
        ] == b"\0\x04"
        centre.parks(centre.evil.sent[1], code="GC-5007" if too_long else "GC-5006")


@pytest.mark.parametrize(
    "kind", [MarkKind.SNAPSHOT_END, MarkKind.SNAPSHOT_BEGIN, MarkKind.DROP, MarkKind.INVENTORY]
)
@pytest.mark.parametrize(
    "facts",
    [{"rows": "x"}, {"rows": -1, "set_hash": []}, {"rows": 10**300}, {"rows": True, "batches": None}],
    ids=str,
)
def test_mark_of_impossible_facts(centre: Centre, kind: MarkKind, facts: dict[str, object]) -> None:
    """Facts are landed as they were said; what is derived from them takes none for granted."""
    data = mark(mark=kind.value, snapshot="0" * 32, facts=facts)
    centre.takes(
        centre.evil.send(Kind.SCHEMA, VISITS.content),
        centre.evil.send(Kind.BATCH, a_batch(VISITS, [1])),
        centre.evil.send(Kind.MARK, data),
        centre.evil.send(Kind.BATCH, a_batch(VISITS, [2])),
    )
    assert centre.parked() == {}
    assert centre.landed(EVIL) == [1, 2]


# pieces


@pytest.mark.parametrize("offset", [1, 2**40, 2**62])
def test_a_piece_that_makes_a_hole(centre: Centre, offset: int) -> None:
    """It would make a file of any size, or meet the disk's bound as if the disk were full."""
    poison = centre.evil.send(Kind.PIECE, a_piece("0" * 64, 2**63 - 1, offset, b"x" * 10))
    centre.parks(poison, code="GC-5006")


def test_a_piece_that_lies_about_its_size(centre: Centre) -> None:
    sha = hashlib.sha256(b"x" * 10).hexdigest()
    centre.parks(centre.evil.send(Kind.PIECE, a_piece(sha, 9, 0, b"x" * 9)), code="GC-5006")


def test_a_piece_beyond_its_object(centre: Centre) -> None:
    centre.parks(centre.evil.send(Kind.PIECE, a_piece("0" * 64, 5, 0, b"x" * 10)), code="GC-5007")


def test_a_piece_under_another_name(centre: Centre) -> None:
    centre.parks(centre.evil.send(Kind.PIECE, a_piece("0" * 64, 10, 0, b"x" * 10)), code="GC-5006")
    assert not centre.objects.has(EVIL.site, "0" * 64)


CONTENTS: dict[Kind, Callable[[], bytes]] = {
    Kind.SCHEMA: lambda: TEXTS.content,
    Kind.BATCH: lambda: batch_of(TEXTS, pa.RecordBatch.from_pydict({"t": NAMES})),
    Kind.MARK: mark,
    Kind.PIECE: lambda: a_piece("0" * 64, 20, 0, b"x" * 10),
}


@pytest.mark.parametrize(("kind", "other"), list(permutations(CONTENTS, 2)))
def test_content_of_another_kind(centre: Centre, kind: Kind, other: Kind) -> None:
    """Every kind with the content of every other; it stays parked over a restart."""
    centre.takes(centre.evil.send(kind, CONTENTS[other]()))
    parked = centre.parked()
    assert parked
    assert set(parked.values()) <= {"GC-5006", "GC-5007"}
    centre.start()
    assert centre.parked() == parked


def test_arrow_that_is_not_aligned(centre: Centre) -> None:
    good = batch_of(TEXTS, pa.RecordBatch.from_pydict({"t": NAMES}))
    body = body_of(good)
    (size,) = struct.unpack_from("<i", body, 4)
    odd = body[:4] + struct.pack("<i", size + 1) + body[8 : 8 + size] + b"\0" + body[8 + size :]
    assert ipc.decode(body, pa.schema([*_system(), pa.field("t", pa.string())])).num_rows == 16
    first = centre.evil.send(Kind.SCHEMA, TEXTS.content)
    poison = centre.evil.send(Kind.BATCH, inner(head_of(good), odd))
    centre.parks(first, poison, code="GC-5006", table=TEXTS.table)


def _system() -> list[pa.Field]:
    return [
        pa.field("_gc_op", pa.uint8(), nullable=False),
        pa.field("_gc_key", pa.binary(16), nullable=False),
    ]
