"""A run's own process: a detached Ray actor that outlives the service, holds the run's lease and conducts it."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import ray
from packline_core.errors import Cancelled, PacklineError, Unavailable

from packline_training.conduct import Conduct, NoCandidate, Outcome
from packline_training.config import TrainingSettings
from packline_training.domain import Run, RunKind, RunState
from packline_training.engine import open_tables
from packline_training.gate_run import gate
from packline_training.logs import log_to_file
from packline_training.progress import Progress
from packline_training.runs import LeaseLost
from packline_training.training_run import train

logger = logging.getLogger(__name__)

NAMESPACE = "packline"


def _now() -> datetime:
    return datetime.now(UTC)


class RunDriver:
    """Conducts one run from the time it was taken up.

    Args:
        settings: The installation's.
        run: The run, claimed by `owner`.
        owner: Who holds its lease.
        pool: The pool that trials run in.
    """

    def __init__(self, settings: TrainingSettings, run: Run, owner: str, pool: str) -> None:
        log_to_file(settings)
        self._settings = settings
        self._run = run
        self._owner = owner
        self._pool = pool
        self._tables = open_tables(settings, _now)
        self._progress = Progress(run, _now)
        self._called_off = threading.Event()
        self._ended = threading.Event()

    def ready(self) -> None:
        """Answers once the process has started."""
        self._tables.runs.renew(self._run, self._owner, timedelta(seconds=self._settings.lease_seconds))

    def conduct(self) -> None:
        """Conducts the run to its end; the process ends with it."""
        threading.Thread(target=self._heart, daemon=True).start()
        logger.info("run %s of %s: attempt %d", self._run.run_id, self._run.pack, self._run.attempts)
        try:
            state, outcome = self._outcome()
            self._ended.set()
            self._finish(state, outcome)
        except LeaseLost as error:
            logger.warning("%s", error.message)
        ray.actor.exit_actor()  # type: ignore[no-untyped-call]

    def progress(self, percent: float, stage: str, metrics: Mapping[str, float]) -> bool:
        """What a trial reports; tells it whether the run was called off."""
        self._progress.trial(percent, stage, metrics)
        return self._called_off.is_set()

    def trial_ended(self) -> None:
        """What a trial says last."""
        self._progress.trial_ended()

    def _outcome(self) -> tuple[RunState, Outcome]:
        try:
            conduct = Conduct(
                settings=self._settings,
                tables=self._tables,
                run=self._run,
                owner=self._owner,
                clock=_now,
                progress=self._progress,
                called_off=self._called_off,
            )
            if self._run.kind is RunKind.GATE:
                return RunState.SUCCEEDED, gate(conduct)
            return RunState.SUCCEEDED, train(conduct, self._resources())
        except NoCandidate as error:
            return RunState.FAILED, Outcome(str(error))
        except Cancelled:
            return RunState.CANCELLED, Outcome("called off")
        except LeaseLost:
            raise
        except PacklineError as error:
            return RunState.FAILED, Outcome(error.message)
        except Exception as error:  # whatever a task or its libraries raise ends the run, in words, and not the lease
            logger.exception("run %s of %s failed", self._run.run_id, self._run.pack)
            if self._called_off.is_set():
                return RunState.CANCELLED, Outcome("called off")
            return RunState.FAILED, Outcome(f"{type(error).__name__}: {error}; see {self._settings.core.logs}")

    def _resources(self) -> dict[str, float]:
        """Of each trial: a mark of its pool, this driver's own node, where the checkpoints are, and its GPU."""
        pool, here = f"pool_{self._pool}", ray.get_runtime_context().get_node_id()
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        (node,) = [node for node in nodes if node["NodeID"] == here]
        gpu = {"gpu": 1.0} if node["Resources"].get("GPU") else {}
        return {pool: 0.001, f"node:{node['NodeManagerAddress']}": 0.001, **gpu}

    def _heart(self) -> None:
        """Renews the lease and writes progress down until the run has ended."""
        lease = timedelta(seconds=self._settings.lease_seconds)
        renewed = time.monotonic()
        while not self._ended.wait(min(1.0, self._settings.heartbeat_seconds)):
            values = self._progress.changed()
            if not values and time.monotonic() - renewed < self._settings.heartbeat_seconds:
                continue
            try:
                run = self._tables.runs.change(self._run, self._owner, **values, lease_until=_now() + lease)
            except LeaseLost:
                if not self._ended.is_set():
                    logger.error("run %s was lost to another driver", self._run.run_id)
                    os._exit(1)
                return
            except PacklineError as error:
                # The lease may outlast a locked database; if it does not, the next heartbeat finds out.
                logger.warning("heartbeat of run %s: %s", self._run.run_id, error.message)
                continue
            renewed = time.monotonic()
            if run.cancel_requested:
                self._called_off.set()

    def _finish(self, state: RunState, outcome: Outcome) -> None:
        for attempt in range(1, 11):
            try:
                self._tables.runs.finish(self._run, self._owner, state, outcome.message, **outcome.values)
                break
            except Unavailable as error:
                logger.warning("ending run %s, attempt %d: %s", self._run.run_id, attempt, error.message)
        shutil.rmtree(self._settings.run_folder(self._run.pack, self._run.run_id), ignore_errors=True)
        logger.info("run %s of %s %s: %s", self._run.run_id, self._run.pack, state, outcome.message)
