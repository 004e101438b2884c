"""Monitoring, put together: one writer, one store, one clock for all its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from packline_core.store import ObjectStore
from packline_core.task import Task, get_task
from sqlalchemy.engine import Engine

from packline_monitoring.arrivals import Arrivals
from packline_monitoring.comparison import Comparisons
from packline_monitoring.config import Limits
from packline_monitoring.corrections import Corrections
from packline_monitoring.erasure import Erasure
from packline_monitoring.load import Memory, Threads
from packline_monitoring.meter import Meter
from packline_monitoring.packs import PackDirectory
from packline_monitoring.payloads import Payloads
from packline_monitoring.recording import Recording
from packline_monitoring.replicas import Replicas
from packline_monitoring.retention import Housekeeping
from packline_monitoring.shared import Shared
from packline_monitoring.training import Training
from packline_monitoring.writer import Writer


class Monitoring:
    """The service's parts. One process holds one, and no other writes to its store: arrival and removal of payloads are
    told apart in memory.

    Args:
        database: With its tables up to date, as `tables.open_database` gives it.
        store: Where payloads go.
        training: The training service.
        meter: Where counts go.
        clock: The present, UTC.
        tasks: Finds an installed task by name.
        limits: Bounds.
    """

    def __init__(
        self,
        *,
        database: Engine,
        store: ObjectStore,
        training: Training,
        meter: Meter,
        clock: Callable[[], datetime],
        tasks: Callable[[str], Task] = get_task,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        writer = Writer(database, limits.waiting_writes)
        threads = Threads(limits.threads, limits.waiting_reads)
        shared = Shared(
            engine=database,
            writer=writer,
            payloads=Payloads(store),
            threads=threads,
            memory=Memory(limits.waiting_bytes),
            arrivals=Arrivals(),
            directory=PackDirectory(training, database, writer, threads, clock),
            training=training,
            tasks=tasks,
            meter=meter,
            clock=clock,
            limits=limits,
        )
        self._shared = shared
        self.threads = threads
        self.recording = Recording(shared)
        self.corrections = Corrections(shared)
        self.comparisons = Comparisons(shared)
        self.erasure = Erasure(shared)
        self.housekeeping = Housekeeping(shared, self.erasure)
        self.replicas = Replicas(clock)
        self._rounds: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins housekeeping, in the running loop. Does nothing where it has begun."""
        if self._rounds is None:
            self._rounds = asyncio.get_running_loop().create_task(self.housekeeping.run())

    async def close(self) -> None:
        """Ends housekeeping, finishes writes that wait, and lets go of the database."""
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.gather(self._rounds, return_exceptions=True)
        await asyncio.to_thread(self._shared.writer.close)
        self.threads.close()
        self._shared.engine.dispose()
