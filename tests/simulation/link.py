"""The air between the machines: the memory broker, and an ear at each link for whoever checks what is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protocol.link.link import Message, Will
from protocol.link.memory import MemoryBroker, MemoryLink

Ear = Callable[[str, str, bytes], None]
"""Client, topic, payload."""


class Air(MemoryBroker):
    """A broker whose `ear` hears everything before it is sent, and which swallows what `swallows` says."""

    ear: Ear = staticmethod(lambda client_id, topic, payload: None)
    swallows: Callable[[bytes], bool] = staticmethod(lambda payload: False)

    def link(self, client_id: str, subscriptions: Sequence[str] = (), will: Will | None = None) -> MemoryLink:
        return _HeardLink(self, client_id, subscriptions, will)

    def inject(self, topic: str, payload: bytes) -> None:
        """Somebody who has heard it says it again."""
        self._route(Message(topic, payload), retain=False)


class _HeardLink(MemoryLink):
    def __init__(self, air: Air, client_id: str, subscriptions: Sequence[str], will: Will | None) -> None:
        super().__init__(air, client_id, subscriptions, will)
        self._air = air

    async def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._air.ear(self.client_id, topic, payload)
        if not self._air.swallows(payload):
            await super().send(topic, payload, retain=retain)
