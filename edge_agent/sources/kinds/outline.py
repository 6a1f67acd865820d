"""Of an XML document only what is looked for, read as it streams by: no tree, no entities, no network.

lxml reads it into a target of ours, which keeps the elements that a `Kept` names and forgets all others, so a picture
of 50 MB within a document takes no memory. What lxml (6.1, libxml2 2.14, huge_tree off) does not bound in this way of
reading is bounded here, each seen: it went 5,000 elements deep without a word; it buffered a tag of 26 MB before it
refused it; it keeps every name that it ever met for as long as the thread lives, 90 MB for a million of them. And it
leaves out references to entities that it was told not to resolve, so the text would silently lack them: a document
type declaration ends the reading. The messages of lxml are not passed on, since they can hold content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree

from protocol.limits import KIB, MIB

DEPTH_MAX = 256
"""Elements within each other. A document of sections, tables and lists has under 40."""
TOKEN_CHARS_MAX = 1 * MIB
"""One tag, comment or instruction: a parser must hold it whole."""
NAMES_CHARS_MAX = 256 * KIB
"""All names that differ, of elements, attributes and namespaces: CDA has about 10 KiB of them."""
KEPT_CHARS_MAX = 1 * MIB
"""All that is looked for: identifiers, names, titles."""
_ELEMENT_CHARS = 64
"""What an element that is kept counts for beside its text."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How an element is kept: the first of its name or each, which ones within it by name, and whether its text."""

    below: Mapping[str, Kept] = field(default_factory=dict)
    each: bool = False
    text: bool = False


@dataclass(slots=True)
class Element:
    name: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    runs: list[list[str]] = field(default_factory=list)
    """Text in it, cut at each tag, as pieces."""

    def first(self, *path: str) -> Element | None:
        """By the first child of each name in turn."""
        found: Element | None = self
        for name in path:
            found = next((c for c in found.children if c.name == name), None) if found else None
        return found

    def each(self, *path: str) -> Iterator[Element]:
        """All that the path leads to, in the order of the document."""
        if not path:
            yield self
            return
        for child in self.children:
            if child.name == path[0]:
                yield from child.each(*path[1:])

    @property
    def texts(self) -> list[str]:
        return ["".join(run) for run in self.runs]


class _Stopped(Exception):
    """Raised within lxml to end the reading; says why."""


class _Target:
    """What lxml calls. `root` is what was kept so far."""

    def __init__(self, namespace: str, name: str, kept: Kept) -> None:
        self._prefix = f"{{{namespace}}}"
        self._root = f"{self._prefix}{name}"
        self._kept = kept
        self.root: Element | None = None
        self.events = 0
        self._above: list[tuple[Element, Kept, set[str]]] = []
        self._skipped = 0  # depth within an element that is not kept
        self._texts: list[list[str]] | None = None
        self._names: set[str | None] = set()
        self._names_chars = 0
        self._chars = 0

    def start(self, tag: str, attributes: Mapping[str, str], namespaces: Mapping[str | None, str]) -> None:
        self.events += 1
        self._meet(tag, *attributes)
        if namespaces:
            self._meet(*namespaces, *namespaces.values())
        if len(self._above) + self._skipped >= DEPTH_MAX:
            raise _Stopped(f"elements stand more than {DEPTH_MAX} deep in each other")
        if self.root is None:
            self._begin(tag, attributes)
            return
        if self._texts is not None:
            self._cut(self._texts)
        kept = None if self._skipped or self._texts is not None else self._wanted(tag)
        if kept is None:
            self._skipped += 1
        else:
            self._keep(tag, attributes, kept)

    def end(self, tag: str) -> None:
        self.events += 1
        if self._skipped:
            self._skipped -= 1
            if self._texts is not None:
                self._cut(self._texts)
        else:
            self._above.pop()
            self._texts = None

    def data(self, text: str) -> None:
        self.events += 1
        if self._texts is not None:
            self._count(len(text))
            self._texts[-1].append(text)

    def comment(self, text: str) -> None:
        self.events += 1

    def pi(self, target: str, text: str | None = None) -> None:
        self.events += 1
        self._meet(target)

    def doctype(self, name: str | None, public: str | None, system: str | None) -> None:
        raise _Stopped("it has a document type declaration (DOCTYPE), which could change what it says")

    def close(self) -> None:
        pass

    def forget_unfinished(self) -> None:
        """Text that breaks off is no text of the document."""
        if self._texts is not None:
            self._above.pop()
            self._above[-1][0].children.pop()
            self._texts = None

    def _begin(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag != self._root:
            raise _Stopped("its root element is another one")
        self.root = Element(tag, dict(attributes))
        self._above.append((self.root, self._kept, set()))

    def _wanted(self, tag: str) -> Kept | None:
        if not tag.startswith(self._prefix):
            return None
        _, above, met = self._above[-1]
        name = tag[len(self._prefix) :]
        kept = above.below.get(name)
        if kept is None or kept.each:
            return kept
        if name in met:
            return None
        met.add(name)
        return kept

    def _keep(self, tag: str, attributes: Mapping[str, str], kept: Kept) -> None:
        element = Element(tag[len(self._prefix) :], dict(attributes))
        self._count(_ELEMENT_CHARS + sum(map(len, element.attributes.values())))
        self._above[-1][0].children.append(element)
        self._above.append((element, kept, set()))
        if kept.text:
            self._texts = element.runs
            self._cut(self._texts)

    def _cut(self, runs: list[list[str]]) -> None:
        self._count(_ELEMENT_CHARS)
        runs.append([])

    def _count(self, chars: int) -> None:
        self._chars += chars
        if self._chars > KEPT_CHARS_MAX:
            raise _Stopped("it has more identifiers, names and titles than can be looked for")

    def _meet(self, *names: str | None) -> None:
        for name in names:
            if name not in self._names:
                self._names.add(name)
                self._names_chars += len(name or "")
        if self._names_chars > NAMES_CHARS_MAX:
            raise _Stopped("it has too many different names of elements and attributes")


class Outline:
    """A document that is read as its text comes. `problem`: why no more of it is read, in plain words."""

    def __init__(self, namespace: str, name: str, kept: Kept) -> None:
        self.problem: str | None = None
        self._target = _Target(namespace, name, kept)
        self._parser = etree.XMLParser(
            target=self._target,
            encoding="utf-8",  # whatever the document declares: it comes decoded
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
        )
        self._silent_chars = 0

    @property
    def root(self) -> Element | None:
        """What was looked for; None as long as the root element was not met, or is another one."""
        return self._target.root

    def feed(self, text: str) -> None:
        if self.problem is not None:
            return
        before = self._target.events
        self._guarded(text.encode("utf-8"))
        self._silent_chars = 0 if self._target.events > before else self._silent_chars + len(text)
        if self._silent_chars > TOKEN_CHARS_MAX and self.problem is None:
            self.break_off(f"a tag or comment is longer than {TOKEN_CHARS_MAX // MIB} MiB")

    def end(self) -> None:
        if self.problem is None:
            self._guarded(None)

    def break_off(self, problem: str) -> None:
        """No more is read, be it that no more comes."""
        self.problem = problem
        self._target.forget_unfinished()

    def _guarded(self, data: bytes | None) -> None:
        try:
            if data is None:
                self._parser.close()
            else:
                self._parser.feed(data)
        except _Stopped as stopped:
            self.break_off(str(stopped))
        except etree.XMLSyntaxError as error:
            self.break_off(f"it is not well-formed XML in line {error.lineno or 1}")
        except Exception:  # whatever else a parser makes of damage
            self.break_off("it cannot be read as XML")
