"""A PostgreSQL database of every kind of table that is followed by its log, and its own word on each row that changed.

A trigger gives every version of a row a number of its own (`v`) and notes each change, in the transaction that makes
it: whatever commits is noted, whatever does not is not, also where the server dies. What DDL does to rows is no row
change to the server, and none here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.databases import PostgresServer

PUBLICATION = "guicang_his"
LONG_BYTES = 3_200
"""Of `long`, which never stands in its row: an update that leaves it alone does not carry it."""

Version = tuple[str, int | None, int | None, str | None]
"""Operation as `changes` has it; `v`, `n` and the digest of `note` of what it left."""
ByRow = dict[int, list[Version]]
"""Of each id, in order."""


@dataclass(frozen=True, slots=True)
class Table:
    """`identity`: default, full or index; `rows` at the beginning; `long_bytes` of its long values."""

    name: str
    schema: str = "public"
    identity: str = "default"
    parts: int = 0
    rows: int = 1_500
    long_bytes: int = LONG_BYTES

    @property
    def quoted(self) -> str:
        return f'"{self.schema}"."{self.name}"'

    def long(self, seed: object) -> str:
        return f"repeat(md5(({seed})::text), {self.long_bytes // 32})"

    def statements(self) -> list[str]:
        """That make it, empty, with its triggers, and put it into the publication."""
        partition = " PARTITION BY HASH (id)" if self.parts else ""
        key = f"ALTER TABLE {self.quoted} ADD PRIMARY KEY (id)"
        identity = {
            "default": [key],
            "full": [key, f"ALTER TABLE {self.quoted} REPLICA IDENTITY FULL"],
            "index": [
                f'CREATE UNIQUE INDEX "{self.name}_id" ON {self.quoted}(id)',
                f'ALTER TABLE {self.quoted} REPLICA IDENTITY USING INDEX "{self.name}_id"',
            ],
        }
        return [
            f"CREATE TABLE {self.quoted}(id bigint NOT NULL, v bigint, n int, note text, long text){partition}",
            f"ALTER TABLE {self.quoted} ALTER COLUMN long SET STORAGE EXTERNAL",
            *(
                f'CREATE TABLE "{self.schema}"."{self.name}_{i}" PARTITION OF {self.quoted} '
                f"FOR VALUES WITH (MODULUS {self.parts}, REMAINDER {i})"
                for i in range(self.parts)
            ),
            *identity[self.identity],
            f"CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON {self.quoted} "
            "FOR EACH ROW EXECUTE FUNCTION audit.stamp()",
            f"CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON {self.quoted} "
            f"FOR EACH ROW EXECUTE FUNCTION audit.note('{self.schema}.{self.name}')",
            f"ALTER PUBLICATION {PUBLICATION} ADD TABLE ONLY {self.quoted}",
        ]

    def filled(self, first: int, count: int, note: str) -> str:
        """Rows under so many ids from `first` on."""
        rows = f"SELECT i, i / 7, '{note} ' || i, {self.long('i')} FROM generate_series({first}, {first + count - 1}) i"
        return f"INSERT INTO {self.quoted}(id, n, note, long) {rows}"


TABLES = (
    Table("visit"),
    Table("full_image", identity="full", rows=1_000),
    Table("by_index", identity="index"),
    Table("医嘱 Order", schema="门诊"),
    Table("parted", parts=3),
    Table("wide", rows=150, long_bytes=20_000),
)

_AUDIT = (
    "CREATE SCHEMA audit",
    "CREATE SEQUENCE audit.versions",
    "CREATE TABLE audit.change(at bigserial, tab text, op text, old_id bigint, id bigint, v bigint, n int, note text)",
    "CREATE FUNCTION audit.stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "NEW.v := nextval('audit.versions'); RETURN NEW; END $$",
    "CREATE FUNCTION audit.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP = 'DELETE' THEN "
    "INSERT INTO audit.change(tab, op, old_id) VALUES(TG_ARGV[0], TG_OP, OLD.id); ELSE "
    "INSERT INTO audit.change(tab, op, old_id, id, v, n, note) VALUES(TG_ARGV[0], TG_OP, "
    "CASE WHEN TG_OP = 'UPDATE' THEN OLD.id END, NEW.id, NEW.v, NEW.n, md5(NEW.note)); END IF; RETURN NULL; END $$",
)


class HospitalDatabase:
    def __init__(self, server: PostgresServer, name: str) -> None:
        self.server = server
        self.name = name

    def run(self, *statements: str) -> None:
        self.server.run(*statements, database=self.name)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.server.rows(query, self.name)

    def found(self) -> None:
        """Its tables, with rows of which the audit knows nothing."""
        self.run(
            *_AUDIT,
            'CREATE SCHEMA "门诊"',
            f"CREATE PUBLICATION {PUBLICATION} WITH (publish_via_partition_root = true)",
            *(statement for table in TABLES for statement in table.statements()),
            *(table.filled(1, table.rows, "first") for table in TABLES),
            "TRUNCATE audit.change",
        )

    def noted(self) -> dict[str, ByRow]:
        """All that changed, by table: as the trigger saw it."""
        found: dict[str, ByRow] = {f"{t.schema}.{t.name}": defaultdict(list) for t in TABLES}
        query = "SELECT tab, op, old_id, id, v, n, note FROM audit.change ORDER BY at"
        for table, op, old, id, v, n, note in self.rows(query):
            moved = op == "UPDATE" and old != id
            if op == "DELETE" or moved:
                found[table][old].append(("d", None, None, None))
            if op != "DELETE":
                found[table][id].append(("u" if op == "UPDATE" and not moved else "c", v, n, note))
        return found


def differences(told: Mapping[int, Sequence[Version]], noted: Mapping[int, Sequence[Version]]) -> list[str]:
    """Ids of one table whose changes are not the same in both, with what each has."""
    ids = sorted(told.keys() | noted.keys())
    return [
        f"{id}: told {list(told.get(id, ()))}, noted {list(noted.get(id, ()))}"
        for id in ids
        if list(told.get(id, ())) != list(noted.get(id, ()))
    ]
