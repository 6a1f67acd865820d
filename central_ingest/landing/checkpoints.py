"""Checkpoints that may be relied on: read back, compared with the log, synced, and sealed by their digest.

A checkpoint repeats the whole table, transactions included, and once the entries below are cleaned up it is all that
there is. So none counts before it is *sealed*: its digest stands in the log folder, written after it was proven. A
checkpoint without a seal (its maker died, or was not us) is passed over as long as entries can do without. Two sealed
ones are kept, and every entry since the older. Knows names in a store and the state of a table; no deltalake.
"""

from __future__ import annotations

import contextlib
import errno
import json

import pyarrow as pa

from protocol.errors import Permanent

from . import commits
from .store import Item, Store
from .tablestate import TableState, from_checkpoint

LOG = "_delta_log"
_SEALS = "_sealed_checkpoints"
_LAST = "_last_checkpoint"
_KEPT = 2
DAMAGE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.EINVAL)
"""What the system says of a file that is not there or not whole, and not of a store that is out of reach."""


def name(table: str, version: int) -> str:
    return f"{table}/{file_name(version)}"


def file_name(version: int) -> str:
    """From the table's folder on."""
    return f"{LOG}/{commits.checkpoint_name(version)}"


def sealed(store: Store, table: str) -> dict[int, str]:
    """Version and digest of every checkpoint that was sealed, rising; whether it still is so `read` says."""
    content = read(store, f"{table}/{LOG}/{_SEALS}")
    with contextlib.suppress(ValueError, AttributeError):
        found = json.loads(content or b"{}")
        return {int(version): str(found[version]) for version in sorted(found, key=int)}
    return {}


def newest(store: Store, table: str, below: int | None = None) -> TableState | None:
    """The state of the newest checkpoint (of those `below` a version) whose seal holds; None where there is none."""
    for version, seal in reversed(sealed(store, table).items()):
        if (below is None or version < below) and (
            content := _sound(store, table, version, seal)
        ) is not None:
            return from_checkpoint(version, content)
    return None


def sound(store: Store, table: str) -> set[int]:
    """The versions whose seal holds."""
    return {v for v, seal in sealed(store, table).items() if _sound(store, table, v, seal) is not None}


def pointed(store: Store, table: str) -> set[int]:
    """The version of the checkpoint that the log's own pointer leads to; none where it leads nowhere."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return {int(json.loads(read(store, f"{table}/{LOG}/{_LAST}") or b"{}")["version"])}
    return set()


def is_readable(version: int, content: bytes) -> bool:
    try:
        from_checkpoint(version, content)
    except (ValueError, KeyError, pa.ArrowException):
        return False
    return True


def read(store: Store, file: str) -> bytes | None:
    """None where it is gone, or the disk cannot give it back. A store that refuses to say raises OSError."""
    try:
        return store.get(file)
    except OSError as error:
        if error.errno not in DAMAGE:
            raise
        return None


def _sound(store: Store, table: str, version: int, seal: str) -> bytes | None:
    content = read(store, name(table, version))
    return content if content is not None and commits.digest(content) == seal else None


def prove(store: Store, table: str, expected: TableState) -> str:
    """The digest of the checkpoint at the version of `expected`, once it is durable and holds just that.

    Raises Permanent GC-6050 where it does not; then it is gone.
    """
    store.sync([name(table, expected.version)])
    content = store.prove(name(table, expected.version))
    try:
        difference = from_checkpoint(expected.version, content).differs(expected)
    except (ValueError, KeyError, pa.ArrowException):
        difference = "form"
    if difference is not None:
        drop(store, table, expected.version)
        raise Permanent("GC-6050", table=table, version=expected.version, difference=difference)
    return commits.digest(content)


def seal(store: Store, table: str, version: int, digest: str) -> None:
    """From now on the table can do without what lies below, and recovery begins here."""
    last = f"{table}/{LOG}/{_LAST}"
    if store.size(last) is not None:  # a hint, which deltalake leaves out where the checkpoint was there
        store.sync([last])
    before = sealed(store, table).items()
    seals = {v: one for v, one in before if store.size(name(table, v)) is not None} | {version: digest}
    kept = dict(sorted(seals.items())[-_KEPT:])
    store.keep(f"{table}/{LOG}/{_SEALS}", json.dumps(kept).encode())


def drop(store: Store, table: str, version: int) -> None:
    """Readers find the one before by the names in the folder."""
    store.delete(f"{table}/{LOG}/{_LAST}")
    store.delete(name(table, version))


def superfluous(store: Store, table: str, until: float) -> list[str]:
    """Entries and checkpoints below the older of two sealed checkpoints that were written before `until` (seconds
    since 1970): whoever opened the table since can do without them. Lowest first: whenever the deleting ends, what
    is left is one run."""
    seals = [v for v in sealed(store, table) if store.size(name(table, v)) is not None]
    if len(seals) < _KEPT:
        return []
    return [
        f"{table}/{LOG}/{item.name}"
        for item in sorted(store.list(f"{table}/{LOG}"), key=_version)
        if 0 <= _version(item) < seals[0] and item.written < until
    ]


def _version(item: Item) -> int:
    """-1 for what belongs to no version."""
    found = commits.entry_version(item.name)
    return next((v for v in (found, commits.checkpoint_version(item.name)) if v is not None), -1)
