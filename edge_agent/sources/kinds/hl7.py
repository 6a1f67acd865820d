"""Kind `hl7`: a row for each message of HL7 v2 in a file, however the file holds them.

One message or many, in batches (FHS, BHS, BTS, FTS) or without, as a device dumped them (MLLP) or an editor saved them.
A message that cannot be read whole is a row with a `problem` and with what of it is certain; so is what stands between
messages, and a batch that has not as many messages as it says or does not end. `hl7framing` finds the messages,
`hl7message` makes a row of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.hl7fields import COLUMNS, Heading
from edge_agent.sources.kinds.hl7framing import STRAY, Piece, Pieces
from edge_agent.sources.kinds.hl7message import Reader
from edge_agent.sources.kinds.kind import Opened, Record
from protocol.schema import Column

_COUNT_DIGITS_MAX = 18


class Hl7Kind:
    """The record kind `hl7`."""

    @property
    def columns(self) -> tuple[Column, ...]:
        return COLUMNS

    @property
    def version(self) -> int:
        return 1

    def records(self, opened: Opened, rule: FileRule) -> Iterator[Record]:
        """Rejected GC-2008 where neither a message nor a batch begins at the beginning of the file."""
        pieces = Pieces(opened.stream)
        if not pieces.head:
            raise opened.refused("no HL7 message begins in it" if opened.size else "it is empty")
        yield from _File(Reader(rule.encoding, pieces.wide, pieces.marked)).records(pieces)


@dataclass(slots=True)
class _Open:
    """A file or batch of the batch protocol that has begun; `holds` counts its batches or messages."""

    heading: Heading
    holds: int = 0


_NONE = Heading()


class _File:
    """Where in the batches of a file the reading is."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._file: _Open | None = None
        self._batch: _Open | None = None

    def records(self, pieces: Pieces) -> Iterator[Record]:
        read: dict[str, Callable[[Piece], Iterator[Record]]] = {
            "MSH": self._message,
            "FHS": self._file_begins,
            "BHS": self._batch_begins,
            "BTS": self._batch_ends,
            "FTS": self._file_ends,
            STRAY: self._stray,
        }
        is_any = False
        for piece in pieces:
            for record in read[piece.kind](piece):
                is_any = True
                yield record
        for record in self._missing_ends():
            is_any = True
            yield record
        if not is_any:
            yield self._noted("it holds no message")

    def _message(self, piece: Piece) -> Iterator[Record]:
        if self._batch is not None:
            self._batch.holds += 1
        yield self._reader.message(piece, *self._headings())

    def _headings(self) -> tuple[Heading, Heading]:
        file, batch = self._file, self._batch
        return _NONE if file is None else file.heading, _NONE if batch is None else batch.heading

    def _noted(self, problem: str, piece: Piece | None = None) -> Record:
        return self._reader.noted(problem, piece, *self._headings())

    def _stray(self, piece: Piece) -> Iterator[Record]:
        yield self._noted("what stands here belongs to no message", piece)

    def _file_begins(self, piece: Piece) -> Iterator[Record]:
        yield from self._missing_ends()
        self._file = _Open(self._reader.heading(piece))
        yield from self._beside(piece)

    def _batch_begins(self, piece: Piece) -> Iterator[Record]:
        yield from self._missing_batch_end()
        self._batch = _Open(self._reader.heading(piece))
        if self._file is not None:
            self._file.holds += 1
        yield from self._beside(piece)

    def _batch_ends(self, piece: Piece) -> Iterator[Record]:
        if self._batch is None:
            yield self._noted("a batch ends that has not begun", piece)
        elif self._says_otherwise(piece, self._batch.holds):
            yield self._noted("the batch does not hold as many messages as it says", piece)
        self._batch = None
        yield from self._beside(piece)

    def _file_ends(self, piece: Piece) -> Iterator[Record]:
        yield from self._missing_batch_end()
        if self._file is None:
            yield self._noted("a batch file ends that has not begun", piece)
        elif self._file.holds and self._says_otherwise(piece, self._file.holds):
            yield self._noted("the batch file does not hold as many batches as it says", piece)
        self._file = None
        yield from self._beside(piece)

    def _missing_ends(self) -> Iterator[Record]:
        yield from self._missing_batch_end()
        if self._file is not None:
            yield self._noted("a batch file does not end")
        self._file = None

    def _missing_batch_end(self) -> Iterator[Record]:
        if self._batch is not None:
            yield self._noted("a batch does not end")
        self._batch = None

    def _says_otherwise(self, piece: Piece, count: int) -> bool:
        said = self._reader.first_field(piece)
        return said.isdecimal() and len(said) <= _COUNT_DIGITS_MAX and int(said) != count

    def _beside(self, piece: Piece) -> Iterator[Record]:
        """What stands in the lines behind a header or trailer."""
        if self._reader.is_more_than_a_line(piece):
            yield from self._stray(piece)
