"""What the beginning of a text says if it is JSON: one value, an object a line, FHIR, or none of it.

Tokens are looked at without building values, because the text may be cut anywhere; RFC 8259 without its finer points
(the kinds that read JSON are strict). Pure; knows no files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
        (?P<punctuation>[{}\[\],:])
      | (?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")
      | (?P<plain>true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    )""",
    re.VERBOSE,
)
_CUT = re.compile(r'[ \t\r\n]*(?:"[^\x00-\x1f]*|[a-z]{1,5}|-?[\d.eE+-]*)\Z')
"""What may be left of a last token."""
_DEPTH_MAX = 1_000
_RESOURCE_TYPE = '"resourceType"'


@dataclass(frozen=True, slots=True)
class JsonHead:
    is_lines: bool
    """More than one object or array, one behind the other."""
    is_fhir: bool
    is_sound: bool
    """As far as it was read; else it is JSON up to some place."""


def of(text: str, *, is_whole: bool) -> JsonHead | None:
    """None where it begins as no object or array. `is_whole`: nothing is cut off behind it."""
    begin = text.lstrip(" \t\r\n")[:1]
    if begin not in ("{", "["):
        return None
    walk = _Walk()
    place = 0
    is_sound = True
    while is_sound and (token := _TOKEN.match(text, place)):
        place = token.end()
        is_sound = walk.step(token["punctuation"], token["string"])
    rest = text[place:]
    if rest.strip(" \t\r\n") and (is_whole or not _CUT.fullmatch(rest)):
        is_sound = False
    if is_whole and walk.depth:
        is_sound = False
    return JsonHead(walk.values > 1, walk.is_fhir, is_sound)


class _Walk:
    """Where tokens lead: how deep, and which keys are met."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._before = ""
        self.values = 0
        """At the top."""
        self.is_fhir = False

    @property
    def depth(self) -> int:
        return len(self._open)

    def step(self, punctuation: str | None, string: str | None) -> bool:
        """False where no JSON goes on so."""
        before, self._before = self._before, punctuation or "value"
        is_key_before = before in ("{", ",") and self._open[-1:] == ["{"]
        if punctuation in ("{", "["):
            return self._opens(punctuation, before, is_key_before)
        if punctuation in ("}", "]"):
            closes = self._open[-1:] == ["{" if punctuation == "}" else "["] and before not in (",", ":")
            if closes:
                self._open.pop()
                self._before = "value"
            return closes
        if punctuation == ",":
            return bool(self._open) and before == "value"
        if punctuation == ":":
            return before == "key"
        if is_key_before:
            self._before = "key"
            self.is_fhir |= string == _RESOURCE_TYPE and self._open in (["{"], ["{", "[", "{", "{"])
            return string is not None
        return bool(self._open) and before in ("[", ",", ":")

    def _opens(self, punctuation: str, before: str, is_key_before: bool) -> bool:
        if is_key_before or before == "key" or len(self._open) >= _DEPTH_MAX:
            return False
        if not self._open:
            self.values += 1
        elif before not in ("[", ",", ":"):
            return False
        self._open.append(punctuation)
        return True
