"""`central-ingest journal`: archives are proven by their files and the centre's key, and what was changed is named."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from central_ingest import commands
from central_ingest.config import load
from central_ingest.journal.archive import Notary, list_archives
from central_ingest.journal.files import FileJournal
from central_ingest.journal.frames import HEADER_BYTES
from central_ingest.keystore import KeyStore
from protocol.keys import to_base64
from protocol.signing import SUITE_1, SUITES

from .journal.small_journal import flip
from .sender import CENTRE, OTHER_STREAM, STREAM, Sender

Run = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A centre with three archives; a copy of them lies in `elsewhere`."""
    path = tmp_path / "central.toml"
    path.write_text(f"config_version = 1\ndata_dir = {json.dumps(str(tmp_path / 'data'))}\n")
    loaded = load(path)
    KeyStore(loaded.keys_dir).create()
    senders = [Sender(1, STREAM), Sender(2, OTHER_STREAM)]
    keys = {SUITE_1.key_id(one.signer.public): one.signer.public for one in senders}
    journal = FileJournal.open(
        loaded.journal_dir,
        segment_bytes_max=HEADER_BYTES + 4_000,
        notary=Notary.of(KeyStore(loaded.keys_dir).signer(), SUITES),
    )
    for number in range(36):
        journal.append(1_000 + number, [senders[number % 2].mark()])
    for at in (12, 24, 36):
        before = journal.end if at == 36 else list(journal.read())[at].offset
        assert journal.archive(before, 2**62, keys=keys, made=7, is_settled=lambda _: False) is not None
    journal.close()
    shutil.copytree(loaded.journal_dir / "archive", tmp_path / "elsewhere")
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
        monkeypatch.setattr(sys, "argv", ["central-ingest", "journal", *arguments, "--json"])
        with pytest.raises(SystemExit) as caught:
            commands.run()
        out = capsys.readouterr().out
        return int(caught.value.code or 0), json.loads(out) if out else []

    return command


def codes(facts: list[dict[str, Any]]) -> list[str | None]:
    return [one["fault"] and one["fault"]["code"] for one in facts]


def test_archives_are_listed_and_proven(config: Path, run: Run) -> None:
    code, facts = run("verify", "--config", str(config))
    assert (code, codes(facts)) == (0, [None] * 3)
    assert sum(one["manifest"]["envelopes"] for one in facts) <= 36
    assert [one["base"] for one in facts] == [0, facts[0]["end"], facts[1]["end"]]
    assert run("list", "--config", str(config)) == (0, facts)


def test_a_copy_is_proven_by_the_public_key_alone(config: Path, run: Run, tmp_path: Path) -> None:
    public = to_base64(KeyStore(load(config).keys_dir).signer().public)
    copies = [str(path) for path in sorted((tmp_path / "elsewhere").glob("*.gcj"))]
    shutil.rmtree(tmp_path / "data")
    code, facts = run("verify", *copies, "--key", public)
    assert (code, codes(facts)) == (0, [None] * 3)
    code, facts = run("verify", *copies, "--key", to_base64(CENTRE.public))
    assert (code, codes(facts)) == (1, ["GC-6072"] * 3)


def test_whatever_was_changed_is_named(config: Path, run: Run) -> None:
    archives = list_archives(load(config).journal_dir)
    flip(archives[1].path, HEADER_BYTES + 700)
    code, facts = run("verify", "--config", str(config))
    assert (code, codes(facts)) == (1, [None, "GC-6071", None])
    assert run("list", "--config", str(config))[0] == 0
    flip(archives[1].path, HEADER_BYTES + 700)
    flip(archives[1].manifest, 300)
    assert codes(run("list", "--config", str(config))[1]) == [None, "GC-6072", None]
    flip(archives[1].manifest, 300)
    archives[0].manifest.unlink()
    assert codes(run("verify", "--config", str(config))[1]) == ["GC-6072", None, None]


def test_one_that_was_put_in_the_place_of_another_is_found(config: Path, run: Run) -> None:
    """Each is signed and whole by itself."""
    first, second, third = list_archives(load(config).journal_dir)
    shutil.copy(third.path, second.path)
    shutil.copy(third.manifest, second.manifest)
    assert codes(run("verify", "--config", str(config))[1])[1] == "GC-6072"
    for path in (second.path, second.manifest):
        path.unlink()
    assert codes(run("verify", "--config", str(config))[1]) == [None, "GC-6071"]
    assert codes(run("verify", str(first.path), str(third.path), "--config", str(config))[1]) == [None, None]
    first.manifest.write_bytes(first.manifest.read_bytes() + b" ")
    assert codes(run("verify", "--config", str(config))[1])[0] == "GC-6072"


def test_one_that_was_given_up_is_known_by_its_manifest(config: Path, run: Run) -> None:
    list_archives(load(config).journal_dir)[0].path.unlink()
    code, facts = run("verify", "--config", str(config))
    assert (code, codes(facts), [one["kept"] for one in facts]) == (0, [None] * 3, [False, True, True])


def test_the_screen_says_it_in_words(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(list_archives(load(config).journal_dir)[2].path, HEADER_BYTES + 700)
    monkeypatch.setattr(sys, "argv", ["central-ingest", "journal", "verify", "--config", str(config)])
    with pytest.raises(SystemExit):
        commands.run()
    out = capsys.readouterr().out
    assert "GC-6071" in out
    assert "envelopes" in out
