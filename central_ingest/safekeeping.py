"""Copies of what only the ledger knows, signed, in the lake's `_system/` and beside the journal (landing.md §4).

`KeptLedger` writes them in the step in which the ledger changes: before an enrolment is answered, a grant is
sent or an agent's revocation is reported. `restore` brings a ledger that was lost, or is older than its copies,
to what they hold. It fails closed: a copy that this centre has not signed is refused, and so are copies older
than the journal, since a revocation may be missing in them. What an agent may do it refuses to know.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from protocol.envelope import parse
from protocol.errors import Permanent, Rejected, Transient
from protocol.keys import from_base64, to_base64
from protocol.names import Stream
from protocol.signing import Signer

from .journal.disk import Disk, LinuxDisk, create_durably, make_directory
from .journal.journal import Journal, Run
from .ledger import holdings
from .ledger.holdings import Epochs, Holdings
from .ledger.ledger import AgentRecord, Ledger

log = logging.getLogger("central.safekeeping")

DOMAIN = b"guicang/roster/1\x00"
NAME = "roster.json"


class Safe:
    """The same document in each of `places`; several processes may use it."""

    def __init__(self, places: Sequence[Path], signer: Signer, disk: Disk | None = None) -> None:
        self._places = places
        self._signer = signer
        self._disk = disk or LinuxDisk()

    def read(self) -> Holdings | None:
        """All that the copies hold; None where there is no copy. Raises Permanent GC-6030 for one that is not ours."""
        found = [kept for place in self._places if (kept := self._read(place / NAME)) is not None]
        return None if not found else _joined(found)

    def add(self, more: Holdings) -> None:
        """Make sure that every copy holds `more`, durably. Raises Transient GC-6032, Permanent GC-6030."""
        try:
            with self._locked():
                found = {place: self._read(place / NAME) for place in self._places}
                wanted = _joined([*(kept for kept in found.values() if kept is not None), more])
                for place, kept in found.items():
                    if kept != wanted:
                        self._write(place / NAME, wanted)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise Transient("GC-6032", path=str(self._places[0] / NAME), reason=reason) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        for place in self._places:
            make_directory(self._disk, place)
        fd = os.open(self._places[0] / f"{NAME}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _read(self, path: Path) -> Holdings | None:
        suite = self._signer.suite
        try:
            signature, _, content = path.read_bytes().partition(b"\n")
            signed = DOMAIN + suite.digest(content)
            if suite.verify(self._signer.public, signed, from_base64(signature.decode("ascii"))):
                return Holdings.from_bytes(content)
        except FileNotFoundError:
            return None
        except (Rejected, ValueError, KeyError, TypeError):
            pass
        raise Permanent("GC-6030", path=str(path))

    def _write(self, path: Path, kept: Holdings) -> None:
        content = kept.to_bytes()
        signature = self._signer.sign(DOMAIN + self._signer.suite.digest(content))
        document = to_base64(signature).encode() + b"\n" + content
        self._disk.close(create_durably(self._disk, path, [document]))


def _joined(found: Sequence[Holdings]) -> Holdings:
    one = Holdings()
    for kept in found:
        one = one.join(kept)
    return one


class KeptLedger(Ledger):
    """The ledger, whose holdings are in safe keeping before anybody hears of them."""

    def __init__(self, engine: Any, safe: Safe) -> None:
        super().__init__(engine)
        self._safe = safe

    @classmethod
    def of(cls, ledger: Ledger, safe: Safe) -> KeptLedger:
        return cls(ledger._engine, safe)

    def add_site(self, code: str, name: str, now: int) -> None:
        super().add_site(code, name, now)
        self._safe.add(Holdings(sites=dict(self.sites())))

    def use_invitation(self, secret_hash: bytes, site: str, agent: AgentRecord, now: int) -> bool:
        accepted = super().use_invitation(secret_hash, site, agent, now)
        if accepted:  # asked again after a failure the answer is the same, and it is kept then
            self._safe.add(Holdings(agents={agent.id: agent}))
        return accepted

    def revoke(self, agent: str, now: int) -> None:
        known = {one.id: one for one in self.agents()}
        if agent in known:
            self._safe.add(Holdings(agents={agent: replace(known[agent], revoked=now)}))
        super().revoke(agent, now)

    def add_grant(self, stream: Stream, epoch: int, agent: str, now: int) -> None:
        self._safe.add(Holdings(epochs={stream: Epochs(epoch, agent)}))
        super().add_grant(stream, epoch, agent, now)

    def begin_epoch(self, stream: Stream, epoch: int, agent: str, now: int, low_water: int) -> None:
        super().begin_epoch(stream, epoch, agent, now, low_water)
        self._safe.add(Holdings(epochs={stream: Epochs(epoch, agent, epoch, agent)}))


def restore(ledger: Ledger, safe: Safe, journal: Journal) -> bool:
    """Bring ledger and copies to what both hold; True where the ledger lacked something. Without any copy an empty
    ledger stays empty: every agent enrols anew, in epochs above those of the journal.

    Raises Permanent GC-6030; GC-6031 where the copies are older than the journal; Transient GC-6032.
    """
    there, kept = holdings.read(ledger), safe.read()
    whole = there if kept is None else there.join(kept)
    is_old = there.lacks(whole) or (not there.agents and journal.end > 0)
    if is_old:
        whole = whole.join(_epochs_of(journal, whole))
    holdings.add(ledger, whole)
    safe.add(whole)
    if is_old:
        log.error("%s", Permanent("GC-6033", agents=len(whole.agents)))
    return is_old


def _epochs_of(journal: Journal, whole: Holdings) -> Holdings:
    """The epochs that the journal has seen. Whoever trusts agents by copies that know less of them might trust one
    who was revoked meanwhile."""
    seen: dict[Stream, int] = {}
    for one in journal.outline():
        told = one if isinstance(one, Run) else parse(one.envelope).header
        seen[told.stream] = max(seen.get(told.stream, 0), told.epoch)
    for stream, epoch in seen.items():
        if whole.agents and epoch > whole.epochs.get(stream, Epochs()).issued:
            raise Permanent("GC-6031", stream=str(stream), epoch=epoch)
    return Holdings(epochs={stream: _used(epoch, whole.epochs.get(stream)) for stream, epoch in seen.items()})


def _used(epoch: int, known: Epochs | None) -> Epochs:
    """Journaled, hence used; by nobody who is known, unless it was given out by the copies."""
    holder = known.issued_to if known is not None and known.issued == epoch else ""
    return Epochs(epoch, holder, epoch, holder)
