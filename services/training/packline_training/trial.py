"""One trial in its own process: trains, resuming what it finds, and leaves its result beside its checkpoints.

A trial's folder is named by its parameters, so that whoever takes a run up again finds what every trial left.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from packline_core.bundle import open_bundle
from packline_core.errors import Cancelled, PacklineError
from packline_core.task import Trial, get_task

from packline_training.shards import StoredExamples

Parameters = Mapping[str, Any]
# Percent, stage, metrics; the answer is whether the run was called off.
Tell = Callable[[float, str, Mapping[str, float]], bool]

_RESULT = "result.json"
_PARAMETERS = "parameters.json"
_SPENT = "spent"
_TELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class TrialOrder:
    """What all trials of a run share; travels to their processes.

    Attributes:
        task: The task's name.
        base: The base model's.
        start: Folder of the base model's bundle.
        examples: The training part of the dataset version.
        folder: The run's folder.
        seed: Of every trial.
        seconds: Each trial's budget.
        threads: CPU threads; 0 means all.
        niceness: Added to the process's.
    """

    task: str
    base: str
    start: Path
    examples: StoredExamples
    folder: Path
    seed: int
    seconds: float
    threads: int
    niceness: int


@dataclass(frozen=True, slots=True)
class TrialResult:
    """How a trial ended: with metrics and a folder of weights, or with an error in words."""

    parameters: Parameters
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    folder: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""


def trial_folder(run_folder: Path, parameters: Parameters) -> Path:
    """A trial's folder."""
    text = json.dumps(parameters, sort_keys=True)
    return run_folder / f"trial-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def left_by(run_folder: Path) -> tuple[list[TrialResult], list[Parameters]]:
    """The results of a run's finished trials, and the parameters of those that did not finish, oldest first."""
    results, unfinished = [], []
    for place in sorted(run_folder.glob(f"trial-*/{_PARAMETERS}"), key=lambda path: path.stat().st_mtime_ns):
        result = place.with_name(_RESULT)
        if result.exists():
            raw = json.loads(result.read_text(encoding="utf8"))
            results.append(TrialResult(**{**raw, "notes": tuple(raw["notes"])}))
        else:
            unfinished.append(json.loads(place.read_text(encoding="utf8")))
    return results, unfinished


def run_trial(order: TrialOrder, parameters: Parameters, tell: Tell) -> TrialResult:
    """Trains one trial, in the process that calls it.

    Raises:
        Cancelled: The run was called off; the trial can be taken up again.
    """
    folder = trial_folder(order.folder, parameters)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / _PARAMETERS, json.dumps(parameters))
    task = get_task(order.task)
    context = _Context(folder, order, tell)
    trial = Trial(order.base, open_bundle(order.start), parameters, order.seed)
    try:
        trained = task.train(trial, order.examples, context)
        result = TrialResult(
            parameters, context.spent, dict(trained.metrics), str(trained.folder), tuple(trained.notes)
        )
    except Cancelled:
        raise
    except PacklineError as error:
        # The task's own refusal: trying again would end alike.
        result = TrialResult(parameters, context.spent, error=error.message)
    _write(folder / _RESULT, json.dumps(asdict(result)))
    return result


class _Context:
    """`packline_core.task.TrainContext` of one trial."""

    def __init__(self, folder: Path, order: TrialOrder, tell: Tell) -> None:
        self._folder = folder
        self._tell = tell
        self._seconds = order.seconds
        self._threads = order.threads or os.cpu_count() or 1
        self._told = -_TELL_SECONDS
        spent = folder / _SPENT
        self._earlier = float(spent.read_text()) if spent.exists() else 0.0
        self._began = time.monotonic()
        self._checkpoints = folder / "checkpoints"
        self._checkpoints.mkdir(exist_ok=True)

    @property
    def checkpoints(self) -> Path:
        return self._checkpoints

    @property
    def spent(self) -> float:
        """Seconds, those of lost processes included."""
        return self._earlier + time.monotonic() - self._began

    @property
    def seconds_left(self) -> float:
        return self._seconds - self.spent

    @property
    def threads(self) -> int:
        return self._threads

    def report(self, percent: float, stage: str, metrics: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - self._told < _TELL_SECONDS and percent < 100:
            return
        self._told = now
        _write(self._folder / _SPENT, str(self.spent))
        if self._tell(percent, stage, metrics):
            raise Cancelled("the run was called off")


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf8")
    temporary.replace(path)
