"""The commands of `edge-agent`, in English and Chinese. Faults end in two lines: what happened, what to do."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from protocol import VERSION
from protocol.enrolment import Token
from protocol.errors import Fault, Permanent

from . import checked, checking, control, platform, readiness, sample
from . import config as configuration
from .config import Config
from .identity import StateDir
from .sources.dialects.dialect import REFUSED
from .sources.registry import open_source
from .sources.settings import FilesSettings, PostgresSettings, SourceSettings, SqlSettings
from .sources.source import Source, TableInfo

EX_USAGE, EX_CONFIG = 64, 78

_UsageError: Any = typer.BadParameter.__bases__[0]
"""click's; newer typers carry a click of their own, so it is not imported."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="归仓前置机代理：采集本院数据库与文件，加密发送至数据中心。\n\n"
    "Captures this hospital's databases and files and sends them, encrypted, to the data centre.",
)
console = Console()
errors = Console(stderr=True)

ConfigOption = Annotated[
    Path, typer.Option("--config", help="配置文件 configuration file", default_factory=platform.config_path)
]
JsonOption = Annotated[bool, typer.Option("--json", help="输出 JSON print facts as JSON")]


def run() -> None:
    """Run the command line. Known faults become two lines and an exit code."""
    try:
        code = app(standalone_mode=False)  # click gives the code of an Exit, it does not raise it
    except typer.Abort:
        sys.exit(EX_USAGE)
    except _UsageError as e:
        e.show()
        sys.exit(EX_USAGE)
    except Fault as fault:
        tell(fault)
        sys.exit(EX_CONFIG if isinstance(fault, Permanent) else 1)
    sys.exit(code if isinstance(code, int) else 0)


def tell(fault: Fault) -> None:
    """What happened and what to do. Names may hold what looks like markup."""
    what, what_zh = escape(fault.what), escape(fault.what_zh)
    errors.print(f"[red]{fault.code}[/red] {what_zh}\n        {what}", highlight=False, soft_wrap=True)
    errors.print(
        f"     → {fault.todo_zh}\n       {fault.todo}", highlight=False, markup=False, soft_wrap=True
    )


@app.command()
def init(
    config: ConfigOption,
    state_dir: Annotated[
        Path, typer.Option(help="状态目录 state directory", default_factory=platform.state_dir)
    ],
    source: Annotated[str, typer.Option(help="数据源代号 slug of the first source [a-z0-9-]")] = "his",
    name: Annotated[str, typer.Option(help="显示名称 display name")] = "",
    url: Annotated[str, typer.Option(help="数据库地址 database URL, e.g. sqlite:////data/his.db")] = "",
    folder: Annotated[str, typer.Option(help="文件夹 folder with CSV files")] = "",
    include: Annotated[
        list[str] | None, typer.Option(help="要采集的表 tables to capture (* and ? allowed)")
    ] = None,
) -> None:
    """生成配置和密钥，列出数据表 Write configuration and keys, list the tables, ask what to capture."""
    if config.exists():
        raise Permanent("GC-1005", path=str(config))
    if not (url or folder) and sys.stdin.isatty():
        answer = typer.prompt("数据库地址或文件夹 Database URL or folder")
        url, folder = (answer, "") if "://" in answer else ("", answer)
    text = sample.render(state_dir, source, name, url, folder, include or [])
    config.parent.mkdir(parents=True, exist_ok=True)
    platform.write_atomically(config, text.encode(), private=True)
    try:
        loaded = configuration.load(config)
    except Permanent:
        config.unlink()
        raise
    state = StateDir(state_dir)
    state.root.mkdir(parents=True, exist_ok=True)
    identity = state.make_identity()
    console.print(f"已写入配置 wrote [bold]{escape(str(config))}[/bold]", highlight=False)
    console.print(f"代理编号 agent id  {identity.agent}", highlight=False)
    for slug in loaded.sources:
        infos = _look(loaded, slug, quiet=True)
        if infos and not include and sys.stdin.isatty():
            chosen = typer.prompt("要采集的表，逗号分隔，* 为全部 Tables to capture, by commas, * for all")
            patterns = [p.strip() for p in chosen.split(",") if p.strip()]
            text = sample.render(state_dir, source, name, url, folder, patterns)
            platform.write_atomically(config, text.encode(), private=True)
    console.print("下一步 next: edge-agent enrol TOKEN", highlight=False)


@app.command()
def enrol(
    token: Annotated[str, typer.Argument(help="数据中心给的令牌 the token")], config: ConfigOption
) -> None:
    """用令牌向数据中心注册 Enrol at the data centre with its token."""
    from . import agent

    loaded = configuration.load(config)
    centre = asyncio.run(agent.enrol(loaded, Token.from_text(token)))
    console.print(f"[green]已注册 enrolled[/green]：机构 site {centre.site}", highlight=False)
    console.print("下一步 next: edge-agent run", highlight=False)


@app.command()
def check(
    config: ConfigOption,
    source: Annotated[str | None, typer.Argument(help="数据源代号 source")] = None,
    as_json: JsonOption = False,
    as_sql: Annotated[
        bool, typer.Option("--sql", help="仅输出请 DBA 执行的 SQL print only the SQL for the DBA")
    ] = False,
) -> None:
    """逐表检查能否采集、保证级别 Say per table which way of capture is possible and what it guarantees."""
    loaded = configuration.load(config)
    if as_sql:
        _say_script(config, loaded, source, as_json)
        return
    slugs = [source] if source else list(loaded.sources)
    facts: list[dict[str, Any]] = []
    for slug in slugs:
        settings = _settings_of(config, loaded, slug)
        try:
            with _opened(loaded, slug) as opened:
                facts += checking.check(slug, settings, opened)
        except Fault as fault:
            if fault.code != REFUSED or not isinstance(settings, PostgresSettings):
                raise
            tell(fault)
            errors.print(f"       edge-agent check {slug} --sql", highlight=False, soft_wrap=True)
            raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    checked.show(console, facts)


def _say_script(config: Path, loaded: Config, source: str | None, as_json: bool) -> None:
    if source is None or as_json:
        raise typer.BadParameter("--sql 须指明一个数据源，且不与 --json 同用 takes one source, and no --json")
    settings = _settings_of(config, loaded, source)
    if not isinstance(settings, PostgresSettings):
        raise typer.BadParameter('--sql 仅用于 is for kind = "postgres"')
    with _opened(loaded, source) as opened:
        text, fault = readiness.script_of(source, settings, opened)
    if sys.stdout.isatty():
        typer.echo(text, nl=False)
    else:  # a file is in UTF-8, as its first statement says, whatever the system's own encoding
        sys.stdout.buffer.write(text.encode("utf-8"))
    if fault is not None:
        tell(fault)
        raise typer.Exit(1)


@app.command()
def run_agent(config: ConfigOption) -> None:
    """运行代理 Run the agent (under systemd, or in the foreground)."""
    from .agent import Agent

    loaded = configuration.load(config)
    logging.basicConfig(
        level=loaded.agent.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    platform.run(lambda stop: Agent(loaded).run(stop))


run_agent.__name__ = "run"
app.registered_commands[-1].name = "run"


@app.command()
def status(config: ConfigOption, as_json: JsonOption = False) -> None:
    """状态：先看新鲜度 How things are, freshness first."""
    from . import status as light

    arguments = ["--config", str(config)] + (["--json"] if as_json else [])
    raise typer.Exit(light.main(arguments))


@app.command()
def snapshot(
    source: Annotated[str, typer.Argument(help="数据源代号 source")],
    config: ConfigOption,
    table: Annotated[str | None, typer.Argument(help="表名 table; 省略为全部 all if left out")] = None,
) -> None:
    """重新全量采集 Read a table (or all tables of a source) anew."""
    _request(configuration.load(config), control.Request("snapshot", source, table))


@app.command()
def confirm(
    source: Annotated[str, typer.Argument(help="数据源代号 source")],
    config: ConfigOption,
    table: Annotated[
        str | None, typer.Argument(help="表名 table; 省略则确认文件夹本身 the folder itself if left out")
    ] = None,
) -> None:
    """确认大量删除或文件夹变更属实 Confirm that a mass deletion, or another or emptied folder, is meant."""
    loaded = configuration.load(config)
    if table is None and isinstance(loaded.sources.get(source), SqlSettings):
        raise typer.BadParameter("数据库须指明表名 name the table: a database has no folder to confirm")
    _request(loaded, control.Request("confirm", source, table))


@app.command()
def files(
    source: Annotated[str, typer.Argument(help="数据源代号 source")],
    config: ConfigOption,
    again: Annotated[
        str | None,
        typer.Option(help="重新判断并读取匹配的文件 decide anew on files that match, and read them again"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """文件清单：各判为何类，有何问题 What each file of a folder was taken for, and what is wrong with it."""
    from . import filing

    loaded = configuration.load(config)
    if not isinstance(_settings_of(config, loaded, source), FilesSettings):
        raise Permanent(
            "GC-1003", path=str(config), key=f"sources.{source}.kind", problem="it is no folder of files"
        )
    book = StateDir(loaded.agent.state_dir).book_path(source)
    if again is not None:
        count = filing.read_again(book, again)
        console.print(
            f"下次扫描时重新判断并读取 {count:,} 个文件 files are read again at the next scan.",
            highlight=False,
        )
        return
    found = filing.facts(book)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
        return
    filing.show(console, found)


@app.command()
def pause(
    source: Annotated[str, typer.Argument(help="数据源代号 source")],
    config: ConfigOption,
) -> None:
    """暂停采集；中心不能恢复 Stop reading a source. The centre cannot resume what is paused here."""
    _request(configuration.load(config), control.Request("pause", source, None))


@app.command()
def resume(
    source: Annotated[str, typer.Argument(help="数据源代号 source")],
    config: ConfigOption,
) -> None:
    """恢复采集 Read a paused source again, whoever paused it."""
    _request(configuration.load(config), control.Request("resume", source, None))


@app.command()
def version(as_json: JsonOption = False) -> None:
    """版本 Version."""
    typer.echo(json.dumps({"version": VERSION}) if as_json else f"edge-agent {VERSION}")


def _request(loaded: Config, request: control.Request) -> None:
    if request.source not in loaded.sources:
        raise Permanent("GC-1003", path="", key=f"sources.{request.source}", problem="no such source")
    control.leave(StateDir(loaded.agent.state_dir).requests_dir, request)
    console.print("已提交，代理运行时立即执行 Asked for; the agent does it as soon as it runs.")


def _settings_of(config: Path, loaded: Config, slug: str) -> SourceSettings:
    if slug not in loaded.sources:
        raise Permanent("GC-1003", path=str(config), key=f"sources.{slug}", problem="no such source")
    return loaded.sources[slug]


@contextmanager
def _opened(loaded: Config, slug: str) -> Iterator[Source]:
    identity = StateDir(loaded.agent.state_dir).folder_identity(slug)
    source = open_source(slug, loaded.sources[slug], identity, os.environ)
    try:
        yield source
    finally:
        source.close()


def _look(loaded: Config, slug: str, *, quiet: bool) -> list[TableInfo]:
    try:
        with _opened(loaded, slug) as source:
            infos = source.inventory()
    except Fault as fault:
        if not quiet:
            raise
        tell(fault)
        return []
    for info in infos:
        rows = "?" if info.rows_estimate is None else f"{info.rows_estimate:,}"
        line = f"  {info.name}  ({len(info.columns)} 列 columns, {rows} 行 rows)"
        console.print(line, highlight=False, markup=False)
    return infos
