"""Real servers for tests: found, started on a free port under a temporary directory, stopped by process id.

A missing server skips the test by name; with GUICANG_REQUIRE_SERVERS=1 (CI) it fails instead. Also here: the
relay that stands for a network that breaks, and certificates made with the `openssl` command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

START_SECONDS_MAX = 10.0
SHARED = Path(__file__).parents[2] / "shared" / "datasets"
"""Public data sets beside the repository."""
_SBIN = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin"])


def require_server(program: str) -> str:
    """The path of `program`, or skip (fail where servers are required)."""
    path = shutil.which(program) or shutil.which(program, path=_SBIN)
    if path is None:
        if os.environ.get("GUICANG_REQUIRE_SERVERS") == "1":
            pytest.fail(f"{program} is not installed, and GUICANG_REQUIRE_SERVERS=1")
        pytest.skip(f"{program} is not installed")
    return path


def require_dataset(path: Path) -> Path:
    """`path`, a file of the data sets beside the repository, or skip (fail where servers are required)."""
    if not path.exists():
        if os.environ.get("GUICANG_REQUIRE_SERVERS") == "1":
            pytest.fail(f"{path.name} of the shared datasets is missing, and GUICANG_REQUIRE_SERVERS=1")
        pytest.skip(f"{path.name} of the shared datasets is missing")
    return path


def free_port() -> int:
    """A loopback TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, a server certificate for localhost, a client certificate."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path) -> Certificates:
    """A fresh authority under `folder` and what it signed."""
    openssl = require_server("openssl")
    folder.mkdir(parents=True, exist_ok=True)

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], check=True, cwd=folder, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run(
        "req",
        "-x509",
        *key,
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-days",
        "2",
        "-subj",
        "/CN=test authority",
    )
    for name, extension in (
        ("server", "subjectAltName=DNS:localhost"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        (folder / f"{name}.ext").write_text(extension + "\n")
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-out", f"{name}.pem", "-days", "2", "-extfile", f"{name}.ext"),
        )
    files = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
    return Certificates(*(folder / name for name in files))


@dataclass
class Mosquitto:
    """A mosquitto of our own. `options` are lines of its configuration file, after the listener; or `whole` is
    a configuration file to run as it stands, whose listener is on `port`."""

    folder: Path
    options: tuple[str, ...] = ("allow_anonymous true",)
    port: int = field(default_factory=free_port)
    whole: Path | None = None
    _process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and return when it accepts connections."""
        program = require_server("mosquitto")
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "mosquitto.conf"
        # As root it would change to an account that cannot read our folder; otherwise `user` is ignored.
        user = ("user root",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
        log = self.folder / "mosquitto.log"
        lines = [f"listener {self.port} 127.0.0.1", *self.options]
        if self.whole is not None:
            lines = self.whole.read_text("utf-8").splitlines()
        config.write_text("\n".join([*lines, *user]) + "\n", "utf-8")
        with log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                program, "-c", str(config), stdout=output, stderr=output
            )
        await self._wait_until_listening(log)

    async def _wait_until_listening(self, log: Path) -> None:
        assert self._process is not None
        async with asyncio.timeout(START_SECONDS_MAX):
            while True:
                if self._process.returncode is not None:
                    pytest.fail(f"mosquitto did not start: {_text(log)}")
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    await writer.wait_closed()
                    return
                await asyncio.sleep(0.02)

    def reload(self) -> None:
        """Tell it to read its files again, as `systemctl reload` does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._process = None


def _text(path: Path) -> str:
    return path.read_text()


class Relay:
    """A TCP relay on loopback that can break all that runs through it, or fall silent, as networks do."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._bytes_left: int | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    def cut(self) -> None:
        """Break every connection, with a reset and without a goodbye."""
        for writer in self._writers:
            writer.transport.abort()

    def stall(self) -> None:
        """Carry nothing until `resume`, while connections stay up."""
        self._flowing.clear()

    def stall_after(self, count: int) -> None:
        """Fall silent once that many more bytes were carried: in the middle of whatever is said then."""
        self._bytes_left = count

    async def stalled(self) -> None:
        """Until it has fallen silent."""
        while self._flowing.is_set():  # noqa: ASYNC110 (tests only, and an event would have to be inverted)
            await asyncio.sleep(0.005)

    def resume(self) -> None:
        self._bytes_left = None
        self._flowing.set()

    async def aclose(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._writers |= ends
        pumps = {
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer)),
        }
        self._tasks |= pumps
        await asyncio.wait(pumps)
        self._tasks -= pumps
        self._writers -= ends

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._flowing.wait()
                if self._bytes_left is not None:
                    self._bytes_left -= len(data)
                    if self._bytes_left <= 0:
                        self.stall()
                        await self._flowing.wait()
                writer.write(data)
                await writer.drain()
            writer.close()
        except OSError:
            writer.transport.abort()
