"""Bytes that rows only name go ahead of them: in pieces, once, over crashes, and never as others than was said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from edge_agent.capture import ahead
from edge_agent.sources.memory import Named
from protocol.change import Op
from protocol.envelope import Kind
from protocol.limits import PIECE_BYTES
from protocol.names import TableName
from protocol.schema import Column, TableSchema

from ..keys import STREAM
from ..reading import Change
from .replay import TableLog
from .stage import Stage, crash

FILES = TableName(None, None, "files")
SCHEMA = TableSchema(FILES, (Column("path", pa.string()), Column("content", pa.binary())), ("path",))


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(ahead, "STEP_BYTES", 2 * PIECE_BYTES)
    made = Stage(tmp_path, page_rows=4, deletion_rows_min=100)
    made.replay.tables[FILES] = TableLog(True)
    made.source.create(SCHEMA)
    yield made
    made.close()


def content(number: int, pieces: float = 2.5) -> bytes:
    return bytes([number]) * int(pieces * PIECE_BYTES)


def standing(stage: Stage) -> dict[str, bytes]:
    """Content by path, as a centre has it."""
    stage.read()
    whole: dict[str, bytes] = {}
    for row in stage.replay.tables[FILES].standing():
        length = int.from_bytes(row[1:5], "big")
        path, cell = row[5 : 5 + length].decode(), row[5 + length :]
        whole[path] = stage._reader.objects[cell[1:].hex()]
    return whole


def test_a_file_goes_in_pieces_before_its_row_and_once(stage: Stage) -> None:
    named = stage.source.keep(content(1))
    stage.source.put(FILES, ("a", named), ("b", named), ("c", stage.source.keep(b"small")))
    stage.settle()
    assert standing(stage) == {"a": content(1), "b": content(1), "c": b"small"}
    kinds = stage._reader.kinds
    assert kinds.count(Kind.PIECE) == 4
    assert kinds.index(Kind.BATCH) > max(i for i, kind in enumerate(kinds) if kind is Kind.PIECE)
    stage.source.put(FILES, ("moved", named))
    stage.settle()
    assert standing(stage)["moved"] == content(1)
    assert stage._reader.kinds.count(Kind.PIECE) == 4
    stage.check()


def test_it_goes_on_at_its_piece_after_a_death_at_any_moment(stage: Stage) -> None:
    expected: dict[str, bytes] = {}
    for moment in range(1, 40):
        path = f"f{moment:02}"
        expected[path] = content(moment)
        stage.source.put(FILES, (path, stage.source.keep(expected[path])))
        stage.go_round({moment: crash})
        stage.settle()
        assert standing(stage) == expected
    stage.check()
    assert stage._reader.kinds.count(Kind.PIECE) == 3 * len(expected), "no piece went twice"


def test_a_file_larger_than_the_spool_passes_as_receipts_come(stage: Stage) -> None:
    stage.reopen(bytes_max=4 * PIECE_BYTES)
    large = bytes(range(256)) * (20 * PIECE_BYTES // 256)
    stage.source.put(FILES, ("large", stage.source.keep(large)))
    for _ in range(40):
        fault = stage.go_round()
        stage.read()
        state = stage.spool.stream(STREAM)
        assert state is not None
        stage.spool.receipt(STREAM, 1, state.head_seq, state.head_hash, b"")
        if fault is None:
            break
        assert fault.code == "GC-3001"
    assert standing(stage) == {"large": large}


def test_bytes_that_are_no_longer_what_the_row_says_do_not_go(stage: Stage) -> None:
    """Their last piece never leaves; other rows go on; what stood before stands."""
    first = stage.source.keep(content(1))
    stage.source.put(FILES, ("a", first), ("b", stage.source.keep(b"b")))
    stage.settle()
    second = stage.source.keep(content(2), other=content(2)[:-1] + b"x")
    stage.source.put(FILES, ("a", second), ("c", stage.source.keep(b"c")))
    stage.go_round()
    assert standing(stage) == {"a": content(1), "b": b"b", "c": b"c"}
    assert stage.source.forgotten == [second.sha256]
    stage.source.keep(content(2))  # it is whole after all: from its beginning
    stage.source.put(FILES, ("d", stage.source.keep(b"d")))
    stage.settle()
    assert standing(stage) == {"a": content(2), "b": b"b", "c": b"c", "d": b"d"}
    stage.check()


@pytest.mark.parametrize("sent", [0, 1, 2])
def test_a_file_that_is_gone_on_the_way_holds_nothing_up(stage: Stage, sent: int) -> None:
    lost = stage.source.keep(content(1))
    stage.source.put(FILES, ("a", lost), ("b", stage.source.keep(content(2))), ("c", stage.source.keep(b"c")))

    def before(call: str, table: TableName | None) -> None:
        nonlocal sent
        if call == "read_object":
            sent -= 1
            if sent == -1:
                stage.source.lose(lost)

    stage.source.before = before
    stage.go_round()
    stage.source.before = None
    assert standing(stage) == {"b": content(2), "c": b"c"}
    stage.source.delete(FILES, ("a", lost))
    stage.settle()
    assert standing(stage) == {"b": content(2), "c": b"c"}


def test_a_new_epoch_and_a_gap_begin_anew(stage: Stage) -> None:
    named = stage.source.keep(content(7))
    stage.source.put(FILES, ("a", named))
    stage.work(turns=2)  # some of its pieces
    stage.new_epoch()
    stage.settle()
    assert standing(stage) == {"a": content(7)}
    assert ops_of(stage) == [Op.READ]


def ops_of(stage: Stage) -> list[Op]:
    return [change.op for change in stage.replay.tables[FILES].changes if isinstance(change, Change)]


def test_only_changed_rows_send_anything(stage: Stage) -> None:
    named: list[Named] = [stage.source.keep(content(n, 0.5)) for n in range(9)]
    stage.source.put(FILES, *((f"f{n}", one) for n, one in enumerate(named)))
    stage.settle()
    stage.reopen()
    for one in named:
        stage.source.lose(one)  # nobody asks for them again
    stage.source.put(FILES, ("g", stage.source.keep(b"g")))
    stage.settle()
    assert len(standing(stage)) == 10
    stage.check()
