"""The catalogue's sentences about the lake: `current` as it is materialised, and as it was.

Part of `catalogue`, from which everybody reads them.
"""

from __future__ import annotations

from .advice import Advice, Blame

_L = Blame.LOCAL

OF_THE_LAKE: dict[str, Advice] = {
    "GC-6060": Advice(
        _L,
        "The `current` of {table} could not be materialised ({reason}); its last good version stays readable.",
        "It is tried again in the next round. If it stays so, run `central-ingest fsck`.",
        "{table} 的 current 未能物化（{reason}），上一个完好版本仍可读取。",
        "下一轮会自动重试；如持续出现，请运行 `central-ingest fsck`。",
    ),
    "GC-6061": Advice(
        _L,
        "No table and no source is called {name}.",
        "Use a name as `central-ingest tables` prints it, SITE/SOURCE, or ALL.",
        "没有名为 {name} 的表或数据源。",
        "请使用 `central-ingest tables` 所列的名称、机构/数据源，或 ALL。",
    ),
    "GC-6062": Advice(
        _L,
        "{text} is neither EPOCH/SEQ nor a time with its offset.",
        "Write 3/1200, or 2026-11-27T08:00:00+08:00.",
        "{text} 既不是 任期/序号，也不是带时区的时间。",
        "请写成 3/1200 或 2026-11-27T08:00:00+08:00。",
    ),
    "GC-6063": Advice(
        _L,
        "The table {table} is not of {stream}, for which the place was given.",
        "Ask for the tables of one source at a time.",
        "表 {table} 不属于指定时点的数据源 {stream}。",
        "请每次只查询同一数据源的表。",
    ),
}
