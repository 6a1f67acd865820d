"""`central-ingest tables` and `describe`: which tables there are, and what is known of one. Never a row's content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from protocol.errors import Permanent
from protocol.schema import TableSchema

from . import config as configuration
from . import currency, fleet, screens
from .config import DEFAULT_PATH
from .ledger.ledger import Ledger
from .terminal import ConfigOption, JsonOption, console, print_json

if TYPE_CHECKING:
    import pyarrow as pa

    from protocol.change import Version

    from .landing.delta import DeltaLake


def register(app: typer.Typer) -> None:
    app.command()(tables)
    app.command()(describe)


def tables(
    config: ConfigOption = DEFAULT_PATH,
    uncaptured: Annotated[
        bool, typer.Option("--uncaptured", help="仅列未采集的表 only what exists and is not captured")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """数据湖中的表，名称可直接用于查询 The lake's tables, under names ready to paste into a query."""
    loaded = configuration.load(config)
    ledger = Ledger.open(loaded.ledger_address)
    if uncaptured:
        facts: list[dict[str, Any]] = [
            {
                "site": i.stream.site,
                "source": i.stream.source,
                "table": i.name,
                "columns": i.columns,
                "rows_estimate": i.rows_estimate,
                "reason": i.reason,
            }
            for i in ledger.inventory()
            if not i.captured
        ]
    else:
        from .landing.query import CURRENT, sql_name

        lacking, unlisted = incomplete(ledger), fleet.unlisted(ledger)
        facts = [
            {
                "name": sql_name(CURRENT, t.printed_name),
                "path": t.path,
                "key": list(t.key),
                "landed": landed,
                "change_rows": rows,
                "incomplete": t.path in lacking,
                "unlisted": t.path in unlisted,
                "current": made,
            }
            for (t, landed, rows), made in zip(catalogue(ledger), currency.of_tables(ledger), strict=True)
        ]
    ledger.close()
    if as_json:
        print_json(facts)
        return
    screens.tables(console, facts, uncaptured)


def describe(
    table: Annotated[str, typer.Argument(help="表名，同 tables 所示 the table, as `tables` prints it")],
    config: ConfigOption = DEFAULT_PATH,
    as_json: JsonOption = False,
) -> None:
    """一张表的列、类型、注释、主键和历次结构 A table's columns, types, comments, keys, and the schemas it had."""
    from .landing.delta import DeltaLake
    from .landing.describing import describe as described
    from .landing.query import CHANGES, CURRENT, sql_name
    from .storing import lake_store

    loaded = configuration.load(config)
    ledger = Ledger.open(loaded.ledger_address)
    try:
        found = [one for one, _, _ in catalogue(ledger) if _is_meant(table, one.printed_name)]
        if len(found) != 1:
            raise Permanent("GC-6080", table=table)
        lake = DeltaLake(lake_store(loaded))
        schema = lake.schema(found[0].path)
        if schema is None:
            raise Permanent("GC-6081", table=table)

        def find(fingerprint: str) -> TableSchema | None:
            mark = bytes.fromhex(fingerprint)
            content = ledger.schema(mark) or lake.kept_schema(mark)
            return None if content is None else TableSchema.from_bytes(content)

        names = {kind: sql_name(kind, found[0].printed_name) for kind in (CURRENT, CHANGES)}
        facts = {"name": found[0].printed_name, **names, "path": found[0].path} | described(schema, find)
        facts["stands_still"] = _standstill(lake, found[0].path, schema)
    finally:
        ledger.close()
    if as_json:
        print_json(facts)
        return
    screens.description(console, facts)


def _standstill(lake: DeltaLake, path: str, schema: pa.Schema) -> dict[str, Any] | None:
    from .landing.current import Floor
    from .landing.describing import standstill
    from .landing.history import History

    def floor_at(version: Version | None) -> Floor:
        history = History.as_seen(lake, path)
        if history is None:
            return Floor()
        return history.floor(history.last if version is None else (version.epoch, version.seq - 1))

    return standstill(schema, floor_at)


def _is_meant(given: str, printed: str) -> bool:
    """By its name, or as a query names it."""
    plain = given.strip()
    for kind in ("current.", "changes."):
        if plain.lower().startswith(f'{kind}"'):
            plain = plain[len(kind) :]
    if plain.startswith('"') and plain.endswith('"') and len(plain) > 1:
        plain = plain[1:-1].replace('""', '"')
    return plain.casefold() == printed.casefold()


def incomplete(ledger: Ledger) -> set[str]:
    """Lake paths of tables that lack rows which were dropped."""
    return {gap.path for gap in ledger.quarantine.gaps() if gap.healed is None}


def catalogue(ledger: Ledger) -> list[tuple[Any, int | None, int]]:
    """Every table as queries name it (`landing.query.CatalogueTable`), when it landed last, its rows in `changes`."""
    from .landing.query import CatalogueTable, names_by_path

    records = ledger.lake_tables()
    names = names_by_path(records)
    return [
        (
            CatalogueTable(r.stream.site, r.stream.source, r.table, r.path, r.key, names[r.path]),
            r.landed,
            r.rows,
        )
        for r in records
    ]
