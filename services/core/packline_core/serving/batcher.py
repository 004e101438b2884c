"""Batches: calls that wait while a worker is busy are answered together by its next run.

A batch starts as soon as a worker is free, never for a timer's sake: at concurrency 1 a call waits for nothing. Its
size is bounded by count and by the time that it is thought to take. What cannot be answered soon is refused at once, so
that calls that were admitted keep their latency.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, overload

from packline_core.errors import DeadlineExceeded, Overloaded, PacklineError, Unavailable
from packline_core.serving.config import Limits

_log = logging.getLogger(__name__)
_SMOOTHING = 0.2

Run = Callable[[Sequence[Any]], Sequence[Any]]


class Window(Sequence[Any]):
    """Part of a sequence, without taking its items out: they may be made only when they are asked for."""

    def __init__(self, items: Sequence[Any], start: int, stop: int) -> None:
        self._items, self._start, self._stop = items, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._items[self._start + index % len(self)]

    def __iter__(self) -> Iterator[Any]:
        return (self._items[i] for i in range(self._start, self._stop))


@dataclass(slots=True, eq=False)
class _Job:
    """One call: its items, how far they are, and who waits for them."""

    items: Sequence[Any]
    future: asyncio.Future[list[Any]]
    deadline: float | None
    results: list[Any] = field(default_factory=list)

    def left(self) -> int:
        return len(self.items) - len(self.results)

    def window(self, size: int) -> Sequence[Any]:
        done = len(self.results)
        if done == 0 and size >= len(self.items):
            return self.items
        return Window(self.items, done, min(len(self.items), done + size))


_Batch = list[tuple[_Job, Sequence[Any]]]


class Batcher:
    """Runs one predictor in worker threads. All methods belong to the event loop in which it was made.

    Args:
        run: Answers a batch: one result, or the `PacklineError` that it met, for each item.
        limits: Queue, batch size, workers.
        name: For threads and messages.
    """

    def __init__(self, run: Run, limits: Limits, name: str = "batcher") -> None:
        self._run = run
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Job] = deque()
        self._free = limits.workers
        self._running: dict[int, float] = {}
        self._tasks: queue.SimpleQueue[tuple[int, _Batch] | None] = queue.SimpleQueue()
        self._item_seconds = 0.0
        self._call_seconds = 0.0
        self._batches = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(limits.workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def idle(self) -> bool:
        """Whether a call would be answered without waiting."""
        return self._free > 0 and not self._waiting

    @property
    def waiting(self) -> int:
        """Calls that no worker has taken up."""
        return len(self._waiting)

    @property
    def stuck_seconds(self) -> float:
        """For how long the slowest batch that runs now has been running."""
        now = time.monotonic()
        return max((now - started for started in self._running.values()), default=0.0)

    async def submit(self, items: Sequence[Any], deadline: float | None = None) -> list[Any]:
        """Answers one call's items, in order.

        Args:
            items: May be lazy: they are taken out in the worker.
            deadline: On the clock of `time.monotonic`; work that cannot begin before is not begun.

        Raises:
            Overloaded: As many calls wait as may.
            DeadlineExceeded: The deadline passed before a worker was free.
            Unavailable: The batcher was closed.
            PacklineError: What the predictor said about one of the items.
        """
        if self._closed:
            raise Unavailable("the version was closed", reason="SLOT_CLOSED")
        if self._free == 0 and len(self._waiting) >= self._limits.max_queue:
            raise Overloaded(
                f"{len(self._waiting)} calls wait already; try again later, or allow more replicas or a longer queue",
                retry_after=self.retry_after(),
            )
        if not items:
            return []
        job = _Job(items, self._loop.create_future(), deadline)
        self._waiting.append(job)
        self._dispatch()
        try:
            return await job.future
        except asyncio.CancelledError:
            self._forget(job)
            raise

    def retry_after(self) -> float:
        """Seconds until half of what waits now will have been answered, from the throughput of late."""
        seconds = len(self._waiting) * self._call_seconds / self._limits.workers / 2
        return min(60.0, max(0.05, seconds))

    def close(self) -> None:
        """Refuses what waits and ends the workers once their batches are done."""
        if self._closed:
            return
        self._closed = True
        for job in self._waiting:
            if not job.future.done():
                job.future.set_exception(Unavailable("the version was closed", reason="SLOT_CLOSED"))
        self._waiting.clear()
        for _ in self._threads:
            self._tasks.put(None)

    def join(self) -> None:
        """Waits, outside of the event loop, until the workers of a closed batcher have ended."""
        for thread in self._threads:
            thread.join()

    def _forget(self, job: _Job) -> None:
        # A job that runs already ends with its batch; its cancelled future is passed over there.
        if job in self._waiting:
            self._waiting.remove(job)

    def _dispatch(self) -> None:
        while self._free and self._waiting:
            batch = self._next_batch()
            if not batch:
                return
            self._free -= 1
            self._batches += 1
            self._running[self._batches] = time.monotonic()
            self._tasks.put((self._batches, batch))

    def _next_batch(self) -> _Batch:
        room = self._limits.max_batch
        if self._item_seconds > 0:
            room = max(1, min(room, int(self._limits.max_batch_seconds / self._item_seconds)))
        batch: _Batch = []
        now = time.monotonic()
        while self._waiting and room > 0:
            job = self._waiting[0]
            if job.future.done():
                self._waiting.popleft()
                continue
            if job.deadline is not None and job.deadline <= now:
                self._waiting.popleft()
                job.future.set_exception(DeadlineExceeded("the deadline passed while the call waited"))
                continue
            if batch and job.left() > room:
                break
            self._waiting.popleft()
            window = job.window(room)
            room -= len(window)
            batch.append((job, window))
        return batch

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            number, batch = task
            started = time.monotonic()
            outcomes = self._answer(batch)
            seconds = time.monotonic() - started
            try:
                self._loop.call_soon_threadsafe(self._finish, number, batch, outcomes, seconds)
            except RuntimeError:  # the loop has ended, and with it everybody who waited
                return

    def _answer(self, batch: _Batch) -> list[Sequence[Any] | Exception]:
        """For each job its results, or what its items alone brought about."""
        if len(batch) == 1:
            return [self._answer_alone(batch[0][1])]
        try:
            results = self._run(list(chain.from_iterable(window for _, window in batch)))
        except Exception as error:  # whoever caused it must not spoil the others' answers
            _log.warning(
                "a batch of %d calls failed (%s: %s); each is run alone", len(batch), type(error).__name__, error
            )
            return [self._answer_alone(window) for _, window in batch]
        outcomes: list[Sequence[Any] | Exception] = []
        start = 0
        for _, window in batch:
            outcomes.append(results[start : start + len(window)])
            start += len(window)
        return outcomes

    def _answer_alone(self, window: Sequence[Any]) -> Sequence[Any] | Exception:
        try:
            return self._run(window)
        except Exception as error:  # it belongs to the call, and is raised there
            return error

    def _finish(
        self, number: int, batch: _Batch, outcomes: Sequence[Sequence[Any] | Exception], seconds: float
    ) -> None:
        del self._running[number]
        self._free += 1
        self._item_seconds = _smooth(self._item_seconds, seconds / sum(len(window) for _, window in batch))
        self._call_seconds = _smooth(self._call_seconds, seconds / len(batch))
        for (job, _), outcome in zip(batch, outcomes, strict=True):
            self._settle(job, outcome)
        self._dispatch()

    def _settle(self, job: _Job, outcome: Sequence[Any] | Exception) -> None:
        if job.future.done():
            return
        if isinstance(outcome, Exception):
            job.future.set_exception(outcome)
            return
        failed = next((result for result in outcome if isinstance(result, PacklineError)), None)
        if failed is not None:
            job.future.set_exception(failed)
            return
        job.results.extend(outcome)
        if job.left() <= 0:
            job.future.set_result(job.results)
        elif self._closed:
            job.future.set_exception(Unavailable("the version was closed", reason="SLOT_CLOSED"))
        else:
            self._waiting.append(job)  # behind the others: a long document lets short ones pass


def _smooth(old: float, new: float) -> float:
    return new if old == 0 else old + _SMOOTHING * (new - old)
