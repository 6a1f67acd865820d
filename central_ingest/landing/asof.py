"""As of: one place in a source's stream, at which all of its tables are asked.

A place is an envelope, by epoch and sequence. A time stands for the last cut that had been received by then, where a
transaction of the source ended; of a source that has none (scans make none) for the last envelope. Pure over datasets:
it refuses to know where they come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from protocol.change import TIME, Version
from protocol.errors import Permanent
from protocol.names import Stream

from ..ledger.cuts import Cut

_EPOCH, _MICRO = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_PLACE = re.compile(r"([0-9]{1,18})/([0-9]{1,18})")
_LAST_ORD = (1 << 63) - 1
_CUT_MICROS_MAX = 3_600 * 1_000_000
"""A cut that is older than this, with more behind it, is of a log that is not followed any more."""


@dataclass(frozen=True, slots=True)
class AsOf:
    """Of the tables of `stream` only changes up to `version` count."""

    stream: Stream
    version: Version
    is_cut: bool = False
    """A transaction of the source is known to end there."""


def parse(text: str) -> Version | datetime:
    """`EPOCH/SEQ`, or a time in ISO 8601 with its offset. Raises Permanent GC-6062."""
    if found := _PLACE.fullmatch(text):
        return Version(int(found[1]), int(found[2]), _LAST_ORD)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Permanent("GC-6062", text=text)
    return moment


def micros_of(moment: datetime) -> int:
    """UTC microseconds since 1970."""
    return (moment - _EPOCH) // _MICRO


def at_time(stream: Stream, moment: datetime, last: Version, cut: Cut | None) -> AsOf:
    """The place of a time. `last` is the last envelope that had been received then, `cut` the last cut."""
    if cut is None or cut.epoch != last.epoch:
        return AsOf(stream, last)
    if cut.seq < last.seq and micros_of(moment) - cut.received > _CUT_MICROS_MAX:
        return AsOf(stream, last)
    return AsOf(stream, Version(cut.epoch, cut.seq, _LAST_ORD), is_cut=True)


def last_received(changes: Iterable[ds.Dataset], moment: datetime) -> Version:
    """The last envelope of a source, of whose tables these are the `changes`, that had been received at `moment`; below
    all where there was none."""
    day = pa.scalar(moment.astimezone(UTC).date(), pa.date32())
    by_then = (pc.field("_gc_received") <= pa.scalar(moment, TIME)) & (pc.field("_gc_date") <= day)
    last = Version(0, 0)
    for one in changes:
        for days in (pc.field("_gc_date") == day, pc.field("_gc_date") < day):
            found = _last(one, by_then & days)
            if found is not None:
                last = max(last, found)
                break
    return last


def _last(changes: ds.Dataset, wanted: pc.Expression) -> Version | None:
    last = None
    for batch in changes.to_batches(columns=["_gc_epoch", "_gc_seq"], filter=wanted):
        if not batch.num_rows:
            continue
        epoch = pc.max(batch.column("_gc_epoch")).as_py()
        of_it = batch.filter(pc.equal(batch.column("_gc_epoch"), epoch))
        found = Version(epoch, pc.max(of_it.column("_gc_seq")).as_py(), _LAST_ORD)
        last = found if last is None else max(last, found)
    return last
