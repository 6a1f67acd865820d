"""Health: what `status.json` says, once a second, from what the rooms know. Pure but for the file it writes.

It leads with freshness (landing.md §1a): everything that was committed at the source before `fresh_as_of` has
its receipt. A source that is idle is fresh; a poller that is dead is not. No value of any record stands here.
The fields are a contract (docs/operating.md); fields may be added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from protocol.errors import Fault
from protocol.names import TableName

from . import platform
from .capture.phases import Phase
from .capture.reports import TableReport
from .capture.rhythm import Task
from .capture.runner import Runner
from .courier import Courier
from .orders import Orders
from .spool.spool import Spool

FORMAT = 1
STALE_SECONDS_MIN = 60.0
"""No source is stale whose freshness is younger than this."""
FOLLOWED_SHOWN = 20
FAULTS_SHOWN = 20
PASSING = frozenset({"GC-2014", "GC-2041", "GC-2078"})
"""Faults that pass by themselves: shown, but no alarm. Should one last, the source goes stale."""


class Health:
    def __init__(
        self,
        *,
        spool: Spool,
        courier: Courier,
        runners: Mapping[str, Runner],
        facts: dict[str, Any],
        orders: Orders | None = None,
    ) -> None:
        """`facts` never change while the agent runs: version, agent, site, pid, started, broker, names."""
        self._spool = spool
        self._courier = courier
        self._runners = runners
        self._facts = facts
        self._orders = orders or Orders(None)

    def status(self, now: int) -> dict[str, Any]:
        """`now` in UTC microseconds."""
        sources = [self._source(slug, runner, now) for slug, runner in self._runners.items()]
        link = {
            "connected": self._courier.connected,
            "centre_online": self._courier.centre_online,
            "fault": _json(self._courier.link_fault),
            "messages_refused": dict(self._courier.messages_refused),
        }
        healthy = (
            link["connected"] and link["centre_online"] and sources and all(s["healthy"] for s in sources)
        )
        return {
            "format": FORMAT,
            "time": now,
            **{k: v for k, v in self._facts.items() if k != "sources"},
            "healthy": bool(healthy),
            "link": link,
            "spool": {"recovered": str(self._spool.recovered) if self._spool.recovered else None},
            "sources": sources,
        }

    def _source(self, slug: str, runner: Runner, now: int) -> dict[str, Any]:
        state = self._spool.stream(runner.stream)
        backlog = self._spool.backlog(runner.stream) if state else None
        fresh_as_of = self._spool.fresh_as_of(runner.stream) if state else None
        freshness = None if fresh_as_of is None else max(0.0, (now - fresh_as_of) / 1e6)
        facts = self._facts["sources"][slug]
        tables = runner.report.tables.copy()  # capture adds to it meanwhile, on another thread
        faults = _parts(runner.report.alarms) + _faults(tables) + _unmatched(runner.report.unmatched)
        serious = [f for f in faults if f["code"] not in PASSING]
        code = self._courier.refused.get(slug)
        paused = self._orders.pause_of(slug)
        stale = freshness is None or freshness > patience_seconds(facts["interval_seconds"])
        return {
            "source": slug,
            "name": facts["name"],
            "kind": facts["kind"],
            "healthy": not (stale or serious or runner.report.fault or runner.report.log or code or paused),
            "paused": None if paused is None else asdict(paused),
            "freshness_seconds": freshness,
            "fresh_as_of": fresh_as_of,
            "epoch": state.epoch if state else None,
            "head_seq": state.head_seq if state else 0,
            "receipted_seq": state.receipted_seq if state else 0,
            "backlog_envelopes": backlog.envelopes if backlog else 0,
            "backlog_bytes": backlog.bytes if backlog else 0,
            "refused": code,
            "fault": _json(runner.report.fault),
            "log_fault": _json(runner.report.log),
            "log_waits": runner.report.log_waits,
            "waits_for_hours": runner.report.closed,
            "tables": _tables(tables),
            "followed": _followed(tables)[:FOLLOWED_SHOWN],
            "faults": faults[:FAULTS_SHOWN],
        }


def patience_seconds(interval_seconds: float) -> float:
    """How old a freshness may become: ten intervals, or where that is long two and an hour."""
    return max(STALE_SECONDS_MIN, min(10 * interval_seconds, 2 * interval_seconds + 3_600))


def _followed(tables: Mapping[TableName, TableReport]) -> list[dict[str, Any]]:
    """The tables that are polled or have a window; those that have waited longest first."""
    followed = [(name, t) for name, t in tables.items() if t.followed]
    followed.sort(key=lambda one: min((one[1].done.get(task, 0) for task in one[1].follows), default=0))
    return [
        {
            "table": str(name),
            "ways": [task.value for task in t.follows],
            **{task.value: t.done.get(task) for task in Task},
        }
        for name, t in followed
    ]


def _tables(tables: Mapping[TableName, TableReport]) -> dict[str, Any]:
    phases = [t.phase for t in tables.values()]
    reading = [(n, t) for n, t in tables.items() if t.phase == Phase.SNAPSHOT and not t.fault]
    return {
        "total": len(phases),
        "following": sum(p == Phase.FOLLOW for p in phases),
        "followed": sum(t.followed for t in tables.values()),
        "snapshot": [
            {"table": str(name), "rows": t.rows, "rows_estimate": t.rows_estimate} for name, t in reading[:3]
        ],
        "rows": sum(t.rows for t in tables.values()),
    }


def _faults(tables: Mapping[TableName, TableReport]) -> list[dict[str, Any]]:
    return [
        {"table": str(name), **fault.as_json()}
        for name, t in tables.items()
        for fault in [*t.faults.values(), *([t.alarm] if t.alarm else [])]
    ]


def _unmatched(faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """In place of a table's name stands the pattern that fits none."""
    return [{"table": fault.facts["pattern"], **fault.as_json()} for fault in faults]


def _parts(faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """In place of a table's name stands the part that is out of reach."""
    return [{"table": fault.facts["folder"], **fault.as_json()} for fault in faults]


def write_status(path: Path, status: dict[str, Any]) -> None:
    """Atomic, world-readable, not synced: it is made anew in a second."""
    platform.write_atomically(path, json.dumps(status, ensure_ascii=False).encode(), durable=False)


def _json(fault: Fault | None) -> dict[str, str] | None:
    return None if fault is None else fault.as_json()
