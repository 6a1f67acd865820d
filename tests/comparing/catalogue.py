"""Which tables the centre says it has, read from its ledger, and under which schemas they were sent.

Opens the ledger read-only with sqlite3 alone. It shares no code with the centre, so that it can convict it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Name = tuple[str | None, str | None, str]
"""(database, schema, table) exactly as the source spells it."""


class ComparisonError(Exception):
    """What was asked for cannot be compared; the message is for a person."""


@dataclass(frozen=True, slots=True)
class Catalogued:
    """A line of the catalogue. `path` is below the lake's root; `key` empty means a multiset of rows."""

    path: str
    site: str
    source: str
    name: Name
    key: tuple[str, ...]
    query_name: str

    @property
    def shown(self) -> str:
        return shown(self.name)


@dataclass(frozen=True, slots=True)
class Sent:
    """A schema as it was sent: its columns in the order of canonical rows, and its key."""

    columns: tuple[str, ...]
    key: tuple[str, ...]


def shown(name: Name) -> str:
    """A table's name for people."""
    return ".".join(part for part in name if part is not None)


@dataclass(frozen=True)
class Catalogue:
    tables: tuple[Catalogued, ...]
    schemas: Mapping[str, Sent]
    """By fingerprint, 64 hex digits."""

    def of(self, site: str | None, slug: str) -> list[Catalogued]:
        """The tables of one source; "" is the only one there is."""
        found = [t for t in self.tables if site in (None, t.site) and slug in ("", t.source)]
        if len({(t.site, t.source) for t in found}) > 1:
            raise ComparisonError("the centre has several such sources: name one with --site and --source")
        return found


def read(data_dir: Path) -> Catalogue:
    """The ledger below `data_dir`. Raises ComparisonError where there is none."""
    path = data_dir / "ledger.sqlite"
    if not path.is_file():
        raise ComparisonError(f"no ledger at {path}")
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
    try:
        lines = connection.execute(
            "SELECT path, site, source, name, key FROM lake_table ORDER BY path"
        ).fetchall()
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema'").fetchone()
        contents = connection.execute("SELECT fingerprint, content FROM schema").fetchall() if known else []
    finally:
        connection.close()
    named = [
        (path, site, source, _name(name), tuple(json.loads(key))) for path, site, source, name, key in lines
    ]
    folded = Counter(_plain(site, source, name).casefold() for _, site, source, name, _ in named)
    tables = [
        Catalogued(path, site, source, name, key, _query_name(site, source, name, folded))
        for path, site, source, name, key in named
    ]
    return Catalogue(tuple(tables), dict(_sent(bytes(mark), bytes(content)) for mark, content in contents))


def _name(text: str) -> Name:
    database, schema, table = json.loads(text)
    return database, schema, table


def _sent(fingerprint: bytes, content: bytes) -> tuple[str, Sent]:
    if hashlib.blake2b(content, digest_size=32).digest() != fingerprint:
        raise ComparisonError("the ledger holds a schema under a fingerprint that is not its own")
    document = json.loads(content)
    columns = tuple(column["name"] for column in document["columns"])
    return fingerprint.hex(), Sent(columns, tuple(document["key"]))


def _plain(site: str, source: str, name: Name) -> str:
    return f"{site}.{source}.{shown(name)}"


def _query_name(site: str, source: str, name: Name, folded: Counter[str]) -> str:
    """The name of the table in `central-ingest query`, as docs and `tables` print it."""
    plain = _plain(site, source, name)
    if folded[plain.casefold()] == 1:
        return plain
    text = json.dumps([site, source, *name])
    return f"{plain}#{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()[:8]}"
