"""DuckDB as we use it: closed off from everything but the Arrow data that it is given.

The only room that imports duckdb. An engine serves one piece of work. It downloads nothing, reads no file,
writes none (it spills nothing to disk either) and sees no variable of ours; what it says of values never
enters an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from protocol.errors import Permanent

_CLOSED = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
}

_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (duckdb.ParserException, "syntax"),
    (duckdb.SyntaxException, "syntax"),
    (duckdb.CatalogException, "unknown name"),
    (duckdb.BinderException, "unknown column, or types that do not go together"),
    (duckdb.OutOfMemoryException, "not enough memory"),
    (duckdb.PermissionException, "not allowed"),
    (duckdb.DataError, "a value does not fit the operation"),
    (duckdb.InvalidInputException, "a value does not fit the operation"),
    (duckdb.Error, "the engine failed"),
    (RecursionError, "nested too deep"),
    (OSError, "a data file cannot be read"),
    (pa.ArrowException, "a data file cannot be read"),
)


@contextmanager
def opened(*, memory_bytes_max: int | None = None, threads: int | None = None) -> Iterator[Any]:
    """An engine for one piece of work, and our words (Permanent GC-6007) for whatever fails in it.

    `memory_bytes_max` None: the engine's own bound, 80 % of the machine; `threads` None: one a core.
    """
    config = dict(_CLOSED)
    if memory_bytes_max is not None:
        config["memory_limit"] = f"{memory_bytes_max}B"
    if threads is not None:
        config["threads"] = str(threads)
    try:
        with duckdb.connect(":memory:", config=config) as engine:
            engine.execute("SET TimeZone = 'UTC'").fetchall()
            yield engine
    except tuple(kind for kind, _ in _REASONS) as error:
        raise _refusal(error) from None


def _refusal(error: Exception) -> Permanent:
    """The class of what went wrong: the engine's own words may quote values."""
    return Permanent("GC-6007", reason=next(reason for kind, reason in _REASONS if isinstance(error, kind)))
