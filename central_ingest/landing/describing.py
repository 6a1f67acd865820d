"""What is known of one table: its columns with their generations and what the source says of them, and its schemas.

All of it stands in the lake: the metadata of the table's `changes`, and the schemas that this names, under
`_system/schemas`. Facts come out, ready to be JSON; nobody's values are among them. Pure: schemas and floors are
given by whoever can look them up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from protocol.change import LAKE_SYSTEM_NAMES, Version
from protocol.names import escape_column, unescape_column
from protocol.schema import COMMENT, FACTS_PREFIX, SOURCE_TYPE, TableSchema, wire_to_json

from . import evolution
from .columns import stored_names
from .current import Floor
from .merging import standing

Find = Callable[[str], TableSchema | None]
"""The schema of a fingerprint (hex), None where nobody has it."""

FloorAt = Callable[[Version | None], Floor]
"""The floor of the table's changes up to a version (None: all)."""

CODE_PAGES = ("charset", "collated", "encoding")
"""What sources call a column's code page, the plainest name first."""


def describe(changes: pa.Schema, find: Find) -> dict[str, Any]:
    """`changes` as the lake has it, by exact names."""
    eras = evolution.history(changes.metadata)
    known = [(era, find(era.schema)) for era in eras]
    present = find((changes.metadata or {}).get(evolution.SCHEMA, b"").decode())
    source = pa.schema([field for field in changes if field.name not in LAKE_SYSTEM_NAMES])
    stored = stored_names(changes.names, {})
    seen = _seen(known)
    facts = dict(present.meta) if present is not None else {}
    return {
        "comment": (changes.metadata or {}).get(COMMENT.encode(), b"").decode(),
        "key": list(eras[-1].key) if present is None and eras else list(present.key if present else ()),
        "keys": [
            {"key": list(era.key), "since": _place(era.since)} for era in evolution.keys(changes.metadata)
        ],
        "meta": {name: value for name, value in sorted(facts.items()) if name != COMMENT},
        "columns": _columns(source, stored, seen, present),
        "schemas": [_era(era, schema, era.schema == _present(changes)) for era, schema in known],
    }


def standstill(changes: pa.Schema, floor_at: FloorAt) -> dict[str, Any] | None:
    """Where the key became another and neither a snapshot under it has ended nor the table was emptied since: by which
    key `current` still stands, and which it is to be, since when. None where `current` goes on."""
    keys = evolution.keys(changes.metadata)
    upto = standing(keys, True, floor_at, None).as_of
    if upto is None:
        return None
    stood = [era for era in keys if era is keys[0] or era.since <= upto]
    stopped = keys[len(stood)]
    return {"key": list(stood[-1].key), "new_key": list(keys[-1].key), "since": _place(stopped.since)}


def _present(changes: pa.Schema) -> str:
    return str((changes.metadata or {}).get(evolution.SCHEMA, b"").decode())


def _era(era: evolution.Era, schema: TableSchema | None, present: bool) -> dict[str, Any]:
    columns = None if schema is None else [c.name for c in schema.columns]
    facts = {"fingerprint": era.schema, "since": _place(era.since), "key": list(era.key)}
    return facts | {"columns": columns, "present": present}


def _seen(known: list[tuple[evolution.Era, TableSchema | None]]) -> dict[tuple[str, str], Version]:
    """By a column's name and its wire type (as text): the version that brought it."""
    seen: dict[tuple[str, str], Version] = {}
    for era, schema in known:
        for column in () if schema is None else schema.columns:
            seen.setdefault((column.name, _spelt(column.wire)), era.since)
    return seen


def _columns(
    source: pa.Schema,
    stored: Mapping[str, str],
    seen: Mapping[tuple[str, str], Version],
    present: TableSchema | None,
) -> list[dict[str, Any]]:
    """Those that the table has now in their order, then those that it had."""
    generations: dict[str, list[pa.Field]] = {}
    for field in source:
        generations.setdefault(evolution.parse_name(field.name)[0], []).append(field)
    shown = {name: one.name for one in evolution.shown(source) for name in one.generations}
    order = [escape_column(c.name) for c in present.columns] if present is not None else []
    names = [*(n for n in order if n in generations), *(n for n in generations if n not in order)]
    now = set(order) if present is not None else set(names)
    return [_column(name, generations[name], stored, shown, seen, name in now) for name in names]


def _column(
    name: str,
    generations: list[pa.Field],
    stored: Mapping[str, str],
    shown: Mapping[str, str],
    seen: Mapping[tuple[str, str], Version],
    present: bool,
) -> dict[str, Any]:
    number = evolution.newest(generations[0])
    field = next(one for one in generations if evolution.parse_name(one.name)[1] == number)
    told = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
    comment, source_type = told.pop(COMMENT, ""), told.pop(SOURCE_TYPE, "")
    told.pop(evolution.NEWEST.decode(), None)
    meta = {k.removeprefix(FACTS_PREFIX): v for k, v in sorted(told.items())}
    plain = unescape_column(name)
    return {
        "name": plain,
        "lake_name": stored[name],
        "source_type": source_type,
        "wire": wire_to_json(_wire(field.type)),
        "comment": comment,
        "code_page": next((meta[one] for one in CODE_PAGES if one in meta), ""),
        "meta": meta,
        "present": present,
        "since": _place(_since(plain, field, seen)),
        "generations": [
            {
                "number": evolution.parse_name(one.name)[1],
                "lake_name": stored[one.name],
                "shown_as": shown[one.name],
                "wire": wire_to_json(_wire(one.type)),
                "source_type": (one.metadata or {}).get(SOURCE_TYPE.encode(), b"").decode(),
                "since": _place(_since(plain, one, seen)),
            }
            for one in generations
        ],
    }


def _since(name: str, field: pa.Field, seen: Mapping[tuple[str, str], Version]) -> Version | None:
    return seen.get((name, _spelt(_wire(field.type))))


def _spelt(wire: pa.DataType) -> str:
    return str(wire_to_json(wire))


def _wire(kind: pa.DataType) -> pa.DataType:
    """The wire type of a lake type: Delta calls the element of a list otherwise."""
    if pa.types.is_list(kind):
        return pa.list_(_wire(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(part.name, _wire(part.type)) for part in kind])
    return kind


def _place(version: Version | None) -> dict[str, int] | None:
    return None if version is None else {"epoch": version.epoch, "seq": version.seq}
