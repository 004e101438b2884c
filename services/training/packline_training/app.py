"""The Ray Serve application `packline-training`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from ray import serve

from packline_training.config import load_training_settings
from packline_training.engine import TrainingEngine, open_tables
from packline_training.garbage import sweeper
from packline_training.logs import log_to_file
from packline_training.mirror import MirrorKeeper
from packline_training.servicer import TrainingServicer
from packline_training.supervisor import Supervisor, launch_driver


def _now() -> datetime:
    return datetime.now(UTC)


class TrainingApplication(TrainingServicer):
    """The servicer with its supervisor beside it."""

    def __init__(self) -> None:
        settings = load_training_settings()
        log_to_file(settings)
        tables = open_tables(settings, _now)
        super().__init__(TrainingEngine(settings, tables))
        chores = [sweeper(tables.store, _now)]
        if settings.mirror:
            chores.append(MirrorKeeper(settings, tables).look)
        self._supervisor = Supervisor(settings, tables, launch_driver(settings, tables), chores)
        self._supervisor.start()

    def check_health(self) -> None:
        """Serve's question; an error gets the replica replaced."""
        if not self._supervisor.alive:
            raise RuntimeError("the supervisor of runs has ended")


Training = serve.deployment(
    name="training",
    # Calls wait in threads; a second replica would only be a second supervisor.
    num_replicas=1,
    max_ongoing_requests=1000,
    # On the head, where the home is kept: worker nodes come and go with their pools.
    ray_actor_options={"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}},
    health_check_period_s=5.0,
    graceful_shutdown_timeout_s=10.0,
    graceful_shutdown_wait_loop_s=0.5,
)(TrainingApplication)


def build(args: Mapping[str, str]) -> serve.Application:
    """Binds the application."""
    return Training.bind()
