"""A source to compare with, behind one small face: tables, columns, rows in canonical cells.

`DATABASES` has one reader a dialect, each with its own rules from that dialect's values to canonical form;
a folder is read as CSV. What is not in there cannot be compared, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from .catalogue import ComparisonError, Name
from .csvfolder import CsvFolder, CsvRule
from .mysql import MysqlDatabase
from .postgresql import PostgresDatabase
from .sqlite import SqliteDatabase


class Source(Protocol):
    """Read-only. All faults that are the source's own raise ComparisonError or what its driver raises."""

    def tables(self) -> list[Name]: ...

    def columns(self, table: Name) -> tuple[str, ...]:
        """The columns, as the source orders and spells them."""
        ...

    def rows(self, table: Name, wires: Mapping[str, pa.DataType | None]) -> Iterator[list[list[bytes]]]:
        """Batches: a list of cells a column, in the order of `columns`. `wires`: the lake's type of each."""
        ...

    def close(self) -> None: ...


DATABASES: dict[str, Callable[[URL], Source]] = {
    "sqlite": SqliteDatabase,
    "postgresql": PostgresDatabase,
    "mysql": MysqlDatabase,
    "mariadb": MysqlDatabase,
}
"""By SQLAlchemy's name of the dialect (`URL.get_backend_name`)."""


def open_source(place: str, rules: Sequence[CsvRule] = ()) -> Source:
    """`place` is an SQLAlchemy URL or a folder. Raises ComparisonError."""
    if "://" not in place:
        return CsvFolder(Path(place), rules)
    try:
        url = make_url(place)
    except ArgumentError:
        raise ComparisonError("the source is no SQLAlchemy URL and no folder") from None
    reader = DATABASES.get(url.get_backend_name())
    if reader is None:
        raise ComparisonError(f"no rules yet for values of {url.get_backend_name()}")
    return reader(url)
