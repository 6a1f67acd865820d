"""The pages of the house: links lead somewhere, both languages say as much, codes and keys are the code's."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from central_ingest.config import SAMPLE
from central_ingest.config import Config as CentralConfig
from edge_agent import sample
from edge_agent.config import Config as AgentConfig
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.settings import SourceSettings, TableSettings
from protocol.errors import CATALOGUE

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
OPERATING = [ROOT / "docs" / "operating.md", ROOT / "docs" / "zh" / "operating.md"]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(r"`((?:protocol|edge_agent|central_ingest|tests|demo|docs|deploy)/[\w./-]*)`")
_ANCHOR_DROPS = re.compile(r"[^\w\- ]")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCED.sub("", page.read_text("utf-8"))


def headings(page: Path) -> list[str]:
    return [line for line in prose(page).splitlines() if re.match(r"#+ ", line)]


def anchors(page: Path) -> set[str]:
    """As they are made of headings where the pages are read (GitHub)."""
    titles = (line.lstrip("#").strip().replace("`", "").lower() for line in headings(page))
    return {_ANCHOR_DROPS.sub("", title).replace(" ", "-") for title in titles}


@pages
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(_CODE.sub("", prose(page))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), target
        assert there.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(there), target


@pages
def test_files_that_are_named_exist(page: Path) -> None:
    for name in _FILE.findall(prose(page)):
        assert (ROOT / name).exists() or name == "tests/simulation/", name


@pages
def test_codes_that_are_named_exist(page: Path) -> None:
    for code in re.findall(r"GC-\d{4}", page.read_text("utf-8")):
        assert code in CATALOGUE, code


@pages
def test_no_path_of_a_developer_s_machine_is_named(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(?:work|tmp|root|home)/", page.read_text("utf-8"))


@pytest.mark.parametrize(("one", "other"), [READMES, OPERATING], ids=["readme", "operating"])
def test_both_languages_have_the_same_sections_and_commands(one: Path, other: Path) -> None:
    depths = [[len(line) - len(line.lstrip("#")) for line in headings(page)] for page in (one, other)]
    assert depths[0] == depths[1]
    shells = [
        [commands(block) for block in _FENCED.findall(page.read_text("utf-8"))] for page in (one, other)
    ]
    assert shells[0] == shells[1]


def commands(block: str) -> str:
    """A shell block without its comments; of a picture only that it is one."""
    if block.startswith("```mermaid"):
        return "a picture"
    return "\n".join(line.partition("#")[0].rstrip() for line in block.splitlines())


def documented(page: Path, file: str) -> list[str]:
    """The first cells of the rows of tables whose title names `file`, in order."""
    keys: list[str] = []
    inside = False
    for line in page.read_text("utf-8").splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        first = line.split("|")[1].strip()
        if f"`{file}`" in first:
            inside = True
        elif inside and not set(first) <= set("-"):
            keys.append(first.strip("`"))
    return keys


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of a configuration, sections within sections."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if name == "sources":
            for settings in get_args(get_args(SourceSettings)[0]):  # each kind that there is
                yield from keys_of(settings, "sources.<slug>.")
        elif name == "tables":
            yield from keys_of(TableSettings, f"{prefix}tables.<table>.")
        elif name == "rules":
            yield f"{prefix}rules"
            yield from keys_of(FileRule, f"{prefix}rules.")
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys_of(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@pytest.mark.parametrize("page", OPERATING, ids=["en", "zh"])
@pytest.mark.parametrize(
    ("file", "config"),
    [("agent.toml", AgentConfig), ("central.toml", CentralConfig)],
    ids=["agent", "central"],
)
def test_every_configuration_key_is_documented_and_no_other(
    page: Path, file: str, config: type[BaseModel]
) -> None:
    said = documented(page, file)
    assert len(said) == len(set(said))
    assert set(said) == set(keys_of(config))


def test_every_key_of_the_samples_is_a_key() -> None:
    """The samples show every default as a comment: each commented key must be one, under its own section."""
    agent = sample.render(Path("state"), "<slug>", "", "sqlite:///x", "", [])
    agent_files = sample.render(Path("state"), "<slug>", "", "", "folder", [])
    for text, config in ((agent, AgentConfig), (agent_files, AgentConfig), (SAMPLE, CentralConfig)):
        known = set(keys_of(config))
        for key in shown(text):
            assert key in known, key


def shown(text: str) -> Iterator[str]:
    """Keys of a sample with their sections, commented or not; indented examples aside."""
    section = ""
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        if found := re.fullmatch(r"\[{1,2}([\w.<>-]+)\]{1,2}", bare):
            section = f"{found[1]}."
        elif found := re.match(r"(\w+) =(?: |$)", bare):
            yield f"{section}{found[1]}"


def test_the_version_is_the_same_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    for page in READMES:
        assert version in page.read_text("utf-8")
