"""Many calls in flight at once, their outcomes in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from packline_core.errors import PacklineError

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, Value]):
    """What came of one item: `value`, or the `error` that it met."""

    item: Item
    value: Value | None = None
    error: PacklineError | None = None


def in_flight(work: Callable[[Item], Value], items: Iterable[Item], jobs: int) -> Iterator[Outcome[Item, Value]]:
    """Works on `jobs` items at once and gives each one's outcome, in order.

    Items are taken as they are needed, at most twice `jobs` ahead. A `PacklineError` is an outcome; anything else ends
    the whole.
    """
    waiting: deque[tuple[Item, Future[Value]]] = deque()
    pool = ThreadPoolExecutor(jobs)
    try:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) >= 2 * jobs:
                yield _outcome(*waiting.popleft())
        while waiting:
            yield _outcome(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _outcome(item: Item, future: Future[Value]) -> Outcome[Item, Value]:
    try:
        return Outcome(item, future.result())
    except PacklineError as error:
        return Outcome(item, error=error)
