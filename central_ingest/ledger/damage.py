"""The ledger's page of damage: files of the lake and large values that are not what was written, and how far the scrub
has come. A line stands until somebody has seen that it is no longer so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from protocol.errors import Permanent

from . import tables as t
from .upsert import upsert

_CURSOR = "scrub"


@dataclass(frozen=True, slots=True)
class Damage:
    """`name` is the file's below the lake's root, or `files/<site>/<sha256>`."""

    name: str
    code: str
    facts: Mapping[str, str | int]
    found: int

    @property
    def fault(self) -> Permanent:
        return Permanent(self.code, **self.facts)


class DamageBook:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, name: str, fault: Permanent, now: int) -> None:
        """Found again it keeps its time."""
        values = {"code": fault.code, "facts": json.dumps(fault.facts, ensure_ascii=False)}
        with self._engine.begin() as c:
            line = upsert(c, t.damage).values(values | {"name": name, "found": now})
            c.execute(line.on_conflict_do_update(index_elements=["name"], set_=values))

    def all(self) -> list[Damage]:
        with self._engine.connect() as c:
            rows = c.execute(sa.select(t.damage).order_by(t.damage.c.name)).all()
        return [Damage(r.name, r.code, json.loads(r.facts), r.found) for r in rows]

    def remove(self, name: str) -> None:
        with self._engine.begin() as c:
            c.execute(sa.delete(t.damage).where(t.damage.c.name == name))

    def cursor(self) -> tuple[int, str]:
        """When the scrub's present round began, and the name that it has looked at last; (0, "") before the first."""
        with self._engine.connect() as c:
            text = c.execute(sa.select(t.meta.c.value).where(t.meta.c.name == _CURSOR)).scalar_one_or_none()
        begun, after = json.loads(text) if text else (0, "")
        return int(begun), str(after)

    def save_cursor(self, begun: int, after: str) -> None:
        with self._engine.begin() as c:
            line = upsert(c, t.meta).values(
                name=_CURSOR, value=json.dumps([begun, after], ensure_ascii=False)
            )
            c.execute(
                line.on_conflict_do_update(index_elements=["name"], set_={"value": line.excluded.value})
            )
