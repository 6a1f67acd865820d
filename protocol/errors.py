"""Faults: what happened, whose it is, and what to do about it.

The class says what the program does (retry, stop, set aside); the code says what the person does, in
English and Chinese (see `catalogue`). Facts that fill a sentence are names and numbers, never a value out of a record:
patient data has no way into a message (promise 6 asks that someone is told; promise 8 that nobody is harmed by it).
"""

from __future__ import annotations

from .advice import Advice, Blame
from .catalogue import CATALOGUE

__all__ = ["CATALOGUE", "Advice", "Blame", "Fault", "Permanent", "Rejected", "Transient"]


class Fault(Exception):
    """A fault that a person can meet. `code` is stable; `facts` fill the sentences of the catalogue."""

    def __init__(self, code: str, **facts: str | int) -> None:
        self.code = code
        self.facts = facts
        super().__init__(f"{code} {self.what}")

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.code, self.facts))

    @property
    def advice(self) -> Advice:
        return CATALOGUE[self.code]

    @property
    def what(self) -> str:
        return self.advice.what.format(**self.facts)

    @property
    def todo(self) -> str:
        return self.advice.todo.format(**self.facts)

    @property
    def what_zh(self) -> str:
        return self.advice.what_zh.format(**self.facts)

    @property
    def todo_zh(self) -> str:
        return self.advice.todo_zh.format(**self.facts)

    def as_json(self) -> dict[str, str]:
        """The fault as `status.json` shows it at either end."""
        return {
            "code": self.code,
            "what": self.what,
            "todo": self.todo,
            "what_zh": self.what_zh,
            "todo_zh": self.todo_zh,
        }


def _rebuild(kind: type[Fault], code: str, facts: dict[str, str | int]) -> Fault:
    return kind(code, **facts)


class Transient(Fault):
    """Try again later; nothing is lost meanwhile."""


class Permanent(Fault):
    """Trying again changes nothing: a person must act."""


class Rejected(Fault):
    """These bytes (or this row, this table) are set aside with their reason; everything else goes on."""
