"""The ledger's page of commands: who asked which agent for what, whether it was sent, and what it answered.

The command line writes commands in, the daemon sends them and writes answers down. The first answer counts.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from protocol.names import Stream

from . import tables as t

FACTS_CHARS_MAX = 4_096
"""An agent may answer anything; more than this is not worth keeping."""


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """`arguments` are those of the message (docs/protocol.md §7)."""

    id: str
    agent: str
    stream: Stream
    name: str
    arguments: dict[str, str]
    who: str
    issued: int
    expires: int
    sent: int | None = None
    answered: int | None = None
    code: str | None = None
    facts: dict[str, str] = field(default_factory=dict)

    def state(self, now: int) -> str:
        """waiting, sent, done, refused or expired."""
        if self.answered is not None:
            return "done" if self.code is None else "refused"
        if now > self.expires:
            return "expired"
        return "waiting" if self.sent is None else "sent"


def new_command(
    stream: Stream, agent: str, name: str, table: str | None, who: str, now: int, lifetime: int
) -> CommandRecord:
    """`lifetime` in microseconds."""
    arguments = {"source": stream.source} | ({} if table is None else {"table": table})
    return CommandRecord(secrets.token_hex(16), agent, stream, name, arguments, who, now, now + lifetime)


class CommandBook:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, record: CommandRecord) -> None:
        """Take down a command and an audit line of who gave it, in one transaction."""
        with self._engine.begin() as c:
            insert(c, record)

    def all(self) -> list[CommandRecord]:
        """Oldest first."""
        return self._select(sa.select(t.command).order_by(t.command.c.issued, t.command.c.id))

    def open(self, now: int) -> list[CommandRecord]:
        """Neither answered nor expired, oldest first."""
        is_open = sa.and_(t.command.c.answered.is_(None), t.command.c.expires >= now)
        return self._select(sa.select(t.command).where(is_open).order_by(t.command.c.issued, t.command.c.id))

    def note_sent(self, id: str, now: int) -> None:
        first = sa.and_(t.command.c.id == id, t.command.c.sent.is_(None))
        with self._engine.begin() as c:
            c.execute(sa.update(t.command).where(first).values(sent=now))

    def answer(
        self, id: str, agent: str, now: int, *, done: bool, code: str | None, facts: dict[str, str]
    ) -> bool:
        """Take down what `agent` answered; False where no such command was given to it. A repeat changes nothing."""
        asked = sa.and_(t.command.c.id == id, t.command.c.agent == agent)
        text = json.dumps(facts, ensure_ascii=False)
        values = {
            "answered": now,
            "code": None if done else code or "GC-4015",
            "facts": text if len(text) <= FACTS_CHARS_MAX else "{}",
        }
        with self._engine.begin() as c:
            if c.execute(sa.select(t.command.c.id).where(asked)).one_or_none() is None:
                return False
            c.execute(sa.update(t.command).where(asked, t.command.c.answered.is_(None)).values(values))
        return True

    def _select(self, query: sa.Select[Any]) -> list[CommandRecord]:
        with self._engine.connect() as c:
            return [_record(row) for row in c.execute(query)]


def insert(c: sa.Connection, record: CommandRecord) -> None:
    """As `CommandBook.add`, inside somebody else's transaction."""
    values = {
        "id": record.id,
        "agent": record.agent,
        "site": record.stream.site,
        "source": record.stream.source,
        "name": record.name,
        "arguments": json.dumps(record.arguments, ensure_ascii=False),
        "who": record.who,
        "issued": record.issued,
        "expires": record.expires,
    }
    c.execute(sa.insert(t.command).values(values))
    about = f"{record.name} {record.stream} {record.arguments.get('table', '')}".rstrip()
    what = f"command {about} to {record.agent}"
    c.execute(sa.insert(t.audit).values(time=record.issued, who=record.who, what=what))


def _record(row: sa.Row[Any]) -> CommandRecord:
    return CommandRecord(
        row.id,
        row.agent,
        Stream(row.site, row.source),
        row.name,
        json.loads(row.arguments),
        row.who,
        row.issued,
        row.expires,
        row.sent,
        row.answered,
        row.code,
        json.loads(row.facts or "{}"),
    )
