"""Schemas by their fingerprint: kept in the ledger and beside the tables, looked up once."""

from __future__ import annotations

from protocol.schema import TableSchema

from ..ledger.ledger import Ledger
from .lake import Lake


class Schemas:
    def __init__(self, ledger: Ledger, lake: Lake) -> None:
        self._ledger = ledger
        self._lake = lake
        self._known: dict[bytes, TableSchema] = {}

    def keep(self, content: bytes) -> None:
        """Raises Rejected GC-5006 for what is no schema."""
        schema = TableSchema.from_bytes(content)
        self._ledger.save_schema(schema.fingerprint, schema.content)
        self._lake.keep_schema(schema.fingerprint, schema.content)
        self._known[schema.fingerprint] = schema

    def find(self, fingerprint: bytes) -> TableSchema | None:
        """None for one that never came."""
        if fingerprint not in self._known:
            content = self._ledger.schema(fingerprint)
            if content is None:
                return None
            self._known[fingerprint] = TableSchema.from_bytes(content)
        return self._known[fingerprint]
