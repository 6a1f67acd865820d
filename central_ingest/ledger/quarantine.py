"""The ledger's pages of what cannot land: what is held, what was dropped, and what people ask about it.

A line of `parked` says why, a line of `held` how much of it the quarantine has; both come and go together. A
gap stays for ever: it is the record of what was given up, by whom, and when it was healed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from protocol.names import Stream

from . import commands
from . import tables as t
from .commands import CommandRecord

Position = tuple[int, int]
"""Epoch and sequence."""


@dataclass(frozen=True, slots=True)
class Held:
    """Something parked: the table at `path`, or the whole stream where it is empty. `first` is the envelope that
    could not land, `last` the newest one behind it; `end` the offset of its own journal up to which this counts."""

    id: int
    stream: Stream
    path: str
    code: str
    reason: str
    first: Position
    since: int
    last: Position = (0, 0)
    envelopes: int = 0
    bytes: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """What was dropped. `id` is 0 until it is in the ledger; `command` orders the snapshot that heals it."""

    stream: Stream
    path: str
    first: Position
    last: Position
    envelopes: int
    bytes: int
    rows: int | None
    code: str
    reason: str
    who: str
    time: int
    command: str | None = None
    healed: int | None = None
    id: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """`what` is retry or drop, of the line `held`. Finished with a code: it was not done."""

    id: int
    held: int
    what: str
    who: str
    time: int
    finished: int | None = None
    code: str | None = None
    reason: str | None = None


class QuarantineBook:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    # what is held

    def held(self) -> list[Held]:
        """Oldest first."""
        why = [t.parked.c[name] for name in ("code", "reason", "epoch", "seq", "since")]
        query = sa.select(t.held, *why).where(_same(t.held, t.parked)).order_by(t.held.c.id)
        with self._engine.connect() as c:
            rows = c.execute(query).all()
        return [
            Held(
                r.id,
                Stream(r.site, r.source),
                r.path,
                r.code,
                r.reason,
                (r.epoch, r.seq),
                r.since,
                (r.last_epoch, r.last_seq),
                r.envelopes,
                r.bytes,
                r.end,
            )
            for r in rows
        ]

    def forget_unheld(self) -> None:
        """Lines of `parked` by an older version, which left everything in the journal: it is judged again."""
        known = sa.select(t.held.c.id).where(_same(t.held, t.parked)).exists()
        with self._engine.begin() as c:
            c.execute(sa.delete(t.parked).where(~known))

    def park(self, stream: Stream, path: str, code: str, reason: str, first: Position, now: int) -> Held:
        names = {"site": stream.site, "source": stream.source, "path": path}
        why = {"code": code, "reason": reason, "epoch": first[0], "seq": first[1], "since": now}
        with self._engine.begin() as c:
            c.execute(sa.delete(t.parked).where(_is(t.parked, stream, path)))
            c.execute(sa.insert(t.parked).values(names | why))
            id = c.execute(sa.insert(t.held).values(names)).inserted_primary_key
        assert id is not None
        return Held(int(id[0]), stream, path, code, reason, first, now)

    def note(self, records: Sequence[Held]) -> None:
        """How much is held now."""
        with self._engine.begin() as c:
            for one in records:
                values = {
                    "last_epoch": one.last[0],
                    "last_seq": one.last[1],
                    "envelopes": one.envelopes,
                    "bytes": one.bytes,
                    "end": one.end,
                }
                c.execute(sa.update(t.held).where(t.held.c.id == one.id).values(values))

    def blame(self, held: Held) -> None:
        """Why it still cannot land, and which envelope it is now."""
        why = {"code": held.code, "reason": held.reason, "epoch": held.first[0], "seq": held.first[1]}
        with self._engine.begin() as c:
            c.execute(sa.update(t.parked).where(_is(t.parked, held.stream, held.path)).values(why))

    def release(self, held: Held, now: int) -> None:
        """All of it has landed. Its open requests are done."""
        with self._engine.begin() as c:
            _forget(c, held, now)

    def drop(self, held: Held, gaps: Sequence[Gap], order: CommandRecord | None, now: int) -> list[Gap]:
        """It is given up: the gaps, the command that orders a snapshot, an audit line, in one transaction."""
        kept = []
        with self._engine.begin() as c:
            for one in gaps:
                id = c.execute(sa.insert(t.gap).values(_gap_values(one))).inserted_primary_key
                assert id is not None
                kept.append(replace(one, id=int(id[0])))
            if order is not None:
                commands.insert(c, order)
            _forget(c, held, now)
            what = f"quarantine drop {held.id} {held.stream} {held.path}".rstrip()
            c.execute(sa.insert(t.audit).values(time=now, who=gaps[0].who, what=what))
        return kept

    # what was dropped

    def lose(self, gap: Gap, order: CommandRecord | None) -> None:
        """Something that had landed is lost: the gap, and the command that orders a snapshot, in one transaction."""
        with self._engine.begin() as c:
            c.execute(sa.insert(t.gap).values(_gap_values(gap)))
            if order is not None:
                commands.insert(c, order)

    def gaps(self) -> list[Gap]:
        """Oldest first."""
        with self._engine.connect() as c:
            return [_gap(row) for row in c.execute(sa.select(t.gap).order_by(t.gap.c.id))]

    def heal(self, gap: Gap, now: int) -> None:
        with self._engine.begin() as c:
            c.execute(sa.update(t.gap).where(t.gap.c.id == gap.id).values(healed=now))

    # what people ask

    def ask(self, held: int, what: str, who: str, now: int) -> int:
        """Leave a request for the lander, with an audit line; returns its number."""
        with self._engine.begin() as c:
            values = {"held": held, "what": what, "who": who, "time": now}
            id = c.execute(sa.insert(t.quarantine_request).values(values)).inserted_primary_key
            c.execute(
                sa.insert(t.audit).values(time=now, who=who, what=f"quarantine {what} {held}: asked for")
            )
        assert id is not None
        return int(id[0])

    def request(self, id: int) -> Request:
        with self._engine.connect() as c:
            return _request(c.execute(_REQUESTS.where(t.quarantine_request.c.id == id)).one())

    def open_requests(self) -> list[Request]:
        unfinished = _REQUESTS.where(t.quarantine_request.c.finished.is_(None))
        with self._engine.connect() as c:
            return [_request(row) for row in c.execute(unfinished.order_by(t.quarantine_request.c.id))]

    def finish(self, held: int, now: int, code: str | None = None, reason: str = "") -> None:
        """Every open request about `held` has ended so."""
        with self._engine.begin() as c:
            _finish(c, held, now, code, reason)


_REQUESTS = sa.select(t.quarantine_request)


def _same(one: sa.Table, other: sa.Table) -> sa.ColumnElement[bool]:
    return sa.and_(*(one.c[name] == other.c[name] for name in ("site", "source", "path")))


def _is(table: sa.Table, stream: Stream, path: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.site == stream.site, table.c.source == stream.source, table.c.path == path)


def _forget(c: sa.Connection, held: Held, now: int) -> None:
    c.execute(sa.delete(t.parked).where(_is(t.parked, held.stream, held.path)))
    c.execute(sa.delete(t.held).where(t.held.c.id == held.id))
    _finish(c, held.id, now, None, "")


def _finish(c: sa.Connection, held: int, now: int, code: str | None, reason: str) -> None:
    r = t.quarantine_request.c
    ended = sa.update(t.quarantine_request).where(r.held == held, r.finished.is_(None))
    c.execute(ended.values(finished=now, code=code, reason=reason))


def _gap_values(one: Gap) -> dict[str, Any]:
    return {
        "site": one.stream.site,
        "source": one.stream.source,
        "path": one.path,
        "epoch": one.first[0],
        "seq": one.first[1],
        "last_epoch": one.last[0],
        "last_seq": one.last[1],
        "envelopes": one.envelopes,
        "bytes": one.bytes,
        "rows": one.rows,
        "code": one.code,
        "reason": one.reason,
        "who": one.who,
        "time": one.time,
        "command": one.command,
    }


def _gap(r: sa.Row[Any]) -> Gap:
    return Gap(
        Stream(r.site, r.source),
        r.path,
        (r.epoch, r.seq),
        (r.last_epoch, r.last_seq),
        r.envelopes,
        r.bytes,
        r.rows,
        r.code,
        r.reason,
        r.who,
        r.time,
        r.command,
        r.healed,
        r.id,
    )


def _request(r: sa.Row[Any]) -> Request:
    return Request(r.id, r.held, r.what, r.who, r.time, r.finished, r.code, r.reason)
