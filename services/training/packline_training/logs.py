"""One log file for the service and its runs."""

from __future__ import annotations

import logging

from packline_training.config import TrainingSettings

_FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"


def log_to_file(settings: TrainingSettings) -> None:
    """Appends this process's log to `logs/training.log` below the installation's home."""
    settings.core.logs.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(settings.core.logs / "training.log", encoding="utf8", delay=True)
    handler.setFormatter(logging.Formatter(_FORMAT))
    package = logging.getLogger("packline_training")
    package.setLevel(logging.INFO)
    package.addHandler(handler)
