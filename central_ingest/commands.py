"""The commands of `central-ingest`, in English and Chinese. Faults end in two lines: what happened, what to do."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
import pyarrow.csv
import typer
from rich.markup import escape

from protocol import VERSION, topics
from protocol.change import Version
from protocol.enrolment import Token
from protocol.errors import Fault, Permanent
from protocol.keys import to_base64
from protocol.names import Stream, check_site

from . import (
    brokerconfig,
    cataloguing,
    commanding,
    currency,
    fsck,
    journaling,
    quarantining,
    rebuild,
    screens,
)
from . import config as configuration
from .config import DEFAULT_PATH, SAMPLE
from .enrolment import secret_hash
from .grants import give
from .keystore import KeyStore
from .ledger.ledger import Ledger
from .safekeeping import KeptLedger, Safe
from .terminal import ConfigOption, JsonOption, console, errors, print_json, read_status, wall, who

if TYPE_CHECKING:
    from .landing.asof import AsOf
    from .landing.query import CatalogueTable, OpenDataset

__all__ = ["app", "console", "errors", "run"]

EX_USAGE, EX_CONFIG = 64, 78
DAY_MICROS = 86_400 * 1_000_000

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="归仓中心端：验证、去重、入库，并以签名回执应答。\n\n"
    "The data centre's end: verifies, de-duplicates, lands, and answers with signed receipts.",
)
commanding.register(app)
currency.register(app)
quarantining.register(app)
app.command()(fsck.fsck)
app.command()(rebuild.rebuild)
journaling.register(app)
cataloguing.register(app)

_UsageError: Any = typer.BadParameter.__bases__[0]
"""click's; newer typers carry a click of their own, so it is not imported."""


def run() -> None:
    """Run the command line. Known faults become two lines and an exit code."""
    try:
        code = app(standalone_mode=False)  # what `typer.Exit` carried
    except typer.Abort:
        sys.exit(EX_USAGE)
    except _UsageError as e:
        e.show()
        sys.exit(EX_USAGE)
    except Fault as fault:
        tell(fault)
        sys.exit(EX_CONFIG if isinstance(fault, Permanent) else 1)
    sys.exit(code or 0)


def _kept_ledger(loaded: configuration.Config) -> KeptLedger:
    """For a command that changes the roster. Raises Permanent GC-1007."""
    safe = Safe(loaded.roster_dirs, KeyStore(loaded.keys_dir).signer())
    return KeptLedger.of(Ledger.open(loaded.ledger_address), safe)


def tell(fault: Fault) -> None:
    """What happened and what to do."""
    what, todo = (
        escape(f"{fault.what_zh}\n        {fault.what}"),
        escape(f"{fault.todo_zh}\n       {fault.todo}"),
    )
    errors.print(f"[red]{fault.code}[/red] {what}\n     → {todo}", highlight=False, soft_wrap=True)


@app.command()
def init(
    config: ConfigOption = DEFAULT_PATH,
    data_dir: Annotated[Path, typer.Option(help="数据目录 data directory")] = Path("/var/lib/guicang-centre"),
) -> None:
    """生成配置、密钥和台账 Write configuration, keys and ledger."""
    if config.exists():
        raise Permanent("GC-1005", path=str(config))
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(SAMPLE.format(data_dir=json.dumps(str(data_dir), ensure_ascii=False)), "utf-8")
    loaded = configuration.load(config)
    data_dir.mkdir(parents=True, exist_ok=True)
    KeyStore(loaded.keys_dir).create()
    Ledger.open(loaded.ledger_address).close()
    console.print(f"已写入配置 wrote [bold]{config}[/bold]，密钥 keys {loaded.keys_dir}", highlight=False)
    console.print("下一步 next: central-ingest invite SITE; central-ingest run", highlight=False)


@app.command()
def invite(
    site: Annotated[str, typer.Argument(help="机构编码 site code")],
    config: ConfigOption = DEFAULT_PATH,
    name: Annotated[str, typer.Option(help="机构名称 display name")] = "",
) -> None:
    """邀请一家机构，打印一次性令牌 Invite a site: prints its one-time token."""
    loaded = configuration.load(config)
    check_site(site)
    keys = KeyStore(loaded.keys_dir)
    sealing = keys.create_site(site)
    secret = secrets.token_bytes(32)
    ledger = _kept_ledger(loaded)
    now = wall()
    ledger.add_site(site, name, now)
    ledger.invite(secret_hash(secret), site, now + loaded.invite_days * DAY_MICROS)
    ledger.close()
    ca = loaded.broker.ca_file.read_text("ascii") if loaded.broker.ca_file else ""
    token = Token(
        broker=loaded.broker.public_url or loaded.broker.url,
        ca=ca,
        site=site,
        centre_signing=to_base64(keys.signer().public),
        centre_sealing=to_base64(keys.sealing().public),
        site_sealing=to_base64(sealing.public),
        secret=secret.hex(),
    )
    typer.echo(token.to_text())
    errors.print(
        f"令牌 {loaded.invite_days} 天内有效，仅可使用一次，请按密码保管。"
        f"Valid once, for {loaded.invite_days} days; keep it like a password.",
        highlight=False,
    )


@app.command("run")
def run_daemon(
    config: ConfigOption = DEFAULT_PATH,
    embedded_broker: Annotated[
        bool, typer.Option("--embedded-broker", help="使用内置消息代理 with a broker inside, for a first try")
    ] = False,
) -> None:
    """运行中心端 Run the daemon (under systemd, or in the foreground)."""
    from .serving import serve

    loaded = configuration.load(config)
    logging.basicConfig(
        level=loaded.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )

    async def body() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(loaded, stop, embedded_broker=embedded_broker)

    asyncio.run(body())


@app.command()
def status(config: ConfigOption = DEFAULT_PATH, as_json: JsonOption = False) -> None:
    """状态：各机构的新鲜度与异常 How things are: freshness of every site, and what is wrong."""
    said, running = read_status(configuration.load(config))
    code = 2 if not running or said is None else 0 if said["healthy"] else 1
    if as_json:
        print_json({"running": running, "exit": code, "status": said})
    elif said is None:
        console.print("[red]● 未运行 NOT RUNNING[/red]  central-ingest run")
    else:
        screens.status(console, said, running)
    raise typer.Exit(code)


@app.command("broker-config")
def broker_config(
    output: Annotated[Path, typer.Option("--output", help="写入的目录 directory to write to")],
    config: ConfigOption = DEFAULT_PATH,
    installed_at: Annotated[
        Path | None,
        typer.Option(
            "--installed-at", help="文件在代理服务器上的目录，默认同上 where they will stand, if elsewhere"
        ),
    ] = None,
) -> None:
    """生成 mosquitto 的配置与访问规则 Write mosquitto's configuration and access rules."""
    loaded = configuration.load(config)
    port = _tls_port(config, loaded)
    ledger = Ledger.open(loaded.ledger_address)
    revoked = [agent.id for agent in ledger.agents() if agent.revoked is not None]
    ledger.close()
    written = brokerconfig.files(
        port=port,
        directory=(installed_at or output).absolute(),
        credit_bytes=loaded.credit.budget_bytes,
        revoked=revoked,
    )
    output.mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        (output / name).write_text(text, "utf-8")
        console.print(f"已写入 wrote {escape(str(output / name))}", highlight=False, soft_wrap=True)
    console.print("下一步 next: ca.pem, server.pem, server.key; mosquitto -c mosquitto.conf", highlight=False)


def _tls_port(path: Path, loaded: configuration.Config) -> int:
    """Of `broker.url`; the broker that we configure speaks TLS and nothing else. Raises Permanent GC-1003."""
    from protocol.link.mqtt import MqttSettings

    broker = loaded.broker
    for key, url in (("broker.url", broker.url), ("broker.public_url", broker.public_url or broker.url)):
        if not MqttSettings(url, client_id=topics.CENTRE).tls:
            raise Permanent("GC-1003", path=str(path), key=key, problem="it must be mqtts://host:port")
    return MqttSettings(broker.url, client_id=topics.CENTRE).port


@app.command()
def sites(config: ConfigOption = DEFAULT_PATH, as_json: JsonOption = False) -> None:
    """机构与代理名册 Sites and their agents."""
    loaded = configuration.load(config)
    ledger = Ledger.open(loaded.ledger_address)
    agents = ledger.agents()
    facts: list[dict[str, Any]] = [
        {
            "site": code,
            "name": name,
            "agents": [
                {"agent": a.id, "version": a.version, "enrolled": a.enrolled, "revoked": a.revoked}
                for a in agents
                if a.site == code
            ],
        }
        for code, name in ledger.sites()
    ]
    ledger.close()
    if as_json:
        print_json(facts)
        return
    screens.sites(console, facts)


@app.command()
def revoke(
    agent: Annotated[str, typer.Argument(help="代理编号 agent id, as `sites` prints it")],
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """吊销代理：不再接收其数据，其数据源可由新代理接管 Revoke an agent: nothing more is taken from it, and a
    newly invited one may take over its sources."""
    loaded = configuration.load(config)
    ledger = _kept_ledger(loaded)
    known = {one.id for one in ledger.agents()}
    if agent in known:
        ledger.revoke(agent, wall())
    ledger.close()
    if agent not in known:
        raise Permanent("GC-5003", agent=agent)
    console.print(f"已吊销 revoked  {agent}", highlight=False)


@app.command()
def move(
    stream: Annotated[str, typer.Argument(help="机构/数据源 SITE/SOURCE")],
    agent: Annotated[
        str, typer.Argument(help="接管的代理编号 id of the agent that takes over, as `sites` prints it")
    ],
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """将数据源移交给另一个代理：它以新任期重新全量，原代理随即被取代 Move a source to another agent: it begins
    a new epoch with full snapshots, and the former one is fenced."""
    loaded = configuration.load(config)
    site, _, source = stream.partition("/")
    ledger = _kept_ledger(loaded)
    try:
        known = {one.id for one in ledger.agents() if one.site == site and one.revoked is None}
        if agent not in known:
            raise Permanent("GC-5003", agent=agent)
        epoch = give(ledger, Stream(site, source), agent, wall())
        ledger.add_audit(wall(), who(), f"move {stream} to {agent} in epoch {epoch}")
    finally:
        ledger.close()
    console.print(f"已移交 moved  {stream} → {agent}（任期 epoch {epoch}）", highlight=False)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="SQL，可查 current.… 与 changes.…")],
    config: ConfigOption = DEFAULT_PATH,
    output: Annotated[
        Path | None, typer.Option("--output", help="写入 .arrow/.csv 文件 write to a file instead")
    ] = None,
    limit: Annotated[int, typer.Option(help="屏幕最多显示行数 rows shown at most")] = 100,
    as_of: Annotated[
        str, typer.Option("--as-of", help="任期/序号或时间 EPOCH/SEQ or a time: `current` as it was then")
    ] = "",
    source: Annotated[
        str, typer.Option(help="--as-of 所指的 机构/数据源 SITE/SOURCE that --as-of is of")
    ] = "",
) -> None:
    """以 SQL 查询数据湖（每次查询留有审计记录）Ask the lake in SQL; every query leaves an audit line."""
    from .landing import asof
    from .landing.delta import DeltaLake
    from .landing.overlay import overlay
    from .landing.query import QueryEngine
    from .storing import lake_store

    if bool(as_of) is not bool(source):
        raise typer.BadParameter("--as-of and --source go together", param_hint="--as-of")
    moment = asof.parse(as_of) if as_of else None
    loaded = configuration.load(config)
    ledger = Ledger.open(loaded.ledger_address)
    ledger.add_audit(wall(), who(), f"{sql} (as of {as_of} of {source})" if as_of else sql)
    catalogue = [table for table, _, _ in cataloguing.catalogue(ledger)]
    incomplete = cataloguing.incomplete(ledger)
    lake = DeltaLake(lake_store(loaded))
    there = None if moment is None else _place(moment, source, catalogue, lake.dataset, ledger)
    ledger.close()
    for table in catalogue:
        if table.path in incomplete and table.printed_name.casefold() in sql.casefold():
            tell(Permanent("GC-6023", table=table.printed_name))
    engine = QueryEngine(catalogue, lake.dataset, overlay=lambda one: overlay(lake, one.path, bool(one.key)))
    rows = engine.query(sql, there)
    if output is not None:
        _write(rows, output)
        console.print(f"{rows.num_rows:,} 行 rows → {output}", highlight=False)
        return
    screens.rows(console, rows, limit)


def _place(
    moment: Version | datetime,
    source: str,
    catalogue: list[CatalogueTable],
    dataset: OpenDataset,
    ledger: Ledger,
) -> AsOf:
    """Where in the stream of a source it is asked, which is told."""
    from .landing import asof

    site, _, slug = source.partition("/")
    stream = Stream(site, slug)
    if isinstance(moment, Version):
        place = asof.AsOf(stream, moment)
    else:
        mine = (one for one in catalogue if (one.site, one.source) == (site, slug))
        last = asof.last_received(filter(None, (dataset(one.path) for one in mine)), moment)
        cut = ledger.cuts.last(stream, asof.micros_of(moment))
        place = asof.at_time(stream, moment, last, cut)
    at = f"{stream} {place.version.epoch}/{place.version.seq}"
    ends = "（事务边界 where a transaction ended）" if place.is_cut else ""
    errors.print(f"截至 as of  {at}{ends}", highlight=False)
    return place


def _write(rows: pa.Table, path: Path) -> None:
    if path.suffix == ".csv":
        pa.csv.write_csv(rows, path)
        return
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
        writer.write_table(rows)


@app.command()
def version(as_json: JsonOption = False) -> None:
    """版本 Version."""
    typer.echo(json.dumps({"version": VERSION}) if as_json else f"central-ingest {VERSION}")
