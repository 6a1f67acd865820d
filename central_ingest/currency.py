"""`central-ingest current`: how far the materialised `current` of each table is, and making it anew.

Requests go through the ledger to the daemon's maintenance thread, the only one that removes files of the lake.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from protocol.errors import Permanent

from . import config as configuration
from . import screens
from .config import DEFAULT_PATH
from .ledger.ledger import Ledger, TableRecord
from .ledger.materialised import Standing
from .terminal import ConfigOption, JsonOption, console, print_json, read_status, wall, who

app = typer.Typer(no_args_is_help=True, help="供外部读取的 current 表 The materialised `current`.")


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="current")


@app.command("list")
def list_(config: ConfigOption = DEFAULT_PATH, as_json: JsonOption = False) -> None:
    """各表物化到何时，以及合并前的变更行数 How fresh each table's materialised `current` is."""
    from .landing.query import names_by_path

    ledger = Ledger.open(configuration.load(config).ledger_address)
    names = names_by_path(ledger.lake_tables()).values()
    facts = [{"table": name} | fact for name, fact in zip(names, of_tables(ledger), strict=True)]
    ledger.close()
    if as_json:
        print_json(facts)
        return
    screens.current(console, facts)


@app.command()
def rebuild(
    what: Annotated[
        str, typer.Argument(help="表名、机构/数据源或 ALL  TABLE as `tables` prints it, SITE/SOURCE or ALL")
    ],
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """由 changes 重建 Make it anew from `changes`; the old one stays readable until then."""
    loaded = configuration.load(config)
    ledger = Ledger.open(loaded.ledger_address)
    try:
        paths = _chosen(ledger, what)
        ledger.materialised.ask(paths, wall())
        ledger.add_audit(wall(), who(), f"rebuild current of {what}")
    finally:
        ledger.close()
    _, running = read_status(loaded)
    how = (
        "中心端将在下一轮执行 the daemon does it in its next round"
        if running
        else "中心端未运行，启动后执行 the daemon does not run; it does it at its next start"
    )
    console.print(f"{len(paths)} 张表 tables: {how}", highlight=False, soft_wrap=True)


def of_tables(ledger: Ledger) -> list[dict[str, Any]]:
    """Of each table in the catalogue's order: where its `current` lies, up to when and which envelope it is true, how
    many seconds of changes are not in it (0: none), and its rows."""
    made, now = ledger.materialised.all(), wall()
    return [_facts(record, made.get(record.path), now) for record in ledger.lake_tables()]


def _facts(record: TableRecord, made: Standing | None, now: int) -> dict[str, Any]:
    from .landing.materialising import path_of

    if made is None or made.time is None:
        return {"path": path_of(record.path), "time": None, "stale_seconds": None}
    behind = made.landed != record.landed
    return {
        "path": path_of(record.path),
        "time": made.time,
        "stale_seconds": (now - made.time) / 1e6 if behind else 0.0,
        "epoch": made.epoch,
        "seq": made.seq,
        "base_rows": made.base_rows,
        "tail_rows": made.tail_rows,
    }


def _chosen(ledger: Ledger, what: str) -> list[str]:
    """Lake paths of `changes`. Raises Permanent GC-6061 where nothing is called so."""
    from .landing.query import CHANGES, CURRENT, names_by_path, sql_name

    paths, records = [], ledger.lake_tables()
    names = names_by_path(records)
    for record in records:
        name = names[record.path]
        known = {name, record.path, str(record.stream), sql_name(CURRENT, name), sql_name(CHANGES, name)}
        if what == "ALL" or what in known:
            paths.append(record.path)
    if not paths:
        raise Permanent("GC-6061", name=what)
    return paths
