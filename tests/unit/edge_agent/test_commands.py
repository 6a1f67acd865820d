"""The commands, run as a person runs them: what they write, what they say, and how they end."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from edge_agent import commands, control
from edge_agent.config import load
from edge_agent.control import Request
from edge_agent.identity import StateDir
from protocol import VERSION
from protocol.errors import Permanent

Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = tmp_path / "his.db"
    with sqlite3.connect(path) as connection:
        connection.execute('CREATE TABLE "门诊[/明细]"(id INTEGER PRIMARY KEY, v TEXT)')
        connection.execute("CREATE TABLE log(v TEXT)")
        connection.execute("INSERT INTO log VALUES('a')")
    connection.close()
    return f"sqlite:///{path}"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    def run(*arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        monkeypatch.setattr(sys, "argv", ["edge-agent", *arguments])
        monkeypatch.setattr(commands, "console", Console(width=400))
        monkeypatch.setattr(commands, "errors", Console(stderr=True, width=40))
        with pytest.raises(SystemExit) as ended:
            commands.run()
        captured = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, captured.out, captured.err

    return run


@pytest.fixture
def config(tmp_path: Path, database: str, ran: Ran) -> Path:
    path = tmp_path / "etc" / "agent.toml"
    code, _, err = ran(
        "init",
        "--config",
        str(path),
        "--state-dir",
        str(tmp_path / "state"),
        "--url",
        database,
        "--include",
        "log",
    )
    assert (code, err) == (0, "")
    return path


def test_init_writes_configuration_and_key_and_lists_tables(tmp_path: Path, database: str, ran: Ran) -> None:
    path = tmp_path / "agent.toml"
    code, out, _ = ran("init", "--config", str(path), "--state-dir", str(tmp_path / "s"), "--url", database)
    assert code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = load(path)
    assert loaded.sources["his"].include == (), "nothing is captured until a person says so"
    assert StateDir(tmp_path / "s").identity().agent in out
    assert "门诊[/明细]  (2 列 columns" in out
    assert "edge-agent enrol TOKEN" in out


def test_init_overwrites_nothing(config: Path, ran: Ran) -> None:
    before = config.read_bytes()
    code, _, err = ran("init", "--config", str(config), "--url", "sqlite:///other.db")
    assert (code, "GC-1005" in err) == (78, True)
    assert config.read_bytes() == before


def test_init_leaves_no_file_that_does_not_load(tmp_path: Path, ran: Ran) -> None:
    path = tmp_path / "agent.toml"
    code, _, err = ran("init", "--config", str(path), "--source", "HIS 1", "--url", "sqlite:///x.db")
    assert code == 78
    assert "GC-100" in err
    assert not path.exists()


def test_check_says_which_way_and_what_it_guarantees(config: Path, ran: Ran) -> None:
    code, out, _ = ran("check", "--json", "--config", str(config))
    assert code == 0
    facts = {one["table"]: one for one in json.loads(out)}
    assert {name: (one["included"], one["key"], one["way"]) for name, one in facts.items()} == {
        "log": (True, [], "diff of the whole"),
        "门诊[/明细]": (False, ["id"], "diff by key ranges"),
    }
    assert facts["log"]["guarantee"] == "multiset, found at the next scan"
    code, out, _ = ran("check", "his", "--config", str(config))
    assert code == 0
    assert "门诊[/明细]" in out
    assert "按主键分段比对 diff by key ranges" in out


def test_check_says_what_a_table_follows_and_what_it_cannot(config: Path, ran: Ran) -> None:
    lines = ['[sources.his.tables."门诊[/明细]"]', 'cursor = "id"', 'window = "nowhere"', "window_days = 3"]
    config.write_text("\n".join([config.read_text("utf-8"), *lines, ""]), "utf-8")
    code, out, _ = ran("check", "--json", "--config", str(config))
    assert code == 0
    facts = {one["table"]: one["follows"] for one in json.loads(out)}
    cursor, window = facts["门诊[/明细]"]
    assert (cursor["way"], cursor["column"], cursor["fault"]) == ("cursor", "id", None)
    assert (window["way"], window["fault"].partition(" ")[0]) == ("window", "GC-2020")
    assert facts["log"] == []
    code, out, _ = ran("check", "--config", str(config))
    assert code == 0
    assert "cursor id · 发现游标有变化的行，不发现删除" in out
    assert "GC-2020" in out


def test_check_points_at_a_pattern_that_fits_nothing(config: Path, ran: Ran) -> None:
    config.write_text(
        config.read_text("utf-8").replace('include = ["log"]', 'include = ["log", "lgo*"]'), "utf-8"
    )
    code, out, _ = ran("check", "--json", "--config", str(config))
    assert code == 0
    (one,) = [one for one in json.loads(out) if one["table"] == "lgo*"]
    assert (one["included"], one["way"], one["fault"].partition(" ")[0]) == (True, None, "GC-2044")
    code, out, _ = ran("check", "--config", str(config))
    assert (code, "GC-2044" in out) == (0, True)


def test_only_a_log_needs_the_sql_of_a_dba(config: Path, ran: Ran) -> None:
    code, out, err = ran("check", "his", "--sql", "--config", str(config))
    assert (code, out) == (64, "")
    assert 'kind = "postgres"' in " ".join(err.split())
    code, _, err = ran("check", "lis", "--sql", "--config", str(config))
    assert (code, "`sources.lis`" in err) == (78, True)
    text = config.read_text("utf-8").replace('kind = "sql"', 'kind = "postgres"')
    config.write_text(
        re.sub("^url = .*$", 'url = "postgresql://guicang@127.0.0.1:1/his"', text, flags=re.M), "utf-8"
    )
    for arguments in (["--sql"], ["his", "--sql", "--json"]):
        code, out, _ = ran("check", *arguments, "--config", str(config))
        assert (code, out) == (64, ""), "of one source, and SQL alone"
    code, out, err = ran("check", "his", "--sql", "--config", str(config))
    assert (code, out, "GC-2001" in err) == (1, "", True)


def test_a_database_has_no_folder_to_confirm(config: Path, tmp_path: Path, ran: Ran) -> None:
    code, _, err = ran("confirm", "his", "--config", str(config))
    assert (code, "name the table" in err) == (64, True)
    assert not list((tmp_path / "state").glob("requests/*"))


@pytest.mark.parametrize("command", ["check", "snapshot"])
def test_a_source_that_is_not_there(config: Path, ran: Ran, command: str) -> None:
    code, _, err = ran(command, "lis", "--config", str(config))
    assert code == 78
    assert "`sources.lis`" in err
    assert "no such source" in err


def test_requests_are_left_for_the_agent(config: Path, tmp_path: Path, ran: Ran) -> None:
    asked = (("snapshot", "his"), ("snapshot", "his", "log"), ("confirm", "his", "log"), ("pause", "his"))
    for arguments in (*asked, ("resume", "his")):
        code, out, _ = ran(*arguments, "--config", str(config))
        assert (code, "Asked for" in out) == (0, True)
    taken = set(control.take(tmp_path / "state" / "requests"))
    assert taken == {
        Request("snapshot", "his", None),
        Request("snapshot", "his", "log"),
        Request("confirm", "his", "log"),
        Request("pause", "his", None),
        Request("resume", "his", None),
    }


def test_running_and_enrolling_want_what_is_missing(config: Path, ran: Ran) -> None:
    code, _, err = ran("run", "--config", str(config))
    assert (code, "GC-3004" in err) == (78, True)
    code, _, err = ran("enrol", "no token", "--config", str(config))
    assert (code, "GC-7001" in err) == (78, True)


def test_a_missing_configuration_is_78(tmp_path: Path, ran: Ran) -> None:
    code, _, err = ran("check", "--config", str(tmp_path / "none.toml"))
    assert code == 78
    assert "GC-1001" in err
    assert str(tmp_path / "none.toml") in err, "a narrow terminal cuts nothing"


@pytest.mark.parametrize("arguments", [("frobnicate",), ("snapshot",), ("check", "--nonsense")])
def test_wrong_usage_is_64(ran: Ran, arguments: tuple[str, ...]) -> None:
    code, out, err = ran(*arguments)
    assert (code, out) == (64, "")
    assert err


def test_status_ends_with_its_own_code(config: Path, ran: Ran) -> None:
    code, out, _ = ran("status", "--json", "--config", str(config))
    assert (code, json.loads(out)["running"]) == (2, False)


def test_version(ran: Ran) -> None:
    assert ran("version") == (0, f"edge-agent {VERSION}\n", "")
    assert json.loads(ran("version", "--json")[1]) == {"version": VERSION}


def test_what_looks_like_markup_is_told_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    commands.tell(Permanent("GC-1003", path="/etc/[/a].toml", key="k[bold]", problem="pattern '^[a-z0-9-]$'"))
    err = capsys.readouterr().err
    for part in ("/etc/[/a].toml", "`k[bold]`", "'^[a-z0-9-]$'"):
        assert err.count(part) == 2, "in both languages"
