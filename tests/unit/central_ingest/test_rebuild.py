"""`central-ingest rebuild` on a data directory: what it takes, what it says, and who must not run beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from central_ingest import commands
from central_ingest.config import Config, load
from central_ingest.journal.files import FileJournal
from central_ingest.keystore import KeyStore
from central_ingest.landing.delta import DeltaLake
from central_ingest.ledger.ledger import Ledger, StreamRecord
from protocol.envelope import Kind

from .journal.small_journal import flip, segments
from .sender import OTHER_STREAM, SITE, SITE_KEY, STREAM, VISITS, Sender, a_batch

Run = Callable[..., int]


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    """A journal of two streams with a table each, and no lake."""
    path = tmp_path / "central.toml"
    path.write_text(f"config_version = 1\ndata_dir = {json.dumps(str(tmp_path / 'data'))}\n")
    config = load(path)
    KeyStore(config.keys_dir).create()
    KeyStore(config.keys_dir).create_site(SITE)
    (config.keys_dir / "sites" / f"{SITE}.key").write_text(SITE_KEY.to_text())
    journal, ledger = FileJournal.open(config.journal_dir), Ledger.open(config.ledger_address)
    for number, stream in enumerate((STREAM, OTHER_STREAM), start=1):
        one = Sender(number, stream)
        ledger.begin_epoch(stream, 1, one.agent, 1, 0)
        journal.append(1, [one.send(Kind.SCHEMA, VISITS.content)])
        journal.append(2, [one.send(Kind.BATCH, a_batch(VISITS, [1, 2]))])
        ledger.save_heads([StreamRecord(stream, one.agent, one.head, 0)], journal.end)
    journal.close()
    ledger.close()
    return config


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str) -> int:
        config = ["--config", str(tmp_path / "central.toml")]
        monkeypatch.setattr(sys, "argv", ["central-ingest", "rebuild", *arguments, *config])
        monkeypatch.setattr(commands.console, "width", 200)
        with pytest.raises(SystemExit) as caught:
            commands.run()
        return int(caught.value.code or 0)

    return command


def facts(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_by_name_of_a_table_of_a_source_or_all(
    loaded: Config, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ALL", "--json") == 0
    both = facts(capsys)
    assert [one["rows"] for one in both] == [2, 2]
    assert both[0]["from"] == {"epoch": 1, "seq": 1, "received": 1}
    assert sorted(DeltaLake(loaded.lake_dir).tables()) == sorted(one["path"] for one in both)
    assert run(str(OTHER_STREAM)) == 0
    assert "built anew" in capsys.readouterr().out
    printed = "h1.his.db.visits"
    assert run(printed, "--json") == 0
    assert [one["table"] for one in facts(capsys)] == [printed]
    assert run("h1.his.db.nothing") == 78
    assert "GC-6076" in capsys.readouterr().err
    ledger = Ledger.open(loaded.ledger_address)
    assert [what for _, _, what in ledger.audits()] == [
        "rebuild ALL",
        f"rebuild {OTHER_STREAM}",
        f"rebuild {printed}",
    ]
    ledger.close()


def test_not_beside_a_daemon(loaded: Config, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    journal = FileJournal.open(loaded.journal_dir)
    assert run("ALL") == 78
    assert "GC-1006" in capsys.readouterr().err
    journal.close()


def test_what_is_incomplete_is_refused_by_name(
    loaded: Config, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(segments(loaded.journal_dir)[0], 8_192 + 100)
    assert run("ALL") == 78
    said = capsys.readouterr().err
    assert "GC-6073" in said
    assert str(STREAM) in said
    assert "1/1 to 1 are missing" in said
    assert dict(DeltaLake(loaded.lake_dir).tables()) == {}
    assert run("ALL", "--from-snapshot", "--json") == 1
    assert [one["fault"] and one["fault"]["code"] for one in facts(capsys)] == ["GC-6077", None]
