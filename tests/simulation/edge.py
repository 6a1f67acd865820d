"""The front-end machine: the agent's real parts, put together as `edge_agent.agent` does, over the hospital.

Of the machine its state directory survives: keys, grants, spool, index files. All else is built anew.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import SecretStr

from edge_agent.batching import Seal
from edge_agent.capture.index import IndexFiles
from edge_agent.capture.runner import Runner
from edge_agent.courier import Courier
from edge_agent.enrolment import enrol
from edge_agent.epochs import Epochs
from edge_agent.identity import Grants, Identity, StateDir
from edge_agent.obeying import Obeying
from edge_agent.orders import Book, Orders, Pause
from edge_agent.sources.settings import SqlSettings
from edge_agent.sources.source import Source
from edge_agent.spool.spool import Spool
from protocol import topics
from protocol.enrolment import Token
from protocol.messages import Answer, Command
from protocol.names import Stream, TableName

from .clock import loop
from .hospital import Hospital
from .link import Air
from .machine import Machine
from .moments import SpoolFile
from .obedience import Obedience

STATE_SECONDS = 20.0
COMMANDS = ("snapshot", "pause", "resume")
SETTINGS = SqlSettings(
    url=SecretStr("sqlite://"),
    include=("*",),
    scan_interval_seconds=3.0,
    duty_share_max=1.0,
    page_rows=5,
    deletion_rows_min=4,
)


class Edge(Machine):
    def __init__(
        self,
        root: Path,
        hospital: Hospital,
        air: Air,
        rng: random.Random,
        note: Callable[[str], None],
        *,
        spool_bytes_max: int = 1 << 30,
        keep_receipted_bytes: int = 1 << 20,
        allow: Sequence[str] = COMMANDS,
        obedience: Obedience | None = None,
        client_id: str = "edge",
    ) -> None:
        super().__init__(client_id, air, rng, note)
        self.state = StateDir(root)
        self.state.root.mkdir()
        self.hospital = hospital
        self.slugs = list(hospital.sources)
        self.spool_bytes_max = spool_bytes_max
        self.keep_receipted_bytes = keep_receipted_bytes
        self.allow = allow
        self._obedience = obedience or Obedience()
        self.spool: Spool | None = None
        self.orders: Orders | None = None
        self.runners: dict[str, Runner] = {}
        self.backup: Path | None = None
        self.opened: Callable[[Spool, list[Stream]], None] = lambda spool, streams: None
        """Called whenever a spool was opened again."""

    @property
    def streams(self) -> list[Stream]:
        centre = self.state.centre()
        assert centre is not None
        return [Stream(centre.site, slug) for slug in self.slugs]

    def _subscriptions(self, identity: Identity) -> list[str]:
        return [topics.down(identity.agent), topics.CENTRE_STATE]

    def _wall(self) -> int:
        self.moment()
        return loop().wall()

    def _random(self, count: int) -> bytes:
        self.moment()
        return secrets.token_bytes(count)

    async def enrol(self, token: Token) -> None:
        identity = self.state.make_identity()
        centre = self.state.draft_centre(token)
        link = self.air.link(self.client_id, self._subscriptions(identity))
        answer = await enrol(link, identity, centre, token, self.slugs, loop().wall(), 30.0)
        self.state.save_centre(centre)
        for grant in answer:
            Grants(self.state.root, identity, centre).keep(grant)

    async def main(self) -> None:
        identity, centre = self.state.identity(), self.state.centre()
        assert centre is not None
        grants = Grants(self.state.root, identity, centre)
        self._file = SpoolFile(self.state.spool_dir, lambda: loop().wall() / 1e6)
        spool = self.spool = Spool(self._file, self.spool_bytes_max, self.keep_receipted_bytes)
        self.opened(spool, self.streams)
        spool.subscribe(self.moment)
        files = IndexFiles(self.state.index_dir)
        files.sweep(spool.files())
        orders = self.orders = Orders(self.state.orders_path, self._ordered)
        self._obedience.started(self.client_id)
        self._obeying = Obeying(
            agent=identity.agent, allow=self.allow, orders=orders, tables=self._tables, wall=self._wall
        )
        courier = Courier(
            link=self.air.link(self.client_id, self._subscriptions(identity)),
            spool=spool,
            identity=identity,
            centre=centre,
            grants=grants,
            sources=self.slugs,
            now=loop().time,
            wall=self._wall,
            rng=self.rng,
            obey=self._obey,
        )

        def runner(slug: str) -> Runner:
            def source() -> Source:
                return self.hospital.open(slug)

            return Runner(
                slug=slug,
                settings=SETTINGS,
                open_source=source,
                spool=spool,
                stream=Stream(centre.site, slug),
                seal=Seal(identity.signer, centre.for_envelopes, self._random),
                files=files,
                wall=self._wall,
                orders=orders,
                clock=loop().time,
            )

        self.runners = {slug: runner(slug) for slug in self.slugs}
        epochs = Epochs(spool, grants, self.slugs, courier, loop().time)
        await asyncio.to_thread(epochs.check)
        async with asyncio.TaskGroup() as group:
            group.create_task(courier.run())
            group.create_task(epochs.run())
            for one in self.runners.values():
                group.create_task(one.run())
            while True:
                await asyncio.sleep(STATE_SECONDS)
                await courier.publish_state({"time": loop().wall()})

    def _obey(self, command: Command) -> Answer:
        self._obedience.hears()
        before, answer = self._book(), None
        try:
            answer = self._obeying.answer(command)
        finally:
            self._obedience.obeyed(self.client_id, command, self.allow, before, self._book(), answer)
        return answer

    def _book(self) -> Book:
        """As it stands on the disk."""
        return Orders(self.state.orders_path).book

    def _tables(self, source: str) -> list[TableName] | None:
        runner = self.runners.get(source)
        return None if runner is None else runner.known_tables()

    def _ordered(self) -> None:
        for runner in self.runners.values():
            loop().call_soon_threadsafe(runner.hint)

    def reads(self, source: str) -> None:
        self._obedience.reads(self.client_id, source)

    def leave(self) -> None:
        """An agent has nothing to write down at its end: all of it is in the spool."""

    def cut_off(self) -> None:
        power_cut, self._power_cut = self._power_cut, False
        self.power_cuts += power_cut
        if self.spool is not None and self._died:
            self._file.die(self.rng.choice([0, 0, 100, 5000, 1 << 20]) if power_cut else None)
        elif self.spool is not None:
            self.spool.close()
        self.spool = self.orders = None

    # what a person does

    def confirm(self) -> None:
        """Whatever capture asks about is meant."""
        for runner in self.runners.values():
            for name, report in runner.report.tables.items():
                if report.fault is not None and report.fault.code in ("GC-2002", "GC-2006"):
                    runner.confirm(name)

    def want_snapshot(self) -> None:
        if self.spool is not None:
            for runner in self.runners.values():
                runner.want_snapshot(None)

    def pause(self, source: str) -> None:
        self._order(lambda book: book.pausing(source, Pause(loop().wall(), "local")))

    def resume(self, source: str) -> None:
        self._order(lambda book: book.resuming(source, "local"))

    def _order(self, change: Callable[[Book], Book]) -> None:
        if self.orders is not None:
            self.orders.take(change)
            self._obedience.ordered(self.client_id, self.orders.book)

    # while it is down: what becomes of its disk

    def lose_spool(self) -> None:
        shutil.rmtree(self.state.spool_dir)

    def back_up(self, to: Path) -> None:
        shutil.copytree(self.state.root, to)

    def restore(self, backup: Path, *parts: str) -> None:
        """All of the state directory, or only these parts of it, as they were."""
        for part in parts or [path.name for path in self.state.root.iterdir()]:
            place = self.state.root / part
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        for part in parts or [path.name for path in backup.iterdir()]:
            kept = backup / part
            if kept.is_dir():
                shutil.copytree(kept, self.state.root / part)
            elif kept.exists():
                shutil.copy2(kept, self.state.root / part)
        self._obedience.restored(self.client_id, self._book())
