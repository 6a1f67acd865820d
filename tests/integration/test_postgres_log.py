"""A real PostgreSQL's log through connection and decoder: what it says of rows, and that only we confirm it."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import make_url

from edge_agent.sources.dialects.postgres import SESSION
from edge_agent.sources.pg import libpq, replication
from edge_agent.sources.pg.events import LogEvent, Message, RelationChanged, Segment
from edge_agent.sources.pg.pgoutput import Decoder
from edge_agent.sources.pg.replication import ROOM_BYTES, LogConnection, parse_lsn
from protocol.errors import Transient
from tests.databases import PostgresServer, logical_postgres, postgres
from tests.unit.edge_agent.sources.pg.encoder import UNCHANGED, said

MIB = 1 << 20
SECONDS_MAX = 30.0


class Hospital:
    """A database with a publication `p` and a slot."""

    def __init__(self, server: PostgresServer, database: str, slot: str) -> None:
        self.server, self.database, self.slot = server, database, slot
        self.url = make_url(server.url(database))

    def run(self, *statements: str) -> None:
        self.server.run(*statements, database=self.database)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.server.rows(query, self.database)

    @contextlib.contextmanager
    def connection(self) -> Iterator[LogConnection]:
        connection = LogConnection(self.url, "his")
        try:
            yield connection
        finally:
            connection.close()

    def confirmed(self) -> int:
        query = f"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{self.slot}'"
        return parse_lsn(self.rows(query)[0][0])

    def log(self) -> list[LogEvent]:
        """All that was committed before this call and not confirmed, decoded."""
        self.rows("SELECT pg_logical_emit_message(false, 'the end', '')")
        with self.connection() as connection:
            connection.start(self.slot, 0, ["p"])
            return until_the_end(connection)


def until_the_end(connection: LogConnection, bytes_max: int = MIB) -> list[LogEvent]:
    decoder, found = Decoder("his"), []
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        found += decoder.decode(connection.read(bytes_max, 1.0).messages)
        if found and isinstance(found[-1], Message) and found[-1].prefix == "the end":
            return found[:-1]
    raise AssertionError("the log did not come to its end")


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    server = logical_postgres()
    with server.database() as name:
        slot = "slot_" + "".join(filter(str.isdigit, name))
        hospital = Hospital(server, name, slot)
        hospital.run("CREATE PUBLICATION p FOR ALL TABLES WITH (publish_via_partition_root = true)")
        with hospital.connection() as connection:
            connection.create_slot(slot)
        yield hospital
        with hospital.connection() as connection:
            dropped(connection, slot)


def dropped(connection: LogConnection, slot: str) -> None:
    """The server notices that a reader is gone when it next writes to it."""
    deadline = time.monotonic() + SECONDS_MAX
    while (found := connection.slot(slot)) and found.active and time.monotonic() < deadline:
        time.sleep(0.01)
    connection.drop_slot(slot)


def changes(events: Sequence[LogEvent]) -> list[Any]:
    """(op, old kind, old, new) of every row change; truncations as their table names."""
    names = {e.relation.oid: e.relation.name for e in events if isinstance(e, RelationChanged)}
    found: list[Any] = []
    for one in said(events):
        match one:
            case (_, _, "truncated", oids):
                found.append(("truncated", sorted(names[oid] for oid in oids)))
            case (_, _, oid, op, kind, old, new):
                found.append((names[oid], op, chr(kind) if kind else "", old, new))
    return found


QUOTED = '"就诊 ""A"" b"'
LARGE = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400) i)"


def test_every_kind_of_change_comes_as_it_was_made(hospital: Hospital) -> None:
    hospital.run(
        f"CREATE TABLE {QUOTED} (id int PRIMARY KEY, 姓名 text, big text, no int GENERATED ALWAYS AS (id) STORED)",
        f"ALTER TABLE {QUOTED} ALTER big SET STORAGE EXTERNAL",
        f"INSERT INTO {QUOTED} VALUES (1, '', {LARGE}), (2, NULL, 'x')",
        f"UPDATE {QUOTED} SET 姓名 = '王' WHERE id = 1",
        f"UPDATE {QUOTED} SET id = 3 WHERE id = 1",
        f"DELETE FROM {QUOTED} WHERE id = 2",
    )
    (big,) = hospital.rows(f"SELECT {LARGE}")[0]
    table = '就诊 "A" b'
    assert changes(hospital.log()) == [
        (table, "c", "", None, (b"1", b"", big.encode())),
        (table, "c", "", None, (b"2", None, b"x")),
        (table, "u", "", None, (b"1", "王".encode(), UNCHANGED)),
        (table, "u", "K", (b"1", None, None), (b"3", "王".encode(), UNCHANGED)),
        (table, "d", "K", (b"2", None, None), None),
    ]


def test_a_full_identity_fills_what_was_left_alone(hospital: Hospital) -> None:
    hospital.run(
        "CREATE TABLE f (a int, big text)",
        "ALTER TABLE f ALTER big SET STORAGE EXTERNAL, REPLICA IDENTITY FULL",
        f"INSERT INTO f VALUES (1, {LARGE})",
        "UPDATE f SET a = 2",
        "DELETE FROM f",
    )
    big = hospital.rows(f"SELECT {LARGE}")[0][0].encode()
    assert changes(hospital.log())[1:] == [
        ("f", "u", "O", (b"1", big), (b"2", big)),
        ("f", "d", "O", (b"2", big), None),
    ]


def test_identities_truncations_savepoints_prepared_copies_and_partitions(hospital: Hospital) -> None:
    hospital.run(
        "CREATE TABLE i (a int, b int NOT NULL UNIQUE)",
        "ALTER TABLE i REPLICA IDENTITY USING INDEX i_b_key",
        "CREATE TABLE n (a int)",
        "ALTER TABLE n REPLICA IDENTITY NOTHING",
        "CREATE TABLE r (a int PRIMARY KEY, b int) PARTITION BY RANGE (a)",
        "CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE r2 (b int, a int NOT NULL)",
        "ALTER TABLE r ATTACH PARTITION r2 FOR VALUES FROM (10) TO (20)",
        "INSERT INTO i VALUES (1, 1)",
        "UPDATE i SET b = 2",
        "INSERT INTO n VALUES (1)",
        "INSERT INTO r VALUES (1, 5), (11, 6)",
        "UPDATE r SET a = 12 WHERE a = 1",
        "BEGIN; INSERT INTO n VALUES (2); SAVEPOINT s; INSERT INTO n VALUES (3); ROLLBACK TO s; "
        "INSERT INTO n VALUES (4); COMMIT",
        "BEGIN; INSERT INTO n VALUES (5); PREPARE TRANSACTION 'one'",
        "INSERT INTO n VALUES (6)",
        "COMMIT PREPARED 'one'",
        "TRUNCATE i, n RESTART IDENTITY CASCADE",
        "ALTER TABLE n ADD c text DEFAULT 'd'",
        "INSERT INTO n VALUES (7)",
    )
    events = hospital.log()
    assert changes(events) == [
        ("i", "c", "", None, (b"1", b"1")),
        ("i", "u", "K", (None, b"1"), (b"1", b"2")),
        ("n", "c", "", None, (b"1",)),
        ("r", "c", "", None, (b"1", b"5")),
        ("r", "c", "", None, (b"11", b"6")),
        ("r", "d", "K", (b"1", None), None),
        ("r", "c", "", None, (b"12", b"5")),
        ("n", "c", "", None, (b"2",)),
        ("n", "c", "", None, (b"4",)),
        ("n", "c", "", None, (b"6",)),
        ("n", "c", "", None, (b"5",)),
        ("truncated", ["i", "n"]),
        ("n", "c", "", None, (b"7", b"d")),
    ]
    # Partitions are announced too; their rows come as the root's.
    announced = [e.relation.name for e in events if isinstance(e, RelationChanged)]
    assert announced == ["i", "n", "r", "r1", "r2", "n"]


ATTRIBUTES = "SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum"
TYPES = """
CREATE TYPE kind AS ENUM ('门诊', 'b');
CREATE DOMAIN age AS int;
CREATE TYPE pair AS (a int, b text);
CREATE TABLE t (id int PRIMARY KEY, s smallint, l bigint, d numeric, d2 numeric(12,2), f real, g double precision,
  m money, x bytea, o boolean, dt date, ti time, tz timetz, ts timestamp, tstz timestamptz, iv interval,
  r int4range, mr int4multirange, ia int[], ta text[], en kind, a age, p pair, bt bit(5), vb varbit, xm xml, j json,
  jb jsonb, ip inet, ci cidr, ma macaddr, u uuid, c char(5), vc varchar(9), pt point, q oid, ty tsvector);
INSERT INTO t VALUES
 (1, -1, 9223372036854775807, 'NaN', 1.10, 0.1, 1e-300, '1234.50', '\\x00ff', true, 'infinity', '24:00', '10:00+08',
  '-infinity', '2024-02-29 12:00:00.000001+08', '1 year -3 days 04:05:06.7', '[1,5)', '{[1,2),[4,6)}', '{1,NULL,3}',
  '{"a\\"b",NULL,"NULL",""}', '门诊', 7, '(1,"x,y")', B'10101', B'1', '<a>b</a>', '{"a":  1}', '{"a":  1}',
  '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'ab', '王', '(1,2)',
  4294967295, 'a b'),
 (2, NULL, NULL, 'Infinity', 0, 'NaN', '-Infinity', '-0.01', '', false, '0044-03-15 BC', '00:00:00.000001', NULL,
  '4713-01-01 00:00:00 BC', '0001-01-01 00:00:00+00 BC', '-1 mons', 'empty', '{}', '{}', '{{a,b},{c,d}}', NULL,
  NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '', E'a\\tb\\n\\\\', NULL, NULL, NULL);
"""


def test_values_are_spelt_as_copy_and_as_text_spell_them(hospital: Hospital) -> None:
    hospital.run(TYPES)
    columns = [name for (name,) in hospital.rows(ATTRIBUTES)]
    connection = hospital.server.connect(hospital.database)
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(SESSION)
        spelt = ", ".join(f'"{name}"::text' for name in columns)
        cursor.execute(f"SELECT {spelt} FROM public.t ORDER BY id")
        texts = [tuple(None if v is None else v.encode() for v in row) for row in cursor.fetchall()]
        copied = Lines()
        cursor.copy_expert(
            "COPY (SELECT * FROM public.t ORDER BY id) TO STDOUT (FORMAT csv, FORCE_QUOTE *)", copied
        )
    logged = [change[4] for change in changes(hospital.log())]
    assert logged == csv_rows(b"".join(copied.lines))
    # A cast of char(n) takes its padding away, one of boolean spells it out.
    alike = [place for place, name in enumerate(columns) if name not in ("c", "o")]
    assert [[row[i] for i in alike] for row in logged] == [[row[i] for i in alike] for row in texts]


class Lines:
    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)


def csv_rows(data: bytes) -> list[tuple[bytes | None, ...]]:
    rows: list[tuple[bytes | None, ...]] = []
    row: list[bytes | None] = []
    at = 0
    while at < len(data):
        if data[at : at + 1] == b'"':
            end = at + 1
            while data[end : end + 1] != b'"' or data[end + 1 : end + 2] == b'"':
                end += 2 if data[end : end + 1] == b'"' else 1
            row.append(data[at + 1 : end].replace(b'""', b'"'))
            at = end + 1
        else:
            row.append(None)
        if data[at : at + 1] == b"\n":
            rows.append(tuple(row))
            row = []
        at += 1
    return rows


def test_the_server_forgets_only_what_was_confirmed_and_keeps_a_silent_reader(hospital: Hospital) -> None:
    hospital.run("CREATE TABLE t (id int PRIMARY KEY)")
    created = hospital.confirmed()
    with hospital.connection() as connection:
        connection.start(hospital.slot, 0, ["p"])
        # Nothing was read yet, and the log goes on: keepalives come that ask for an answer.
        asked = connection.read(MIB, 0.0).server_time
        while connection.read(MIB, 0.3).server_time < asked + 2_500_000:
            hospital.rows("SELECT txid_current()")
            asked = asked or connection.read(MIB, 0.1).server_time
        assert hospital.confirmed() == created
        hospital.run("INSERT INTO t VALUES (1)")
        hospital.rows("SELECT pg_logical_emit_message(false, 'the end', '')")
        events = until_the_end(connection)
        (segment,) = (event for event in events if isinstance(event, Segment))
        end = segment.transactions[0].end
        assert end is not None
        assert hospital.confirmed() == created
        connection.confirm(end)
        heard(hospital, end)
        begun = connection.read(MIB, 0.1).server_time
        while connection.read(MIB, 0.3).server_time < begun + 1_500_000:
            hospital.rows("SELECT txid_current()")
            assert hospital.confirmed() == end
        connection.confirm(created)
        connection.ask()
        connection.read(MIB, 0.1)
        assert hospital.confirmed() == end


@pytest.mark.parametrize("runs_a_statement", [True, False])
def test_a_reader_that_is_elsewhere_is_given_up_only_where_it_runs_no_statement(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch, runs_a_statement: bool
) -> None:
    """The server's patience is a second; for a reader that seems alive it waits when it shuts down."""
    monkeypatch.setattr(replication, "ALIVE_SECONDS", 0.0)
    reader = f"SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{hospital.slot}'"
    with hospital.connection() as connection:
        connection.start(hospital.slot, 0, ["p"])
        connection.read(MIB, 0.1)
        before = hospital.rows(reader)
        ((begun,),) = hospital.rows("SELECT clock_timestamp()")
        until = begun + timedelta(seconds=3)
        with connection.elsewhere() if runs_a_statement else contextlib.nullcontext():
            while hospital.rows("SELECT txid_current(), clock_timestamp()")[0][1] < until:
                pass
        if not runs_a_statement:
            assert hospital.rows(reader) == [(None,)]
            return
        assert hospital.rows(reader) == before
        hospital.run("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
        hospital.rows("SELECT pg_logical_emit_message(false, 'the end', '')")
        assert [new for *_, new in changes(until_the_end(connection))] == [(b"1",)]


def heard(hospital: Hospital, lsn: int) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while hospital.confirmed() != lsn:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_gulp_is_bounded_and_a_large_transaction_goes_on_in_the_next(hospital: Hospital) -> None:
    hospital.run(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 5000) i",
    )
    hospital.rows("SELECT pg_logical_emit_message(false, 'the end', '')")
    with hospital.connection() as connection:
        connection.start(hospital.slot, 0, ["p"])
        events = until_the_end(connection, 64 * 1024)
    segments = [event for event in events if isinstance(event, Segment)]
    assert len(segments) > 5
    assert [new[0] for *_, new in changes(events)] == [b"%d" % i for i in range(1, 5001)]


def test_a_wait_is_broken_off_from_another_thread(hospital: Hospital) -> None:
    with hospital.connection() as connection:
        connection.start(hospital.slot, 0, ["p"])
        timer = threading.Timer(0.2, connection.interrupt)
        timer.start()
        with pytest.raises(Transient, match="GC-2001"):
            connection.read(MIB, SECONDS_MAX)
        timer.join()


def code_of(act: Any, *arguments: Any) -> str:
    with pytest.raises(Transient) as fault:
        act(*arguments)
    return fault.value.code


def test_what_hinders_a_log_has_a_code(hospital: Hospital) -> None:
    with hospital.connection() as connection:
        identity = connection.identify()
        assert connection.slot("nowhere") is None
        slot = connection.slot(hospital.slot)
        assert slot is not None
        assert (slot.plugin, slot.active, slot.status) == ("pgoutput", False, "reserved")
        assert identity.lsn >= hospital.confirmed() == slot.confirmed
        assert code_of(connection.start, "nowhere", 0, ["p"]) == "GC-2051"
        assert code_of(connection.drop_slot, "nowhere") == "GC-2051"
        assert code_of(connection.start, hospital.slot, 0, ["p", "missing"]) == "GC-2054"
        with hospital.connection() as other:
            other.start(hospital.slot, 0, ["p"])
            assert code_of(connection.start, hospital.slot, 0, ["p"]) == "GC-2052"
            assert code_of(connection.drop_slot, hospital.slot) == "GC-2052"
            hospital.run("DROP PUBLICATION p", "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
            assert code_of(until_the_end, other) == "GC-2054"
    hospital.run(f"CREATE ROLE reader_{hospital.slot} LOGIN PASSWORD 'word'")
    url = hospital.url.set(username=f"reader_{hospital.slot}", password="word")
    assert code_of(LogConnection, url, "his") == "GC-2057"
    assert code_of(LogConnection, hospital.url.set(password="wrong"), "his") == "GC-2040"
    assert code_of(LogConnection, hospital.url.set(port=1), "his") == "GC-2001"
    hospital.run(f"DROP ROLE reader_{hospital.slot}")


def test_a_server_without_a_logical_log_says_so() -> None:
    connection = LogConnection(make_url(postgres().url("postgres")), "his")
    assert code_of(connection.create_slot, "s") == "GC-2056"
    connection.close()


def test_a_slot_whose_log_is_gone_is_told(hospital: Hospital) -> None:
    server = hospital.server
    server.run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()")
    try:
        for _ in range(3):
            server.run(
                "SELECT pg_logical_emit_message(false, '', 'x')", "SELECT pg_switch_wal()", "CHECKPOINT"
            )
        with hospital.connection() as connection:
            assert code_of(connection.start, hospital.slot, 0, ["p"]) == "GC-2053"
    finally:
        server.run("ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")


def test_a_message_longer_than_its_room_comes_whole(hospital: Hospital) -> None:
    long = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 160000) i)"
    hospital.run(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        f"INSERT INTO t VALUES (1, 'a'), (2, {long}), (3, 'b'), (4, {long})",
    )
    ((digest, size),) = hospital.rows(f"SELECT md5(v), length(v) FROM (SELECT {long} AS v) w")
    assert size > 4 * ROOM_BYTES
    values = [change[4][1] for change in changes(hospital.log())]
    assert values[::2] == [b"a", b"b"]
    assert {hashlib.md5(value).hexdigest() for value in values[1::2]} == {digest}


def test_a_message_just_as_long_as_its_room_is_itself_or_a_fault(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.run("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (22), (333)")
    whole = hospital.log()
    with hospital.connection() as connection:
        connection.start(hospital.slot, 0, ["p"])
        ends = connection.read(MIB, 1.0).messages.ends
    monkeypatch.setattr(libpq, "_ODD_BYTES", 1)
    faults = []
    for before, end in pairwise(ends):
        monkeypatch.setattr(replication, "ROOM_BYTES", end - before - 1)
        with hospital.connection() as connection:
            connection.start(hospital.slot, 0, ["p"])
            try:
                assert said(until_the_end(connection, before + 1)) == said(whole)
            except Transient as fault:
                faults.append(fault.code)
    assert set(faults) == {"GC-2050"}
