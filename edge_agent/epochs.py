"""Epochs: when a stream has none, or its own has ended, the spare grant opens the next one (landing.md §1).

A new epoch begins with an empty spool for that stream and full snapshots. What the old one had not delivered
is counted and logged; its rows come again with the snapshots.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Protocol

from .capture import snapshot
from .identity import Grants
from .spool.spool import Spool

log = logging.getLogger("edge.epochs")

CHECK_SECONDS = 1.0
REOPEN_SECONDS_MIN = 60.0
"""Between two epochs that ended badly: two copies of one machine must not chase each other."""
SECRET_BYTES = 32


class Announcer(Protocol):
    """Who tells the centre (the courier)."""

    def epoch_opened(self) -> None: ...


class Epochs:
    def __init__(
        self, spool: Spool, grants: Grants, sources: list[str], courier: Announcer, now: Callable[[], float]
    ) -> None:
        self._spool = spool
        self._grants = grants
        self._sources = sources
        self._courier = courier
        self._now = now
        self._opened_at: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.to_thread(self.check)
            await asyncio.sleep(CHECK_SECONDS)

    def check(self) -> None:
        """Open an epoch for every source that needs one and has a grant for it."""
        for source in self._sources:
            self._check(source)

    def _check(self, source: str) -> None:
        stream = self._grants.stream(source)
        state = self._spool.stream(stream)
        if state is not None and state.stopped is None:
            return
        spare = self._grants.spare(source)
        if spare is None or (state is not None and spare[0] <= state.epoch) or self._too_soon(source):
            return
        epoch, grant = spare
        dropped = self._spool.open_epoch(
            stream, epoch, grant, secrets.token_bytes(SECRET_BYTES), snapshot.carried
        )
        self._grants.spend(source)
        self._opened_at[source] = self._now()
        self._courier.epoch_opened()
        log.info("%s begins epoch %d", stream, epoch)
        if dropped.envelopes:
            log.warning("%s: %d envelopes of the old epoch were dropped", stream, dropped.envelopes)

    def _too_soon(self, source: str) -> bool:
        opened = self._opened_at.get(source)
        return opened is not None and self._now() - opened < REOPEN_SECONDS_MIN
