"""Obeying: what becomes of a command from the centre, whose signature was verified already.

Once by id, for as long as it has not expired, within `[remote] allow`, about what is there; everything else is
answered with a code. A command never exceeds what the operator here has set: a snapshot that it asks for runs
under the same duty cycle as any other, and what a person here paused the centre cannot resume.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

from protocol.errors import Rejected
from protocol.messages import Answer, Command
from protocol.names import TableName

from .orders import Book, Orders, Outcome, Pause

log = logging.getLogger("edge.obeying")

CLOCK_MICROS = 24 * 3_600 * 1_000_000
"""Clocks are advisory: a command counts as expired only when ours is a day past its end."""

Change = Callable[[Book], Book]


class Obeying:
    def __init__(
        self,
        *,
        agent: str,
        allow: Collection[str],
        orders: Orders,
        tables: Callable[[str], Sequence[TableName] | None],
        wall: Callable[[], int],
    ) -> None:
        """`tables` gives the captured tables of a source, None where there is no such source here."""
        self._agent = agent
        self._allow = allow
        self._orders = orders
        self._tables = tables
        self._wall = wall

    def answer(self, command: Command) -> Answer:
        """Do it, durably, and say so; a command that comes again gets the same answer again.

        Raises Rejected GC-4010 for another agent's, Transient GC-4016 where nothing was done or remembered.
        """
        if command.agent != self._agent:
            raise Rejected("GC-4010")
        known = self._orders.book.outcomes.get(command.id)
        if known is None:
            known = self._obey(command)
            log.info("command %s of the centre: %s", command.name, known.code or "done")
        return Answer(agent=command.agent, id=command.id, done=known.done, code=known.code, facts=known.facts)

    def _obey(self, command: Command) -> Outcome:
        try:
            self._check(command)
            change, facts = self._change(command)
        except Rejected as fault:
            change, outcome = _nothing, Outcome(command.issued, False, fault.code)
        else:
            outcome = Outcome(command.issued, True, None, facts)
        self._orders.take(lambda book: change(book).remembering(command.id, outcome))
        return outcome

    def _check(self, command: Command) -> None:
        if self._wall() > command.expires + CLOCK_MICROS or command.issued <= self._orders.book.forgotten:
            raise Rejected("GC-4011")
        if command.name not in self._allow:
            raise Rejected("GC-4012", name=command.name)

    def _change(self, command: Command) -> tuple[Change, dict[str, str]]:
        """What a command changes in the book, and the facts to answer with. Raises Rejected GC-4013/4014/4015."""
        match command.name, command.arguments:
            case "snapshot", {"source": source, **rest} if not rest.keys() - {"table"}:
                tables = self._named(source, rest.get("table"))
                return lambda book: book.wanting(source, tables), {"tables": str(len(tables))}
            case "pause", {"source": source, **rest} if not rest:
                self._named(source, None)
                pause = Pause(self._wall(), "centre")
                return lambda book: book.pausing(source, pause), {}
            case "resume", {"source": source, **rest} if not rest:
                self._named(source, None)
                paused = self._orders.pause_of(source)
                if paused is not None and paused.by == "local":
                    raise Rejected("GC-4014", source=source)
                return lambda book: book.resuming(source, "centre"), {}
        raise Rejected("GC-4015", name=command.name)

    def _named(self, source: str, table: str | None) -> list[TableName]:
        tables = self._tables(source)
        found = [t for t in tables or () if table is None or str(t) == table]
        if tables is None or (table is not None and not found):
            raise Rejected("GC-4013", source=source, table=table or "*")
        return found


def refuse_all(command: Command) -> Answer:
    """Of an agent that obeys nobody."""
    return Answer(agent=command.agent, id=command.id, done=False, code="GC-4012")


def _nothing(book: Book) -> Book:
    return book
