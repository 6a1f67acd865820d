"""What is known of a key: found in whichever shard has it, within any budget, and overridden by the overlay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.capture import known as room
from edge_agent.capture.index import IndexDamaged, IndexFiles
from edge_agent.capture.known import Known
from edge_agent.spool.records import Overlaid, Shard, TableState, Work
from edge_agent.spool.spool import Spool
from protocol.names import TableName

from ..keys import EPOCH_SECRET, STREAM

TABLE = TableName(None, None, "visit")
COUNT = 60
KEYS = [b"key %d" % i for i in range(COUNT)]


def digest(key: bytes) -> bytes:
    return key.ljust(16)[-16:]


@pytest.fixture
def files(tmp_path: Path) -> IndexFiles:
    return IndexFiles(tmp_path / "index")


@pytest.fixture
def spool(tmp_path: Path, files: IndexFiles) -> Iterator[Spool]:
    """Six shards of ten keys each, which are not in the order of their bytes."""
    made = Spool.open(tmp_path / "spool", bytes_max=1 << 20, keep_receipted_bytes=0)
    made.open_epoch(STREAM, 1, b"grant", EPOCH_SECRET)
    bounds = [b"", *(b"bound %d" % i for i in range(5)), b""]
    shards = [
        Shard(bounds[i], bounds[i + 1], files.write_keyed({key: digest(key) for key in KEYS[i::6]}), 10)
        for i in range(6)
    ]
    overlaid = [Overlaid(KEYS[0], b"", fresh=False), Overlaid(KEYS[1], b"n" * 16, fresh=False)]
    overlaid.append(Overlaid(b"new", b"n" * 16, fresh=True))
    state = TableState(TABLE, "follow", b"f")
    made.commit(Work(STREAM, 1, 0, table=state, add_shards=shards, overlaid=overlaid))
    yield made
    made.close()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(st.lists(st.sampled_from([*KEYS, b"new", b"never", b""]), max_size=8), max_size=5),
    hashes=st.integers(0, 70),
    few=st.integers(0, 5),
    parsed=st.integers(0, 3),
)
def test_each_key_is_found_where_it_is(
    spool: Spool, files: IndexFiles, asked: list[list[bytes]], hashes: int, few: int, parsed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "HASHES_MAX", hashes)
        patch.setattr(room, "_FEW", few)
        patch.setattr(room, "PARSED_MAX", parsed)
        known = Known(spool, STREAM, files)
        for keys in asked:
            expected = {key: Overlaid(key, digest(key), fresh=False) for key in KEYS[2:]}
            expected |= spool.overlaid(STREAM, TABLE, [KEYS[0], KEYS[1], b"new"])
            assert known.find(TABLE, keys) == {key: expected[key] for key in keys if key in expected}


def test_a_damaged_shard_is_never_taken_for_one_without_the_key(
    spool: Spool, files: IndexFiles, tmp_path: Path
) -> None:
    known = Known(spool, STREAM, files)
    assert known.find(TABLE, [b"never"]) == {}
    (tmp_path / "index" / spool.shards(STREAM, TABLE)[3].file).unlink()
    assert known.find(TABLE, [KEYS[2]])
    with pytest.raises(IndexDamaged):
        known.find(TABLE, [KEYS[3]])
