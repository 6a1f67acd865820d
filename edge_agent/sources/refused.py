"""What should have been tables and was none: a file, or a part of one, in which state and why. The book keeps it.

Its bytes land with the reason for as long as it stands here. Knows no folder and no kind.
"""

from __future__ import annotations

from collections.abc import Collection

from edge_agent.sources.filebook import FileBook
from edge_agent.sources.filetables import NO_TABLE
from edge_agent.sources.found import FoundFile
from protocol.errors import Rejected


class Refused:
    def __init__(self, book: FileBook) -> None:
        self._book = book
        self._known = book.refusals()

    def reload(self) -> None:
        """Another process asked for something to be read again."""
        self._known = self._book.refusals()

    def note(self, file: FoundFile, part: str, fault: Rejected) -> None:
        """`part`: which table of the file; "": the file as a whole."""
        refusal = file.state, _reason(fault)
        known = self._known.setdefault(file.name, {})
        if fault.code in NO_TABLE and known.get(part) != refusal:
            known[part] = refusal
            self._book.refuse(file.name, part, *refusal)

    def accept(self, file: FoundFile, part: str) -> None:
        """It is a table after all."""
        if self._known.get(file.name, {}).pop(part, None) is not None:
            self._book.accept(file.name, part)

    def accept_all_but(self, file: FoundFile, parts: Collection[str]) -> None:
        for part in {"", *self._known.get(file.name, {})} - set(parts):
            self.accept(file, part)

    def problem(self, file: FoundFile) -> str | None:
        """Why it, or a part of it, was no table when it was last read."""
        return next((problem for _, problem in self._known.get(file.name, {}).values()), None)

    def stands(self, file: FoundFile, part: str) -> bool:
        """Whether it, or that part of it, is known to be no table as the file is now."""
        known = self._known.get(file.name, {})
        return any(one in known and known[one][0] == file.state for one in ("", part))


def _reason(fault: Rejected) -> str:
    return str(fault.facts.get("problem") or "its bytes are no text of the encoding")
