"""The seam of the store: named bytes below one root, on a local disk or in a bucket.

A name is a relative path of parts between slashes (`changes/h1/his/visits-0a1b2c3d/_delta_log/…`); one that ends
in a slash is a folder. A folder is there while something lies in it. What fails raises OSError, as a disk would:
FileNotFoundError for a name that nothing has, FileExistsError for one that is taken. Whoever calls decides what
a name may hold; the store refuses to know what the bytes mean. Implementations: `localstore` and `objectstore`;
all pass tests/contracts/test_store.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Item:
    """What lies directly in a folder: its name there (ending in a slash where it is a folder), bytes, and when it was
    written (seconds since 1970 by the store's own clock; 0 for a folder)."""

    name: str
    size: int
    written: float


@dataclass(frozen=True, slots=True)
class Location:
    """Where an engine of its own (deltalake) finds a folder: an address, and what it needs to get in."""

    address: str
    options: Mapping[str, str] | None = field(default=None, repr=False)


class Store(Protocol):
    """Safe for use from several threads, each name written by one at a time. Methods block."""

    @property
    def lasting(self) -> bool:
        """Whether what `put` and `create` wrote is durable when they return, so that `sync` has nothing to do."""
        ...

    def establish(self) -> None:
        """Make the root where there is none, durably. A bucket must be there already."""
        ...

    def create(self, name: str, content: bytes) -> None:
        """Give the name this content, whole or not at all, unless it has another: FileExistsError. Of any number that
        do so at once exactly one succeeds. Where the outcome is unknown it is looked up by content, never blindly
        tried again. Durable after `sync`."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Give the name this content. Until it returns, and after a failure, the name may hold a part of it: nobody
        may be told of the name before. Durable after `sync`."""
        ...

    def keep(self, name: str, content: bytes | Path) -> None:
        """Give the name what never changes afterwards, durably when it returns; it never holds a part of it, not even
        after a power cut. A file on the local disk is taken: it is gone from there when this returns."""
        ...

    def get(self, name: str) -> bytes:
        """The content. FileNotFoundError where nothing has the name."""
        ...

    def prove(self, name: str) -> bytes:
        """As `get`, but read from where it would be found after a power cut, past every cache of this machine. Only
        what was synced has been brought there."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of the content, None where nothing has the name."""
        ...

    def list(self, folder: str) -> list[Item]:
        """What lies directly in a folder, by name; `""` is the root. Empty for a folder that is not there. What comes
        or goes meanwhile is in it or not, each by itself: of two new names it may have the later alone."""
        ...

    def move(self, name: str, to: str) -> None:
        """Give the content another name. A crash may leave it under both; durable after `sync` of both folders."""
        ...

    def delete(self, name: str) -> None:
        """Nothing has the name afterwards; it is no fault where nothing had. A power cut may bring it back."""
        ...

    def sync(self, names: Iterable[str]) -> None:
        """Return once the content of these names (for a folder: what it names) and their path from the root would
        survive a power cut."""
        ...

    def tidy(self, folder: str) -> None:
        """Remove what interrupted calls left in a folder. Only while nobody writes there."""
        ...

    def clear_uploads(self) -> int:
        """Give up what interrupted uploads left that began a day ago or earlier; returns how many. Any time."""
        ...

    def locate(self, folder: str) -> Location: ...
