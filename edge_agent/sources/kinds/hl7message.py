"""One message of HL7 v2, from its bytes to its row, whole or as far as it is certain.

A message that does not decode still gives what stands in each segment before the first byte that is not ASCII: that
reads the same in every encoding that it might be in, and nothing behind it does (in GBK the second byte of a character
may look like a delimiter). Too long or too full a message gives a row that says so. Knows no batch and no file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from edge_agent.sources.kinds.hl7charset import decoded
from edge_agent.sources.kinds.hl7fields import Content, Heading, row
from edge_agent.sources.kinds.hl7framing import MESSAGE_BYTES_MAX, Piece
from edge_agent.sources.kinds.hl7text import UNNAMED, Segment, Syntax
from edge_agent.sources.kinds.kind import Record
from protocol.limits import MIB

LINES_MAX = 200_000
DELIMITERS_MAX = 500_000
"""Of one message. A day's curve of an intensive care unit has thousands of segments and tens of thousands of values;
what a delimiter parts takes some 100 bytes while it is parsed."""

_UNDECODED = "it is no text of the encoding that MSH-18 or its rule names"
_UNDECLARED = "MSH-1 and MSH-2 declare no delimiters"
_LONG = f"it is longer than {MESSAGE_BYTES_MAX // MIB} MiB"
_FULL = f"it has more than {DELIMITERS_MAX} delimiters or {LINES_MAX} lines"
_LINE = "a line in it names no segment"

_CHARSET_FIELD = 18
_BREAK = re.compile(rb"\r\n|\r|\n")
_TEXT_BREAK = re.compile(r"[\r\n]")
_CERTAIN = re.compile(rb"[\x00-\x1a\x1c-\x7f]*")
"""ASCII in all encodings that begin with it; behind ESC or another byte the next ones may be parts of characters."""


class Reader:
    """Of the messages of one file: `rule` is the encoding that its rule names, `wide` the encoding of the file if its
    pieces were made UTF-8, `marked` whether it begins with UTF-8's mark."""

    def __init__(self, rule: str, wide: str | None, marked: bool) -> None:
        self._rule, self._wide, self._marked = rule, wide, marked

    def message(self, piece: Piece, file: Heading, batch: Heading) -> Record:
        result = self._decoded(piece.data)
        if result is None:
            segments, known = _certain(piece.data)
            return Record(row(segments, known, file, batch, Content()), _UNDECODED)
        text, encoding = result
        syntax = Syntax.declared(text, encoding)
        if syntax is None or _is_full(text, syntax):
            values = row((), None, file, batch, Content(encoding, text=text if piece.whole else None))
            return Record(values, _UNDECLARED if syntax is None else _FULL)
        segments = syntax.segments(text)
        if not piece.whole:
            whole = segments[:-1] or segments  # the last one may go on
            return Record(row(whole, syntax, file, batch, Content(encoding)), _LONG)
        named = sum(segment.name != UNNAMED for segment in segments)
        message = f"[{','.join(map(syntax.spelt, segments))}]"
        content = Content(encoding, named, message, text)
        return Record(row(segments, syntax, file, batch, content), None if named == len(segments) else _LINE)

    def noted(self, problem: str, piece: Piece | None, file: Heading, batch: Heading) -> Record:
        """A row of what is no message."""
        result = self._decoded(piece.data) if piece is not None and piece.whole else None
        text, encoding = result or (None, None)
        return Record(row((), None, file, batch, Content(encoding, text=text)), problem)

    def heading(self, piece: Piece) -> Heading:
        """Of FHS or BHS; empty where it cannot be read."""
        text, encoding = self._decoded(piece.data) or ("", "")
        syntax = Syntax.declared(text, encoding)
        if syntax is None or _is_full(text, syntax):
            return Heading()
        segment = syntax.segments(text)[0]
        return Heading(segment.field(11) or None, syntax.spelt(segment))

    def first_field(self, piece: Piece) -> str:
        """Of BTS or FTS, whose fourth character is the separator."""
        line = _BREAK.split(piece.data, maxsplit=1)[0].decode("ascii", "replace")
        return line[4:].split(line[3:4] or None, 1)[0] if line[4:] else ""

    def is_more_than_a_line(self, piece: Piece) -> bool:
        return len(_BREAK.split(piece.data.strip(), maxsplit=1)) > 1

    def _decoded(self, data: bytes) -> tuple[str, str] | None:
        """The text and Python's name of its encoding."""
        if self._wide is not None:
            try:
                return data.decode(), self._wide
            except UnicodeDecodeError:
                return None
        declared = _declared(_BREAK.split(data, maxsplit=1)[0].decode("latin-1"))
        result = decoded(data, declared, self._rule, self._marked)
        if (
            result is not None
            and (truly := _declared(_TEXT_BREAK.split(result[0], maxsplit=1)[0])) != declared
        ):
            # A character in MSH had a byte that looks like the separator.
            result = decoded(data, truly, self._rule, self._marked) or result
        return result


def _declared(head: str) -> list[str]:
    """The repetitions of MSH-18."""
    if not head.startswith("MSH") or not head[3:4]:
        return []
    fields = head.split(head[3], _CHARSET_FIELD)
    charset = fields[_CHARSET_FIELD - 1] if len(fields) >= _CHARSET_FIELD else ""
    repetition = fields[1][1:2]
    return charset.split(repetition) if repetition else [charset]


def _is_full(text: str, syntax: Syntax) -> bool:
    return syntax.count(text) > DELIMITERS_MAX or text.count("\r") + text.count("\n") > LINES_MAX


def _certain(data: bytes) -> tuple[Sequence[Segment], Syntax | None]:
    """The fields of a message that are the same in every encoding, and surely end where they seem to."""
    lines = _BREAK.split(data.rstrip(b"\r\n"), maxsplit=LINES_MAX)[:LINES_MAX]
    syntax = Syntax.declared(_certain_fields(lines[0], lines[0][3:4] or b"|"))
    if syntax is None:
        return (), None
    separator = syntax.separator.encode()
    named = re.compile(rb"[ \t]*[A-Z][A-Z0-9]{2}" + re.escape(separator))
    kept = []
    for line, following in zip(lines, [*lines[1:], None], strict=True):
        if named.match(line):
            fields = _certain_fields(line, separator)
            goes_on = following is not None and not named.match(following)
            kept.append(fields.rpartition(syntax.separator)[0] if goes_on else fields)
    text = "\r".join(kept)
    return ((), None) if _is_full(text, syntax) else (syntax.segments(text), syntax)


def _certain_fields(line: bytes, separator: bytes) -> str:
    """All fields of a line that end before its first byte that is not certain."""
    certain = _CERTAIN.match(line)
    assert certain is not None
    whole = certain.end() == len(line)
    return (line if whole else certain[0].rpartition(separator)[0]).decode("ascii")
