"""What is known of the tables of a log: as the spool has it, and as the group under way will leave it.

Several tables' states may change with one group; until it is committed they stand here alone.
"""

from __future__ import annotations

from dataclasses import replace

from protocol.names import TableName

from ...spool.records import TableState
from ..facts import Facts, Followed, facts_of
from ..writer import StreamWriter


class Tables:
    def __init__(self) -> None:
        self._changed: dict[TableName, TableState] = {}

    def state(self, writer: StreamWriter, table: TableName) -> TableState | None:
        return self._changed.get(table) or writer.table(table)

    def facts(self, writer: StreamWriter, table: TableName) -> Facts:
        return facts_of(self.state(writer, table))

    def keep(self, writer: StreamWriter, table: TableName, facts: Facts) -> None:
        """For a table that the spool knows."""
        state = self.state(writer, table)
        assert state is not None
        self._changed[table] = replace(state, facts=facts.to_json())

    def mark_stale(self, writer: StreamWriter, table: TableName, reason: str) -> None:
        """It will be read anew; nothing where it was never read, and so will be anyway."""
        facts = self.facts(writer, table)
        if facts.log is not None and not facts.log.stale:
            self.keep(writer, table, replace(facts, log=replace(facts.log, stale=reason)))

    def followed(self, writer: StreamWriter, table: TableName) -> Followed:
        return self.facts(writer, table).log or Followed()

    @property
    def changed(self) -> list[TableState]:
        return list(self._changed.values())

    def clear(self) -> None:
        """They are committed, or will not be."""
        self._changed.clear()
