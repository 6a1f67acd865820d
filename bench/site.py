"""A hospital and a centre as processes over a mosquitto, everything on: TLS, client certificates, access rules.

As docs/operating.md and deploy/broker/README.md have it, by command lines alone; what is said of the demo's stage holds
here too. Broker, centre and agent can be kept to chosen cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from demo.stage import SITE, Stage, program_path
from tests.servers import Mosquitto, free_port

from .processes import Usage, pinned, usage_of

_CERTIFICATES = Path(__file__).parents[1] / "deploy" / "broker" / "certificates.sh"
_POLL_SECONDS = 0.005
Setting = str | float | list[str]


class Site(Stage):
    """Set up below `root` for one source `his` at `url`; nothing runs at the source before `start_agent`."""

    def __init__(self, root: Path, loop: asyncio.AbstractEventLoop, cores: set[int] | None = None) -> None:
        self._loop = loop
        self.port = free_port()
        super().__init__(root, self.port)
        self._cores = cores
        self._ca, self._etc = root / "ca", root / "mosquitto"
        self._broker = Mosquitto(root / "run", port=self.port, whole=self._etc / "mosquitto.conf")

    @property
    def lake(self) -> Path:
        return self.data_dir / "lake"

    @property
    def spool(self) -> Path:
        return self.root / "edge" / "spool" / "spool.sqlite"

    async def set_up_all(self, place: str, **settings: Setting) -> None:
        """Up to the moment when the agent may run. `place`: a database's URL, or a folder; `settings` stand in the
        source's section."""
        await asyncio.to_thread(self._set_up_centre)
        await self._broker.start()
        if self._cores is not None:
            os.sched_setaffinity(self.pid("broker"), self._cores)
        self.start_centre()
        await asyncio.to_thread(self._set_up_agent, place, settings)

    def _set_up_centre(self) -> None:
        for what in (["authority"], ["server", "localhost"], ["centre"]):
            self._certify(self._ca, *what)
        self._etc.mkdir()
        for name in ("ca.pem", "server.pem", "server.key"):
            (self._etc / name).write_bytes((self._ca / name).read_bytes())
        self.central("init", "--data-dir", str(self.data_dir))
        self._fill_in(
            self.centre_config,
            "broker",
            url=f"mqtts://localhost:{self.port}",
            ca_file=self._ca / "ca.pem",
            cert_file=self._ca / "centre.pem",
            key_file=self._ca / "centre.key",
        )
        self.central("broker-config", "--output", str(self._etc))

    def _set_up_agent(self, place: str, settings: dict[str, Setting]) -> None:
        state = ["--state-dir", str(self.root / "edge")]
        kind = "--url" if "://" in place else "--folder"
        said = self.agent("init", *state, "--source", "his", kind, place, "--include", "*")
        (agent,) = re.findall(r"\b[0-9a-f]{32}\b", said)
        hospital = self.root / "hospital"
        self._certify(hospital, "request", agent)
        (self._ca / f"{agent}.csr").write_bytes((hospital / f"{agent}.csr").read_bytes())
        self._certify(self._ca, "sign", f"{agent}.csr")
        (hospital / f"{agent}.pem").write_bytes((self._ca / f"{agent}.pem").read_bytes())
        files = {"cert_file": hospital / f"{agent}.pem", "key_file": hospital / f"{agent}.key"}
        self._fill_in(self.agent_config, "link", **files)
        self._fill_in(self.agent_config, "sources.his", **settings)
        self.agent("enrol", self.central("invite", SITE).strip())

    @staticmethod
    def _certify(folder: Path, *arguments: str) -> None:
        folder.mkdir(exist_ok=True)
        subprocess.run(["sh", str(_CERTIFICATES), *arguments], check=True, cwd=folder, capture_output=True)

    @staticmethod
    def _fill_in(config: Path, section: str, **values: Setting | Path) -> None:
        """Keys of a section, in place of those that stand there."""
        before, heading, rest = config.read_text("utf-8").partition(f"[{section}]\n")
        body, mark, after = rest.partition("\n[")
        kept = [line for line in body.split("\n") if line.partition(" =")[0] not in values]
        given = [f"{key} = {_toml(value)}" for key, value in values.items()]
        config.write_text("".join((before, heading, "\n".join([*given, *kept]), mark, after)), "utf-8")

    def start_centre(self) -> None:
        self._start("centre", "central-ingest", "run", "--config", str(self.centre_config))

    def start_module(self, name: str, module: str, *arguments: str) -> None:
        """A process of the bench's own in the agent's place, with the allocator that `edge-agent` chooses."""
        self._spawn(name, [sys.executable, "-m", module, *arguments], ARROW_DEFAULT_MEMORY_POOL="system")

    def _start(self, name: str, program: str, *arguments: str) -> None:
        self._spawn(name, [program_path(program), *arguments])

    def _spawn(self, name: str, command: list[str], **settings: str) -> None:
        with (self.root / f"{name}.log").open("ab") as log:
            environment = {**os.environ, "PYTHONUTF8": "1", **settings}
            self._processes[name] = subprocess.Popen(
                pinned(command, self._cores), stdout=log, stderr=log, env=environment
            )

    def pid(self, name: str) -> int:
        if name == "broker":
            assert self._broker._process is not None
            return self._broker._process.pid
        return self._processes[name].pid

    def usages(self) -> dict[str, Usage]:
        """Of everything that runs now."""
        broker = [] if self._broker._process is None else ["broker"]
        return {name: usage_of(self.pid(name)) for name in [*self._processes, *broker]}

    def end_link(self) -> None:
        """Nothing travels any more: broker and centre have gone."""
        self.stop("centre")
        self._loop.run_until_complete(self._broker.kill())

    async def end(self) -> None:
        await asyncio.to_thread(self.close)
        await self._broker.kill()

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> float:
        """Poll closely until it holds, and give the monotonic time of then. Raises RuntimeError after `seconds`, or
        where a process has died."""
        give_up = time.monotonic() + seconds
        look_at = time.monotonic() + 1
        while not condition():
            now = time.monotonic()
            if now > look_at:
                self.check_alive()
                look_at = now + 1
            if now > give_up:
                raise RuntimeError(f"nothing more came within {seconds:.0f} s")
            time.sleep(_POLL_SECONDS)
        return time.monotonic()


def _toml(value: Setting | Path) -> str:
    """JSON is TOML in these."""
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)


@contextlib.contextmanager
def site(root: Path, place: str, cores: set[int] | None = None, **settings: Setting) -> Iterator[Site]:
    """A site whose agent may be started; everything ends with the block."""
    loop = asyncio.new_event_loop()
    one = Site(root, loop, cores)
    try:
        loop.run_until_complete(one.set_up_all(place, **settings))
        yield one
    finally:
        loop.run_until_complete(one.end())
        loop.close()
