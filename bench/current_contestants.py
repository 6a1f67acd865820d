"""The processes of `bench.current`: each reads orders from its standard input, and answers with a line of JSON.

`ours` materialises as the daemon does; `merge` is what a user would write with deltalake alone. The others answer one
question over the whole table: from `changes` alone, exactly (what changed since over what is materialised), and from
the materialised table.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.materialised import VIEW
from central_ingest.landing.materialising import Materialising, path_of
from central_ingest.landing.overlay import overlay
from central_ingest.landing.query import CatalogueTable, QueryEngine, sql_name
from protocol.names import TableName

from . import visits
from .current import PATH

QUESTION = "SELECT dept_name, count(*) AS n, sum(total_fee) AS fee FROM {table} GROUP BY dept_name"
_COLUMNS = [one.name for one in visits.ARROW]
_SYSTEM = ["_gc_op", "_gc_key", "_gc_epoch", "_gc_seq", "_gc_ord"]

Answer = dict[str, Any]


def ours(root: Path) -> dict[str, Callable[[], Answer]]:
    job = Materialising(DeltaLake(root / "lake"), root / "scratch", lambda: time.time_ns() // 1000)

    def step() -> Answer:
        while True:
            made = job.step(PATH, keyed=True)
            assert made is not None
            if not made.more:
                return {"merged": made.tail_rows == 0, "tail": made.tail_rows, "base": made.base_rows}

    view = VIEW.format(table="t", columns=", ".join(_COLUMNS))
    return {"step": step, "digest": lambda: _digest(root / "lake" / path_of(PATH), f"({view})")}


def merge(root: Path) -> dict[str, Callable[[], Answer]]:
    place, changes = str(root / "merged"), str(root / "lake" / PATH)
    done = 0

    def build() -> Answer:
        """What stands after the snapshot, in files of a size that deltalake itself chooses."""
        rows = (
            DeltaTable(changes)
            .to_pyarrow_dataset()
            .scanner(columns=[*_COLUMNS, "_gc_key"], filter=pc.field("_gc_op") == "r")
        )
        write_deltalake(place, rows.to_reader())
        return {}

    def step() -> Answer:
        nonlocal done
        since = pc.field("_gc_seq") > (done or _snapshot_end(changes))
        rows = DeltaTable(changes).to_pyarrow_dataset().to_table(columns=[*_COLUMNS, *_SYSTEM], filter=since)
        done = pc.max(rows["_gc_seq"]).as_py()
        with duckdb.connect(":memory:") as engine:
            engine.register("w", rows)
            order = "ORDER BY _gc_seq DESC, _gc_ord DESC"
            last = engine.sql(f"FROM w QUALIFY row_number() OVER (PARTITION BY _gc_key {order}) = 1")
            source = last.to_arrow_table()
        values = {name: f"s.{name}" for name in [*_COLUMNS, "_gc_key"]}
        (
            DeltaTable(place)
            .merge(source, "t._gc_key = s._gc_key", source_alias="s", target_alias="t", streamed_exec=False)
            .when_matched_delete("s._gc_op = 'd'")
            .when_matched_update(values)
            .when_not_matched_insert(values, "s._gc_op <> 'd'")
            .execute()
        )
        return {"changed": source.num_rows}

    return {"build": build, "step": step, "digest": lambda: _digest(Path(place), "t")}


def _snapshot_end(changes: str) -> int:
    ends = (
        DeltaTable(changes)
        .to_pyarrow_dataset()
        .to_table(columns=["_gc_seq"], filter=pc.field("_gc_op") == "m")
    )
    return int(pc.max(ends["_gc_seq"]).as_py())


def exact(root: Path, laid_over: bool = True) -> dict[str, Callable[[], Answer]]:
    table = CatalogueTable("h1", "his", TableName(None, None, visits.TABLE), PATH, ("visit_id",), "visits")
    lake = DeltaLake(root / "lake")
    engine = QueryEngine(
        [table], lake.dataset, overlay=(lambda _: overlay(lake, PATH, keyed=True)) if laid_over else None
    )

    def read() -> Answer:
        return {"groups": engine.query(QUESTION.format(table=sql_name("current", "visits"))).num_rows}

    return {"read": read}


def materialised(root: Path) -> dict[str, Callable[[], Answer]]:
    def read() -> Answer:
        view = VIEW.format(table="t", columns=", ".join(_COLUMNS))
        rows = _asked(root / "lake" / path_of(PATH), QUESTION.format(table=f"({view})"))
        return {"groups": rows.num_rows}

    return {"read": read}


def _asked(place: Path, sql: str) -> pa.Table:
    with duckdb.connect(":memory:") as engine:
        engine.register("t", DeltaTable(place).to_pyarrow_dataset())
        return engine.sql(sql).to_arrow_table()


def _digest(place: Path, relation: str) -> Answer:
    """Of all rows, whatever their order."""
    sql = f"SELECT count(*), sum(hash({', '.join(_COLUMNS)})) FROM {relation}"
    return {"digest": [str(value) for value in _asked(place, sql).to_pylist()[0].values()]}


def main(who: str, root: Path) -> None:
    kinds: dict[str, Callable[[Path], dict[str, Callable[[], Answer]]]] = {
        "ours": ours,
        "merge": merge,
        "changes": partial(exact, laid_over=False),
        "exact": exact,
        "materialised": materialised,
    }
    verbs = kinds[who](root)
    for line in sys.stdin:
        what = line.strip()
        print(json.dumps({} if what == "ready" else verbs[what]()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
