"""The seam between the ends: publish, and hear what arrives. At-least-once, unordered across reconnects.

A link promises little on purpose: an acknowledged `send` reached the broker, which proves nothing
(promise 2); a message may come twice, late, out of order or not at all. It reconnects by itself for ever.
Whoever uses it decides by receipts, never by acks. Implementations: `mqtt` and `memory`; both pass
tests/contracts/test_link.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Connected:
    """The link is up and its subscriptions are in force."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The link is down; `code` and `reason` say why (GC-4001 unreachable or lost, GC-4002 refused)."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Message:
    """What arrived. `retained` tells a stored state from a fresh word."""

    topic: str
    payload: bytes
    retained: bool = False


LinkEvent = Connected | Disconnected | Message


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we vanish. It only hints (it may never come, or come late)."""

    topic: str
    payload: bytes
    retain: bool = True


class Link(Protocol):
    """One client of one broker, with fixed subscriptions."""

    @property
    def connected(self) -> bool:
        """Whether a `send` has a chance now."""
        ...

    def events(self) -> AsyncIterator[LinkEvent]:
        """Run the link and yield what happens to it; one consumer; ends only by cancellation or `aclose()`.

        Reconnects with jittered backoff. Each (re)connection yields `Connected` before any `Message` of it,
        each loss and each failed attempt yields one `Disconnected`.
        """
        ...

    async def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1 and return when the broker has acknowledged it.

        Concurrent sends leave in the order in which they were called. Raises Transient GC-4001 when the link
        is down or goes down before the ack; the message may have arrived all the same.
        """
        ...

    async def aclose(self) -> None:
        """Say goodbye to the broker (no will is published) and end `events()`."""
        ...
