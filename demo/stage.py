"""The stage of the demonstration: both products as they are installed, each a process, on loopback.

It uses nothing but their command lines and the files that they document (`status.json`), as a person would.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SITE = "440100-001"
SITE_NAME = "广州市第一示范医院"
_STOP_SECONDS = 20


class Stage:
    """One centre and one hospital's agent below `root`; the broker is inside the centre unless `broker_port`
    names another one on loopback. Further hospitals of the centre are stages `beside` its own."""

    def __init__(self, root: Path, broker_port: int | None = None, site: str = SITE) -> None:
        self.root = root
        self.site = site
        self.data_dir = root / "centre"
        self.centre_config = root / "central.toml"
        self.agent_config = root / "agent.toml"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._embedded = broker_port is None
        self._port = broker_port or _free_port()

    @classmethod
    def beside(cls, centre: Stage, root: Path, site: str) -> Stage:
        """Another hospital, with its agent below `root`, of the same centre; that one starts and stops it."""
        stage = cls(root, centre._port, site)
        stage.data_dir, stage.centre_config = centre.data_dir, centre.centre_config
        root.mkdir()
        return stage

    def set_up(self, database: Path, folder: Path) -> None:
        """A database and a folder of exported files."""
        self.found(f"sqlite:///{database}", _exports(folder))

    def found(self, url: str, other_sources: str, settings: Sequence[str] = ()) -> None:
        """What the two operators type, up to the moment when the agent may run. `url` is the database `his`, with
        further `settings` of its own; `other_sources` stand below it in the agent's configuration."""
        self.found_centre()
        self.start_centre()
        self.join(url, other_sources, settings)

    def found_centre(self, settings: Sequence[tuple[str, str]] = ()) -> None:
        """A centre that does not run yet. `settings` are sections of its configuration, each with a line."""
        self.central("init", "--data-dir", str(self.data_dir))
        _edit(self.centre_config, "[broker]", f'url = "mqtt://127.0.0.1:{self._port}"')
        if self._embedded:
            _edit(self.centre_config, "[broker]", f'listen = "127.0.0.1:{self._port}"')
        for section, line in settings:
            _edit(self.centre_config, section, line)

    def join(self, url: str, other_sources: str = "", settings: Sequence[str] = ()) -> None:
        """The hospital's agent, enrolled at a centre that runs."""
        pace = ("scan_interval_seconds = 0.5", "duty_share_max = 0.8")
        self._join("his", "门诊信息系统", ("--url", url), (*pace, *settings), other_sources)

    def join_share(self, folder: Path, settings: Sequence[str], rules: str) -> None:
        """The same with the folder `share` as its only source; `rules` say how its files are read."""
        self._join("share", "共享文件夹", ("--folder", str(folder)), settings, rules)

    def _join(self, slug: str, name: str, place: tuple[str, str], settings: Sequence[str], more: str) -> None:
        token = self.central("invite", self.site, "--name", SITE_NAME).strip()
        self.agent(
            "init",
            *("--state-dir", str(self.root / "edge"), "--source", slug, "--name", name),
            *(*place, "--include", "*"),
        )
        for setting in settings:
            _edit(self.agent_config, f"[sources.{slug}]", setting)
        with self.agent_config.open("a", encoding="utf-8") as file:
            file.write(more)
        self.agent("enrol", token)

    def start_centre(self) -> None:
        broker = ("--embedded-broker",) if self._embedded else ()
        self._start("centre", "central-ingest", "run", *broker, "--config", str(self.centre_config))

    def start_agent(self) -> None:
        self._start("agent", "edge-agent", "run", "--config", str(self.agent_config))

    def central(self, *arguments: str) -> str:
        return _run("central-ingest", *arguments, "--config", str(self.centre_config))

    def agent(self, *arguments: str) -> str:
        return _run("edge-agent", *arguments, "--config", str(self.agent_config))

    def query_command(self) -> str:
        """For `tests.compare --query-command`."""
        program = program_path("central-ingest")
        return f"{program} query {{sql}} --output {{out}} --config {self.centre_config}"

    def agent_status(self) -> dict[str, Any]:
        return _read(self.root / "edge" / "status.json")

    def centre_status(self) -> dict[str, Any]:
        return _read(self.data_dir / "status.json")

    def settled_since(self, since: int) -> bool:
        """Whether every source was scanned completely after `since` (UTC microseconds), and all that was found
        has its receipt and has landed."""
        self.check_alive()
        agent, centre = self.agent_status(), self.centre_status()
        sources = agent.get("sources", [])
        if not sources or not centre:
            return False
        fresh = all((s["fresh_as_of"] or 0) > since and not s["backlog_bytes"] for s in sources)
        sent = {s["source"]: s["head_seq"] for s in sources}
        got = {s["source"]: s["seq"] for s in centre["streams"] if s["site"] == self.site}
        waiting = centre["journal"]["not_landed_bytes"] or centre["landing"]["pending_rows"]
        return fresh and sent == got and not waiting and centre["time"] > agent["time"]

    def check_alive(self) -> None:
        """Raises RuntimeError with the end of its log where a process has died."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = (self.root / f"{name}.log").read_text("utf-8", "replace")
                raise RuntimeError(f"{name} ended with {process.returncode}:\n{log[-2000:]}")

    def kill(self, name: str) -> None:
        """SIGKILL, as a power cut would: `agent` or `centre`."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> int:
        """SIGTERM, as an operator's `systemctl stop` would; the exit code."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def close(self) -> None:
        """Stop what still runs, the agent first."""
        for name in ("agent", "centre"):
            if name in self._processes:
                self.stop(name)

    def _start(self, name: str, program: str, *arguments: str) -> None:
        log = (self.root / f"{name}.log").open("ab")
        with log:
            self._processes[name] = subprocess.Popen(
                [program_path(program), *arguments], stdout=log, stderr=log, env=_environment()
            )


def program_path(name: str) -> str:
    """The program as installed beside this interpreter."""
    return str(Path(sys.executable).parent / name)


def wait_for(condition: Any, seconds: float, what: str) -> None:
    """Poll until `condition()` is true. Raises RuntimeError naming `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.2)


def _run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [program_path(program), *arguments], capture_output=True, text=True, check=False, env=_environment()
    )
    if done.returncode not in (0, 1, 2):
        raise RuntimeError(f"{program} {arguments[0]} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUTF8": "1"}


def _exports(folder: Path) -> str:
    return f"""
[sources.exports]
kind = "files"
name = "导出文件夹"
folder = {json.dumps(str(folder), ensure_ascii=False)}
include = ["*"]
scan_interval_seconds = 0.5
duty_share_max = 0.8
stable_seconds = 0.5
"""


def _edit(path: Path, section: str, line: str) -> None:
    """Set a key in a section, in place of its commented default."""
    key = line.partition(" ")[0]
    lines = path.read_text("utf-8").splitlines()
    start = lines.index(section)
    for i in range(start + 1, len(lines)):
        if lines[i].lstrip("# ").startswith(f"{key} ="):
            lines[i] = line
            break
    else:
        lines.insert(start + 1, line)
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return document
    except (OSError, ValueError):
        return {}


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port
