"""The daemon while its ledger is away: it says so, keeps its data directory, and begins anew by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from central_ingest.config import Config, LedgerSettings
from central_ingest.keystore import KeyStore
from central_ingest.ledger.ledger import Ledger
from central_ingest.serving import serve
from tests.databases import PASSWORD, postgres
from tests.ledgers import address
from tests.servers import free_port

SECONDS_MAX = 60


async def until(config: Config, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first status of which it holds."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            if config.status_path.exists():
                said: dict[str, Any] = json.loads(config.status_path.read_text("utf-8"))
                if holds(said):
                    return said
            await asyncio.sleep(0.05)


async def test_the_daemon_begins_anew_once_its_ledger_is_back(tmp_path: Path) -> None:
    server = postgres()
    with server.database() as name:
        config = Config(
            config_version=1,
            data_dir=tmp_path,
            broker={"url": f"mqtt://127.0.0.1:{free_port()}"},
            ledger=LedgerSettings(url=address(server, name).url, password=PASSWORD),
        )
        KeyStore(config.keys_dir).create()
        stop = asyncio.Event()
        daemon = asyncio.create_task(serve(config, stop, embedded_broker=False))
        first = await until(config, lambda said: said["fault"] is None)
        await asyncio.to_thread(server.stop)
        gone = await until(config, lambda said: said["fault"] is not None)
        assert gone["fault"]["code"] == "GC-6090"
        assert (gone["healthy"], gone["journal"]) == (False, first["journal"])
        assert PASSWORD not in json.dumps(gone)
        await asyncio.to_thread(server.start)
        back = await until(config, lambda said: said["fault"] is None)
        assert back["started"] > first["started"]
        stop.set()
        await daemon
        ledger = Ledger.open(config.ledger_address)
        assert ledger.checkpoint() == back["journal"]["end"]
        ledger.close()
