"""The service units and what they name: programs, commands, options, directories and variables of the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import typer

import central_ingest.commands
import central_ingest.config
import edge_agent.commands
import edge_agent.config
from edge_agent import platform
from protocol.topics import CENTRE

from ..servers import require_server
from .test_docs import OPERATING, keys_of

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").rglob("*.service"))
DROP_INS = sorted((DEPLOY / "systemd").rglob("*.conf"))
EXPOSURE_TENTHS_MAX = 20
"""Of `systemd-analyze security`, whose scale ends at 100; "OK" ends at 49."""

CENTRAL, EDGE = "central-ingest", "edge-agent"
APPS = {CENTRAL: central_ingest.commands.app, EDGE: edge_agent.commands.app}
CONFIG_PATHS = {CENTRAL: central_ingest.config.DEFAULT_PATH, EDGE: platform.config_path()}
DIRECTORIES = {
    CENTRAL: central_ingest.config.Config(config_version=1).data_dir,
    EDGE: platform.state_dir(),
}
VARIABLES = {
    CENTRAL: ("GUICANG_CENTRE_", set(keys_of(central_ingest.config.Config))),
    EDGE: ("GUICANG_", set(keys_of(edge_agent.config.Config))),
}

units = pytest.mark.parametrize("unit", UNITS, ids=lambda p: p.stem)


def settings(file: Path) -> dict[str, list[str]]:
    """Key to values, in order; sections are told apart by systemd-analyze, below."""
    found: dict[str, list[str]] = {}
    for line in file.read_text("utf-8").splitlines():
        if line and line[0] not in "#[":
            key, equals, value = line.partition("=")
            assert equals, line
            found.setdefault(key, []).append(value)
    return found


def commands(app: typer.Typer) -> dict[str, Any]:
    """Command to its options."""
    group: Any = typer.main.get_command(app)
    return {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in group.commands.items()
    }


def test_there_is_a_unit_for_each_program() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert {unit.stem for unit in UNITS} == set(scripts) == set(APPS)


@units
def test_what_is_started_exists(unit: Path) -> None:
    (line,) = settings(unit)["ExecStart"]
    program, command, *arguments = line.split()
    assert PurePosixPath(program) == PurePosixPath("/opt/guicang/bin") / unit.stem
    known = commands(APPS[unit.stem])
    assert command in known
    assert {a for a in arguments if a.startswith("-")} <= known[command]
    assert arguments == ["--config", str(CONFIG_PATHS[unit.stem])]
    assert settings(unit)["ConditionPathExists"] == [str(CONFIG_PATHS[unit.stem])]


@units
def test_what_may_be_written_is_the_directory_of_the_program(unit: Path) -> None:
    said = settings(unit)
    (name,) = said["StateDirectory"]
    assert Path("/var/lib") / name == DIRECTORIES[unit.stem]
    assert said["ProtectSystem"] == ["strict"]
    assert said["NoNewPrivileges"] == ["true"]
    assert said["CapabilityBoundingSet"] == [""]
    assert "ReadWritePaths" not in said
    assert said["User"] != ["root"]


@units
def test_what_no_restart_can_mend_is_not_restarted(unit: Path) -> None:
    said = settings(unit)
    module = central_ingest.commands if unit.stem == CENTRAL else edge_agent.commands
    assert said["Restart"] == ["always"]
    assert said["RestartPreventExitStatus"] == [f"{module.EX_USAGE} {module.EX_CONFIG}"]


@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda p: p.parent.name)
def test_a_variable_that_is_set_is_a_key(drop_in: Path) -> None:
    prefix, keys = VARIABLES[drop_in.parent.name.removesuffix(".service.d")]
    said = settings(drop_in)
    credentials = {value.partition(":")[0] for value in said["LoadCredential"]}
    for assignment in said["Environment"]:
        name, _, value = assignment.partition("=")
        assert name.removeprefix(prefix).lower().replace("__", ".") in keys
        assert value.removeprefix("%d/") in credentials


@units
def test_systemd_understands_the_unit_and_finds_it_closed(unit: Path, tmp_path: Path) -> None:
    program = require_server("systemd-analyze")
    copy = tmp_path / unit.name
    # It asks whether the program exists, and here it need not.
    copy.write_text(re.sub(r"/opt/guicang/bin/\S+", "/bin/true", unit.read_text("utf-8")), "utf-8")
    drop_ins = unit.with_name(f"{unit.name}.d")
    if drop_ins.exists():
        shutil.copytree(drop_ins, tmp_path / drop_ins.name)
    done = subprocess.run(
        [program, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    subprocess.run(
        [program, "security", "--offline=true", f"--threshold={EXPOSURE_TENTHS_MAX}", str(copy)],
        check=True,
        capture_output=True,
    )


def shell_lines(page: Path) -> Iterator[str]:
    for block in re.findall(r"^```sh\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        yield from (line.partition("#")[0].strip() for line in block.splitlines())


@pytest.mark.parametrize(
    "page", [*sorted(DEPLOY.rglob("*.md")), *OPERATING], ids=lambda p: str(p.parent.name)
)
def test_commands_that_a_page_tells_to_type_exist(page: Path) -> None:
    script = (DEPLOY / "broker" / "certificates.sh").read_text("utf-8")
    verbs = set(re.findall(r"^    (\w+):[\d*]\) (?!usage)", script, re.MULTILINE))
    for line in shell_lines(page):
        if found := re.search(r"certificates\.sh (\w+)", line):
            assert found[1] in verbs, line
        if found := re.search(rf"\b({CENTRAL}|{EDGE}) ([a-z-]+)(.*)", line):
            known = commands(APPS[found[1]])
            assert found[2] in known, line
            assert set(re.findall(r"(?<= )--[a-z-]+", found[3])) <= known[found[2]], line


def test_the_script_signs_the_centre_under_its_name_in_the_rules() -> None:
    script = (DEPLOY / "broker" / "certificates.sh").read_text("utf-8")
    assert f"client_signed {CENTRE}\n" in script
