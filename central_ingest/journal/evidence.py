"""Proof of an archive from its bytes, its manifest and the centre's public key alone: no daemon, ledger or lake.

What is proven: the centre signed the manifest; the file is the one it speaks of; each record is as it was written,
each envelope by the key that the manifest names for it, and each chained to the one before it of its stream, within
the archive and on from the manifest before.
"""

from __future__ import annotations

from protocol.errors import Permanent, Rejected
from protocol.names import Stream

from .archive import Archive, Manifest, Notary
from .archiving import digest_of, examine
from .disk import Disk
from .journal import Run


def prove_manifest(archive: Archive, notary: Notary) -> Manifest:
    """What the centre has signed. Raises Permanent GC-6072."""
    try:
        manifest = notary.read(archive.manifest.read_bytes())
    except OSError:
        manifest = None
    if manifest is None or (manifest.base, manifest.end) != (archive.base, archive.end):
        raise Permanent("GC-6072", path=str(archive.manifest))
    return manifest


def prove(disk: Disk, archive: Archive, manifest: Manifest, notary: Notary) -> None:
    """That the file is what its manifest says. Raises Permanent GC-6071."""
    try:
        found = examine(disk, archive, notary.suites, manifest.keys)
    except OSError as error:
        raise _unlike(archive, type(error).__name__) from error
    except Rejected as fault:
        raise _unlike(archive, fault.what) from fault
    facts = {
        "the digest of the file": (found.digest, manifest.digest),
        "its size": (found.file_bytes, manifest.file_bytes),
        "the number of envelopes": (found.envelopes, manifest.envelopes),
        "a chain": (found.runs, manifest.runs),
        "what is damaged": (found.damaged, manifest.damaged),
        "a time": (
            (found.first_received, found.last_received),
            (manifest.first_received, manifest.last_received),
        ),
    }
    for name, (there, said) in facts.items():
        if there != said:
            raise _unlike(archive, name)


def prove_sequel(before: tuple[Archive, Manifest] | None, archive: Archive, manifest: Manifest) -> None:
    """That a manifest follows another without one between them, and its streams go on; None: that it is the first.
    Raises Permanent GC-6071."""
    if manifest.previous != (b"" if before is None else digest_of(before[0].manifest)):
        raise _unlike(archive, "the archive before it")
    ends: dict[Stream, Run] = {} if before is None else {run.stream: run for run in before[1].runs}
    for run in manifest.runs:
        known = ends.get(run.stream)
        follows = known is not None and (run.epoch, run.first) == (known.epoch, known.last + 1)
        if follows and known is not None and run.before != known.chain:
            raise _unlike(archive, f"the chain of {run.stream}")
        ends[run.stream] = run


def _unlike(archive: Archive, reason: str) -> Permanent:
    return Permanent("GC-6071", path=str(archive.path), reason=reason)
