"""MySQL's rows come apart however the line cuts them; bytes that are no result are told from rows."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.packets import TAKE_BYTES_MAX, Packets, Torn

Row = Sequence[bytes | None]

VALUES = (
    st.binary(max_size=20)
    | st.none()
    | st.integers(245, 260).map(bytes)
    | st.sampled_from([b"\xfe", b"\xff"])
)
ROWS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(VALUES, min_size=width, max_size=width), max_size=50)
)
END = b"\xfe\x00\x00\x02\x00"
PACKET_BYTES_MAX = (1 << 24) - 1


def _value(value: bytes | None) -> bytes:
    if value is None:
        return b"\xfb"
    size = len(value)
    if size < 0xFB:
        return bytes([size]) + value
    if size < 1 << 16:
        return b"\xfc" + struct.pack("<H", size) + value
    if size < 1 << 24:
        return b"\xfd" + struct.pack("<I", size)[:3] + value
    return b"\xfe" + struct.pack("<Q", size) + value


def _line(payloads: Sequence[bytes], sequence: int = 7) -> bytes:
    line = b""
    for payload in payloads:
        rest = payload
        while True:
            part = rest[:PACKET_BYTES_MAX]
            rest = rest[PACKET_BYTES_MAX:]
            line += struct.pack("<I", len(part))[:3] + bytes([sequence]) + part
            sequence = (sequence + 1) % 256
            if len(part) < PACKET_BYTES_MAX:
                break
    return line


def _payloads(rows: Sequence[Row]) -> list[bytes]:
    return [b"".join(map(_value, row)) for row in rows]


def _received(line: bytes, size: int) -> Callable[[], bytes]:
    parts = iter([line[i : i + size] for i in range(0, len(line), size)])
    return lambda: next(parts, b"")


def _read(packets: Packets, width: int, count: int) -> list[list[bytes | None]]:
    rows: list[list[bytes | None]] = []
    while True:
        columns = packets.take(count)
        assert len(columns) == width
        assert len(columns[0]) <= count
        if not len(columns[0]):
            return rows
        rows += [list(row) for row in zip(*(c.to_pylist() for c in columns), strict=True)]


@given(ROWS, st.integers(1, 3_000), st.sampled_from([1, 2, 7, 1_000]))
def test_every_value_comes_back(rows: list[list[bytes | None]], size: int, count: int) -> None:
    width = len(rows[0]) if rows else 2
    packets = Packets(_received(_line([*_payloads(rows), END]), size), width, 7)
    assert _read(packets, width, count) == rows
    assert packets.ended
    assert packets.error is None


@pytest.mark.parametrize("extra", [-11, -10, PACKET_BYTES_MAX - 11])
def test_a_row_of_many_packets(extra: int) -> None:
    long = bytes(PACKET_BYTES_MAX + extra)
    rows: list[list[bytes | None]] = [[b"a", None], [long, b"b"], [None, b"c" * 70_000], [b"d", b""]]
    packets = Packets(_received(_line([*_payloads(rows), END]), 1 << 20), 2, 7)
    assert _read(packets, 2, 3) == rows


def test_rows_that_grow_a_thousandfold_do_not_come_all_at_once() -> None:
    short: Row = (b"a", b"b")
    long: Row = (b"a", bytes(100_000))
    rows = [short] * 100 + [long] * 100
    packets = Packets(_received(_line([*_payloads(rows), END]), 1 << 20), 2, 7)
    sizes, found = [], 0
    while len((columns := packets.take(5_000))[0]):
        sizes.append(sum(column.nbytes for column in columns))
        found += len(columns[0])
    assert found == len(rows)
    assert max(sizes) < TAKE_BYTES_MAX + 200_000


def test_an_error_ends_the_rows() -> None:
    error = b"\xff\x25\x05#70100Query execution was interrupted"
    packets = Packets(_received(_line([b"\x01a", error]), 100), 1, 7)
    assert _read(packets, 1, 10) == [[b"a"]]
    assert packets.error == error


@pytest.mark.parametrize(
    "line",
    [
        b"",
        _line([b"\x01a"]),
        _line([b"\x01a", END])[:-1],
        _line([b"\x02a", END]),
        _line([b"\x01ab", END]),
        _line([b"\x01a\x01b", END]),
        _line([b"\xfc\xff\xff", END]),
        _line([b"\xfd\xff\xff\xff", END]),
        _line([b"\xfe" + b"\xff" * 8, END]),
        _line([b"\xfe\x01\x00\x00\x00\x01\x00\x00\x00" + b"a" * 5, END]),
        _line([b"", END]),
        _line([b"\x01a", END], sequence=8),
        _line([b"\x01a"]) + _line([END]),
        _line([b"\x01a", END, b"\x01b"]),
    ],
)
def test_what_is_no_result_is_torn(line: bytes) -> None:
    packets = Packets(_received(line, 1_000), 1, 7)
    with pytest.raises(Torn):
        _read(packets, 1, 10)
