"""Types of PostgreSQL that are made, altered and dropped while the log is followed: nothing stops, and what stands at
the centre in the end is what stands in the table.

A table whose types were altered so that rows which stood are spelt otherwise is read anew, of which no log tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from protocol.change import MarkKind
from tests.integration.following import (
    Hospital,
    arrived,
    begun,
    capturing,
    check,
    hospital_of,
    marks,
    turn,
    turns_until,
)

TYPED = ("typed", "other")
PUBLISHED = "CREATE PUBLICATION guicang_his FOR TABLE ONLY typed, ONLY other"
MAKE = (
    "CREATE TYPE mood AS ENUM('sad', 'ok')",
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE DOMAIN price AS numeric(10,2)",
    "CREATE EXTENSION hstore",
    "CREATE TABLE typed(id int PRIMARY KEY, m mood, ms mood[], p pair, d price, h hstore)",
    "INSERT INTO typed SELECT i, 'sad', '{sad,ok}', '(1,\"x,y\")', 1.5, 'a=>1' FROM generate_series(1, 30) i",
    "CREATE TABLE other(id int PRIMARY KEY, n int)",
    "INSERT INTO other SELECT i FROM generate_series(1, 9) i",
    PUBLISHED,
)


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    with hospital_of(*MAKE) as one:
        yield one


async def test_a_label_that_an_enum_has_won(hospital: Hospital, tmp_path: Path) -> None:
    """No row that stood is another: nothing is read anew."""
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one, *TYPED)
        hospital.run(
            "ALTER TYPE mood ADD VALUE '好 \"x\"' BEFORE 'ok'",
            'UPDATE typed SET m = \'好 "x"\', ms = \'{NULL,"好 \\"x\\""}\' WHERE id < 5',
        )
        await arrived(hospital, one, *TYPED)
        await one.once("his")
        await arrived(hospital, one, *TYPED)
        check(hospital, one, *TYPED)
        assert begun(one, hospital.name("typed")) == ["first"]


ALTERED = [
    "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
    "ALTER TYPE pair ADD ATTRIBUTE c int",
    "ALTER TYPE pair DROP ATTRIBUTE a",
]


@pytest.mark.parametrize("statement", ALTERED)
async def test_a_type_by_which_old_rows_are_spelt_otherwise(
    hospital: Hospital, tmp_path: Path, statement: str
) -> None:
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one, *TYPED)
        hospital.run(statement, "UPDATE typed SET d = 2 WHERE id = 3")
        await turns_until(
            one, lambda: begun(one, hospital.name("typed")) == ["first", "rewritten or altered"]
        )
        await arrived(hospital, one, *TYPED)
        check(hospital, one, *TYPED)
        assert begun(one, hospital.name("other")) == ["first"]
        assert one.said("his") == {}


async def test_a_busy_table_whose_type_gets_another_name_comes_to_its_end(
    hospital: Hospital, tmp_path: Path
) -> None:
    """The log does not say so: its rows are told under the new name as soon as the snapshot's are."""
    async with capturing(hospital, tmp_path) as one:
        await turns_until(one, lambda: begun(one, hospital.name("typed")) == ["first"])
        hospital.run("UPDATE typed SET d = 3 WHERE id = 1")
        await turn(one)
        hospital.run("ALTER TYPE mood RENAME TO feeling")

        def ended() -> bool:
            hospital.run("UPDATE typed SET d = d + 1 WHERE id = 1")
            return (MarkKind.SNAPSHOT_END, None) in marks(one, hospital.name("typed"))

        await turns_until(one, ended)
        await arrived(hospital, one, *TYPED)
        check(hospital, one, *TYPED)
        types = [column.source_type for column in one.schema("his", hospital.name("typed")).columns]
        assert types[1:3] == ["public.feeling", "public.feeling[]"]
        assert len(begun(one, hospital.name("typed"))) <= 2


async def test_types_and_tables_that_are_made_while_the_log_is_followed(
    hospital: Hospital, tmp_path: Path
) -> None:
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one, *TYPED)
        hospital.run(
            "CREATE EXTENSION citext",
            "CREATE TYPE kind AS ENUM('门诊')",
            "CREATE TYPE triple AS (k kind, ks kind[], r int4range)",
            "CREATE DOMAIN triples AS triple[]",
            "CREATE TABLE later_made(id citext PRIMARY KEY, t triple, ts triples)",
            "ALTER PUBLICATION guicang_his ADD TABLE ONLY later_made",
            """INSERT INTO later_made VALUES('Ab', '(门诊,"{门诊,NULL}","[1,5)")', ARRAY['(门诊,,)'::triple, NULL])""",
        )
        await arrived(hospital, one, *TYPED, "later_made")
        hospital.run("UPDATE later_made SET t = '(,{},empty)'", "UPDATE later_made SET id = 'aB'")
        await arrived(hospital, one, *TYPED, "later_made")
        check(hospital, one, *TYPED, "later_made")


GONE: dict[str, tuple[str, ...]] = {
    "an enum": ("ALTER TABLE typed DROP COLUMN m, DROP COLUMN ms", "DROP TYPE mood"),
    "a composite": ("ALTER TABLE typed DROP COLUMN p", "DROP TYPE pair"),
    "a domain": ("DROP DOMAIN price CASCADE",),
    "an extension": ("DROP EXTENSION hstore CASCADE",),
    "another base": (
        "ALTER TABLE typed ALTER COLUMN d TYPE text",
        "DROP DOMAIN price",
        "CREATE DOMAIN price AS numeric(20,3)",
        "ALTER TABLE typed ALTER COLUMN d TYPE price USING d::price",
    ),
    "the table": ("DROP TABLE typed", "DROP TYPE mood"),
}


@pytest.mark.parametrize("what", GONE)
async def test_a_log_that_speaks_of_a_type_that_is_gone(
    hospital: Hospital, tmp_path: Path, what: str
) -> None:
    """What was logged before is read after; other tables do not even notice."""
    tables: Sequence[str] = ("other",) if what == "the table" else TYPED
    async with capturing(hospital, tmp_path) as one:
        await arrived(hospital, one, *TYPED)
    hospital.run(
        "UPDATE typed SET m = 'ok', d = 7, h = 'b=>2' WHERE id = 3",
        "INSERT INTO typed VALUES(99, 'ok', '{ok}', '(2,z)', 9.99, 'c=>3')",
        "DELETE FROM typed WHERE id = 4",
        "UPDATE other SET n = 1",
        *GONE[what],
        "UPDATE other SET n = 2 WHERE id = 1",
    )
    async with capturing(hospital, tmp_path, one) as one:
        await arrived(hospital, one, *tables)
        check(hospital, one, *tables)
        assert begun(one, hospital.name("other")) == ["first"]
        missing = {str(hospital.name("typed")): "GC-2002"} if what == "the table" else {}
        assert one.said("his") == missing
