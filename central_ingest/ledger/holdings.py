"""What of the ledger nothing else could tell again: sites, agents with their keys and revocations, epochs given out.

Holdings only grow, so two of them join without a question: who is revoked in one is revoked, an epoch given out
in one is given out (a join of semilattices). Everything else in the ledger is read again from journal and lake.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from protocol.names import Stream

from . import tables as t
from .ledger import AgentRecord, Ledger
from .upsert import upsert

FORMAT = 1


@dataclass(frozen=True, slots=True, order=True)
class Epochs:
    """Of one stream: the highest epoch given out and the highest used, each with its agent; 0 where there is none."""

    issued: int = 0
    issued_to: str = ""
    used: int = 0
    used_by: str = ""

    def join(self, other: Epochs) -> Epochs:
        issued, issued_to = max((self.issued, self.issued_to), (other.issued, other.issued_to))
        used, used_by = max((self.used, self.used_by), (other.used, other.used_by))
        return Epochs(issued, issued_to, used, used_by)


@dataclass(frozen=True, slots=True)
class Holdings:
    sites: Mapping[str, str] = field(default_factory=dict)
    """Code → name."""
    agents: Mapping[str, AgentRecord] = field(default_factory=dict)
    epochs: Mapping[Stream, Epochs] = field(default_factory=dict)

    def join(self, other: Holdings) -> Holdings:
        """All that either holds. Names of sites are those of `other`."""
        agents = dict(self.agents)
        for one in other.agents.values():
            known = agents.get(one.id)
            agents[one.id] = one if known is None else replace(known, revoked=_first(known, one))
        epochs = dict(self.epochs)
        for stream, given in other.epochs.items():
            epochs[stream] = epochs.get(stream, Epochs()).join(given)
        return Holdings({**self.sites, **other.sites}, agents, epochs)

    def to_bytes(self) -> bytes:
        agents = [asdict(one) | {"public": one.public.hex()} for _, one in sorted(self.agents.items())]
        epochs = [[one.site, one.source, asdict(given)] for one, given in sorted(self.epochs.items())]
        document = {"format": FORMAT, "sites": dict(self.sites), "agents": agents, "epochs": epochs}
        return json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1).encode()

    def lacks(self, whole: Holdings) -> bool:
        """Whether it knows less than `whole`, which it is a part of, of who may send and of epochs that were used."""
        unknown = any(
            (known := self.agents.get(one.id)) is None or (known.revoked is None and one.revoked is not None)
            for one in whole.agents.values()
        )
        return unknown or any(
            given.used > self.epochs.get(stream, Epochs()).used for stream, given in whole.epochs.items()
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> Holdings:
        """Of bytes that `to_bytes` made. Raises ValueError for those of another version."""
        document: dict[str, Any] = json.loads(content)
        if document["format"] != FORMAT:
            raise ValueError("another version's")
        agents = (AgentRecord(**one | {"public": bytes.fromhex(one["public"])}) for one in document["agents"])
        epochs = {Stream(site, source): Epochs(**given) for site, source, given in document["epochs"]}
        return cls(document["sites"], {one.id: one for one in agents}, epochs)


def _first(one: AgentRecord, other: AgentRecord) -> int | None:
    """When it was revoked for the first time."""
    return min((r.revoked for r in (one, other) if r.revoked is not None), default=None)


def read(ledger: Ledger) -> Holdings:
    """What the ledger holds now."""
    epochs: dict[Stream, Epochs] = {}
    for row in ledger._all(sa.select(t.grant)):
        stream = Stream(row.site, row.source)
        used = (row.epoch, row.agent) if row.used is not None else (0, "")
        epochs[stream] = epochs.get(stream, Epochs()).join(Epochs(row.epoch, row.agent, *used))
    for one in ledger.streams():
        epochs[one.stream] = epochs.get(one.stream, Epochs()).join(
            Epochs(one.head.epoch, one.agent, one.head.epoch, one.agent)
        )
    return Holdings(dict(ledger.sites()), {one.id: one for one in ledger.agents()}, epochs)


def add(ledger: Ledger, holdings: Holdings) -> None:
    """Put into the ledger what it lacks of `holdings`, in an order in which nobody is trusted too early: who is
    revoked enters as revoked. Heads of streams that enter an epoch by this stand at its beginning, and the
    journal is read from its own: it tells the rest."""
    there = read(ledger)
    for code, name in holdings.sites.items():
        if code not in there.sites:
            ledger.add_site(code, name, 0)
    for one in there.join(holdings).agents.values():
        if there.agents.get(one.id) == one:
            continue
        ledger._run(
            upsert(ledger._engine, t.agent)
            .values(asdict(one))
            .on_conflict_do_update(index_elements=["id"], set_={"revoked": one.revoked})
        )
    for stream, given in holdings.epochs.items():
        known = there.epochs.get(stream, Epochs())
        if given.issued > known.issued:
            ledger.add_grant(stream, given.issued, given.issued_to, 0)
        if given.used > known.used:
            ledger.save_heads([], 0)
            ledger.begin_epoch(stream, given.used, given.used_by, 0, 0)
