"""The demonstration: a hospital lives, its every row arrives, and at the end that is proven.

    make demo                 until the hospital has lived for a minute
    make demo SECONDS=20      for twenty seconds; non-zero if source and lake differ

Everything runs on this machine below one directory, which is kept for a look afterwards.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from demo.hospital import Hospital
from demo.stage import SITE, SITE_NAME, Stage, wait_for

console = Console(highlight=False, soft_wrap=True)
STEPS_PER_SECOND = 10.0
SETTLE_SECONDS = 120.0
LINE_SECONDS = 1.0


def main() -> int:
    """Exit code 0 if every table of both sources equals the lake, 1 if not, 2 if the demonstration broke."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the hospital lives")
    parser.add_argument("--directory", type=Path, default=Path("demo-run"), help="where everything lies")
    parser.add_argument("--seed", type=int, default=20260302)
    given = parser.parse_args()
    root = given.directory.resolve()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    stage = Stage(root)
    try:
        return _play(stage, given.seconds, given.seed)
    except RuntimeError as e:
        console.print(f"[red]{e}[/red]")
        return 2
    except KeyboardInterrupt:
        console.print("\n中断 interrupted")
        return 130
    finally:
        stage.close()


def _play(stage: Stage, seconds: float, seed: int) -> int:
    _title(
        "1",
        "一家医院 A hospital",
        "SQLite 中的 HIS 与一个 CSV 导出文件夹 a HIS in SQLite, a folder of CSV exports",
    )
    database, folder = stage.root / "hospital" / "his.db", stage.root / "hospital" / "exports"
    with Hospital(database, folder, seed, clock=datetime.now) as hospital:
        console.print(f"   {database}  {database.stat().st_size / 1e6:.1f} MB")
        _title("2", "数据中心与前置机 Centre and edge", "init, invite, enrol, run")
        stage.set_up(database, folder)
        stage.start_agent()
        console.print(f"   {SITE} {SITE_NAME} 已注册 enrolled")
        _title("3", "采集 Capture", f"医院同时在运转 {seconds:.0f} 秒 the hospital lives on meanwhile")
        _live(stage, hospital, seconds)
        _title("4", "edge-agent status", "")
        console.print(stage.agent("status"), markup=False)
        _title("5", "central-ingest status", "")
        console.print(stage.central("status"), markup=False)
        _title("6", "核对 Proof", "医院停下，等最后一行到达，逐键逐列比较 every key, every column")
        _settle(stage)
    return _compare(stage, database, folder)


def _title(number: str, text: str, more: str) -> None:
    console.print(f"\n[bold cyan]{number}. {text}[/bold cyan]  [dim]{more}[/dim]")


def _live(stage: Stage, hospital: Hospital, seconds: float) -> None:
    """Let the hospital live, and print a line a second of what happened there and what arrived."""
    stop = threading.Event()
    life = threading.Thread(target=_life, args=(hospital, stop), daemon=True)
    life.start()
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(LINE_SECONDS)
            stage.check_alive()
            console.print(_line(hospital, stage.agent_status(), stage.centre_status()))
    finally:
        stop.set()
        life.join()


def _life(hospital: Hospital, stop: threading.Event) -> None:
    while not stop.is_set():
        hospital.live(hospital.step + 1)
        stop.wait(1 / STEPS_PER_SECOND)


def _line(hospital: Hospital, agent: dict[str, Any], centre: dict[str, Any]) -> str:
    totals = list(hospital.totals.values())
    done = "医院 hospital [green]+{}[/green] [yellow]~{}[/yellow] [red]-{}[/red]".format(
        *(sum(getattr(t, what) for t in totals) for what in ("inserts", "updates", "deletes"))
    )
    parts = [f"   {done}"]
    for source in agent.get("sources", []):
        snapshot = source["tables"]["snapshot"]
        if source["freshness_seconds"] is not None:
            parts.append(f"{source['source']} 新鲜度 fresh [bold]{source['freshness_seconds']:.1f} s[/bold]")
        elif snapshot:
            one = snapshot[0]
            parts.append(f"{source['source']} 全量 snapshot {one['table']} {one['rows']:,}")
        else:
            parts.append(f"{source['source']} …")
    landed = centre.get("counters", {}).get("rows_landed", 0)
    return " │ ".join([*parts, f"已入库 landed [bold]{landed:,}[/bold] 行 rows"])


def _settle(stage: Stage) -> None:
    """Wait until all that was captured after this moment's scans has its receipt and has landed."""
    since = time.time_ns() // 1000
    wait_for(lambda: stage.settled_since(since), SETTLE_SECONDS, "the last changes did not arrive")


def _compare(stage: Stage, database: Path, folder: Path) -> int:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.compare"),
            *(f"his=sqlite:///{database}", f"exports={folder}", "--data-dir", str(stage.data_dir)),
            *("--query-command", stage.query_command(), "--require-query"),
        ],
        check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    if done.returncode == 0:
        console.print(
            "[bold green]医院与数据湖逐键逐列一致。Source and lake are equal, key by key.[/bold green]"
        )
        console.print(f"   {stage.central('tables').splitlines()[0].split('  ')[0]}", markup=False)
        console.print(
            "   停止前可继续查询 look further: central-ingest query "
            f"'SELECT … FROM current.\"…\"' --config {stage.centre_config}",
            markup=False,
        )
    else:
        console.print("[bold red]存在差异！Source and lake differ![/bold red]")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
