"""Names: site, source, table, and how they become paths, slugs and column names.

A name is kept exactly as the source spells it; whatever must be safe for a path or a topic is derived from
it by the rules here (landing.md §1a) and never parsed back.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from .errors import Rejected
from .limits import NAME_BYTES_MAX, SITE_CHARS_MAX, SOURCE_CHARS_MAX

_SITE = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{SITE_CHARS_MAX - 1}}}")
_SOURCE = re.compile(rf"[a-z0-9-]{{1,{SOURCE_CHARS_MAX}}}")
_AGENT = re.compile(r"[0-9a-f]{32}")
_SLUG_CHARS_MAX = 40

SYSTEM_PREFIX = "_gc_"
_ESCAPE = "_gc_x_"


def check_site(site: str) -> str:
    """Return `site` if it is a site code: ASCII letters, digits, `.`, `_`, `-`, at most 32. Raises Rejected."""
    if not _SITE.fullmatch(site):
        raise Rejected("GC-4004", reason="site code")
    return site


def check_source(source: str) -> str:
    """Return `source` if it is a slug `[a-z0-9-]{1,32}`. Raises Rejected."""
    if not _SOURCE.fullmatch(source):
        raise Rejected("GC-4004", reason="source slug")
    return source


def check_agent(agent: str) -> str:
    """Return `agent` if it is 32 lower-case hex digits. Raises Rejected."""
    if not _AGENT.fullmatch(agent):
        raise Rejected("GC-4004", reason="agent id")
    return agent


def agent_id(first_public_key: bytes) -> str:
    """An agent's name for life: BLAKE2b-128 of its first signing key, unchanged by rotation."""
    return hashlib.blake2b(first_public_key, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, order=True)
class Stream:
    """All changes of one (site, source). It belongs to no agent; epochs of it are granted to agents."""

    site: str
    source: str

    def __post_init__(self) -> None:
        check_site(self.site)
        check_source(self.source)

    def __str__(self) -> str:
        return f"{self.site}/{self.source}"


@dataclass(frozen=True, slots=True)
class TableName:
    """(database, schema, name) exactly as the source spells it; None where the source has no such level."""

    database: str | None
    schema: str | None
    name: str

    def __post_init__(self) -> None:
        for part in (self.database, self.schema, self.name):
            if part is not None and not 0 < len(part.encode("utf-8", "surrogatepass")) <= NAME_BYTES_MAX:
                raise Rejected("GC-5006", reason="length of a table name")

    def __str__(self) -> str:
        """For people: the parts that exist, joined by dots. Not unique; never parsed."""
        return ".".join(part for part in (self.database, self.schema, self.name) if part is not None)

    def as_list(self) -> list[str | None]:
        return [self.database, self.schema, self.name]

    @classmethod
    def from_list(cls, parts: object) -> TableName:
        """Raises Rejected unless `parts` is [text or null, text or null, text]."""
        match parts:
            case [None | str() as database, None | str() as schema, str() as name]:
                return cls(database, schema, name)
            case _:
                raise Rejected("GC-5006", reason="table name")

    @property
    def digest(self) -> str:
        """BLAKE2b-128 of the exact name as JSON, 32 hex digits; its first eight are `hash8`."""
        text = json.dumps(self.as_list(), ensure_ascii=False, separators=(",", ":"))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    @property
    def slug(self) -> str:
        """`[a-z0-9-]{0,40}`: what of the name a path can hold. Empty for a name in Chinese alone."""
        parts = re.sub(r"[^a-z0-9]+", "-", str(self).lower()).strip("-")
        return parts[:_SLUG_CHARS_MAX].rstrip("-")

    def directory(self, digits: int = 8) -> str:
        """The table's folder name; `digits` is 16 where 8 collide."""
        return f"{self.slug}-{self.digest[:digits]}"


def escape_column(name: str) -> str:
    """The lake's name of a source column: one that looks like ours gets a prefix, so none is ever shadowed."""
    return _ESCAPE + name if name.lower().startswith(SYSTEM_PREFIX) else name


def unescape_column(name: str) -> str:
    """The source's name of a lake column that `escape_column` made."""
    return name[len(_ESCAPE) :] if name.startswith(_ESCAPE) else name
