"""Virtual time: an event loop whose clock jumps to the next timer, so that hours pass in a moment.

Nothing here waits for anything real. What the product hands to a worker thread runs at once in this one, or a
little later, as the seed says: threads that cross each other, and yet the same seed gives the same run. Random
bytes come from the seed as well. A loop with nothing left to do stands still, which is an error.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH_MICROS = 1_700_000_000_000_000
"""What the wall clock shows when the virtual one begins."""
THREAD_SECONDS_MAX = 0.02
"""How long a thread may wait for its turn, and its outcome for the loop."""


class Crash(BaseException):
    """The process is gone."""


class Process:
    """Whose code runs: a process that is dead starts no thread any more. `moment` is its machine's, and so is
    `reads`, which hears of each statement at a source."""

    def __init__(
        self, moment: Callable[[], None] = lambda: None, reads: Callable[[str], None] = lambda source: None
    ) -> None:
        self.dead = False
        self.moment = moment
        self.reads = reads


PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)


class _Clock(selectors.SelectSelector):
    """Instead of waiting for sockets it moves the time."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the simulation stands still")
        self.time += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`late` is the chance that a thread is not served at once."""

    def __init__(self, rng: random.Random, late: float = 0.2) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)
        self._rng = rng
        self._late = late

    def time(self) -> float:
        return self._clock.time

    def wall(self) -> int:
        """UTC microseconds."""
        return EPOCH_MICROS + round(self._clock.time * 1_000_000)

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector, so nobody has to be woken."""

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        outcome = self.create_future()
        process = PROCESS.get()

        def work() -> None:
            if outcome.cancelled():
                return
            try:
                if process is not None and process.dead:
                    raise Crash
                result = func(*args)
            except BaseException as error:
                self._later(_deliver, outcome, None, error)
            else:
                self._later(_deliver, outcome, result, None)

        self._later(work)
        return outcome

    def _later(self, callback: Callable[..., None], *args: Any) -> None:
        if self._rng.random() < self._late:
            self.call_later(self._rng.random() * THREAD_SECONDS_MAX, callback, *args)
        else:
            self.call_soon(callback, *args)


def _deliver(outcome: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if outcome.cancelled():
        return
    if error is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(result)


def play(main: Callable[[], Coroutine[Any, Any, T]], seed: int | str) -> T:
    """Run `main()` in virtual time, all chance drawn from `seed`."""
    with (
        seeded_secrets(random.Random(f"{seed} secrets")),
        asyncio.Runner(loop_factory=lambda: VirtualLoop(random.Random(f"{seed} threads"))) as runner,
    ):
        return runner.run(main())


def loop() -> VirtualLoop:
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualLoop)
    return running


@contextmanager
def seeded_secrets(rng: random.Random) -> Iterator[None]:
    """What the system gives as random bytes is drawn from `rng` for a while."""
    before = secrets.token_bytes
    secrets.token_bytes = lambda nbytes=None: rng.randbytes(32 if nbytes is None else nbytes)
    try:
        yield
    finally:
        secrets.token_bytes = before
