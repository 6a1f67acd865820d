"""Changes to a scene (`scenes`), from a seeded chance: its files, their names, their rule, and what becomes of them.

A file is changed blindly, by blocks of others, by the words and signs of the formats, within an archive or a JSON
document; it is renamed to what it is not, it grows, shrinks and is replaced. Wherever something is changed there may
stand `MARK` from then on: a value that no fault and no line of a log may hold.
"""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

from .mutations import _blind, _document, _word
from .scenes import AUTO, FILES_MAX, STATES_MAX, Scene, State
from .specimens import FIXED_WIDTHS, sound

MARK = "Qz7ZhangXiaoDong19771012"
"""Like a patient's, and nowhere else."""
FILE_BYTES_MAX = 512 * 1024
CHANGES_MAX = 5
_CODED = tuple(MARK.encode(encoding) for encoding in ("ascii", "utf-16-le", "utf-16-be"))
_SUFFIXES = (
    ".csv", ".txt", ".tsv", ".dbf", ".xls", ".xlsx", ".xlsm", ".parquet", ".json", ".ndjson", ".hl7", ".xml", ".cda",
    ".dcm", ".pdf", ".bin", ".fpt", ".dbt", ".cpg", ".log",
)  # fmt: skip
_SIGNS = (
    b"", b"\0", b"\r", b"\n", b"\r\n", b'"', b'""', b"'", b",", b";", b"\t", b"|", b"^", b"~", b"\\", b"\\F\\",
    b"\\XFF\\", b"&", b"<", b">", b"]]>", b"<!--", b"<![CDATA[", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&#0;", b"&amp;",
    b"&b;",
    b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\x84\x31\x95\x33", b"\x81\x30\x81\x30", b"\x1a", b"\x0b", b"\x1c\r",
    b"MSH|^~\\&|", b"\rPID|1||", b"FHS|^~\\&|", b"BTS|9", b"FTS|9", b'{"resourceType":"Patient"}', b'{"a":', b"[", b"]",
    b"}", b"\\ud800", b"\\u0000", b"NaN", b"1e999999", b"-0", b"9" * 400, b"0000-00-00", b"99999999", b"*" * 10,
    b"#N/A",
    b"PAR1", b"PK\x03\x04", b"PK\x05\x06", b"DICM", b"\xfe\xff\0\xe0\xff\xff\xff\xff", b"\xfe\xff\xdd\xe0\0\0\0\0",
    b"\x08\0\x05\0CS\x0a\0ISO_IR 999", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"%PDF-9",
    b"\xd0\xcf\x11\xe0",
    b"<mergeCell ref='A1:XFD1048576'/>", b"<c r='XFD1048576'><v>1</v></c>", b"<row r='1048576'>", b"t='s'",
    b"<v>-1</v>",
    b"_x0000_", b"_xD800_", "张".encode("gb18030"), "張".encode("big5"), "张".encode("utf-16-le"),
)  # fmt: skip
_RULES: dict[str, tuple[dict[str, Any], ...]] = {
    "csv": (
        {}, {"encoding": "auto"}, {"encoding": "gb18030", "key": ["编号"]}, {"encoding": "utf-16"},
        {"encoding": "utf-7"}, {"encoding": "iso2022_jp", "header": False},
        {"quote": "", "header": False, "encoding": "latin-1"},
        {"append_only": True}, {"header": False, "encoding": "gb18030", "append_only": True},
        {"encoding": "auto", "table": "t"},
    ),
    "fixed": (
        {"widths": FIXED_WIDTHS}, {"widths": [1], "header": False, "encoding": "latin-1"},
        {"widths": FIXED_WIDTHS, "encoding": "gb18030", "append_only": True},
    ),
    "dbf": ({}, {"encoding": "gb18030"}, {"encoding": "auto"}, {"table": "t"}),
    "excel": ({}, {"header_row": 2}, {"keep_bytes": True}, {"table": "t"}),
    "parquet": ({}, {"keep_bytes": True}),
    "json": ({}, {"encoding": "auto"}),
    "ndjson": ({}, {"key": ["id"]}),
    "hl7": ({}, {"encoding": "auto"}, {"encoding": "gb18030"}, {"table": "t"}),
    "cda": ({}, {"encoding": "auto"}),
    "fhir": ({}, {"encoding": "auto"}),
    "dicom": ({}, {"dicom_charset": "GB18030"}),
    "file": ({},),
}  # fmt: skip
_OWN = {
    "csv": "csv", "fixed": "fixed", "dbf": "dbf", "xls": "excel", "xlsx": "excel", "parquet": "parquet", "json": "fhir",
    "ndjson": "ndjson", "hl7": "hl7", "ccda": "cda", "xml": "cda", "dcm": "dicom",
}  # fmt: skip
"""The kind of a file by its suffix."""


def damage(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """One to a few changes of the scene that `data` is; the files of `others`, scenes too, lend their bytes."""
    scene = Scene.of(data)
    lending = (
        [one for _ in range(3) for state in Scene.of(rng.choice(others)).states for one in state.values()]
        if others
        else []
    )
    for _ in range(rng.randint(1, CHANGES_MAX)):
        scene = rng.choice(_CHANGES)(scene, rng, lending)
    if rng.random() < 0.4:
        scene = _later(scene, rng, lending)
    return scene.to_bytes()


def _in_file(scene: Scene, rng: random.Random, lending: Sequence[bytes]) -> Scene:
    at = rng.randrange(len(scene.states)) if scene.states else 0
    if not scene.states or not scene.states[at]:
        return Scene(scene.rule, [*scene.states, {"a.bin": rng.choice([*lending, b""])}][:STATES_MAX])
    state = dict(scene.states[at])
    name = rng.choice(sorted(state))
    for _ in range(rng.randint(1, 3)):
        state[name] = _changed(state[name], rng, lending)[:FILE_BYTES_MAX]
    return Scene(scene.rule, [*scene.states[:at], state, *scene.states[at + 1 :]])


def _changed(data: bytes, rng: random.Random, lending: Sequence[bytes]) -> bytes:
    if data.startswith(b"PK\x03\x04") and rng.random() < 0.7:
        return _in_archive(data, rng, lending)
    if data.lstrip()[:1] in (b"{", b"[") and rng.random() < 0.4:
        return _document(data, rng, lending)
    match rng.randrange(6):
        case 0:
            return _signs(data, rng)
        case 1:
            return _marked(data, rng)
        case 2:
            return _blocks(data, rng, lending)
        case 3:  # where binary formats have their lengths and offsets
            ends = (rng.randrange(min(len(data), 512) + 1), max(0, len(data) - 1 - rng.randrange(256)))
            return _word(data, rng.choice(ends), rng)
    return _blind(data, rng, lending)


def _signs(data: bytes, rng: random.Random) -> bytes:
    at, over = rng.randrange(len(data) + 1), rng.choice((0, 0, 1, 4, 16))
    return data[:at] + rng.choice(_SIGNS) * rng.choice((1, 1, 1, 3, 50)) + data[at + over :]


def _marked(data: bytes, rng: random.Random) -> bytes:
    mark = rng.choice(_CODED)
    at = rng.randrange(len(data) + 1)
    return data[:at] + mark + data[at + rng.choice((0, len(mark))) :]


def _blocks(data: bytes, rng: random.Random, lending: Sequence[bytes]) -> bytes:
    other = rng.choice([data, *lending])
    begin, at = rng.randrange(len(other) + 1), rng.randrange(len(data) + 1)
    block = other[begin : begin + rng.choice((1, 8, 64, 512, 4_096, 32_768))]
    times = rng.choice((1, 1, 1, 2, 16, 256, 4_096))
    if len(block) * times > FILE_BYTES_MAX:
        times = 1
    return data[:at] + block * times + data[at + rng.choice((0, len(block))) :]


def _in_archive(data: bytes, rng: random.Random, lending: Sequence[bytes]) -> bytes:
    """One part of it is another one: a checksum would stop nearly all other damage."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()[:40]}
    except Exception:
        return _blind(data, rng, lending)
    if not parts:
        return data
    name = rng.choice(sorted(parts))
    how: Callable[[bytes], bytes] = rng.choice((
        lambda part: _signs(part, rng), lambda part: _marked(part, rng), lambda part: _blocks(part, rng, lending),
        lambda part: _blind(part, rng, lending),
    ))  # fmt: skip
    parts[name] = how(parts[name])[:FILE_BYTES_MAX]
    if rng.random() < 0.05:
        del parts[name]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, part in parts.items():
            archive.writestr(zipfile.ZipInfo(name), part)
    return made.getvalue()


def _renamed(scene: Scene, rng: random.Random, lending: Sequence[bytes]) -> Scene:
    suffix = rng.choice(_SUFFIXES)

    def other(name: str) -> str:
        return name.partition(".")[0] + suffix

    states = [
        {(other(name) if place == 0 else name): data for place, (name, data) in enumerate(state.items())}
        for state in scene.states
    ]
    return Scene(scene.rule, states)


def _ruled(scene: Scene, rng: random.Random, lending: Sequence[bytes]) -> Scene:
    suffixes = sorted({name.rpartition(".")[2] for state in scene.states for name in state})
    own = _OWN.get(rng.choice(suffixes)) if suffixes else None
    if rng.random() < 0.3:
        return Scene(AUTO, scene.states)
    kind = own if own is not None and rng.random() < 0.5 else rng.choice(sorted(_RULES))
    return Scene({"kind": kind, **rng.choice(_RULES[kind])}, scene.states)


def _joined(scene: Scene, rng: random.Random, lending: Sequence[bytes]) -> Scene:
    """Another file beside it, from then on."""
    name, data = rng.choice([(n, d) for files in sound().values() for n, d in files.items()])
    name = rng.choice((name, "a" + rng.choice(_SUFFIXES)))
    data = rng.choice([data, *lending])
    if any(len(state) >= FILES_MAX for state in scene.states):
        return scene
    return Scene(scene.rule, [{**state, name: data} for state in scene.states])


def _later(scene: Scene, rng: random.Random, lending: Sequence[bytes]) -> Scene:
    """What becomes of one of the files: it grows, shrinks, is another one, is sound again, or goes."""
    if not scene.states or not scene.states[-1] or len(scene.states) >= STATES_MAX:
        return scene
    state = dict(scene.states[-1])
    name = rng.choice(sorted(state))
    data = state[name]
    match rng.randrange(8):
        case 0:
            state[name] = data + data[len(data) // 2 :]
        case 1:
            line = data[data.rfind(b"\n", 0, -1) + 1 :]
            state[name] = data + rng.choice((line, rng.choice(_CODED), rng.choice(_SIGNS)))
        case 2:
            state[name] = data[: rng.randrange(len(data) + 1)]
        case 3:
            state[name] = rng.choice([*lending, b""])
        case 4:
            state[name] = rng.choice([d for files in sound().values() for d in files.values()])
        case 5:
            del state[name]
        case _:
            state[name] = _changed(data, rng, lending)
    following: list[State] = [*scene.states, {n: d[:FILE_BYTES_MAX] for n, d in state.items()}]
    return Scene(scene.rule, following)


_CHANGES: tuple[Callable[[Scene, random.Random, Sequence[bytes]], Scene], ...] = (
    _in_file, _in_file, _in_file, _in_file, _in_file, _renamed, _ruled, _ruled, _joined, _later,
)  # fmt: skip
