"""Control: what the centre's operators ask of agents: sent until answered or expired, the answers taken down.

The command line writes a command into the ledger; here it is signed and said to its agent after each hello, and
again while no answer comes: the link loses and repeats, and the agent obeys once by id. It refuses to know what
commands mean.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from protocol import messages
from protocol.errors import Rejected
from protocol.messages import Answer, Command
from protocol.signing import Signer

from .ledger.commands import CommandBook, CommandRecord

log = logging.getLogger("central.control")

AGAIN_MICROS = 30_000_000
"""A command without an answer is said again this often in one session."""


@dataclass(frozen=True, slots=True)
class _Said:
    session: str
    when: int


class Control:
    def __init__(self, book: CommandBook, signer: Signer) -> None:
        self._book = book
        self._signer = signer
        self._said: dict[str, _Said] = {}

    def due(self, sessions: Mapping[str, str], now: int) -> list[tuple[str, bytes]]:
        """(agent, message) of each command to be said now; `sessions` are those of the agents that are present."""
        waiting = self._book.open(now)
        self._said = {one.id: self._said[one.id] for one in waiting if one.id in self._said}
        out = []
        for one in waiting:
            session = sessions.get(one.agent)
            if session is None or self._was_just_said(one.id, session, now):
                continue
            self._said[one.id] = _Said(session, now)
            if one.sent is None:
                self._book.note_sent(one.id, now)
            out.append((one.agent, self._write(one)))
        return out

    def take(self, agent: str, answer: Answer, now: int) -> None:
        """An answer under the agent's own signature. Raises Rejected GC-4004 for one to nothing that it was asked."""
        if answer.agent != agent or not self._book.answer(
            answer.id, agent, now, done=answer.done, code=answer.code, facts=answer.facts
        ):
            raise Rejected("GC-4004", reason="an answer that nobody asked for")
        log.info("agent %s answered command %s: %s", agent, answer.id, answer.code or "done")

    def _was_just_said(self, id: str, session: str, now: int) -> bool:
        said = self._said.get(id)
        return said is not None and said.session == session and abs(now - said.when) < AGAIN_MICROS

    def _write(self, one: CommandRecord) -> bytes:
        command = Command(
            agent=one.agent,
            id=one.id,
            name=one.name,
            arguments=one.arguments,
            issued=one.issued,
            expires=one.expires,
        )
        return messages.write(command, self._signer)
