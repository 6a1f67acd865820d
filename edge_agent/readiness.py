"""What `edge-agent check` finds of a PostgreSQL source whose log is to be followed: how its server is prepared for it,
what is missing, and per table what its log can tell. It asks and changes nothing; the DBA's script is made of the same
facts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from protocol.errors import Fault, Rejected, Transient
from protocol.names import TableName

from .sources.dialects.dialect import REFUSED
from .sources.included import is_included
from .sources.pg.libpq import available
from .sources.pg.needs import Needs, needs
from .sources.pg.prepared import KINDS, Prepared, Publication, Relation
from .sources.pg.prospect import once_prepared
from .sources.pg.script import Step, choices, missing, script
from .sources.pg.verdict import (
    MENDS,
    Mend,
    Wanted,
    Why,
    harms,
    hindrances,
    lacking,
    tells_inserts,
    why_not,
)
from .sources.settings import PostgresSettings
from .sources.source import Source, TableInfo

if TYPE_CHECKING:
    from .sources.pg.source import PostgresSource

EXACT = "each change, in commit order"
_IDENTITIES = {"d": "default", "n": "nothing", "f": "full", "i": "index"}
_UNREACHABLE = ("GC-2001", REFUSED)
_UNREADABLE = "no permission, or row-level security would hide rows"


def scanned(key: Sequence[str], *, told: bool = False) -> str:
    """The guarantee of a table that is scanned; `told`: its log says when a row is created."""
    when = "inserts at once, all else at the next scan" if told else "found at the next scan"
    return when if key else f"multiset, {when}"


def look(slug: str, settings: PostgresSettings, source: Source, infos: Sequence[TableInfo]) -> Readiness:
    """`infos`: the source's inventory. Faults as of a Source."""
    asked = cast("PostgresSource", source)
    included = {info.name: info.key for info in infos if is_included(settings, info.name)}
    names, inserts = settings.publications_of(slug), settings.inserts_of(slug)
    default = settings.model_copy(update={"publications": None})
    prepared = asked.prepared([*names, *filter(None, [inserts])])
    if settings.publications is not None:
        found = prepared.publications or {}
        inserts = next((n for n in names[1:] if n in found and found[n].publishes == {"insert"}), None)
    wanted = Wanted(
        slug,
        settings.slot_of(slug),
        tuple(name for name in names if name != inserts),
        inserts,
        included,
        settings.wal_keep_bytes_max,
        frozenset([*default.publications_of(slug), *filter(None, [default.inserts_of(slug)])]),
    )
    return Readiness(wanted, prepared, _carried(asked, list(included)), available())


def _carried(source: PostgresSource, included: Sequence[TableName]) -> Collection[TableName]:
    """None where the source finds no log to be followed: why is among the hindrances."""
    try:
        return source.identities(included)
    except Transient as fault:
        if fault.code in _UNREACHABLE:
            raise
        return ()


def script_of(slug: str, settings: PostgresSettings, source: Source) -> tuple[str, Fault | None]:
    """The SQL for the DBA; with a fault where our account was not let in, and only that could be seen. Faults as of a
    Source."""
    try:
        return look(slug, settings, source, source.inventory()).script, None
    except Fault as fault:
        role, database = cast("PostgresSource", source).login
        if fault.code != REFUSED or not role:
            raise
        return script(Needs(slug, database, role, login=True)), fault


class Readiness:
    """Of one source. `carried`: the included tables that its log carries, as the source says; `libpq`: whether the
    driver shows it."""

    def __init__(
        self, wanted: Wanted, prepared: Prepared, carried: Collection[TableName], libpq: bool
    ) -> None:
        self._wanted = wanted
        self._prepared = prepared
        self._carried = frozenset(carried)
        self._hindrances = hindrances(prepared, wanted, libpq)
        self._needs = needs(prepared, wanted)
        self._then = once_prepared(prepared, self._needs)

    @property
    def script(self) -> str:
        return script(self._needs)

    @property
    def fault(self) -> str | None:
        """Why the log cannot be followed at all."""
        return f"{self._hindrances[0].code} {self._hindrances[0].what}" if self._hindrances else None

    def is_left_to_its_log(self, info: TableInfo) -> bool:
        """Its tables are scanned while the log cannot be followed at all."""
        return info.name in self._carried and not self._hindrances

    def _why(self, info: TableInfo) -> Why | None:
        why = why_not(self._prepared, self._wanted, info.name, info.key)
        if info.name in self._carried:
            return None if why is Why.LARGE else why  # it may grow while it is followed
        expected = self._hindrances or info.name not in self._wanted.tables
        return why or (None if expected else Why.UNKNOWN)

    def judged(self, info: TableInfo, facts: dict[str, Any]) -> dict[str, Any]:
        """The facts of a table, with those of its log; it is captured in no way where it may not be read."""
        relation = (self._prepared.relations or {}).get(info.name)
        why = self._why(info)
        unread = relation is not None and not (relation.usage and relation.select)
        log = self._of_its_log(info, relation, why, can_be_scanned=unread or bool(facts["guarantee"]))
        facts = facts | {"key": facts["key"] or list(info.key), "log": log}
        if info.name not in self._wanted.tables:
            return facts
        fault = facts["fault"]
        if relation and (relation.row_security or unread):
            refused = Rejected("GC-2003", table=str(info.name), reason=_UNREADABLE)
            fault = fault or f"{refused.code} {refused.what}"
        if fault:
            return facts | {"way": None, "guarantee": None, "fault": fault}
        if facts["way"] == "log":
            return facts | {"guarantee": EXACT if why in (None, Why.UNKNOWN) else None}
        followed = bool(self._carried) and not self._hindrances
        told = followed and tells_inserts(self._prepared, self._wanted, info.name)
        return facts | {"guarantee": scanned(info.key, told=True) if told else facts["guarantee"]}

    def _of_its_log(
        self, info: TableInfo, relation: Relation | None, why: Why | None, *, can_be_scanned: bool
    ) -> dict[str, Any]:
        mend = None if why is None else self._mend(info, why)
        promised = EXACT if why is None or mend is Mend.SCRIPT else None
        if promised is None and can_be_scanned:
            promised = scanned(info.key, told=self._will_tell_inserts(info))
        return {
            "replica_identity": relation and _IDENTITIES.get(relation.identity.kind),
            "identity_columns": sorted(relation.identity.columns) if relation else [],
            "select": relation and relation.usage and relation.select,
            "row_security": relation and relation.row_security,
            "why_not": why and why.value,
            "mend": mend and mend.value,
            "once_prepared": promised,
        }

    def _mend(self, info: TableInfo, why: Why) -> Mend | None:
        """Of a table that is not included: as if it were."""
        mend = MENDS.get(why)
        if mend is Mend.SCRIPT and info.name in self._wanted.tables:
            return Mend.CHOICE if why_not(self._then, self._wanted, info.name, info.key) else mend
        return mend

    def _will_tell_inserts(self, info: TableInfo) -> bool:
        """A log that carries no table whole is not followed."""
        exact = any(why_not(self._then, self._wanted, *one) is None for one in self._wanted.tables.items())
        return (exact or bool(self._carried)) and tells_inserts(self._then, self._wanted, info.name)

    def of_source(self) -> dict[str, Any]:
        """The facts of the source as a whole."""
        server, slot, account = self._prepared.server, self._prepared.slot, self._prepared.account
        return {
            "database": server.database,
            "version": server.version_text,
            "version_num": server.version,
            "standby": server.standby,
            "wal_level": server.wal_level,
            "account": {
                "name": account.name,
                "superuser": account.superuser,
                "replication": account.may_replicate,
            },
            "replication_slots": {"max": server.slots_max, "used": server.slots_used},
            "wal_senders": {"max": server.senders_max, "used": server.senders_used},
            "slot": {
                "name": self._wanted.slot,
                "exists": slot is not None if self._prepared.slot_known else None,
                "active": slot and slot.active,
                "status": slot and slot.status,
                "kept_bytes": slot and slot.kept_bytes,
            },
            "wal_keep_bytes_max": self._wanted.keep_bytes_max,
            "max_slot_wal_keep_bytes": server.keep_bytes_max,
            "pg_wal_bytes": server.wal_bytes,
            "publications": [self._publication(name) for name in self._wanted.names],
            "hindrances": [fault.as_json() for fault in self._hindrances],
            "harms": [fault.as_json() for fault in harms(self._prepared, self._wanted)],
            "unseen": list(self._needs.unseen),
            "missing": _statements(missing(self._needs)),
            "choices": _statements(choices(self._needs)),
        }

    def _publication(self, name: str) -> dict[str, Any]:
        found = self._prepared.publications
        one: Publication | None = (found or {}).get(name)
        if one is None:
            return {"name": name, "exists": None if found is None else False}
        failing = [lacks.table for member in one.members if one.hinders for lacks in lacking(member)]
        return {
            "name": name,
            "exists": True,
            "owner": one.owner,
            "ours": one.ours,
            "all_tables": one.all_tables,
            "schemas": list(one.schemas),
            "publishes": [kind for kind in KINDS if kind in one.publishes],
            "publish_via_partition_root": one.via_root,
            "tables": sorted(str(member.relation.table) for member in one.members),
            "failing": sorted(map(str, failing)),
        }


def _statements(steps: Iterable[Step]) -> list[str]:
    return [statement for step in steps for statement in step.statements]
