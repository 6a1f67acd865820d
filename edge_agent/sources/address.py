"""The address of a database, and the dialect that reads what is there: the one place that knows all dialects."""

from __future__ import annotations

import sqlalchemy
from sqlalchemy.exc import ArgumentError

from edge_agent.sources.dialects.dialect import Dialect
from edge_agent.sources.dialects.dm import Dm
from edge_agent.sources.dialects.kingbase import Kingbase
from edge_agent.sources.dialects.mssql import Mssql
from edge_agent.sources.dialects.mysql import Mysql
from edge_agent.sources.dialects.oracle import Oracle
from edge_agent.sources.dialects.postgres import Postgres
from edge_agent.sources.dialects.sqlite import Sqlite
from protocol.errors import Permanent

DIALECTS: dict[str, type[Dialect]] = {
    "sqlite": Sqlite,
    "postgresql": Postgres,
    "mysql": Mysql,
    "mariadb": Mysql,
    "kingbase": Kingbase,
    "oracle": Oracle,
    "mssql": Mssql,
    "dm": Dm,
}
"""By the backend name of the URL."""


def read_address(slug: str, text: str) -> tuple[sqlalchemy.URL, Dialect]:
    """Raises Permanent GC-1003 for one that no dialect reads."""
    try:
        url = sqlalchemy.make_url(text)
        dialect = DIALECTS[url.get_backend_name()]()
        problem = dialect.check(url)
    except (ArgumentError, ValueError):
        problem = "it is no database address"
    except KeyError:
        problem = f"only these databases are known: {', '.join(sorted(DIALECTS))}"
    if problem is not None:
        raise bad_address(slug, problem)
    return url, dialect


def bad_address(slug: str, problem: str) -> Permanent:
    return Permanent("GC-1003", key=f"sources.{slug}.url", path="the configuration", problem=problem)
