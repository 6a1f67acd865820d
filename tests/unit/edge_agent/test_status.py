"""`edge-agent status`: what a person sees, in both languages, the exit codes, and that it loads next to nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edge_agent import status
from edge_agent.health import FORMAT
from protocol.errors import Rejected, Transient

SOURCE: dict[str, Any] = {
    "source": "his",
    "name": "门诊系统",
    "kind": "sql",
    "healthy": True,
    "freshness_seconds": 3.21,
    "fresh_as_of": 1,
    "epoch": 1,
    "head_seq": 9,
    "receipted_seq": 9,
    "backlog_envelopes": 1_234,
    "backlog_bytes": 5 << 20,
    "refused": None,
    "fault": None,
    "tables": {"total": 3, "following": 2, "snapshot": [], "rows": 1_000_000},
    "faults": [],
}
HEALTHY: dict[str, Any] = {
    "format": FORMAT,
    "time": 0,
    "version": "0.1.0",
    "agent": "0123456789abcdef" * 2,
    "site": "H1",
    "broker": "mqtts://centre:8883",
    "healthy": True,
    "link": {"connected": True, "centre_online": True, "fault": None},
    "spool": {"recovered": None},
    "sources": [SOURCE],
}


def shown(said: dict[str, Any] | None, age: float | None = 1.0, *, colour: bool = False) -> str:
    return "\n".join(status.render(said, age, colour=colour))


def test_healthy_is_said_first_and_then_how_fresh() -> None:
    text = shown(HEALTHY)
    lines = text.splitlines()
    assert lines[0] == "● 正常 HEALTHY   v0.1.0"
    assert lines[1] == "  机构 site H1   代理 agent 01234567…"
    assert "his 门诊系统" in text
    assert "3.2 s 前 ago" in text
    assert "2/3 跟踪中 following，1,000,000 行 rows" in text
    assert "1,234 个信封 envelopes，5.0 MiB" in text
    assert "mqtts://centre:8883  中心在线 centre online" in text
    assert "\x1b" not in text
    assert "\x1b[32m" in shown(HEALTHY, colour=True)


def test_what_is_polled_says_when_it_was_last_and_only_of_the_oldest() -> None:
    tables = [
        {
            "table": f"public.门诊{i}",
            "ways": ["poll", "window"],
            "scan": None,
            "poll": at,
            "window": 1_000_000,
        }
        for i, at in enumerate((None, 2_000_000, 8_000_000, 9_000_000))
    ]
    source = SOURCE | {"followed": tables, "tables": SOURCE["tables"] | {"followed": 24}}
    text = shown(HEALTHY | {"time": 10_000_000, "sources": [source]})
    lines = [
        line.strip()
        for line in text.splitlines()
        if any(w in line for w in ("public", "poll ", "more recent"))
    ]
    assert lines == [
        "跟随 followed       public.门诊0",
        "轮询 poll 尚未 not yet，窗口 window 9.0 s 前 ago",
        "跟随 followed       public.门诊1",
        "轮询 poll 8.0 s 前 ago，窗口 window 9.0 s 前 ago",
        "跟随 followed       public.门诊2",
        "轮询 poll 2.0 s 前 ago，窗口 window 9.0 s 前 ago",
        "另有 21 张更近 and 21 tables more recent",
    ]


def test_values_stand_below_each_other_although_chinese_is_wide() -> None:
    rows = [line for line in status.render(HEALTHY, 1.0, colour=False) if line.startswith("    ")]

    def column(line: str) -> int:
        label, _, _ = line.partition(next(v for v in ("3.2 s", "2/3", "1,234") if v in line))
        return sum(2 if ord(c) > 0x2E80 else 1 for c in label)

    assert len({column(line) for line in rows}) == 1


@pytest.mark.parametrize(("said", "age"), [(None, None), (None, 1.0)])
def test_an_agent_that_never_ran(said: dict[str, Any] | None, age: float | None) -> None:
    assert shown(said, age).startswith("● 未运行 NOT RUNNING\n")
    assert "edge-agent run" in shown(said, age)


@pytest.mark.parametrize("age", [11.0, 90_000.0, -11.0])
def test_an_agent_that_stopped(age: float) -> None:
    first = shown(HEALTHY, age).splitlines()[0]
    assert "未运行 NOT RUNNING" in first
    assert "1970" in first
    assert "门诊系统" in shown(HEALTHY, age), "what was known last is still of use"


def degraded(**of_source: Any) -> dict[str, Any]:
    return HEALTHY | {"healthy": False, "sources": [SOURCE | {"healthy": False} | of_source]}


def test_degraded_says_what_and_what_to_do() -> None:
    fault = {"table": "visit"} | Rejected("GC-2005", table="visit").as_json()
    text = shown(degraded(faults=[fault], fault=Transient("GC-3005", source="his").as_json()))
    assert text.startswith("● 需要关注 DEGRADED")
    for each in (fault, Transient("GC-3005", source="his").as_json()):
        for part in ("code", "what", "what_zh", "todo", "todo_zh"):
            assert each[part] in text


def test_a_first_capture_and_a_refusal() -> None:
    tables = SOURCE["tables"] | {
        "snapshot": [
            {"table": "his.visit", "rows": 5_000, "rows_estimate": 20_000},
            {"table": "his.item", "rows": 1, "rows_estimate": None},
        ]
    }
    text = shown(degraded(freshness_seconds=None, tables=tables, refused="GC-5003"))
    assert "尚未完成首次采集 first capture not complete" in text
    assert "his.visit  5,000 / ≈20,000 行 rows" in text
    assert "his.item  1 行 rows" in text
    assert "中心拒绝 refused by the centre: GC-5003" in text


def test_the_line_and_the_spool() -> None:
    away = HEALTHY | {"healthy": False, "link": {"connected": True, "centre_online": False, "fault": None}}
    assert "已连接，中心不在线 connected, centre away" in shown(away)
    fault = Transient("GC-4001", broker="b", reason="refused").as_json()
    down = HEALTHY | {"healthy": False, "link": {"connected": False, "centre_online": False, "fault": fault}}
    assert "未连接 not connected" in shown(down)
    assert "GC-4001" in shown(down)
    assert "/spool.damaged" in shown(HEALTHY | {"spool": {"recovered": "/spool.damaged"}})


def test_durations_and_sizes_for_people() -> None:
    spans = {0.04: "0.0 s", 59.94: "59.9 s", 60: "1 min", 3_599: "59 min", 7_500: "2 h 5 min"}
    assert {seconds: status.span(seconds) for seconds in spans} == spans
    assert status.span(76 * 3_600) == "3 d 4 h"
    sizes = {0: "0 B", 1_023: "1023 B", 1_024: "1.0 KiB", 5 << 20: "5.0 MiB", 3 << 40: "3072.0 GiB"}
    assert {count: status.size(count) for count in sizes} == sizes


# the command


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(f"config_version = 1\n[agent]\nstate_dir = {json.dumps(str(tmp_path))}\n", "utf-8")
    return path


def write(config: Path, said: Any, age: float = 0.0) -> None:
    if isinstance(said, dict) and "time" in said:
        said = said | {"time": int((time.time() - age) * 1e6)}
    (config.parent / "status.json").write_text(json.dumps(said), "utf-8")


@pytest.mark.parametrize(
    ("said", "age", "code"),
    [
        (HEALTHY, 0.0, 0),
        (HEALTHY | {"healthy": False}, 0.0, 1),
        (HEALTHY, 60.0, 2),
        (HEALTHY, -60.0, 2),
        (None, 0.0, 2),
        ([], 0.0, 2),
        ({}, 0.0, 2),
        (HEALTHY | {"format": FORMAT + 1}, 0.0, 2),
    ],
    ids=["healthy", "degraded", "stopped", "clock set back", "null", "a list", "empty", "newer"],
)
def test_exit_codes(
    config: Path, capsys: pytest.CaptureFixture[str], said: Any, age: float, code: int
) -> None:
    write(config, said, age)
    assert status.main(["--json", "--config", str(config)]) == code
    told = json.loads(capsys.readouterr().out)
    assert (told["exit"], told["running"]) == (code, code < 2)
    assert status.main([f"--config={config}"]) == code
    assert capsys.readouterr().out.startswith("●")


def test_a_configuration_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        assert status.main(["--config", str(path)]) == 78
    (tmp_path / "bad.toml").write_text("[")
    assert status.main(["--config", str(tmp_path / "bad.toml")]) == 78
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("GC-1001") == 3


def test_the_environment_says_where_the_state_lies(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write(other / "agent.toml", HEALTHY)
    assert status.main(["--config", str(config)]) == 2
    monkeypatch.setenv("GUICANG_AGENT__STATE_DIR", str(other))
    assert status.main(["--config", str(config)]) == 0
    assert "HEALTHY" in capsys.readouterr().out


def test_it_answers_without_loading_the_agent(config: Path) -> None:
    write(config, HEALTHY)
    script = (
        "import sys, atexit\n"
        "heavy = ('typer', 'click', 'rich', 'pydantic', 'pyarrow', 'sqlalchemy', 'nacl', 'asyncio', 'protocol')\n"
        "atexit.register(lambda: print('loaded:', [n for n in heavy if n in sys.modules]))\n"
        "from edge_agent.cli import main\n"
        "sys.argv = ['edge-agent', 'status', '--config', sys.argv[1]]\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(config)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "loaded: []"
