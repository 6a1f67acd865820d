"""Writes the frozen vectors: every format of docs/protocol.md once more, independently of our code.

    python tests/vectors/make_vectors.py

It imports nothing of ours and follows the specification alone, so that agreement between it and `protocol/`
means something. All entropy is fixed. Bytes of zstd and Arrow depend on their versions, which each file
names under `made_with`; everything else is the same everywhere. Each case has `name` and `outcome`: "ok",
or the code with which it is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nacl.bindings as sodium
import nacl.public
import nacl.signing
import pyarrow as pa
import zstandard

Json = dict[str, Any]
MIB = 1 << 20


def entropy(name: str, count: int) -> bytes:
    """`count` bytes that look random and are always the same for `name`."""
    return hashlib.shake_256(b"guicang vectors " + name.encode()).digest(count)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def canonical_json(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def blake2b(data: bytes, size: int, key: bytes = b"") -> bytes:
    return hashlib.blake2b(data, digest_size=size, key=key).digest()


# ---- suites ----


class Suite1:
    number, content_key_bytes, capsule_entropy_bytes = 1, 32, 32

    def signing_pair(self, name: str) -> tuple[bytes, bytes]:
        """(secret, public)"""
        seed = entropy(name, 32)
        return seed, bytes(nacl.signing.SigningKey(seed).verify_key)

    def sealing_pair(self, name: str) -> tuple[bytes, bytes]:
        secret = entropy(name, 32)
        return secret, bytes(nacl.public.PrivateKey(secret).public_key)

    def digest(self, data: bytes) -> bytes:
        return blake2b(data, 32)

    def key_id(self, public: bytes) -> bytes:
        return blake2b(public, 8)

    def sign(self, secret: bytes, message: bytes) -> bytes:
        return nacl.signing.SigningKey(secret).sign(message).signature

    def encrypt(self, key: bytes, plain: bytes, aad: bytes) -> bytes:
        return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, aad, bytes(24), key)

    def encapsulate(self, public: bytes, content_key: bytes, fresh: bytes) -> bytes:
        """A libsodium sealed box whose ephemeral key is SHA-512(entropy)[:32]."""
        ephemeral = nacl.public.PrivateKey(hashlib.sha512(fresh).digest()[:32])
        ours = bytes(ephemeral.public_key)
        box = nacl.public.Box(ephemeral, nacl.public.PublicKey(public))
        return ours + box.encrypt(content_key, blake2b(ours + public, 24)).ciphertext


class Suite254:
    number, content_key_bytes, capsule_entropy_bytes = 254, 16, 24

    def signing_pair(self, name: str) -> tuple[bytes, bytes]:
        return entropy(name, 40), entropy(name, 40)

    sealing_pair = signing_pair

    def digest(self, data: bytes) -> bytes:
        return hashlib.blake2b(data, digest_size=20, person=b"guicang-dummy").digest()

    def key_id(self, public: bytes) -> bytes:
        return blake2b(public, 5)

    def sign(self, secret: bytes, message: bytes) -> bytes:
        return hmac.digest(secret, message, "sha512") + b"dummy!"

    def _mask(self, key: bytes, data: bytes) -> bytes:
        return bytes(a ^ b for a, b in zip(data, hashlib.shake_256(key).digest(len(data)), strict=True))

    def encrypt(self, key: bytes, plain: bytes, aad: bytes) -> bytes:
        cipher = self._mask(key, plain)
        return cipher + hmac.digest(key, aad + cipher, "sha256")

    def encapsulate(self, public: bytes, content_key: bytes, fresh: bytes) -> bytes:
        masked = self._mask(public + fresh, content_key)
        return fresh + masked + blake2b(public + fresh + masked, 12)


Suite = Suite1 | Suite254
SUITES: tuple[Suite, ...] = (Suite1(), Suite254())


def keys() -> Json:
    """Secrets of every key used, by suite. They are no secrets."""
    out: Json = {}
    for suite in SUITES:
        pairs = {n: suite.signing_pair(n) for n in ("agent", "centre", "next", "stranger")}
        sealing = {n: suite.sealing_pair(n) for n in ("site", "other-site")}
        out[str(suite.number)] = {
            kind: {n: {"secret": s.hex(), "public": p.hex()} for n, (s, p) in group.items()}
            for kind, group in (("signing", pairs), ("sealing", sealing))
        }
    return out


# ---- schemas ----


def schema_document(
    columns: list[tuple[str, Any]], key: list[str], table: list[str | None], meta: Json | None = None
) -> Json:
    return {
        "columns": [{"meta": {}, "name": n, "source_type": "", "wire": w} for n, w in columns],
        "key": key,
        "meta": meta or {},
        "table": table,
        "v": 1,
    }


ALL_TYPES: list[tuple[str, Any]] = [
    ("bool", "bool"),
    ("int8", "int8"),
    ("int16", "int16"),
    ("int32", "int32"),
    ("int64", "int64"),
    ("float32", "float32"),
    ("float64", "float64"),
    ("decimal", ["decimal", 38, 10]),
    ("string", "string"),
    ("binary", "binary"),
    ("date32", "date32"),
    ("timestamp", "timestamp"),
    ("timestamp_tz", "timestamp_tz"),
    ("list", ["list", "string"]),
    ("struct", ["struct", [["a", "int32"], ["b", ["list", ["decimal", 5, 2]]]]]),
]
VISIT = schema_document(
    [("id", "int64"), ("姓名", "string"), ("科室", "string"), ("费用", ["decimal", 12, 2])],
    ["id"],
    ["his", "dbo", "门诊_Visit"],
    {"timezone": "Asia/Shanghai"},
)
EVERYTHING = schema_document(ALL_TYPES, ["int64", "string"], [None, None, "all types"])
KEYLESS = schema_document([("_gc_op", "string"), ('quote " back \\ line \n', "int8")], [], [None, "s", "log"])


def nested(depth: int) -> Any:
    wire: Any = "int8"
    for _ in range(depth):
        wire = ["list", wire]
    return wire


def bad_schemas() -> dict[str, tuple[bytes, str]]:
    def changed(**members: Any) -> bytes:
        return canonical_json({**VISIT, **members})

    def typed(wire: Any) -> bytes:
        return canonical_json(schema_document([("a", wire)], [], [None, None, "t"]))

    good = canonical_json(VISIT)
    twice = [*VISIT["columns"], VISIT["columns"][0]]
    return {
        "spaces": (json.dumps(VISIT, ensure_ascii=False, sort_keys=True).encode(), "GC-5006"),
        "members not sorted": (
            json.dumps(dict(reversed(VISIT.items())), ensure_ascii=False, separators=(",", ":")).encode(),
            "GC-5006",
        ),
        "escaped text": (json.dumps(VISIT, sort_keys=True, separators=(",", ":")).encode(), "GC-5006"),
        "byte order mark": (b"\xef\xbb\xbf" + good, "GC-5006"),
        "not UTF-8": (good.replace("姓名".encode(), b"\xd0\xd5\xc3\xfb"), "GC-5006"),
        "trailing line feed": (good + b"\n", "GC-5006"),
        "cut": (good[:-1], "GC-5006"),
        "empty": (b"", "GC-5006"),
        "not an object": (b"[]", "GC-5006"),
        "not a number": (changed(v=1).replace(b'"v":1', b'"v":NaN'), "GC-5006"),
        "another version": (changed(v=2), "GC-5006"),
        "version is true": (changed(v=True), "GC-5006"),
        "unknown member": (changed(x=1), "GC-5006"),
        "no columns": (changed(columns=[]), "GC-5006"),
        "column twice": (changed(columns=twice), "GC-5006"),
        "key is no column": (changed(key=["no"]), "GC-5006"),
        "key column twice": (changed(key=["id", "id"]), "GC-5006"),
        "table has no name": (changed(table=["his", "dbo", None]), "GC-5006"),
        "table name is empty": (changed(table=[None, None, ""]), "GC-5006"),
        "table name of 1,025 bytes": (changed(table=[None, None, "x" * 1025]), "GC-5006"),
        "meta is no text": (changed(meta={"a": 1}), "GC-5006"),
        "unknown type": (typed("uint64"), "GC-5006"),
        "decimal of 39 digits": (typed(["decimal", 39, 0]), "GC-5006"),
        "decimal scale above precision": (typed(["decimal", 2, 3]), "GC-5006"),
        "decimal with negative scale": (typed(["decimal", 5, -1]), "GC-5006"),
        "struct without fields": (typed(["struct", []]), "GC-5006"),
        "struct with a field twice": (typed(["struct", [["a", "int8"], ["a", "int8"]]]), "GC-5006"),
        "struct field without a name": (typed(["struct", [["", "int8"]]]), "GC-5006"),
        "half a surrogate pair": (
            typed(["struct", [["HALF", "int8"]]]).replace(b"HALF", b"\\ud800"),
            "GC-5006",
        ),
        "17 lists within each other": (typed(nested(17)), "GC-5007"),
    }


def make_schemas() -> Json:
    good = {
        "hospital visit": VISIT,
        "all wire types": EVERYTHING,
        "no key, odd names": KEYLESS,
        "16 lists within each other": schema_document([("a", nested(16))], [], [None, None, "t"]),
    }
    cases = [
        {
            "name": name,
            "outcome": "ok",
            "document": document,
            "content": b64(canonical_json(document)),
            "fingerprint": blake2b(canonical_json(document), 32).hex(),
        }
        for name, document in good.items()
    ]
    cases += [{"name": n, "outcome": o, "content": b64(c)} for n, (c, o) in bad_schemas().items()]
    return {"cases": cases}


# ---- canonical rows ----
#
# Values are written as: integers, dates (days) and timestamps (µs) as numbers, floats as 16 hex digits of
# their IEEE bytes, decimals and text as text, binary as hex, lists and structs as arrays, null as null.
# {"repeat": value, "times": n} is a long text or binary.


def expand(value: Any) -> Any:
    return value["repeat"] * value["times"] if isinstance(value, dict) else value


def lengthy(tag: int, data: bytes) -> bytes:
    return struct.pack(">BI", tag, len(data)) + data


def cell(wire: Any, value: Any) -> bytes:
    value = expand(value)
    match wire, value:
        case _, None:
            return b"\x00"
        case "bool", bool():
            return b"\x01\x01" if value else b"\x01\x00"
        case "int8" | "int16" | "int32" | "int64", int():
            return struct.pack(">Bq", 2, value)
        case "float32" | "float64", str():
            (number,) = struct.unpack(">d", bytes.fromhex(value))
            return b"\x03" + bytes.fromhex("7ff8000000000000" if math.isnan(number) else value)
        case ["decimal", _, _], str():
            return lengthy(4, shortest_decimal(value).encode())
        case "string", str():
            return text_or_large(5, value.encode())
        case "binary", str():
            return text_or_large(6, bytes.fromhex(value))
        case "date32", int():
            return struct.pack(">Bi", 7, value)
        case "timestamp", int():
            return struct.pack(">Bq", 8, value)
        case "timestamp_tz", int():
            return struct.pack(">Bq", 9, value)
        case ["list", item], list():
            return struct.pack(">BI", 0x0A, len(value)) + b"".join(cell(item, v) for v in value)
        case ["struct", fields], list():
            cells = b"".join(cell(f[1], v) for f, v in zip(fields, value, strict=True))
            return struct.pack(">BI", 0x0B, len(value)) + cells
    raise AssertionError(wire)


def text_or_large(tag: int, data: bytes) -> bytes:
    return b"\x0c" + hashlib.sha256(data).digest() if len(data) > 65_536 else lengthy(tag, data)


def shortest_decimal(text: str) -> str:
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    out = f"{whole}.{fraction}" if fraction else whole
    return "0" if out == "-0" else out


def aside_cell(entry: Json) -> bytes:
    if entry["reason"] == "large":
        return b"\x0c" + bytes.fromhex(entry["sha256"])
    original = entry["original"]
    data = (
        b"\x0c" + bytes.fromhex(entry["sha256"]) if original is None else lengthy(6, bytes.fromhex(original))
    )
    return b"\x0d" + lengthy(5, entry["reason"].encode()) + data


COLUMNS: dict[str, tuple[Any, list[Any]]] = {
    "bool": ("bool", [True, False, None]),
    "int8": ("int8", [0, -128, 127, None]),
    "int16": ("int16", [1, -32768, 32767]),
    "int32": ("int32", [1, -(2**31), 2**31 - 1]),
    "int64": ("int64", [1, -(2**63), 2**63 - 1, None]),
    "float32": ("float32", ["3ff8000000000000", "bff0000000000000", "7ff8000000000000", None]),
    "float64": (
        "float64",
        [
            "3fb999999999999a",
            "0000000000000000",
            "8000000000000000",
            "7ff0000000000000",
            "fff0000000000000",
            "7ff8000000000000",
            "fff8000000000001",
            "0000000000000001",
            None,
        ],
    ),
    "decimal": (
        ["decimal", 20, 2],
        ["0.00", "-0.50", "1.20", "100.00", "999999999999999999.99", "-0.01", "-7.00", None],
    ),
    "decimal whole": (["decimal", 20, 0], ["18446744073709551615", "0", "-10", None]),
    "string": ("string", ["", "a", "归仓", "a\u0000b", "😀", "e\u0301", None]),
    "string at the limit": (
        "string",
        [
            {"repeat": "x", "times": 65_536},
            {"repeat": "x", "times": 65_537},
            {"repeat": "中", "times": 21_846},
        ],
    ),
    "binary": ("binary", ["", "00", "ff00", {"repeat": "00", "times": 65_537}, None]),
    "date32": ("date32", [0, -719162, 2932896, None]),
    "timestamp": ("timestamp", [0, -62135596800000000, 253402300799999999, None]),
    "timestamp with zone": ("timestamp_tz", [0, 1700000000123456, -1, None]),
    "list": (["list", "string"], [[], ["a"], ["a", None, ""], None, [{"repeat": "y", "times": 65_537}]]),
    "list of lists": (["list", ["list", "int8"]], [[[1], []], [[], [1]], [None], []]),
    "struct": (
        ["struct", [["a", "int32"], ["b", ["list", "string"]]]],
        [[1, ["x"]], [None, None], [2, []], None],
    ),
}

ASIDES: list[list[Json] | None] = [
    None,
    [{"column": "b", "reason": "range", "original": b"0000-00-00".hex(), "sha256": None, "bytes": None}],
    [
        {
            "column": "b",
            "reason": "large",
            "original": None,
            "sha256": hashlib.sha256(b"x" * 70_000).hexdigest(),
            "bytes": 70_000,
        },
        {"column": "c", "reason": "charset", "original": "d0d5", "sha256": None, "bytes": None},
    ],
    [
        {
            "column": "b",
            "reason": "type",
            "original": None,
            "sha256": hashlib.sha256(b"y" * 70_000).hexdigest(),
            "bytes": 70_000,
        }
    ],
]

BAD_ROWS = {
    "unknown tag": "0e",
    "bool of 2": "0102",
    "cut bool": "01",
    "cut int": "02000000000000",
    "NaN with a payload": "037ff8000000000001",
    "cut text length": "05000000",
    "text longer than the row": "050000000261",
    "text that is no UTF-8": "0500000001ff",
    "decimal with a superfluous zero": "0400000003312e30",
    "decimal with a leading zero": "04000000023031",
    "decimal that is negative zero": "04000000022d30",
    "decimal with an exponent": "0400000003314532",
    "decimal that is NaN": "04000000034e614e",
    "decimal in other digits": "0400000003" + "１".encode().hex(),
    "list longer than the row": "0a0000000200",
    "17 lists within each other": "0a00000001" * 17 + "00",
    "large value has no value here": "0c" + "00" * 32,
    "aside has no value here": "0d0500000001610600000000",
}


def make_canonical() -> Json:
    columns: list[Json] = [
        {
            "name": name,
            "outcome": "ok",
            "wire": wire,
            "values": values,
            "cells": [sizeable(cell(wire, v)) for v in values],
        }
        for name, (wire, values) in COLUMNS.items()
    ]
    wires: list[Any] = ["int64", "string", "string"]
    rows_in: list[list[Any]] = [[1, "张三", None], [2, None, "x"], [3, None, None], [4, None, ""]]
    rows = []
    for values, entries in zip(rows_in, ASIDES, strict=True):
        cells = {n: cell(w, v) for n, w, v in zip("abc", wires, values, strict=True)}
        cells.update({e["column"]: aside_cell(e) for e in entries or ()})
        rows.append(b"".join(cells[n] for n in "abc"))
    secret = entropy("canonical secret", 32)
    digests = [blake2b(r, 16) for r in rows]
    return {
        "columns": columns,
        "rows": {
            "name": "asides",
            "outcome": "ok",
            "names": ["a", "b", "c"],
            "wires": wires,
            "values": rows_in,
            "asides": ASIDES,
            "rows": [r.hex() for r in rows],
            "digests": [d.hex() for d in digests],
            "secret": secret.hex(),
            "keyed_digests": [blake2b(r, 16, secret).hex() for r in rows],
            "set_hash": f"{sum(int.from_bytes(d, 'big') for d in digests) % (1 << 128):032x}",
        },
        "bad": [{"name": n, "outcome": "GC-5006", "row": r} for n, r in BAD_ROWS.items()],
    }


def sizeable(data: bytes) -> str:
    """Hex, or for more than 256 bytes its BLAKE2b-256 after a `#`."""
    return data.hex() if len(data) <= 256 else "#" + blake2b(data, 32).hex()


# ---- inner parts ----


def with_header(header: Json, body: bytes = b"") -> bytes:
    text = canonical_json(header)
    return struct.pack(">I", len(text)) + text + body


def arrow_type(wire: Any) -> pa.DataType:
    match wire:
        case "timestamp":
            return pa.timestamp("us")
        case "timestamp_tz":
            return pa.timestamp("us", tz="UTC")
        case ["decimal", p, s]:
            return pa.decimal128(p, s)
        case ["list", item]:
            return pa.list_(arrow_type(item))
        case ["struct", fields]:
            return pa.struct([pa.field(n, arrow_type(w)) for n, w in fields])
    return getattr(pa, {"bool": "bool_"}.get(wire, wire))()


def messages_of(stream: bytes) -> list[bytes]:
    """The encapsulated messages of an Arrow IPC stream, the schema's first, without the end marker."""
    out, offset = [], 0
    while stream[offset : offset + 8] != b"\xff\xff\xff\xff\x00\x00\x00\x00":
        (size,) = struct.unpack_from("<i", stream, offset + 4)
        metadata = stream[offset + 8 : offset + 8 + size]
        (root,) = struct.unpack_from("<I", metadata, 0)
        (back,) = struct.unpack_from("<i", metadata, root)
        (vtable_bytes,) = struct.unpack_from("<H", metadata, root - back)
        slot = struct.unpack_from("<H", metadata, root - back + 10)[0] if vtable_bytes > 10 else 0
        body = struct.unpack_from("<q", metadata, root + slot)[0] if slot else 0
        out.append(stream[offset : offset + 8 + size + body])
        offset += 8 + size + body
    return out


def ipc_body(batches: list[pa.RecordBatch], **options: Any) -> list[bytes]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(use_threads=False, **options)
    ) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return messages_of(sink.getvalue().to_pybytes())[1:]


OP = pa.field("_gc_op", pa.uint8(), nullable=False)
KEY = pa.field("_gc_key", pa.binary(16), nullable=False)
OLD_KEY = pa.field("_gc_old_key", pa.binary(16))
SOURCE_TIME = pa.field("_gc_source_time", pa.timestamp("us", tz="UTC"))
ASIDE = pa.field(
    "_gc_aside",
    pa.list_(
        pa.struct(
            [
                ("column", pa.string()),
                ("reason", pa.string()),
                ("original", pa.binary()),
                ("sha256", pa.binary()),
                ("bytes", pa.int64()),
            ]
        )
    ),
)
UNCHANGED = pa.field("_gc_unchanged", pa.list_(pa.string()))


def system_arrays(ops: str, cells: list[bytes]) -> list[pa.Array]:
    return [
        pa.array(list(ops.encode()), pa.uint8()),
        pa.array([blake2b(c, 16) for c in cells], pa.binary(16)),
    ]


def visit_rows(dictionary: bool = False, extras: bool = False) -> tuple[pa.RecordBatch, Json]:
    ids = [1, 2, 3]
    fields, arrays = [OP, KEY], system_arrays("rud", [cell("int64", i) for i in ids])
    if extras:
        fields += [OLD_KEY, SOURCE_TIME, ASIDE, UNCHANGED]
        aside = {
            "column": "姓名",
            "reason": "charset",
            "original": b"\xd0\xd5",
            "sha256": None,
            "bytes": None,
        }
        arrays += [
            pa.array([None, blake2b(cell("int64", 9), 16), None], OLD_KEY.type),
            pa.array([1700000000000000, None, 1700000000000001], SOURCE_TIME.type),
            pa.array([[aside], None, None], ASIDE.type),
            pa.array([None, ["科室"], None], UNCHANGED.type),
        ]
    departments = pa.array(["内科", "内科", None])
    columns = [
        pa.array(ids, pa.int64()),
        pa.array([None, "李四", None]),
        departments.dictionary_encode() if dictionary else departments,
        pa.array(["1.00", "-2.50", None]).cast(pa.decimal128(12, 2)),
    ]
    fields += [pa.field(c["name"], a.type) for c, a in zip(VISIT["columns"], columns, strict=True)]
    header: Json = {
        "captured": 1700000000000000,
        "rows": 3,
        "schema": blake2b(canonical_json(VISIT), 32).hex(),
        "table": VISIT["table"],
    }
    if dictionary:
        header["dictionaries"] = [2]
    if extras:
        header["extras"] = [f.name for f in fields[2:6]]
    return pa.RecordBatch.from_arrays(arrays + columns, schema=pa.schema(fields)), header


def everything_batch() -> bytes:
    sample: Json = {
        "bool": [True, None],
        "int8": [-128, None],
        "int16": [1, None],
        "int32": [2, None],
        "int64": [3, 4],
        "float32": [1.5, None],
        "float64": [float("inf"), None],
        "string": ["k", "键"],
        "binary": [b"\x00\xff", None],
        "date32": [-719162, None],
        "timestamp": [-1, None],
        "timestamp_tz": [253402300799999999, None],
        "list": [["a", None], None],
        "struct": [{"a": 1, "b": None}, None],
    }
    arrays = []
    for name, wire in ALL_TYPES:
        if name == "decimal":
            arrays.append(pa.array(["12345678901234567890.0123456789", None]).cast(arrow_type(wire)))
        else:
            arrays.append(pa.array(sample[name], arrow_type(wire)))
    keys_ = [cell("int64", i) + cell("string", s) for i, s in ((3, "k"), (4, "键"))]
    fields = [OP, KEY] + [pa.field(n, a.type) for (n, _), a in zip(ALL_TYPES, arrays, strict=True)]
    batch = pa.RecordBatch.from_arrays(system_arrays("cr", keys_) + arrays, schema=pa.schema(fields))
    header = {
        "captured": 1,
        "cut": True,
        "group_end": True,
        "position": "pg:0/16B3748:3",
        "rows": 2,
        "schema": blake2b(canonical_json(EVERYTHING), 32).hex(),
        "table": EVERYTHING["table"],
    }
    return with_header(header, b"".join(ipc_body([batch])))


def plain_batch(**flags: bool) -> bytes:
    batch, header = visit_rows(**flags)
    return with_header(header, b"".join(ipc_body([batch])))


def good_inners() -> dict[str, tuple[int, bytes]]:
    """name → (kind, inner). Kinds: 1 schema, 2 batch, 3 mark, 4 piece, 5 gap, 6 rotation."""
    snapshot = entropy("snapshot", 16).hex()
    mark = {"captured": 1700000000000000, "schema": blake2b(canonical_json(VISIT), 32).hex()}
    mark |= {"snapshot": snapshot, "table": VISIT["table"]}
    whole = {"captured": 1, "table": VISIT["table"]}
    big = hashlib.sha256(b"piece" * 300).hexdigest()
    facts = {"batches": 1, "rows": 3, "set_hash": entropy("set", 16).hex()}
    return {
        "schema": (1, canonical_json(VISIT)),
        "schema of all types": (1, canonical_json(EVERYTHING)),
        "batch": (2, plain_batch()),
        "batch with a dictionary": (2, plain_batch(dictionary=True)),
        "batch with extras": (2, plain_batch(extras=True)),
        "batch with a dictionary and extras": (2, plain_batch(dictionary=True, extras=True)),
        "batch of all types": (2, everything_batch()),
        "mark snapshot_begin": (3, with_header(mark | {"mark": "snapshot_begin"})),
        "mark snapshot_end": (3, with_header(mark | {"mark": "snapshot_end", "facts": facts, "cut": True})),
        "mark truncate": (3, with_header(whole | {"mark": "truncate"})),
        "mark drop": (3, with_header(whole | {"mark": "drop"})),
        "mark inventory": (
            3,
            with_header(
                {"captured": 1, "table": None, "mark": "inventory", "facts": {"tables": [VISIT["table"]]}}
            ),
        ),
        "piece": (4, with_header({"captured": 1, "sha256": big, "size": 1500, "offset": 0}, b"piece" * 200)),
        "last piece": (
            4,
            with_header({"captured": 1, "sha256": big, "size": 1500, "offset": 1000}, b"piece" * 100),
        ),
        "gap": (5, b"spool row damaged"),
        "rotation": (6, b""),
    }


def corrupt_offsets() -> bytes:
    batch, header = visit_rows()
    offsets = struct.pack("<4i", 0, 5000, 2, 6)
    names = pa.StringArray.from_buffers(3, pa.py_buffer(offsets), pa.py_buffer("李四".encode()))
    return with_header(header, b"".join(ipc_body([batch.set_column(3, batch.schema.field(3), names)])))


def bad_inners() -> dict[str, tuple[int, bytes, str]]:
    """name → (kind, inner, outcome): authentic envelopes whose content is wrong."""
    batch, header = visit_rows()
    body = b"".join(ipc_body([batch]))
    coded, coded_header = visit_rows(dictionary=True)
    dictionary, coded_rows = ipc_body([coded])
    marked = pa.RecordBatch.from_arrays(
        [pa.array(list(b"rum"), pa.uint8()), *batch.columns[1:]], batch.schema.names
    )
    keyless = batch.set_column(1, KEY, pa.array([bytes(16), None, bytes(16)], KEY.type))
    other_types = pa.RecordBatch.from_arrays([*batch.columns[:5], pa.array([1, 2, 3])], batch.schema.names)
    delta = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, coded.schema, options=delta) as writer:
        writer.write_batch(coded)
        longer = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1], pa.int32()), pa.array(["内科", "外科"]))
        writer.write_batch(coded.set_column(4, coded.schema.field(4), longer))
    _, first, _, second, last = messages_of(sink.getvalue().to_pybytes())
    with_schema = pa.BufferOutputStream()
    with pa.ipc.new_stream(with_schema, batch.schema) as writer:
        writer.write_batch(batch)
    piece = {"captured": 1, "sha256": "00" * 32, "size": 10, "offset": 0}
    mark = {"captured": 1, "mark": "truncate", "table": VISIT["table"]}
    nan = canonical_json({**mark, "facts": {"rows": 0}}).replace(b'"rows":0', b'"rows":NaN')
    content = canonical_json(VISIT)
    return {
        "schema with spaces": (1, json.dumps(VISIT, sort_keys=True).encode(), "GC-5006"),
        "schema cut": (1, content[:-2], "GC-5006"),
        "batch under a schema that was never sent": (
            2,
            with_header(header | {"schema": "00" * 32}, body),
            "GC-5006",
        ),
        "batch of another table than its schema's": (
            2,
            with_header(header | {"table": [None, None, "x"]}, body),
            "GC-5006",
        ),
        "batch with more rows than its header says": (2, with_header(header | {"rows": 2}, body), "GC-5006"),
        "batch with fewer rows than its header says": (2, with_header(header | {"rows": 4}, body), "GC-5006"),
        "batch of no rows": (2, with_header(header | {"rows": 0}, body), "GC-5006"),
        "batch header with an unknown member": (2, with_header(header | {"x": 1}, body), "GC-5006"),
        "batch header with a number as text": (2, with_header(header | {"rows": "3"}, body), "GC-5006"),
        "batch header longer than the content": (2, struct.pack(">I", 1000) + b"{}", "GC-5007"),
        "batch header above its bound": (2, struct.pack(">I", 256 * 1024 + 1) + bytes(300_000), "GC-5007"),
        "batch header cut": (2, b"\x00\x00", "GC-5006"),
        "IPC with LZ4 buffers": (
            2,
            with_header(header, b"".join(ipc_body([batch], compression="lz4"))),
            "GC-5006",
        ),
        "IPC with zstd buffers": (
            2,
            with_header(header, b"".join(ipc_body([batch], compression="zstd"))),
            "GC-5006",
        ),
        "IPC with corrupted offsets": (2, corrupt_offsets(), "GC-5006"),
        "IPC with bytes behind it": (2, with_header(header, body + b"\x00"), "GC-5006"),
        "IPC with its schema message": (
            2,
            with_header(header, b"".join(messages_of(with_schema.getvalue().to_pybytes()))),
            "GC-5006",
        ),
        "IPC with an end marker": (
            2,
            with_header(header, body + b"\xff\xff\xff\xff\x00\x00\x00\x00"),
            "GC-5006",
        ),
        "IPC of two record batches": (2, with_header(header, body + body), "GC-5006"),
        "IPC cut": (2, with_header(header, body[:-8]), "GC-5006"),
        "IPC of nothing": (2, with_header(header), "GC-5006"),
        "IPC of other types": (2, with_header(header, b"".join(ipc_body([other_types]))), "GC-5006"),
        "dictionary that was not announced": (2, with_header(header, dictionary + body), "GC-5006"),
        "dictionary missing": (2, with_header(coded_header, coded_rows), "GC-5006"),
        "dictionary twice": (2, with_header(coded_header, dictionary * 2 + coded_rows), "GC-5006"),
        "dictionary after the rows": (2, with_header(coded_header, coded_rows + dictionary), "GC-5006"),
        "dictionary delta": (
            2,
            with_header(coded_header | {"dictionaries": [1, 2]}, first + second + last),
            "GC-5006",
        ),
        "dictionary column named twice": (
            2,
            with_header(coded_header | {"dictionaries": [2, 2]}, dictionary + coded_rows),
            "GC-5006",
        ),
        "dictionary column beyond the last": (
            2,
            with_header(coded_header | {"dictionaries": [4]}, dictionary + coded_rows),
            "GC-5006",
        ),
        "extra that does not exist": (2, with_header(header | {"extras": ["_gc_seq"]}, body), "GC-5006"),
        "mark as a row": (2, with_header(header, b"".join(ipc_body([marked.cast(batch.schema)]))), "GC-5006"),
        "row without a key": (2, with_header(header, b"".join(ipc_body([keyless]))), "GC-5006"),
        "mark of an unknown kind": (3, with_header(mark | {"mark": "erase"}), "GC-5006"),
        "mark with bytes behind it": (3, with_header(mark, b"x"), "GC-5006"),
        "mark with a fact that is NaN": (3, struct.pack(">I", len(nan)) + nan, "GC-5006"),
        "mark of a table without a name": (3, with_header(mark | {"table": [None, None, ""]}), "GC-5006"),
        "piece of nothing": (4, with_header(piece), "GC-5007"),
        "piece beyond its object": (4, with_header(piece | {"offset": 8}, b"abc"), "GC-5007"),
        "piece of 512 KiB and one byte": (
            4,
            with_header(piece | {"size": MIB}, bytes(512 * 1024 + 1)),
            "GC-5007",
        ),
        "piece with a negative offset": (4, with_header(piece | {"offset": -1}, b"abc"), "GC-5006"),
    }


# ---- envelopes ----


def short(data: bytes) -> bytes:
    return struct.pack(">B", len(data)) + data


def long(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def compress(plain: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1, write_content_size=True).compress(plain)


class Envelope:
    """One envelope in parts: change any attribute before `build`, or the bytes after it."""

    def __init__(
        self, suite: Suite, name: str, kind: int, inner: bytes, seq: int = 1, previous: bytes = b""
    ) -> None:
        self.suite, self.name = suite, name
        self.kind, self.inner = kind, inner
        self.seq, self.previous = seq, previous
        self.magic, self.version, self.flags, self.number = b"GCEV", 1, 0, suite.number
        self.site, self.source = b"330106-H01", b"his"
        self.epoch = 7
        self.frame: bytes | None = None
        self.plain_bytes: int | None = None
        self.cipher_bytes: int | None = None
        self.signing_key: bytes | None = None
        self.sealing_key: bytes | None = None
        self.capsule_to = "site"
        self.signer = "agent"
        self.extension = b""
        self.aad: bytes | None = None
        self.cipher: bytes | None = None
        self.header = b""
        self.hash = b""

    @property
    def entropy(self) -> bytes:
        return entropy(self.name, self.suite.content_key_bytes + self.suite.capsule_entropy_bytes)

    def build(self) -> bytes:
        suite = self.suite
        content_key, fresh = (
            self.entropy[: suite.content_key_bytes],
            self.entropy[suite.content_key_bytes :],
        )
        secret, public = suite.signing_pair(self.signer)
        site_public = suite.sealing_pair("site")[1]
        frame = compress(self.inner) if self.frame is None else self.frame
        authenticator = len(suite.encrypt(content_key, b"", b""))
        cipher_bytes = len(frame) + authenticator if self.cipher is None else len(self.cipher)
        self.header = b"".join(
            (
                struct.pack(">4sBBBB", self.magic, self.version, self.number, self.kind, self.flags),
                short(self.site),
                short(self.source),
                struct.pack(">QQ", self.epoch, self.seq),
                short(self.previous),
                struct.pack(
                    ">II",
                    len(self.inner) if self.plain_bytes is None else self.plain_bytes,
                    cipher_bytes if self.cipher_bytes is None else self.cipher_bytes,
                ),
                short(suite.key_id(public) if self.signing_key is None else self.signing_key),
                short(suite.key_id(site_public) if self.sealing_key is None else self.sealing_key),
                long(suite.encapsulate(suite.sealing_pair(self.capsule_to)[1], content_key, fresh)),
                long(self.extension),
            )
        )
        cipher = self.cipher
        if cipher is None:
            cipher = suite.encrypt(content_key, frame, self.header if self.aad is None else self.aad)
        digests = suite.digest(self.header) + suite.digest(cipher)
        self.hash = suite.digest(digests)
        return self.header + cipher + long(suite.sign(secret, b"guicang/envelope/1\x00" + digests))


def gap_extension(through: int, resume: bytes) -> bytes:
    return struct.pack(">Q", through) + short(resume)


def rotation_extension(suite: Suite, envelope: Envelope) -> bytes:
    secret, public = suite.signing_pair("next")
    stream = f"{envelope.site.decode()}/{envelope.source.decode()}"
    text = f"{stream}\x00{envelope.epoch}\x00{envelope.seq}\x00".encode()
    return long(public) + long(suite.sign(secret, b"guicang/rotation/1\x00" + text + public))


def good_envelopes(suite: Suite) -> list[Json]:
    """A whole chain: each names the one before it."""
    cases, previous, seq = [], b"", 1
    for name, (kind, inner) in good_inners().items():
        envelope = Envelope(suite, f"{suite.number} {name}", kind, inner, seq, previous)
        last, resume = seq, b""
        if kind == 5:
            last, resume = seq + 4, suite.digest(b"the lost envelope")
            envelope.extension = gap_extension(last, resume)
        if kind == 6:
            envelope.extension = rotation_extension(suite, envelope)
        data = envelope.build()
        cases.append(
            {
                "name": envelope.name,
                "outcome": "ok",
                "suite": suite.number,
                "kind": kind,
                "seq": seq,
                "last_seq": last,
                "previous": previous.hex(),
                "extension": envelope.extension.hex(),
                "entropy": envelope.entropy.hex(),
                "inner": b64(inner),
                "header": envelope.header.hex(),
                "hash": envelope.hash.hex(),
                "envelope": b64(data),
            }
        )
        previous, seq = resume or envelope.hash, last + 1
    return cases


Change = Callable[[Envelope], None]


def bad_fields(suite: Suite) -> dict[str, tuple[Change, str, str]]:
    """name → (what is wrong, where it is refused, code); all of these are signed as they stand."""
    hash_ = suite.digest(b"an envelope")

    def put(**values: Any) -> Change:
        def change(envelope: Envelope) -> None:
            for attribute, value in values.items():
                setattr(envelope, attribute, value)

        return change

    def frame(data: bytes, plain: int) -> Change:
        return put(frame=data, plain_bytes=plain)

    inner = good_inners()["batch"][1]
    unsized = zstandard.ZstdCompressor(level=1, write_content_size=False).compress(inner)
    lying = bytearray(compress(b"a" * 300))
    lying[5] += 1  # FCS of two bytes after magic and descriptor: 256 + value
    bomb = compress(bytes(64 * MIB))
    skippable = b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"junk"
    return {
        "bad magic": (put(magic=b"GCEX"), "parse", "GC-5001"),
        "version 2": (put(version=2), "parse", "GC-5001"),
        "flags": (put(flags=1), "parse", "GC-5001"),
        "kind 0": (put(kind=0), "parse", "GC-5001"),
        "kind 7": (put(kind=7), "parse", "GC-5001"),
        "site with a slash": (put(site=b"a/b"), "parse", "GC-5001"),
        "site that is empty": (put(site=b""), "parse", "GC-5001"),
        "site of 33 characters": (put(site=b"a" * 33), "parse", "GC-5001"),
        "source in capitals": (put(source=b"HIS"), "parse", "GC-5001"),
        "source that is no ASCII": (put(source="门诊".encode()), "parse", "GC-5001"),
        "epoch 0": (put(epoch=0), "parse", "GC-5001"),
        "epoch 2**63": (put(epoch=2**63), "parse", "GC-5001"),
        "sequence 0": (put(seq=0), "parse", "GC-5001"),
        "sequence 2**63": (put(seq=2**63, previous=hash_), "parse", "GC-5001"),
        "sequence 1 with a previous hash": (put(seq=1, previous=hash_), "parse", "GC-5001"),
        "sequence 2 without a previous hash": (put(seq=2, previous=b""), "parse", "GC-5001"),
        "plain length above its bound": (put(plain_bytes=8 * MIB + 1), "parse", "GC-5007"),
        "cipher length longer than the data": (put(cipher_bytes=2**32 - 1), "parse", "GC-5001"),
        "header of more than 2 KiB": (
            put(kind=6, extension=long(bytes(2100)) + long(b"")),
            "parse",
            "GC-5007",
        ),
        "extension on a batch": (put(extension=b"x"), "parse", "GC-5001"),
        "gap that goes backwards": (
            put(kind=5, seq=9, previous=hash_, extension=gap_extension(8, hash_)),
            "parse",
            "GC-5001",
        ),
        "gap beyond the last sequence": (
            put(kind=5, extension=gap_extension(2**63, hash_)),
            "parse",
            "GC-5001",
        ),
        "gap without an extension": (put(kind=5), "parse", "GC-5001"),
        "gap with bytes behind it": (
            put(kind=5, extension=gap_extension(1, hash_) + b"x"),
            "parse",
            "GC-5001",
        ),
        "rotation without an extension": (put(kind=6), "parse", "GC-5001"),
        "rotation with bytes behind it": (
            put(kind=6, extension=long(b"key") + long(b"proof") + b"x"),
            "parse",
            "GC-5001",
        ),
        "another suite's number": (put(number=77), "verify", "GC-5002"),
        "signed by a stranger": (
            put(signer="stranger", signing_key=suite.key_id(suite.signing_pair("agent")[1])),
            "verify",
            "GC-5002",
        ),
        "signing key id of a stranger": (
            put(signing_key=suite.key_id(suite.signing_pair("stranger")[1])),
            "verify",
            "GC-5002",
        ),
        "signing key id that is empty": (put(signing_key=b""), "verify", "GC-5002"),
        "sealing key that nobody holds": (
            put(sealing_key=suite.key_id(b"another public key")),
            "open",
            "GC-5005",
        ),
        "capsule for another key": (put(capsule_to="other-site"), "open", "GC-5005"),
        "ciphertext of another header": (put(aad=b"another header"), "open", "GC-5005"),
        "ciphertext shorter than its authenticator": (put(cipher=b"short"), "open", "GC-5005"),
        "ciphertext that is empty": (put(cipher=b""), "open", "GC-5005"),
        "plain length one too big": (put(plain_bytes=len(inner) + 1), "open", "GC-5007"),
        "plain length one too small": (put(plain_bytes=len(inner) - 1), "open", "GC-5007"),
        "zstd frame without its size": (put(frame=unsized), "open", "GC-5007"),
        "zstd frame with bytes behind it": (put(frame=compress(inner) + b"x"), "open", "GC-5006"),
        "two zstd frames": (put(frame=compress(inner) + compress(b"x")), "open", "GC-5006"),
        "zstd frame after a skippable one": (put(frame=skippable + compress(inner)), "open", "GC-5006"),
        "zstd frame cut": (put(frame=compress(inner)[:-3]), "open", "GC-5006"),
        "zstd frame of another size than it declares": (frame(bytes(lying), 301), "open", "GC-5006"),
        "empty zstd frame with bytes behind it": (frame(compress(b"") + b"junk", 0), "open", "GC-5006"),
        "not compressed": (put(frame=inner), "open", "GC-5006"),
        "nothing inside": (frame(b"", 0), "open", "GC-5006"),
        "bomb that says 64 MiB": (frame(bomb, 64 * MIB), "parse", "GC-5007"),
        "bomb that says a kilobyte": (frame(bomb, 1024), "open", "GC-5007"),
    }


def bad_envelopes(suite: Suite) -> list[Json]:
    inner = good_inners()["batch"][1]
    cases: list[Json] = []

    def add(name: str, stage: str, outcome: str, data: bytes) -> None:
        cases.append(
            {
                "name": f"{suite.number} {name}",
                "outcome": outcome,
                "stage": stage,
                "suite": suite.number,
                "envelope": b64(data),
            }
        )

    for name, (change, stage, outcome) in bad_fields(suite).items():
        envelope = Envelope(suite, f"{suite.number} {name}", 2, inner)
        change(envelope)
        add(name, stage, outcome, envelope.build())

    base = Envelope(suite, f"{suite.number} base", 2, inner)
    data = base.build()
    header_end = len(base.header)
    for cut in (0, 3, 7, 8, 20, header_end - 1, header_end, len(data) - 70, len(data) - 1):
        add(f"cut to {cut} bytes", "parse", "GC-5001", data[:cut])
    add("bytes behind it", "parse", "GC-5001", data + b"\x00")
    for label, position in (
        ("epoch", 8 + 11 + 4 + 7),
        ("capsule", header_end - 4),
        ("ciphertext", header_end + 9),
    ):
        flipped = bytearray(data)
        flipped[position] ^= 1
        add(f"bit flipped in {label}", "verify", "GC-5002", bytes(flipped))
    flipped = bytearray(data)
    flipped[-1] ^= 1
    add("bit flipped in signature", "verify", "GC-5002", bytes(flipped))
    if suite.number == 1:
        for name, (kind, content, outcome) in bad_inners().items():
            add(name, "content", outcome, Envelope(suite, name, kind, content).build())
    return cases


def make_envelopes() -> Json:
    return {
        "made_with": made_with(),
        "keys": keys(),
        "site": "330106-H01",
        "source": "his",
        "epoch": 7,
        "schemas": [b64(canonical_json(s)) for s in (VISIT, EVERYTHING)],
        "good": [case for suite in SUITES for case in good_envelopes(suite)],
        "bad": [case for suite in SUITES for case in bad_envelopes(suite)],
    }


# ---- messages and sealed blobs ----

AGENT = entropy("agent id", 16).hex()
SESSION = entropy("session", 16).hex()


def payloads() -> dict[str, tuple[int, Json]]:
    stream = {"site": "330106-H01", "source": "his", "epoch": 7}
    to_agent = {"agent": AGENT, "session": SESSION, **stream}
    time = 1700000000000000
    return {
        "hello": (
            1,
            {
                "agent": AGENT,
                "session": SESSION,
                "version": "0.1.0",
                "time": time,
                "streams": [{**stream, "seq": 12, "hash": "ab" * 32, "grant": "R0NNUw"}],
                "wants": ["lis"],
            },
        ),
        "receipt": (2, {**to_agent, "seq": 12, "hash": "ab" * 32, "credit": 9_000_000}),
        "receipt of nothing": (2, {**to_agent, "seq": 0, "hash": "", "credit": 0}),
        "expected": (3, {**to_agent, "seq": 13, "credit": 9_000_000}),
        "grant": (4, {"agent": AGENT, **stream, "key_id": "0102030405060708", "issued": time}),
        "refusal": (5, {**to_agent, "code": "GC-3006"}),
        "centre_state": (6, {"online": True, "instance": SESSION, "time": time}),
        "agent_state": (7, {"agent": AGENT, "time": time, "status": {"数据源": {"lag_seconds": 1}}}),
        "command": (
            8,
            {
                "agent": AGENT,
                "id": SESSION,
                "name": "snapshot",
                "arguments": {"source": "his"},
                "issued": time,
                "expires": time + 60_000_000,
            },
        ),
        "answer": (9, {"agent": AGENT, "id": SESSION, "done": False, "code": "GC-2001", "facts": {}}),
        "enrol": (
            10,
            {
                "agent": AGENT,
                "site": "330106-H01",
                "secret": "00" * 16,
                "signing_public": "11" * 32,
                "sources": ["his", "lis"],
                "version": "0.1.0",
                "time": time,
            },
        ),
        "enrolled": (11, {"agent": AGENT, "site": "330106-H01", "accepted": True, "grants": ["R0NNUw"]}),
        "again": (12, {**to_agent, "first": 4, "last": 12, "before": "cd" * 32, "hash": "ab" * 32}),
        "again from the first": (12, {**to_agent, "first": 1, "last": 1, "before": "", "hash": "ab" * 32}),
        "gone": (13, {**to_agent, "seq": 12}),
    }


def message(suite: Suite, type_: int, body: bytes, signer: str = "centre", **changes: Any) -> bytes:
    secret, public = suite.signing_pair(signer)
    key_id: bytes = changes.get("key_id", suite.key_id(public))
    magic: bytes = changes.get("magic", b"GCMS")
    version: int = changes.get("version", 1)
    number: int = changes.get("number", suite.number)
    signed = struct.pack(">4sBBBB", magic, version, number, type_, len(key_id)) + key_id
    signed += struct.pack(">I", len(body)) + body
    return signed + long(suite.sign(secret, b"guicang/message/1\x00" + suite.digest(signed)))


def bad_messages(suite: Suite) -> dict[str, tuple[str, bytes, str]]:
    """name → (stage, data, outcome); the receiver expects a receipt."""
    receipt = payloads()["receipt"][1]
    good = message(suite, 2, canonical_json(receipt))
    flipped = bytearray(good)
    flipped[40] ^= 1
    retyped = bytearray(good)
    retyped[6] = 3
    stranger_id = suite.key_id(suite.signing_pair("centre")[1])

    def changed(**members: Any) -> bytes:
        return message(suite, 2, canonical_json({**receipt, **members}))

    return {
        "bad magic": ("parse", message(suite, 2, b"{}", magic=b"GCMX"), "GC-4004"),
        "version 2": ("parse", message(suite, 2, b"{}", version=2), "GC-4004"),
        "type 0": ("parse", message(suite, 0, b"{}"), "GC-4004"),
        "type 14": ("parse", message(suite, 14, b"{}"), "GC-4004"),
        "empty": ("parse", b"", "GC-4004"),
        "cut in the head": ("parse", good[:7], "GC-4004"),
        "cut in the key id": ("parse", good[:10], "GC-4004"),
        "cut in the payload": ("parse", good[:60], "GC-4004"),
        "cut in the signature": ("parse", good[:-1], "GC-4004"),
        "bytes behind it": ("parse", good + b"\x00", "GC-4004"),
        "bit flipped": ("verify", bytes(flipped), "GC-5002"),
        "type changed": ("verify", bytes(retyped), "GC-5002"),
        "another suite's number": (
            "verify",
            message(suite, 2, canonical_json(receipt), number=77),
            "GC-5002",
        ),
        "signed by a stranger": (
            "verify",
            message(suite, 2, canonical_json(receipt), signer="stranger", key_id=stranger_id),
            "GC-5002",
        ),
        "key id of a stranger": (
            "verify",
            message(suite, 2, canonical_json(receipt), signer="stranger"),
            "GC-5002",
        ),
        "another type": ("read", message(suite, 3, canonical_json(payloads()["expected"][1])), "GC-4004"),
        "not JSON": ("read", message(suite, 2, b"{"), "GC-4004"),
        "not UTF-8": ("read", message(suite, 2, b'{"a":"\xff"}'), "GC-4004"),
        "unknown member": ("read", changed(x=1), "GC-4004"),
        "number as text": ("read", changed(seq="12"), "GC-4004"),
        "epoch 0": ("read", changed(epoch=0), "GC-4004"),
        "negative sequence": ("read", changed(seq=-1), "GC-4004"),
        "sequence 2**63": ("read", changed(seq=2**63), "GC-4004"),
        "hash in capitals": ("read", changed(hash="AB" * 32), "GC-4004"),
        "agent with a line feed": ("read", changed(agent=AGENT + "\n"), "GC-4004"),
        "site with a slash": ("read", changed(site="a/b"), "GC-4004"),
    }


def blob(suite: Suite, name: str, plain: bytes, context: bytes, to: str = "site") -> bytes:
    fresh = entropy(name, suite.content_key_bytes + suite.capsule_entropy_bytes)
    content_key, rest = fresh[: suite.content_key_bytes], fresh[suite.content_key_bytes :]
    public = suite.sealing_pair(to)[1]
    capsule = suite.encapsulate(public, content_key, rest)
    head = b"GCSB" + struct.pack(">B", suite.number) + short(suite.key_id(suite.sealing_pair("site")[1]))
    head += long(capsule)
    return head + suite.encrypt(content_key, plain, context + head)


def make_messages() -> Json:
    good, bad, blobs, sealed = [], [], [], []
    for suite in SUITES:
        for name, (type_, payload) in payloads().items():
            body = canonical_json(payload)
            data = message(suite, type_, body)
            case = {"name": f"{suite.number} {name}", "outcome": "ok", "suite": suite.number, "type": type_}
            good.append({**case, "payload": payload, "message": b64(data)})
        for name, (stage, data, outcome) in bad_messages(suite).items():
            case = {"name": f"{suite.number} {name}", "outcome": outcome, "stage": stage}
            bad.append({**case, "suite": suite.number, "message": b64(data)})
        blobs += blob_cases(suite)
        for name in ("agent_state", "enrol"):
            type_, payload = payloads()[name]
            label = f"{suite.number} sealed {name}"
            context = b"guicang/message/1\x00" + bytes((type_,))
            data = message(suite, type_, blob(suite, label, canonical_json(payload), context), signer="agent")
            count = suite.content_key_bytes + suite.capsule_entropy_bytes
            sealed.append(
                {
                    "name": label,
                    "outcome": "ok",
                    "suite": suite.number,
                    "type": type_,
                    "payload": payload,
                    "entropy": entropy(label, count).hex(),
                    "message": b64(data),
                }
            )
    return {"keys": keys(), "good": good, "bad": bad, "sealed": sealed, "blobs": blobs}


def blob_cases(suite: Suite) -> list[Json]:
    name, plain, context = f"{suite.number} blob", b"what status shows", b"a context\x00"
    data = blob(suite, name, plain, context)
    flipped = data[:-1] + bytes((data[-1] ^ 1,))
    key_id_bytes = data[5]
    unknown = data[:6] + bytes(key_id_bytes) + data[6 + key_id_bytes :]
    variants = {
        "good": (data, context, "ok"),
        "empty content": (blob(suite, name + "0", b"", context), context, "ok"),
        "another context": (data, b"another", "GC-5005"),
        "bit flipped": (flipped, context, "GC-5005"),
        "for another key": (blob(suite, name, plain, context, to="other-site"), context, "GC-5005"),
        "key id that nobody holds": (unknown, context, "GC-5005"),
        "bad magic": (b"GCSX" + data[4:], context, "GC-5001"),
        "another suite's number": (data[:4] + b"\x4d" + data[5:], context, "GC-5001"),
        "cut in the head": (data[:7], context, "GC-5001"),
        "cut in the capsule": (data[:30], context, "GC-5001"),
        "cut in the authenticator": (data[: -len(plain) - 5], context, "GC-5005"),
    }
    count = suite.content_key_bytes + suite.capsule_entropy_bytes
    return [
        {
            "name": f"{suite.number} {label}",
            "outcome": outcome,
            "suite": suite.number,
            "context": ctx.hex(),
            "plain": "" if label == "empty content" else plain.hex(),
            "entropy": entropy(name + ("0" if label == "empty content" else ""), count).hex(),
            "blob": b64(bytes_),
        }
        for label, (bytes_, ctx, outcome) in variants.items()
    ]


# ---- names ----


def make_names() -> Json:
    tables = [
        ["his", "dbo", "门诊_Visit"],
        [None, None, "挂号"],
        [None, "public", "A  very--Long " + "name " * 20],
        [None, None, 'quote"\\\n\u2028'],
        ["a", None, "b"],
        ["a", "b", "c.d"],
    ]
    cases: list[Json] = []
    for parts in tables:
        digest = blake2b(json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode(), 16).hex()
        cases.append({"name": str(parts), "outcome": "ok", "table": parts, "digest": digest})
    public = entropy("agent key", 32)
    return {
        "tables": cases,
        "agents": [
            {"name": "agent id", "outcome": "ok", "public": public.hex(), "agent": blake2b(public, 16).hex()}
        ],
    }


def made_with() -> Json:
    return {"zstd": ".".join(map(str, zstandard.ZSTD_VERSION)), "arrow": pa.__version__}


def build() -> dict[str, Json]:
    """File name → document."""
    return {
        "names.json": make_names(),
        "schemas.json": make_schemas(),
        "canonical.json": make_canonical(),
        "envelopes.json": make_envelopes(),
        "messages.json": make_messages(),
    }


def main() -> None:
    for name, document in build().items():
        text = json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        Path(__file__).with_name(name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
