"""What `edge-agent check` finds out: per table which way of capture is possible, what it guarantees and what it meets.

It reads a little of what any scan would, changes nothing, and prints nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from protocol.errors import Fault, Rejected
from protocol.schema import TableSchema

from .capture.polling import followed
from .cost import cost_of
from .readiness import EXACT, Readiness, look, scanned
from .sources.included import is_included, unmatched
from .sources.settings import PostgresSettings, SourceSettings, TableSettings
from .sources.source import Source, TableInfo, Way


def check(
    slug: str, settings: SourceSettings, source: Source, clock: Callable[[], float] = time.monotonic
) -> list[dict[str, Any]]:
    """The facts of `check --json`: of a PostgreSQL source one of its server, whose `table` is None; one a table; one
    for each pattern of `include` that fits none. Some rows of the tables that are included are read, of others none."""
    infos = source.inventory()
    log = look(slug, settings, source, infos) if isinstance(settings, PostgresSettings) else None
    missing = unmatched(settings, [info.name for info in infos])
    return [
        *([] if log is None else [_of_its_server(slug, log)]),
        *(_of_a_table(slug, settings, source, info, log, clock) for info in infos),
        *(_matches_nothing(slug, pattern) for pattern in missing),
    ]


def _of_a_table(
    slug: str,
    settings: SourceSettings,
    source: Source,
    info: TableInfo,
    log: Readiness | None,
    clock: Callable[[], float],
) -> dict[str, Any]:
    facts = _nothing(slug, str(info.name), included=is_included(settings, info.name))
    facts["rows_estimate"] = info.rows_estimate
    if log is None:
        return facts | _way(source, info, settings, clock)
    said = _by_its_log(info) if log.is_left_to_its_log(info) else _way(source, info, settings, clock)
    return log.judged(info, facts | said)


def _of_its_server(slug: str, log: Readiness) -> dict[str, Any]:
    return _nothing(slug, None, included=False) | {"fault": log.fault, "server": log.of_source()}


def _nothing(slug: str, table: str | None, *, included: bool) -> dict[str, Any]:
    """Every fact that there is, each unknown or empty."""
    return {
        "source": slug,
        "table": table,
        "included": included,
        "rows_estimate": None,
        "way": None,
        "key": [],
        "guarantee": None,
        "fault": None,
        "follows": [],
        "cost": None,
        "log": None,
        "server": None,
    }


def _matches_nothing(slug: str, pattern: str) -> dict[str, Any]:
    fault = Rejected("GC-2044", source=slug, pattern=pattern)
    return _nothing(slug, pattern, included=True) | {"fault": f"{fault.code} {fault.what}"}


def _way(
    source: Source, info: TableInfo, settings: SourceSettings, clock: Callable[[], float]
) -> dict[str, Any]:
    try:
        schema = source.describe(info.name)
        ranges = source.way(schema) is Way.RANGES
        way = "diff by key ranges" if ranges else "diff of the whole"
        return {
            "way": way,
            "key": list(schema.key),
            "guarantee": scanned(schema.key),
            "fault": None,
            "follows": _follows(schema, settings.of(str(info.name))),
            **_cost(source, schema, info, settings, clock),
        }
    except Fault as fault:
        said = f"{fault.code} {fault.what}"
        return {"way": None, "key": [], "guarantee": None, "fault": said, "follows": [], "cost": None}


def _by_its_log(info: TableInfo) -> dict[str, Any]:
    """Of a table that its database's log carries: it is not scanned, and no index of it is kept."""
    return {
        "way": "log",
        "key": list(info.key),
        "guarantee": EXACT,
        "fault": None,
        "follows": [],
        "cost": None,
    }


def _cost(
    source: Source,
    schema: TableSchema,
    info: TableInfo,
    settings: SourceSettings,
    clock: Callable[[], float],
) -> dict[str, Any]:
    """What a scan costs, and whether one takes longer than the pause between two. Raises what the scan would raise."""
    if not is_included(settings, info.name):
        return {"cost": None}
    cost = cost_of(source, schema, info.rows_estimate, settings, clock)
    interval = settings.scan_seconds(str(info.name))
    slow = cost.scan_seconds is not None and cost.scan_seconds > interval
    return {"cost": cost.to_json() | {"interval_seconds": interval, "slower_than_interval": slow}}


def _follows(schema: TableSchema, of: TableSettings) -> list[dict[str, Any]]:
    """The ways beside the scans that are set, and what would keep one from working."""
    said: list[dict[str, Any]] = []
    for way, column in (("cursor", of.cursor), ("window", of.window)):
        if column is None:
            continue
        one: dict[str, Any] = {"way": way, "column": column, "fault": None}
        try:
            followed(schema, column, way)
        except Fault as fault:
            one["fault"] = f"{fault.code} {fault.what}"
        said.append(one)
    return said
