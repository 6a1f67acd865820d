"""Record kind `dicom`: a row an image, report, plan or directory, by what it is found, and its whole data set as JSON.

One record a file. Pixel data and long values are passed over, never read; they are in the file, which lands beside the
row, and the data set says where. A file that is cut off or damaged gives what stands before, with the problem. What a
column holds is the file's own text (the number of a series, too: 007 is not 7), without the padding at its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from edge_agent.sources.filerule import FileRule
from edge_agent.sources.kinds.dicomcharset import Charset
from edge_agent.sources.kinds.dicomelements import TRANSFER_SYNTAX, Elements
from edge_agent.sources.kinds.dicomform import begins
from edge_agent.sources.kinds.dicomjson import CHARACTER_SET, JSON_BYTES_MAX, DatasetText
from edge_agent.sources.kinds.dicomvalues import Told, limit_of
from edge_agent.sources.kinds.kind import Opened, Record
from protocol.limits import MIB
from protocol.schema import Column

_SOP_CLASS = 0x00080016
_MEDIA_SOP_CLASS = 0x00020002
_SOP_INSTANCE = 0x00080018
_MEDIA_SOP_INSTANCE = 0x00020003

_TEXTS: dict[str, tuple[int, str]] = {
    "sop_class_uid": (_SOP_CLASS, "UI"),
    "sop_instance_uid": (_SOP_INSTANCE, "UI"),
    "study_instance_uid": (0x0020000D, "UI"),
    "series_instance_uid": (0x0020000E, "UI"),
    "modality": (0x00080060, "CS"),
    "patient_id": (0x00100020, "LO"),
    "issuer": (0x00100021, "LO"),
    "patient_name": (0x00100010, "PN"),
    "patient_birth_date": (0x00100030, "DA"),
    "patient_sex": (0x00100040, "CS"),
    "accession_number": (0x00080050, "SH"),
    "study_id": (0x00200010, "SH"),
    "study_date": (0x00080020, "DA"),
    "study_time": (0x00080030, "TM"),
    "series_number": (0x00200011, "IS"),
    "instance_number": (0x00200013, "IS"),
    "acquisition_date": (0x00080022, "DA"),
    "acquisition_time": (0x00080032, "TM"),
    "institution_name": (0x00080080, "LO"),
    "manufacturer": (0x00080070, "LO"),
    "model": (0x00081090, "LO"),
    "body_part": (0x00180015, "CS"),
    "study_description": (0x00081030, "LO"),
    "series_description": (0x0008103E, "LO"),
    "referring_physician": (0x00080090, "PN"),
    "frames": (0x00280008, "IS"),
    "transfer_syntax_uid": (TRANSFER_SYNTAX, "UI"),
    "charset": (CHARACTER_SET, "CS"),
}
_NUMBERS: dict[str, tuple[int, str]] = {"rows": (0x00280010, "US"), "columns": (0x00280011, "US")}
_INSTEAD = {_SOP_CLASS: _MEDIA_SOP_CLASS, _SOP_INSTANCE: _MEDIA_SOP_INSTANCE}
"""The header says the same of a file; a directory has no other place for it."""


def _column(name: str, wire: pa.DataType, place: tuple[int, str]) -> Column:
    tag, vr = place
    return Column(name, wire, f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {vr}")


class DicomKind:
    """See `kind.RecordKind`."""

    version = 1
    columns = (
        *(_column(name, pa.string(), place) for name, place in _TEXTS.items()),
        *(_column(name, pa.int64(), place) for name, place in _NUMBERS.items()),
        Column("dataset", pa.string(), "json"),
    )

    def records(self, opened: Opened, rule: FileRule) -> Iterator[Record]:
        start = begins(opened.stream, opened.size)
        if start is None:
            raise opened.refused("it does not begin as a DICOM file does")
        elements = Elements(opened.stream, opened.size, start, limit_of)
        found: dict[int, Told] = {}
        believed = None if rule.dicom_charset is None else Charset.of(rule.dicom_charset)
        text = DatasetText(believed, found.__setitem__)
        is_full = False
        for event in elements:
            text.add(event)
            is_full = text.is_full
            if is_full:
                break
        problems = [*elements.problems, *text.problems]
        if is_full:
            problems.append(
                f"longer than {JSON_BYTES_MAX // MIB} MiB as JSON; the rest stands in the file alone"
            )
        values = [*_texts(found), *_numbers(found), text.finished()]
        yield Record(values, "; ".join(problems) or None)


def _texts(found: Mapping[int, Told]) -> Iterator[str | None]:
    for tag, _ in _TEXTS.values():
        value = found.get(tag) or found.get(_INSTEAD.get(tag, tag))
        yield None if value is None else value.text


def _numbers(found: Mapping[int, Told]) -> Iterator[int | None]:
    for tag, _ in _NUMBERS.values():
        value = found.get(tag)
        yield None if value is None else value.number
