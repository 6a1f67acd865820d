"""The agent's configuration: one TOML file, every key with its default, nothing unknown accepted.

Environment variables `GUICANG_…` (nested with `__`) override the file. A mistake is one sentence naming the
key, and exit code 78. Nothing is captured until a person has filled `include`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from protocol.errors import Permanent

from . import platform
from .sources.settings import SourceSettings

_File = Annotated[Path | None, BeforeValidator(lambda value: value or None)]
"""A file, or "" for none."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AgentSection(Section):
    state_dir: Path = Field(default_factory=platform.state_dir)
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"


class LinkSection(Section):
    """The broker's address comes with the token; here stands only what differs on this machine."""

    broker: str = ""
    username: str = ""
    password: str = ""
    password_file: _File = None
    ca_file: _File = None
    cert_file: _File = None
    key_file: _File = None


class SpoolSection(Section):
    bytes_max: Annotated[int, Field(ge=16 << 20)] = 10 << 30
    keep_receipted_bytes: Annotated[int, Field(ge=0)] = 256 << 20


class RemoteSection(Section):
    allow: tuple[Annotated[str, Field(pattern="^(snapshot|pause|resume)$")], ...] = ()


class Config(BaseSettings):
    """The whole file."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="GUICANG_", env_nested_delimiter="__"
    )

    config_version: Annotated[int, Field(ge=1, le=1)]
    agent: AgentSection = AgentSection()
    link: LinkSection = LinkSection()
    spool: SpoolSection = SpoolSection()
    remote: RemoteSection = RemoteSection()
    sources: dict[Annotated[str, Field(pattern="^[a-z0-9-]{1,32}$")], SourceSettings] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


def load(path: Path) -> Config:
    """Read and check the file. Raises Permanent GC-1001/1002/1003."""
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise Permanent("GC-1001", path=str(path), command="edge-agent") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise Permanent("GC-1002", path=str(path), line=_line_of(e)) from None
    except OSError as e:
        raise Permanent("GC-1003", path=str(path), key="(file)", problem=type(e).__name__) from None
    try:
        return Config(**document)
    except ValidationError as e:
        raise _wrong_key(path, e, document) from None


def _line_of(error: ValueError) -> str:
    """The number in tomllib's message; a document that ends too early has none."""
    found = re.search(r"at line (\d+)", str(error))
    return found[1] if found else "?"


def _wrong_key(path: Path, error: ValidationError, document: Mapping[str, Any]) -> Permanent:
    """The first mistake, under the key as the person wrote it."""
    first = error.errors(include_input=False, include_url=False)[0]
    parts = [str(part) for part in first["loc"]]
    kinds = {"sql", "files"}
    if parts[:1] == ["sources"] and len(parts) > 2 and parts[2] in kinds:
        del parts[2]
    problem = {
        "extra_forbidden": "no such key",
        "missing": "it is missing",
        "union_tag_not_found": "`kind` is missing (sql or files)",
        "union_tag_invalid": "`kind` must be sql or files",
    }.get(first["type"], first["msg"].removeprefix("Value error, "))
    problem = problem[:1].lower() + problem[1:]
    return Permanent("GC-1003", path=str(path), key=".".join(parts), problem=problem)


def secret(key: str, value: str, file: Path | None) -> str:
    """A secret given in the configuration (or its environment variable), in a file, or as a systemd credential
    (`$CREDENTIALS_DIRECTORY/<file name>` for a relative name). Raises Permanent GC-1004."""
    if value or file is None:
        return value
    if not file.is_absolute() and (credentials := os.environ.get("CREDENTIALS_DIRECTORY")):
        file = Path(credentials) / file
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise Permanent("GC-1004", key=key, origin=str(file)) from None
