"""MLflow's own UI over the mirror."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

from packline_core.errors import FailedPrecondition

from packline_training.config import TrainingSettings


def start_ui(settings: TrainingSettings, port: int, host: str = "127.0.0.1") -> subprocess.Popen[bytes]:
    """Starts the UI as a process of its own on a local port.

    Raises:
        FailedPrecondition: MLflow's server is not installed.
    """
    if importlib.util.find_spec("flask") is None:
        raise FailedPrecondition(
            "MLflow's UI is not installed; install packline-training with its extra `ui`", reason="UI_MISSING"
        )
    settings.core.logs.mkdir(parents=True, exist_ok=True)
    artifacts = settings.core.home / "mlflow-artifacts"
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", settings.mlflow_database, "--default-artifact-root", f"file://{artifacts}"]
    with (settings.core.logs / "mlflow-ui.log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        )
