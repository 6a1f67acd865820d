"""Kind `fixed`: lines of columns of fixed width, in bytes of the encoding, each value exactly what stands there.

Blanks that fill a column are part of its value: whether they were meant, the file does not say. A value whose bytes are
no text is null and stands aside with them, as does half a character that a width cuts off. Names come from the rule,
from a first line of the same columns, or are c1, c2, …. How lines are told apart is `fixedlines`'.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from edge_agent.sources.columns import Carrier, Encoded, Layout
from edge_agent.sources.csvtext import problem_of_names
from edge_agent.sources.escaped import breaks_lines_plainly, is_shifting
from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.encoding import encoding_of
from edge_agent.sources.kinds.fixedlines import FixedLines
from edge_agent.sources.kinds.kind import FileTable, Head, Opened
from edge_agent.sources.slicing import slices
from edge_agent.sources.source import Rows
from protocol.errors import Rejected
from protocol.limits import COLUMNS_MAX, MIB
from protocol.schema import Column

SLICE_ROWS = 5_000
SLICE_BYTES = 4 * MIB
LINE_BYTES_MAX = 16 * MIB
"""Of all widths together; a line is held whole."""
SOURCE_TYPE = "text"


class FixedKind:
    companions: tuple[str, ...] = ()

    def tables(self, opened: Opened, rule: FileRule) -> Sequence[FileTable]:
        if len(rule.widths) > COLUMNS_MAX or sum(rule.widths) > LINE_BYTES_MAX:
            raise opened.refused("the widths of its rule are more than a line may have")
        lines = FixedLines(opened, encoding_of(opened, rule), rule.widths)
        return [FixedTable(lines, _names(opened, lines, rule))]

    def head(self, opened: Opened, rule: FileRule) -> Head | None:
        encoding = encoding_of(opened, rule)
        if not breaks_lines_plainly(encoding):
            return None
        end = FixedLines(opened, encoding, rule.widths).first_end
        return Head(encoding, end, 0 if rule.header and not rule.names else 1)


def _names(opened: Opened, lines: FixedLines, rule: FileRule) -> tuple[str, ...]:
    if rule.names:
        names = rule.names
    elif rule.header:
        try:
            names = tuple(value.decode(lines.encoding).strip() for value in lines.header())
        except UnicodeError:
            raise Rejected("GC-2011", file=opened.name, encoding=lines.encoding) from None
    else:
        names = tuple(f"c{i}" for i in range(1, len(rule.widths) + 1))
    if problem := problem_of_names(names):
        raise opened.refused(problem)
    return names


class FixedTable:
    part = ""

    def __init__(self, lines: FixedLines, names: tuple[str, ...]) -> None:
        self._lines = lines
        self._names = names
        self.columns = tuple(Column(name, pa.string(), SOURCE_TYPE) for name in names)

    def rows(self) -> Iterator[Rows]:
        return slices(self._fetch, SLICE_ROWS, SLICE_BYTES)

    def _fetch(self, count: int) -> Rows:
        lines = self._lines.take(count)
        by_column: list[Sequence[bytes]] = list(zip(*lines, strict=True)) or [()] * len(self._names)
        texts = [_at_once(values, self._lines.encoding) for values in by_column]
        carriers = [Carrier.TEXT if text is not None else Encoded(self._lines.encoding) for text in texts]
        layout = Layout(self._names, (pa.string(),) * len(self._names), tuple(carriers))
        return layout.columns(
            [values if text is None else text for values, text in zip(by_column, texts, strict=True)],
            len(lines),
        )


def _at_once(values: Sequence[bytes], encoding: str) -> list[str] | None:
    """The texts that a column's values are, which hold no line feed; None where they must be looked at one by one.

    Measured, three times as fast as one by one. A value that breaks off in a character makes one with the line feed
    behind it in no encoding that does not shift.
    """
    if is_shifting(encoding):
        return None
    joined = "\n".encode(encoding).join(values)
    try:
        text = joined.decode(encoding)
        if text.encode(encoding) != joined:
            return None
    except UnicodeError:
        return None
    found = text.split("\n")
    return found if len(found) == len(values) else None
