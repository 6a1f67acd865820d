"""The agent with prepared batches in its source's place: whatever stands behind capture is the product's own.

`python -m bench.sender CONFIG PLAN`. The plan (JSON) names an Arrow IPC file of slices, a file whose appearance gives
the word to begin, a pace in groups a second (0: as fast as the backlog allows, as a snapshot goes) and the rows of a
group. When everything is in the spool, `done` is written: each group's head, and when its rows were there.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from edge_agent import config as configuration
from edge_agent import platform
from edge_agent.agent import Agent
from edge_agent.capture.runner import BACKFILL_BACKLOG_BYTES, Runner
from edge_agent.capture.writer import StreamWriter
from edge_agent.changes import Changes
from edge_agent.config import Config
from edge_agent.sources.settings import FilesSettings, SqlSettings
from edge_agent.sources.source import Rows
from protocol.change import Op

from . import visits


@dataclass(frozen=True)
class Plan:
    slices: Path
    start: Path
    done: Path
    groups_per_second: float
    group_rows: int

    @classmethod
    def read(cls, path: Path) -> Plan:
        said = json.loads(path.read_text("utf-8"))
        files = {name: Path(said[name]) for name in ("slices", "start", "done")}
        return cls(**files, groups_per_second=said["groups_per_second"], group_rows=said["group_rows"])

    def changes(self) -> Iterator[Changes]:
        schema = visits.schema()
        with pa.OSFile(str(self.slices), "rb") as file, pa.ipc.open_file(file) as reader:
            for i in range(reader.num_record_batches):
                batch = reader.get_batch(i)
                for start in range(0, batch.num_rows, self.group_rows):
                    part = batch.slice(start, self.group_rows)
                    keys = _keys(part.column(part.num_columns - 1))
                    yield Changes(schema, Rows(part.columns[:-1]), [Op.CREATE] * part.num_rows, keys)


def _keys(column: pa.Array) -> list[bytes]:
    """As capture hands them on; taken out of the buffer at once, so that making them costs the sender little."""
    width, start = column.type.byte_width, column.offset
    data = column.buffers()[1].to_pybytes()
    return [data[i * width : (i + 1) * width] for i in range(start, start + len(column))]


class Feeder(Runner):
    """A runner that does not look: it has its changes at hand."""

    plan: Plan

    @classmethod
    def in_place_of(cls, runner: Runner, plan: Plan) -> Feeder:
        """With the runner's own spool, stream, keys and report."""
        feeder = cls.__new__(cls)
        vars(feeder).update(vars(runner), plan=plan)
        return feeder

    async def run(self) -> None:
        while not self.plan.start.exists() or self._spool.stream(self.stream) is None:
            await asyncio.sleep(0.01)
        writer, said = self._writer(), []
        began = time.monotonic()
        for number, changes in enumerate(self.plan.changes()):
            await self._await_turn(began, number)
            there = time.time()
            await asyncio.to_thread(self._send, writer, changes)
            said.append((writer.state().head_seq, there))
        self.plan.done.write_text(json.dumps(said))
        await asyncio.Event().wait()

    async def _await_turn(self, began: float, number: int) -> None:
        if self.plan.groups_per_second:
            await asyncio.sleep(max(0.0, began + number / self.plan.groups_per_second - time.monotonic()))
        while self._spool.backlog(self.stream).bytes > BACKFILL_BACKLOG_BYTES:
            await asyncio.sleep(0.05)

    @staticmethod
    def _send(writer: StreamWriter, changes: Changes) -> None:
        group = writer.group()
        group.add(changes)
        writer.commit(group)


class Sender(Agent):
    def __init__(self, config: Config, plan: Plan) -> None:
        self._plan = plan
        super().__init__(config)

    def _runner(self, slug: str, settings: SqlSettings | FilesSettings) -> Runner:
        return Feeder.in_place_of(super()._runner(slug, settings), self._plan)


def main() -> None:
    loaded = configuration.load(Path(sys.argv[1]))
    plan = Plan.read(Path(sys.argv[2]))
    platform.run(lambda stop: Sender(loaded, plan).run(stop))


if __name__ == "__main__":
    main()
