"""The ledger's page of cuts: where in each stream a transaction of its source ended, the last one of each minute.

For questions about a time that is past (see `landing.asof`). What is older than a week is thinned to the last one of
each hour. A page that is lost makes such an answer less exact in time, and no row is missing from any.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from protocol.names import Stream

from . import tables as t
from .upsert import upsert

_MINUTE = 60 * 1_000_000
_HOUR_MINUTES = 60
_WHOLE_MINUTES = 7 * 24 * 60


@dataclass(frozen=True, slots=True)
class Cut:
    """The envelope (epoch, seq) of `stream` ends a transaction; `received` as the journal says, UTC microseconds."""

    stream: Stream
    epoch: int
    seq: int
    received: int


class CutBook:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def note(self, cuts: Iterable[Cut]) -> None:
        """Of two in one minute the later one stays."""
        with self._engine.begin() as c:
            for one in cuts:
                values = {"epoch": one.epoch, "seq": one.seq, "received": one.received}
                key = {
                    "site": one.stream.site,
                    "source": one.stream.source,
                    "minute": one.received // _MINUTE,
                }
                later = sa.tuple_(t.cut.c.epoch, t.cut.c.seq) < sa.tuple_(one.epoch, one.seq)
                c.execute(
                    upsert(c, t.cut)
                    .values(key | values)
                    .on_conflict_do_update(index_elements=list(key), set_=values, where=later)
                )

    def last(self, stream: Stream, received: int) -> Cut | None:
        """The last cut that had been received by then."""
        query = (
            sa.select(t.cut)
            .where(t.cut.c.site == stream.site, t.cut.c.source == stream.source, t.cut.c.received <= received)
            .order_by(t.cut.c.epoch.desc(), t.cut.c.seq.desc())
            .limit(1)
        )
        with self._engine.connect() as c:
            row = c.execute(query).one_or_none()
        return None if row is None else Cut(stream, row.epoch, row.seq, row.received)

    def thin(self, now: int) -> None:
        """Of what is older than a week the last cut of each hour stays."""
        other = t.cut.alias()
        hour, its_hour = (of.c.minute - of.c.minute % _HOUR_MINUTES for of in (t.cut, other))
        later = sa.select(other.c.minute).where(
            other.c.site == t.cut.c.site,
            other.c.source == t.cut.c.source,
            its_hour == hour,
            other.c.minute > t.cut.c.minute,
        )
        old = t.cut.c.minute < now // _MINUTE - _WHOLE_MINUTES
        with self._engine.begin() as c:
            c.execute(sa.delete(t.cut).where(old, later.exists()))
