"""Configuration: one sentence for a mistake, naming the key; a sample whose every default is the model's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from edge_agent import sample
from edge_agent.config import AgentSection, LinkSection, RemoteSection, SpoolSection, load, secret
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.settings import FilesSettings, SqlSettings
from protocol.errors import Permanent

SOURCE = '[sources.his]\nkind = "sql"\nurl = "sqlite:////his.db"\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(text, "utf-8")
    return path


MISTAKES = {
    "unknown key": ("config_version = 1\n[spool]\nbytes_mx = 1", "spool.bytes_mx", "no such key"),
    "unknown section": ("config_version = 1\n[spol]", "spol", "no such key"),
    "wrong type": ('config_version = 1\n[spool]\nbytes_max = "much"', "spool.bytes_max", "integer"),
    "too small": ("config_version = 1\n[spool]\nbytes_max = 1", "spool.bytes_max", "greater than"),
    "missing": ("", "config_version", "it is missing"),
    "later version": ("config_version = 2", "config_version", "less than or equal to 1"),
    "level": ('config_version = 1\n[agent]\nlog_level = "LOUD"', "agent.log_level", "DEBUG|INFO"),
    "command": ('config_version = 1\n[remote]\nallow = ["shell"]', "remote.allow.0", "snapshot"),
    "slug": ("config_version = 1\n" + SOURCE.replace("his]", "HIS]"), "sources.HIS.[key]", "pattern"),
    "no kind": ("config_version = 1\n[sources.his]\nurl = 'x'", "sources.his", "`kind` is missing"),
    "kind": ('config_version = 1\n[sources.his]\nkind = "ftp"', "sources.his", "must be sql or files"),
    "key of a source": (
        "config_version = 1\n" + SOURCE + "pagerows = 1",
        "sources.his.pagerows",
        "no such key",
    ),
    "key of a table": (
        "config_version = 1\n" + SOURCE + '[sources.his.tables."t"]\nkeys = []',
        "sources.his.tables.t.keys",
        "no such key",
    ),
    "two addresses": (
        "config_version = 1\n" + SOURCE + 'url_file = "f"',
        "sources.his",
        "exactly one of url",
    ),
    "no address": ('config_version = 1\n[sources.his]\nkind = "sql"', "sources.his", "exactly one of url"),
    "share": (
        "config_version = 1\n" + SOURCE + "duty_share_max = 0",
        "sources.his.duty_share_max",
        "greater",
    ),
    "zone": (
        "config_version = 1\n" + SOURCE + 'timezone = "Mars"',
        "sources.his.timezone",
        "not a known time",
    ),
    "kind of another": (
        'config_version = 1\n[sources.f]\nkind = "files"\nfolder = "/f"\nurl = "x"',
        "sources.f.url",
        "no such key",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_under_the_key_as_it_was_written(tmp_path: Path, name: str) -> None:
    text, key, problem = MISTAKES[name]
    with pytest.raises(Permanent) as caught:
        load(write(tmp_path, text))
    assert caught.value.code == "GC-1003"
    assert caught.value.facts["key"] == key
    assert problem in str(caught.value.facts["problem"])
    assert "\n" not in caught.value.what


@pytest.mark.parametrize("name", ["unknown key", "two addresses", "slug"])
def test_a_mistake_ends_the_program_with_78_and_one_sentence(tmp_path: Path, name: str) -> None:
    text, key, problem = MISTAKES[name]
    done = edge_agent("check", "--config", str(write(tmp_path, text)))
    assert done.returncode == 78
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    (sentence,) = [line for line in lines if line.strip().startswith("The key")]
    assert f"`{key}`" in sentence
    assert problem in sentence
    assert lines[0].startswith("GC-1003 ")
    assert len(lines) == 4
    assert "Traceback" not in done.stderr


def edge_agent(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith("GUICANG_")}
    return subprocess.run(
        [sys.executable, "-m", "edge_agent.cli", *arguments],
        env=plain | environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [("config_version = 1\nspool = \n", "2"), ("a = 1\n\n[x]]", "3"), ("[x", "?")],
    ids=["value", "header", "the end"],
)
def test_what_is_no_toml_is_told_with_its_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(Permanent, match="GC-1002") as caught:
        load(write(tmp_path, text))
    assert caught.value.facts["line"] == line


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="GC-1001"):
        load(tmp_path / "none.toml")
    with pytest.raises(Permanent, match="GC-1003"):
        load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# \xff")
    with pytest.raises(Permanent, match="GC-1002"):
        load(tmp_path / "latin.toml")


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, 'config_version = 1\n[link]\nusername = "file"\npassword = "file"\n' + SOURCE)
    monkeypatch.setenv("GUICANG_LINK__PASSWORD", "from the environment")
    monkeypatch.setenv("GUICANG_SPOOL__BYTES_MAX", "33554432")
    loaded = load(path)
    assert (loaded.link.username, loaded.link.password) == ("file", "from the environment")
    assert loaded.spool.bytes_max == 32 << 20
    monkeypatch.setenv("GUICANG_SPOOL__BYTES_MAX", "much")
    with pytest.raises(Permanent, match=r"spool\.bytes_max"):
        load(path)


def test_secrets_come_from_value_file_or_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    file = tmp_path / "broker"
    file.write_text(" 密 码 \n", "utf-8")
    assert secret("link.password", "value", file) == "value"
    assert secret("link.password", "", None) == ""
    assert secret("link.password", "", file) == "密 码"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secret("link.password", "", Path("broker")) == "密 码"
    assert secret("link.password", "", file) == "密 码"
    for missing in (Path("none"), tmp_path):
        with pytest.raises(Permanent, match="GC-1004") as caught:
            secret("link.password", "", missing)
        assert caught.value.facts["key"] == "link.password"


# the sample

SAMPLES = {
    "sql": sample.render(Path("/state"), "his", '门诊 "HIS" \x7f\\', "sqlite:////h.db", "", ["*"]),
    "files": sample.render(Path("/state"), "exports", "", "", "/data/exports", []),
}
DEFAULT = re.compile(r"^# (\[.*\]|[a-z_]+ = .*)$")


def uncommented(text: str) -> dict[str, Any]:
    """The sample with every default set."""
    lines = [m[1] if (m := DEFAULT.match(line)) else line for line in text.splitlines()]
    return tomllib.loads("\n".join(lines))


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_sample_loads_and_its_defaults_are_the_models(tmp_path: Path, kind: str) -> None:
    plain = load(write(tmp_path, SAMPLES[kind]))
    lines = [m[1] if (m := DEFAULT.match(line)) else line for line in SAMPLES[kind].splitlines()]
    assert load(write(tmp_path, "\n".join(lines))) == plain
    assert plain.agent.state_dir == Path("/state")
    (source,) = plain.sources.values()
    assert source.kind == kind
    assert source.include == (("*",) if kind == "sql" else ())


SHOWN_OTHERWISE = {
    SqlSettings: {"tables", "url_file", "url_env"},
    FilesSettings: {"tables"},
    FileRule: {"table", "dicom_charset"},
}
"""What has no default of its own is shown as an example, in prose."""


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_sample_shows_every_key(kind: str) -> None:
    said = uncommented(SAMPLES[kind])
    (source,) = said["sources"].values()
    shown: list[tuple[type[BaseModel], dict[str, Any]]] = [
        (AgentSection, said["agent"]),
        (LinkSection, said["link"]),
        (SpoolSection, said["spool"]),
        (RemoteSection, said["remote"]),
        (SqlSettings if kind == "sql" else FilesSettings, source),
    ]
    if kind == "files":
        shown.append((FileRule, source["rules"][0]))
    for model, section in shown:
        otherwise = SHOWN_OTHERWISE.get(model, set())
        assert set(section) == set(model.model_fields) - otherwise, model
        for name in otherwise:
            assert re.search(rf"^#.*\b{name}\b", SAMPLES[kind], re.MULTILINE), name


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
@given(name=st.text(), url=st.text(min_size=1), include=st.lists(st.text(), max_size=3))
def test_whatever_a_person_types_comes_back(tmp_path: Path, name: str, url: str, include: list[str]) -> None:
    text = sample.render(tmp_path, "his", name, url, "", include)
    (source,) = load(write(tmp_path, text)).sources.values()
    assert isinstance(source, SqlSettings)
    assert source.url is not None
    assert (source.name, source.url.get_secret_value(), list(source.include)) == (name, url, include)


# ways and rhythm of single tables


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("poll_seconds = 3", "`poll_seconds` needs `cursor`"),
        ("overlap = 3", "`overlap` needs `cursor`"),
        ("window_days = 3", "`window_days` needs `window`"),
        ('window = "day"', "`window` needs `window_days`"),
        ('window = "day"\nwindow_days = 3\nwindow_span = 3', "one of them"),
        ('key = []\ncursor = "moved"', "without a key"),
        ('cursor = ""', "at least 1 character"),
        ('cursor = "moved"\npoll_seconds = 0', "greater than 0"),
    ],
)
def test_ways_that_make_no_sense_are_said_at_once(tmp_path: Path, lines: str, problem: str) -> None:
    path = write(tmp_path, f'config_version = 1\n{SOURCE}\n[sources.his.tables."visit"]\n{lines}\n')
    with pytest.raises(Permanent, match="GC-1003") as caught:
        load(path)
    assert problem in str(caught.value.facts["problem"])


def test_files_are_not_followed_and_hours_must_be_hours(tmp_path: Path) -> None:
    files = '[sources.e]\nkind = "files"\nfolder = "/data"\n'
    for more, problem in (
        ('[sources.e.tables."a.csv"]\ncursor = "c"', "files are scanned"),
        ('scan_hours = ["22:00"]', "no entry like"),
        ("rows_per_second_max = -1", "greater than or equal to 0"),
    ):
        path = write(tmp_path, f"config_version = 1\n{files}{more}\n")
        with pytest.raises(Permanent, match="GC-1003") as caught:
            load(path)
        assert problem in str(caught.value.facts["problem"])


def test_a_table_has_its_own_rhythm_or_that_of_its_source(tmp_path: Path) -> None:
    big = '[sources.his.tables."big"]\nscan_interval_seconds = 900\n'
    text = f"config_version = 1\n{SOURCE}\nscan_interval_seconds = 20\n{big}"
    settings = load(write(tmp_path, text)).sources["his"]
    assert (settings.scan_seconds("big"), settings.scan_seconds("other"), settings.scan_seconds_max) == (
        900,
        20,
        900,
    )
    assert settings.of("other").cursor is None
