"""`edge-agent status`: reads `status.json` alone and says how things are, freshness first.

It imports nothing but the standard library, so that it answers at once on a busy machine, running or not.
Exit codes: 0 healthy, 1 degraded, 2 not running, 78 configuration.
"""

from __future__ import annotations

import json
import os
import sys
import time
import tomllib
import unicodedata
from datetime import datetime
from pathlib import Path
from typing import Any

FORMAT = 1
"""Of `status.json`, as health writes it."""
FOLLOWED_SHOWN = 3
RUNNING_SECONDS = 10.0
_COLOURS = {"ok": "32", "bad": "31", "warn": "33", "dim": "2"}


def main(arguments: list[str]) -> int:
    """Arguments after `status`: [--json] [--config FILE]."""
    as_json = "--json" in arguments
    try:
        path = _status_path(_option(arguments, "--config"))
    except (OSError, ValueError) as e:
        print(f"GC-1001 配置文件无法读取 The configuration cannot be read: {e}", file=sys.stderr)
        return 78
    status = _read(path)
    age = time.time() - status["time"] / 1e6 if status else None
    running = age is not None and abs(age) <= RUNNING_SECONDS
    code = 2 if not running or status is None else 0 if status["healthy"] else 1
    if as_json:
        print(json.dumps({"running": running, "exit": code, "status": status}, ensure_ascii=False, indent=2))
    else:
        for line in render(status, age, colour=sys.stdout.isatty()):
            print(line)
    return code


def _read(path: Path) -> dict[str, Any] | None:
    try:
        status = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return status if isinstance(status, dict) and status.get("format") == FORMAT else None


def _option(arguments: list[str], name: str) -> str | None:
    for i, argument in enumerate(arguments):
        if argument == name and i + 1 < len(arguments):
            return arguments[i + 1]
        if argument.startswith(name + "="):
            return argument.partition("=")[2]
    return None


def _status_path(config: str | None) -> Path:
    from . import platform

    path = Path(config) if config else platform.config_path()
    document = tomllib.loads(path.read_text("utf-8"))
    state_dir = os.environ.get("GUICANG_AGENT__STATE_DIR") or document.get("agent", {}).get("state_dir")
    return Path(state_dir or platform.state_dir()) / "status.json"


def render(status: dict[str, Any] | None, age: float | None, *, colour: bool) -> list[str]:
    """The lines a person sees. `age` is how old the status is, in seconds; None without one."""
    paint = _painter(colour)
    if status is None or age is None:
        return [
            paint("bad", "● 未运行 NOT RUNNING"),
            "  从未写入状态，或状态文件不可读。No status was ever written, or it cannot be read.",
            "  → edge-agent run",
        ]
    lines = [
        _headline(status, age, paint),
        f"  机构 site {status['site']}   代理 agent {status['agent'][:8]}…",
    ]
    for source in status["sources"]:
        lines += _source(source, status["time"], paint)
    lines += _link(status["link"], status["broker"], paint)
    if status["spool"]["recovered"]:
        lines.append(
            paint("warn", f"  缓冲曾损坏，已另存 damaged spool set aside: {status['spool']['recovered']}")
        )
    return lines


def _headline(status: dict[str, Any], age: float, paint: Any) -> str:
    if abs(age) > RUNNING_SECONDS:
        since = datetime.fromtimestamp(status["time"] / 1e6).astimezone()
        text = f"● 未运行 NOT RUNNING — 最后状态 last status {since:%Y-%m-%d %H:%M:%S %z} ({span(age)})"
        return str(paint("bad", text))
    if _only_first_capture(status):
        return str(paint("warn", "● 首次采集中 FIRST CAPTURE")) + f"   v{status['version']}"
    if not status["healthy"]:
        return str(paint("warn", "● 需要关注 DEGRADED")) + f"   v{status['version']}"
    return str(paint("ok", "● 正常 HEALTHY")) + f"   v{status['version']}"


def _only_first_capture(status: dict[str, Any]) -> bool:
    """Nothing is wrong, but some source has not been read once to its end yet."""
    link, sources = status["link"], status["sources"]
    ailing = [s for s in sources if not s["healthy"]]
    calm = all(
        s["freshness_seconds"] is None and not (s["fault"] or s["faults"] or s["refused"] or s.get("paused"))
        for s in ailing
    )
    return bool(ailing and calm and link["connected"] and link["centre_online"])


def _source(source: dict[str, Any], now: int, paint: Any) -> list[str]:
    fresh = source["freshness_seconds"]
    title = f"{source['source']} {source['name']}".strip()
    state = "尚未完成首次采集 first capture not complete" if fresh is None else f"{span(fresh)} 前 ago"
    kind = "ok" if source["healthy"] else "warn"
    lines = ["", f"  {paint(kind, title)}"]
    if paused := source.get("paused"):
        lines.append("    " + paint("warn", _paused(paused)))
    lines.append(f"    {_label('新鲜度 freshness')}{state}")
    tables = source["tables"]
    lines.append(
        f"    {_label('数据表 tables')}{tables['following']}/{tables['total']} 跟踪中 following，"
        f"{tables['rows']:,} 行 rows"
    )
    for one in tables["snapshot"]:
        of = f" / ≈{one['rows_estimate']:,}" if one["rows_estimate"] else ""
        lines.append(f"    {_label('全量 snapshot')}{one['table']}  {one['rows']:,}{of} 行 rows")
    lines += _followed(source, now)
    lines.append(
        f"    {_label('待回执 backlog')}{source['backlog_envelopes']:,} 个信封 envelopes，"
        f"{size(source['backlog_bytes'])}"
    )
    if source["refused"]:
        lines.append("    " + paint("bad", f"中心拒绝 refused by the centre: {source['refused']}"))
    if fault := source.get("log_fault"):
        lines += ["    " + paint("warn", line) for line in _NO_LOG[bool(source.get("log_waits"))]]
        lines += _fault(fault, paint)
    for fault in [source["fault"], *source["faults"]]:
        if fault:
            lines += _fault(fault, paint)
    return lines


_NO_LOG = {
    False: [
        "无法跟踪日志，改为扫描：变更在下次扫描时发现",
        "its log cannot be followed: scans find the changes",
    ],
    True: ["暂时无法读取日志，正在等待，自动重试", "its log cannot be read for now: it is tried again"],
}
"""By whether it is waited for."""


def _followed(source: dict[str, Any], now: int) -> list[str]:
    """The few tables whose last poll or look at a window is the oldest, and how many others there are."""
    words = {"poll": "轮询 poll", "window": "窗口 window"}
    lines = []
    shown = source.get("followed", [])[:FOLLOWED_SHOWN]
    for one in shown:
        ages = [
            f"{words[way]} "
            + ("尚未 not yet" if one[way] is None else f"{span((now - one[way]) / 1e6)} 前 ago")
            for way in one["ways"]
        ]
        lines.append(f"    {_label('跟随 followed')}{one['table']}")
        lines.append(f"    {_label('')}{'，'.join(ages)}")
    others = source["tables"].get("followed", 0) - len(shown)
    if others > 0:
        lines.append(f"    {_label('')}另有 {others} 张更近 and {others} tables more recent")
    return lines


def _paused(paused: dict[str, Any]) -> str:
    since = datetime.fromtimestamp(paused["since"] / 1e6).astimezone()
    by = "数据中心 the centre" if paused["by"] == "centre" else "本地 a person here"
    return f"已暂停采集 PAUSED — {since:%Y-%m-%d %H:%M:%S %z}，{by}"


def _fault(fault: dict[str, Any], paint: Any) -> list[str]:
    return [
        "    " + paint("bad", f"{fault['code']} {fault['what_zh']} {fault['what']}"),
        f"      → {fault['todo_zh']} {fault['todo']}",
    ]


def _link(link: dict[str, Any], broker: str, paint: Any) -> list[str]:
    if link["connected"] and link["centre_online"]:
        return ["", f"  {paint('ok', '线路 link')}  {broker}  中心在线 centre online"]
    if link["connected"]:
        return ["", f"  {paint('warn', '线路 link')}  {broker}  已连接，中心不在线 connected, centre away"]
    lines = ["", f"  {paint('bad', '线路 link')}  {broker}  未连接 not connected"]
    return lines + (_fault(link["fault"], paint) if link["fault"] else [])


def _label(text: str, width: int = 20) -> str:
    """Padded to `width` columns; a Chinese character takes two."""
    taken = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
    return text + " " * max(1, width - taken)


def _painter(colour: bool) -> Any:
    def paint(kind: str, text: str) -> str:
        return f"\x1b[{_COLOURS[kind]}m{text}\x1b[0m" if colour else text

    return paint


def span(seconds: float) -> str:
    """A duration for people: 3.2 s, 4 min, 2 h 5 min, 3 d 4 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def size(count: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
