"""`central-ingest quarantine`: what cannot land, and what to do about it. Facts only, never a row's content.

Requests go through the ledger to the lander: it does them within a second, or when the daemon starts.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from protocol.errors import CATALOGUE, Permanent

from . import config as configuration
from . import screens
from .config import DEFAULT_PATH, Config
from .ledger.ledger import Ledger
from .ledger.quarantine import Gap, Held, Request
from .refused import samples
from .terminal import ConfigOption, JsonOption, console, print_json, read_status, wall, who

WAIT_SECONDS = 10.0

app = typer.Typer(no_args_is_help=True, help="隔离区：无法入库的数据 What cannot land.")
NumberArgument = Annotated[int, typer.Argument(help="编号 number, as `list` prints it")]


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="quarantine")


@app.command("list")
def list_(
    config: ConfigOption = DEFAULT_PATH,
    every: Annotated[bool, typer.Option("--all", help="含已恢复的缺口 healed gaps too")] = False,
    as_json: JsonOption = False,
) -> None:
    """暂停入库的表和数据流，以及丢弃后的缺口 What is parked, and what was dropped and is not healed yet."""
    ledger = Ledger.open(configuration.load(config).ledger_address)
    facts = {
        "parked": [_held(ledger, one) for one in ledger.quarantine.held()],
        "gaps": [_gap(ledger, one) for one in ledger.quarantine.gaps() if every or one.healed is None],
    }
    ledger.close()
    if as_json:
        print_json(facts)
        return
    screens.quarantine(console, facts)


@app.command()
def show(number: NumberArgument, config: ConfigOption = DEFAULT_PATH, as_json: JsonOption = False) -> None:
    """一项的全部事实 Everything about one of them."""
    ledger = Ledger.open(configuration.load(config).ledger_address)
    try:
        facts = _held(ledger, _find(ledger, number))
    finally:
        ledger.close()
    if as_json:
        print_json(facts)
        return
    screens.parked(console, facts)


@app.command()
def retry(
    config: ConfigOption = DEFAULT_PATH,
    number: Annotated[int | None, typer.Argument(help="编号 number, as `list` prints it")] = None,
    every: Annotated[bool, typer.Option("--all", help="全部 all of them")] = False,
    as_json: JsonOption = False,
) -> None:
    """重新入库，按原顺序 Land it, in order; if the first still cannot, it stays."""
    if (number is None) is not every:
        raise typer.BadParameter("a number, or --all", param_hint="NUMBER")
    _ask("retry", number, configuration.load(config), as_json)


@app.command()
def drop(number: NumberArgument, config: ConfigOption = DEFAULT_PATH, as_json: JsonOption = False) -> None:
    """丢弃并记录缺口，下达重新全量 Give it up: the gap is recorded, and what heals it is ordered."""
    _ask("drop", number, configuration.load(config), as_json)


@app.command()
def refused(config: ConfigOption = DEFAULT_PATH, as_json: JsonOption = False) -> None:
    """不可信数据的样本 Samples of what was not authentic."""
    facts = [
        {
            "agent": one.agent,
            "code": one.code,
            "reason": one.reason,
            "time": one.time,
            "bytes": one.bytes,
            "file": str(path),
        }
        for path, one in samples(configuration.load(config).refused_dir)
    ]
    if as_json:
        print_json(facts)
        return
    screens.refused(console, facts)


def _find(ledger: Ledger, number: int) -> Held:
    for one in ledger.quarantine.held():
        if one.id == number:
            return one
    raise Permanent("GC-6020", number=number)


def _ask(what: str, number: int | None, loaded: Config, as_json: bool) -> None:
    """Leave requests, wait for their outcome where a daemon runs, say what happened. Exit code 1: not done (yet)."""
    ledger = Ledger.open(loaded.ledger_address)
    try:
        chosen = ledger.quarantine.held() if number is None else [_find(ledger, number)]
        asked = [ledger.quarantine.ask(one.id, what, who(), wall()) for one in chosen]
        _, running = read_status(loaded)
        until = time.monotonic() + (WAIT_SECONDS if running else 0.0)
        while True:
            outcomes = [ledger.quarantine.request(one) for one in asked]
            if all(one.finished for one in outcomes) or time.monotonic() > until:
                break
            time.sleep(0.1)
    finally:
        ledger.close()
    facts = [_outcome(one, running) for one in outcomes]
    if as_json:
        print_json(facts)
    else:
        screens.outcomes(console, facts)
    raise typer.Exit(0 if all(one["state"] == "done" for one in facts) else 1)


def _outcome(one: Request, running: bool) -> dict[str, Any]:
    waiting = "under way" if running else "at the next start"
    state = waiting if one.finished is None else "done" if one.code is None else "failed"
    return {
        "number": one.held,
        "what": one.what,
        "state": state,
        "code": one.code,
        "reason": one.reason,
        "todo": _todo(one.code),
    }


def _held(ledger: Ledger, one: Held) -> dict[str, Any]:
    return {
        "number": one.id,
        "stream": str(one.stream),
        "path": one.path,
        "table": _table(ledger, one.path),
        "code": one.code,
        "reason": one.reason,
        "since": one.since,
        "first": {"epoch": one.first[0], "seq": one.first[1]},
        "last": {"epoch": one.last[0], "seq": one.last[1]},
        "envelopes": one.envelopes,
        "bytes": one.bytes,
        "todo": _todo(one.code),
    }


def _gap(ledger: Ledger, one: Gap) -> dict[str, Any]:
    orders = {c.id: c for c in ledger.commands.all()}
    order = orders.get(one.command or "")
    return {
        "stream": str(one.stream),
        "path": one.path,
        "table": _table(ledger, one.path),
        "first": {"epoch": one.first[0], "seq": one.first[1]},
        "last": {"epoch": one.last[0], "seq": one.last[1]},
        "envelopes": one.envelopes,
        "bytes": one.bytes,
        "rows": one.rows,
        "code": one.code,
        "reason": one.reason,
        "who": one.who,
        "time": one.time,
        "healed": one.healed,
        "snapshot": None if order is None else order.state(wall()),
        "snapshot_code": None if order is None else order.code,
    }


def _table(ledger: Ledger, path: str) -> str | None:
    return next((str(r.table) for r in ledger.lake_tables() if r.path == path), None)


def _todo(code: str | None) -> list[str]:
    """In both languages; a sentence that wants facts which the ledger does not keep is left out."""
    advice = CATALOGUE.get(code or "")
    both = (advice.todo_zh, advice.todo) if advice else ()
    return [text for text in both if "{" not in text]
