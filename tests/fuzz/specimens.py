"""Files to damage: small ones of every kind, made here, and the real ones of the data sets beside the repository.

Those made here are sound, and stand as neighbours beside what is damaged; a file that belongs to another (a memo) comes
with it. They are the same bytes in every process, but for what libraries write of themselves.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.servers import SHARED
from tests.unit.edge_agent.sources.dbf_writer import Spec, dbf, fpt
from tests.unit.edge_agent.sources.kinds.test_dicom import charset, element, file
from tests.unit.edge_agent.sources.test_cda import CHINESE
from tests.unit.edge_agent.sources.workbooks import package, sheet_data, text_cell

from .scenes import AUTO, Scene

Files = Mapping[str, bytes]
"""By name: a file, and those that belong to it."""

REAL_OF_A_KIND = 60
REAL_BYTES_MAX = 192 * 1024
FIXED_WIDTHS = (4, 8, 6)
_FOLDERS = (
    "csv-spectrum", "csv-clevercsv", "dbf-dbfread", "dbf-dbasenet", "excel-calamine",
    "hl7v2-ccda-ms-fhir-converter", "dicom-pydicom", "pdf", "fhir-r4-synthea-smart",
)  # fmt: skip
_NO_DATA = ("PROVENANCE.txt", "LICENSE", "NOTICE")
_COMPANIONS = (".dbt", ".fpt", ".cpg")

_MESSAGE = (
    "MSH|^~\\&|HIS|H1|LIS|H1|20240229083000+0800||ADT^A01|{}|P|2.4\r"
    "PID|1||77^^^HIS^MR||Zhang^San||19800101|M\rPV1|1|I\rZZZ|\\F\\x\\X41\\~y\r"
)


NEIGHBOURS = (
    "csv",
    "fixed",
    "memo",
    "xlsx",
    "parquet",
    "json",
    "ndjson",
    "hl7",
    "cda",
    "fhir",
    "dicom",
    "file",
)
"""One of each kind."""


@cache
def sound() -> Mapping[str, Files]:
    """By what they are."""
    return {
        "csv": {"visit.csv": '编号,姓名,诊断\r\n1,张三,"高血压, 2级"\r\n2,李四,\r\n'.encode("gb18030")},
        "fixed": {"bed.fixed": b"id  name    ward  \n1   Zhang   3     \n2   Li      4     \n"},
        "dbf": {"drug.dbf": _dbf(0x03, "M", b"")},
        "memo": _with_memo(),
        "xlsx": {"price.xlsx": _workbook()},
        "parquet": {"lab.parquet": _parquet("snappy")},
        "plain parquet": {"plain.parquet": _parquet("none")},
        "json": {"orders.json": '{"code": 0, "data": [{"id": 1, "v": "张", "n": 1.50}, {"id": 2}]}'.encode()},
        "ndjson": {"orders.ndjson": b'{"id":1,"v":{"a":[1,2]}}\n{"id":2,"v":"x","big":18446744073709551616}\n'},
        "hl7": {"adt.hl7": (_MESSAGE.format(1) + _MESSAGE.format(2)).encode()},
        "mllp": {"batch.hl7": f"FHS|^~\\&|A\rBHS|^~\\&|A\r\x0b{_MESSAGE.format(3)}\x1c\rBTS|1\rFTS|1\r".encode()},
        "cda": {"discharge.xml": CHINESE.replace("ENCODING", "GB18030").encode("gb18030")},
        "fhir": {"bundle.json": _bundle()},
        "fhir lines": {"bulk.ndjson": b'{"resourceType":"Patient","id":"p1"}\n' * 2},
        "dicom": {"ct.dcm": _dicom()},
        "file": {"letter.pdf": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << >>\n%%EOF\n"},
    }  # fmt: skip


def _dbf(version: int, letter: str, memo: bytes, language: int = 0x4D) -> bytes:
    specs = [Spec("CODE", "C", 6), Spec("PRICE", "N", 8, 2), Spec("DAY", "D", 8), Spec("OK", "L", 1)]
    records = [[b"A1", b"1.50", b"20240229", b"T"], ["药".encode("gb18030"), b"", b"", b"?"]]
    if memo:
        specs.append(Spec("NOTE", letter, 10))
        records = [[*record, memo] for record in records]
    return dbf(specs, records * 3, version=version, language=language, deleted=(1,))


def _with_memo() -> Files:
    data, (block, *_) = fpt([(1, "过敏: 青霉素".encode("gb18030")), (1, b"none")])
    return {"note.dbf": _dbf(0xF5, "M", str(block).rjust(10).encode()), "note.fpt": data}


def _workbook() -> bytes:
    head = text_cell("id") + text_cell("name") + text_cell("day")
    rows = [f'<c><v>{i}</v></c><c t="s"><v>0</v></c><c s="1"><v>4535{i}.5</v></c>' for i in range(3)]
    return package(
        {"S1": sheet_data(head, *rows), "S2": sheet_data(text_cell("a"), text_cell("x"))},
        texts="<si><t>Zhang</t></si>",
        styles='<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs>',
    )


def _parquet(compression: str) -> bytes:
    table = pa.table(
        {
            "id": [1, 2, 3],
            "name": ["张", "y", None],
            "tags": [[1], [], None],
            "at": pa.array([1, 2, 3], pa.timestamp("ns")),
            "ward": pa.array(["a", "b", "a"]).dictionary_encode(),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression=compression)
    return sink.getvalue()


def _bundle() -> bytes:
    patient = {"resourceType": "Patient", "id": "p1", "name": [{"family": "张"}], "birthDate": "1980-01-01"}
    seen = {
        "resourceType": "Observation",
        "id": "o1",
        "subject": {"reference": "Patient/p1"},
        "valueQuantity": {"value": 1.10},
    }
    entries = [{"fullUrl": f"urn:{one['id']}", "resource": one} for one in (patient, seen)]
    return json.dumps({"resourceType": "Bundle", "id": "b", "type": "collection", "entry": entries}).encode()


def _dicom() -> bytes:
    return file(
        charset("GB18030"),
        element(0x00080060, "CS", b"CT"),
        element(0x00100010, "PN", "Zhang^San=张^三 ".encode("gb18030")),
        element(0x00100020, "LO", b"007 "),
        element(0x00280010, "US", b"\x00\x02"),
        element(0x7FE00010, "OW", bytes(64)),
    )


@cache
def real() -> tuple[Files, ...]:
    """None where the data sets are missing."""
    found = []
    for path in sorted(path for folder in _FOLDERS for path in (SHARED / folder).rglob("*")):
        if not _counts(path) or path.suffix.lower() in _COMPANIONS:
            continue
        beside = [path.with_suffix(suffix) for s in _COMPANIONS for suffix in (s, s.upper())]
        taken = [path, *(one for one in beside if path.suffix.lower() == ".dbf" and one.is_file())]
        found.append({_plain(one): one.read_bytes() for one in taken})
    return tuple(found)


def sound_scenes() -> dict[str, bytes]:
    """By what they are."""
    return {kind: Scene(AUTO, [files]).to_bytes() for kind, files in sound().items()}


def real_scenes() -> list[bytes]:
    """Those of which there are few come several times."""
    by_suffix: dict[str, list[bytes]] = {}
    for files in real():
        by_suffix.setdefault(next(iter(files)), []).append(Scene(AUTO, [files]).to_bytes())
    return [one for alike in by_suffix.values() for one in alike * max(1, REAL_OF_A_KIND // len(alike))]


def _counts(path: Path) -> bool:
    if not path.is_file() or path.name.endswith(_NO_DATA):
        return False
    return path.stat().st_size <= REAL_BYTES_MAX


def _plain(path: Path) -> str:
    """A short name of ASCII, and the suffix."""
    return "a" + path.suffix.lower()
