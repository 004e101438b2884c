"""From trials to one sealed bundle: the best trial that answers within the objective's limits."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from packline_core.bundle import Bundle
from packline_core.errors import BundleRejected, PacklineError
from packline_core.runtime import Runtime
from packline_core.task import Example, Task, Trained

from packline_training.sealing import Origin, seal_export, software
from packline_training.trial import TrialResult

logger = logging.getLogger(__name__)

_TIMED = 20


@dataclass(frozen=True, slots=True)
class Making:
    """What a candidate is made with.

    Attributes:
        run_id: The run that makes it.
        start: The bundle that training began from.
        dataset: Digest of the dataset version.
        examples: Payloads for measuring latency.
        max_latency_ms: The objective's limit on the 90th percentile; None for no limit.
        seed: Of the trials.
        runtime: As replicas run it.
        folder: Where bundles are written.
        now: For the manifest.
    """

    run_id: str
    start: Bundle
    dataset: str
    examples: Iterable[Example]
    max_latency_ms: int | None
    seed: int
    runtime: Runtime
    folder: Path
    now: datetime


@dataclass(frozen=True, slots=True)
class Candidate:
    """The chosen trial as a sealed bundle."""

    bundle: Bundle
    trial: TrialResult


def make_candidate(task: Task, trials: Sequence[TrialResult], making: Making) -> Candidate:
    """Exports trials, best first, until one keeps within the limits.

    Raises:
        BundleRejected: None did; the message says why for each.
    """
    refused = []
    for number, trial in enumerate(trials, 1):
        folder = making.folder / f"candidate-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            bundle = _export(task, trial, making, folder)
            latency = _latency_ms(task, bundle, making)
        except PacklineError as error:
            logger.warning("trial %d of run %s is no candidate: %s", number, making.run_id, error.message)
            refused.append(f"trial {number}: {error.message}")
            continue
        if making.max_latency_ms is not None and latency > making.max_latency_ms:
            refused.append(
                f"trial {number} answers in {latency:.0f} ms (p90), objective.maxLatencyMs is {making.max_latency_ms}"
            )
            continue
        return Candidate(bundle, trial)
    raise BundleRejected(f"no trial gave a candidate: {'; '.join(refused)}", reason="NO_CANDIDATE")


def _export(task: Task, trial: TrialResult, making: Making, folder: Path) -> Bundle:
    task.export(Trained(Path(trial.folder), trial.metrics, trial.notes), making.start, folder)
    provenance: dict[str, Any] = {
        "run": making.run_id,
        "parameters": dict(trial.parameters),
        "seed": making.seed,
        "start": making.start.digest,
        "trained_seconds": round(trial.seconds, 1),
        "software": software(),
    }
    origin = Origin(making.start.manifest.base, making.dataset, trial.metrics, provenance, trial.notes)
    return seal_export(task, folder, origin, making.runtime, making.now)


def _latency_ms(task: Task, bundle: Bundle, making: Making) -> float:
    """The 90th percentile over some payloads, one at a time, after one to warm up; 0 where there is no limit."""
    if making.max_latency_ms is None:
        return 0.0
    asked = (example.payload for example in making.examples if example.payload and example.truth)
    payloads = list(islice(asked, _TIMED))
    payloads = payloads or [bundle.path(r.payload).read_bytes() for r in bundle.manifest.references]
    if not payloads:
        return 0.0
    predictor = task.load(bundle, making.runtime)
    try:
        seconds = []
        for payload in [payloads[0], *payloads]:
            began = time.perf_counter()
            predictor.answer(payload)
            seconds.append(time.perf_counter() - began)
    finally:
        predictor.close()
    return float(np.quantile(seconds[1:], 0.9)) * 1000
