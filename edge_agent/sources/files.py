"""Kind `files`: a folder of files, each a table, a part of one, or rows of a table that all of its kind share.

Which files there are says `folder`, what each is its rule, or kind `auto` once and for all (the book keeps it). Tables
are read whole and compared (`filetables`), records by path (`records`). A file that should be a table and is none lands
as bytes, with the reason, in the table `files`, where opaque files are; so do the bytes of tables where their rule says
`keep_bytes`. Nothing is ever written, locked, renamed or deleted here.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_agent.sources import filetables
from edge_agent.sources.deciding import Deciding
from edge_agent.sources.filebook import FileBook
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.filetables import Reading, TabularTable
from edge_agent.sources.folder import FileState, Folder, FoundFile, VanishLimit
from edge_agent.sources.foldernames import fitting
from edge_agent.sources.growing import Growing, Grown
from edge_agent.sources.kinds import registry
from edge_agent.sources.kinds.kind import TabularKind
from edge_agent.sources.opening import open_shared
from edge_agent.sources.records import Member, RecordTable
from edge_agent.sources.refused import Refused
from edge_agent.sources.rereading import Rereading
from edge_agent.sources.source import Page, PageLimits, Rows, TableInfo, Way
from protocol.errors import Permanent, Rejected, Transient
from protocol.names import TableName
from protocol.schema import TableSchema

DEFAULT_RULES = (FileRule(glob="**/*.csv"),)
FILES = "files"
"""The table of whatever lands as bytes alone."""
ALARMS_MAX = 20
LEFT_OUT_SECONDS = 60.0
"""How often a file that could not be read is tried again."""
PRUNE_SECONDS = 3_600.0
CHOICE_SECONDS = 30 * 86_400.0
"""What was decided of a file that is gone holds so long: an export may be away over night."""


@dataclass(slots=True)
class _Listing:
    """What a look at the folder found: tables of files by name, and the members of shared ones."""

    undecided: set[str] = field(default_factory=set)
    tables: dict[str, TabularTable] = field(default_factory=dict)
    shared: dict[str, list[Member]] = field(default_factory=dict)


class FilesSource:
    """One folder. `identity` is what the same source's `identity` gave in an earlier process, or None; `book` outlives
    processes, too (None: it does not). `keys` overrides the key of tables by name.

    Raises Permanent GC-1003 where a rule names a table as a file is called.
    """

    def __init__(
        self,
        slug: str,
        folder: Path,
        rules: Sequence[FileRule] = DEFAULT_RULES,
        stable_seconds: float = 2.0,
        identity: str | None = None,
        clock: Callable[[], float] = time.time,
        keys: Mapping[str, tuple[str, ...]] | None = None,
        limit: VanishLimit | None = None,
        reread_hours: float = 168.0,
        book: FileBook | None = None,
    ) -> None:
        self._slug = slug
        self._rereading = Rereading(reread_hours, clock)
        self._keys = dict(keys or {})
        self._clock = clock
        self._book = book or FileBook(None)
        self._deciding = Deciding(rules, self._book, clock)
        wanted, grows = self._deciding.is_wanted, self._deciding.grows
        self._folder = Folder(slug, folder, wanted, stable_seconds, identity, clock, limit, grows)
        self._reading = Reading(slug)
        self._growing = Growing(self._reading)
        self._marks: dict[TableName, str] = {}
        self._generation, self._refused = self._book.generation, Refused(self._book)
        self._pruned_at = clock()
        self._shared: dict[str, RecordTable] = {}
        for name, kind in self._book.tables().items():
            self._share(name, kind)
        self._listing: _Listing | None = None

    @property
    def identity(self) -> str | None:
        """The folder's identity since files were first seen in it; to be kept across processes."""
        return self._folder.identity

    def accept(self) -> None:
        """The folder is meant as it is now, be it another one than before, or empty. From any thread."""
        self._folder.accept()

    @property
    def alarms(self) -> list[Rejected]:
        """Of parts of the folder, whose files stay as they were, and of files that cannot be read. From any thread."""
        kept = [
            (name, why) for table in list(self._shared.values()) for name, why in list(table.left_out.items())
        ]
        unreadable = [
            Rejected("GC-2142", folder=name, source=self._slug, reason=why)
            for name, why in kept
            if why is not None
        ]
        return [*self._folder.alarms, *unreadable[:ALARMS_MAX]]

    def hidden(self, table: TableName) -> Rejected | None:
        """Of a table of several files any may lie where this process never looked."""
        alarms = self._folder.alarms
        of_several = self._deciding.is_of_several(table.name) or self._shared_table(table) is not None
        of_several = of_several and not self._folder.is_complete
        return alarms[0] if alarms and (of_several or self._folder.is_hidden(table.name)) else None

    def interrupt(self) -> None:
        """A read from a disk cannot be broken off; each is short."""

    def close(self) -> None:
        self._reading.forget()
        for table in self._shared.values():
            table.close()
        self._book.close()

    # what there is

    def _look(self) -> _Listing:
        """Faults as `Folder.scan`; Permanent GC-1003 where two things would be one table."""
        listing, names = _Listing(), set[str]()
        self._heed()
        for file in self._folder.scan():
            names.add(file.name)
            rule = self._deciding.rule(file)
            if rule is None:  # of kind `auto`, and cannot be looked at yet
                listing.undecided.add(file.name)
                continue
            if registry.is_tabular(rule.kind):
                self._add_tables(listing, file, rule)
                problem = self._refused.problem(file)
                if rule.keep_bytes or problem is not None:
                    self._add_member(listing, FILES, Member(file, rule, problem))
            else:
                self._add_member(listing, rule.table or registry.table_name(rule.kind), Member(file, rule))
        for name in self._shared:
            listing.shared.setdefault(name, [])
        for name in listing.tables.keys() & listing.shared.keys():
            problem = "a table that files share has its name: rename it, or give its rule a `table`"
            self._give_way(listing.tables.pop(name), problem)
        self._prune(names, listing.tables.keys())
        self._listing = listing
        return listing

    def _give_way(self, table: TabularTable, problem: str) -> None:
        """To another of the same name: what has none lands as bytes."""
        for file in table.files:
            fault = Rejected("GC-2008", file=file.name, problem=problem, line=1)
            self._refused.note(file, table.part, fault)

    def _heed(self) -> None:
        """What another process asked to be decided anew."""
        generation = self._book.generation
        if self._generation != generation:
            self._generation = generation
            self._refused.reload()
            self._deciding.forget()
            self._reading.forget()

    def _prune(self, names: Collection[str], tables: Collection[str]) -> None:
        """The book of an inbox would grow for ever."""
        now = self._clock()
        if now - self._pruned_at >= PRUNE_SECONDS and not self._folder.alarms:
            self._pruned_at = now
            self._book.prune(names, tables, now - CHOICE_SECONDS)

    def _add_member(self, listing: _Listing, name: str, member: Member) -> None:
        kind = registry.FILE if registry.is_tabular(member.rule.kind) else member.rule.kind
        if name in self._shared and self._shared[name].name != kind:
            if listing.shared.get(name):
                raise self._clash("files of two kinds cannot share a table")
            del self._shared[name]  # the configuration is another one than it was
        if name not in self._shared:
            self._book.note_table(name, kind)
        self._share(name, kind)
        listing.shared.setdefault(name, []).append(member)

    def _share(self, name: str, kind: str) -> RecordTable:
        if name not in self._shared:
            self._shared[name] = RecordTable(
                kind, registry.records(kind), self._book, self._clock, self._rereading
            )
        return self._shared[name]

    def _add_tables(self, listing: _Listing, file: FoundFile, rule: FileRule) -> None:
        kind = registry.tabular(rule.kind)
        parts: Sequence[str] = ("",)
        if registry.is_parted(rule.kind):
            parts = self._parts(file, rule, kind)
        for part in parts:
            name = fitting((rule.table or file.name) + (f"#{part}" if part else ""))
            table = TabularTable(rule, kind, (file,), self._keys.get(name, rule.key), part)
            known = listing.tables.get(name)
            if known is not None and known.rule.table is None and rule.table is None:
                table = self._one_of(known, table)
            elif known is not None and known.rule is not rule:
                raise self._clash("it is also the name of a file")
            elif known is not None:
                table = replace(known, files=(*known.files, file))
            listing.tables[name] = table

    def _one_of(self, known: TabularTable, new: TabularTable) -> TabularTable:
        """Of two that are called alike, as a sheet and a file may be: the file, as `_single` finds it first."""
        taken, other = (new, known) if known.part and not new.part else (known, new)
        self._give_way(other, "another table has its name: rename the file or the sheet")
        return taken

    def _parts(self, file: FoundFile, rule: FileRule, kind: TabularKind) -> Sequence[str]:
        try:
            parts = list(self._reading.shape(file, rule, kind))
        except Rejected as fault:
            self._refused.note(file, "", fault)
            return self._book.parts(file.name)
        except Transient:
            return self._book.parts(file.name)
        self._refused.accept_all_but(file, parts)
        self._book.note_parts(file.name, parts)
        return parts

    def _clash(self, problem: str) -> Permanent:
        key = f"sources.{self._slug}.rules"
        return Permanent("GC-1003", key=key, path="the configuration", problem=problem)

    def inventory(self) -> list[TableInfo]:
        listing = self._look()
        infos = [self._info(name, table) for name, table in listing.tables.items()]
        infos += [self._shared_info(name, len(members)) for name, members in listing.shared.items()]
        return sorted(infos, key=lambda info: info.name.name)

    def _info(self, name: str, table: TabularTable) -> TableInfo:
        try:
            columns = self._reading.columns(table)
        except Rejected as fault:
            columns = ()  # it exists, although it cannot be described now
            self._note_refusals(table, fault)
        except Transient:
            columns = ()
        key = table.key if set(table.key) <= {column.name for column in columns} else ()
        return TableInfo(
            TableName(None, None, name), tuple((c.name, c.source_type) for c in columns), None, key
        )

    def _shared_info(self, name: str, files: int) -> TableInfo:
        schema = self._shared[name].schema(TableName(None, None, name))
        return TableInfo(
            schema.table, tuple((c.name, c.source_type) for c in schema.columns), files, tuple(schema.key)
        )

    def _note_refusals(self, table: TabularTable, fault: Rejected) -> None:
        for file in table.files:
            if file.name == fault.facts.get("file"):
                self._refused.note(file, table.part, fault)

    def _table(self, table: TableName) -> TabularTable:
        found = None
        if (table.database, table.schema) == (None, None):
            found = self._single(table.name) or self._look().tables.get(table.name)
        if found is None:
            raise self.hidden(table) or Rejected("GC-2002", table=str(table), source=self._slug)
        if found.rule.table is not None and (fault := self.hidden(table)):
            raise fault
        return found

    def _single(self, name: str) -> TabularTable | None:
        """The table that is one known file, or a part of one: found without a look at all others."""
        self._heed()
        found = (self._of_file(name, *place) for place in _places(name))
        return next((table for table in found if table is not None), None)

    def _of_file(self, name: str, file_name: str, part: str) -> TabularTable | None:
        file = self._folder.look(file_name) if self._deciding.is_wanted(file_name) else None
        rule = None if file is None else self._deciding.rule(file)
        if file is None or rule is None or rule.table is not None or not registry.is_tabular(rule.kind):
            return None
        kind = registry.tabular(rule.kind)
        if bool(part) != (registry.is_parted(rule.kind)):
            return None
        if part and part not in self._reading.shape(file, rule, kind):
            return None
        return TabularTable(rule, kind, (file,), self._keys.get(name, rule.key), part)

    def _shared_table(self, table: TableName) -> RecordTable | None:
        is_ours = (table.database, table.schema) == (None, None)
        return self._shared.get(table.name) if is_ours else None

    def describe(self, table: TableName) -> TableSchema:
        if self._shared_table(table) is None and self._single(table.name) is None:
            self._look()
        if (shared := self._shared_table(table)) is not None:
            return shared.schema(table)
        one = self._table(table)
        try:
            return self._reading.describe(table, one)
        except Rejected as fault:
            self._note_refusals(one, fault)
            raise

    def refuge(self, table: TableName) -> TableName | None:
        """Of a table that is a file or a part of one: where its bytes land."""
        if self._deciding.is_of_several(table.name):
            return None
        for name, part in _places(table.name):
            file = self._folder.look(name) if self._deciding.is_wanted(name) else None
            if file is not None and self._refused.stands(file, part):
                return TableName(None, None, FILES)
        return None

    def way(self, schema: TableSchema) -> Way:
        return Way.WHOLE if self._shared_table(schema.table) is None else Way.RANGES

    def token(self, table: TableName) -> str | None:
        turn = self._turn(table)
        if self._shared_table(table) is None:
            return f"{turn} {filetables.fingerprint(self._table(table))}"
        members = self._look().shared[table.name]
        if self._shared[table.name].left_out:  # they may come as they were: nothing would tell
            turn = f"{turn} {int(self._clock() / LEFT_OUT_SECONDS)}"
        states = [(m.file.name, m.file.state, m.file.resting, m.problem, id(m.rule)) for m in members]
        return f"{turn} {hashlib.blake2b(repr(states).encode(), digest_size=16).hexdigest()}"

    def _turn(self, table: TableName) -> str:
        """Another one once all of it is to be read again."""
        return f"{self._book.generation} {self._rereading.turn(table.name)}"

    # tables of files

    def whole(self, schema: TableSchema) -> Iterator[Rows]:
        turn, table = self._turn(schema.table), self._described(schema)
        try:
            yield from self._reading.rows(table, schema)
            mark = self._growing.mark(table, turn)
        except Rejected as fault:
            self._note_refusals(table, fault)
            raise
        self._note_read(schema.table, table, mark)

    def mark(self, table: TableName) -> str:
        return self._marks.pop(table, "")

    def since(self, schema: TableSchema, mark: str) -> Iterator[Rows] | None:
        said = self._book.mark(schema.table.name, mark)
        if said is None:
            return None
        table = self._described(schema)
        grown = self._growing.since(table, schema, said, self._turn(schema.table))
        return None if grown is None else self._grown(schema.table, table, grown)

    def _grown(self, name: TableName, table: TabularTable, grown: Grown) -> Iterator[Rows]:
        yield from grown.rows
        self._note_read(name, table, grown.mark)

    def _described(self, schema: TableSchema) -> TabularTable:
        """What is to be read; Rejected GC-2010 where it has other columns by now."""
        table = self._table(schema.table)
        if self.describe(schema.table).fingerprint != schema.fingerprint:
            raise Rejected("GC-2010", table=str(schema.table))
        return table

    def _note_read(self, name: TableName, table: TabularTable, mark: str) -> None:
        """All of it was; Rejected GC-2014 where it is another one by now (one that only grows was read up to where it
        was)."""
        same = filetables.fingerprint(self._table(name)) == filetables.fingerprint(table)
        if not (same or table.rule.append_only):
            raise Rejected("GC-2014", file=str(name))
        self._marks[name] = self._book.put_mark(name.name, mark) if mark else ""
        for file in table.files:
            self._refused.accept(file, table.part)

    # tables that files share

    def page(self, schema: TableSchema, after: bytes, until: bytes, limits: PageLimits) -> Page:
        """Of what the last look found: what came since comes with the next scan."""
        table = self._unchanged(schema)
        if fault := self.hidden(schema.table):
            raise fault
        listing = self._listing or self._look()
        return table.page(listing.shared.get(schema.table.name, []), after, until, limits)

    def _unchanged(self, schema: TableSchema) -> RecordTable:
        table = self._shared_table(schema.table)
        if table is None or table.schema(schema.table).fingerprint != schema.fingerprint:
            raise Rejected("GC-2010", table=str(schema.table))
        return table

    def present(self, schema: TableSchema, keys: Sequence[bytes]) -> set[bytes]:
        """A file that is a table by now, or of another kind, has no row here."""
        table = self._unchanged(schema)
        listing = self._listing or self._look()
        members = {member.file.name for member in listing.shared.get(schema.table.name, [])}
        members |= listing.undecided
        return table.present(keys, lambda name: self._folder.look(name) if name in members else None)

    def changed(self, schema: TableSchema, column: str, after: bytes, limits: PageLimits) -> Page:
        raise AssertionError("files are scanned")

    def latest(self, schema: TableSchema, column: str) -> bytes:
        raise AssertionError("files are scanned")

    def read_object(self, sha256: bytes, offset: int, count: int) -> bytes:
        for name, state in self._book.named(sha256):
            file = self._folder.look(name)
            if file is None or file.state != state:
                continue
            try:
                with open_shared(file.path) as stream:
                    stream.seek(offset)
                    data = stream.read(count)
                    if FileState.of(os.fstat(stream.fileno())) == state and len(data) == count:
                        return data
            except OSError:
                continue
        raise Rejected("GC-2014", file=FILES)

    def forget_object(self, sha256: bytes) -> None:
        for name, _ in self._book.named(sha256):
            self._book.forget(name)
            for table in self._shared.values():
                table.left_out.setdefault(name, None)


def _places(name: str) -> list[tuple[str, str]]:
    """Of which file, and part of it, a table of that name may be."""
    ends = [len(name), *(i for i, letter in enumerate(name) if letter == "#")]
    return [(name[:end], name[end + 1 :]) for end in ends]
