"""What `edge-agent check` prints of what it found, in Chinese and English."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape


def show(console: Console, facts: list[dict[str, Any]]) -> None:
    """One line a table, never cut: a long name stays whole."""
    words = {
        "cursor": "发现游标有变化的行，不发现删除 rows whose cursor moved, no deletions",
        "window": "发现窗口内的增、改、删 all changes in the window; 其余靠扫描 scans find the rest",
        "diff by key ranges": "按主键分段比对 diff by key ranges",
        "diff of the whole": "整表比对 diff of the whole",
        "found at the next scan": "下次扫描发现 found at the next scan",
        "multiset, found at the next scan": "多重集，下次扫描发现 multiset, found at the next scan",
    }
    for one in facts:
        captured = "[green]● 采集 captured[/green]" if one["included"] else "[dim]○ 未采集 not captured[/dim]"
        rows = "?" if one["rows_estimate"] is None else f"{one['rows_estimate']:,}"
        console.print(
            f"{captured}  [bold]{one['source']}  {escape(one['table'])}[/bold]  {rows} 行 rows",
            soft_wrap=True,
        )
        key = escape(", ".join(one["key"])) or "无 none"
        if one["fault"]:
            console.print(f"    [red]{escape(one['fault'])}[/red]", soft_wrap=True, highlight=False)
        else:
            way, guarantee = words[one["way"]], words[one["guarantee"]]
            console.print(f"    主键 key {key} · {way} · {guarantee}", soft_wrap=True, highlight=False)
        for follow in one.get("follows", ()):
            text = f"    {follow['way']} {escape(follow['column'])} · {words[follow['way']]}"
            fault = f"[red]{escape(follow['fault'])}[/red]" if follow["fault"] else ""
            console.print(f"{text} {fault}".rstrip(), soft_wrap=True, highlight=False)
