"""What is known of the tables of a log: as the spool has it, and as the group under way will leave it.

Several tables' states may change with one group; until it is committed they stand here alone. The spool is asked once
for each table: whoever writes a table's state past this (a snapshot's marks) says so.
"""

from __future__ import annotations

from dataclasses import replace

from protocol.names import TableName

from ...spool.records import TableState
from ..facts import Facts, Followed, facts_of
from ..writer import StreamWriter

Known = tuple[TableState | None, Facts]


class Tables:
    def __init__(self) -> None:
        self._known: dict[TableName, Known] = {}
        self._changed: dict[TableName, Known] = {}

    def state(self, writer: StreamWriter, table: TableName) -> TableState | None:
        return self._of(writer, table)[0]

    def facts(self, writer: StreamWriter, table: TableName) -> Facts:
        return self._of(writer, table)[1]

    def followed(self, writer: StreamWriter, table: TableName) -> Followed:
        return self.facts(writer, table).log or Followed()

    def _of(self, writer: StreamWriter, table: TableName) -> Known:
        known = self._changed.get(table) or self._known.get(table)
        if known is None:
            state = writer.table(table)
            known = self._known[table] = (state, facts_of(state))
        return known

    def keep(self, writer: StreamWriter, table: TableName, facts: Facts) -> None:
        """For a table that the spool knows."""
        state = self.state(writer, table)
        assert state is not None
        self._changed[table] = (replace(state, facts=facts.to_json()), facts)

    def keep_state(self, state: TableState, facts: Facts) -> None:
        """Also for one that is new to the spool."""
        self._changed[state.table] = (state, facts)

    def mark_stale(self, writer: StreamWriter, table: TableName, reason: str) -> None:
        """It will be read anew; nothing where it was never read, and so will be anyway."""
        facts = self.facts(writer, table)
        if facts.log is not None and not facts.log.stale:
            self.keep(writer, table, replace(facts, log=replace(facts.log, stale=reason)))

    @property
    def changed(self) -> list[TableState]:
        return [state for state, _ in self._changed.values() if state is not None]

    def committed(self) -> None:
        """What changed is in the spool."""
        self._known |= self._changed
        self._changed.clear()

    def written(self, table: TableName) -> None:
        """Its state in the spool is another than was known."""
        self._known.pop(table, None)

    def clear(self) -> None:
        """What changed will not be committed."""
        self._changed.clear()

    def forget(self) -> None:
        """The spool may hold anything."""
        self._known.clear()
        self._changed.clear()
