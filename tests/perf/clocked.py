"""Trains outside the training service: `packline_core.task.TrainContext` with a wall clock."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path


class Context:
    """Ends `seconds` after it was made; says on stderr how far training is."""

    def __init__(self, checkpoints: Path, seconds: float, threads: int) -> None:
        self.checkpoints = checkpoints
        self.threads = threads
        self._end = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        return self._end - time.monotonic()

    def report(self, percent: float, stage: str, metrics: Mapping[str, float]) -> None:
        figures = " ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        told = f"{percent:3.0f} % {self.seconds_left:5.0f} s left  {stage} {figures}"
        print(f"\r{told:100}", end="", file=sys.stderr, flush=True)
