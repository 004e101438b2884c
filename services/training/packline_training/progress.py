"""How far a run is, gathered from its parts and its trials, as columns of its row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from packline_training.domain import Run

# Trials take a training run from here to there; the rest is taking in data, exporting and storing.
_TRIALS_FROM, _TRIALS_TO = 2.0, 90.0


class Progress:
    """Thread-safe.

    Args:
        run: As it was taken up; percent never falls below what an earlier attempt reached.
        clock: Tells the time.
    """

    def __init__(self, run: Run, clock: Callable[[], datetime]) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._began = clock()
        self._began_at = run.percent
        self._percent = run.percent
        self._planned = 1
        self._finished = 0
        self._values: dict[str, Any] = {}

    def plan(self, finished: int, planned: int) -> None:
        """Says how many trials have ended and how many there will be."""
        with self._lock:
            self._finished, self._planned = finished, max(planned, 1)

    def trial(self, percent: float, stage: str, metrics: Mapping[str, float]) -> None:
        """A report from the trial under way."""
        with self._lock:
            finished, planned = self._finished, self._planned
        share = (finished + min(max(percent, 0.0), 100.0) / 100) / planned
        words = f"trial {min(finished + 1, planned)} of {planned}: {stage}"
        self.tell(_TRIALS_FROM + (_TRIALS_TO - _TRIALS_FROM) * min(share, 1.0), words, metrics)

    def trial_ended(self) -> None:
        """The trial under way has ended."""
        with self._lock:
            self._finished += 1

    def tell(self, percent: float, stage: str, metrics: Mapping[str, float]) -> None:
        """A report from the run itself."""
        with self._lock:
            self._percent = max(self._percent, min(percent, 99.0))
            self._values |= {"percent": self._percent, "stage": stage, "eta": self._eta()}
            if metrics:
                self._values["metrics"] = dict(metrics)

    def changed(self) -> dict[str, Any]:
        """The columns that changed since the last call."""
        with self._lock:
            values, self._values = self._values, {}
            return values

    def _eta(self) -> float | None:
        """Seconds, by the pace of this attempt; None while there is no pace yet."""
        gained = self._percent - self._began_at
        seconds = (self._clock() - self._began).total_seconds()
        return None if gained < 1 else seconds / gained * (100 - self._percent)
