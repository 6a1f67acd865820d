"""`central-ingest fsck`: what is wrong with lake, ledger, files and journal, and what mends it; `--repair` does."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from protocol.errors import Transient

from . import config as configuration
from .config import DEFAULT_PATH, Config
from .journal.files import FileJournal
from .landing.soundness import Mend, Verdict
from .ledger.ledger import Ledger
from .terminal import ConfigOption, JsonOption, console, print_json, wall, who

ZH = {
    Mend.NOTHING: "无需处理",
    Mend.START: "服务下次启动时自动修复",
    Mend.AGENTS: "由服务向前置机索取",
    Mend.ASIDE: "移走保留，表日志已含其全部内容",
    Mend.AGAIN: "移走保留，并由日志重新入库",
    Mend.SNAPSHOT: "移走保留，记录缺口并下达重新全量",
    Mend.EPOCH: "移走保留，其数据源将开始新任期并重新全量",
    Mend.ANEW: "移走保留，并由 changes 重新生成",
    Mend.PERSON: "须由人处理",
}


def fsck(
    config: ConfigOption = DEFAULT_PATH,
    deep: Annotated[
        bool, typer.Option("--deep", help="读取每个文件并核对摘要 read every file, compare digests")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="修复（须先停止服务） mend it; the daemon must not run")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """检查数据湖、台账、文件与日志 Check lake, ledger, files and journal. Exit code 1: something is damaged."""
    loaded = configuration.load(config)
    verdicts, tables = _run(loaded, deep, repair)
    bad = [one for one in verdicts if (one.mend is Mend.PERSON if repair else one.is_damage)]
    if as_json:
        print_json({"tables": tables, "repaired": repair, "found": [_facts(one) for one in verdicts]})
    else:
        _show(verdicts, tables, repair)
    raise typer.Exit(1 if bad else 0)


def _run(loaded: Config, deep: bool, repair: bool) -> tuple[list[Verdict], int]:
    from . import storing
    from .checkup import Checkup
    from .landing.delta import DeltaLake
    from .landing.objects import Objects

    journal = FileJournal.open(loaded.journal_dir, read_only=not repair)
    try:
        open_ledger = Ledger.open if repair else Ledger.as_it_is
        ledger = open_ledger(loaded.ledger_address)
        try:
            checkup = Checkup(
                lake=DeltaLake(storing.lake_store(loaded)),
                ledger=ledger,
                journal=journal,
                objects=Objects(loaded.files_dir, storing.files_store(loaded)),
                quarantine_dir=loaded.quarantine_dir,
                deep=deep,
            )
            found = checkup.mend(who(), wall()) if repair else checkup.verdicts()
            return list(found), checkup.tables
        except OSError as error:
            raise Transient("GC-6005", path="lake", reason=type(error).__name__) from error
        finally:
            ledger.close()
    finally:
        journal.close()


def _facts(one: Verdict) -> dict[str, Any]:
    return {**one.fault.as_json(), "place": one.place, "mend": one.mend.name.lower(), "damage": one.is_damage}


def _show(verdicts: list[Verdict], tables: int, repair: bool) -> None:
    for one in verdicts:
        colour = "red" if one.is_damage else "dim"
        text = escape(f"{one.fault.what_zh}\n        {one.fault.what}")
        done = "已修复 mended" if repair and one.mend in _MENDED else "修复 mended by"
        how = escape(f"{done}: {ZH[one.mend]} {one.mend}")
        console.print(
            f"[{colour}]{one.fault.code}[/{colour}] {text}\n     → {how}", highlight=False, soft_wrap=True
        )
    bad = sum(one.is_damage for one in verdicts)
    console.print(f"{tables} 张表 tables，{bad} 处损坏 damaged", highlight=False)


_MENDED = (Mend.ASIDE, Mend.AGAIN, Mend.SNAPSHOT, Mend.EPOCH, Mend.ANEW)
