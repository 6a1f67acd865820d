"""How a name is written in PostgreSQL's SQL so that it means itself, whatever it holds: quotes, capitals, Chinese."""

from __future__ import annotations

from protocol.names import TableName


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def qualified(table: TableName) -> str:
    return f"{quoted(table.schema or '')}.{quoted(table.name)}"
