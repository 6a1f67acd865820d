"""What each file of a folder is: by the first rule that matches its name, and for kind `auto` by its content, once.

What `auto` decided stands in the book and holds until somebody asks for it to be decided anew, so that a table does not
become another one because a night's export began with other characters.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from edge_agent.sources.choosing import Choice, choose
from edge_agent.sources.filebook import Chosen, FileBook
from edge_agent.sources.filerule import AUTO, FileRule
from edge_agent.sources.folder import FoundFile, glob_matcher
from edge_agent.sources.kinds import registry
from edge_agent.sources.opening import open_shared
from protocol.limits import KIB

log = logging.getLogger("edge.files")

HEAD_BYTES = 64 * KIB


class Deciding:
    """`clock` gives seconds since 1970."""

    def __init__(self, rules: Sequence[FileRule], book: FileBook, clock: Callable[[], float]) -> None:
        self._rules = [(glob_matcher(rule.glob), rule) for rule in rules]
        self._book = book
        self._clock = clock
        self._decided: dict[str, FileRule] = {}
        self._made: dict[tuple[Any, ...], FileRule] = {}
        """One rule for all files that were taken for the same."""

    def is_wanted(self, name: str) -> bool:
        return self._matching(name) is not None

    def grows(self, name: str) -> bool:
        """Its rule says that it is only appended to."""
        rule = self._matching(name)
        return rule is not None and rule.append_only

    def is_of_several(self, table: str) -> bool:
        """A rule reads all its files as this table."""
        return any(rule.table == table for _, rule in self._rules)

    def forget(self) -> None:
        """Somebody asked for something to be decided anew."""
        self._decided.clear()

    def _matching(self, name: str) -> FileRule | None:
        return next((rule for matches, rule in self._rules if matches(name)), None)

    def rule(self, file: FoundFile) -> FileRule | None:
        """As it holds for this file; None where it is of kind `auto` and cannot be looked at yet."""
        rule = self._matching(file.name)
        if rule is None or rule.kind != AUTO:
            return rule
        if file.name not in self._decided:
            chosen = self._book.chosen(file.name) or self._choose(file)
            if chosen is None:
                return None
            if not chosen.confidence:
                return self._as_rule(rule, chosen)
            self._decided[file.name] = self._as_rule(rule, chosen)
        return self._decided[file.name]

    def _as_rule(self, rule: FileRule, chosen: Chosen) -> FileRule:
        key = (rule.glob, chosen.kind, *sorted(chosen.said.items()))
        if key not in self._made:
            self._made[key] = rule.model_copy(update={"kind": chosen.kind, **chosen.said})
        return self._made[key]

    def _choose(self, file: FoundFile) -> Chosen | None:
        if not file.resting:
            return None
        try:
            with open_shared(file.path) as stream:
                head = stream.read(HEAD_BYTES)
        except OSError:
            return None
        try:
            choice = choose(file.name, head, file.state.size)
        except Exception as error:  # no file may stop the others
            log.warning("a file could not be looked at (%s)", type(error).__name__)
            choice = Choice(registry.FILE, 0.0, "it cannot be told")
        said = {
            "encoding": choice.encoding,
            "delimiter": choice.delimiter,
            "quote": choice.quote,
            "header": choice.header,
        }
        chosen = Chosen(file.name, choice.kind, said, choice.confidence, choice.why, self._clock())
        if chosen.confidence:  # else there is nothing to go by yet
            self._book.choose(chosen)
        return chosen
