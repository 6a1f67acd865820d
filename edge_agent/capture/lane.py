"""A thread of one source's own: what blocks there holds up no other source, nor spool or status.

The loop's common threads are few; a handful of databases that do not answer would take them all. Calls of one
lane never overlap, so a source is never asked two things at a time, and its last call is its own closing.
It refuses to know what it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

T = TypeVar("T")


class Lane:
    """Its thread starts with the first call."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"source {name}")

    async def run(self, call: Callable[..., T], *arguments: object) -> T:
        """After all calls before it, including those whose caller was cancelled meanwhile."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(call, *arguments))

    def end(self) -> None:
        """No call follows. Does not wait for the one that runs."""
        self._pool.shutdown(wait=False)
