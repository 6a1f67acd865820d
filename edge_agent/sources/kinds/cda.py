"""Kind `cda`: a file is one clinical document in XML (CDA R2, C-CDA, the documents of WS/T 500): one record.

Beside the whole document as text stand the fields by which people search, each from one path (`FIELDS`), exactly as
the document has it; where a path meets several elements the first one counts at each step. A document is decoded by
its byte order mark, else by its own declaration. Where that does not decode: GBK and GB2312 as GB18030, which holds
both, since many a writer declares the smaller one; then the rule's encoding, which "auto" leaves to likelihood.
`encoding` says which it was. Nothing beyond the document is read, and nothing in it is resolved (see `outline`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from edge_agent.sources.filerule import AUTO, FileRule
from edge_agent.sources.kinds import decoded, moments
from edge_agent.sources.kinds.decoded import Undecoded
from edge_agent.sources.kinds.kind import Opened, Record
from edge_agent.sources.kinds.outline import Element, Kept, Outline
from protocol.errors import Rejected
from protocol.limits import MIB
from protocol.schema import COMMENT, Column

NAMESPACE = "urn:hl7-org:v3"
ROOT = "ClinicalDocument"

DOCUMENT_CHARS_MAX = 16 * MIB
"""A longer one is read for its fields alone: it would take some 100 MB to hold it as a value."""

FIELDS: Mapping[str, str] = {
    "document_id_root": "id/@root",
    "document_id_extension": "id/@extension",
    "set_id_root": "setId/@root",
    "set_id_extension": "setId/@extension",
    "version_number": "versionNumber/@value",
    "type_code": "code/@code",
    "type_code_system": "code/@codeSystem",
    "type_display": "code/@displayName",
    "title": "title/text()",
    "effective_time": "effectiveTime/@value",
    "confidentiality": "confidentialityCode/@code",
    "language": "languageCode/@code",
    "patient_id_root": "recordTarget/patientRole/id/@root",
    "patient_id_extension": "recordTarget/patientRole/id/@extension",
    "patient_name": "recordTarget/patientRole/patient/name/words()",
    "birth_time": "recordTarget/patientRole/patient/birthTime/@value",
    "gender": "recordTarget/patientRole/patient/administrativeGenderCode/@code",
    "author_name": "author/assignedAuthor/assignedPerson/name/words()",
    "author_organization": "author/assignedAuthor/representedOrganization/name/words()",
    "custodian_id_root": "custodian/assignedCustodian/representedCustodianOrganization/id/@root",
    "custodian_id_extension": "custodian/assignedCustodian/representedCustodianOrganization/id/@extension",
    "custodian_name": "custodian/assignedCustodian/representedCustodianOrganization/name/words()",
    "encounter_id_root": "componentOf/encompassingEncounter/id/@root",
    "encounter_id_extension": "componentOf/encompassingEncounter/id/@extension",
}
"""Column: its path below the root. `text()` is all text of an element, `words()` that of each part of it, trimmed and
put together with one space, as the parts of a name are."""

_EACH_ID = "recordTarget[]/patientRole/id[] and recordTarget[]/patientRole/patient/id[]"

_OTHERS: tuple[tuple[str, pa.DataType, str, str], ...] = (
    ("effective_at", pa.timestamp("us", tz="UTC"), "timestamp", "effectiveTime/@value, where it is exact"),
    (
        "effective_local",
        pa.timestamp("us"),
        "timestamp",
        "effectiveTime/@value as the wall clock, where exact",
    ),
    ("patient_ids", pa.string(), "json", f"the attributes of {_EACH_ID}"),
    ("template_ids", pa.string(), "json", "the attributes of templateId[]"),
    ("sections", pa.string(), "json", "code/@… and title/text() of all sections of structuredBody"),
    ("encoding", pa.string(), "text", "how the document was decoded"),
    ("document", pa.string(), "xml", "the whole document"),
)

COLUMNS = (
    *(Column(name, pa.string(), "text", {COMMENT: path}) for name, path in FIELDS.items()),
    *(Column(name, wire, source_type, {COMMENT: told}) for name, wire, source_type, told in _OTHERS),
)

_DECLARED = re.compile(rb"""<\?xml\b[^>]*?\sencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]{0,39})["']""")
_HEAD_BYTES = 1_024
_WIDE = {b"<\0?\0": "utf-16-le", b"\0<\0?": "utf-16-be"}
_LARGER = {"gb2312": "gb18030", "gbk": "gb18030"}
_SECTION_CODE = ("code", "codeSystem", "displayName")


def _kept() -> Kept:
    """What `FIELDS` and the lists need of a document."""
    section: dict[str, Kept] = {"code": Kept(), "title": Kept(text=True)}
    section["component"] = Kept({"section": Kept(section)}, each=True)
    tree: dict[str, Any] = {}
    for path in FIELDS.values():
        below = tree
        *steps, value = path.split("/")
        for step in steps:
            below = below.setdefault(step, {})
        if value.endswith("()"):
            below[value] = True
    whole = {name: _of_tree(below) for name, below in tree.items()}
    role = whole["recordTarget"].below["patientRole"]
    patient = Kept({**role.below["patient"].below, "id": Kept(each=True)})
    role = Kept({**role.below, "id": Kept(each=True), "patient": patient})
    whole["recordTarget"] = Kept({"patientRole": role}, each=True)
    whole["templateId"] = Kept(each=True)
    whole["component"] = Kept({"structuredBody": Kept({"component": section["component"]})})
    return Kept(whole)


def _of_tree(tree: Mapping[str, Any]) -> Kept:
    below = {name: _of_tree(inner) for name, inner in tree.items() if not name.endswith("()")}
    return Kept(below, text=len(below) < len(tree))


_KEPT = _kept()


class CdaKind:
    @property
    def columns(self) -> tuple[Column, ...]:
        return COLUMNS

    @property
    def version(self) -> int:
        return 1

    def records(self, opened: Opened, rule: FileRule) -> Iterator[Record]:
        reading = _read(opened, _encodings(opened, rule))
        root = reading.outline.root
        if root is None:
            if not reading.is_decoded:
                raise Rejected("GC-2011", file=opened.name, encoding=decoded.spoken(reading.encoding))
            raise opened.refused(f"it is no CDA document: {reading.outline.problem}")
        values = _values(root) | {"encoding": decoded.spoken(reading.encoding), "document": reading.document}
        yield Record([values.get(column.name) for column in COLUMNS], reading.problem)


def _encodings(opened: Opened, rule: FileRule) -> Iterator[str]:
    """Those in which the document may be, to be tried in this order."""
    opened.stream.seek(0)
    head = opened.stream.read(_HEAD_BYTES)
    told = decoded.marked(head) or _WIDE.get(head[:4])
    if told is not None:
        yield told
        return
    if (found := _DECLARED.match(head)) is not None:
        declared = decoded.charset(found[1].decode("ascii"))
        if declared is None:
            raise opened.refused("its XML declaration names an encoding that is not known")
        if declared.startswith(("utf-16", "utf-32")):
            declared = "utf-8"  # it could not be read so far if it were what it says
        yield declared
        if declared in _LARGER:
            yield _LARGER[declared]
    chosen = decoded.detected(opened.stream, opened.size) if rule.encoding == AUTO else rule.encoding
    yield decoded.charset(chosen or "") or "utf-8"


@dataclass(slots=True)
class _Reading:
    """A document in one encoding, as far as it can be read."""

    encoding: str
    outline: Outline = field(default_factory=lambda: Outline(NAMESPACE, ROOT, _KEPT))
    pieces: list[str] = field(default_factory=list)
    chars: int = 0
    is_decoded: bool = True

    def take(self, text: str) -> None:
        self.outline.feed(text)
        self.chars += len(text)
        if self.chars <= DOCUMENT_CHARS_MAX:
            self.pieces.append(text)
        else:
            self.pieces.clear()

    @property
    def document(self) -> str | None:
        is_whole = self.is_decoded and self.chars <= DOCUMENT_CHARS_MAX
        return "".join(self.pieces) if is_whole else None

    @property
    def problem(self) -> str | None:
        if self.outline.problem is not None:
            return f"{self.outline.problem}; fields before that are read"
        if self.chars > DOCUMENT_CHARS_MAX:
            return f"it is longer than {DOCUMENT_CHARS_MAX // MIB} Mi characters; its fields alone are read"
        return None


def _read(opened: Opened, encodings: Iterator[str]) -> _Reading:
    """In the first encoding that decodes the whole; in none: as it is in the first of all."""
    first: _Reading | None = None
    for encoding in encodings:
        if first is not None and encoding == first.encoding:
            continue
        reading = _Reading(encoding)
        try:
            for text in decoded.pieces(opened.stream, encoding):
                reading.take(text)
            reading.outline.end()
            return reading
        except Undecoded:
            reading.is_decoded = False
            reading.pieces.clear()
            reading.outline.break_off(f"it holds bytes that are no text of {decoded.spoken(encoding)}")
        first = first or reading
    assert first is not None
    return first


def _values(root: Element) -> dict[str, Any]:
    values: dict[str, Any] = {name: _value(root, path) for name, path in FIELDS.items()}
    moment = moments.of_hl7(values["effective_time"])
    if moment is not None:
        values |= {"effective_at": moment.instant, "effective_local": moment.local}
    ids = [
        one.attributes
        for target in root.each("recordTarget")
        for path in (("patientRole", "id"), ("patientRole", "patient", "id"))
        for one in target.each(*path)
    ]
    body = root.first("component", "structuredBody")
    return values | {
        "patient_ids": _json(ids),
        "template_ids": _json([one.attributes for one in root.each("templateId")]),
        "sections": _json([] if body is None else list(_sections(body))),
    }


def _value(root: Element, path: str) -> str | None:
    *steps, what = path.split("/")
    element = root.first(*steps)
    if element is None:
        return None
    if what == "text()":
        return "".join(element.texts)
    if what == "words()":
        return " ".join(filter(None, (text.strip() for text in element.texts)))
    return element.attributes.get(what.removeprefix("@"))


def _sections(within: Element) -> Iterator[dict[str, str]]:
    """In the order of the document, those within a section behind it. As deep as `outline` lets elements be."""
    for component in within.each("component"):
        section = component.first("section")
        if section is None:
            continue
        code = section.first("code")
        said = {} if code is None else {k: v for k, v in code.attributes.items() if k in _SECTION_CODE}
        title = _value(section, "title/text()")
        yield said if title is None else said | {"title": title}
        yield from _sections(section)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
