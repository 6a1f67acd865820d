"""The agent on one screen: which parts there are, and how they hang together.

    sources ─ runner (one each) ─ spool ─ courier ─ link
                                    └─ health → status.json

Only this file names implementations. Every part is a loop of its own; if one dies of a mistake of ours the
agent stops, and whoever supervises it starts it again: what is in the spool stays.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import time
from pathlib import Path

from protocol import VERSION, topics
from protocol.enrolment import Token
from protocol.errors import Permanent, Transient
from protocol.link.link import Link
from protocol.link.mqtt import MqttLink, MqttSettings
from protocol.names import TableName

from . import config as configuration
from . import control
from .batching import Seal
from .capture.index import IndexFiles
from .capture.runner import Runner
from .config import Config
from .courier import Courier
from .enrolment import enrol as introduce
from .epochs import Epochs
from .health import Health, write_status
from .identity import Centre, Grants, Identity, StateDir
from .obeying import Obeying
from .orders import Orders, Pause
from .sources.files import FilesSource
from .sources.hints import FolderHints
from .sources.registry import open_source
from .sources.settings import FilesSettings, SqlSettings
from .spool.spool import Spool

log = logging.getLogger("edge.agent")

STATE_SECONDS = 5.0


def wall() -> int:
    """UTC microseconds."""
    return time.time_ns() // 1000


def make_link(config: Config, identity: Identity, centre: Centre, state: StateDir) -> Link:
    """The MQTT link of this agent. Raises Permanent GC-1004."""
    link = config.link
    return MqttLink(
        MqttSettings(
            url=link.broker or centre.broker,
            client_id=f"guicang-{identity.agent}",
            username=link.username,
            password=configuration.secret("link.password", link.password, link.password_file),
            ca_file=link.ca_file or (state.ca_path if centre.ca else None),
            cert_file=link.cert_file,
            key_file=link.key_file,
        ),
        [topics.down(identity.agent), topics.CENTRE_STATE],
        None,
        random.SystemRandom(),
    )


class Agent:
    """Raises Permanent GC-3004 where it is not enrolled, GC-1006 where another one runs in its directory."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._state = StateDir(config.agent.state_dir)
        self._identity = self._state.identity()
        centre = self._state.centre()
        if centre is None:
            raise Permanent("GC-3004")
        self._centre = centre
        self._grants = Grants(self._state.root, self._identity, centre)
        self._spool = Spool.open(
            self._state.spool_dir,
            bytes_max=config.spool.bytes_max,
            keep_receipted_bytes=config.spool.keep_receipted_bytes,
        )
        self._files = IndexFiles(self._state.index_dir)
        self._files.sweep(self._spool.files())
        self._orders = Orders(self._state.orders_path, self._ordered)
        self._loop: asyncio.AbstractEventLoop | None = None
        obeying = Obeying(
            agent=self._identity.agent,
            allow=config.remote.allow,
            orders=self._orders,
            tables=self._tables,
            wall=wall,
        )
        self._courier = Courier(
            link=make_link(config, self._identity, centre, self._state),
            spool=self._spool,
            identity=self._identity,
            centre=centre,
            grants=self._grants,
            sources=list(config.sources),
            now=time.monotonic,
            wall=wall,
            rng=random.SystemRandom(),
            obey=obeying.answer,
        )
        self._epochs = Epochs(self._spool, self._grants, list(config.sources), self._courier, time.monotonic)
        self._runners = {slug: self._runner(slug, s) for slug, s in config.sources.items()}
        self._health = Health(
            spool=self._spool,
            courier=self._courier,
            runners=self._runners,
            orders=self._orders,
            facts=self._facts(),
        )

    def _runner(self, slug: str, settings: SqlSettings | FilesSettings) -> Runner:
        return Runner(
            slug=slug,
            settings=settings,
            open_source=lambda: open_source(
                slug, settings, self._state.folder_identity(slug), os.environ, self._state.book_path(slug)
            ),
            spool=self._spool,
            stream=self._grants.stream(slug),
            seal=Seal(self._identity.signer, self._centre.for_envelopes, secrets.token_bytes),
            files=self._files,
            wall=wall,
            orders=self._orders,
        )

    def _facts(self) -> dict[str, object]:
        return {
            "version": VERSION,
            "agent": self._identity.agent,
            "site": self._centre.site,
            "pid": os.getpid(),
            "started": wall(),
            "broker": self._config.link.broker or self._centre.broker,
            "sources": {
                slug: {"name": s.name, "kind": s.kind, "interval_seconds": s.scan_seconds_max}
                for slug, s in self._config.sources.items()
            },
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        log.info("agent %s starts with %d sources", self._identity.agent, len(self._runners))
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._take_requests)  # a pause asked for meanwhile holds from the start
        await asyncio.to_thread(self._epochs.check)
        hints = self._watch_folders(self._loop)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._courier.run()),
                    group.create_task(self._epochs.run()),
                    group.create_task(self._watch()),
                    *(group.create_task(runner.run()) for runner in self._runners.values()),
                ]
                await stop.wait()
                for task in tasks:
                    task.cancel()
        finally:
            for one in hints:
                await asyncio.to_thread(one.close)
            for runner in self._runners.values():
                await runner.close()
            self._spool.close()
            log.info("agent stopped")

    def _watch_folders(self, loop: asyncio.AbstractEventLoop) -> list[FolderHints]:
        """A change in a folder wakes its scan once the file can have come to rest."""

        def hints_of(folder: str, seconds: float, runner: Runner) -> FolderHints:
            def hint() -> None:
                loop.call_soon_threadsafe(loop.call_later, seconds, runner.hint)

            return FolderHints(Path(folder), hint)

        return [
            hints_of(settings.folder, settings.stable_seconds, self._runners[slug])
            for slug, settings in self._config.sources.items()
            if isinstance(settings, FilesSettings)
        ]

    async def _watch(self) -> None:
        """Once a second: requests, status; less often, the centre hears of it."""
        told = 0.0
        while True:
            await asyncio.to_thread(self._take_requests)
            self._remember_folders()
            status = await asyncio.to_thread(self._health.status, wall())
            await asyncio.to_thread(write_status, self._state.status_path, status)
            if time.monotonic() - told > STATE_SECONDS:
                told = time.monotonic()
                await self._courier.publish_state(status)
            await asyncio.sleep(1)

    def _remember_folders(self) -> None:
        """A folder's identity is kept from the first time on that files were seen in it."""
        for slug, runner in self._runners.items():
            source = runner.source
            seen = source.identity if isinstance(source, FilesSource) else None
            if seen is not None and self._state.folder_identity(slug) != seen:
                self._state.save_folder_identity(slug, seen)

    def _take_requests(self) -> None:
        """What people at the command line asked for; what cannot be written down now waits where it lies."""
        try:
            for request in control.take(self._state.requests_dir):
                self._obey(request)
        except Transient as fault:
            log.warning("a request waits: %s", fault)

    def _obey(self, request: control.Request) -> None:
        source = request.source
        if source not in self._runners:
            log.warning("a request names no source of ours")
            return
        tables = [t for t in self._tables(source) or () if request.table in (None, str(t))]
        match request.action:
            case "snapshot":
                self._orders.take(lambda book: book.wanting(source, tables))
            case "confirm" if request.table is None:
                self._accept_folder(source)
            case "confirm":
                self._orders.take(lambda book: book.confirming(source, tables))
            case "pause":
                self._orders.take(lambda book: book.pausing(source, Pause(wall(), "local")))
            case "resume":
                self._orders.take(lambda book: book.resuming(source, "local"))

    def _accept_folder(self, slug: str) -> None:
        """Says nothing of any deletion: the tables that are missing in it ask for themselves."""
        if isinstance(self._config.sources[slug], FilesSettings):
            self._state.forget_folder_identity(slug)
            runner = self._runners[slug]
            if isinstance(runner.source, FilesSource):  # else it is opened without the old identity
                runner.source.accept()
            self._ordered()

    def _tables(self, source: str) -> list[TableName] | None:
        runner = self._runners.get(source)
        return None if runner is None else runner.known_tables()

    def _ordered(self) -> None:
        """Something was ordered, on whatever thread: the runners look."""
        if self._loop is not None:
            for runner in self._runners.values():
                self._loop.call_soon_threadsafe(runner.hint)


async def enrol(config: Config, token: Token, seconds: float = 30.0) -> Centre:
    """Introduce this agent to the centre of `token`. Raises Permanent GC-7002/7003/7004."""
    state = StateDir(config.agent.state_dir)
    if (known := state.centre()) is not None:
        raise Permanent("GC-7004", site=known.site)
    state.root.mkdir(parents=True, exist_ok=True)
    identity = state.make_identity()
    centre = state.draft_centre(token)
    link = make_link(config, identity, centre, state)
    answer = await introduce(link, identity, centre, token, list(config.sources), wall(), seconds)
    state.save_centre(centre)
    grants = Grants(state.root, identity, centre)
    for grant in answer:
        grants.keep(grant)
    return centre
