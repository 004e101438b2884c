"""What keeps memory and threads within bounds: more work than that is refused, with when to come again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from packline_core.errors import Overloaded

T = TypeVar("T")


class Threads:
    """Blocking work beside the event loop."""

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="monitoring")
        self._max_waiting = max_waiting
        self._waiting = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Runs `work` in a thread. Raises `Overloaded` where too many wait for one."""
        if self._waiting >= self._max_waiting:
            raise Overloaded(
                f"{self._waiting} calls wait for a thread; try again in a moment",
                reason="READS_WAITING",
                retry_after=1.0,
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Ends the threads when their work is done."""
        self._pool.shutdown()


class Memory:
    """The bytes of payloads that calls hold at once. Used from the event loop only."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Counts `size` bytes while the block runs; a single call may be as large as it likes.

        Raises:
            Overloaded: Others hold too much already.
        """
        if self._held and self._held + size > self._limit:
            raise Overloaded(
                f"{self._held >> 20} MiB of payloads are on their way to the store; try again in a moment",
                reason="PAYLOADS_WAITING",
                retry_after=1.0,
            )
        self._held += size
        try:
            yield
        finally:
            self._held -= size
