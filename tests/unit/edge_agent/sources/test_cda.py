"""Clinical documents: each field as another reader finds it, in any charset; hostile ones end in a problem."""

from __future__ import annotations

import contextlib
import io
import json
import random
import tracemalloc
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds import outline
from edge_agent.sources.kinds.cda import COLUMNS, DOCUMENT_CHARS_MAX, CdaKind
from edge_agent.sources.kinds.kind import Opened
from protocol.errors import Rejected
from protocol.limits import MIB
from tests.servers import SHARED, require_dataset

FOLDER = SHARED / "hl7v2-ccda-ms-fhir-converter" / "Ccda"
REAL = sorted(p for s in ("ccda", "cda", "xml") for p in SHARED.rglob(f"*.{s}")) or [FOLDER / "sample.ccda"]
V3 = "{urn:hl7-org:v3}"
SECTION = ("code", "codeSystem", "displayName")

CHINESE = """<?xml version="1.0" encoding="ENCODING"?>\r
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <realmCode code="CN"/><typeId root="2.16.840.1.113883.1.3" extension="POCD_MT000040"/>
 <templateId root="2.16.156.10011.2.1.1.23"/>
 <id root="2.16.156.10011.1.1" extension="RN001"/>
 <code code="C0003" codeSystem="2.16.156.10011.2.4" codeSystemName="卫生信息共享文档规范编码体系"/>
 <title>急诊留观病历\n</title>
 <effectiveTime value="20121024154823"/>
 <languageCode code="zh-CN"/><setId/><versionNumber/>
 <recordTarget typeCode="RCT" contextControlCode="OP"><patientRole classCode="PAT">
  <id root="2.16.156.10011.1.12" extension="HA201102113366666"/>
  <id root="2.16.156.10011.1.11" extension="E10000000"/>
  <patient classCode="PSN" determinerCode="INSTANCE">
   <id root="2.16.156.10011.1.3" extension="420106201101011919"/>
   <name>刘永好·喆</name>
   <administrativeGenderCode code="1" codeSystem="2.16.156.10011.2.3.3.4" displayName="男性"/>
   <birthTime value="19771012"/>
  </patient></patientRole></recordTarget>
 <author><assignedAuthor><id extension="234234234"/><assignedPerson><name>李医生</name></assignedPerson>
  <representedOrganization><name>首都医科大学附属北京天坛医院</name></representedOrganization></assignedAuthor></author>
 <component><structuredBody>
  <component><section><code code="48765-2" displayName="Allergies"/><title>过敏史</title><text/>
   <component><section><title>内层</title></section></component></section></component>
  <component><section><code code="8716-3"/><text>title</text></section></component>
 </structuredBody></component>
</ClinicalDocument>"""


def read(data: bytes, **rule: Any) -> tuple[dict[str, Any], str | None]:
    """The one record of a file with this content, by column."""
    opened = Opened("f.xml", io.BytesIO(data), len(data))
    (record,) = CdaKind().records(opened, FileRule(glob="*", kind="cda", **rule))
    assert len(record.values) == len(COLUMNS)
    for column, value in zip(COLUMNS, record.values, strict=True):
        assert pa.array([value], column.wire).to_pylist() == [value]
    return dict(zip((c.name for c in COLUMNS), record.values, strict=True)), record.problem


def document(inner: str, head: str = "") -> bytes:
    return f'{head}<ClinicalDocument xmlns="urn:hl7-org:v3">{inner}</ClinicalDocument>'.encode()


def refusal(data: bytes, **rule: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(data, **rule)
    return caught.value


def find(root: ET.Element, path: str) -> ET.Element | None:
    found: ET.Element | None = root
    for step in path.split("/"):  # the first at each step: not a name of one author, an employer of another
        found = None if found is None else found.find(V3 + step)
    return found


def attribute(root: ET.Element, path: str, name: str) -> str | None:
    found = find(root, path)
    return None if found is None else found.get(name)


def words(root: ET.Element, path: str) -> str | None:
    found = find(root, path)
    return None if found is None else " ".join(t.strip() for t in found.itertext() if t.strip())


def attributes(found: list[ET.Element]) -> list[dict[str, str]]:
    return [e.attrib for e in found]


def sections(body: ET.Element) -> Iterator[dict[str, str]]:
    for section in body.iter(f"{V3}section"):
        code, title = section.find(f"{V3}code"), section.find(f"{V3}title")
        said = {} if code is None else dict(code.attrib)
        found: dict[str, str] = {k: said[k] for k in SECTION if k in said}
        yield found if title is None else found | {"title": "".join(title.itertext())}


def expected(data: bytes) -> dict[str, Any]:
    """What xml.etree finds, by paths that stand here."""
    root = ET.fromstring(data)
    role = "recordTarget/patientRole"
    keeper = "custodian/assignedCustodian/representedCustodianOrganization"
    title = find(root, "title")
    body = find(root, "component/structuredBody")
    return {
        "document_id_root": attribute(root, "id", "root"),
        "document_id_extension": attribute(root, "id", "extension"),
        "set_id_root": attribute(root, "setId", "root"),
        "set_id_extension": attribute(root, "setId", "extension"),
        "version_number": attribute(root, "versionNumber", "value"),
        "type_code": attribute(root, "code", "code"),
        "type_code_system": attribute(root, "code", "codeSystem"),
        "type_display": attribute(root, "code", "displayName"),
        "title": None if title is None else "".join(title.itertext()),
        "effective_time": attribute(root, "effectiveTime", "value"),
        "confidentiality": attribute(root, "confidentialityCode", "code"),
        "language": attribute(root, "languageCode", "code"),
        "patient_id_root": attribute(root, f"{role}/id", "root"),
        "patient_id_extension": attribute(root, f"{role}/id", "extension"),
        "patient_name": words(root, f"{role}/patient/name"),
        "birth_time": attribute(root, f"{role}/patient/birthTime", "value"),
        "gender": attribute(root, f"{role}/patient/administrativeGenderCode", "code"),
        "author_name": words(root, "author/assignedAuthor/assignedPerson/name"),
        "author_organization": words(root, "author/assignedAuthor/representedOrganization/name"),
        "custodian_id_root": attribute(root, f"{keeper}/id", "root"),
        "custodian_id_extension": attribute(root, f"{keeper}/id", "extension"),
        "custodian_name": words(root, f"{keeper}/name"),
        "encounter_id_root": attribute(root, "componentOf/encompassingEncounter/id", "root"),
        "encounter_id_extension": attribute(root, "componentOf/encompassingEncounter/id", "extension"),
        "patient_ids": attributes(
            [
                one
                for target in root.findall(f"{V3}recordTarget")
                for path in (f"{V3}patientRole/{V3}id", f"{V3}patientRole/{V3}patient/{V3}id")
                for one in target.findall(path)
            ]
        ),
        "template_ids": attributes(root.findall(f"{V3}templateId")),
        "sections": [] if body is None else list(sections(body)),
    }


def test_the_real_documents_are_there() -> None:
    require_dataset(FOLDER)
    assert len(REAL) == 22


@pytest.mark.parametrize("path", REAL, ids=lambda p: p.name)
def test_a_real_document_has_the_fields_that_another_reader_finds(path: Path) -> None:
    data = require_dataset(path).read_bytes()
    values, problem = read(data)
    assert problem is None
    assert (values.pop("document"), values.pop("encoding")) == (data.decode("utf-8-sig"), "utf-8")
    at, local = values.pop("effective_at"), values.pop("effective_local")
    text = values["effective_time"]
    exact = len(text.partition("-")[0].partition("+")[0]) == 14
    assert local == (datetime.strptime(text[:14], "%Y%m%d%H%M%S") if exact else None)
    assert at == (datetime.strptime(text, "%Y%m%d%H%M%S%z") if exact else None)
    for name in ("patient_ids", "template_ids", "sections"):
        values[name] = json.loads(values[name])
    assert values == expected(data)


@pytest.mark.parametrize("bom", [b"", "utf-8", "utf-16-le", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize("declared", ["UTF-8", "GB18030", "utf-16"])
def test_a_byte_order_mark_counts_before_the_declaration(bom: Any, declared: str) -> None:
    if not bom:
        return
    text = CHINESE.replace("ENCODING", declared)
    values, problem = read(f"\ufeff{text}".encode(bom))
    assert (problem, values["document"]) == (None, text)
    assert values["encoding"] == {"utf-8": "utf-8", "utf-32-le": "utf-32"}.get(bom, "utf-16")


@pytest.mark.parametrize(
    ("declared", "written", "said", "rule"),
    [
        ("UTF-8", "utf-8", "utf-8", "gbk"),
        ("GB18030", "gb18030", "gb18030", "utf-8"),
        ("gbk", "gbk", "gbk", "utf-8"),
        ("GB2312", "gb18030", "gb18030", "utf-8"),  # declares less than it holds
        ("GBK", "gb18030", "gb18030", "auto"),
        ("UTF-8", "gb18030", "gb18030", "gb18030"),  # declares another, and the rule knows better
        ("UTF-16", "utf-8", "utf-8", "utf-8"),
        (None, "utf-8", "utf-8", "utf-8"),
        (None, "gbk", "gbk", "gbk"),
        (None, "gb18030", "gb18030", "auto"),
        ("UTF-8", "gb18030", "gb18030", "auto"),
        ("UTF-8", "utf-8", "utf-8", "auto"),
        ("utf-16", "utf-16-le", "utf-16-le", "utf-8"),
    ],
)
def test_a_chinese_document_in_any_charset(declared: str | None, written: str, said: str, rule: str) -> None:
    text = CHINESE.replace("ENCODING", declared) if declared else CHINESE.replace(' encoding="ENCODING"', "")
    if said == "gb18030":
        text = text.replace("刘永好", "刘永好𠮷\u4dae")  # of two and of four bytes
    values, problem = read(text.encode(written), encoding=rule)
    assert problem is None
    assert (values["document"], values["encoding"]) == (text, said)
    assert values["patient_name"] == ("刘永好𠮷\u4dae·喆" if said == "gb18030" else "刘永好·喆")
    found = expected(ET.canonicalize(text).encode())  # etree reads no GBK
    for name in ("patient_ids", "template_ids", "sections"):
        values[name] = json.loads(values[name])
    assert found.items() <= values.items()
    assert [one["extension"] for one in values["patient_ids"]][-1] == "420106201101011919"
    assert [one.get("title") for one in values["sections"]] == ["过敏史", "内层", None]
    assert (values["effective_at"], values["effective_local"]) == (None, datetime(2012, 10, 24, 15, 48, 23))


@pytest.mark.parametrize(
    ("text", "at", "local"),
    [
        ("20050329171504+0500", (2005, 3, 29, 12, 15, 4), (2005, 3, 29, 17, 15, 4)),
        ("20050329171504.12-0330", (2005, 3, 29, 20, 45, 4, 120_000), (2005, 3, 29, 17, 15, 4, 120_000)),
        ("20050329171504.1234560+0000", (2005, 3, 29, 17, 15, 4, 123_456), (2005, 3, 29, 17, 15, 4, 123_456)),
        ("20050329171504", None, (2005, 3, 29, 17, 15, 4)),
        ("20050329171504.1234567", None, None),
        ("200503291715+0800", None, None),
        ("20050329", None, None),
        ("20050230171504", None, None),
        ("20050329171560", None, None),
        ("20050329171504+1500", None, None),
        ("00010101000000+0800", None, (1, 1, 1)),
        ("2005032917150４", None, None),
        ("", None, None),
    ],
)
def test_a_time_is_one_only_where_it_is_exact(text: str, at: Any, local: Any) -> None:
    values, problem = read(document(f'<effectiveTime value="{text}"/>'))
    assert (problem, values["effective_time"]) == (None, text)
    assert values["effective_at"] == (at and datetime(*at).replace(tzinfo=UTC))
    assert values["effective_local"] == (local and datetime(*local))


def test_fields_are_of_the_first_patient_and_their_places_only() -> None:
    values, _ = read(
        document(
            "<recordTarget><patientRole><id root='1'/><patient><name> 张 <given>三</given>\n</name></patient>"
            "</patientRole></recordTarget>"
            "<recordTarget><patientRole><id root='2'/><patient><birthTime value='1990'/></patient>"
            "</patientRole></recordTarget>"
            "<x:title xmlns:x='urn:other'>no</x:title><title>a<!-- b -->c<x/>d</title><title>no</title>"
            "<component><structuredBody><id root='no'/></structuredBody></component>"
        )
    )
    assert (values["patient_name"], values["birth_time"], values["title"]) == ("张 三", None, "acd")
    assert json.loads(values["patient_ids"]) == [{"root": "1"}, {"root": "2"}]
    assert values["document_id_root"] is None
    assert read(document("<author><time/></author>" * 20_000))[1] is None  # only the first one is kept


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "it is no CDA document: it is not well-formed XML in line 1"),
        (b"MSH|^~\\&|", "it is no CDA document: it is not well-formed XML in line 1"),
        (b"<html/>", "it is no CDA document: its root element is another one"),
        (b"<ClinicalDocument/>", "it is no CDA document: its root element is another one"),
        (
            b"<?xml version='1.0' encoding='secret'?><a/>",
            "its XML declaration names an encoding that is not known",
        ),
        (
            b"<?xml version='1.0' encoding='zip'?><a/>",
            "its XML declaration names an encoding that is not known",
        ),
        (
            b"<?xml version='1.0' encoding='utf-7'?><a/>",
            "its XML declaration names an encoding that is not known",
        ),
    ],
)
def test_what_is_no_document_is_refused(data: bytes, problem: str) -> None:
    fault = refusal(data)
    assert (fault.code, fault.facts["problem"]) == ("GC-2008", problem)


def test_a_document_that_breaks_keeps_what_stands_before() -> None:
    whole = CHINESE.replace("ENCODING", "UTF-8")
    values, problem = read(whole[: whole.index("<author>")].encode())
    assert problem == "it is not well-formed XML in line 20; fields before that are read"
    assert (values["patient_name"], values["author_name"]) == ("刘永好·喆", None)
    values, problem = read(whole.encode().replace("李".encode(), b"\xc0\xee"))
    assert problem == "it holds bytes that are no text of utf-8; fields before that are read"
    assert (values["patient_name"], values["document"]) == ("刘永好·喆", None)
    assert refusal(b"\xff<ClinicalDocument/>").code == "GC-2011"


def laughs() -> bytes:
    lines = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 30))
    return document("<title>&l29;</title>", f'<!DOCTYPE a [<!ENTITY l0 "ha">{lines}]>')


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd">',
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;]>',
        '<!DOCTYPE a [<!ATTLIST ClinicalDocument title CDATA "x">]>',
    ],
)
def test_entities_and_what_lies_outside_are_never_read(head: str) -> None:
    for data in (document("<title>&x;</title>", head), laughs()):
        assert "document type declaration" in str(refusal(data).facts["problem"])
    values, problem = read(document("<id root='1'/><title>&x;</title>"))  # never defined
    assert problem is not None
    assert (values["document_id_root"], values["title"]) == ("1", None)


def test_a_document_is_bounded_in_every_direction() -> None:
    deep = outline.DEPTH_MAX
    assert read(document("<a>" * (deep - 1) + "</a>" * (deep - 1)))[1] is None
    cases = {
        "deep in each other": document("<a>" * deep + "</a>" * deep),
        "a tag or comment is longer": document(f'<a b="{"x" * 2 * outline.TOKEN_CHARS_MAX}"/>'),
        "a tag or comment": document(f"<!--{'x' * 2 * outline.TOKEN_CHARS_MAX}-->"),
        "different names": document("".join(f"<n{i}{'x' * 90}/>" for i in range(4_000))),
        "too many different": document("".join(f"<a xmlns:p='{i}{'x' * 90}'/>" for i in range(4_000))),
        "more identifiers": document("<templateId root='1.2.3'/>" * 20_000),
        "names and titles": document(f"<title>{'x' * (outline.KEPT_CHARS_MAX + 1)}</title>"),
        "identifiers, names": document(f"<title>{'<b/>' * 20_000}</title>"),
    }
    for words_of_it, data in cases.items():
        problem = read(data)[1]
        assert problem is not None
        assert words_of_it in problem


class Endless(io.RawIOBase):
    """A document whose text goes on for `size` bytes that are made as they are read."""

    def __init__(self, size: int) -> None:
        self.begin = document("<id root='1'/><component><nonXMLBody><text>").removesuffix(
            b"</ClinicalDocument>"
        )
        self.left, self.at = size, 0

    def seek(self, at: int, whence: int = 0) -> int:
        self.at = at
        return at

    def read(self, count: int = -1) -> bytes:
        if self.at == 0:
            self.at = 1
            return self.begin
        data = b"x" * min(count, self.left)
        self.left -= len(data)
        return data


def test_a_document_without_end_takes_no_memory() -> None:
    size = 2 * DOCUMENT_CHARS_MAX
    stream: Any = Endless(size)
    tracemalloc.start()
    try:
        (record,) = CdaKind().records(Opened("f.xml", stream, size), FileRule(glob="*", kind="cda"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert record.values[0] == "1"
    assert (stream.left, peak < DOCUMENT_CHARS_MAX + 4 * MIB) == (0, True)


def test_whatever_a_parser_raises_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def feed(self, data: bytes) -> None:
            raise SystemError("content")

    monkeypatch.setattr("edge_agent.sources.kinds.outline.etree.XMLParser", lambda **_: Broken())
    assert refusal(document("")).facts["problem"] == "it is no CDA document: it cannot be read as XML"


def test_a_long_document_is_read_for_its_fields() -> None:
    data = document(f"<text>{'x' * DOCUMENT_CHARS_MAX}</text><title>last</title>")
    values, problem = read(data)
    assert (values["title"], values["document"]) == ("last", None)
    assert problem == "it is longer than 16 Mi characters; its fields alone are read"


PIECES = st.sampled_from(
    b"< > &#0; &lt; ]]> <![CDATA[ <!-- --> \xff \0 <id/> </id> <!DOCTYPE.a> xmlns='x' <title> ' <?x?> \xe4".split()
)


@settings(max_examples=80)
@given(
    encoding=st.sampled_from(["utf-8", "gb18030", "gbk", "utf-16"]),
    changes=st.lists(
        st.tuples(st.integers(0, 2**16), st.integers(0, 40), PIECES | st.binary(max_size=4)), max_size=4
    ),
    rule=st.sampled_from(["utf-8", "auto", "gbk"]),
)
def test_a_changed_document_gives_a_record_or_is_refused(
    encoding: str, changes: list[tuple[int, int, bytes]], rule: str
) -> None:
    data = CHINESE.replace("ENCODING", encoding).encode(encoding)
    for at, gone, new in changes:
        place = at % len(data)
        data = data[:place] + new + data[place + gone :]
    try:
        values, problem = read(data, encoding=rule)
    except Rejected:
        return
    assert "刘" not in (problem or "")
    if problem is None:  # then another reader agrees
        try:
            found = expected(ET.canonicalize(values["document"]).encode())
        except ET.ParseError:
            return  # expat knows fewer names (XML 1.0, fourth edition), and asks that prefixes be declared
        for name in ("patient_ids", "template_ids", "sections"):
            values[name] = json.loads(values[name])
        assert found.items() <= values.items()


def test_changes_of_a_real_document() -> None:
    data = require_dataset(FOLDER / "sample.ccda").read_bytes()
    rng = random.Random(6)
    for _ in range(80):
        at, gone = rng.randrange(len(data)), rng.choice([0, 1, 3, 500])
        changed = data[:at] + rng.randbytes(rng.choice([0, 1, 4])) + data[at + gone :]
        with contextlib.suppress(Rejected):
            read(changed)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=40)
)
def test_a_title_is_carried_exactly(title: str) -> None:
    element = ET.Element("ClinicalDocument", xmlns="urn:hl7-org:v3")
    ET.SubElement(element, "title").text = title
    values, problem = read(ET.tostring(element, "utf-8"))
    assert (problem, values["title"]) == (None, title)
