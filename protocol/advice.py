"""The form of a sentence for people: whose the fault is, what happened, what to do, in two languages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Blame(Enum):
    """Whose the fault is, seen from the process that reports it."""

    LOCAL = "local"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class Advice:
    """One sentence of what happened and one of what to do, each in English and Chinese."""

    blame: Blame
    what: str
    todo: str
    what_zh: str
    todo_zh: str
