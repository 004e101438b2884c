"""The one thread that writes: whatever waits is committed together, so that one fsync serves many callers.

SQLite has one writer anyway. A job that is refused (a `PacklineError`) is undone by itself; its neighbours are not.
"""

from __future__ import annotations

import asyncio
import logging
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any, TypeVar

from packline_core import db
from packline_core.errors import Overloaded, PacklineError
from sqlalchemy.engine import Connection, Engine

logger = logging.getLogger(__name__)

T = TypeVar("T")
_MAX_GROUP = 64


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: Callable[[Connection], Any]
    future: Future[Any]


class Writer:
    """Runs jobs in transactions, in the order in which they came.

    Args:
        engine: The database.
        max_waiting: Jobs that may wait; more are refused.
    """

    def __init__(self, engine: Engine, max_waiting: int) -> None:
        self._engine = engine
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(max_waiting)
        self._thread = Thread(target=self._run, name="monitoring-writer", daemon=True)
        self._thread.start()

    async def write(self, job: Callable[[Connection], T]) -> T:
        """Runs a job and returns what it returned, once it is committed.

        Args:
            job: Works within one transaction, and may be run again where that fails.

        Raises:
            Overloaded: Too many wait.
            Unavailable: Another process holds the database, or it is away; nothing was written.
            StorageFull: The disk is full; nothing was written.
        """
        future: Future[T] = Future()
        try:
            self._queue.put_nowait(_Waiting(job, future))
        except queue.Full:
            raise Overloaded(
                f"{self._queue.maxsize} writes wait for the database; try again in a moment",
                reason="WRITES_WAITING",
                retry_after=1.0,
            ) from None
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finishes what waits, then ends the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            group: list[_Waiting] = []
            waiting = self._queue.get()
            while waiting is not None:
                if waiting.future.set_running_or_notify_cancel():
                    group.append(waiting)
                if len(group) >= _MAX_GROUP or self._queue.empty():
                    break
                waiting = self._queue.get()
            ended = waiting is None
            self._commit(group)

    def _commit(self, group: Sequence[_Waiting]) -> None:
        if not group:
            return
        try:
            outcomes = self._transaction(group)
        # Whatever went wrong belongs to the callers; the thread must outlive it.
        except Exception as error:
            if len(group) > 1 and not isinstance(error, PacklineError):
                logger.exception("a write failed; its neighbours are written without it")
                for waiting in group:
                    self._commit([waiting])
                return
            outcomes = [error] * len(group)
        for waiting, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Exception):
                waiting.future.set_exception(outcome)
            else:
                waiting.future.set_result(outcome)

    def _transaction(self, group: Sequence[_Waiting]) -> list[Any]:
        outcomes: list[Any] = []
        with db.write(self._engine) as connection:
            for waiting in group:
                savepoint = connection.begin_nested()
                try:
                    outcomes.append(waiting.job(connection))
                except PacklineError as refused:
                    savepoint.rollback()
                    outcomes.append(refused)
                else:
                    savepoint.commit()
        return outcomes
