"""Any table of PostgreSQL, of any types: its chunks and its log say the same, and both say what the server says.

Schemas and rows are drawn; every cell is compared, with what stands aside, per key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from protocol.change import Op
from protocol.schema import TableSchema
from tests.databases import logical_postgres
from tests.integration import pg_kinds
from tests.integration.pg_kinds import Made
from tests.integration.two_ways import Cells, Said, TwoWays, two_ways

NAMES = st.sampled_from(
    ["id", "姓名", "Mixed Case", 'quo"ted', "per%cent", "sel,ect", "_gc_op", "user", "x" * 63, "表"]
)
TABLE_NAMES = st.sampled_from(["visit", "门诊 就诊", 'Quo"ted', "per%cent"])


@pytest.fixture(scope="module")
def ways() -> Iterator[TwoWays]:
    with two_ways(logical_postgres(), *pg_kinds.PREPARE, *pg_kinds.domains()) as one:
        yield one


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


class Table:
    """A table as it was drawn. Statements go by a session whose settings are the server's own."""

    def __init__(
        self, ways: TwoWays, name: str, names: Sequence[str], keys: Sequence[Made], rest: Sequence[Made]
    ):
        self.ways, self.name, self.table = ways, name, quoted(name)
        self.columns = [quoted(one) for one in names]
        self.made = [*keys, *rest]
        self.width = len(keys)
        self._connection = ways.server.connect(ways.database)

    def close(self) -> None:
        self.execute(f"DROP TABLE IF EXISTS {self.table}")
        self._connection.close()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)

    def create(self, identity: str, never_null: Sequence[bool]) -> None:
        typed = [f"{name} {made.spelt}" for name, made in zip(self.columns, self.made, strict=True)]
        typed = [one + (" NOT NULL" if must else "") for one, must in zip(typed, never_null, strict=True)]
        key = ", ".join(self.columns[: self.width][::-1])
        self.execute(f"CREATE TABLE {self.table}({', '.join(typed)}, PRIMARY KEY({key}))", ("",))
        self.execute(f"ALTER TABLE {self.table} REPLICA IDENTITY {identity}", ("",))

    def insert(self, row: Sequence[str | None]) -> None:
        marks = ", ".join(f"CAST(%s AS {made.cast})" for made in self.made)
        self.execute(f"INSERT INTO {self.table} VALUES({marks}) ON CONFLICT DO NOTHING", row)

    def update(self, row: Sequence[str | None], new: Sequence[str | None]) -> None:
        """The columns of `new`, the last of all there are, of the row with this row's key."""
        first = len(self.made) - len(new)
        pairs = list(zip(self.columns, self.made, strict=True))
        sets = ", ".join(f"{name} = CAST(%s AS {made.cast})" for name, made in pairs[first:])
        self.execute(f"UPDATE {self.table} SET {sets} WHERE {self._of_key()}", [*new, *row[: self.width]])

    def delete(self, row: Sequence[str | None]) -> None:
        self.execute(f"DELETE FROM {self.table} WHERE {self._of_key()}", row[: self.width])

    def _of_key(self) -> str:
        pairs = list(zip(self.columns, self.made, strict=True))[: self.width]
        return " AND ".join(f"{name} = CAST(%s AS {made.cast})" for name, made in pairs)


def folded(schema: TableSchema, before: dict[Cells, Cells], said: Sequence[Said]) -> dict[Cells, Cells]:
    """Rows by their key, after these changes: each must find the key as it says."""
    state = dict(before)
    for one in said:
        key = tuple(one.cells[i] for i in schema.key_positions)
        assert (key in state) is (one.op is not Op.CREATE), one.op
        if one.op is Op.DELETE:
            del state[key]
            continue
        assert not one.unchanged, "no value is so large"
        state[key] = one.cells
    return state


def check(ways: TwoWays, name: str, state: dict[Cells, Cells], size: int) -> None:
    """What was told, what stands there, and what is read of it."""
    schema, read = ways.snapshot(name, size)
    held = by_key(schema, ways.held(schema))
    assert different(schema, state, held) == {}
    assert len(read) == len(held)
    assert different(schema, by_key(schema, read), held) == {}


def by_key(schema: TableSchema, rows: Sequence[Cells]) -> dict[Cells, Cells]:
    return {tuple(cells[i] for i in schema.key_positions): cells for cells in rows}


def different(schema: TableSchema, found: dict[Cells, Cells], held: dict[Cells, Cells]) -> dict[str, Any]:
    """By type, of rows that both have, the first pair of cells; and keys that only one has."""
    pairs = {
        column.source_type: pair
        for key in found.keys() & held.keys()
        for column, *pair in zip(schema.columns, found[key], held[key], strict=True)
        if pair[0] != pair[1]
    }
    return pairs | ({"keys": found.keys() ^ held.keys()} if found.keys() ^ held.keys() else {})


# Examples are not shrunk: over a server that takes minutes.
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(data=st.data())
def test_any_table_comes_alike_by_chunk_and_by_log(ways: TwoWays, data: st.DataObject) -> None:
    draw = data.draw
    keys = draw(st.lists(pg_kinds.keys(), min_size=1, max_size=2))
    rest = draw(st.lists(pg_kinds.columns(), max_size=6))
    width = len(keys) + len(rest)
    name = draw(TABLE_NAMES)
    names = draw(st.lists(NAMES, min_size=width, max_size=width, unique=True))
    never_null = [*[True] * len(keys), *draw(st.lists(st.booleans(), min_size=len(rest), max_size=len(rest)))]
    values = [
        made.values if must else made.values | st.none()
        for made, must in zip([*keys, *rest], never_null, strict=True)
    ]
    rows = draw(st.lists(st.tuples(*values), max_size=5))
    identity = draw(st.sampled_from(["DEFAULT", "FULL"]))
    size = draw(st.sampled_from([1, 2, 100]))
    with closing(Table(ways, name, names, keys, rest)) as table:
        table.create(identity, never_null)
        for row in rows:
            table.insert(row)
        schema = ways.source.describe(ways.name(name))
        assert schema.key == tuple(names[: len(keys)][::-1])
        state = folded(schema, {}, ways.log(name))
        check(ways, name, state, size)
        for row in rows:
            if rest:
                table.update(row, draw(st.tuples(*values[len(keys) :])))
        state = folded(schema, state, ways.log(name))
        check(ways, name, state, size)
        for row in rows:
            with suppress(psycopg2.errors.UniqueViolation):
                table.update(row, draw(st.tuples(*values)))
        for row in rows[:2]:
            table.delete(row)
        state = folded(schema, state, ways.log(name))
        check(ways, name, state, size)
    assert not ways.lost


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_every_type_comes_alike_by_chunk_and_by_log(ways: TwoWays, identity: str) -> None:
    """All of them in one table, plain, as domains and as arrays."""
    every = [made for kind in pg_kinds.KINDS for made in (pg_kinds.plain(kind), pg_kinds.over(kind))]
    every += [pg_kinds.array_of(kind) for kind in pg_kinds.AS_ARRAYS]
    names = ["id", *(f"c {i}" for i in range(len(every)))]
    with closing(Table(ways, "every", names, [pg_kinds.plain("integer")], every)) as table:
        table.create(identity, [False] * len(names))
        table.insert(["0", *[None] * len(every)])

        @settings(
            max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
        )
        @given(row=st.tuples(*(made.values for made in every)))
        def drawn(row: tuple[str, ...]) -> None:
            ((count,),) = ways.rows("SELECT count(*) FROM every")
            table.insert([str(count), *row])
            table.update(["0"], row)

        drawn()
        schema = ways.source.describe(ways.name("every"))
        check(ways, "every", folded_loosely(schema, ways.log("every")), 3)


def folded_loosely(schema: TableSchema, said: Sequence[Said]) -> dict[Cells, Cells]:
    """As `folded`; rows are so wide that an update leaves out what is as it was."""
    state: dict[Cells, Cells] = {}
    for one in said:
        key = tuple(one.cells[i] for i in schema.key_positions)
        before = state.get(key)
        assert (before is None) is (one.op is Op.CREATE)
        left_out = [column.name in one.unchanged for column in schema.columns]
        state[key] = tuple(
            old if out else new
            for old, new, out in zip(before or one.cells, one.cells, left_out, strict=True)
        )
    return state
