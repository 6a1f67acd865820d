"""What kind `auto` takes files for: every real file of the data sets, and texts that only look like tables."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.choosing import Choice, choose
from edge_agent.sources.filerule import FileRule
from tests.servers import SHARED, require_dataset

HEAD_BYTES = 65_536


def chosen(name: str, data: bytes) -> Choice:
    return choose(name, data[:HEAD_BYTES], len(data))


def real_files() -> list[Path]:
    return sorted(path for path in SHARED.rglob("*") if path.is_file()) if SHARED.exists() else []


KINDS = {
    ".ccda": "cda",
    ".csv": "csv",
    ".dbf": "dbf",
    ".dcm": "dicom",
    ".hl7": "hl7",
    ".json": "json",
    ".tsv": "csv",
    ".xls": "excel",
    ".xlsx": "excel",
}
"""What a person would say by the name; everything else is a file: PDF, memos of DBF, dumps, licences, archives."""
OTHERWISE = {
    # A message of an e-mail program, which says that the workbook was not found.
    "excel-calamine/too_small.xls": "file",
}
ENCODINGS = {
    "dbase_31.csv": "latin-1",
    "dbase_f5.csv": "cp1252",  # and in part in the code page of DOS
}
TAB_SEPARATED = {"milk.csv", "sys_mdm001.tsv", "sys_mdm002.tsv"}
WITHOUT_HEADER = {"milk.csv"}
"""Its first line leaves a column without a name, and a header like that is refused."""


@pytest.mark.parametrize("path", real_files(), ids=lambda path: path.name)
def test_a_real_file_is_what_a_person_would_say(path: Path) -> None:
    name = path.relative_to(SHARED).as_posix()
    expected = OTHERWISE.get(name, KINDS.get(path.suffix.lower(), "file"))
    if "SYNTHEA" in name and expected == "json":
        expected = "fhir"
    found = chosen(name, path.read_bytes())
    assert found.kind == expected
    assert found.confidence >= 0.5
    if found.kind == "csv":
        is_open = path.read_bytes()[:HEAD_BYTES].isascii()
        assert found.encoding == ("auto" if is_open else ENCODINGS.get(path.name, "utf-8"))
        assert found.delimiter == ("\t" if path.name in TAB_SEPARATED else ",")
        assert (found.quote, found.header) == ('"', path.name not in WITHOUT_HEADER)


def test_all_files_of_the_data_sets_are_there() -> None:
    require_dataset(SHARED / "his-cn-zain" / "his.sql")
    assert len(real_files()) >= 475


@pytest.mark.parametrize(
    "suffix", [".hl7", ".dcm", ".xls", ".xlsx", ".pdf", ".ccda", ".dbf", ".sql", ".json"]
)
def test_content_counts_more_than_the_name(suffix: str) -> None:
    """Under a name that says nothing they are the same, but for what only its name can tell."""
    for path in [one for one in real_files() if one.suffix.lower() == suffix]:
        data = path.read_bytes()
        # The one begins within an element, the other is encrypted.
        if path.name in {"no_meta.dcm", "pass_protected.xlsx"}:
            continue
        assert chosen("x", data).kind == chosen(path.name, data).kind, path.name


CHINESE = "编号,姓名,诊断\r\n1,张三,高血压\r\n2,李四,糖尿病\r\n3,王五,急性上呼吸道感染\r\n"

TABLES: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "comma": ("a.csv", b"a,b\n1,2\n", {}),
    "semicolon, decimal commas": ("a.csv", b"x;y\n1,5;2,5\n3,5;4,5\n", {"delimiter": ";"}),
    "semicolon, decimal commas everywhere": (
        "a.csv", b"1,5;2,5\n3,5;4,5\n7,5;4,5\n", {"delimiter": ";", "header": False},
    ),
    "tab": ("a.txt", b"id\tname\n1\tx, y\n2\tz\n", {"delimiter": "\t"}),
    "pipe": ("a.txt", b"id|name\n1|x\n2|z\n", {"delimiter": "|"}),
    "caret": ("a.txt", b"id^name\n1^x\n2^z\n", {"delimiter": "^"}),
    "comma, not named": ("export", b"id,name,when\n1,x,2024-01-01\n2,y,2024-01-02\n", {}),
    "gb18030": ("a.csv", CHINESE.encode("gb18030"), {"encoding": "gb18030"}),
    "gb18030, not named": ("a.txt", CHINESE.encode("gb18030"), {"encoding": "gb18030"}),
    "utf-16": ("a.csv", CHINESE.encode("utf-16"), {"encoding": "utf-16-le"}),
    "utf-16 without a mark": ("a.csv", CHINESE.encode("utf-16-be"), {"encoding": "utf-16-be"}),
    "utf-8 with a mark": ("a.csv", CHINESE.encode("utf-8-sig"), {"encoding": "utf-8"}),
    "a table that calls itself a workbook": (
        "报表.xls", CHINESE.replace(",", "\t").encode("gb18030"), {"encoding": "gb18030", "delimiter": "\t"},
    ),
    "quoted delimiters and line breaks": ("a.csv", b'a,b\n1,"x,y\nz,z,z"\n2,"p"\n', {}),
    "single quotes": ("a.csv", b"'a','b'\n'1','x,y'\n'2','z'\n", {"quote": "'"}),
    "a quote that is none": ("a.tsv", b'size\tname\n5"\tpipe\n"7\tx\n', {"delimiter": "\t", "quote": ""}),
    "no header: numbers": ("a.csv", b"1,x\n2,y\n", {"header": False}),
    "no header: a date": ("a.csv", b"2024-01-01,x\n2024-01-02,y\n", {"header": False}),
    "no header: a value comes again": ("a.csv", "男,内科\n女,外科\n男,儿科\n".encode(), {"header": False}),
    "no header: the same twice": ("a.csv", b"x,x\ny,z\n", {"header": False}),
    "no header: a name is missing": ("a.csv", b"x,\ny,z\n", {"header": False}),
    "one column": ("a.csv", b"id\n1\n2\n", {}),
    "a ragged line, by its name": ("a.csv", b"a,b\n" + b"1,2\n" * 20 + b"1,2,3\n", {}),
    "carriage returns": ("a.csv", b"a,b\r1,2\r", {}),
    "a header alone": ("a.csv", b"id\n", {}),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_a_table_is_found_with_its_form(case: str) -> None:
    name, data, said = TABLES[case]
    found = chosen(name, data)
    form = {
        "encoding": "auto" if data.isascii() else "utf-8",
        "delimiter": ",",
        "quote": '"',
        "header": True,
    } | said
    assert found.kind == "csv", found.why
    assert {key: getattr(found, key) for key in form} == form
    FileRule(glob="*", kind="csv", **form)


PROSE = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy\n"
    "of this software and associated documentation files, to deal in the Software\n"
    "without restriction, including without limitation the rights to use, copy,\n"
)
NO_TABLES: dict[str, tuple[str, str]] = {
    "prose": ("readme", PROSE),
    "prose of one comma a line": ("note.txt", "First, we looked at it.\nThen, we left it.\nLast, we went home.\n"),
    "Chinese prose": ("说明.txt", "患者三天前出现咳嗽,无发热。\n今日来院就诊,要求检查。\n既往体健,无过敏史。\n" * 2),
    "a dump": ("x.txt", "INSERT INTO t VALUES (1,'a');\nINSERT INTO t VALUES (2,'b');\n" * 3),
    "a dump without semicolons": ("x.txt", "INSERT INTO t VALUES (1,'a','b')\nINSERT INTO t VALUES (2,'b','c')\n" * 3),
    "verse": ("x", "First, we looked at it\nThen, we left it\nLast, we went home\nAnd, we slept well\n"),
    "paragraphs": ("x", ("so it went on and on " * 12 + "\t") * 2 + "\n" + ("and on " * 40 + "\t") * 2 + "\n"),
    "two lines that have a comma each": ("x", "a,b\nc,d\n"),
    "a dump by its name": ("x.sql", "a,b,c\n" + "1,2,3\n" * 6),
    "source code": ("x.txt", "int a = 1;\nint b = 2;\nint c = 3;\nint d = 4;\nint e = 5;\n"),
    "a log of Python": (
        "agent.out", "".join(f"2024-01-01 10:00:0{i},123 something happened to it\n" for i in range(9)),
    ),
    "a log with levels": ("x", "".join(f"10:00:0{i};INFO;started;{i}\n" for i in range(9))),
    "settings": ("x.ini", "[a]\nb = 1, 2\nc = 3, 4\n"),
    "one line": ("x", "a,b,c\n"),
    "one column without a name for it": ("x.txt", "1\n2\n3\n"),
    "ragged without a name for it": ("x.txt", "a,b\n" + "1,2\n" * 20 + "1,2,3\n"),
    "ragged throughout": ("x.csv", "a,b\n1\n1,2,3\n1,2,3,4\n"),
    "HTML that calls itself a workbook": ("x.xls", "<html><table><tr><td>1</td></tr></table></html>"),
    "XML": ("x.xml", "<a><b/></a>"),
    "a stylesheet before another root": ("x.xml", "<?xml-stylesheet href='ClinicalDocument'?><a/>"),
    "braces": ("x", "{not json}"),
    "JSON that breaks off": ("x", '{"a": [1, 2'),
    "fixed widths": ("x.txt", "0001 ZHANG  1980\n0002 LI     1975\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_TABLES)
def test_what_looks_like_a_table_is_none(case: str) -> None:
    name, text = NO_TABLES[case]
    assert chosen(name, text.encode()).kind == "file"


OTHERS: dict[str, tuple[str, bytes, str]] = {
    "HL7 in MLLP": ("x", b"\x0bMSH|^~\\&|A|B\rPID|1\r\x1c\r", "hl7"),
    "HL7 behind a mark": ("x", b"\xef\xbb\xbfMSH|^~\\&|A\r", "hl7"),
    "an HL7 batch": ("x.txt", b"FHS|^~\\&|A\rBHS|^~\\&\rMSH|^~\\&|A\r", "hl7"),
    "HL7 of other separators": ("x", b"MSH$%~\\&$A$B\r", "hl7"),
    "HL7 in UTF-16": ("x", "MSH|^~\\&|A\r".encode("utf-16"), "hl7"),
    "a table whose first column is MSH": ("x.csv", b"MSH,PID\n1,2\n", "csv"),
    "CDA with a prefix": ("x", b'<?xml version="1.0"?><!-- a --><n:ClinicalDocument xmlns:n="urn:hl7-org:v3"/>', "cda"),
    "CDA with a DOCTYPE": ("x", b"<!DOCTYPE a [<!ENTITY b 'c'>]>\n<ClinicalDocument/>", "cda"),
    "CDA in GBK": ("x.xml", '<?xml version="1.0" encoding="GBK"?><ClinicalDocument>病历'.encode("gbk"), "cda"),
    "CDA in UTF-16": ("x", '<?xml version="1.0"?><ClinicalDocument/>'.encode("utf-16"), "cda"),
    "FHIR": ("x", b'{"id": "1", "resourceType": "Patient"}', "fhir"),
    "a bundle that tells its type last": (
        "x", b'{"entry": [{"resource": {"resourceType": "Patient"}}], "type": "batch"}', "fhir",
    ),
    "FHIR a line": ("x.ndjson", b'{"resourceType":"Patient"}\n{"resourceType":"Patient"}\n', "fhir"),
    "JSON that speaks of FHIR": ("x", b'{"a": {"resourceType": "Patient"}}', "json"),
    "JSON": ("x", b'[{"a": 1.5e3, "b": [null, true, "\\u00e9"]}]', "json"),
    "JSON in GBK": ("x", '{"姓名": "张三", "性别": "男", "诊断": "高血压"}'.encode("gbk"), "json"),
    "lines": ("x", b'{"a": 1}\n{"a": 2}\n', "ndjson"),
    "one line by its name": ("x.jsonl", b'{"a": 1}\n', "ndjson"),
    "Parquet": ("x", b"PAR1\x15\x04", "parquet"),
    "encrypted Parquet": ("x", b"PARE\x15\x04", "parquet"),
    "DICOM": ("x", b"\0" * 128 + b"DICM\x02\0\0\0UL\x04\0", "dicom"),
    "a DICOM data set, implicit": (
        "x", struct.pack("<HHL10sHHL", 8, 5, 10, b"ISO_IR 192", 8, 0x12, 8), "dicom",
    ),
    "a memo of DBF": ("x.dbt", struct.pack("<L", 8) + b"\0" * 508 + b"memo\x1a\x1a", "file"),
    "zeros": ("x", b"\0" * 5_000, "file"),
    "JSON that breaks off, by its name": ("x.json", b'{"a": [1, 2', "json"),
    "FHIR that breaks off, by its name": ("x.json", b'{"resourceType": "Patient", "id": }', "fhir"),
    "HL7 behind a line of something else, by its name": ("x.hl7", b"sent by A\nMSH|^~\\&|A\rPID|1\r", "hl7"),
    "a device that lies": ("x.dcm", b"\x13\x37" + bytes(range(256)), "dicom"),
    "no DBF but by its name": ("x.dbf", b"\x13\x37" + bytes(range(256)), "dbf"),
    "no workbook but by its name": ("x.XLSX", b"\x13\x37" + bytes(range(256)), "excel"),
    "PDF of nothing but text": ("x", b"%PDF-1.4\na,b\n1,2\n", "file"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_other_formats_are_known_by_their_content(case: str) -> None:
    name, data, kind = OTHERS[case]
    assert chosen(name, data).kind == kind


def test_nothing_to_go_by_has_no_confidence() -> None:
    assert chosen("x.csv", b"") == Choice("file", 0.0, "it is empty")


FIELD = b"NAME".ljust(11, b"\0") + b"C" + b"\0" * 4 + b"\x0a" + b"\0" * 15
DBF = struct.pack("<BBBBLHH20x", 3, 124, 1, 31, 1, 65, 11) + FIELD + b"\r" + b" abcdefghij"


@pytest.mark.parametrize("place", [0, 2, 3, 10, 43, 48])
def test_a_dbf_header_is_one_by_version_date_width_and_types(place: int) -> None:
    assert chosen("x", DBF).kind == "dbf"
    assert chosen("x", DBF[:place] + b"\x7f" + DBF[place + 1 :]).kind == "file"


@pytest.mark.parametrize(
    ("first", "length", "second", "kind"),
    [
        ((8, 5), 10, (8, 0x12), "dicom"),
        ((8, 5), 10, (8, 5), "file"),
        ((8, 5), 10, (8, 4), "file"),
        ((8, 5), 10, (9, 0), "file"),
        ((8, 5), 10, (0x42, 0), "file"),
        ((6, 5), 10, (8, 0), "file"),
        ((8, 0), 4, (8, 5), "dicom"),
        ((8, 0), 6, (8, 5), "file"),
        ((8, 5), 0, (8, 6), "file"),
    ],
)
def test_a_data_set_without_a_preamble_is_one_by_its_first_elements(
    first: tuple[int, int], length: int, second: tuple[int, int], kind: str
) -> None:
    data = (
        struct.pack("<HHL", *first, length)
        + b"\x01" * length
        + struct.pack("<HHL", *second, 2)
        + b"\x01" * 20
    )
    assert chosen("x", data).kind == kind


def zipped(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, "x" * 10)
    return made.getvalue()


def test_an_archive_is_a_workbook_by_what_is_in_it() -> None:
    assert chosen("x.zip", zipped("[Content_Types].xml", "xl/workbook.xml")).kind == "excel"
    assert chosen("x.docx", zipped("[Content_Types].xml", "word/document.xml")).kind == "file"
    assert chosen("x.zip", zipped("a.csv")).kind == "file"
    # Its parts may lie behind the first bytes.
    assert chosen("x.xlsx", zipped("docProps/thumbnail.jpeg")).kind == "excel"


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
def test_where_the_head_is_cut_turns_nothing(encoding: str) -> None:
    rows = "".join(f'{i},"病人{i}, 女",诊断\r\n' for i in range(9))
    data = ("编号,姓名,备注\r\n" + rows).encode(encoding)
    for end in range(len(data) - 40, len(data)):
        found = choose("x", data[:end], 10**9)
        expected = encoding.replace("utf-16", "utf-16-le")
        assert (found.kind, found.encoding, found.delimiter, found.header) == ("csv", expected, ",", True)


def test_json_that_is_cut_anywhere_is_json() -> None:
    text = '{"resourceType": "Bundle", "entry": [{"a": [-1.5e3, true, null, "x\\"y\\u00e9"]}, {"b": {}}]}'
    for end in range(16, len(text)):
        assert choose("x", text[:end].encode(), 10**6).kind == "fhir", text[:end]


@given(st.binary(max_size=300), st.sampled_from(["", ".csv", ".txt", ".xls", ".dcm", ".json"]), st.booleans())
def test_any_bytes_have_an_answer_that_a_rule_takes(data: bytes, suffix: str, is_cut: bool) -> None:
    found = choose("x" + suffix, data, len(data) + 10**6 * is_cut)
    FileRule(
        glob="*",
        kind=found.kind,
        encoding=found.encoding,
        delimiter=found.delimiter,
        quote=found.quote,
        header=found.header,
    )
    assert 0 <= found.confidence <= 1


SLOW = [
    b"1" * HEAD_BYTES, b"\n" * HEAD_BYTES, b" " * HEAD_BYTES, b"[" * HEAD_BYTES, b'{"a":' * 13_000, b"," * HEAD_BYTES,
    b"1,2 " * 16_000, b"<!--a-->" * 8_000, b"<!DOCTYPE" + b" " * 65_000, b"<?" * 32_000, b"COPY x " * 9_000,
    b"SELECT a " * 7_000, b"INSERT " * 9_000, b'"' * HEAD_BYTES, b'a,"b' * 16_000, b"; " * 32_000,
    b"2024-01-01 10:00:00,123 " * 2_700, b"'a',\n" * 13_000, b"PK\x03\x04" * 16_000, b"-1.,:/ " * 9_000,
    b"a\tb\n" * 16_000, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 8_000, b"\xe9a" * 32_000, b"MSH" * 20_000,
    ("张".encode("gbk") + b",") * 20_000, b"\x81\x30" * 32_000,
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(SLOW)))
def test_a_hostile_head_takes_no_time(place: int) -> None:
    """Whatever grew with the square of a head would take minutes here."""
    for suffix in ("", ".csv"):
        assert 0 <= choose("x" + suffix, SLOW[place][:HEAD_BYTES], 10**9).confidence <= 1
