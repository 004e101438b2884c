"""Takes up runs: those that wait, and those whose process was lost. One thread of the service."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import ray
import ray.exceptions
from packline_core.errors import PacklineError

from packline_training import garbage
from packline_training.config import TrainingSettings
from packline_training.domain import Run, RunState
from packline_training.driver import NAMESPACE, RunDriver
from packline_training.engine import Tables

logger = logging.getLogger(__name__)

Launch = Callable[[Run, str], None]


class Supervisor:
    """Looks for work every few moments until stopped.

    Args:
        settings: How often, and for how long a run is leased.
        tables: Where runs are.
        launch: Starts the driver of a run for an owner.
        chores: Done between two looks, such as the mirror.
    """

    def __init__(
        self, settings: TrainingSettings, tables: Tables, launch: Launch, chores: Sequence[Callable[[], None]] = ()
    ) -> None:
        self._settings = settings
        self._tables = tables
        self._launch = launch
        self._chores = (self._collect, *chores)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="supervisor", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends; runs under way go on."""
        self._stop.set()

    @property
    def alive(self) -> bool:
        """Whether it still looks for work."""
        return self._thread.is_alive()

    def look(self) -> Run | None:
        """Takes up one run, if there is one to take up."""
        owner = uuid4().hex
        run = self._tables.runs.claim(owner, timedelta(seconds=self._settings.lease_seconds))
        if run is not None:
            logger.info("taking up %s run %s of %s", run.kind, run.run_id, run.pack)
            self._launch(run, owner)
        return run

    def _work(self) -> None:
        while not self._stop.wait(self._settings.poll_seconds):
            for chore in (self.look, *self._chores):
                try:
                    chore()
                except (PacklineError, ray.exceptions.RayError, OSError) as error:
                    # The next look tries again; a run that was claimed in vain is taken up when its lease is over.
                    logger.warning("supervisor: %s", error)

    def _collect(self) -> None:
        garbage.collect(self._tables.engine, self._tables.store)


def launch_driver(settings: TrainingSettings, tables: Tables) -> Launch:
    """Starts drivers as detached actors in the Pack's training pool."""

    def launch(run: Run, owner: str) -> None:
        pool = tables.registry.manifest(run.pack).spec.training.pool
        resource = f"pool_{pool}"
        offered = ray.cluster_resources()  # type: ignore[no-untyped-call]
        if not offered.get(resource):
            words = f"no node offers the pool {pool!r} (spec.training.pool); add one or name another"
            tables.runs.finish(run, owner, RunState.FAILED, words)
            return
        driver: Any = ray.remote(RunDriver).options(
            name=f"packline-run-{owner}",
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            resources={resource: 0.001},
            max_concurrency=8,
        )
        actor = driver.remote(settings, run, owner, pool)
        _await_start(settings, tables, run, owner, actor.ready.remote())
        actor.conduct.remote()

    return launch


def _await_start(settings: TrainingSettings, tables: Tables, run: Run, owner: str, ready: Any) -> None:
    """Renews the lease for a driver whose process takes its time to start."""
    lease = timedelta(seconds=settings.lease_seconds)
    while not ray.wait([ready], timeout=settings.heartbeat_seconds)[0]:
        tables.runs.renew(run, owner, lease)
    try:
        ray.get(ready)
    except ray.exceptions.RayError:
        tables.runs.renew(run, owner, timedelta(0))
        raise
