"""A PostgreSQL database that is followed by its log: its tables, the agent's runner over it, what must hold of both.

The agent's own runner, source and spool; only what lies behind the spool is read as a centre reads it. A trigger keeps
a log of its own of every row change (`audited`), against which `once` holds what was sent.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from edge_agent.capture.facts import facts_of
from edge_agent.capture.phases import Phase
from edge_agent.sources.settings import PostgresSettings
from protocol import canonical
from protocol.change import MarkKind, Op
from protocol.errors import Fault
from protocol.names import TableName
from tests.databases import PostgresServer, logical_postgres
from tests.integration.capturing import Capturing, Opening
from tests.integration.held import held
from tests.unit.edge_agent.reading import Change, Mark

PATIENCE_SECONDS = 60.0
TABLES = ("visit", "full_image", "by_index", "医嘱 Order", "parted")
LONG = "repeat(md5('{}'), 100)"
"""Longer than what stays in a row; never compressed into it (`STORAGE EXTERNAL`)."""
ROWS = 30
SLOT = "guicang_his"
PUBLICATION = "guicang_his"


class Hospital:
    """`address`: a file with the database's address, so that it may become another one; none where it stays."""

    def __init__(self, server: PostgresServer, database: str, address: Path | None = None) -> None:
        self.server = server
        self.database = database
        self.address = address
        if address is not None:
            self.move_to(server)

    def move_to(self, server: PostgresServer) -> None:
        """The same address leads to another server from now on."""
        assert self.address is not None
        self.server = server
        self.address.write_text(server.url(self.database), "utf-8")

    def run(self, *statements: str) -> None:
        self.server.run(*statements, database=self.database)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.server.rows(query, self.database)

    def name(self, table: str) -> TableName:
        return TableName(self.database, "public", table)

    def settings(self, account: str | None = None, **more: Any) -> dict[str, PostgresSettings]:
        said = {"page_rows": 7, "scan_interval_seconds": 0.5, "deletion_rows_min": 100_000} | more
        said = {"include": ("*",), "duty_share_max": 1.0} | said
        if self.address is None:
            said["url"] = self.server.url(self.database, account)
        else:
            said["url_file"] = str(self.address)
        return {"his": PostgresSettings(**said)}

    def held(self, one: Capturing, table: str) -> Counter[bytes]:
        schema = one.schema("his", self.name(table))
        return Counter(map(b"".join, held(self.server.url(self.database), schema)))

    def found(self) -> None:
        """Tables of every replica identity, a partitioned one, one without a key; rows, and a publication."""
        self.run(
            *(
                f'CREATE TABLE "{t}"(id int NOT NULL, n int, long text){how}'
                for t, how in (*((t, "") for t in TABLES[:-1]), ("parted", " PARTITION BY HASH (id)"))
            ),
            *(f'ALTER TABLE "{t}" ALTER COLUMN long SET STORAGE EXTERNAL' for t in TABLES),
            "CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
            "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
            *(f'ALTER TABLE "{t}" ADD PRIMARY KEY (id)' for t in TABLES if t != "by_index"),
            "ALTER TABLE full_image REPLICA IDENTITY FULL",
            "CREATE UNIQUE INDEX by_index_key ON by_index(id)",
            "ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_key",
            "CREATE TABLE keyless(n int)",
            *(
                f'INSERT INTO "{t}" SELECT i, 0, {LONG.format("first")} FROM generate_series(1, {ROWS}) i'
                for t in TABLES
            ),
            "INSERT INTO keyless VALUES(1), (1), (2)",
        )
        self.publish()

    def publish(self) -> None:
        tables = ", ".join(f'ONLY "{t}"' for t in TABLES)
        self.run(
            f"CREATE PUBLICATION {PUBLICATION} FOR TABLE {tables} WITH (publish_via_partition_root = true)"
        )

    def drop_slot(self) -> None:
        """Once its reader has gone."""
        self.server.drop_slot(SLOT, self.database)

    def once_unread(self, statement: str) -> None:
        """Say this of our slot, as soon as nobody reads it; nothing where there is none."""
        self.server.once_unread(SLOT, statement, self.database)


@contextmanager
def hospital_on(
    server: PostgresServer, address: Path | None = None, make: Sequence[str] = ()
) -> Iterator[Hospital]:
    """A new database of that server, whose slot is dropped with it: with the tables of `found`, or what these make."""
    with server.database() as database:
        one = Hospital(server, database, address)
        if make:
            one.run(*make)
        else:
            one.found()
        try:
            yield one
        finally:
            one.drop_slot()


@contextmanager
def hospital_of(*statements: str) -> Iterator[Hospital]:
    """A database in which these were run."""
    with hospital_on(logical_postgres(), make=statements) as one:
        yield one


@contextmanager
def a_hospital() -> Iterator[Hospital]:
    """With `TABLES`, all carried by the log, and a table without a key."""
    with hospital_on(logical_postgres()) as one:
        yield one


@asynccontextmanager
async def capturing(
    hospital: Hospital,
    root: Path,
    former: Capturing | None = None,
    opening: Opening | None = None,
    only: str | None = None,
    **more: Any,
) -> AsyncIterator[Capturing]:
    """The agent, anew or on what the `former` one left; of `only` one table, which is quicker."""
    began = int(time.time() * 1e6)
    if only is not None:
        more["include"] = (f"*.public.{only}",)
    one = Capturing(root, hospital.settings(**more), began=began, former=former, opening=opening)
    try:
        yield one
    finally:
        await one.close()


async def turn(one: Capturing) -> None:
    with suppress(Fault):  # a source that was lost is found again
        await one.runners["his"].turn()


async def turns_until(one: Capturing, reached: Callable[[], bool]) -> None:
    """The agent works until that holds; a source that it lost for a moment it finds again."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        await turn(one)
        assert time.monotonic() < end, one.where("his")


async def arrived(hospital: Hospital, one: Capturing, *tables: str) -> None:
    """Until everything that was committed before this is in the spool, the catalogue was looked at once more, and these
    tables were read to their ends."""
    one.runners["his"].hint()
    ((stamp,),) = hospital.rows("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    names = [hospital.name(table) for table in tables or TABLES]

    def there() -> bool:
        states = [one.state("his", name) for name in names]
        followed = all(s is not None and s.phase == Phase.FOLLOW and not is_stale(s) for s in states)
        return followed and (one.runners["his"].report.last_pass or 0) > stamp

    await turns_until(one, there)


def is_stale(state: Any) -> bool:
    log = facts_of(state).log
    return log is None or bool(log.stale)


def check(hospital: Hospital, one: Capturing, *tables: str) -> None:
    """What was sent makes the tables as they stand, by every key and column."""
    cells = one.cells("his")
    for table in tables or TABLES:
        assert cells[hospital.name(table)] == hospital.held(one, table), table


def stands(one: Capturing, hospital: Hospital, table: str) -> bool:
    """Whether the centre has it as it is."""
    name, cells = hospital.name(table), one.cells("his")
    return name in cells and cells[name] == hospital.held(one, table)


def changes_of(one: Capturing, hospital: Hospital, table: str) -> list[Change]:
    name = hospital.name(table)
    return [e for e in one.events("his") if isinstance(e, Change) and e.table == name]


def marks(one: Capturing, table: TableName) -> list[tuple[MarkKind, str | None]]:
    """Kinds, and of a snapshot's begin its reason."""
    events = one.events("his")
    return [
        (e.header.mark, e.header.facts.get("reason"))
        for e in events
        if isinstance(e, Mark) and e.header.table_name == table
    ]


def begun(one: Capturing, table: TableName) -> list[str | None]:
    """Why its snapshots began."""
    return [reason for kind, reason in marks(one, table) if kind is MarkKind.SNAPSHOT_BEGIN]


def standing(one: Capturing, table: TableName) -> Counter[tuple[Any, ...]]:
    """Its rows at the centre."""
    return one.standing("his")[str(table)]


def ended(one: Capturing, table: TableName) -> int:
    """How many of them ended."""
    return sum(kind is MarkKind.SNAPSHOT_END for kind, _ in marks(one, table))


def audited(hospital: Hospital) -> None:
    """From now on a trigger notes every row change, in the transaction that makes it."""
    hospital.run(
        "CREATE TABLE audit(at bigserial, tab text, op text, old_id int, new_id int, n int)",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO audit(tab, op, old_id, new_id, n) VALUES(TG_ARGV[0], TG_OP, "
        "CASE WHEN TG_OP <> 'INSERT' THEN OLD.id END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.id END, "
        "CASE WHEN TG_OP <> 'DELETE' THEN NEW.n END); RETURN NULL; END $$",
        *(
            f"CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON \"{t}\" FOR EACH ROW EXECUTE FUNCTION note('{t}')"
            for t in TABLES
        ),
    )


def once(hospital: Hospital, one: Capturing, table: str) -> None:
    """Of every key the changes that the trigger noted were told, once, in their order, and no other: by what each of
    them made of `n`."""
    noted: dict[bytes, list[Any]] = defaultdict(list)
    query = f"SELECT op, old_id, new_id, n FROM audit WHERE tab = '{table}' ORDER BY at"
    for op, old, new, n in hospital.rows(query):
        moved = op == "UPDATE" and old != new
        if op == "DELETE" or moved:
            noted[key_of(old)].append((Op.DELETE, None))
        if op != "DELETE":
            noted[key_of(new)].append((Op.CREATE if op == "INSERT" or moved else Op.UPDATE, n))
    told: dict[bytes, list[Any]] = defaultdict(list)
    for event in one.events("his"):
        if isinstance(event, Change) and event.table == hospital.name(table) and event.op is not Op.READ:
            n = None if event.op is Op.DELETE else canonical.decode(event.row)[1]
            told[event.key].append((event.op, n))
    assert told == noted, table


def key_of(id: int) -> bytes:
    return canonical.digests(canonical.encode_rows([pa.array([id], pa.int32())]))[0]
