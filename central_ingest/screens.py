"""What `central-ingest` shows on a terminal, in Chinese and English. It prints facts and fetches none."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text


def status(console: Console, said: dict[str, Any], running: bool) -> None:
    """What `status.json` says: health first, then every stream, then what is parked."""
    when = datetime.fromtimestamp(said["time"] / 1e6).astimezone()
    if not running:
        console.print(f"[red]● 未运行 NOT RUNNING[/red] — 最后状态 last status {when:%Y-%m-%d %H:%M:%S %z}")
    elif said["healthy"]:
        console.print(f"[green]● 正常 HEALTHY[/green]   v{said['version']}", highlight=False)
    else:
        console.print(f"[yellow]● 需要关注 DEGRADED[/yellow]   v{said['version']}", highlight=False)
    broker, counters = said["broker"], said["counters"]
    state = (
        "已连接 connected" if broker["connected"] else f"[red]未连接 not connected[/red] {broker['reason']}"
    )
    console.print(f"  消息代理 broker   {broker['url']}  {state}", highlight=False)
    console.print(
        f"  接收 admitted     {counters['envelopes_admitted']:,} 个信封 envelopes，"
        f"重复 repeated {counters['envelopes_repeated']:,}，拒绝 refused {sum(counters['refused'].values()):,}",
        highlight=False,
    )
    console.print(
        f"  入库 landed       {counters['rows_landed']:,} 行 rows，{counters['commits']:,} 次提交 commits，"
        f"待入库 waiting {said['journal']['not_landed_bytes']:,} B + {said['landing']['pending_rows']:,} 行 rows",
        highlight=False,
    )
    if (kept := said["journal"]).get("archives") is not None:
        console.print(
            f"  日志 journal      自偏移 from {kept['start']:,} 至 to {kept['end']:,} B，"
            f"归档 archives {kept['archives']:,}（{kept['archived_bytes']:,} B）",
            highlight=False,
        )
    if said["fault"]:
        f = said["fault"]
        console.print(
            f"  [red]{f['code']}[/red] {escape(f['what_zh'])} {escape(f['what'])}\n"
            f"    → {escape(f['todo_zh'])} {escape(f['todo'])}"
        )
    _streams(console, said)
    for parked in said["parked"]:
        console.print(
            f"  [red]暂停入库 parked[/red] {parked['stream']} {parked['path']}: "
            f"{parked['code']} {escape(parked['reason'])} → central-ingest quarantine list",
            highlight=False,
        )
    for one in said.get("damaged", []):
        console.print(
            f"  [red]损坏 damaged[/red] {escape(one['name'])}: {one['code']} "
            f"{escape(one['todo_zh'])} {escape(one['todo'])}",
            highlight=False,
        )
    for one in said.get("holes", []):
        _hole(console, one)
    for one in said.get("incomplete", []):
        console.print(
            f"  [red]不完整 incomplete[/red] {one['stream']} {escape(one['table'])}: "
            "有行被丢弃，等待全量 rows were dropped, waits for a full snapshot → central-ingest quarantine list",
            highlight=False,
        )


_HOLES = {
    "open": "[red]日志缺失，正在向前置机重新索取 lost from the journal, asked for again[/red]",
    "healed": "[green]日志缺失已补齐 lost from the journal, came again[/green]",
    "gone": "[yellow]日志缺失，无法重新取得 lost from the journal, cannot come again[/yellow]",
}


def _hole(console: Console, one: dict[str, Any]) -> None:
    left = f" · 尚缺 missing {one['epoch']}/{one['first']}-{one['last']}" if one["state"] != "healed" else ""
    waits = "，入库等待 landing waits" if one["waits"] and one["state"] == "open" else ""
    asked = "—" if one["asked"] is None else _when(one["asked"])
    console.print(f"  {_HOLES[one['state']]}{waits} {escape(one['stream'])}", highlight=False, soft_wrap=True)
    console.print(
        f"    偏移 offset {one['offset']}{left} · 索取 asked {asked} · "
        f"已收到 came {one['came']:,} 个信封 envelopes, {one['came_bytes']:,} B",
        highlight=False,
        soft_wrap=True,
    )


def _streams(console: Console, said: dict[str, Any]) -> None:
    """Two lines a stream, never cut."""
    for s in said["streams"]:
        fresh = "—" if s["freshness_seconds"] is None else f"{s['freshness_seconds']:.1f} s"
        state = (
            "[red]失联 silent[/red]"
            if s["silent"]
            else "[green]正常 healthy[/green]"
            if s["healthy"]
            else "[yellow]需关注 degraded[/yellow]"
        )
        console.print(
            f"\n  [bold]{escape(s['site'])}/{s['source']}[/bold] {escape(s['name'])}  {state}",
            highlight=False,
            soft_wrap=True,
        )
        if s.get("paused"):
            console.print(f"    {_paused(s['paused'])}", highlight=False, soft_wrap=True)
        console.print(
            f"    新鲜度 freshness {fresh} · 表 tables {s['tables']} · 任期/序号 epoch/seq {s['epoch']}/{s['seq']}",
            highlight=False,
            soft_wrap=True,
        )
        if lag := s.get("commit_to_landed"):
            console.print(
                f"    提交到入库 commit → landed 中位 median {lag['p50_seconds']:g} s · 99 % {lag['p99_seconds']:g} s"
                f" · {lag['rows']:,} 行 rows",
                highlight=False,
                soft_wrap=True,
            )
        if gone := s.get("tables_unlisted"):
            console.print(
                f"    [yellow]源端已无 not at their source any more[/yellow] {gone} 张表 tables"
                " → `central-ingest tables`",
                highlight=False,
                soft_wrap=True,
            )


def _paused(paused: dict[str, Any]) -> str:
    by = "中心 the centre" if paused["by"] == "centre" else "医院 the hospital"
    return f"[yellow]已暂停 PAUSED[/yellow] {_when(paused['since'])}，{by}"


def _when(micros: int) -> str:
    return f"{datetime.fromtimestamp(micros / 1e6).astimezone():%Y-%m-%d %H:%M:%S %z}"


_STATES = {
    "waiting": "[yellow]待发送 waiting[/yellow]",
    "sent": "[yellow]已发送 sent[/yellow]",
    "done": "[green]已接受 done[/green]",
    "refused": "[red]被拒绝 refused[/red]",
    "expired": "[red]已过期 expired[/red]",
}


def commands(console: Console, facts: list[dict[str, Any]]) -> None:
    """What was asked of agents, oldest first; what was refused with what to do."""
    for one in facts:
        table = f" {one['table']}" if one["table"] else ""
        line = f"{_when(one['issued'])}  {one['name']} {one['site']}/{one['source']}{table}"
        console.print(
            f"{escape(line)}  {_STATES[one['state']]}  {escape(one['who'])}", highlight=False, soft_wrap=True
        )
        if one["fault"]:
            f = one["fault"]
            console.print(
                f"    {escape(f['code'])} {escape(f['what_zh'])} {escape(f['what'])}\n"
                f"    → {escape(f['todo_zh'])} {escape(f['todo'])}",
                highlight=False,
                soft_wrap=True,
            )
    if not facts:
        console.print("（无 none）")


def quarantine(console: Console, facts: dict[str, Any]) -> None:
    """What is parked, and the gaps."""
    for one in facts["parked"]:
        parked(console, one)
    for one in facts["gaps"]:
        _gap(console, one)
    if not facts["parked"] and not facts["gaps"]:
        console.print("（无 none）")


def parked(console: Console, one: dict[str, Any]) -> None:
    """One of them, with what to do."""
    lines = [
        f"{one['number']}  {one['stream']}  {one['table'] or one['path'] or '整个数据流 the whole stream'}",
        f"    {one['code']} {one['reason']}",
        f"    {_when(one['since'])} 起 since · {_span(one)}",
        f"    {one['envelopes']:,} 个信封 envelopes · {one['bytes']:,} B",
        *(f"    → {text}" for text in one["todo"]),
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _gap(console: Console, one: dict[str, Any]) -> None:
    rows = "?" if one["rows"] is None else f"{one['rows']:,}"
    lines = [
        f"缺口 gap  {one['stream']}  {one['table'] or one['path'] or '整个数据流 the whole stream'}",
        f"    {_when(one['time'])} {one['who']} · {_span(one)} · {rows} 行 rows · {one['code']}",
    ]
    if one["healed"]:
        lines.append(f"    已恢复 healed {_when(one['healed'])}")
    elif one["snapshot"] in ("refused", "expired"):
        lines.append(
            f"    全量未获执行，请医院运行 `edge-agent snapshot` the hospital must run it ({one['snapshot_code']})"
        )
    else:
        lines.append("    等待全量 waits for its full snapshot")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _span(one: dict[str, Any]) -> str:
    first, last = one["first"], one["last"]
    return f"{first['epoch']}/{first['seq']} – {last['epoch']}/{last['seq']}"


_ENDS = {
    "done": "已完成 done",
    "failed": "未成功 not done",
    "under way": "进行中，可用 list 查看 under way; see `list`",
    "at the next start": "中心端未运行，启动后执行 the daemon does not run; it does it at its next start",
}


def outcomes(console: Console, facts: list[dict[str, Any]]) -> None:
    """What became of retry and drop."""
    for one in facts:
        console.print(
            f"{one['number']}  {one['what']}  {_ENDS[one['state']]}", highlight=False, soft_wrap=True
        )
        if one["code"]:
            console.print(f"    {one['code']} {one['reason']}", highlight=False, markup=False, soft_wrap=True)
            for text in one["todo"]:
                console.print(f"    → {text}", highlight=False, markup=False, soft_wrap=True)
    if not facts:
        console.print("（无 none）")


def refused(console: Console, facts: list[dict[str, Any]]) -> None:
    """Samples, by agent."""
    for one in facts:
        line = f"{_when(one['time'])}  {one['agent']}  {one['code']} {one['reason']}  {one['bytes']:,} B  {one['file']}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not facts:
        console.print("（无 none）")


def sites(console: Console, facts: list[dict[str, Any]]) -> None:
    """The roster: every site with its agents."""
    for one in facts:
        console.print(f"[bold]{one['site']}[/bold] {escape(one['name'])}", highlight=False)
        for a in one["agents"]:
            since = datetime.fromtimestamp(a["enrolled"] / 1e6).astimezone()
            state = "[red]已吊销 revoked[/red]" if a["revoked"] else "[green]有效 active[/green]"
            console.print(
                f"  {a['agent']}  v{escape(a['version'])}  注册 enrolled {since:%Y-%m-%d %H:%M %z}  {state}",
                highlight=False,
            )
        if not one["agents"]:
            console.print("  [dim]尚无代理注册 no agent enrolled yet[/dim]")


def tables(console: Console, facts: list[dict[str, Any]], uncaptured: bool) -> None:
    """A line a table."""
    for one in facts:
        console.print(_table_line(one, uncaptured), soft_wrap=True, highlight=False, markup=False)
    if not facts:
        console.print("（无 none）")


def _table_line(one: dict[str, Any], uncaptured: bool) -> str:
    """One line, never cut: the name must be fit to paste."""
    if uncaptured:
        rows = "?" if one["rows_estimate"] is None else f"≈{one['rows_estimate']:,}"
        where = f"{one['site']}/{one['source']}  {one['table']}"
        return f"{where}  {one['columns']} 列 columns  {rows} 行 rows  {one['reason']}"
    landed = "—"
    if one["landed"] is not None:
        landed = f"{datetime.fromtimestamp(one['landed'] / 1e6).astimezone():%Y-%m-%d %H:%M:%S %z}"
    key = ", ".join(one["key"]) or "无 none"
    lacks = "  不完整 INCOMPLETE" if one.get("incomplete") else ""
    lacks += "  源端已无此表 NOT AT ITS SOURCE" if one.get("unlisted") else ""
    made = _staleness(one["current"])
    return (
        f"{one['name']}{lacks}  主键 key {key}  变更 changes {one['change_rows']:,}  入库 landed {landed}"
        f"  物化 materialised {made}"
    )


def current(console: Console, facts: list[dict[str, Any]]) -> None:
    """A line a table: how fresh the materialised `current` is."""
    for one in facts:
        tail = f"  待合并 tail {one['tail_rows']:,} / {one['base_rows']:,}" if one["time"] else ""
        line = f"{one['table']}  {_staleness(one)}{tail}  {one['path']}"
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if not facts:
        console.print("（无 none）")


def _staleness(made: dict[str, Any]) -> str:
    if made["time"] is None:
        return "尚无 not yet"
    if not made["stale_seconds"]:
        return "最新 up to date"
    return f"{_when(made['time'])}（滞后 behind {made['stale_seconds']:,.0f} s）"


def description(console: Console, facts: dict[str, Any]) -> None:
    """One table: its columns, one a line, then its keys and schemas. Names and comments are never cut."""

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say(f"{facts['current']}  {facts['comment']}".rstrip())
    say(f"  主键 key {', '.join(facts['key']) or '无 none'}")
    if still := facts["stands_still"]:
        key, new = (", ".join(still[name]) or "无 none" for name in ("key", "new_key"))
        say(
            f"  主键已变更  {_since(still)}  原主键 {key}，新主键 {new}：新主键的全量完成前，current（含物化表）不变"
        )
        say(f"    STANDS STILL under key {key}, materialised too, until a snapshot under key {new} has ended")
    for name, value in facts["meta"].items():
        say(f"  {name} {value}")
    for one in facts["columns"]:
        gone = "" if one["present"] else "  源端已无此列 NOT AT ITS SOURCE"
        page = f"  {one['code_page']}" if one["code_page"] else ""
        wire = one["wire"] if isinstance(one["wire"], str) else json.dumps(one["wire"], ensure_ascii=False)
        kind = f"{one['source_type'] or '?'} → {wire}{page}"
        say(f"  {one['lake_name']}  {kind}  {_since(one)}{gone}  {one['comment']}".rstrip())
        for other in one["generations"] if len(one["generations"]) > 1 else ():
            lies, seen = f"changes {other['lake_name']}", f"current {other['shown_as']}"
            say(
                f"    代 generation {other['number']}  {other['source_type'] or '?'}  {lies}  {seen}  {_since(other)}"
            )
    for one in facts["schemas"]:
        columns = "?" if one["columns"] is None else len(one["columns"])
        now = "  当前 present" if one["present"] else ""
        key = ", ".join(one["key"]) or "无 none"
        say(
            f"  表结构 schema {one['fingerprint'][:16]}  {_since(one)}  {columns} 列 columns  主键 key {key}{now}"
        )


def _since(one: dict[str, Any]) -> str:
    return f"自 since {one['since']['epoch']}/{one['since']['seq']}" if one["since"] else "自 since —"


def rows(console: Console, rows: pa.Table, limit: int) -> None:
    """The first rows of a query's answer, and how many there are."""
    table = Table()
    for name in rows.column_names:
        table.add_column(Text(name))
    for row in rows.slice(0, limit).to_pylist():
        table.add_row(*(Text(_cell(v)) for v in row.values()))
    console.print(table)
    console.print(f"{rows.num_rows:,} 行 rows", highlight=False)


def _cell(value: object) -> str:
    if value is None:
        return "∅"
    return value.hex() if isinstance(value, bytes) else str(value)


def archives(console: Console, facts: list[dict[str, Any]]) -> None:
    """One line each, and what is wrong with it."""
    for one in facts:
        said = one["manifest"]
        what = "—" if said is None else f"{said['envelopes']:,} 个信封 envelopes · {_span_of_time(said)}"
        state = "" if one["kept"] else " · 已弃 given up"
        lines = [f"{one['base']:,} – {one['end']:,}  {what}{state}"]
        if fault := one["fault"]:
            lines.append(f"    {fault['code']} {fault['what_zh']} {fault['what']}")
            lines.append(f"    → {fault['todo_zh']} {fault['todo']}")
        for line in lines:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not facts:
        console.print("（无 none）")


def _span_of_time(said: dict[str, Any]) -> str:
    return f"{_when(said['first_received'])} – {_when(said['last_received'])}"
