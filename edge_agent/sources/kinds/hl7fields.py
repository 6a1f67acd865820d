"""The columns of the table `hl7`: the fields by which people search for messages, each with where it comes from.

A *field* stands as it does in the message, delimiters and escape sequences included; a *value* is the first component
of the first repetition, in plain characters; *all* are the repetitions of a field in every segment of that name, as
JSON like `message`. What is absent or empty is null; HL7's own null, two quotation marks, stands as they do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

from edge_agent.sources.kinds import moments
from edge_agent.sources.kinds.hl7text import Segment, Syntax, as_json
from edge_agent.sources.kinds.moments import Moment
from protocol.change import TIME
from protocol.schema import COMMENT, Column

Segments: TypeAlias = dict[str, list[Segment]]
"""By name, in the order of the message."""

_NONE = frozenset({"", '""'})

_Type: TypeAlias = tuple[pa.DataType, str]
"""Wire type, and what a value is."""
_Read: TypeAlias = Callable[[Segments, Syntax], Any]


def _first(segments: Segments, name: str, number: int) -> str:
    found = segments.get(name)
    return found[0].field(number) if found else ""


def _field(name: str, number: int) -> _Read:
    return lambda segments, _: _first(segments, name, number) or None


def _value(name: str, number: int, component: int = 1) -> _Read:
    return lambda segments, syntax: syntax.value(_first(segments, name, number), component) or None


def _all(name: str, number: int) -> _Read:
    def read(segments: Segments, syntax: Syntax) -> str | None:
        fields = [field for segment in segments.get(name, ()) if (field := segment.field(number))]
        return f"[{','.join(syntax.spelt_fields(field)[1:-1] for field in fields)}]" if fields else None

    return read


def _numbers(number: int) -> _Read:
    """Of ORC and then of OBR, in the order of the message, each once."""

    def read(segments: Segments, syntax: Syntax) -> str | None:
        orders = [*segments.get("ORC", ()), *segments.get("OBR", ())]
        values = dict.fromkeys(syntax.value(order.field(number)) for order in orders)
        numbers = [value for value in values if value not in _NONE]
        return as_json(numbers) if numbers else None

    return read


def _moment(segments: Segments, syntax: Syntax) -> Moment | None:
    return moments.of_hl7(syntax.value(_first(segments, "MSH", 7)))


def _at(segments: Segments, syntax: Syntax) -> datetime | None:
    moment = _moment(segments, syntax)
    return None if moment is None else moment.instant


def _local(segments: Segments, syntax: Syntax) -> datetime | None:
    moment = _moment(segments, syntax)
    return None if moment is None else moment.local


_TEXT = (pa.string(), "text")
_JSON = (pa.string(), "json")
_AT = (TIME, "timestamp")
_LOCAL = (pa.timestamp("us"), "timestamp")
_COUNT = (pa.int64(), "integer")

_SEARCHED: tuple[tuple[str, _Type, str, _Read], ...] = (
    ("message_type", _TEXT, "MSH-9", _field("MSH", 9)),
    ("trigger_event", _TEXT, "MSH-9.2", _value("MSH", 9, 2)),
    ("message_time", _TEXT, "MSH-7", _field("MSH", 7)),
    ("message_at", _AT, "MSH-7, where it is exact and has a zone", _at),
    ("message_local", _LOCAL, "MSH-7 as the wall clock, where it is exact", _local),
    ("sending_application", _TEXT, "MSH-3", _field("MSH", 3)),
    ("sending_facility", _TEXT, "MSH-4", _field("MSH", 4)),
    ("receiving_application", _TEXT, "MSH-5", _field("MSH", 5)),
    ("receiving_facility", _TEXT, "MSH-6", _field("MSH", 6)),
    ("control_id", _TEXT, "MSH-10", _field("MSH", 10)),
    ("processing_id", _TEXT, "MSH-11", _field("MSH", 11)),
    ("version", _TEXT, "MSH-12", _field("MSH", 12)),
    ("charset", _TEXT, "MSH-18", _field("MSH", 18)),
    ("patient_id", _TEXT, "PID-3.1 of the first repetition", _value("PID", 3)),
    ("patient_ids", _JSON, "PID-3 of every PID, as JSON", _all("PID", 3)),
    ("prior_patient_ids", _JSON, "MRG-1 of every MRG, as JSON", _all("MRG", 1)),
    ("patient_name", _TEXT, "PID-5", _field("PID", 5)),
    ("birth_date", _TEXT, "PID-7", _field("PID", 7)),
    ("sex", _TEXT, "PID-8", _field("PID", 8)),
    ("account_number", _TEXT, "PID-18.1", _value("PID", 18)),
    ("visit_number", _TEXT, "PV1-19.1", _value("PV1", 19)),
    ("placer_orders", _JSON, "ORC-2.1 and OBR-2.1, each number once, as JSON", _numbers(2)),
    ("filler_orders", _JSON, "ORC-3.1 and OBR-3.1, each number once, as JSON", _numbers(3)),
)

_BESIDE: tuple[tuple[str, _Type, str], ...] = (
    ("file_control_id", _TEXT, "FHS-11"),
    ("file_header", _JSON, "the segment FHS above it, as JSON"),
    ("batch_control_id", _TEXT, "BHS-11"),
    ("batch_header", _JSON, "the segment BHS above it, as JSON"),
    ("encoding", _TEXT, "the encoding in which it was read"),
    ("segments", _COUNT, "how many segments it has"),
    ("message", _JSON, "the whole message, as JSON"),
    ("text", _TEXT, "the message as it stands, decoded"),
)


COLUMNS = tuple(
    Column(name, wire, source_type, {COMMENT: origin})
    for name, (wire, source_type), origin in (*(column[:3] for column in _SEARCHED), *_BESIDE)
)


class Heading(NamedTuple):
    """Of the segment FHS or BHS that a message stands under: control id and the segment as JSON."""

    control_id: str | None = None
    header: str | None = None


class Content(NamedTuple):
    """Of a message: how it was read, and what was read. None: not known."""

    encoding: str | None = None
    segments: int | None = None
    message: str | None = None
    text: str | None = None


def row(
    segments: Sequence[Segment], syntax: Syntax | None, file: Heading, batch: Heading, content: Content
) -> tuple[Any, ...]:
    """One value a column; those by which people search from `segments`, None where there is no `syntax`."""
    by_name: Segments = {}
    for segment in segments:
        by_name.setdefault(segment.name, []).append(segment)
    searched = (None if syntax is None else read(by_name, syntax) for *_, read in _SEARCHED)
    return (*searched, *file, *batch, *content)
