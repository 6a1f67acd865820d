"""The agent's capture as it runs, over real sources, and what a centre would make of it: for sources that fail.

Real runners, sources, spool and health; only what lies behind the spool is missing: its envelopes are read here as
a centre reads them, and replayed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_agent.capture.index import IndexFiles
from edge_agent.capture.runner import Runner
from edge_agent.courier import Courier
from edge_agent.health import Health
from edge_agent.identity import Grants
from edge_agent.sources.registry import open_source
from edge_agent.sources.settings import FilesSettings, SqlSettings
from edge_agent.sources.source import Source
from edge_agent.spool.records import TableState
from edge_agent.spool.spool import Spool
from edge_agent.status import render
from protocol.canonical import decode
from protocol.change import Op
from protocol.link.memory import MemoryBroker
from protocol.names import Stream, TableName
from protocol.schema import TableSchema
from tests.unit.edge_agent.capture.replay import AN_ASIDE, LARGE, Replay, TableLog, split
from tests.unit.edge_agent.keys import CENTRE, EPOCH_SECRET, IDENTITY, SEAL
from tests.unit.edge_agent.reading import Change, Mark, Reader

Settings = SqlSettings | FilesSettings
Opening = Callable[[str, Settings], Source]
"""Opens the source of that name."""
GIVE_UP_SECONDS = 60.0
SENTENCES = ("what", "what_zh", "todo", "todo_zh")


class _Tables(dict[TableName, TableLog]):
    """A table is known as soon as its schema was sent."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __missing__(self, name: TableName) -> TableLog:
        keyed = {bool(schema.key) for schema in self._reader.schemas.values() if schema.table == name}
        assert len(keyed) == 1, "a table has a key or has none"
        self[name] = TableLog(keyed.pop())
        return self[name]


class Seen:
    """What one source's stream holds."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.reader = Reader(EPOCH_SECRET)
        self.replay = Replay({})
        self.replay.tables = _Tables(self.reader)
        self.events: list[Change | Mark] = []


class Capturing:
    """Sources by slug, each with a runner of its own, over one spool below `directory`. The agent's clock shows `began`
    (microseconds UTC) and goes on with each look at it."""

    def __init__(
        self,
        directory: Path,
        sources: Mapping[str, Settings],
        began: int = 0,
        former: Capturing | None = None,
        opening: Opening | None = None,
    ) -> None:
        """`former`: closed, it worked here before; what its streams held until then is known. `opening`: instead of
        the registry's."""
        self._opening = opening or (lambda slug, settings: open_source(slug, settings, None, os.environ))
        self._moments = 0
        self._planned: dict[int, Callable[[], object]] = {}
        self._time = began
        self._position: dict[str, int] = {}
        self._spool = Spool.open(directory / "spool", bytes_max=1 << 30, keep_receipted_bytes=0)
        self._files = IndexFiles(directory / "index")
        self._seen: dict[str, Seen] = former._seen if former else {s: Seen(Stream("H1", s)) for s in sources}
        for seen in self._seen.values():
            if former is None:
                self._spool.open_epoch(seen.stream, 1, b"grant", EPOCH_SECRET)
        self.runners = {slug: self._runner(slug, settings) for slug, settings in sources.items()}
        courier = Courier(
            link=MemoryBroker().link("agent"),
            spool=self._spool,
            identity=IDENTITY,
            centre=CENTRE,
            grants=Grants(directory, IDENTITY, CENTRE),
            sources=list(sources),
            now=lambda: 0.0,
            wall=lambda: 1,
            rng=random.Random(1),
        )
        facts = {"name": "", "kind": "", "interval_seconds": 10.0}
        about = {"version": "1", "agent": IDENTITY.agent, "site": "H1", "broker": "b"}
        self._health = Health(
            spool=self._spool,
            courier=courier,
            runners=self.runners,
            facts={**about, "sources": dict.fromkeys(sources, facts)},
        )

    def _runner(self, slug: str, settings: Settings) -> Runner:
        return Runner(
            slug=slug,
            settings=settings,
            open_source=lambda: self._opening(slug, settings),
            spool=self._spool,
            stream=self._seen[slug].stream,
            seal=replace(SEAL, random=self._random),
            files=self._files,
            wall=self._wall,
        )

    def _random(self, count: int) -> bytes:
        self._moments += 1
        self._planned.pop(self._moments, lambda: None)()
        return secrets.token_bytes(count)

    def _wall(self) -> int:
        self._time += 1
        return self._time

    async def close(self) -> None:
        for runner in self.runners.values():
            await runner.close()
        for slug in self._seen:
            self._read(slug)
            self.position(slug)
        self._spool.close()

    # what it does

    def at(self, moment: int, action: Callable[[], object]) -> None:
        """When so many envelopes more are being sealed, in the middle of a scan, `action` happens."""
        self._planned = {self._moments + moment: action}

    async def once(self, slug: str) -> dict[str, str]:
        """One pass of a source, and the faults that `status` prints of it then."""
        self.runners[slug].hint()
        await self.runners[slug].attempt()
        return self.said(slug)

    async def followed(self, slug: str, turns: int = 30) -> dict[str, str]:
        """What is due without any hint, so many turns of it: polls and windows, where scans are far between."""
        for _ in range(turns):
            await self.runners[slug].turn()
            await asyncio.sleep(0.001)
        return self.said(slug)

    async def once_watched(self, slug: str) -> set[tuple[str, str]]:
        """The same step by step: (table, code) of every fault on the way, also of those that passed again."""
        self.runners[slug].hint()
        seen = set()
        pause = 0.0
        while pause == 0:
            pause = await self.runners[slug].turn()
            seen |= set(self.said(slug).items())
        return seen

    async def until(self, slug: str, code: str | None) -> None:
        """Passes until that code is there; None: until one was complete, with no fault."""
        before = self.runners[slug].report.last_pass

        def reached(said: dict[str, str]) -> bool:
            return (
                code in said.values() if code else not said and self.runners[slug].report.last_pass != before
            )

        await self._passes(slug, reached)

    async def until_said(self, slug: str, expected: dict[str, str]) -> None:
        """Passes until exactly these faults are there."""
        await self._passes(slug, lambda said: said == expected)

    async def _passes(self, slug: str, reached: Callable[[dict[str, str]], bool]) -> None:
        end = time.monotonic() + GIVE_UP_SECONDS
        while not reached(await self.once(slug)):
            assert time.monotonic() < end, self.said(slug)
            await asyncio.sleep(0.05)  # a table that came back is due when its interval says so

    @asynccontextmanager
    async def running(self, *slugs: str) -> AsyncIterator[None]:
        """The loops of these sources, as the agent runs them."""
        for slug in slugs:
            self.runners[slug].hint()
        tasks = [asyncio.create_task(self.runners[slug].run()) for slug in slugs]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    # what a person sees

    def said(self, slug: str) -> dict[str, str]:
        """Codes by table (the source's own under ""); `edge-agent status` prints each with all its sentences."""
        status = self._health.status(self._time)
        status["time"] = 0
        printed = "\n".join(render(status, 0.0, colour=False))
        (source,) = [one for one in status["sources"] if one["source"] == slug]
        faults: list[dict[str, Any]] = [f for f in [source["fault"], *source["faults"]] if f]
        for fault in faults:
            assert all(fault[sentence] in printed for sentence in ("code", *SENTENCES)), fault
        return {fault.get("table", ""): fault["code"] for fault in faults}

    def printed(self) -> str:
        """What `edge-agent status` shows."""
        return "\n".join(render(self._health.status(self._time), 0.0, colour=False))

    # what a centre would have

    def deleted(self, slug: str) -> int:
        """How many deletions were sent since the last look."""
        return sum(isinstance(event, Change) and event.op is Op.DELETE for event in self._read(slug))

    def standing(self, slug: str) -> dict[str, Counter[tuple[Any, ...]]]:
        """Every row of every table with its values, exactly, as replayed from the beginning."""
        self._read(slug)
        tables = self._seen[slug].replay.tables
        return {str(name): _decoded(table.standing()) for name, table in tables.items()}

    def cells(self, slug: str) -> dict[TableName, Counter[bytes]]:
        """The same in canonical form."""
        self._read(slug)
        return {name: table.standing() for name, table in self._seen[slug].replay.tables.items()}

    def seen(self, slug: str) -> Seen:
        """What its stream holds, all of it read."""
        self._read(slug)
        return self._seen[slug]

    def events(self, slug: str) -> list[Change | Mark]:
        """Everything that was ever sent, in order."""
        self._read(slug)
        return self._seen[slug].events

    def state(self, slug: str, table: TableName) -> TableState | None:
        """What the spool knows of a table."""
        return self._spool.table(self._seen[slug].stream, table)

    def where(self, slug: str) -> list[str]:
        """How far each table is, for whoever waits in vain."""
        states = self._spool.tables(self._seen[slug].stream)
        known = [f"{state.table.name}: {state.phase} {state.facts}" for state in states]
        return [str(self.said(slug)), str(self.runners[slug].report.last_pass), *known]

    def position(self, slug: str) -> int:
        """How far the source's log is spooled, also once it is closed."""
        with suppress(sqlite3.ProgrammingError):
            state = self._spool.stream(self._seen[slug].stream)
            if state is not None and state.position is not None:
                self._position[slug] = json.loads(state.position)["end"]
        return self._position.get(slug, 0)

    def schema(self, slug: str, name: TableName) -> TableSchema:
        """The one under which the table was sent last."""
        return [s for s in self._seen[slug].reader.schemas.values() if s.table == name][-1]

    def _read(self, slug: str) -> list[Any]:
        seen = self._seen[slug]
        data: list[bytes] = []
        while window := self._spool.window(seen.stream, seen.reader.head.seq + 1 + len(data), 64 << 20):
            data += [stored.data for stored in window]
        taken = seen.replay.take(seen.reader.read(data))
        seen.events += taken
        return taken


def _decoded(rows: Counter[bytes]) -> Counter[tuple[Any, ...]]:
    """A value that stands aside is its cell."""
    return Counter({tuple(map(_value, split(row))): count for row, count in rows.items()})


def _value(cell: bytes) -> Any:
    return cell if cell[0] in (LARGE, AN_ASIDE) else decode(cell)[0]
