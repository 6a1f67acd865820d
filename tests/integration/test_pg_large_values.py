"""PostgreSQL's values that are large, and rows that are wide: left out by an update, or as long as they may be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.change import Op
from tests.databases import logical_postgres
from tests.integration import pg_kinds
from tests.integration.following import arrived, capturing, check, hospital_of
from tests.integration.two_ways import TwoWays, two_ways

ROUGH = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, {}) i)"
TEXT = ROUGH.format(200)
POINTS = "(SELECT string_agg(format('(%s,%s)', hashint4(i), i), ',') FROM generate_series(1, 300) i)"
LARGE: dict[str, str] = {
    "text": TEXT,
    "varchar(9000)": TEXT,
    "char(7000)": TEXT,
    "citext": TEXT,
    "refcursor": f"{TEXT}::refcursor",
    '"域 text"': TEXT,
    "bytea": f"decode({TEXT}, 'hex')",
    "json": f"to_json({TEXT})",
    "jsonb": f"to_jsonb({TEXT})",
    "jsonpath": f"('$.\"' || {TEXT} || '\"')::jsonpath",
    "xml": f"('<a>' || {TEXT} || '</a>')::xml",
    "numeric": "(SELECT string_agg((1000 + i % 8999)::text, '')::numeric FROM generate_series(1, 2000) i)",
    "varbit": "(SELECT string_agg(('x' || md5(i::text))::bit(128)::text, '')::varbit FROM generate_series(1, 200) i)",
    "tsvector": "(SELECT string_agg(md5(i::text), ' ')::tsvector FROM generate_series(1, 200) i)",
    "hstore": "(SELECT hstore(array_agg(md5(i::text)), array_agg(md5((-i)::text))) FROM generate_series(1, 100) i)",
    "ltree": "(SELECT string_agg('a' || md5(i::text), '.')::ltree FROM generate_series(1, 150) i)",
    "integer[]": "(SELECT array_agg(hashint4(i)) FROM generate_series(1, 2000) i)",
    "text[]": "(SELECT array_agg(md5(i::text)) FROM generate_series(1, 200) i)",
    "pair": f"ROW({TEXT}, 1.5, NULL, NULL)::pair",
    "pair[]": f"ARRAY[ROW({TEXT}, 1.5, NULL, NULL)::pair]",
    "path": f"('[' || {POINTS} || ']')::path",
    "polygon": f"('(' || {POINTS} || ')')::polygon",
    "textrange": f"textrange({TEXT}, NULL)",
    "int8multirange": "(SELECT range_agg(int8range(i * 1000003, i * 1000003 + 5)) FROM generate_series(1, 300) i)",
    "txid_snapshot": "(SELECT '1:99999999999:' || string_agg((i * 7919::bigint)::text, ',' ORDER BY i) "
    "FROM generate_series(1, 900) i)::txid_snapshot",
}  # fmt: skip
"""Values of every type that may leave its row, longer than what stays there."""


@pytest.fixture(scope="module")
def ways() -> Iterator[TwoWays]:
    made = ('CREATE DOMAIN "域 text" AS text', "CREATE TYPE textrange AS RANGE (subtype = text)")
    with two_ways(logical_postgres(), *pg_kinds.PREPARE, *made) as one:
        yield one


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_what_an_update_left_alone_is_said_of_every_type(ways: TwoWays, identity: str) -> None:
    """Where the old row comes in full, it is filled from there, and has the value."""
    names = [f"c{place}" for place in range(len(LARGE))]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, LARGE, strict=True))
    external = ", ".join(f"ALTER {name} SET STORAGE EXTERNAL" for name in names)
    ways.run(
        "DROP TABLE IF EXISTS large",
        f"CREATE TABLE large(id int PRIMARY KEY, n int, {columns})",
        f"ALTER TABLE large {external}, REPLICA IDENTITY {identity}",
        f"INSERT INTO large VALUES(1, 0, {', '.join(LARGE.values())})",
    )
    schema, chunk = ways.snapshot("large")
    assert chunk == ways.held(schema)
    (created,) = ways.log("large")
    assert created.cells == chunk[0]
    ways.run("UPDATE large SET n = 1", "UPDATE large SET id = 2", "DELETE FROM large")
    updated, gone, moved, deleted = ways.log("large")
    for one in (updated, moved):
        if identity == "FULL":
            assert (one.unchanged, one.cells[2:]) == ((), created.cells[2:])
        else:
            assert one.unchanged == tuple(names)
            assert set(one.cells[2:]) == {b"\0"}
    assert [one.op for one in (updated, gone, moved, deleted)] == [Op.UPDATE, Op.DELETE, Op.CREATE, Op.DELETE]
    assert moved.moved
    for one in (gone, deleted):
        assert set(one.cells[1:]) == {b"\0"}


def test_a_key_so_long_that_it_has_left_its_row(ways: TwoWays) -> None:
    """The update leaves it out, and the server says the old one instead."""
    ways.run(
        "CREATE TABLE long_key(id text PRIMARY KEY, n int, long text)",
        "ALTER TABLE long_key ALTER id SET STORAGE EXTERNAL",
        f"INSERT INTO long_key VALUES({ROUGH.format(75)}, 0, {ROUGH.format(3000)})",
        "UPDATE long_key SET n = 1",
    )
    _, chunk = ways.snapshot("long_key")
    created, updated = ways.log("long_key")
    assert (created.op, updated.op, updated.unchanged) == (Op.CREATE, Op.UPDATE, ("long",))
    assert updated.cells[0] == created.cells[0] == chunk[0][0]
    assert not ways.lost


WIDE = 1_600


async def test_a_row_of_as_many_columns_as_there_may_be(tmp_path: Path) -> None:
    names = [f"列 {place}" for place in range(1, WIDE)]
    with hospital_of(
        f"CREATE TABLE wide(id int PRIMARY KEY, {', '.join(f'{chr(34)}{n}{chr(34)} smallint' for n in names)})",
        f"INSERT INTO wide SELECT i, {', '.join(map(str, range(1, WIDE)))} FROM generate_series(1, 9) i",
        "CREATE PUBLICATION guicang_his FOR TABLE ONLY wide",
    ) as hospital:
        async with capturing(hospital, tmp_path) as one:
            await arrived(hospital, one, "wide")
            hospital.run(
                'UPDATE wide SET "列 1599" = NULL WHERE id = 2',
                "UPDATE wide SET id = 20 WHERE id = 3",
                "DELETE FROM wide WHERE id = 4",
            )
            await arrived(hospital, one, "wide")
            check(hospital, one, "wide")
            assert one.said("his") == {}


MIB = 1 << 20
TEXT_BYTES = 60 * MIB
MEMORY_FACTOR_MAX = 10
"""Of the length of a value's text: what the agent may take while it is on its way."""


def test_a_value_of_60_mb_takes_a_known_share_of_memory(tmp_path: Path) -> None:
    with hospital_of(
        "CREATE TABLE big(id int PRIMARY KEY, n int, v text)",
        "CREATE PUBLICATION guicang_his FOR TABLE ONLY big",
    ) as hospital:
        value = f"repeat(md5('x'), {TEXT_BYTES // 32})"
        command = [sys.executable, "-m", "tests.integration.large_value"]
        place = [str(hospital.server.port), hospital.database, str(tmp_path), value]
        done = subprocess.run([*command, *place], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2_000:]
        assert int(done.stdout) < MEMORY_FACTOR_MAX * TEXT_BYTES
