"""Both ends as processes over a mosquitto with TLS and client certificates, set up word for word as
docs/operating.md and deploy/broker/README.md say: nothing here knows more than the two operators do."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.stage import SITE, Stage, wait_for
from tests.servers import Mosquitto, free_port, require_server

CERTIFICATES = Path(__file__).parents[2] / "deploy" / "broker" / "certificates.sh"
SECONDS = 60.0


def certify(folder: Path, *arguments: str) -> None:
    folder.mkdir(exist_ok=True)
    subprocess.run(["sh", str(CERTIFICATES), *arguments], check=True, cwd=folder, capture_output=True)


def fill_in(config: Path, section: str, **values: str | Path) -> None:
    """Keys below the heading of a section, where the sample has them as comments."""
    lines = "".join(f'{key} = "{value}"\n' for key, value in values.items())
    text = config.read_text("utf-8")
    assert text.count(f"[{section}]\n") == 1
    config.write_text(text.replace(f"[{section}]\n", f"[{section}]\n{lines}"), "utf-8")


class TlsStage(Stage):
    """The hospital and the centre with a folder each for what is theirs, and the broker's folder."""

    def __init__(self, root: Path) -> None:
        self.port = free_port()
        super().__init__(root, self.port)
        self.ca, self.hospital, self.etc = root / "ca", root / "hospital", root / "mosquitto"
        self.broker = Mosquitto(root / "run", port=self.port, whole=self.etc / "mosquitto.conf")

    def set_up_centre(self) -> None:
        certify(self.ca, "authority")
        certify(self.ca, "server", "localhost")
        certify(self.ca, "centre")
        self.etc.mkdir()
        for name in ("ca.pem", "server.pem", "server.key"):
            (self.etc / name).write_bytes((self.ca / name).read_bytes())
        self.central("init", "--data-dir", str(self.data_dir))
        fill_in(
            self.centre_config,
            "broker",
            url=f"mqtts://localhost:{self.port}",
            ca_file=self.ca / "ca.pem",
            cert_file=self.ca / "centre.pem",
            key_file=self.ca / "centre.key",
        )
        self.central("broker-config", "--output", str(self.etc))

    def set_up_hospital(self, database: Path) -> None:
        said = self.agent(
            "init",
            *("--state-dir", str(self.root / "edge"), "--source", "his"),
            *("--url", f"sqlite:///{database}", "--include", "*"),
        )
        (agent,) = re.findall(r"\b[0-9a-f]{32}\b", said)
        certify(self.hospital, "request", agent)
        (self.ca / f"{agent}.csr").write_bytes((self.hospital / f"{agent}.csr").read_bytes())
        certify(self.ca, "sign", f"{agent}.csr")
        (self.hospital / f"{agent}.pem").write_bytes((self.ca / f"{agent}.pem").read_bytes())
        fill_in(
            self.agent_config,
            "link",
            cert_file=self.hospital / f"{agent}.pem",
            key_file=self.hospital / f"{agent}.key",
        )

    def start_centre(self) -> None:
        self._start("centre", "central-ingest", "run", "--config", str(self.centre_config))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[TlsStage]:
    require_server("mosquitto")
    require_server("openssl")
    loop = asyncio.new_event_loop()
    one = TlsStage(tmp_path)
    one.set_up_centre()
    loop.run_until_complete(one.broker.start())
    try:
        one.start_centre()
        yield one
    finally:
        one.close()
        loop.run_until_complete(one.broker.kill())
        loop.close()


def test_from_nothing_to_rows_in_the_lake(stage: TlsStage) -> None:
    database = stage.root / "his.db"
    with sqlite3.connect(database) as db:
        db.execute("CREATE TABLE visit (id INTEGER PRIMARY KEY, name TEXT)")
        db.executemany("INSERT INTO visit VALUES (?, ?)", [(1, "张三"), (2, "李四")])
    stage.set_up_hospital(database)
    stage.agent("enrol", stage.central("invite", SITE).strip())
    stage.start_agent()
    wait_for(lambda: stage.centre_status().get("streams"), SECONDS, "the centre knows of no stream")
    wait_for(lambda: stage.centre_status()["counters"]["rows_landed"] >= 2, SECONDS, "nothing landed")
    out = stage.root / "out.csv"
    stage.central(
        "query", f'SELECT id, name FROM current."{SITE}.his.visit" ORDER BY id', "--output", str(out)
    )
    assert out.read_text("utf-8").split() == ['"id","name"', '1,"张三"', '2,"李四"']
    assert stage.centre_status()["broker"]["connected"]
    assert stage.agent_status()["link"]["centre_online"]
