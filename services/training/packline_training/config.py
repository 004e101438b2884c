"""What the training service is told, beside the installation's own settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packline_core.config import Settings, load_settings


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Settings of the training service and of the runs it starts.

    Attributes:
        core: The installation's.
        lease_seconds: How long a run stays its driver's without a heartbeat; then it is taken up again.
        heartbeat_seconds: Between two renewals of a lease.
        poll_seconds: Between two looks for work.
        monitoring_patience: Seconds for which a run waits for monitoring before it gives up.
        trial_restarts: How often the process of one trial is started again after it died.
        niceness: Added to that of training processes, so that serving goes first.
        mirror: Whether MLflow mirrors the registry.
        mlflow: SQLAlchemy URL of MLflow's own tables; a file of the home where empty.
    """

    core: Settings
    lease_seconds: float = 15.0
    heartbeat_seconds: float = 3.0
    poll_seconds: float = 1.0
    monitoring_patience: float = 60.0
    trial_restarts: int = 3
    niceness: int = 10
    mirror: bool = True
    mlflow: str = ""

    @property
    def work(self) -> Path:
        """Files of runs and imports under way."""
        return self.core.home / "training"

    @property
    def mlflow_database(self) -> str:
        """SQLAlchemy URL of MLflow's own tables."""
        return self.mlflow or f"sqlite:///{self.core.home / 'mlflow.db'}"

    def run_folder(self, pack: str, run_id: str) -> Path:
        """Where a run keeps what must outlive its processes."""
        return self.work / "runs" / pack / run_id


def load_training_settings(environ: Mapping[str, str] = os.environ) -> TrainingSettings:
    """Reads `PACKLINE_TRAINING_LEASE_SECONDS`, `…_HEARTBEAT_SECONDS`, `…_POLL_SECONDS`, `…_MONITORING_PATIENCE`,
    `…_MIRROR` and `PACKLINE_MLFLOW_DATABASE` beside the installation's own variables.
    """

    def number(name: str, default: float) -> float:
        return float(environ.get(f"PACKLINE_TRAINING_{name}", default))

    return TrainingSettings(
        core=load_settings(environ),
        lease_seconds=number("LEASE_SECONDS", 15.0),
        heartbeat_seconds=number("HEARTBEAT_SECONDS", 3.0),
        poll_seconds=number("POLL_SECONDS", 1.0),
        monitoring_patience=number("MONITORING_PATIENCE", 60.0),
        mirror=environ.get("PACKLINE_TRAINING_MIRROR", "1") == "1",
        mlflow=environ.get("PACKLINE_MLFLOW_DATABASE", ""),
    )
