"""The witness of commands: what was asked of agents, what they did and what they answered.

Held against the promises: a command takes effect at most once by id, within `[remote] allow`; what is answered is
durable, and answered alike ever after; a paused source is not read, whatever is started anew. An agent remembers
what its orders file says: with one from a backup it has forgotten what it did since. That nothing stays unanswered
the world sees at its end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection

from edge_agent.orders import Book
from protocol.messages import Answer, Command

from .clock import loop

STEP_SECONDS_MAX = 2.0
"""How long a step may still read that was under way when its source was paused."""
LONG_AGO = float("-inf")


class Obedience:
    """By machine, not by agent: a copied machine has a memory of its own."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []
        """Topic and bytes of every command that the centre ever said."""
        self.hears: Callable[[], None] = lambda: None
        """Called when an agent is about to judge a command."""
        self.effects = 0
        self._done: defaultdict[str, set[str]] = defaultdict(set)
        self._answers: defaultdict[str, dict[str, Answer]] = defaultdict(dict)
        self._paused: defaultdict[str, dict[str, float]] = defaultdict(dict)

    def restored(self, machine: str, book: Book) -> None:
        """This is what the machine remembers now."""
        self._done[machine] &= book.outcomes.keys()
        known = self._answers[machine]
        self._answers[machine] = {id: known[id] for id in known.keys() & book.outcomes.keys()}
        self._paused[machine] = dict.fromkeys(book.pauses, LONG_AGO)

    def started(self, machine: str) -> None:
        """No step of an earlier process is under way any more."""
        self._paused[machine] = dict.fromkeys(self._paused[machine], LONG_AGO)

    def ordered(self, machine: str, book: Book) -> None:
        """A person there paused or resumed something."""
        known = self._paused[machine]
        self._paused[machine] = {source: known.get(source, loop().time()) for source in book.pauses}

    def obeyed(
        self,
        machine: str,
        command: Command,
        allow: Collection[str],
        before: Book,
        after: Book,
        answer: Answer | None,
    ) -> None:
        """`before` and `after` are what its disk held; without an answer it died, or could not write."""
        if (before.pauses, before.snapshots) != (after.pauses, after.snapshots):
            assert command.name in allow, f"{machine} does what it may not: {command.name}"
            assert command.id not in self._done[machine], f"{machine} obeys {command.id} again"
            assert command.id in after.outcomes, f"{machine} does not remember {command.id}"
            self._done[machine].add(command.id)
            self.effects += 1
            self.ordered(machine, after)
        if answer is not None:
            self._is_durable(command, before, after, answer)
            known = self._answers[machine].setdefault(command.id, answer)
            assert known == answer, f"{machine} answers {command.id} in two ways"

    def _is_durable(self, command: Command, before: Book, after: Book, answer: Answer) -> None:
        outcome = after.outcomes.get(command.id)
        assert outcome is not None, f"{command.id} is answered and not remembered"
        assert (outcome.done, outcome.code, outcome.facts) == (answer.done, answer.code, answer.facts)
        if not answer.done or command.id in before.outcomes:
            return
        source, table = command.arguments["source"], command.arguments.get("table")
        match command.name:
            case "pause":
                assert source in after.pauses
            case "resume":
                assert source not in after.pauses
            case "snapshot":
                wanted = [t for s, t in after.snapshots if s == source and table in (None, str(t))]
                assert len(wanted) >= int(answer.facts["tables"])

    def reads(self, machine: str, source: str) -> None:
        """A statement is about to run at a source."""
        since = self._paused[machine].get(source)
        assert since is None or loop().time() - since < STEP_SECONDS_MAX, f"{machine} reads {source}, paused"
