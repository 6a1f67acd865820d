"""The fleet: what the centre shows of itself and of every stream, for `status`, `sites` and `status.json`.

Facts come from roster, ledger and lander; nothing here decides anything.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocol.names import Stream

from .lags import Lags
from .ledger.holes import HEALED
from .ledger.ledger import Ledger
from .roster import Roster

log = logging.getLogger("central.fleet")

FORMAT = 1
UNLISTED_MICROS = 30_000_000
"""What the inventories lack is looked for this often: a region has tens of thousands of tables."""
HEALED_SHOWN = 10
QUIET_MICROS = 120_000_000
"""An agent that was not heard for so long is shown as silent: silence is an alarm."""


def stream_lines(
    roster: Roster, ledger: Ledger, now: int, unlisted_tables: Mapping[Stream, int], lags: Lags
) -> list[dict[str, Any]]:
    """One line a stream: who holds it, how far it is, how fresh the agent says it is, how long its rows take."""
    fleet = ledger.fleet()
    names = dict(ledger.sites())
    landed: dict[tuple[str, str], int] = {}
    tables: dict[tuple[str, str], int] = {}
    for record in ledger.lake_tables():
        key = (record.stream.site, record.stream.source)
        landed[key] = max(landed.get(key, 0), record.landed or 0)
        tables[key] = tables.get(key, 0) + 1
    lines = []
    for tenure in sorted(roster.tenures(), key=lambda t: t.stream):
        stream = tenure.stream
        heard, status = fleet.get(tenure.agent, (0, {}))
        said = _said(status, stream.source)
        fresh_as_of = _number(said.get("fresh_as_of"))
        lines.append(
            {
                "site": stream.site,
                "name": names.get(stream.site, ""),
                "source": stream.source,
                "agent": tenure.agent,
                "epoch": tenure.head.epoch,
                "seq": tenure.head.seq,
                "received": tenure.received,
                "landed": landed.get((stream.site, stream.source)),
                "tables": tables.get((stream.site, stream.source), 0),
                "tables_unlisted": unlisted_tables.get(stream, 0),
                "heard": heard or None,
                "silent": now - heard > QUIET_MICROS,
                "freshness_seconds": None if fresh_as_of is None else max(0.0, (now - fresh_as_of) / 1e6),
                "commit_to_landed": None if (lag := lags.of(stream)) is None else lag.as_json(),
                "backlog_bytes": _number(said.get("backlog_bytes")),
                "healthy": said.get("healthy") is True,
                "paused": _paused(said.get("paused")),
            }
        )
    return lines


def parked_lines(ledger: Ledger) -> list[dict[str, Any]]:
    """What cannot land, and how much of it waits in the quarantine."""
    return [
        {
            "number": one.id,
            "stream": str(one.stream),
            "path": one.path,
            "code": one.code,
            "reason": one.reason,
            "since": one.since,
            "envelopes": one.envelopes,
            "bytes": one.bytes,
        }
        for one in ledger.quarantine.held()
    ]


def hole_lines(ledger: Ledger) -> list[dict[str, Any]]:
    """What the journal lost and has not got back, and the last that it got back whole."""
    records = ledger.holes.all()
    healed = [one for one in records if one.state == HEALED][-HEALED_SHOWN:]
    return [
        {
            "stream": str(one.hole.stream),
            "agent": one.agent,
            "epoch": one.hole.epoch,
            "first": one.hole.first,
            "last": one.hole.last,
            "offset": one.hole.start,
            "found": one.found,
            "asked": one.asked,
            "came": one.came,
            "came_bytes": one.came_bytes,
            "waits": one.waits,
            "state": one.state,
        }
        for one in records
        if one.state != HEALED or one in healed
    ]


def damage_lines(ledger: Ledger) -> list[dict[str, Any]]:
    """Files of the lake, and large values, that are not what was written."""
    return [{"name": one.name, "found": one.found, **one.fault.as_json()} for one in ledger.damage.all()]


def incomplete_lines(ledger: Ledger) -> list[dict[str, Any]]:
    """Tables of which rows were dropped, and no snapshot has healed it yet."""
    names = {one.path: str(one.table) for one in ledger.lake_tables()}
    return [
        {"stream": str(gap.stream), "path": gap.path, "table": names.get(gap.path, ""), "since": gap.time}
        for gap in ledger.quarantine.gaps()
        if gap.healed is None
    ]


def unlisted(ledger: Ledger) -> dict[str, Stream]:
    """Lake paths of tables that their source's last inventory does not name any more, with their stream.

    An agent misses a table by itself and waits for a person. One that has lost its memory together with the table
    cannot, so the table's last rows would stay here and nobody would know.
    """
    known: dict[Stream, set[str]] = {}
    for line in ledger.inventory():
        known.setdefault(line.stream, set()).add(line.name)
    return {
        one.path: one.stream
        for one in ledger.lake_tables()
        if one.stream in known and str(one.table) not in known[one.stream]
    }


class Unlisted:
    """How many such tables each stream has, looked up now and then."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._counts: Counter[Stream] = Counter()
        self._counted: int | None = None

    def counts(self, now: int) -> Counter[Stream]:
        if self._counted is None or now - self._counted > UNLISTED_MICROS:
            self._counts, self._counted = Counter(unlisted(self._ledger).values()), now
        return self._counts


def _said(status: dict[str, Any], source: str) -> dict[str, Any]:
    """What an agent says of a source. It may say anything: nothing in it is taken for granted."""
    sources = status.get("sources")
    for one in sources if isinstance(sources, list) else []:
        if isinstance(one, dict) and one.get("source") == source:
            return one
    return {}


def _paused(said: object) -> dict[str, Any] | None:
    match said:
        case {"since": int() as since, "by": "local" | "centre" as by} if _number(since) is not None:
            return {"since": since, "by": by}
    return None


def _number(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**63 else None


def write_status(path: Path, status: dict[str, Any]) -> None:
    """Atomic, not synced: it is made anew in a second. On a disk that is full the one before stays, and grows old."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(json.dumps(status, ensure_ascii=False), "utf-8")
        os.replace(temporary, path)
    except OSError as error:
        log.error("the status cannot be written: %s", os.strerror(error.errno or 0))
