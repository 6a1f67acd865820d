"""An .xlsx or .xlsm file as its parts: sheets and their order, texts that cells share, formats, the epoch of dates.

A ZIP archive of XML (ECMA-376). What its directory says that it expands to is bounded before anything is inflated, and
zipfile never gives more of a part than the directory says; XML with a document type is refused, since nothing honest
has one here and entities multiply. Shared texts are held as one block of UTF-8 with
offsets, since every string of Python takes some 60 bytes beside its text.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pyexpat import ParserCreate, XMLParserType
from typing import Any

from edge_agent.sources.kinds.cells import Shown, shown_by
from edge_agent.sources.kinds.kind import Opened
from protocol.errors import Rejected
from protocol.limits import MIB

EXPANDED_BYTES_MAX = 1024 * MIB
"""Of all parts: a full sheet of 25 columns and a million rows comes to about 1 GiB."""
TEXTS_BYTES_MAX = 96 * MIB
"""Shared texts, which are held in memory."""
TEXT_CHARS_MAX = MIB
"""Of one cell. Excel ends at 32,767."""
SHEETS_MAX = 1_024
FORMATS_MAX = 65_536
"""Cell formats of a workbook; Excel ends at 65,490."""
MEMBERS_MAX = 65_536
DEPTH_MAX = 64
"""Elements within each other."""
_TOKEN_BYTES_MAX = 4 * MIB
"""A tag, or what else the parser must hold until it ends."""
_PIECE_BYTES = 64 * 1024
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""zipfile inflates others without a bound."""

_RELATIONSHIPS = "/relationships/"

Attributes = dict[str, str]


@dataclass(frozen=True, slots=True)
class SheetPart:
    name: str
    member: zipfile.ZipInfo


class Texts:
    """Shared texts by number."""

    def __init__(self) -> None:
        self._block = bytearray()
        self._ends = array("Q", (0,))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @property
    def nbytes(self) -> int:
        return len(self._block) + 8 * len(self._ends)

    def append(self, text: str) -> None:
        self._block += text.encode()
        self._ends.append(len(self._block))

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < len(self):
            raise IndexError
        return self._block[self._ends[number] : self._ends[number + 1]].decode()


_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")


def unescaped(text: str) -> str:
    """Text with its `_xHHHH_` as the UTF-16 that they stand for (ECMA-376 part 1, 22.9.2.19, ST_Xstring)."""
    if "_x" not in text:
        return text
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    try:
        return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        return text  # half a character is no escape


class Parsing:
    """Expat on one part, with namespaces before names; without document types, and with a bound on what it holds."""

    def __init__(self, opened: Opened, prepare: Callable[[XMLParserType], None]) -> None:
        self._opened = opened
        self._fed = 0
        self._parser = ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._has_doctype
        prepare(self._parser)

    def feed(self, piece: bytes) -> None:
        self._parser.Parse(piece, False)
        self._fed += len(piece)
        if self._fed - self._parser.CurrentByteIndex > _TOKEN_BYTES_MAX:
            raise self._opened.refused("a part of the workbook has a tag without an end")

    def close(self) -> None:
        self._parser.Parse(b"", True)

    def _has_doctype(self, *_: Any) -> None:
        raise self._opened.refused("a part of the workbook has a document type")


class Package:
    """The archive of one file, whose stream stays the caller's."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        archive = zipfile.ZipFile(opened.stream)
        if len(archive.filelist) > MEMBERS_MAX:
            raise opened.refused("too many parts in the workbook")
        if sum(member.file_size for member in archive.filelist) > EXPANDED_BYTES_MAX:
            raise opened.refused("the workbook expands to more than 1 GiB")
        self._archive = archive
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in archive.filelist:
            name = _normal(member.filename)
            if name in self._members:
                raise opened.refused("two parts of the workbook have the same name")
            self._members[name] = member
        self._book = self._workbook_name()
        self._related = self._relations(self._book)
        self.is_1904 = False
        self._sheet_ids: list[tuple[str, str]] = []
        self._read_workbook()

    def sheets(self) -> Iterator[SheetPart]:
        """In the workbook's order, hidden ones too; no charts and dialogs."""
        for name, identity in self._sheet_ids:
            kind, target = self._related.get(identity, ("", ""))
            if kind == "worksheet":
                if target not in self._members:
                    raise self._opened.refused("a sheet of the workbook is missing")
                yield SheetPart(name, self._members[target])

    def pieces(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        if member.compress_type not in _BOUNDED:
            raise self._opened.refused("a part of the workbook is packed as no spreadsheet program packs it")
        with self._archive.open(member) as stream:
            while piece := stream.read(_PIECE_BYTES):
                yield piece

    def parser(self, prepare: Callable[[XMLParserType], None]) -> Parsing:
        """A parser of a part, to which `prepare` gives its handlers."""
        return Parsing(self._opened, prepare)

    def parse(self, member: zipfile.ZipInfo, prepare: Callable[[XMLParserType], None]) -> Iterator[None]:
        """Feeds the part to a parser, and stops after every piece."""
        parsing = self.parser(prepare)
        for piece in self.pieces(member):
            parsing.feed(piece)
            yield
        parsing.close()
        yield

    def _elements(self, name: str, start: Callable[[str, Attributes], None]) -> None:
        """Calls `start` with the local name and the attributes of every element of a part."""
        self._walk(self._members[name], lambda path, attributes: start(path[-1], attributes))

    def _walk(self, member: zipfile.ZipInfo, start: Callable[[list[str], Attributes], None]) -> None:
        """Calls `start` with the local names down to every element of a part, and its attributes."""
        path: list[str] = []

        def begin(full: str, attributes: Attributes) -> None:
            path.append(_local(full))
            if len(path) > DEPTH_MAX:
                raise self.too_deep()
            start(path, attributes)

        def prepare(parser: XMLParserType) -> None:
            parser.StartElementHandler = begin
            parser.EndElementHandler = lambda _: path.pop()

        for _ in self.parse(member, prepare):
            pass

    def too_deep(self) -> Rejected:
        return self._opened.refused("elements of the workbook lie too deep within each other")

    def _workbook_name(self) -> str:
        found = [t for kind, t in self._relations("").values() if kind == "officeDocument"]
        if len(found) != 1 or found[0] not in self._members:
            raise self._opened.refused("it is a ZIP archive, but no workbook")
        if found[0].endswith(".bin"):
            raise self._opened.refused("it is a binary workbook (.xlsb): save it as .xlsx")
        return found[0]

    def _relations(self, source: str) -> dict[str, tuple[str, str]]:
        """By identity: kind and name of every part that belongs to another one."""
        folder, base = posixpath.split(source)
        name = posixpath.join(folder, "_rels", f"{base}.rels")
        found: dict[str, tuple[str, str]] = {}

        def start(element: str, attributes: Attributes) -> None:
            if element == "Relationship" and attributes.get("TargetMode") != "External":
                kind = attributes.get("Type", "").rpartition(_RELATIONSHIPS)[2]
                target = posixpath.join("/" + folder, attributes.get("Target", "").replace("\\", "/"))
                found[attributes.get("Id", "")] = kind, _normal(posixpath.normpath(target))

        if name in self._members:
            self._elements(name, start)
        return found

    def _read_workbook(self) -> None:
        def start(element: str, attributes: Attributes) -> None:
            if element == "workbookPr":
                self.is_1904 = attributes.get("date1904", "0") in ("1", "true", "on")
            elif element == "sheet":
                identity = next((v for k, v in attributes.items() if k.endswith("/relationships id")), "")
                self._sheet_ids.append((unescaped(attributes.get("name", "")), identity))

        self._elements(self._book, start)
        names = [name.casefold() for name, _ in self._sheet_ids]
        if len(names) > SHEETS_MAX:
            raise self._opened.refused("too many sheets")
        if len(set(names)) != len(names) or not all(names):
            raise self._opened.refused("two sheets have the same name, or one has none")

    def _part(self, kind: str) -> zipfile.ZipInfo | None:
        return next((self._members.get(t) for k, t in self._related.values() if k == kind), None)

    def formats(self) -> list[Shown]:
        """What each cell format (`s` of a cell) makes of a number."""
        member = self._part("styles")
        codes: dict[int, str] = {}
        used: list[int] = []

        def start(path: list[str], attributes: Attributes) -> None:
            if path[-2:] == ["numFmts", "numFmt"]:
                codes[int(attributes["numFmtId"])] = attributes.get("formatCode", "")
            elif path[-2:] == ["cellXfs", "xf"]:
                used.append(int(attributes.get("numFmtId", "0")))
            if len(used) > FORMATS_MAX or len(codes) > FORMATS_MAX:
                raise self._opened.refused("too many cell formats")

        if member is not None:
            self._walk(member, start)
        known = {number: shown_by(number, codes.get(number)) for number in set(used)}
        return [known[number] for number in used]

    def texts(self) -> Texts:
        """The texts that cells share; phonetic readings are none of them."""
        member = self._part("sharedStrings")
        texts = Texts()
        reader = _TextReader(texts, self.too_deep)
        if member is not None:
            for _ in self.parse(member, reader.prepare):
                if texts.nbytes > TEXTS_BYTES_MAX or reader.chars > TEXT_CHARS_MAX:
                    raise self._opened.refused("more text than is held of a workbook (96 MiB)")
        return texts


class _TextReader:
    """Handlers for the part of shared texts: `t` of `si`, rich text joined, without `rPh`."""

    def __init__(self, texts: Texts, too_deep: Callable[[], Rejected]) -> None:
        self._texts = texts
        self._too_deep = too_deep
        self._depth = 0
        self._runs: list[str] = []
        self._is_text = False
        self._is_phonetic = False
        self.chars = 0

    def prepare(self, parser: XMLParserType) -> None:
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data

    def _start(self, full: str, _: Attributes) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._too_deep()
        element = _local(full)
        if element == "t":
            self._is_text = not self._is_phonetic
        elif element == "rPh":
            self._is_phonetic = True
        elif element == "si":
            self._runs, self.chars = [], 0

    def _data(self, text: str) -> None:
        if self._is_text:
            self._runs.append(text)
            self.chars += len(text)

    def _end(self, full: str) -> None:
        self._depth -= 1
        element = _local(full)
        if element == "t":
            self._is_text = False
        elif element == "rPh":
            self._is_phonetic = False
        elif element == "si":
            self._texts.append(unescaped("".join(self._runs)))


def _normal(name: str) -> str:
    """Names of parts are compared without case (ECMA-376 part 2, 6.2.2.3)."""
    return name.replace("\\", "/").lstrip("/").lower()


def _local(full: str) -> str:
    return full.rpartition(" ")[2]
