"""Whatever happens to `changes`, a materialised `current` says what a replay says, at the version that it states."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import event, given, settings
from hypothesis import strategies as st

from central_ingest.landing import materialised
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.deriving import schema_of
from central_ingest.landing.history import History
from central_ingest.landing.lake import Txn
from central_ingest.landing.localstore import LocalStore
from central_ingest.landing.materialised import PART, TAIL, VIEW
from central_ingest.landing.materialising import Limits, Made, Materialising, path_of
from central_ingest.landing.overlay import overlay
from central_ingest.landing.query import CatalogueTable, QueryEngine
from central_ingest.landing.replay import replay
from central_ingest.landing.statement import PROPERTY, Statement
from protocol.errors import Transient
from protocol.names import TableName
from tests.foreign import by_kernel

from .changes_tables import SOURCE, Line, change, mark, table
from .histories import histories
from .test_statement import _envelopes

PATH = "changes/h1/his/visits-0a1b2c3d"
S1 = "1" * 32
TINY = Limits(window_bytes=1, bucket_bytes=20_000, merge_share=0.5, small_rows=0)
"""A window an envelope, some buckets, tails as often as merges."""


class Ground:
    """A lake with the `changes` of one table, and the `current` that is made of it."""

    def __init__(self, root: Path, keyed: bool = True, limits: Limits | None = None) -> None:
        self.root = root
        self.keyed = keyed
        self._limits = limits
        self.time = 1_000
        self.reopen()

    def reopen(self) -> None:
        """As after a kill."""
        self.store = Dying(self.root)
        self.lake = DeltaLake(self.store)
        self.job = Materialising(self.lake, self.root.parent / "scratch", self._now, self._limits)

    def _now(self) -> int:
        self.time += 1
        return self.time

    def land(self, lines: Sequence[Line]) -> None:
        """The envelopes of `lines`, in one commit."""
        rows = table(lines)
        txns = {f"h1/his/{one['_gc_epoch']}": one["_gc_seq"] for one in lines}
        self.lake.append(PATH, rows, [Txn(app, seq) for app, seq in txns.items()])

    def compact(self) -> None:
        """All files of `changes` become one, its rows in another order."""
        files = self.lake.files(PATH)
        rows = pa.concat_tables([one for file in files for one in self.lake.read_file(PATH, file)])
        mixed = rows.sort_by([("_gc_ord", "descending"), ("_gc_seq", "descending")])
        assert self.lake.rewrite(PATH, files, [mixed], changes_rows=False) is not None

    def step(self, **more: Any) -> Made:
        made = self.job.step(PATH, self.keyed, **more)
        assert made is not None
        return made

    @property
    def said(self) -> Statement:
        text = DeltaTable(self.place).metadata().configuration[PROPERTY]
        found = Statement.from_json(text)
        assert found is not None
        return found

    @property
    def place(self) -> Path:
        return self.root / path_of(PATH)

    def replayed(self) -> list[Line]:
        """What should stand at the version that is stated."""
        return _sorted(replay(self.lake.read(PATH), self.keyed, self.said.upto))

    def asked(self) -> list[Line]:
        """What stands to whoever asks through us: exact at every moment."""
        entry = CatalogueTable("h1", "his", TableName(None, None, "t"), PATH, ("id",) * self.keyed, "t")
        lake = DeltaLake(self.root)
        overlaid = partial(overlay, lake, PATH, self.keyed)
        return self._lines(QueryEngine([entry], lake.dataset, overlay=lambda _: overlaid()).current(entry))

    def seen(self) -> dict[str, list[Line]]:
        """What stands to others: by deltalake and polars, and by delta-kernel and SQL."""
        names = schema_of(self.lake.read(PATH).schema).names
        return {"polars": self._by_polars(names), "kernel": self._by_kernel(names)}

    def _by_polars(self, names: list[str]) -> list[Line]:
        rows = pl.scan_delta(str(self.place))
        tail = rows.filter(pl.col("_gc_part") == "tail").sort("_gc_step").unique("_gc_key", keep="last")
        base = rows.filter(pl.col("_gc_part") != "tail").join(tail, on="_gc_key", how="anti")
        found = pl.concat([base, tail.filter("_gc_live")]).select(names).collect()
        return self._lines(found.to_arrow())

    def _by_kernel(self, names: list[str]) -> list[Line]:
        with duckdb.connect(":memory:") as engine:
            engine.execute("SET TimeZone = 'UTC'").fetchall()
            engine.register("visits", by_kernel(self.place))
            quoted = ", ".join(f'"{name}"' for name in names)
            found = engine.sql(VIEW.format(table="visits", columns=quoted)).to_arrow_table()
        return self._lines(found)

    def _lines(self, found: pa.Table) -> list[Line]:
        return _sorted(found.cast(schema_of(self.lake.read(PATH).schema)).to_pylist())


def _sorted(rows: list[Line]) -> list[Line]:
    return sorted(rows, key=repr)


class Died(BaseException):
    """A kill: nothing below may take it for a fault."""


class Dying(LocalStore):
    """A disk whose process is killed at the n-th write of a name, before or after it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.writes: int | None = None
        self.fails = False
        self.after = False

    def create(self, name: str, content: bytes) -> None:
        self._passed(lambda: super(Dying, self).create(name, content))

    def put(self, name: str, content: bytes) -> None:
        self._passed(lambda: super(Dying, self).put(name, content))

    def _passed(self, write: Callable[[], None]) -> None:
        if self.fails:
            raise OSError("no room")
        if self.writes is None:
            write()
            return
        self.writes -= 1
        if self.writes < 0:
            if self.after:
                write()
            raise Died
        write()


def _groups(draw: st.DataObject, envelopes: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    rest = list(envelopes)
    while rest:
        count = draw.draw(st.integers(1, len(rest)))
        yield rest[:count]
        rest = rest[count:]


def _agrees(ground: Ground) -> None:
    assert ground.asked() == _sorted(replay(ground.lake.read(PATH), ground.keyed))
    expected = ground.replayed()
    for reader, found in ground.seen().items():
        assert found == expected, reader


_LIMITS = st.sampled_from(
    [
        TINY,
        Limits(),
        Limits(1, 1 << 20, 9.0, 0),
        Limits(1 << 20, 20_000, 9.0, 0),
        Limits(1 << 20, 1 << 20, 0.5, 0),
    ]
)
_MEANWHILE = st.lists(
    st.sampled_from(["step", "step", "step", "compact", "kill", "die", "rebuild"]), max_size=3
)


def _does(ground: Ground, what: str, draw: st.DataObject) -> None:
    match what:
        case "step":
            event("recomputed" if ground.step().recomputed else "advanced")
        case "compact":
            ground.compact()
        case "kill":
            ground.reopen()
        case "rebuild":
            ground.step(rebuild=True)
        case "die":
            ground.store.writes, ground.store.after = draw.draw(st.integers(0, 3)), draw.draw(st.booleans())
            try:
                ground.step()
            except Died:
                event("died")
            ground.reopen()


@settings(max_examples=12, deadline=None)
@given(st.booleans(), st.data())
def test_after_any_sequence_of_changes_kills_and_maintenance_it_is_a_replay(
    keyed: bool, data: st.DataObject
) -> None:
    lines = data.draw(histories(keyed=keyed))
    with tempfile.TemporaryDirectory() as directory:
        ground = Ground(Path(directory) / "lake", keyed, data.draw(_LIMITS))
        for group in _groups(data, _envelopes(lines)):
            ground.land([one for one in lines if (one["_gc_epoch"], one["_gc_seq"]) in group])
            for what in data.draw(_MEANWHILE):
                _does(ground, what, data)
            if DeltaTable.is_deltatable(str(ground.place)):
                _agrees(ground)
        if lines:
            while ground.step().more:
                pass
            assert ground.said.place == _envelopes(lines)[-1]
            _agrees(ground)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path / "lake", limits=Limits(bucket_bytes=100_000, merge_share=0.2, small_rows=0))


def _key(number: int) -> str:
    """Spread over all places, as digests are."""
    return chr(number * 37 % 127) + chr(number % 127) + str(number)


def _filled(ground: Ground, rows: int = 2_000) -> None:
    """A snapshot of so many rows, materialised in buckets."""
    lines = [change(1, 2, i, "r", _key(i), id=i, 姓名=f"{i:040}") for i in range(rows)]
    ground.land([mark(1, 1, "snapshot_begin", S1), *lines, mark(1, 3, "snapshot_end", S1, rows)])
    assert ground.step().recomputed


def _parts(ground: Ground) -> dict[str, list[str]]:
    """The files of each part of the materialised table."""
    found: dict[str, list[str]] = {}
    for file in ground.lake.files(path_of(PATH)):
        found.setdefault(file.partition[PART] or "", []).append(file.path)
    return found


def test_changes_wait_in_the_tail_until_a_merge_pays(ground: Ground) -> None:
    _filled(ground)
    base = _parts(ground)
    assert len(base) > 1
    assert TAIL not in base
    ground.land([change(1, 4, i, "u" if i else "d", _key(i), id=-i) for i in range(300)])
    made = ground.step()
    assert (made.base_rows, made.tail_rows, made.recomputed) == (2_000, 300, False)
    assert _parts(ground) | {TAIL: []} == base | {TAIL: []}
    _agrees(ground)
    ground.land([change(1, 5, i, "u", _key(i), id=7) for i in range(200, 300)])
    made = ground.step()
    assert (made.base_rows, made.tail_rows, made.recomputed) == (1_999, 0, False)
    _agrees(ground)


def test_a_merge_rewrites_the_buckets_that_were_touched_and_no_other(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "lake", limits=Limits(bucket_bytes=100_000, merge_share=0.0, small_rows=0))
    _filled(ground)
    before = _parts(ground)
    ground.land([change(1, 4, 0, "u", _key(5), id=-5), change(1, 4, 1, "c", _key(5) + "new", id=-6)])
    assert ground.step().tail_rows == 0
    after = _parts(ground)
    assert sum(before[part] != after[part] for part in before) == 1 < len(before)
    _agrees(ground)


def test_a_bucket_that_has_grown_is_halved(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "lake", limits=Limits(bucket_bytes=100_000, merge_share=0.0, small_rows=0))
    ground.land([change(1, 1, 0, "c", "a", id=1)])
    ground.step()
    assert list(_parts(ground)) == ["base-0000-ffff"]
    ground.land([change(1, 2, i, "c", _key(i), id=i, 姓名="x" * 100) for i in range(2_000)])
    ground.step()
    firsts = range(0, 0x8000, 0x2000)  # no key lies above
    assert sorted(_parts(ground)) == [f"base-{first:04x}-{first + 0x1FFF:04x}" for first in firsts]
    _agrees(ground)


def test_a_small_table_can_be_read_plainly(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "lake")
    ground.land([change(1, 1, i, "c", str(i), id=i) for i in range(9)])
    ground.step()
    ground.land([change(1, 2, 0, "u", "1", id=11), change(1, 3, 0, "d", "2")])
    ground.step()
    assert TAIL not in _parts(ground)
    plain = pl.read_delta(str(ground.place))
    assert sorted(plain["id"].to_list()) == [0, 3, 4, 5, 6, 7, 8, 11]
    assert plain["_gc_live"].all()


def test_a_tail_of_many_small_files_becomes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materialised, "_TAIL_FILES_MAX", 8)
    ground = Ground(tmp_path / "lake", limits=Limits(merge_share=9.0, small_rows=0))
    _filled(ground, 100)
    for seq in range(4, 13):
        assert len(_parts(ground).get(TAIL, [])) == seq - 4
        ground.land([change(1, seq, 0, "u" if seq % 2 else "d", _key(seq % 3), id=seq)])
        ground.step()
    assert len(_parts(ground)[TAIL]) == 1
    _agrees(ground)


def test_what_an_update_left_out_is_found_in_base_and_tail(ground: Ground) -> None:
    _filled(ground)
    ground.land(
        [
            change(1, 4, 0, "u", _key(1), id=1, 姓名="in the tail"),
            change(1, 4, 1, "d", _key(2)),
            change(1, 4, 2, "u", _key(3), id=3, 姓名="twice"),
        ]
    )
    ground.step()
    ground.land([change(1, 5, i, "u", _key(i), id=-i, unchanged=["姓名"]) for i in range(5)])
    assert not ground.step().recomputed
    rows = {row["id"]: row["姓名"] for row in ground.replayed() if row["_gc_seq"] == 5}
    assert rows == {0: f"{0:040}", -1: "in the tail", -2: None, -3: "twice", -4: f"{4:040}"}
    _agrees(ground)


def test_a_recompute_by_buckets_finds_what_a_key_in_another_bucket_held(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "lake", limits=Limits(bucket_bytes=10_000, merge_share=0.2, small_rows=0))
    lines = [change(1, 1, i, "c", _key(i), id=i, 姓名=f"{i:040}") for i in range(2_000)]
    for i in range(50):
        moved = [
            ("d", _key(i), {}),
            ("c", f"moved{i}", {"old_key": _key(i), "unchanged": ["姓名"], "id": -i}),
        ]
        lines += [change(1, 2, 2 * i + n, op, key, **more) for n, (op, key, more) in enumerate(moved)]
    ground.land(lines)
    assert ground.step().recomputed
    assert len(_parts(ground)) > 1
    assert sum(row["姓名"] == f"{7:040}" for row in ground.replayed()) == 1
    _agrees(ground)


def test_a_floor_that_moves_sends_to_the_history(ground: Ground) -> None:
    ground.land([change(1, 1, 0, "c", "swept", id=1), change(1, 1, 1, "c", "read", id=2)])
    ground.step()
    ground.land([mark(1, 2, "snapshot_begin", S1), change(1, 3, 0, "r", "read", id=3)])
    assert not ground.step().recomputed
    assert len(ground.replayed()) == 2
    _agrees(ground)
    ground.land([mark(1, 4, "snapshot_end", S1, 1)])
    assert ground.step().recomputed
    assert [row["id"] for row in ground.replayed()] == [3]
    _agrees(ground)
    ground.land([mark(1, 5, "truncate"), change(1, 6, 0, "c", "new", id=4)])
    assert ground.step().recomputed
    assert [row["id"] for row in ground.replayed()] == [4]
    _agrees(ground)


def test_what_is_new_is_told_by_version_whatever_file_it_lies_in(ground: Ground) -> None:
    for seq in range(1, 6):
        ground.land([change(1, seq, i, "c", f"{seq}{i}", id=seq) for i in range(2)])
    ground.land([change(2, 1, 0, "c", "later", id=6)])
    ground.compact()
    history = History.as_seen(ground.lake, PATH)
    assert history is not None
    assert history.last == (2, 1)

    def found(after: tuple[int, int] | None, upto: tuple[int, int]) -> list[int]:
        return sorted(id_ for piece in history.pieces(after, upto) for id_ in piece["id"].to_pylist())

    assert found((1, 3), (1, 4)) == [4, 4]
    assert found((1, 4), (2, 1)) == [5, 5, 6]
    assert found(None, (1, 1)) == [1, 1]
    assert found((2, 1), (2, 1)) == []
    assert history.window_end((1, 1), (2, 1), 1) == (1, 2)
    assert history.window_end((1, 1), (2, 1), 1 << 30) == (2, 1)


def test_a_column_that_comes_later_comes_to_the_materialised_table(ground: Ground) -> None:
    _filled(ground, 100)
    wider = pa.schema([*SOURCE, ("电话", pa.string())])
    rows = table([change(1, 4, 0, "u", _key(1), id=1, 电话="12345")], wider)
    ground.lake.append(PATH, rows, [Txn("h1/his/1", 4)])
    ground.step()
    _agrees(ground)
    assert [row["电话"] for row in ground.replayed() if row["id"] == 1] == ["12345"]


def test_a_store_that_fails_leaves_the_last_good_version(ground: Ground) -> None:
    _filled(ground, 100)
    said, rows = ground.said, ground.seen()
    ground.land([change(1, 4, 0, "u", _key(1), id=-1)])
    ground.store.fails = True
    with pytest.raises(Transient, match="GC-6005"):
        ground.step()
    ground.store.fails = False
    assert (ground.said, ground.seen()) == (said, rows)
    ground.step()
    _agrees(ground)


def test_queries_use_what_is_materialised_and_what_changed_since(ground: Ground) -> None:
    _filled(ground)
    ground.land([change(1, 4, i, "u" if i else "d", _key(i), id=-i, unchanged=["姓名"]) for i in range(9)])
    found = overlay(ground.lake, PATH, keyed=True)
    assert found is not None
    assert (found.changed.num_rows, found.made.count_rows()) == (9, 2_000)
    assert ground.asked() == _sorted(replay(ground.lake.read(PATH), True))
    ground.land([mark(1, 5, "truncate")])
    assert overlay(ground.lake, PATH, keyed=True) is None


def test_nothing_new_commits_nothing_and_a_rebuild_makes_it_anew(ground: Ground) -> None:
    _filled(ground, 100)
    version = ground.lake.version(path_of(PATH))
    assert not ground.step().recomputed
    assert ground.lake.version(path_of(PATH)) == version
    assert ground.step(rebuild=True).recomputed
    assert ground.lake.version(path_of(PATH)) == version + 1
    _agrees(ground)


def test_no_rows_stay_in_scratch(ground: Ground) -> None:
    _filled(ground)
    assert not any((ground.root.parent / "scratch").iterdir())


DOCS = Path(__file__).parents[4] / "docs"


@pytest.mark.parametrize("page", ["operating.md", "zh/operating.md"])
def test_what_the_page_says_about_reading_is_what_reads(ground: Ground, page: str) -> None:
    _filled(ground, 200)
    ground.land([change(1, 4, 0, "u", _key(1), id=-1), change(1, 4, 1, "d", _key(2))])
    assert ground.step().tail_rows == 2
    blocks = re.findall(r"^```(sql|python)\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.M | re.S)
    (view,) = [text for kind, text in blocks if kind == "sql" and "_gc_step" in text]
    assert view.strip() == VIEW.format(table="made", columns="*")
    found: list[Any] = []
    for kind, text in blocks:
        if kind == "python" and "/lake/current/" in text:
            said = re.sub(r'"/var/lib/[^"]*"', repr(str(ground.place)), text)
            names: dict[str, Any] = {"view": view}
            exec(said, names)
            found.append(names)
    duck, polars, stated = found
    expected = sorted(row["id"] for row in ground.replayed())
    assert sorted(row[0] for row in duck["visits"].select("id").fetchall()) == expected
    assert sorted(polars["visits"].select("id").collect()["id"].to_list()) == expected
    assert (stated["said"]["epoch"], stated["said"]["seq"]) == (1, 4)
