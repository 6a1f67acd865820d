"""A DICOM file as one text of the DICOM JSON model, written while its elements come, and its top-level values.

Beside the model, group 0002 stands in it, too. A value that is too long for it is named by its place: a `BulkDataURI`
`?offset=…&length=…` relative to the file's bytes (`&deflated=1`: to its inflated data set). The text is bounded by
`JSON_BYTES_MAX`. Knows no columns and no records.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from edge_agent.sources.kinds.dicomcharset import Charset
from edge_agent.sources.kinds.dicomelements import Element, Event, Opening, Turn, spelt
from edge_agent.sources.kinds.dicomvalues import Setting, Told, told
from protocol.limits import MIB

JSON_BYTES_MAX = 16 * MIB
"""As much as enters the spool in one transaction. Only data sets of thousands of frames or contours are longer."""

CHARACTER_SET = 0x00080005
_PIXEL_REPRESENTATION = 0x00280103
_TAGS_NAMED_MAX = 5

_spell = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode

_TWICE = "an element that stands twice (the first counts)"


@dataclass(slots=True)
class _DataSet:
    setting: Setting
    tags: set[int] = field(default_factory=set)


class DatasetText:
    """`believed`: the character set of every text, whatever the file declares. `top` is called with each element of
    the data set itself that has its value."""

    def __init__(self, believed: Charset | None, top: Callable[[int, Told], None]) -> None:
        self._top = top
        self._text = bytearray(b"{")
        self._ends: list[str] = ["}"]
        self._sets: list[_DataSet] = [_DataSet(Setting(believed=believed))]
        self._is_first = True
        self._muted = 0
        self._odd: dict[str, list[int]] = {}

    @property
    def is_full(self) -> bool:
        return len(self._text) > JSON_BYTES_MAX

    @property
    def problems(self) -> list[str]:
        """In plain words, with the tags that they concern."""
        return [f"{what}: {_named(tags)}" for what, tags in self._odd.items()]

    def add(self, event: Event) -> None:
        if self._muted:
            self._muted += isinstance(event, Opening) - (event is Turn.SEQUENCE_END)
        elif isinstance(event, Element):
            if not self._is_repeated(event.tag):
                self._element(event)
        elif isinstance(event, Opening):
            self._muted = int(self._is_repeated(event.tag))
            if not self._muted:
                self._begin(f'"{event.tag:08X}":{{"vr":"SQ","Value":[', "]}")
        elif event is Turn.ITEM:
            self._begin("{", "}")
            self._sets.append(_DataSet(self._sets[-1].setting))
        else:
            if event is Turn.ITEM_END:
                self._sets.pop()
            self._end()

    def finished(self) -> str:
        """The text, with an end to all that is open."""
        while self._ends:
            self._end()
        return self._text.decode()

    def _element(self, element: Element) -> None:
        if element.raw is None:
            self._write(element.tag, {"vr": _single(element.vr), "BulkDataURI": _place(element)})
            return
        here = self._sets[-1]
        value = told(element.vr, element.raw, element.is_little, here.setting)
        if value.problem is not None:
            self._note(value.problem, element.tag)
        if element.tag == CHARACTER_SET:
            here.setting = replace(here.setting, declared=Charset.of(value.text or ""))
        elif element.tag == _PIXEL_REPRESENTATION:
            here.setting = replace(here.setting, is_signed=value.number == 1)
        if len(self._sets) == 1:
            self._top(element.tag, value)
        self._write(element.tag, value.member)

    def _is_repeated(self, tag: int) -> bool:
        tags = self._sets[-1].tags
        if tag in tags:
            self._note(_TWICE, tag)
            return True
        tags.add(tag)
        return False

    def _note(self, what: str, tag: int) -> None:
        tags = self._odd.setdefault(what, [])
        if tag not in tags and len(tags) <= _TAGS_NAMED_MAX:
            tags.append(tag)

    def _write(self, tag: int, member: dict[str, Any]) -> None:
        self._append(f'"{tag:08X}":{_spell(member)}')

    def _begin(self, text: str, end: str) -> None:
        self._append(text)
        self._ends.append(end)
        self._is_first = True

    def _end(self) -> None:
        self._text += self._ends.pop().encode()
        self._is_first = False

    def _append(self, text: str) -> None:
        self._text += (text if self._is_first else f",{text}").encode()
        self._is_first = False


def _place(element: Element) -> str:
    return f"?offset={element.offset}&length={element.length}{'&deflated=1' if element.is_deflated else ''}"


def _single(vr: str) -> str:
    """Of several that a dictionary leaves open, the one of bytes."""
    return "OW" if " or " in vr else vr


def _named(tags: list[int]) -> str:
    more = " and more" if len(tags) > _TAGS_NAMED_MAX else ""
    return ", ".join(map(spelt, tags[:_TAGS_NAMED_MAX])) + more
