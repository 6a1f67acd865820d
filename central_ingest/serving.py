"""The daemon, begun anew whenever its ledger fails (decision 0024).

What the ledger's last transaction left is unknown then, and reception and lander hold in memory what must agree
with it. So nothing is tried again in its middle: all of it is thrown away and made again from what journal, ledger
and lake say, as after a crash, which every part is built and tested for.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from . import fleet
from .config import Config
from .daemon import Daemon, wall
from .ledger.faults import LedgerDown
from .terminal import read_status

log = logging.getLogger("central.serving")

AGAIN_SECONDS = 2.0


async def serve(config: Config, stop: asyncio.Event, *, embedded_broker: bool) -> None:
    """Until `stop` is set. Raises what the daemon raises, but for a ledger that is down."""
    while not stop.is_set():
        try:
            await Daemon(config).run(stop, embedded_broker=embedded_broker)
        except Exception as error:
            fault = ledger_fault(error)
            if fault is None:
                raise
            log.error("%s", fault)
            _tell(config, fault)
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_SECONDS):
                    await stop.wait()


def ledger_fault(error: BaseException) -> LedgerDown | None:
    """That of all the loops that ended, if nothing else ended any."""
    if isinstance(error, BaseExceptionGroup):
        found = [ledger_fault(one) for one in error.exceptions]
        return None if None in found else found[0]
    return error if isinstance(error, LedgerDown) else None


def _tell(config: Config, fault: LedgerDown) -> None:
    """In the status of before, of which nothing else is known to have changed."""
    said, _ = read_status(config)
    if said is not None:
        fleet.write_status(
            config.status_path, said | {"time": wall(), "healthy": False, "fault": fault.as_json()}
        )
