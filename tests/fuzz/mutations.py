"""Changes to bytes, from a seeded chance: blind ones, and ones that know where lengths, JSON and Arrow stand.

A blind change dies at the first length or brace. So what looks like an inner part (u32 length ‖ JSON ‖ body) is
also taken apart: its JSON is changed as a document, its Arrow messages word by word, and it is put together again
so that the change reaches the decoder behind. They know the shapes of the formats and none of their rules.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

WORDS = (
    0,
    1,
    2,
    7,
    8,
    63,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 65_536, 65_537, 2**31, 2**63 - 1, 2**63, -(2**63), 10**400, 1.5, "", "x", "\0",
    "归仓", "a" * 2_000, [], {}, [[]], [None], {"a": None},
)  # fmt: skip
CHANGES_MAX = 4


def mutate(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """One to a few changes of `data`; `others` lend their bytes."""
    for _ in range(rng.randint(1, CHANGES_MAX)):
        change = rng.choice((_blind, _blind, _inner, _inner, _inner, _document))
        data = change(data, rng, others)
    return data


# blind


def _blind(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    match rng.randrange(7):
        case 0 if data:
            at %= len(data)
            return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]
        case 1:
            return data[:at]
        case 2:
            return data[:at] + rng.randbytes(rng.randint(1, 9)) + data[at:]
        case 3:
            return data[:at] + data[at + rng.randint(1, 40) :]
        case 4 if others:
            other = rng.choice(others)
            return data[:at] + other[rng.randrange(len(other) + 1) :]
        case 5:
            return data[:at] + data[at : at + rng.randint(1, 40)] + data[at:]
    return _word(data, at, rng)


def _word(data: bytes, at: int, rng: random.Random) -> bytes:
    """An integer of some width becomes another one: an extreme, or one near to what it was."""
    layout = rng.choice(("B", ">H", "<H", ">I", "<I", ">Q", "<Q"))
    size = struct.calcsize(layout)
    if at + size > len(data):
        return data
    (was,) = struct.unpack_from(layout, data, at)
    near = (was + rng.choice((-8, -1, 1, 8)), was * 2, was // 2)
    value = rng.choice(WORDS if rng.random() < 0.5 else near) % (1 << 8 * size)
    return data[:at] + struct.pack(layout, value) + data[at + size :]


# u32 length ‖ JSON ‖ body


def _inner(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    if len(data) < 4:
        return _blind(data, rng, others)
    (length,) = struct.unpack_from(">I", data)
    head, body = data[4 : 4 + length], data[4 + length :]
    if body and rng.random() < 0.6:
        return data[: 4 + length] + _arrow(body, rng, others)
    head = _document(head, rng, others)
    return struct.pack(">I", len(head)) + head + body


def _arrow(body: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """One aligned word of one message, or the order, number or padding of the messages."""
    parts = _messages(body)
    if not parts or rng.random() < 0.1:
        return _blind(body, rng, others)
    at = rng.randrange(len(parts))
    part = parts[at]
    match rng.randrange(10):
        case 0:
            parts.insert(rng.randrange(len(parts)), part)
        case 1:
            parts.pop(at)
        case 2:
            rng.shuffle(parts)
        case 3:
            parts[at] = (
                part[: rng.randrange(len(part))] + bytes(rng.randrange(9)) + part[rng.randrange(len(part)) :]
            )
        case _:
            word = 8 * rng.randrange(len(part) // 8 + 1)
            parts[at] = _word(part, word + rng.choice((0, 0, 4)), rng)
    return b"".join(parts)


def _messages(body: bytes) -> list[bytes]:
    """The body cut before each continuation marker."""
    starts = [at for at in range(0, len(body), 8) if body[at : at + 4] == b"\xff\xff\xff\xff"]
    return [body[a:b] for a, b in zip(starts, [*starts, len(body)][1:], strict=True)]


# JSON


def _document(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    try:
        document = json.loads(data)
    except ValueError:
        return _blind(data, rng, others)
    return _spell(_changed(document, rng), rng)


def _spell(document: Any, rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        return json.dumps(document).encode()
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _changed(document: Any, rng: random.Random) -> Any:
    """The document with one value somewhere in it changed."""
    if isinstance(document, dict) and document:
        key = rng.choice(sorted(document))
        if rng.random() < 0.15:
            return {k: v for k, v in document.items() if k != key}
        if rng.random() < 0.1:
            return document | {key + rng.choice(("", "x")): rng.choice(VALUES)}
        return document | {key: _changed(document[key], rng)}
    if isinstance(document, list) and document and rng.random() < 0.9:
        at = rng.randrange(len(document))
        if rng.random() < 0.2:
            return document[:at] + document[at + 1 :]
        if rng.random() < 0.2:
            return [*document[:at], document[at], *document[at:]]
        return [*document[:at], _changed(document[at], rng), *document[at + 1 :]]
    return _value(document, rng)


def _value(value: Any, rng: random.Random) -> Any:
    if isinstance(value, int) and rng.random() < 0.5:
        return value + rng.choice((-1, 1, 8, value))
    if isinstance(value, str) and value and rng.random() < 0.5:
        at = rng.randrange(len(value))
        return value[:at] + rng.choice(("", "0", "f", "\0", "归", value)) + value[at + rng.randint(0, 1) :]
    return rng.choice(
        (*VALUES, [value], [value] * 3, {"a": value}, _nested(rng.choice((5, 17, 40, 300)), value))
    )


def _nested(depth: int, value: Any) -> Any:
    for _ in range(depth):
        value = ["list", value] if depth == 17 else [value]
    return value


Mutator = Callable[[bytes, random.Random, Sequence[bytes]], bytes]
