"""The centre's book, over SQLAlchemy: sites, agents, grants, stream heads, catalogue, what is parked, audit.

Every method is one durable transaction and may be called from any thread; each raises LedgerDown GC-6090 where the
database does not answer (see `engine`). Lost heads are found again in the journal: `checkpoint` says from which offset.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from protocol.delivery import Head
from protocol.errors import Permanent
from protocol.names import Stream, TableName

from . import tables as t
from .address import Address
from .commands import CommandBook
from .cuts import CutBook
from .damage import DamageBook
from .engine import empty_engine, open_engine
from .holes import HoleBook
from .materialised import MaterialisedBook
from .quarantine import QuarantineBook
from .records import AgentRecord, GrantRecord, InventoryLine, Parked, StreamRecord, TableRecord
from .upsert import upsert

__all__ = [
    "AgentRecord",
    "GrantRecord",
    "InventoryLine",
    "Ledger",
    "Parked",
    "StreamRecord",
    "TableRecord",
]


class Ledger:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self.commands = CommandBook(engine)
        self.cuts = CutBook(engine)
        self.damage = DamageBook(engine)
        self.holes = HoleBook(engine)
        self.materialised = MaterialisedBook(engine)
        self.quarantine = QuarantineBook(engine)

    @classmethod
    def open(cls, where: Address) -> Ledger:
        """Open or create the ledger; one of an older version is migrated. Raises as `engine.open_engine`."""
        return cls(open_engine(where))

    @classmethod
    def as_it_is(cls, where: Address) -> Ledger:
        """Open it and change nothing, not even its version; a lost one is empty. Raises Permanent GC-6106 for one of an
        older version, and as `open`."""
        try:
            return cls(open_engine(where, as_it_is=True))
        except Permanent as fault:
            if fault.code != "GC-6101":
                raise
            return cls(empty_engine())

    def close(self) -> None:
        self._engine.dispose()

    # sites and invitations

    def add_site(self, code: str, name: str, now: int) -> None:
        row = {"code": code, "name": name, "created": now}
        keep = {"name": name} if name else {"code": code}
        self._run(
            upsert(self._engine, t.site).values(row).on_conflict_do_update(index_elements=["code"], set_=keep)
        )

    def sites(self) -> list[tuple[str, str]]:
        """(code, name), sorted by code."""
        return [(r.code, r.name) for r in self._all(sa.select(t.site).order_by(t.site.c.code))]

    def invite(self, secret_hash: bytes, site: str, expires: int) -> None:
        self._run(sa.insert(t.invitation).values(secret_hash=secret_hash, site=site, expires=expires))

    def use_invitation(self, secret_hash: bytes, site: str, agent: AgentRecord, now: int) -> bool:
        """Put `agent` on the roster if the invitation is open (or was used by this very agent before). One that
        was revoked, or that belongs to another site, never comes in again under the same keys."""
        with self._engine.begin() as c:
            known = c.execute(sa.select(t.agent).where(t.agent.c.id == agent.id)).one_or_none()
            if known is not None and (known.revoked is not None or known.site != site):
                return False
            row = c.execute(
                sa.select(t.invitation).where(
                    t.invitation.c.secret_hash == secret_hash,
                    t.invitation.c.site == site,
                )
            ).one_or_none()
            if (
                row is None
                or (row.used_by is None and row.expires < now)
                or row.used_by not in (None, agent.id)
            ):
                return False
            mine = t.invitation.c.used_by.is_(None) | (t.invitation.c.used_by == agent.id)
            used = sa.update(t.invitation).where(t.invitation.c.secret_hash == secret_hash, mine)
            if c.execute(used.values(used_by=agent.id)).rowcount != 1:  # by another, at the same moment
                return False
            values = {
                "id": agent.id,
                "site": agent.site,
                "suite": agent.suite,
                "public": agent.public,
                "version": agent.version,
                "enrolled": agent.enrolled,
            }
            c.execute(upsert(c, t.agent).values(values).on_conflict_do_nothing())
        return True

    # roster and grants

    def agents(self) -> list[AgentRecord]:
        return [
            AgentRecord(r.id, r.site, r.suite, r.public, r.version, r.enrolled, r.revoked)
            for r in self._all(sa.select(t.agent))
        ]

    def revoke(self, agent: str, now: int) -> None:
        self._run(sa.update(t.agent).where(t.agent.c.id == agent).values(revoked=now))

    def grants(self, stream: Stream) -> list[GrantRecord]:
        """All grants of a stream, by rising epoch."""
        query = sa.select(t.grant).where(_of(t.grant, stream)).order_by(t.grant.c.epoch)
        return [GrantRecord(stream, r.epoch, r.agent, r.used) for r in self._all(query)]

    def sources_granted(self, agent: str) -> int:
        """How many sources this agent was ever granted."""
        query = sa.select(sa.func.count(sa.distinct(t.grant.c.source))).where(t.grant.c.agent == agent)
        with self._engine.connect() as c:
            return int(c.execute(query).scalar_one())

    def add_grant(self, stream: Stream, epoch: int, agent: str, now: int) -> None:
        self._run(
            sa.insert(t.grant).values(
                site=stream.site, source=stream.source, epoch=epoch, agent=agent, issued=now
            )
        )

    # heads

    def streams(self) -> list[StreamRecord]:
        return [
            StreamRecord(
                Stream(r.site, r.source),
                r.agent,
                Head(r.epoch, r.seq, r.hash, r.resume),
                r.admitted_bytes,
                r.public,
                r.received,
                r.low_water,
            )
            for r in self._all(sa.select(t.stream))
        ]

    def begin_epoch(self, stream: Stream, epoch: int, agent: str, now: int, low_water: int) -> None:
        """The grant of `epoch` was used in a hello: from now on nothing below it is admitted (fenced).

        The low-water mark of a stream that is known already stays: older epochs may still be landing.
        """
        row = {
            "site": stream.site,
            "source": stream.source,
            "agent": agent,
            "epoch": epoch,
            "seq": 0,
            "hash": b"",
            "resume": b"",
            "admitted_bytes": 0,
            "public": None,
        }
        with self._engine.begin() as c:
            c.execute(
                upsert(c, t.stream)
                .values(row | {"low_water": low_water})
                .on_conflict_do_update(index_elements=["site", "source"], set_=row)
            )
            c.execute(
                upsert(c, t.grant)
                .values(
                    site=stream.site, source=stream.source, epoch=epoch, agent=agent, issued=now, used=now
                )
                .on_conflict_do_update(index_elements=["site", "source", "epoch"], set_={"used": now})
            )

    def checkpoint(self) -> int:
        """The journal offset from which heads must be read again."""
        return int(self._meta("checkpoint") or 0)

    def save_heads(self, records: Iterable[StreamRecord], checkpoint: int) -> None:
        """Remember where streams stand now that the journal ends at `checkpoint`."""
        with self._engine.begin() as c:
            for r in records:
                c.execute(
                    sa.update(t.stream)
                    .where(_of(t.stream, r.stream), t.stream.c.epoch == r.head.epoch)
                    .values(
                        seq=r.head.seq,
                        hash=r.head.hash,
                        resume=r.head.resume,
                        admitted_bytes=r.admitted_bytes,
                        public=r.public,
                        received=r.received,
                    )
                )
            _set_meta(c, "checkpoint", str(checkpoint))

    # catalogue and landing

    def lake_tables(self) -> list[TableRecord]:
        return [
            TableRecord(
                r.path,
                Stream(r.site, r.source),
                TableName.from_list(json.loads(r.name)),
                tuple(json.loads(r.key)),
                r.fingerprint,
                r.synced_version,
                r.landed,
                r.rows,
            )
            for r in self._all(sa.select(t.lake_table).order_by(t.lake_table.c.path))
        ]

    def save_table(self, record: TableRecord) -> None:
        values = {
            "site": record.stream.site,
            "source": record.stream.source,
            "name": json.dumps(record.table.as_list(), ensure_ascii=False),
            "key": json.dumps(list(record.key), ensure_ascii=False),
            "fingerprint": record.fingerprint,
            "synced_version": record.synced_version,
            "landed": record.landed,
            "rows": record.rows,
        }
        self._run(
            upsert(self._engine, t.lake_table)
            .values(values | {"path": record.path})
            .on_conflict_do_update(index_elements=["path"], set_=values)
        )

    def save_low_water(self, marks: dict[Stream, int]) -> None:
        """Journal offsets below which everything of a stream has durably landed."""
        with self._engine.begin() as c:
            for stream, offset in marks.items():
                c.execute(sa.update(t.stream).where(_of(t.stream, stream)).values(low_water=offset))

    def save_schema(self, fingerprint: bytes, content: bytes) -> None:
        self._run(
            upsert(self._engine, t.schema)
            .values(fingerprint=fingerprint, content=content)
            .on_conflict_do_nothing()
        )

    def schema(self, fingerprint: bytes) -> bytes | None:
        rows = self._all(sa.select(t.schema.c.content).where(t.schema.c.fingerprint == fingerprint))
        return rows[0].content if rows else None

    def schemas(self) -> set[bytes]:
        """Fingerprints of all that ever came."""
        return {row.fingerprint for row in self._all(sa.select(t.schema.c.fingerprint))}

    def park(self, parked: Parked) -> None:
        values = {
            "site": parked.stream.site,
            "source": parked.stream.source,
            "path": parked.path,
            "code": parked.code,
            "reason": parked.reason,
            "epoch": parked.epoch,
            "seq": parked.seq,
            "since": parked.since,
        }
        self._run(upsert(self._engine, t.parked).values(values).on_conflict_do_nothing())

    def unpark(self, stream: Stream, path: str) -> None:
        self._run(sa.delete(t.parked).where(_of(t.parked, stream), t.parked.c.path == path))

    def parked(self) -> list[Parked]:
        return [
            Parked(Stream(r.site, r.source), r.path, r.code, r.reason, r.epoch, r.seq, r.since)
            for r in self._all(sa.select(t.parked).order_by(t.parked.c.site, t.parked.c.source))
        ]

    # inventory, fleet, audit

    def save_inventory(self, lines: Sequence[InventoryLine], first: bool, now: int) -> None:
        """Take down (part of) an inventory mark; its first part replaces what was known of the stream."""
        with self._engine.begin() as c:
            if lines and first:
                c.execute(sa.delete(t.inventory).where(_of(t.inventory, lines[0].stream)))
            for line in lines:
                values = {
                    "columns": line.columns,
                    "rows_estimate": line.rows_estimate,
                    "captured": line.captured,
                    "reason": line.reason,
                    "seen": now,
                }
                names = {"site": line.stream.site, "source": line.stream.source, "name": line.name}
                c.execute(
                    upsert(c, t.inventory)
                    .values(values | names)
                    .on_conflict_do_update(index_elements=list(names), set_=values)
                )

    def inventory(self) -> list[InventoryLine]:
        order = (t.inventory.c.site, t.inventory.c.source, t.inventory.c.name)
        return [
            InventoryLine(Stream(r.site, r.source), r.name, r.columns, r.rows_estimate, r.captured, r.reason)
            for r in self._all(sa.select(t.inventory).order_by(*order))
        ]

    def save_fleet(self, agent: str, heard: int, status: dict[str, Any]) -> None:
        values = {"heard": heard, "status": json.dumps(status, ensure_ascii=False)}
        self._run(
            upsert(self._engine, t.fleet)
            .values(values | {"agent": agent})
            .on_conflict_do_update(index_elements=["agent"], set_=values)
        )

    def fleet(self) -> dict[str, tuple[int, dict[str, Any]]]:
        """Agent → (when last heard, its last state)."""
        return {r.agent: (r.heard, json.loads(r.status)) for r in self._all(sa.select(t.fleet))}

    def add_audit(self, now: int, who: str, what: str) -> None:
        self._run(sa.insert(t.audit).values(time=now, who=who, what=what))

    def audits(self) -> list[tuple[int, str, str]]:
        return [(r.time, r.who, r.what) for r in self._all(sa.select(t.audit).order_by(t.audit.c.id))]

    # plumbing

    def _run(self, statement: Any) -> None:
        with self._engine.begin() as c:
            c.execute(statement)

    def _all(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with self._engine.connect() as c:
            return c.execute(query).all()

    def _meta(self, name: str) -> str | None:
        rows = self._all(sa.select(t.meta.c.value).where(t.meta.c.name == name))
        return rows[0].value if rows else None


def _of(table: sa.Table, stream: Stream) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.site == stream.site, table.c.source == stream.source)


def _set_meta(c: sa.Connection, name: str, value: str) -> None:
    c.execute(
        upsert(c, t.meta)
        .values(name=name, value=value)
        .on_conflict_do_update(index_elements=["name"], set_={"value": value})
    )
