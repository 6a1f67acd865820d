"""What `edge-agent check` prints of a PostgreSQL server whose log is to be followed, and of each table of it.

In Chinese and English, one language a line where it says a sentence: a narrow screen tears none.
"""

from __future__ import annotations

from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape

from .sources.pg.prepared import KINDS
from .status import size

_UNKNOWN = "未知 unknown"
LINE_COLUMNS = 76
"""Of a line without its indentation."""

WHYS = {
    "unknown": "未知",
    "the server is older than PostgreSQL 14": "服务器早于 PostgreSQL 14",
    "it has inheritance children": "有继承子表",
    "it, or a partition of it, is unlogged": "该表或其分区是 UNLOGGED，不写日志",
    "a partition of it is a foreign table": "有分区是外部表",
    "it has a generated column": "有生成列",
    "it has no key that can be used": "没有可用的主键",
    "it has no key and its replica identity is not FULL": "没有主键，复制标识也不是 FULL",
    "it is partitioned without a primary key of its own": "分区表自身没有主键",
    "its replica identity is NOTHING": "复制标识为 NOTHING",
    "the index of its replica identity is gone": "复制标识所用的索引已删除",
    "its primary key is DEFERRABLE": "主键是 DEFERRABLE（可延迟）的",
    "its replica identity is not its key": "复制标识不是主键",
    "the replica identity of a partition does not carry the key": "有分区的复制标识不含主键",
    "it has no key and is too large to be read by one statement": "没有主键，且过大而无法用一条语句读完",
    "it is in no publication": "未列入发布",
    "its publication leaves out kinds of changes": "其发布未包含全部变更种类",
    "it is published with a row filter or a column list": "发布时带有行过滤或列清单",
    "its publication does not publish via the partition root": "其发布未按分区根表发布",
}
"""By what `check --json` calls `why_not`."""

REMEDIES = {
    "the DBA's script": ("DBA 执行脚本后即可", "The DBA's script mends it."),
    "a choice in the DBA's script": (
        "须更改可能另有订阅者的发布，语句见脚本末尾",
        "A change of a publication that others may read would mend it: see the end of the script.",
    ),
    "another replica identity": (
        "须更改其复制标识，语句与代价见脚本末尾",
        "Another replica identity would mend it: see the end of the script.",
    ),
    "a primary key": (
        "须为该表建立主键，由医院与厂商决定",
        "A primary key would mend it: the hospital and its vendor decide.",
    ),
    "a newer server": ("须升级服务器", "A newer server would mend it."),
    None: ("授权无法改变这一点", "No right that is granted changes that."),
}
"""By what `check --json` calls `mend`."""


def show_server(console: Console, source: str, facts: dict[str, Any]) -> None:
    """How it stands, what hinders us, what harms the hospital."""
    version = _UNKNOWN if facts["version"] is None else facts["version"].partition(" ")[0]
    state = {True: "备库 standby", False: "主库 primary", None: _UNKNOWN}[facts["standby"]]
    _line(console, f"[bold]{source}[/bold]  PostgreSQL {escape(version)} · {state}")
    for text in (
        f"账号 account {facts['account']['name']} · REPLICATION {_yes(facts['account']['replication'])}",
        f"wal_level {facts['wal_level'] or _UNKNOWN}",
        f"复制槽 slots {_used(facts['replication_slots'])} · 发送进程 WAL senders {_used(facts['wal_senders'])}",
        f"复制槽 slot {facts['slot']['name']} · {_slot(facts['slot'])}",
        f"pg_wal {_size(facts['pg_wal_bytes'])}"
        + ("（需要 it takes pg_monitor）" if facts["pg_wal_bytes"] is None else ""),
        "磁盘剩余请 DBA 查看，SQL 无法查询 free disk: the DBA must look, SQL cannot ask",
        *_limits(facts),
        *(line for one in facts["publications"] for line in _publication(one)),
    ):
        _line(console, f"    {escape(text)}")
    for fault in facts["harms"]:
        _warn(console, fault, "bold red")
    for fault in facts["hindrances"]:
        _warn(console, fault, "red")
    if facts["hindrances"]:
        _line(console, "    [red]日志无法跟踪期间，改为逐表扫描，变更在下次扫描时发现。[/red]")
        _line(console, "    [red]While its log cannot be followed its tables are scanned instead.[/red]")


def _limits(facts: dict[str, Any]) -> list[str]:
    kept, ours, theirs = (
        facts["slot"]["kept_bytes"],
        facts["wal_keep_bytes_max"],
        facts["max_slot_wal_keep_bytes"],
    )
    said = [
        f"日志保留上限 log kept for us at most {size(ours)} (wal_keep_bytes_max)",
        f"服务器上限 the server's own limit {_limit(theirs)} (max_slot_wal_keep_size)",
    ]
    if kept is not None and kept > ours:
        said += [
            "已超过我方上限：代理将删除复制槽并重新全量读取",
            "beyond ours: the agent drops its slot and reads all anew",
        ]
    elif theirs is not None and 0 <= theirs < ours:
        said += [
            "服务器上限较低：可能先于我方使复制槽失效",
            "the server's is lower: it may give up our slot before we do",
        ]
    return said


def _publication(one: dict[str, Any]) -> list[str]:
    name = f"发布 publication {one['name']}"
    if not one["exists"]:
        return [f"{name} · {'不存在 does not exist' if one['exists'] is False else _UNKNOWN}"]
    what = "全部表 ALL TABLES" if one["all_tables"] else f"{len(one['tables'])} 张表 tables"
    if one["schemas"]:
        what = f"模式 schemas {', '.join(one['schemas'])}"
    root = "on" if one["publish_via_partition_root"] else "off"
    kinds = ", ".join(one["publishes"]) if len(one["publishes"]) < len(KINDS) else "全部变更 all changes"
    return [
        f"{name} · {what}",
        f"    所有者 owner {one['owner']} · {kinds} · via partition root {root}",
    ]


def _slot(slot: dict[str, Any]) -> str:
    if slot["exists"] is None:
        return _UNKNOWN
    if not slot["exists"]:
        return "尚无，由代理创建 none yet, the agent makes it"
    if slot["status"] == "lost":
        return "已失效，代理将重建并重新全量读取 lost, the agent makes it and reads all anew"
    used = "使用中 in use" if slot["active"] else "无人使用 in use by nobody"
    return f"{used} · {slot['status'] or _UNKNOWN} · 保留日志 keeps {_size(slot['kept_bytes'])}"


def _yes(value: bool | None) -> str:
    return {True: "有 yes", False: "无 no", None: _UNKNOWN}[value]


def _used(of: dict[str, int | None]) -> str:
    used, most = (_UNKNOWN if of[name] is None else str(of[name]) for name in ("used", "max"))
    return f"已用 used {used} / {most}"


def _size(count: int | None) -> str:
    return _UNKNOWN if count is None else size(count)


def _limit(count: int | None) -> str:
    return "无 none" if count is not None and count < 0 else _size(count)


def _warn(console: Console, fault: dict[str, str], style: str) -> None:
    for text in (f"✗ {fault['code']} {fault['what_zh']}", fault["what"]):
        _line(console, f"    [{style}]{escape(text)}[/{style}]")
    for text in (f"→ {fault['todo_zh']}", fault["todo"]):
        # What is to be typed stays whole, for whoever marks and copies it.
        console.print(f"    [{style}]{escape(text)}[/{style}]", soft_wrap=True, highlight=False)


def show_table(console: Console, one: dict[str, Any]) -> None:
    """Of a table that is included."""
    log = one["log"]
    columns = f" ({', '.join(log['identity_columns'])})" if log["identity_columns"] else ""
    identity = (log["replica_identity"] or _UNKNOWN).upper()
    if log["select"] is False:
        _line(console, "    [yellow]没有读取权限（SELECT），DBA 执行脚本后即可采集。[/yellow]")
        _line(console, "    [yellow]No right to read it (SELECT): the DBA's script mends it.[/yellow]")
    _line(console, f"    复制标识 replica identity {identity}{escape(columns)}")
    if log["row_security"]:
        _line(console, "    [red]行级安全会对该账号隐藏部分行，因此不予采集。[/red]")
        _line(console, "    [red]Row-level security hides rows from our account: it is not captured.[/red]")
    if log["why_not"] == "unknown":
        _line(console, "    [yellow]能否按日志精确采集：未知。[/yellow]")
        _line(console, "    [yellow]Whether its log is exact is unknown.[/yellow]")
    elif log["why_not"]:
        zh, en = REMEDIES[log["mend"]]
        _sentences(console, f"未能按日志精确采集：{WHYS[log['why_not']]}。", f"{zh}。")
        _sentences(console, f"Not exact by its log: {log['why_not']}.", f" {en}")


def _sentences(console: Console, one: str, other: str) -> None:
    """In one line where that holds them."""
    lines = [one + other] if cell_len(one + other) <= LINE_COLUMNS else [one, other.strip()]
    for line in lines:
        _line(console, f"    [yellow]{escape(line)}[/yellow]")


def show_end(console: Console, source: str, facts: dict[str, Any]) -> None:
    """Where the SQL is, if there is any to be had."""
    unseen = ", ".join(facts["unseen"])
    if unseen:
        _line(console, f"[yellow]{source}[/yellow]  该账号无权查看，是否有缺未知：{unseen}")
        _line(console, f"    The account may not see these, nor know what of them is missing: {unseen}")
    if not facts["missing"] and not facts["choices"]:
        if not unseen and not facts["hindrances"]:
            _line(console, f"[green]{source}[/green]  不缺任何授权 no grant is missing")
        return
    if facts["missing"]:
        zh, en = (
            "所缺的授权，请 DBA 执行以下命令给出的 SQL：",
            "What is missing the DBA grants by the SQL of this command:",
        )
    elif facts["hindrances"] or unseen:
        zh, en = (
            "仍有未解决的问题，见上；供 DBA 选择的语句：",
            "Something above is still open; what the DBA may choose:",
        )
    else:
        zh, en = (
            "不缺任何授权；供 DBA 选择的建议见：",
            "No grant is missing; what the DBA may choose besides:",
        )
    for text in (
        f"[bold]{source}[/bold]  {zh}",
        f"    {en}",
        f"    edge-agent check {source} --sql > guicang.sql",
    ):
        _line(console, text)


def _line(console: Console, text: str) -> None:
    """A screen breaks it between words, a file not at all."""
    console.print(text, soft_wrap=not console.is_terminal, highlight=False)
