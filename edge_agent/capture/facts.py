"""What a table's capture remembers from one transaction to the next: the `facts` beside its phase in the spool.

Every step commits them with the work that they cover, so that a new process goes on exactly there. They are
small, typed here and JSON in the spool; that a snapshot is under way is told by the phase and by `progress`.
Some outlive any pass (`lasting`): whoever commits a pass takes those from the spool as they stand there now,
for polls and windows move them between two of its steps.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from protocol import canonical

from ..spool.records import TableState

FIRST, BACK, COLUMNS_CHANGED, ASKED_FOR = "first", "back", "columns changed", "asked for"
WAY_CHANGED = "way changed"
"""Why a snapshot begins. Of the last: scans and log know nothing of what the other one sent."""
_PLAIN = ("confirmed", "before", "deleted", "of", "checked", "gone", "mark")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a snapshot is. `cursor` is the canonical key up to which it has read; once it is `complete`
    nothing is left but its end mark, which may have to wait for a person."""

    id: str
    reason: str
    cursor: bytes = b""
    batches: int = 0
    rows: int = 0
    set_hash: int = 0
    complete: bool = False

    def plus(self, cursor: bytes, batches: int, lines: list[bytes]) -> Progress:
        """After a chunk with these canonical rows."""
        return replace(
            self,
            cursor=cursor,
            batches=self.batches + batches,
            rows=self.rows + len(lines),
            set_hash=canonical.add_to_set_hash(self.set_hash, canonical.digests(lines)),
        )

    @property
    def set_hash_text(self) -> str:
        """32 hex digits, as the end mark has it."""
        return f"{self.set_hash:032x}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"cursor": self.cursor.hex(), "set_hash": self.set_hash_text}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Progress:
        cursor, set_hash = bytes.fromhex(said["cursor"]), int(said["set_hash"], 16)
        return cls(**said | {"cursor": cursor, "set_hash": set_hash})


@dataclass(frozen=True, slots=True)
class Reading:
    """What one statement read, on its way to the spool: its scratch file, the index of the table as it is then and of
    how many rows, and how many of the scratch's slices and then of the deletions were sent. `behind`: what was read
    stands behind all that was there before. `mark`: up to where it read (`GrowingSource`)."""

    scratch: str
    index: str
    rows: int
    slices: int = 0
    deletes: int = 0
    behind: bool = False
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Polled:
    """How far the polls of `column` have come: the canonical row of its value alone, b"" before any."""

    column: str
    position: bytes


@dataclass(frozen=True, slots=True)
class Recent:
    """Which keys the last look at the window of `column` saw: an index file (its digests say nothing)."""

    column: str
    file: str
    rows: int


@dataclass(frozen=True, slots=True)
class Followed:
    """What is remembered of a table that is captured by its source's log. `identity` (`sources.log.Chunk`) as it was
    when its snapshot began, "" where the next one that is seen counts. `reread`: canonical keys of rows to be read
    once more before the snapshot ends. `stale`: why it must be read anew, "" where it need not."""

    identity: str = ""
    reread: tuple[bytes, ...] = ()
    stale: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"reread": [key.hex() for key in self.reread]}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Followed:
        return cls(**said | {"reread": tuple(bytes.fromhex(key) for key in said["reread"])})


@dataclass(frozen=True, slots=True)
class Facts:
    """`confirmed`: a person has said that the deletions are meant. `before`: how many rows were known when a
    snapshot began that reads without the old index. `deleted` rows `of` so many have gone since the last
    complete pass: a table must not vanish bit by bit, one interrupted pass after the other. `checked`: when the
    last scan began that read all of the table (microseconds UTC), where it is worth remembering. `gone`: it was
    dropped with a person's word in an older epoch, of which the centre may not have heard. `mark`: up to where the
    source was read for the index (`GrowingSource`)."""

    progress: Progress | None = None
    reading: Reading | None = None
    confirmed: bool = False
    before: int = 0
    deleted: int = 0
    of: int = 0
    polled: Polled | None = None
    recent: Recent | None = None
    checked: int = 0
    gone: bool = False
    log: Followed | None = None
    mark: str = ""

    @property
    def under_way(self) -> bool:
        """Whether some of the table was read already, by an earlier step."""
        begun = self.progress is not None and (self.progress.complete or self.progress.cursor != b"")
        return begun or self.reading is not None

    @property
    def lasting(self) -> Facts:
        """What the end of a pass leaves."""
        return Facts(
            polled=self.polled, recent=self.recent, checked=self.checked, log=self.log, mark=self.mark
        )

    def beside(self, lasting: Facts) -> Facts:
        """These, with what outlives a pass taken from `lasting`."""
        return replace(
            self, polled=lasting.polled, recent=lasting.recent, checked=lasting.checked, log=lasting.log
        )

    @property
    def files(self) -> list[str]:
        """Of index and scratch, what no shard names."""
        of_reading = [self.reading.scratch, self.reading.index] if self.reading else []
        return of_reading + ([self.recent.file] if self.recent else [])

    def to_json(self) -> dict[str, Any]:
        """Without what is as at the beginning. The spool looks for `files`."""
        said: dict[str, Any] = {name: value for name in _PLAIN if (value := getattr(self, name))}
        if self.progress is not None:
            said["progress"] = self.progress.to_json()
        if self.reading is not None:
            said["reading"] = asdict(self.reading)
        if self.polled is not None:
            said["polled"] = {"column": self.polled.column, "position": self.polled.position.hex()}
        if self.recent is not None:
            said["recent"] = asdict(self.recent)
        if self.log is not None:
            said["log"] = self.log.to_json()
        return said | ({"files": self.files} if self.files else {})

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Facts:
        fields = {name: value for name, value in said.items() if name != "files"}
        if "progress" in said:
            fields["progress"] = Progress.from_json(said["progress"])
        if "reading" in said:
            fields["reading"] = Reading(**said["reading"])
        if "polled" in said:
            position = bytes.fromhex(said["polled"]["position"])
            fields["polled"] = Polled(said["polled"]["column"], position)
        if "recent" in said:
            fields["recent"] = Recent(**said["recent"])
        if "log" in said:
            fields["log"] = Followed.from_json(said["log"])
        return cls(**fields)


def facts_of(state: TableState | None) -> Facts:
    """Of a table's state as the spool has it."""
    return Facts.from_json(state.facts) if state else Facts()
