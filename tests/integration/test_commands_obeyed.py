"""Commands from the centre to a running agent and back, over a link that drops, repeats, reorders and cuts.

Both ends are the real ones in one process; the agent's part is put together as `edge_agent.agent` does it.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from central_ingest import control as central
from central_ingest.ledger.commands import new_command
from edge_agent.batching import Seal
from edge_agent.capture.index import IndexFiles
from edge_agent.capture.runner import Runner
from edge_agent.courier import Courier
from edge_agent.enrolment import enrol
from edge_agent.epochs import Epochs
from edge_agent.identity import Grants, StateDir
from edge_agent.obeying import Obeying
from edge_agent.orders import Orders
from edge_agent.sources.settings import SqlSettings
from edge_agent.sources.sql import SqlSource
from edge_agent.spool.spool import Spool
from protocol import topics
from protocol.link.memory import Faults, MemoryBroker

from .test_one_process import SOURCE, STREAM, Centre, Hospital, hasty, wall

PATIENCE_SECONDS = 30.0
LIFETIME = 3_600 * 1_000_000


class Edge:
    """An enrolled agent; `run` is a life of it."""

    def __init__(self, root: Path, broker: MemoryBroker, hospital: Hospital) -> None:
        self.broker, self.root, self.hospital = broker, root, hospital
        self.state = StateDir(root)
        self.state.root.mkdir()
        self.identity = self.state.make_identity()

    async def enrol(self, centre: Centre) -> None:
        token = centre.token()
        mine = self.state.draft_centre(token)
        link = self.broker.link("edge", [topics.down(self.identity.agent), topics.CENTRE_STATE])
        for grant in await enrol(link, self.identity, mine, token, [SOURCE], wall(), 20):
            Grants(self.state.root, self.identity, mine).keep(grant)
        self.state.save_centre(mine)

    async def run(self) -> None:
        mine = self.state.centre()
        assert mine is not None
        grants = Grants(self.state.root, self.identity, mine)
        spool = Spool.open(self.root / "spool", bytes_max=1 << 30, keep_receipted_bytes=1 << 20)
        self.orders = Orders(self.state.orders_path, self._hint)
        url = f"sqlite:///{self.hospital.path}"
        runner = self.runner = Runner(
            slug=SOURCE,
            settings=SqlSettings(url=url, include=("*",), scan_interval_seconds=0.05, duty_share_max=1.0),
            open_source=lambda: SqlSource(SOURCE, url, {}, 1.0, "Asia/Shanghai"),
            spool=spool,
            stream=STREAM,
            seal=Seal(self.identity.signer, mine.for_envelopes, secrets.token_bytes),
            files=IndexFiles(self.root / "index"),
            wall=wall,
            orders=self.orders,
        )
        obeying = Obeying(
            agent=self.identity.agent,
            allow=("snapshot", "pause"),
            orders=self.orders,
            tables=lambda source: runner.known_tables() if source == SOURCE else None,
            wall=wall,
        )
        courier = Courier(
            link=self.broker.link("edge", [topics.down(self.identity.agent), topics.CENTRE_STATE]),
            spool=spool,
            identity=self.identity,
            centre=mine,
            grants=grants,
            sources=[SOURCE],
            now=hasty,
            wall=wall,
            rng=random.Random(1),
            obey=obeying.answer,
        )
        try:
            async with asyncio.TaskGroup() as group:
                for loop in (
                    courier.run(),
                    Epochs(spool, grants, [SOURCE], courier, hasty).run(),
                    runner.run(),
                ):
                    group.create_task(loop)
                while True:
                    await asyncio.sleep(0.1)
                    await courier.publish_state({})
        finally:
            await runner.close()
            spool.close()

    def _hint(self) -> None:
        self.runner.hint()


def snapshots(centre: Centre, table: str) -> Counter[str]:
    """How often each snapshot of the table ended, by id."""
    for record in centre.ledger.lake_tables():
        if record.table.name == table and record.synced_version >= 0:
            marks = [json.loads(m) for m in centre.lake.read(record.path)["_gc_mark"].to_pylist() if m]
            return Counter(m["snapshot"] for m in marks if m["mark"] == "snapshot_end")
    return Counter()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.02)


async def test_commands_are_obeyed_once_over_a_faulty_link_and_across_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.courier.RETURN_JITTER_SECONDS", 0.05)
    monkeypatch.setattr(central, "AGAIN_MICROS", 200_000)
    monkeypatch.setattr("central_ingest.reception.REMEMBER_MICROS", 50_000)
    broker = MemoryBroker(1, reconnect_seconds=0.01)
    hospital = Hospital(tmp_path / "his.db", random.Random(1))
    centre = Centre(tmp_path / "centre", broker)
    edge = Edge(tmp_path / "edge", broker, hospital)

    def ask(name: str, table: str | None = None) -> str:
        record = new_command(STREAM, edge.identity.agent, name, table, "wang", wall(), LIFETIME)
        centre.ledger.commands.add(record)
        return record.id

    def state(id: str) -> str:
        return next(one.state(wall()) for one in centre.ledger.commands.all() if one.id == id)

    async def answered(*ids: str) -> None:
        await until(lambda: not any(state(id) in ("waiting", "sent") for id in ids))

    async with AsyncExitStack() as stack:
        stack.callback(hospital.close)
        tasks = [asyncio.create_task(t) for t in (centre.receiver.run(), centre.land())]
        await edge.enrol(centre)
        life = asyncio.create_task(edge.run())
        await until(lambda: snapshots(centre, "orders"))
        broker.faults = Faults(drop=0.2, repeat=0.3, reorder=0.1, disconnect=0.02)
        first = snapshots(centre, "orders")
        once, never = ask("snapshot", "orders"), ask("snapshot", "nowhere")
        refused = ask("resume")
        await answered(once, never, refused)
        assert [state(one) for one in (once, never, refused)] == ["done", "refused", "refused"]
        await until(lambda: snapshots(centre, "orders") != first)
        paused = ask("pause")
        await answered(paused)
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        life = asyncio.create_task(edge.run())
        again = ask("pause")
        await answered(again)
        assert (state(paused), state(again)) == ("done", "done")
        assert edge.orders.pause_of(SOURCE) is not None
        assert edge.runner.report.last_pass is None, "not read since it was paused"
        assert len(snapshots(centre, "orders")) == len(first) + 1
        assert set(snapshots(centre, "orders").values()) == {1}
        for task in (life, *tasks):
            task.cancel()
        await asyncio.gather(life, *tasks, return_exceptions=True)
        await broker.aclose()
        centre.ledger.close()
