"""The inbox: what has arrived and was not yet judged, bounded whoever sends, and emptied fairly.

Credit bounds what honest agents have under way; this bounds the others. One queue a topic, so an agent's order is
kept. When the whole is full the longest queue loses its newest (harmless: what has no receipt is sent again), so a
flood costs only whoever makes it. It looks at sizes and the first bytes, and decides nothing about content.
"""

from __future__ import annotations

from collections import Counter, deque

from protocol import messages
from protocol.limits import ENVELOPE_BYTES_MAX, MIB

from .metrics import Metrics

TICK_BYTES_MAX = 32 * MIB
"""What one tick takes, so that no flood makes a tick long for the others."""
TICK_MESSAGES_MAX = 8
"""Messages (hellos, states, enrolments) that one tick takes from one topic: an honest agent says one or two, and
each may cost the ledger hundreds of statements."""
TOPICS_MAX = 16_384
ARRIVAL_BYTES = 256
"""What an arrival costs in memory besides its payload: a flood of empty ones is bounded too."""


class Inbox:
    def __init__(self, bytes_max: int, metrics: Metrics) -> None:
        self._bytes_max = bytes_max
        self._metrics = metrics
        self._queues: dict[str, deque[bytes]] = {}
        self._held: dict[str, int] = {}
        """Topic → bytes of its queue."""
        self.held_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._queues)

    def put(self, topic: str, payload: bytes) -> None:
        """Keep an arrival for a later tick; what no end of ours sends is refused at once."""
        if len(payload) > ENVELOPE_BYTES_MAX:
            self._metrics.refuse("GC-5007")
            return
        if topic not in self._queues and len(self._queues) >= TOPICS_MAX:
            self._metrics.arrivals_dropped += 1
            return
        self._queues.setdefault(topic, deque()).append(payload)
        self._count(topic, _cost(topic, payload))
        if self.held_bytes > self._bytes_max:
            self._make_room(topic)

    def take(self) -> list[tuple[str, bytes]]:
        """One tick's arrivals: a turn for each topic after the other, each in its own order."""
        taken: list[tuple[str, bytes]] = []
        said: Counter[str] = Counter()
        size, turn = 0, list(self._queues)
        while turn and size < TICK_BYTES_MAX:
            again = []
            for topic in turn:
                if messages.is_message(self._queues[topic][0]):
                    said[topic] += 1
                    if said[topic] > TICK_MESSAGES_MAX:
                        continue
                payload = self._queues[topic].popleft()
                taken.append((topic, payload))
                size += len(payload)
                self._count(topic, -_cost(topic, payload))
                if topic in self._queues:
                    again.append(topic)
                if size >= TICK_BYTES_MAX:
                    break
            turn = again
        for topic in dict(taken):  # whoever had a turn waits behind those who had none
            if topic in self._queues:
                self._queues[topic] = self._queues.pop(topic)
        return taken

    def _make_room(self, topic: str) -> None:
        """The arrival goes again where its queue is above its share; otherwise the longest queue makes room."""
        share, enough = self._bytes_max // len(self._queues), self._bytes_max
        if self._held[topic] <= share:
            topic = max(self._held, key=lambda one: self._held[one])
            enough -= self._bytes_max // 16  # so that the longest is not looked for at each arrival
        while self.held_bytes > self._bytes_max or (
            self.held_bytes > enough and self._held.get(topic, 0) > share
        ):
            dropped = self._queues[topic].pop()
            self._metrics.arrivals_dropped += 1
            self._count(topic, -_cost(topic, dropped))
            if topic not in self._queues:
                return

    def _count(self, topic: str, change: int) -> None:
        self.held_bytes += change
        self._held[topic] = self._held.get(topic, 0) + change
        if not self._queues[topic]:
            del self._queues[topic], self._held[topic]


def _cost(topic: str, payload: bytes) -> int:
    return ARRIVAL_BYTES + len(topic) + len(payload)
