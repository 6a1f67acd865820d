"""`central-ingest rebuild`: tables made anew from the journal and its archives, while the daemon is stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.markup import escape

from protocol.errors import Fault, Permanent
from protocol.names import Stream
from protocol.signing import SUITES

from . import config as configuration
from .config import DEFAULT_PATH, Config
from .journal.archive import Notary
from .journal.files import FileJournal
from .keystore import KeyStore, LiveOpener
from .ledger.ledger import Ledger
from .terminal import ConfigOption, JsonOption, console, print_json, wall, who

ALL = "ALL"


def rebuild(
    name: Annotated[
        str,
        typer.Argument(
            help="表名（见 `tables`）、机构/数据源或 ALL a table as `tables` prints it, SITE/SOURCE, or ALL"
        ),
    ],
    config: ConfigOption = DEFAULT_PATH,
    from_snapshot: Annotated[
        bool,
        typer.Option(
            "--from-snapshot",
            help="日志不完整时自完整全量起 where the journal begins later: from a full snapshot",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """由日志重建表（须先停止服务）Make tables anew from the journal; the daemon must not run."""
    loaded = configuration.load(config)
    facts = []
    for one in _run(loaded, name, from_snapshot):
        facts.append(one)
        if not as_json:
            _show(one)
    if as_json:
        print_json(facts)
    raise typer.Exit(1 if any(one["fault"] for one in facts) else 0)


def _run(loaded: Config, name: str, from_snapshot: bool) -> Iterator[dict[str, Any]]:
    from . import storing
    from .landing.delta import DeltaLake
    from .landing.objects import Objects
    from .landing.query import names_by_path
    from .landing.rebuilding import Rebuilding

    keys = KeyStore(loaded.keys_dir)
    journal = FileJournal.open(
        loaded.journal_dir,
        segment_bytes_max=loaded.journal.segment_bytes_max,
        notary=Notary.of(keys.signer(), SUITES),
    )
    try:
        ledger = Ledger.open(loaded.ledger_address)
        try:
            streams, paths = _chosen(ledger, name)
            ledger.add_audit(wall(), who(), f"rebuild {name}" + (" --from-snapshot" if from_snapshot else ""))
            rebuilding = Rebuilding(
                journal=journal,
                lake=DeltaLake(storing.lake_store(loaded)),
                ledger=ledger,
                objects=Objects(loaded.files_dir, storing.files_store(loaded)),
                opener=LiveOpener(keys),
                suites=SUITES,
                scratch=loaded.data_dir / "rebuild",
                pending_bytes_max=loaded.landing.pending_bytes_max,
                now=time.monotonic,
                wall=wall,
            )
            names = names_by_path(ledger.lake_tables())
            for one in rebuilding.run(streams, paths, from_snapshot=from_snapshot):
                yield _facts(one, names)
        finally:
            ledger.close()
    finally:
        journal.close()


def _chosen(ledger: Ledger, name: str) -> tuple[set[Stream], set[str] | None]:
    """Streams, and lake paths of tables, or None for all of these streams. Raises Permanent GC-6076."""
    from .landing.query import names_by_path

    streams = {one.stream for one in ledger.streams()}
    if name == ALL:
        return streams, None
    records = {one.path: one for one in ledger.lake_tables()}
    for path, printed in names_by_path(records.values()).items():
        if name in (printed, path):
            return {records[path].stream}, {path}
    found = {one for one in streams if str(one) == name}
    if not found:
        raise Permanent("GC-6076", name=name)
    return found, None


def _facts(one: Any, names: dict[str, str]) -> dict[str, Any]:
    fault: Fault | None = getattr(one, "fault", None)
    facts = {
        "table": names.get(one.record.path, f"{one.record.stream} {one.record.table}"),
        "path": one.record.path,
        "fault": None if fault is None else fault.as_json(),
    }
    if fault is None:
        first = {"epoch": one.first[0], "seq": one.first[1], "received": one.received}
        facts |= {"rows": one.record.rows, "from": first, "lacks": one.lacks or None}
    return facts


def _show(one: dict[str, Any]) -> None:
    if fault := one["fault"]:
        console.print(
            f"[red]{fault['code']}[/red] {escape(fault['what_zh'])} {escape(fault['what'])}\n"
            f"    → {escape(fault['todo_zh'])} {escape(fault['todo'])}",
            highlight=False,
            soft_wrap=True,
        )
        return
    first = one["from"]
    lines = [
        f"已重建 built anew  {one['table']}  {one['rows']:,} 行 rows，自 from {first['epoch']}/{first['seq']} 起 on"
    ]
    if one["lacks"]:
        lines.append(f"    更早的历史已不在 its history before that is gone: {one['lacks']}")
    for line in lines:
        console.print(escape(line), highlight=False, soft_wrap=True)
