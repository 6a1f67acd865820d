"""One file: its mistakes are named, its sample tells the truth."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from central_ingest.config import SAMPLE, Config, load
from protocol.errors import Permanent

HEAD = "config_version = 1\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "central.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("bogus = 1", "bogus"),
        ("[broker]\nbogus = 1", "broker.bogus"),
        ("[broker]\nurl = 3", "broker.url"),
        ("broker = 3", "broker"),
        ("[journal]\ntick_seconds = 2", "journal.tick_seconds"),
        ('[journal]\nsegment_bytes_max = "big"', "journal.segment_bytes_max"),
        ("[landing]\nhot_seconds = 0", "landing.hot_seconds"),
        ("invite_days = 0", "invite_days"),
        ('[lake]\nurl = "/data/lake"', "lake.url"),
        ('[lake]\nurl = "s3://Granary"', "lake.url"),
        ('[lake]\nurl = "s3://granary/a b"', "lake.url"),
        ('[lake]\nendpoint = "127.0.0.1:9000"', "lake.endpoint"),
        ('[lake]\nendpoint = "https://store/bucket"', "lake.endpoint"),
        ('[lake]\nendpoint = "http://127.0.0.1:9000"', "lake"),
        ('log_level = "LOUD"', "log_level"),
    ],
)
def test_a_mistake_names_its_key(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(Permanent) as caught:
        load(write(tmp_path, HEAD + text))
    assert (caught.value.code, caught.value.facts["key"]) == ("GC-1003", key)
    assert f"`{key}`" in caught.value.what
    assert "\n" not in caught.value.what


@pytest.mark.parametrize("text", ["", "config_version = 2"])
def test_the_version_is_required(tmp_path: Path, text: str) -> None:
    with pytest.raises(Permanent) as caught:
        load(write(tmp_path, text))
    assert caught.value.facts["key"] == "config_version"


def test_what_is_no_toml_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(Permanent) as caught:
        load(write(tmp_path, HEAD + "\nx = = 1\n"))
    assert (caught.value.code, caught.value.facts["line"]) == ("GC-1002", "3")
    path = write(tmp_path, "")
    path.write_bytes(b"# \xff\n")
    with pytest.raises(Permanent, match="GC-1002"):
        load(path)


def test_a_file_that_is_not_there_or_not_readable(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="GC-1001"):
        load(tmp_path / "none.toml")
    with pytest.raises(Permanent, match="GC-1003"):
        load(tmp_path)


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, HEAD + '[broker]\nusername = "u"\npassword = "in the file"\n')
    monkeypatch.setenv("GUICANG_CENTRE_BROKER__PASSWORD", "secret")
    monkeypatch.setenv("GUICANG_CENTRE_INVITE_DAYS", "3")
    config = load(path)
    assert (config.broker.username, config.broker.password, config.invite_days) == ("u", "secret", 3)


def test_a_wrong_variable_is_named_and_not_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, HEAD)
    monkeypatch.setenv("GUICANG_CENTRE_BROKER", "s3cret")
    with pytest.raises(Permanent) as caught:
        load(path)
    assert (caught.value.code, caught.value.facts["key"]) == ("GC-1003", "broker")
    assert "s3cret" not in str(caught.value)


def test_the_sample_shows_every_key_with_its_default(tmp_path: Path) -> None:
    sample = SAMPLE.format(data_dir='"/var/lib/guicang-centre"')
    assert load(write(tmp_path, sample)) == Config(config_version=1)
    uncommented = re.sub(r"^# ([a-z_]+ = .+)$", r"\1", sample, flags=re.MULTILINE)
    shown = tomllib.loads(uncommented)
    shown.pop("config_version")
    without_value = set(re.findall(r"^# ([a-z_]+) =$", sample, flags=re.MULTILINE))
    defaults, empty = with_values(Config(config_version=1))
    defaults.pop("config_version")
    assert shown == defaults
    assert without_value == empty


def with_values(section: BaseModel) -> tuple[dict[str, Any], set[str]]:
    """The model's defaults as TOML would hold them, and the keys that have none."""
    values: dict[str, Any] = {}
    empty: set[str] = set()
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            values[name], inner = with_values(value)
            empty |= inner
        elif value is None:
            empty.add(name)
        else:
            values[name] = str(value) if isinstance(value, Path) else value
    return values, empty


def test_a_mistake_ends_with_78(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "[broker]\nbogus = 1\n")
    ran = subprocess.run(
        [sys.executable, "-m", "central_ingest.cli", "tables", "--config", str(path)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (78, "")
    assert "GC-1003" in ran.stderr
    assert "`broker.bogus`" in ran.stderr
    assert "Traceback" not in ran.stderr
