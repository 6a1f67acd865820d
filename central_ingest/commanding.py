"""`central-ingest command` and `commands`: what operators ask of agents, and what became of it.

It writes into the ledger and reads from it; the daemon does the rest (see `control`), running or not.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from protocol.errors import CATALOGUE, Permanent, Rejected
from protocol.names import Stream

from . import config as configuration
from . import screens
from .config import DEFAULT_PATH
from .ledger.commands import CommandRecord, new_command
from .ledger.ledger import Ledger
from .terminal import ConfigOption, JsonOption, console, print_json, read_status, wall, who

HOUR_MICROS = 3_600 * 1_000_000


class Name(StrEnum):
    """What can be asked of an agent."""

    SNAPSHOT = "snapshot"
    PAUSE = "pause"
    RESUME = "resume"


def register(app: typer.Typer) -> None:
    app.command("command")(command)
    app.command("commands")(commands)


def command(
    name: Annotated[Name, typer.Argument(help="重新全量、暂停或恢复 what to do")],
    stream: Annotated[str, typer.Argument(help="机构/数据源 SITE/SOURCE")],
    config: ConfigOption = DEFAULT_PATH,
    table: Annotated[str | None, typer.Option(help="表名（仅 snapshot） one table, for snapshot")] = None,
    agent: Annotated[str, typer.Option(help="代理编号，默认为当前持有者 agent id, if not the holder")] = "",
    expires_hours: Annotated[
        float, typer.Option(min=0.1, max=24 * 365, help="多久后失效 after so long it is void")
    ] = 24.0,
) -> None:
    """向医院代理下达指令 Ask an agent, within what its hospital allows: snapshot, pause, resume."""
    loaded = configuration.load(config)
    if table is not None and name is not Name.SNAPSHOT:
        raise typer.BadParameter("only snapshot takes a table", param_hint="--table")
    site, _, source = stream.partition("/")
    about = Stream(site, source)
    ledger = Ledger.open(loaded.ledger_address)
    try:
        holder = _holder(ledger, about, agent)
        record = new_command(
            about, holder, name.value, table, who(), wall(), int(expires_hours * HOUR_MICROS)
        )
        ledger.commands.add(record)
    finally:
        ledger.close()
    _, running = read_status(loaded)
    how = (
        "代理在线时即会收到 The agent gets it as soon as it is there."
        if running
        else "中心端未运行，启动后发送 The daemon does not run; it sends it once it does."
    )
    console.print(f"已下达 given  {record.id}\n{how}", highlight=False, soft_wrap=True)
    console.print("结果 outcome: central-ingest commands", highlight=False)


def _holder(ledger: Ledger, stream: Stream, agent: str) -> str:
    """Who is to be asked. Raises Permanent GC-4018 where it is nobody who may send for that site."""
    holders = [one.agent for one in ledger.streams() if one.stream == stream]
    asked = agent or (holders[0] if holders else "")
    valid = any(a.id == asked and a.site == stream.site and a.revoked is None for a in ledger.agents())
    if not valid:
        raise Permanent("GC-4018", site=stream.site, source=stream.source)
    return asked


def commands(config: ConfigOption = DEFAULT_PATH, as_json: JsonOption = False) -> None:
    """已下达的指令及结果 The commands that were given, and what became of them."""
    ledger = Ledger.open(configuration.load(config).ledger_address)
    records = ledger.commands.all()
    ledger.close()
    facts = [_facts(one, wall()) for one in records]
    if as_json:
        print_json(facts)
        return
    screens.commands(console, facts)


def _facts(one: CommandRecord, now: int) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "site": one.stream.site,
        "source": one.stream.source,
        "table": one.arguments.get("table"),
        "agent": one.agent,
        "who": one.who,
        "issued": one.issued,
        "expires": one.expires,
        "sent": one.sent,
        "answered": one.answered,
        "state": one.state(now),
        "code": one.code,
        "facts": one.facts,
        "fault": _fault(one),
    }


def _fault(one: CommandRecord) -> dict[str, str] | None:
    """Why it was refused, in our words. A newer agent may have codes that we do not know."""
    if one.code is None:
        return None
    unknown = {"code": one.code, "what": "", "todo": "", "what_zh": "", "todo_zh": ""}
    if one.code not in CATALOGUE:
        return unknown
    about = {"name": one.name, "source": one.stream.source, "table": one.arguments.get("table", "*")}
    try:
        return Rejected(one.code, **about).as_json()
    except KeyError:
        return unknown
