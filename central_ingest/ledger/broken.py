"""Epochs of which the journal lost a part before it had landed: nothing but a new epoch can heal their streams."""

from __future__ import annotations

import sqlalchemy as sa

from protocol.names import Stream

from . import tables as t
from .ledger import Ledger, _set_meta

_NAME = "broken:"


def break_epoch(ledger: Ledger, stream: Stream, epoch: int) -> None:
    """Remembered for ever: the highest such epoch of the stream."""
    with ledger._engine.begin() as c:
        _set_meta(c, f"{_NAME}{stream.site}/{stream.source}", str(epoch))


def broken_epochs(ledger: Ledger) -> dict[Stream, int]:
    found = ledger._all(sa.select(t.meta).where(t.meta.c.name.startswith(_NAME, autoescape=True)))
    names = ((row.name.removeprefix(_NAME).rpartition("/"), row.value) for row in found)
    return {Stream(site, source): int(epoch) for (site, _, source), epoch in names}
