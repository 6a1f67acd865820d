"""What the command line's rooms share: its consoles, its common options, the clock and who sits before it."""

from __future__ import annotations

import getpass
import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from .config import Config

RUNNING_SECONDS = 10.0

console = Console(emoji=False)
errors = Console(stderr=True, emoji=False)

ConfigOption = Annotated[Path, typer.Option("--config", help="配置文件 configuration file")]
JsonOption = Annotated[bool, typer.Option("--json", help="输出 JSON print facts as JSON")]


def wall() -> int:
    """UTC microseconds."""
    return time.time_ns() // 1000


def who() -> str:
    """The account at the terminal, for audit lines."""
    return getpass.getuser()


def print_json(facts: object) -> None:
    typer.echo(json.dumps(facts, ensure_ascii=False, indent=2))


def read_status(config: Config) -> tuple[dict[str, Any] | None, bool]:
    """What the daemon last said of itself, and whether it runs."""
    try:
        said: dict[str, Any] | None = json.loads(config.status_path.read_text("utf-8"))
    except (OSError, ValueError):
        said = None
    return said, said is not None and time.time() - said["time"] / 1e6 <= RUNNING_SECONDS
