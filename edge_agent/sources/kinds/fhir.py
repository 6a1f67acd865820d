"""Kind `fhir`: FHIR in JSON. A resource is a record; a bundle is one for itself and one for each of its entries.

A file holds one resource, or one a line (bulk data, NDJSON). `resource` is the text of the resource exactly as the
file has it, a slice of it: numbers keep their digits, keys their order. A bundle is read twice, entry by entry: once
for what it says of itself, which may stand behind its entries, and once for them; so one of any size takes no more
memory than its largest entry. Bytes that are no text, a broken entry or a line that is none cost that record alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

from edge_agent.sources.filerule import AUTO, FileRule
from edge_agent.sources.kinds import decoded
from edge_agent.sources.kinds.decoded import Undecoded
from edge_agent.sources.kinds.fhirfields import COLUMNS, carried, fields, text
from edge_agent.sources.kinds.jsoncursor import Cursor, Extent
from edge_agent.sources.kinds.jsonexact import Malformed, decode, encode, slices
from edge_agent.sources.kinds.kind import Opened, Record
from protocol.limits import KIB, MIB
from protocol.schema import Column

BUNDLE = "Bundle"

RESOURCE_CHARS_MAX = 16 * MIB
"""One entry or one resource, which is held whole."""
MEMBER_CHARS_MAX = 256 * KIB
"""One member of a bundle itself, its entries aside."""
MEMBERS_MAX = 64
"""Members of the outermost object; FHIR has no resource of so many."""
STRANGE_LINES_MAX = 10
"""So many lines at the beginning that are no resources, and it is another kind of file."""

_LINES_SUFFIX = ".ndjson"
_HEAD_BYTES = 4


class _NoResource(Exception):
    """Not even the type of a resource is there; says why."""


class FhirKind:
    @property
    def columns(self) -> tuple[Column, ...]:
        return COLUMNS

    @property
    def version(self) -> int:
        return 1

    def records(self, opened: Opened, rule: FileRule) -> Iterator[Record]:
        file = _File(opened, _encoding(opened, rule))
        try:
            survey = None if opened.name.lower().endswith(_LINES_SUFFIX) else _survey(file.cursor())
            if survey is None or (survey.is_followed and survey.is_one_line):
                yield from _lines(file)
            else:
                yield from _resources(file.cursor, survey)
        except _NoResource as reason:
            raise opened.refused(f"it is no FHIR resource: {reason}") from None


def _encoding(opened: Opened, rule: FileRule) -> str:
    opened.stream.seek(0)
    told = decoded.marked(opened.stream.read(_HEAD_BYTES))
    if told is None and rule.encoding == AUTO:
        told = decoded.detected(opened.stream, opened.size)
    return told or decoded.charset(rule.encoding) or "utf-8"


@dataclass(frozen=True, slots=True)
class _File:
    opened: Opened
    encoding: str

    def pieces(self) -> Iterator[str]:
        """What is no text stands in them as lone surrogates; where not even that goes (UTF-16) they break off."""
        try:
            yield from decoded.pieces(self.opened.stream, self.encoding, "surrogateescape")
        except Undecoded:
            return

    def cursor(self) -> Cursor:
        return Cursor(self.pieces())


@dataclass(slots=True)
class _Survey:
    """What the outermost object says of itself."""

    members: dict[str, Extent] = field(default_factory=dict)
    """All but the list of entries, each as its text."""
    problem: str | None = None
    is_one_line: bool = False
    is_followed: bool = False
    """Something stands behind it."""

    @property
    def resource_type(self) -> str | None:
        try:
            said = self.members["resourceType"]
            found = decode(said.text or "", said.depth)
        except (KeyError, Malformed):
            return None
        return found if type(found) is str and found else None


def _survey(cursor: Cursor) -> _Survey:
    survey = _Survey()
    if cursor.peek() != "{":
        raise _NoResource("it does not begin as one")
    begun = cursor.lines
    met: set[str] = set()
    try:
        for key in cursor.keys():  # noqa: SIM118 (no dict)
            if key in met:
                survey.problem = "a key stands twice in one object"
            met.add(key)
            if key == "entry" and cursor.peek() == "[":
                cursor.value(0)
            elif len(met) > MEMBERS_MAX:
                raise Malformed(f"it has more than {MEMBERS_MAX} members")
            else:
                survey.members[key] = cursor.value(MEMBER_CHARS_MAX)
        survey.is_one_line = cursor.lines == begun
        survey.is_followed = cursor.peek() != ""
        if survey.is_followed:
            survey.problem = "something stands behind it"
    except Malformed as reason:
        survey.problem = str(reason)
    if survey.resource_type is None:
        raise _NoResource(survey.problem or "it has no resourceType")
    return survey


def _resources(cursor: Callable[[], Cursor], survey: _Survey) -> Iterator[Record]:
    """Of the outermost object that was surveyed."""
    if survey.resource_type != BUNDLE:
        yield _whole(cursor(), survey)
        return
    own, bundle = _bundle(survey)
    yield own
    with suppress(Malformed):  # between the lists of entries, where the survey met it, too
        yield from _entries(cursor(), bundle)


def _whole(cursor: Cursor, survey: _Survey) -> Record:
    """Of a resource that is no bundle."""
    values: dict[str, Any] = {"resource_type": survey.resource_type}
    problem = survey.problem
    if problem is None:
        try:
            extent = cursor.value(RESOURCE_CHARS_MAX)
            held = _held(extent)
            found, problem = _resource(decode(held, extent.depth), held)
            values |= found
        except Malformed as reason:
            problem = str(reason)
    return _record(values, problem)


def _bundle(survey: _Survey) -> tuple[Record, dict[str, Any]]:
    """The record of a bundle itself, and what the records of its entries say of it."""
    problem = survey.problem
    own: dict[str, Any] = {}
    for key, member in survey.members.items():
        try:
            own[key] = decode(_held(member), member.depth)
        except Malformed as reason:
            problem = problem or str(reason)
    bundle = {"bundle_id": text(own, "id"), "bundle_type": text(own, "type")}
    total = own.get("total")
    values = fields(own) | bundle | {"bundle_total": str(total) if isinstance(total, str) else None}
    if problem is None:
        values["resource"] = _object({key: _held(member) for key, member in survey.members.items()})
    return _record(values, problem), bundle


def _entries(cursor: Cursor, bundle: dict[str, Any]) -> Iterator[Record]:
    number = 0
    for key in cursor.keys():  # noqa: SIM118 (no dict)
        if key != "entry" or cursor.peek() != "[":
            cursor.value(0)
            continue
        try:
            for _ in cursor.items():
                values, problem = _entry(cursor.value(RESOURCE_CHARS_MAX))
                yield _record(values | bundle | {"entry": number}, problem)
                number += 1
        except Malformed as reason:
            yield _record(bundle | {"entry": number}, f"the entries end here: {reason}")
            return


def _entry(extent: Extent) -> tuple[dict[str, Any], str | None]:
    """The columns of an entry and what is wrong with it."""
    try:
        held = _held(extent)
        entry = decode(held, extent.depth)
    except Malformed as reason:
        return {}, str(reason)
    if not isinstance(entry, dict):
        return {}, "the entry is no object"
    members = slices(held)
    url, resource = text(entry, "fullUrl"), members.pop("resource", None)
    if url is not None:
        del members["fullUrl"]
    values = {"full_url": url, "entry_members": _object(members) if members else None}
    if resource is None:
        return values, None
    found, problem = _resource(entry["resource"], resource)
    return found | values, problem


def _resource(decoded_one: Any, written: str) -> tuple[dict[str, Any], str | None]:
    """The columns of a resource and what is wrong with it."""
    if not isinstance(decoded_one, dict) or not text(decoded_one, "resourceType"):
        return {"resource": written}, "it has no resourceType"
    return fields(decoded_one) | {"resource": written}, None


def _held(extent: Extent) -> str:
    if extent.text is None:
        raise Malformed("it is too long to be held")
    return extent.text


def _object(members: Mapping[str, str]) -> str:
    """An object of members as they are written."""
    return "{" + ",".join(f"{encode(key)}:{value}" for key, value in members.items()) + "}"


def _lines(file: _File) -> Iterator[Record]:
    """Each line a resource."""
    strange: list[Record] = []
    is_known = False
    for line in _split(file.pieces()):
        cursor = partial(_over, line or "")
        try:
            survey = _survey(cursor())
        except _NoResource as reason:
            problem = (
                "the line is too long to be held" if line is None else f"the line is no resource: {reason}"
            )
            strange.append(_record({}, problem))
            if not is_known and len(strange) == STRANGE_LINES_MAX:
                raise
        else:
            is_known = True
            yield from strange
            strange.clear()
            yield from _resources(cursor, survey)
    if not is_known:
        raise _NoResource("no line begins as one")
    yield from strange


def _over(held: str) -> Cursor:
    return Cursor(iter((held,)))


def _split(pieces: Iterator[str]) -> Iterator[str | None]:
    """The lines that are not blank; None: one that is too long."""
    held: list[str] = []
    chars = 0
    for piece in chain(pieces, ("\n",)):
        *ended, rest = piece.split("\n")
        for part in ended:
            line = "".join([*held, part])
            if chars + len(part) > RESOURCE_CHARS_MAX:
                yield None
            elif line.strip():
                yield line
            held, chars = [], 0
        chars += len(rest)
        held = [*held, rest] if chars <= RESOURCE_CHARS_MAX else []


def _record(values: Mapping[str, Any], problem: str | None) -> Record:
    sound, is_whole = carried(values)
    if not is_whole and problem is None:
        problem = "it holds bytes or characters that are no text"
    return Record([sound.get(column.name) for column in COLUMNS], problem)
