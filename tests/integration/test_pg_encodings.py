"""PostgreSQL's databases in which text is no UTF-8: what is text arrives, and bytes that are none stand aside.

A row that holds some hides no other row, by chunk or by log.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pyarrow as pa
import pytest

from edge_agent.sources.dialects.postgres import STORED
from edge_agent.sources.spelt import in_utf8
from protocol.canonical import aside_cell, encode_rows
from tests.databases import logical_postgres
from tests.integration.two_ways import SLOT, Cells, TwoWays

NO_TEXT = {"EUC_CN": b"\xfe\xfe", "SQL_ASCII": "张".encode("gbk")}
"""Bytes that are no text there, and that the server lets in. In UTF8 it lets none in."""


@pytest.fixture(params=NO_TEXT)
def ways(request: pytest.FixtureRequest) -> Iterator[TwoWays]:
    server, name = logical_postgres(), f"encoded {request.param}"
    server.run(f"CREATE DATABASE \"{name}\" ENCODING '{request.param}' TEMPLATE template0")
    try:
        server.run(f"ALTER DATABASE \"{name}\" SET wal_sender_timeout = '60s'")
        server.run("CREATE PUBLICATION p FOR ALL TABLES", database=name)
        with closing(TwoWays(server, name)) as one:
            yield one
        server.drop_slot(SLOT, name)
    finally:
        server.run(f'DROP DATABASE "{name}" WITH (FORCE)')


def write(ways: TwoWays, *statements: bytes) -> None:
    """As they are, whatever they are."""
    with closing(ways.server.connect(ways.database)) as connection, connection.cursor() as cursor:
        connection.set_client_encoding("SQL_ASCII")
        for statement in statements:
            cursor.execute(statement)


def test_what_is_no_text_stands_aside_and_hides_nothing(ways: TwoWays) -> None:
    ((encoding,),) = ways.rows("SHOW server_encoding")
    charset = "gb2312" if encoding == "EUC_CN" else "utf-8"
    bad = NO_TEXT[encoding]
    known, said = "张三、“”", "门诊 “就诊”"
    table = said.encode(charset)
    write(
        ways,
        b'CREATE TABLE "%b"(id int PRIMARY KEY, "%b" text, bad text)' % (table, table),
        b"INSERT INTO \"%b\" VALUES(1, '%b', '%b')" % (table, known.encode(charset), bad),
        b"INSERT INTO \"%b\" VALUES(2, '\\\\.', 'x')" % table,
    )
    aside = aside_cell(
        {"reason": "charset", "original": bad, "sha256": None, "bytes": len(bad), "column": ""}
    )
    expected: list[Cells] = [
        (*row(1, known), aside),
        (*row(2, "\\\\."), *encode_rows([pa.array(["x"])])),
    ]
    schema, chunk = ways.snapshot(said, 1)
    assert [column.name for column in schema.columns] == ["id", said, "bad"]
    assert chunk == expected
    assert [one.cells for one in ways.log(said)] == expected
    write(ways, b'UPDATE "%b" SET bad = NULL WHERE id = 1' % table)
    assert [one.cells for one in ways.log(said)] == [(*row(1, known), b"\0")]


def row(number: int, text: str) -> Cells:
    return encode_rows([pa.array([number])])[0], encode_rows([pa.array([text])])[0]


def test_a_database_in_gb2312_is_read_as_its_server_would_say() -> None:
    """Every character that the server itself converts, our own conversion makes the same, and no other."""
    server = logical_postgres()
    server.run(
        "CREATE FUNCTION said(code bytea) RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN RETURN convert_from(code, 'EUC_CN'); EXCEPTION WHEN others THEN RETURN NULL; END $$"
    )
    places = "generate_series(161, 254) high, generate_series(161, 254) low"
    codes = f"SELECT decode(to_hex(high) || to_hex(low), 'hex') FROM {places}"
    said = {
        bytes(code): text for code, text in server.rows(f"SELECT code, said(code) FROM ({codes}) c(code)")
    }
    server.run("DROP FUNCTION said")
    assert len(said) == 94 * 94
    ours = in_utf8(pa.array(said, pa.binary()), STORED["EUC_CN"]).to_pylist()
    assert [None if text.startswith(b"\xff") else text.decode() for text in ours] == list(said.values())
