"""What `edge-agent check` prints of what it found, in Chinese and English."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from .checked_log import show_end, show_server, show_table
from .status import size, span


def show(console: Console, facts: list[dict[str, Any]]) -> None:
    """One line a table, never cut: a long name stays whole."""
    at_once = "新增即时发现，其余下次扫描发现"
    words = {
        "cursor": "发现游标有变化的行，不发现删除 rows whose cursor moved, no deletions",
        "window": "发现窗口内的增、改、删 all changes in the window; 其余靠扫描 scans find the rest",
        "log": "按日志 by the log",
        "each change, in commit order": "每个变更，按提交顺序 each change, in commit order",
        "diff by key ranges": "按主键分段比对 diff by key ranges",
        "diff of the whole": "整表比对 diff of the whole",
        "found at the next scan": "下次扫描发现 found at the next scan",
        "multiset, found at the next scan": "多重集，下次扫描发现 multiset, found at the next scan",
        "inserts at once, all else at the next scan": f"{at_once} inserts at once, all else at the next scan",
        "multiset, inserts at once, all else at the next scan": (
            f"多重集，{at_once} multiset, inserts at once, all else at the next scan"
        ),
    }
    for one in facts:
        if one["server"]:
            show_server(console, one["source"], one["server"])
            continue
        _show_table(console, one, words)
    for source in dict.fromkeys(one["source"] for one in facts):
        _show_sum(console, source, [one for one in facts if one["source"] == source and one["included"]])
    for one in facts:
        if one["server"]:
            show_end(console, one["source"], one["server"])


def _show_table(console: Console, one: dict[str, Any], words: dict[str, str]) -> None:
    captured = "[green]● 采集 captured[/green]" if one["included"] else "[dim]○ 未采集 not captured[/dim]"
    rows = "?" if one["rows_estimate"] is None else f"{one['rows_estimate']:,}"
    console.print(
        f"{captured}  [bold]{one['source']}  {escape(one['table'])}[/bold]  {rows} 行 rows",
        soft_wrap=True,
    )
    key = escape(", ".join(one["key"])) or "无 none"
    if _is_not_prepared(one):
        console.print(f"    主键 key {key}", soft_wrap=True, highlight=False)
        _show_once_prepared(console, one, words)
    elif one["log"] and one["log"]["select"] is False and not one["included"]:
        console.print(f"    主键 key {key} · 无读取权限 no right to read it", soft_wrap=True, highlight=False)
    elif one["fault"]:
        console.print(f"    [red]{escape(one['fault'])}[/red]", soft_wrap=True, highlight=False)
    else:
        said = [words[one[what]] for what in ("way", "guarantee") if one[what]]
        console.print(" · ".join([f"    主键 key {key}", *said]), soft_wrap=True, highlight=False)
        if one["included"] and one["log"] and one["log"]["once_prepared"] != one["guarantee"]:
            _show_once_prepared(console, one, words)
    if one["log"] and one["included"]:
        show_table(console, one)
    if one["cost"]:
        _show_cost(console, one["cost"])
    for follow in one["follows"]:
        text = f"    {follow['way']} {escape(follow['column'])} · {words[follow['way']]}"
        fault = f"[red]{escape(follow['fault'])}[/red]" if follow["fault"] else ""
        console.print(f"{text} {fault}".rstrip(), soft_wrap=True, highlight=False)


def _show_once_prepared(console: Console, one: dict[str, Any], words: dict[str, str]) -> None:
    then = words.get(one["log"]["once_prepared"], "?")
    console.print(f"    就绪后 once prepared：{then}", soft_wrap=True, highlight=False)


def _show_cost(console: Console, cost: dict[str, Any]) -> None:
    if cost["scan_seconds"] is None:
        why = "行数未知 nobody knows how many rows"
        if cost["rows"] is not None:
            why = f"样本仅 {cost['sampled_rows']:,} 行 a sample of {cost['sampled_rows']:,} rows is too small"
        text = f"    一次扫描的开销未知 what a scan costs is unknown：{why}"
        console.print(text, soft_wrap=True, highlight=False)
        return
    sample = f"按 {cost['sampled_rows']:,} 行样本估算 estimated from {cost['sampled_rows']:,} rows"
    costs = f"一次扫描约 one scan about {span(cost['scan_seconds'])} · 本机索引 index here {size(cost['index_bytes'])}"
    console.print(f"    {costs} · {sample}", soft_wrap=True, highlight=False)
    if cost["slower_than_interval"]:
        pause = span(cost["interval_seconds"])
        for text in (
            f"扫描间隔 {pause} 短于一次扫描：请调大 scan_interval_seconds，或设置 cursor 或 window。",
            f"A scan takes longer than the {pause} between two: raise scan_interval_seconds, "
            "or set a cursor or a window.",
        ):
            console.print(f"    [yellow]{text}[/yellow]", soft_wrap=True, highlight=False)


def _show_sum(console: Console, source: str, included: list[dict[str, Any]]) -> None:
    """Of all tables of a source that are captured."""
    scanned = [one["cost"] for one in included if one["way"] != "log"]
    costs = [cost for cost in scanned if cost and cost["scan_seconds"] is not None]
    if not costs:
        return
    seconds, held = (sum(cost[of] for cost in costs) for of in ("scan_seconds", "index_bytes"))
    unknown = len(scanned) - len(costs)
    rest = f" · 另有 {unknown} 项未知 and {unknown} unknown" if unknown else ""
    console.print(
        f"[bold]{source}[/bold]  {len(costs)} 张表，全部扫描一遍约 tables, all of them about {span(seconds)} · "
        f"本机索引 index here {size(held)}{rest}",
        soft_wrap=True,
        highlight=False,
    )


def _is_not_prepared(one: dict[str, Any]) -> bool:
    """Whether nothing but a right that it lacks keeps the table from being captured."""
    if not (one["fault"] and one["log"] and one["included"]):
        return False
    return one["log"]["select"] is False and not one["log"]["row_security"]
